//! What a node remembers over reboots: `/var/lib/nodebpf/memory.json`.
//!
//! In: bytes of a file of the loader's own. Out: [`Memory`], asked about each plan. Fails with [`MemoryError`].
//!
//! Pure. When something is learned, and how the file is kept: the loader.

use serde::Serialize;

use crate::{
    json::{self, Decode, JsonError},
    name::{OwnerName, StreamName},
    plan::{FormatVersion, NodePlan, Revision},
    report::{Code, Reason},
    sorted::{SortedMap, SortedSet},
    time::Timestamp,
};

/// Version of [`Memory`] that this build writes.
pub const MEMORY_VERSION: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// Largest memory, in bytes: some thousand streams. Ours.
pub const MEMORY_MAX_BYTES: usize = 1024 * 1024;

/// A time that was certain at some moment of some boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// The time.
    pub time: Timestamp,
    /// The boot, by the kernel's `boot_id`.
    pub boot: String,
    /// Seconds since that boot.
    pub uptime: u64,
}

/// What a node remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    #[serde(rename = "memoryVersion")]
    version: FormatVersion,
    /// Lowest revision that may still run, by stream.
    pub floors: SortedMap<StreamName, Revision>,
    /// Whose a stream is.
    pub owners: SortedMap<StreamName, OwnerName>,
    /// The latest time that was certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Mark>,
}

/// Why bytes are no memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Not the shape of one.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A newer loader's.
    #[error("memoryVersion is {0}; this loader reads {MEMORY_VERSION}")]
    Newer(FormatVersion),
}

impl Default for Memory {
    fn default() -> Self {
        let (floors, owners) = (SortedMap::new(), SortedMap::new());
        Self { version: MEMORY_VERSION, floors, owners, clock: None }
    }
}

impl Memory {
    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, MemoryError> {
        let value = json::parse_value(bytes, MEMORY_MAX_BYTES)?;
        // First of all, because a newer one may have other fields.
        let version = value.get("memoryVersion").cloned();
        let version = FormatVersion::decode(version.ok_or_else(|| JsonError::Shape("no `memoryVersion`".to_owned()))?)?;
        if !MEMORY_VERSION.reads(version) {
            return Err(MemoryError::Newer(version));
        }
        Ok(Self::decode(value)?)
    }

    /// Why `plan` may not run here, whatever the trust file says.
    pub fn refuses(&self, plan: &NodePlan) -> Option<Reason> {
        if let Some(owner) = self.owners.get(&plan.stream).filter(|owner| **owner != plan.owner) {
            let message = format!(
                "stream `{}` is owner `{owner}`'s on this node, and this bundle is `{}`'s; if it is to change hands, \
                 take the bundle away and let the nodes run without it once",
                plan.stream, plan.owner
            );
            return Some(Reason { code: Code::Takeover, message });
        }
        let floor = self.floors.get(&plan.stream).filter(|floor| plan.revision < **floor)?;
        let message = format!(
            "revision {} is below the floor {floor}, which a revision that ran here has set (`rollbackFloor`)",
            plan.revision
        );
        Some(Reason { code: Code::BelowFloor, message })
    }

    /// Learns a floor; floors only rise.
    pub fn raise(&mut self, stream: &StreamName, floor: Revision) {
        if self.floors.get(stream).is_none_or(|known| *known < floor) {
            self.floors.insert(stream.clone(), floor);
        }
    }

    /// Learns whose a stream is, unless that is known.
    pub fn own(&mut self, stream: &StreamName, owner: &OwnerName) {
        if !self.owners.contains_key(stream) {
            self.owners.insert(stream.clone(), owner.clone());
        }
    }

    /// Forgets owners of streams that are not `there`. Floors stay: a replay would begin with a removal.
    pub fn forget_owners(&mut self, there: &SortedSet<StreamName>) {
        let gone: Vec<StreamName> = self.owners.keys().filter(|stream| !there.contains(stream)).cloned().collect();
        for stream in gone {
            self.owners.remove(&stream);
        }
    }
}

json::decode_struct!(Mark { time: "time", boot: "boot", uptime: "uptime" });
json::decode_struct!(Memory { version: "memoryVersion", floors: "floors", owners: "owners", clock: "clock" });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::sample;

    fn known(owner: &str, floor: i64) -> Memory {
        let mut memory = Memory::default();
        let plan = sample(b"object");
        memory.own(&plan.stream, &owner.try_into().unwrap());
        memory.raise(&plan.stream, floor.try_into().unwrap());
        memory
    }

    #[test]
    fn a_memory_survives_its_own_encoding() {
        let mut memory = known("netops", 3);
        let time = Timestamp::from_unix_seconds(1_800_000_000);
        memory.clock = Some(Mark { time, boot: "b".to_owned(), uptime: 7 });
        assert_eq!(Memory::parse(&json::to_bytes(&memory)), Ok(memory));
        assert_eq!(Memory::parse(&json::to_bytes(&Memory::default())), Ok(Memory::default()));
    }

    /// Loaders of all releases read it, and one that does not accepts no bundle: what is new goes into a file of its own.
    #[test]
    fn version_1_0_never_changes() {
        let text = concat!(
            r#"{"memoryVersion":"1.0","floors":{"netops-x":3},"owners":{"netops-x":"netops"},"#,
            r#""clock":{"time":"2027-01-15T08:00:00Z","boot":"b","uptime":7}}"#
        );
        let memory = Memory::parse(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(json::to_bytes(&memory)).unwrap().trim_end(), text);
    }

    #[test]
    fn what_is_no_memory() {
        for (name, text) in [
            ("torn", r#"{"memoryVersion":"1.0","floors":{"netops-x":"#),
            ("nothing", ""),
            ("zeros", "\0\0\0\0"),
            ("no version", r#"{"floors":{}}"#),
            ("a field more", r#"{"memoryVersion":"1.0","floors":{},"owners":{},"x":1}"#),
            ("a floor of nothing", r#"{"memoryVersion":"1.0","floors":{"netops-x":0},"owners":{}}"#),
            ("a stream twice", r#"{"memoryVersion":"1.0","floors":{"a":1,"a":2},"owners":{}}"#),
        ] {
            assert!(matches!(Memory::parse(text.as_bytes()), Err(MemoryError::Json(_))), "case: {name}");
        }
        for version in ["1.1", "2.0"] {
            let text = format!(r#"{{"memoryVersion":"{version}","unknown":1}}"#);
            assert!(matches!(Memory::parse(text.as_bytes()), Err(MemoryError::Newer(_))), "case: {version}");
        }
    }

    #[test]
    fn floors_only_rise_and_outlive_owners() {
        let mut plan = sample(b"object");
        let mut memory = known("netops", 3);
        memory.raise(&plan.stream, 2i64.try_into().unwrap());
        plan.revision = 2i64.try_into().unwrap();
        assert_eq!(memory.refuses(&plan).map(|reason| reason.code), Some(Code::BelowFloor));
        plan.revision = 3i64.try_into().unwrap();
        assert_eq!(memory.refuses(&plan), None);
        let mut higher = memory.clone();
        higher.raise(&plan.stream, 4i64.try_into().unwrap());
        assert_eq!(higher.refuses(&plan).map(|reason| reason.code), Some(Code::BelowFloor));
        memory.forget_owners(&[plan.stream.clone()].into());
        plan.owner = "security".try_into().unwrap();
        let refused = memory.refuses(&plan).unwrap();
        assert_eq!(refused.code, Code::Takeover, "{}", refused.message);
        assert!(refused.message.contains("netops") && refused.message.contains("security"), "{}", refused.message);
        memory.own(&plan.stream, &plan.owner);
        assert!(memory.refuses(&plan).is_some(), "an owner is known until it is forgotten");
        memory.forget_owners(&SortedSet::new());
        assert_eq!(memory.refuses(&plan), None);
        plan.revision = 2i64.try_into().unwrap();
        assert_eq!(memory.refuses(&plan).map(|reason| reason.code), Some(Code::BelowFloor));
    }
}
