//! Memory: what a node remembers of streams and of the time, over reboots.
//!
//! In: `/var/lib/nodebpf/memory.json`, `accepted.json`, and at the end of a run what became of the streams. Out: [`Kept`].
//! A file whose bytes are damaged, and a `memory.json` that is gone from beside the others, is reported and begun anew. So
//! is an `accepted.json` that cannot be read. A `memory.json` of a newer loader, or that cannot be read, is reported and
//! left alone, and no bundle is accepted without it.
//!
//! **Floors**: the highest `rollbackFloor` of what was completely attached here. Learned only when the attachment is
//! there to stay: in a run about all streams in which nothing failed, after which nobody takes files back. A run that a
//! timer or path unit starts is none: it may come in the middle of an update. The boot and the update itself are. Never
//! forgotten, not even with the stream: a replay would begin with a removal.
//! **Accepted**: of each stream the statement that was last believed here, whatever became of it then. By it a bundle that
//! the trust file has come to forbid is told from one that was brought although it is forbidden: docs/adr/0018. Forgotten
//! as owners are. A file of its own, because nothing is refused for want of it: a former loader does not know it, and must
//! go on without it.
//! **Owners**: of every stream name. Forgotten when a run finds neither a bundle of the stream nor anything of it that
//! runs, so that a stream can change hands in two steps that are seen, and not in one that is not. What runs says whose it
//! is by its record, also beside a memory that is lost.

use nodeplan::{
    bundle,
    digest::Sha256Digest,
    json,
    memory::{MEMORY_MAX_BYTES, Memory, MemoryError},
    name::StreamName,
    plan::NodePlan,
    report::{Code, Reason, Report, StreamState},
    sorted::{SortedMap, SortedSet},
    trust::TrustDocument,
};

use crate::{
    clock::Reading,
    paths::Paths,
    read::{self, ReadError},
    state::Version,
    stream::{Goal, Stream},
};

/// What was read, and how it may be written.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// What the node remembers.
    pub memory: Memory,
    /// The statement of each stream that was last accepted here.
    pub accepted: SortedMap<StreamName, Sha256Digest>,
    /// What is wrong with `memory.json`.
    pub problem: Option<Reason>,
    /// What is wrong with `accepted.json`.
    pub lost: Option<Reason>,
}

/// Reads the memory.
pub fn read(paths: &Paths) -> Kept {
    let mut kept = Kept::default();
    let path = paths.memory();
    let bad = |code: Code, message: String| Some(Reason { code, message: format!("{}: {message}", path.display()) });
    match read::read(&path, MEMORY_MAX_BYTES) {
        Ok(bytes) => match Memory::parse(&bytes) {
            Ok(memory) => kept.memory = memory,
            Err(error) => {
                let newer = matches!(error, MemoryError::Newer(_));
                kept.problem = bad(if newer { Code::MemoryUnread } else { Code::MemoryDamaged }, error.to_string());
            }
        },
        // Written by the run that wrote these.
        Err(ReadError::Missing) if paths.pinned_trust().exists() || paths.accepted().exists() => {
            kept.problem = bad(Code::MemoryDamaged, "is missing".to_owned());
        }
        Err(ReadError::Missing) => {}
        Err(error) => kept.problem = bad(Code::MemoryUnread, error.to_string()),
    }
    let path = paths.accepted();
    let bad =
        |message: String| Some(Reason { code: Code::MemoryDamaged, message: format!("{}: {message}", path.display()) });
    match read::read(&path, MEMORY_MAX_BYTES) {
        Ok(bytes) => match json::parse(&bytes, MEMORY_MAX_BYTES) {
            Ok(accepted) => kept.accepted = accepted,
            Err(error) => kept.lost = bad(error.to_string()),
        },
        Err(ReadError::Missing) => {}
        Err(error) => kept.lost = bad(error.to_string()),
    }
    kept
}

/// Learns from a run, and what time it is. `undisturbed`: nothing of it failed, and it was no unit's. `all`: it saw all
/// bundles there are.
pub fn learn(
    Kept { memory, accepted, .. }: &mut Kept,
    streams: &SortedMap<StreamName, Stream>,
    report: &Report,
    undisturbed: bool,
    all: bool,
) {
    let mut there = SortedSet::new();
    for one in &report.streams {
        let Some(stream) = streams.get(&one.stream) else { continue };
        if one.state == StreamState::Removed && matches!(stream.goal, Goal::End) {
            continue;
        }
        there.insert(one.stream.clone());
        if let Some((_, plan)) = &stream.shown {
            memory.own(&one.stream, &plan.owner);
        }
        if let Some(statement) = stream.accepted {
            accepted.insert(one.stream.clone(), statement);
        }
        let Goal::Run(target) = &stream.goal else { continue };
        if let Some(floor) = target.plan.rollback_floor
            && one.state == StreamState::Attached
            && undisturbed
            && all
        {
            memory.raise(&one.stream, floor);
        }
    }
    if all {
        memory.forget_owners(&there);
        let gone: Vec<StreamName> = accepted.keys().filter(|stream| !there.contains(*stream)).cloned().collect();
        for stream in gone {
            accepted.remove(&stream);
        }
    }
    if let Some(mark) = Reading::take().mark(memory.clock.as_ref()) {
        memory.clock = Some(mark);
    }
}

impl Kept {
    /// What the node remembers and this loader cannot read.
    fn unread(&self) -> Option<&Reason> {
        self.problem.as_ref().filter(|problem| problem.code == Code::MemoryUnread)
    }

    /// Why `plan` may not run here: what is remembered forbids it, or nobody knows whether it does.
    pub fn refuses(&self, plan: &NodePlan) -> Option<Reason> {
        self.unread().cloned().or_else(|| self.memory.refuses(plan))
    }

    /// Why a version that runs may do so no longer: the trust file, or what is remembered, has come to forbid it.
    pub fn forbids(&self, trust: &TrustDocument, version: &Version) -> Option<Reason> {
        let plan: Option<&NodePlan> = version.plan.as_ref().map(|plan| &***plan);
        let checked = bundle::check_accepted(trust, version.committed?, plan);
        let refusal = checked.err().map(|refusal| Reason { code: refusal.code(), message: refusal.to_string() });
        refusal.or_else(|| self.memory.refuses(plan?).filter(|reason| reason.code == Code::BelowFloor))
    }

    /// Writes what the node remembers now, if that is something else. What is wrong if it cannot be written.
    pub fn keep(&self, now: &Self, paths: &Paths) -> Option<Reason> {
        let memory = || {
            // Beside a pin it is written even if there is nothing to remember: its absence has to mean something.
            let there = paths.memory().exists() || !paths.pinned_trust().exists();
            let same = self.memory == now.memory && self.problem.is_none() && there;
            if same || self.unread().is_some() {
                return None;
            }
            read::replace(&paths.memory(), &json::to_bytes(&now.memory), self.problem.is_some())
        };
        let accepted = || {
            if self.accepted == now.accepted && self.lost.is_none() {
                return None;
            }
            read::replace(&paths.accepted(), &json::to_bytes(&now.accepted), self.lost.is_some())
        };
        memory().or_else(accepted)
    }
}
