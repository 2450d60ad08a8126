//! What a bundle holds, without believing it.

use nodeplan::{
    bundle::Unverified,
    digest::Sha256Digest,
    hook::Attachment,
    plan::{Map as PlanMap, NodePlan, Objects, Program as PlanProgram},
    priority::Priority,
    statement,
};
use serde::Serialize;

use super::object::{self, Object};
use crate::relocate::Kernel;

/// A bundle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// Stream.
    pub stream: String,
    /// Whose keys must have signed.
    pub owner: String,
    /// Revision.
    pub revision: u32,
    /// Whether it works around a bug, and so on.
    pub intent: String,
    /// Ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Pools that may carry it.
    pub pools: Vec<String>,
    /// Whose nodes take it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// When it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Digest of the statement: the identity of what runs.
    pub statement: String,
    /// Size of the bundle.
    pub bytes: usize,
    /// Keys whose signatures it carries; not checked.
    pub signatures: Vec<String>,
    /// Programs, by name.
    pub programs: Vec<Program>,
    /// Maps that the plan says something about, by name.
    pub maps: Vec<Map>,
    /// Objects, by digest.
    pub objects: Vec<Object>,
}

/// A program of a bundle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// C function.
    pub name: String,
    /// Its objects; one for all architectures, or one for each.
    pub objects: Vec<Reference>,
    /// Where it is attached.
    pub places: Vec<Place>,
}

/// An object that a program refers to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Architecture; absent if it serves all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<&'static str>,
    /// Digest of the object in the bundle.
    pub sha256: String,
    /// Digest of the file it was made from.
    pub source_sha256: String,
}

/// A place in the kernel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Hook and what it is attached to there.
    pub place: String,
    /// Interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Place in the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u16>,
}

/// A map of a bundle.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// C variable.
    pub name: String,
    /// `config`, `state` or `scratch`.
    pub kind: &'static str,
    /// Entries that the plan gives it.
    pub entries: usize,
    /// Programs in its slots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
    /// Name under which its first value is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
}

/// Looks at a bundle; fails in words for what is none.
pub fn inspect(bytes: &[u8], cpus: u32, kernels: &[Kernel<'_>]) -> Result<Bundle, String> {
    let unverified = Unverified::decode(bytes).map_err(|refusal| refusal.to_string())?;
    let parts = unverified.parts();
    let plan = statement::decode(&parts.statement).map_err(|error| error.to_string())?;
    let objects = parts.objects.values().map(|object| object::inspect(object, cpus, kernels));
    let objects = objects.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let signatures = parts.signatures.keys().map(ToString::to_string).collect();
    Ok(describe(&plan, Sha256Digest::of(&parts.statement), bytes.len(), signatures, objects))
}

fn describe(
    plan: &NodePlan,
    statement: Sha256Digest,
    bytes: usize,
    signatures: Vec<String>,
    objects: Vec<Object>,
) -> Bundle {
    let word = serde_json::to_value(plan.intent).ok();
    Bundle {
        stream: plan.stream.to_string(),
        owner: plan.owner.to_string(),
        revision: plan.revision.get(),
        intent: word.as_ref().and_then(|word| word.as_str()).unwrap_or_default().to_owned(),
        reference: plan.reference.clone(),
        pools: plan.pools.iter().map(ToString::to_string).collect(),
        audience: plan.audience.iter().map(ToString::to_string).collect(),
        expires: plan.expires.map(|time| time.to_string()),
        statement: statement.to_string(),
        bytes,
        signatures,
        programs: plan.programs.iter().map(program).collect(),
        maps: plan.maps.iter().map(|(name, map)| describe_map(name.to_string(), map)).collect(),
        objects,
    }
}

fn program(program: &PlanProgram) -> Program {
    let reference = |architecture, object: &nodeplan::plan::ObjectRef| Reference {
        architecture,
        sha256: object.sha256.to_string(),
        source_sha256: object.source_sha256.to_string(),
    };
    let objects = match &program.object {
        Objects::One(object) => vec![reference(None, object)],
        Objects::PerArchitecture(objects) => {
            objects.iter().map(|(architecture, object)| reference(Some(architecture.as_str()), object)).collect()
        }
    };
    Program { name: program.name.to_string(), objects, places: program.attach.iter().map(place).collect() }
}

fn place(attachment: &Attachment) -> Place {
    Place {
        place: attachment.place(),
        interfaces: attachment.interfaces().iter().map(ToString::to_string).collect(),
        priority: attachment.priority().map(Priority::get),
    }
}

fn describe_map(name: String, map: &PlanMap) -> Map {
    let kind = if map.is_config() || !map.slots.is_empty() {
        "config"
    } else if map.persist {
        "state"
    } else {
        "scratch"
    };
    Map {
        name,
        kind,
        entries: map.entries.len(),
        slots: map.slots.iter().map(|slot| format!("{} = {}", slot.index, slot.program)).collect(),
        counter: map.counter.as_ref().map(ToString::to_string),
    }
}
