//! The node plan: what one stream wants of one node. Signed, shipped, read and obeyed.
//!
//! A plan is read by [`NodePlan::parse`] only, which also checks what serde cannot: [`PlanError`] lists it.
//! `planVersion` is MAJOR.MINOR. The compiler writes the lowest version that expresses a manifest; a loader reads its
//! own major up to its own minor.

use crate::sorted::{SortedMap, SortedSet};
use std::fmt;

use serde::Serialize;

use crate::{
    applies::AppliesTo,
    digest::Sha256Digest,
    entry::MapEntry,
    json::{self, Decode, JsonError},
    limits,
    name::{Audience, CounterName, IfGlob, MapName, OwnerName, PoolName, ProgramName, StreamName},
    priority::Priority,
    time::Timestamp,
    xdp::{ProceedOn, XdpMode},
};

/// Version of a format, written `MAJOR.MINOR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct FormatVersion {
    /// Readers refuse another one.
    pub major: u16,
    /// Readers refuse a higher one.
    pub minor: u16,
}

/// Text that is not a format version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a format version must look like 1.0, not `{0}`")]
pub struct FormatVersionError(String);

impl FormatVersion {
    /// Whether a reader of `self` reads `other`.
    pub fn reads(self, other: Self) -> bool {
        self.major == other.major && other.minor <= self.minor
    }
}

impl TryFrom<&str> for FormatVersion {
    type Error = FormatVersionError;

    fn try_from(text: &str) -> Result<Self, FormatVersionError> {
        let parsed = text
            .split_once('.')
            .and_then(|(major, minor)| Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? }));
        // Back to text: `01.0` and `+1.0` are other spellings of the same numbers.
        match parsed {
            Some(version) if version.to_string() == text => Ok(version),
            _ => Err(FormatVersionError(text.to_owned())),
        }
    }
}

impl From<FormatVersion> for String {
    fn from(version: FormatVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for FormatVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The plan version that this build writes and reads.
pub const PLAN_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// Number of a stream's state; rises by review. From 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "u32")]
pub struct Revision(u32);

/// A number that is not a revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a revision must be from 1 to {max}, not {0}", max = u32::MAX)]
pub struct RevisionError(i64);

impl Revision {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<i64> for Revision {
    type Error = RevisionError;

    fn try_from(number: i64) -> Result<Self, RevisionError> {
        match u32::try_from(number) {
            Ok(revision) if revision > 0 => Ok(Self(revision)),
            _ => Err(RevisionError(number)),
        }
    }
}

impl From<Revision> for u32 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a stream exists; decides what must be said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Works around a bug until a fix ships; needs a reference.
    BugPatch,
    /// Part of the platform.
    Feature,
    /// Watches only.
    Observability,
    /// Enforces; is never detached because time passed.
    Security,
}

/// What happens to running programs when their stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// Detach them.
    Detach,
    /// Leave them attached until the next boot.
    Keep,
}

/// A stream's plan for one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePlan {
    /// Version of this structure.
    pub plan_version: FormatVersion,
    /// Stream name; also the bundle's file name.
    pub stream: StreamName,
    /// Whose keys must have signed.
    pub owner: OwnerName,
    /// Rises with every change.
    pub revision: Revision,
    /// Why the stream exists.
    pub intent: Intent,
    /// Ticket of the bug; required for [`Intent::BugPatch`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Pools that may carry the stream. Not empty, sorted.
    pub pools: Vec<PoolName>,
    /// Meets one of the node's audiences, or is empty where the node has none. Sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<Audience>,
    /// Kernels and architectures.
    pub applies_to: AppliesTo,
    /// After this moment the stream ends by `on_expiry`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// At expiry.
    pub on_expiry: Ending,
    /// When the bundle is gone from the node.
    pub on_removal: Ending,
    /// Programs, sorted by name. Not empty.
    pub programs: Vec<Program>,
    /// Maps of the programs' objects that the manifest says something about.
    #[serde(skip_serializing_if = "SortedMap::is_empty")]
    pub maps: SortedMap<MapName, Map>,
}

/// One program and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// Its C function.
    pub name: ProgramName,
    /// The object that holds it.
    pub object: ObjectRef,
    /// Where it is attached. Not empty.
    pub attach: Vec<Attachment>,
}

/// An object in the bundle and the file it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Digest of the bytes in the bundle.
    pub sha256: Sha256Digest,
    /// Digest of the file that the compiler read; differs where the compiler lowered it.
    pub source_sha256: Sha256Digest,
}

/// One place in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Attachment {
    /// On interfaces, through a libxdp dispatcher.
    Xdp(XdpAttachment),
}

/// An XDP program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct XdpAttachment {
    /// Every interface that any of them selects. Not empty.
    pub interfaces: Vec<Selector>,
    /// Native or skb.
    pub mode: XdpMode,
    /// Place in the chain.
    pub priority: Priority,
    /// Verdicts after which the chain goes on.
    pub proceed_on: ProceedOn,
}

/// Selects interfaces of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Selector {
    /// By name, with `*` and `?`.
    Name(IfGlob),
}

/// What the manifest says about a map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Entries of a config map, sorted by key, keys unique: new with every bundle, frozen before programs run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<MapEntry>,
    /// Shown by `status` under this name: the first value, per-CPU values summed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterName>,
}

impl Map {
    /// Whether the manifest gives its content; such a map is frozen.
    pub fn is_config(&self) -> bool {
        !self.entries.is_empty()
    }
}

/// Why bytes are not a plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not the shape of a plan.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// Made for a newer loader.
    #[error("planVersion is {found}; this build reads {PLAN_VERSION} and older minors of {}", PLAN_VERSION.major)]
    Version {
        /// Version found.
        found: FormatVersion,
    },
    /// A list that must not be empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A list in which something stands twice or out of order.
    #[error("`{0}` is not sorted, or names something twice")]
    NotSorted(&'static str),
    /// More than allowed.
    #[error("`{what}` has {count} items; {max} are allowed")]
    TooMany {
        /// Field.
        what: &'static str,
        /// Found.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// A bug patch must say which bug.
    #[error("intent bug-patch has no `reference`")]
    NoReference,
    /// Security streams do not end because a clock says so.
    #[error("intent security cannot have `onExpiry: detach`")]
    SecurityExpires,
    /// The same program twice at one priority in one hook.
    #[error("program `{0}` names a selector twice")]
    SelectorTwice(ProgramName),
}

fn strictly_sorted<T: Ord>(what: &'static str, items: &[T]) -> Result<(), PlanError> {
    if items.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(PlanError::NotSorted(what)) }
}

impl NodePlan {
    /// Reads a plan. The version is looked at first, so that a newer plan is called newer and not malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlanError> {
        Self::from_value(json::parse_value(bytes, limits::STATEMENT_MAX_BYTES)?)
    }

    /// Reads a plan that was parsed as part of something larger.
    pub fn from_value(value: json::Value) -> Result<Self, PlanError> {
        let version = value.get("planVersion").cloned();
        let found = FormatVersion::decode(version.ok_or_else(|| JsonError::Shape("no `planVersion`".to_owned()))?)?;
        if !PLAN_VERSION.reads(found) {
            return Err(PlanError::Version { found });
        }
        let plan = <Self as Decode>::decode(value)?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks what the types cannot say. The compiler calls it on what it made, the loader on what it read.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.pools.is_empty() {
            return Err(PlanError::Empty("pools"));
        }
        strictly_sorted("pools", &self.pools)?;
        strictly_sorted("audience", &self.audience)?;
        strictly_sorted("architectures", &self.applies_to.architectures)?;
        if self.intent == Intent::BugPatch && self.reference.is_none() {
            return Err(PlanError::NoReference);
        }
        if self.intent == Intent::Security && self.expires.is_some() && self.on_expiry == Ending::Detach {
            return Err(PlanError::SecurityExpires);
        }
        self.check_programs()?;
        for map in self.maps.values() {
            too_many("entries", map.entries.len(), limits::MAP_MAX_ENTRIES)?;
            let keys: Vec<_> = map.entries.iter().map(|entry| &entry.key).collect();
            strictly_sorted("entries", &keys)?;
        }
        Ok(())
    }

    fn check_programs(&self) -> Result<(), PlanError> {
        if self.programs.is_empty() {
            return Err(PlanError::Empty("programs"));
        }
        too_many("programs", self.programs.len(), limits::PLAN_MAX_PROGRAMS)?;
        let names: Vec<_> = self.programs.iter().map(|program| &program.name).collect();
        strictly_sorted("programs", &names)?;
        for program in &self.programs {
            if program.attach.is_empty() {
                return Err(PlanError::Empty("attach"));
            }
            let mut seen = Vec::new();
            for Attachment::Xdp(xdp) in &program.attach {
                if xdp.interfaces.is_empty() {
                    return Err(PlanError::Empty("interfaces"));
                }
                for selector in &xdp.interfaces {
                    // One program runs once per interface: it cannot hold two places in one chain.
                    if seen.contains(&selector) {
                        return Err(PlanError::SelectorTwice(program.name.clone()));
                    }
                    seen.push(selector);
                }
            }
        }
        Ok(())
    }

    /// Digests of the objects that the programs need.
    pub fn objects(&self) -> SortedSet<Sha256Digest> {
        self.programs.iter().map(|program| program.object.sha256).collect()
    }
}

fn too_many(what: &'static str, count: usize, max: usize) -> Result<(), PlanError> {
    if count > max { Err(PlanError::TooMany { what, count, max }) } else { Ok(()) }
}

json::decode_text!(FormatVersion);
json::decode_number!(Revision);
json::decode_words!(Intent {
    "bug-patch": BugPatch,
    "feature": Feature,
    "observability": Observability,
    "security": Security,
});
json::decode_words!(Ending { "detach": Detach, "keep": Keep });
json::decode_struct!(NodePlan {
    plan_version: "planVersion",
    stream: "stream",
    owner: "owner",
    revision: "revision",
    intent: "intent",
    reference: "reference",
    pools: "pools",
    audience: "audience",
    applies_to: "appliesTo",
    expires: "expires",
    on_expiry: "onExpiry",
    on_removal: "onRemoval",
    programs: "programs",
    maps: "maps",
});
json::decode_struct!(Program { name: "name", object: "object", attach: "attach" });
json::decode_struct!(ObjectRef { sha256: "sha256", source_sha256: "sourceSha256" });
json::decode_struct!(XdpAttachment {
    interfaces: "interfaces",
    mode: "mode",
    priority: "priority",
    proceed_on: "proceedOn",
});
json::decode_struct!(Map { entries: "entries", counter: "counter" });

impl json::Decode for Attachment {
    fn decode(value: json::Value) -> Result<Self, json::JsonError> {
        match value.into_variant()? {
            (hook, content) if hook == "xdp" => XdpAttachment::decode(content).map(Self::Xdp),
            (hook, _) => Err(json::JsonError::Shape(format!("unknown hook `{hook}`"))),
        }
    }
}

impl json::Decode for Selector {
    fn decode(value: json::Value) -> Result<Self, json::JsonError> {
        match value.into_variant()? {
            (kind, content) if kind == "name" => IfGlob::decode(content).map(Self::Name),
            (kind, _) => Err(json::JsonError::Shape(format!("unknown selector `{kind}`"))),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan with one program, as the compiler writes it.
    pub(crate) fn sample(object: &[u8]) -> NodePlan {
        let sha256 = Sha256Digest::of(object);
        let text = format!(
            r#"{{"planVersion":"1.0","stream":"netops-x","owner":"netops","revision":3,"intent":"bug-patch",
            "reference":"OCPBUGS-1","pools":["worker"],"appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach",
            "programs":[{{"name":"p","object":{{"sha256":"{sha256}","sourceSha256":"{sha256}"}},
            "attach":[{{"xdp":{{"interfaces":[{{"name":"eth*"}}],"mode":"native","priority":510,
            "proceedOn":["pass"]}}}}]}}],"maps":{{"m":{{"entries":[{{"key":"01","value":"02"}}]}}}}}}"#
        );
        NodePlan::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_plan_survives_its_own_encoding() {
        let plan = sample(b"object");
        let bytes = json::to_bytes(&plan);
        assert_eq!(NodePlan::parse(&bytes).unwrap(), plan);
        assert_eq!(json::to_bytes(&NodePlan::parse(&bytes).unwrap()), bytes);
    }

    #[test]
    fn a_newer_plan_is_called_newer_whatever_else_it_has() {
        for version in ["1.1", "2.0", "0.9"] {
            let text = format!(r#"{{"planVersion":"{version}","whatever":1}}"#);
            assert!(matches!(NodePlan::parse(text.as_bytes()), Err(PlanError::Version { .. })), "case: {version}");
        }
        for bad in ["1", "01.0", "1.0.0", "+1.0", ""] {
            let text = format!(r#"{{"planVersion":"{bad}"}}"#);
            assert!(matches!(NodePlan::parse(text.as_bytes()), Err(PlanError::Json(_))), "case: {bad}");
        }
    }

    #[test]
    fn what_serde_cannot_refuse() {
        type Change = fn(&mut NodePlan);
        let cases: [(&str, Change, PlanError); 8] = [
            ("no pool", |p| p.pools.clear(), PlanError::Empty("pools")),
            ("pool twice", |p| p.pools.push(p.pools[0].clone()), PlanError::NotSorted("pools")),
            ("no program", |p| p.programs.clear(), PlanError::Empty("programs")),
            ("program twice", |p| p.programs.push(p.programs[0].clone()), PlanError::NotSorted("programs")),
            ("no attachment", |p| p.programs[0].attach.clear(), PlanError::Empty("attach")),
            ("no reference", |p| p.reference = None, PlanError::NoReference),
            (
                "security that expires",
                |p| {
                    p.intent = Intent::Security;
                    p.expires = Some(Timestamp::from_unix_seconds(1));
                },
                PlanError::SecurityExpires,
            ),
            (
                "key twice",
                |p| {
                    let entries = &mut p.maps.values_mut().next().unwrap().entries;
                    entries.push(entries[0].clone());
                },
                PlanError::NotSorted("entries"),
            ),
        ];
        for (name, change, want) in cases {
            let mut plan = sample(b"object");
            change(&mut plan);
            assert_eq!(plan.check(), Err(want), "case: {name}");
        }
    }
}
