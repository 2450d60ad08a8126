//! The in-toto Statement v1 that carries a node plan: what is signed.
//!
//! Source: in-toto/attestation `spec/v1/statement.md`. Subjects are all objects of the bundle by SHA-256; the
//! predicate is the [`NodePlan`]. Nothing in it depends on time, machine or compiler.

use crate::{
    digest::Sha256Digest,
    json, limits,
    plan::{NodePlan, PlanError},
};
use serde::Serialize;

/// `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// `predicateType` of a node plan of major version 1.
pub const PREDICATE_TYPE: &str = "https://nodebpf.io/node-plan/v1";

/// Name of an object inside the bundle.
pub fn object_member(digest: &Sha256Digest) -> String {
    format!("objects/{digest}.o")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "_type")]
    type_: &'static str,
    subject: Vec<Subject>,
    predicate_type: &'static str,
    predicate: &'a NodePlan,
}

#[derive(Serialize, PartialEq, Eq)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, PartialEq, Eq)]
struct SubjectDigest {
    sha256: Sha256Digest,
}

struct Read {
    type_: String,
    subject: Vec<Subject>,
    predicate_type: String,
    predicate: json::Value,
}

/// Why bytes are not a statement about a plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not the shape of a statement.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// A statement about something else.
    #[error("`{field}` is `{found}`; it must be `{want}`")]
    Type {
        /// Field.
        field: &'static str,
        /// Value found.
        found: String,
        /// The one value allowed.
        want: &'static str,
    },
    /// The predicate.
    #[error("the node plan: {0}")]
    Plan(#[from] PlanError),
    /// Subjects and the plan's objects are not the same set in the same order.
    #[error("the subjects are not exactly the objects of the node plan, sorted by digest")]
    Subjects,
}

/// Exact bytes of the statement about `plan`.
pub fn encode(plan: &NodePlan) -> Vec<u8> {
    json::to_bytes(&Wire {
        type_: STATEMENT_TYPE,
        subject: subjects(plan),
        predicate_type: PREDICATE_TYPE,
        predicate: plan,
    })
}

fn subjects(plan: &NodePlan) -> Vec<Subject> {
    plan.objects()
        .into_iter()
        .map(|sha256| Subject { name: object_member(&sha256), digest: SubjectDigest { sha256 } })
        .collect()
}

/// A plan with the exact bytes of its statement: what was signed, and what a node keeps as its record of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    bytes: Vec<u8>,
    plan: NodePlan,
}

impl Accepted {
    /// Reads statement bytes whose origin was checked.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, StatementError> {
        let plan = decode(&bytes)?;
        Ok(Self { bytes, plan })
    }

    /// The exact statement bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the statement bytes: the identity of what runs, whoever signed it.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.bytes)
    }
}

impl std::ops::Deref for Accepted {
    type Target = NodePlan;

    fn deref(&self) -> &NodePlan {
        &self.plan
    }
}

/// The plan in a statement. Call it on bytes whose signature was checked; [`crate::bundle`] does.
pub fn decode(bytes: &[u8]) -> Result<NodePlan, StatementError> {
    let read: Read = json::parse(bytes, limits::STATEMENT_MAX_BYTES)?;
    for (field, found, want) in
        [("_type", read.type_, STATEMENT_TYPE), ("predicateType", read.predicate_type, PREDICATE_TYPE)]
    {
        if found != want {
            return Err(StatementError::Type { field, found, want });
        }
    }
    let plan = NodePlan::from_value(read.predicate)?;
    if read.subject != subjects(&plan) {
        return Err(StatementError::Subjects);
    }
    Ok(plan)
}

json::decode_struct!(Subject { name: "name", digest: "digest" });
json::decode_struct!(SubjectDigest { sha256: "sha256" });
json::decode_struct!(Read {
    type_: "_type",
    subject: "subject",
    predicate_type: "predicateType",
    predicate: "predicate",
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::sample;

    #[test]
    fn a_statement_carries_its_plan() {
        let plan = sample(b"object");
        assert_eq!(decode(&encode(&plan)).unwrap(), plan);
    }

    #[test]
    fn other_statements_are_refused() {
        let text = String::from_utf8(encode(&sample(b"object"))).unwrap();
        let digest = Sha256Digest::of(b"object").to_string();
        let other = Sha256Digest::of(b"other").to_string();
        for (name, from, to) in [
            ("other type", "in-toto.io/Statement/v1", "in-toto.io/Statement/v2"),
            ("other predicate", "node-plan/v1", "node-plan/v9"),
            ("subject of another object", &*format!("objects/{digest}.o"), &*format!("objects/{other}.o")),
            ("no subject", &*format!(r#"[{{"name":"objects/{digest}.o","digest":{{"sha256":"{digest}"}}}}]"#), "[]"),
            ("field more", "{\"_type\"", "{\"x\":1,\"_type\""),
        ] {
            assert!(text.contains(from), "case {name} changes nothing");
            assert!(decode(text.replacen(from, to, 1).as_bytes()).is_err(), "case: {name}");
        }
    }
}
