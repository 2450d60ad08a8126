//! The node plan: what one stream wants of one node. Signed, shipped, read and obeyed.
//!
//! A plan is read by [`NodePlan::parse`] only, which also checks what serde cannot: [`PlanError`] lists it.
//! `planVersion` is MAJOR.MINOR. The compiler writes the lowest version that expresses a manifest; a loader reads its
//! own major up to its own minor.

mod check;

pub use check::PlanError;

use crate::sorted::{SortedMap, SortedSet};
use std::fmt;

use serde::Serialize;

use crate::{
    applies::{AppliesTo, Architecture},
    digest::Sha256Digest,
    entry::{HexBytes, MapEntry},
    hook::Attachment,
    json::{self, Decode, JsonError, Problem},
    limits,
    name::{Audience, CounterName, GlobalName, MapName, OwnerName, PoolName, ProgramName, StreamName},
    selector::Target,
    time::Timestamp,
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

/// The highest plan version that this build writes and reads.
pub const PLAN_VERSION: FormatVersion = FormatVersion { major: 1, minor: 1 };

/// XDP on interfaces by name, config maps and counters; [`NodePlan::lowest_version`] tells who needs more.
const PLAN_VERSION_1_0: FormatVersion = FormatVersion { major: 1, minor: 0 };

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

/// When in the boot of a node a stream is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Before the network: only interfaces by name, driver and MAC address can be told apart then.
    Early,
    /// After the network, before kubelet.
    #[default]
    Normal,
}

/// What a failure of a stream means for the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FailurePolicy {
    /// The node boots all the same.
    #[default]
    Open,
    /// Kubelet waits for the stream, as long as the trust file says.
    Closed,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// Nodes that ran this plan refuse revisions below this one from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_floor: Option<Revision>,
    /// What a failure means for the node.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_policy: FailurePolicy,
    /// When in the boot.
    #[serde(skip_serializing_if = "is_default")]
    pub stage: Stage,
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
    pub object: Objects,
    /// Values of global variables, in the byte order of the target.
    #[serde(skip_serializing_if = "SortedMap::is_empty")]
    pub globals: SortedMap<GlobalName, HexBytes>,
    /// Where it is attached. Empty only for a program that a tail call reaches.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attach: Vec<Attachment>,
}

/// The object of a program: one for every node, or one per architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Objects {
    /// For every architecture.
    One(ObjectRef),
    /// For the architectures named. Not empty.
    PerArchitecture(SortedMap<Architecture, ObjectRef>),
}

impl Objects {
    /// The object for a node of `architecture`.
    pub fn get(&self, architecture: Architecture) -> Option<&ObjectRef> {
        match self {
            Self::One(object) => Some(object),
            Self::PerArchitecture(objects) => objects.get(&architecture),
        }
    }

    /// All objects, for every architecture.
    pub fn all(&self) -> Vec<&ObjectRef> {
        match self {
            Self::One(object) => vec![object],
            Self::PerArchitecture(objects) => objects.values().collect(),
        }
    }
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

/// What the manifest says about a map. A map is *config* (it has entries or slots: new with every bundle, frozen),
/// *state* (`persist`: kept while its shape is equal) or *scratch* (new with every bundle).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Entries of a config map, sorted by key, keys unique: new with every bundle, frozen before programs run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<MapEntry>,
    /// Programs that tail calls reach, of a `prog_array`, sorted by index, indices unique.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<Slot>,
    /// Survives updates while its type, sizes, flags and BTF are equal.
    #[serde(skip_serializing_if = "is_default")]
    pub persist: bool,
    /// Size instead of the object's, in entries, or bytes for a ring buffer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u32>,
    /// Shown by `status` under this name: the first value, per-CPU values summed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterName>,
    /// Who reads a ring buffer, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
}

/// A place in a `prog_array`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Index in the map.
    pub index: u32,
    /// Program of the same stream.
    pub program: ProgramName,
}

impl Map {
    /// Whether the manifest gives its content; such a map is frozen.
    pub fn is_config(&self) -> bool {
        !self.entries.is_empty()
    }
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

    /// The lowest version that has everything this plan says: the compiler writes it, so that old loaders read what
    /// they can.
    pub fn lowest_version(&self) -> FormatVersion {
        let old = |attachment: &Attachment| {
            matches!(attachment, Attachment::Xdp(xdp) if !xdp.frags)
                && attachment
                    .interfaces()
                    .iter()
                    .all(|selector| matches!(selector.target, Target::Name(_)) && selector.exclude.is_empty())
        };
        let program = |program: &Program| {
            matches!(program.object, Objects::One(_))
                && program.globals.is_empty()
                && !program.attach.is_empty()
                && program.attach.iter().all(old)
        };
        let map =
            |map: &Map| map.slots.is_empty() && !map.persist && map.max_entries.is_none() && map.consumer.is_none();
        let plan = self.applies_to.ocp.is_none()
            && self.rollback_floor.is_none()
            && self.failure_policy == FailurePolicy::Open
            && self.stage == Stage::Normal;
        let first = plan && self.programs.iter().all(program) && self.maps.values().all(map);
        if first { PLAN_VERSION_1_0 } else { PLAN_VERSION }
    }

    /// Attachments of all programs.
    pub fn attachments(&self) -> Vec<&Attachment> {
        let mut all = Vec::new();
        for program in &self.programs {
            all.extend(&program.attach);
        }
        all
    }

    /// Digests of the objects that the programs need.
    pub fn objects(&self) -> SortedSet<Sha256Digest> {
        let mut all = SortedSet::new();
        for program in &self.programs {
            for object in program.object.all() {
                all.insert(object.sha256);
            }
        }
        all
    }
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
    rollback_floor: "rollbackFloor",
    failure_policy: "failurePolicy",
    stage: "stage",
    programs: "programs",
    maps: "maps",
});
json::decode_struct!(Program { name: "name", object: "object", globals: "globals", attach: "attach" });
json::decode_struct!(ObjectRef { sha256: "sha256", source_sha256: "sourceSha256" });
json::decode_struct!(Slot { index: "index", program: "program" });
json::decode_struct!(Map {
    entries: "entries",
    slots: "slots",
    persist: "persist",
    max_entries: "maxEntries",
    counter: "counter",
    consumer: "consumer",
});

/// The only word of a field whose default is written by leaving the field out.
fn read_word<T>(value: &json::Value, problem: &mut Problem, word: &str, meaning: T) -> Option<T> {
    problem.word(value, &[word]).map(|_| meaning)
}

impl Decode for FailurePolicy {
    fn read(value: &json::Value, problem: &mut Problem) -> Option<Self> {
        read_word(value, problem, "closed", Self::Closed)
    }

    fn absent() -> Option<Self> {
        Some(Self::Open)
    }
}

impl Decode for Stage {
    fn read(value: &json::Value, problem: &mut Problem) -> Option<Self> {
        read_word(value, problem, "early", Self::Early)
    }

    fn absent() -> Option<Self> {
        Some(Self::Normal)
    }
}

impl Decode for Objects {
    fn read(value: &json::Value, problem: &mut Problem) -> Option<Self> {
        if value.get("sha256").is_some() {
            return ObjectRef::read(value, problem).map(Self::One);
        }
        SortedMap::read(value, problem).map(Self::PerArchitecture)
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
        for version in ["1.2", "2.0", "0.9"] {
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
        let cases: [(&str, Change, PlanError); 13] = [
            ("no pool", |p| p.pools.clear(), PlanError::Empty("pools")),
            ("pool twice", |p| p.pools.push(p.pools[0].clone()), PlanError::NotSorted("pools")),
            ("no program", |p| p.programs.clear(), PlanError::Empty("programs")),
            ("program twice", |p| p.programs.push(p.programs[0].clone()), PlanError::NotSorted("programs")),
            (
                "no attachment",
                |p| p.programs[0].attach.clear(),
                PlanError::Unreached(ProgramName::try_from("p").unwrap()),
            ),
            (
                "more than its version has",
                |p| p.stage = Stage::Early,
                PlanError::VersionTooLow { found: PLAN_VERSION_1_0, needed: PLAN_VERSION },
            ),
            (
                "fragments before they had a word",
                |p| {
                    let Attachment::Xdp(xdp) = &mut p.programs[0].attach[0] else { unreachable!() };
                    xdp.frags = true;
                },
                PlanError::VersionTooLow { found: PLAN_VERSION_1_0, needed: PLAN_VERSION },
            ),
            (
                "state with entries",
                |p| p.maps.values_mut().next().unwrap().persist = true,
                PlanError::TwoKinds(MapName::try_from("m").unwrap()),
            ),
            (
                "a slot for nobody",
                |p| {
                    let map = p.maps.values_mut().next().unwrap();
                    map.entries.clear();
                    map.slots.push(Slot { index: 0, program: ProgramName::try_from("q").unwrap() });
                },
                PlanError::NoSuchProgram(ProgramName::try_from("q").unwrap()),
            ),
            (
                "attached twice",
                |p| {
                    let again = p.programs[0].attach[0].clone();
                    p.programs[0].attach.push(again);
                },
                PlanError::PlaceTwice(ProgramName::try_from("p").unwrap()),
            ),
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
