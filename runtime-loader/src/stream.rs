//! Stream: what is to become of each stream of this node, decided from its bundle's verdict and from what runs.
//!
//! Pure but for the descriptors it carries. The rows are those of the event table in docs/loader.md; a test walks it.

use std::rc::Rc;

use nodeplan::sorted::{SortedMap, SortedSet};
use nodeplan::{
    bundle::Verified,
    digest::Sha256Digest,
    name::StreamName,
    plan::Ending,
    report::{Code, Reason, StreamState},
    statement::Accepted,
};

use crate::{
    state::Version,
    verify::{Bundles, Verdict},
};

/// A version of a stream that is to run.
#[derive(Clone, Debug)]
pub struct Target {
    /// Digest of its statement.
    pub statement: Sha256Digest,
    /// Its plan.
    pub plan: Rc<Accepted>,
    /// Its programs, loaded and pinned.
    pub version: Version,
}

/// What is to become of a stream.
#[derive(Debug)]
pub enum Goal {
    /// A new version is to be loaded, then it runs.
    Load(Box<Verified>),
    /// A loaded version runs.
    Run(Box<Target>),
    /// What runs stays exactly as it is.
    Keep,
    /// What runs is to go.
    End,
}

/// One stream of the node.
#[derive(Debug)]
pub struct Stream {
    /// What is to become of it.
    pub goal: Goal,
    /// What the report says.
    pub state: StreamState,
    /// Why.
    pub reason: Option<Reason>,
    /// What the report shows: the plan that runs or would run.
    pub shown: Option<(Sha256Digest, Rc<Accepted>)>,
    /// What ran before.
    pub before: Vec<Version>,
}

impl Stream {
    fn new(goal: Goal, state: StreamState, reason: Option<Reason>, before: Vec<Version>) -> Self {
        let shown = before.iter().find_map(|version| Some((version.statement?, version.plan.clone()?)));
        Self { goal, state, reason, shown, before }
    }

    /// Ids of all programs that this stream has in the kernel, whatever becomes of them.
    pub fn program_ids(&self) -> SortedSet<u32> {
        let target = match &self.goal {
            Goal::Run(target) => Some(&target.version),
            Goal::Load(_) | Goal::Keep | Goal::End => None,
        };
        self.before
            .iter()
            .chain(target)
            .flat_map(|version| version.programs.values())
            .map(|program| program.id)
            .collect()
    }

    /// The version that ran before and can run again: its plan is known.
    fn fallback(&self) -> Option<Target> {
        self.before.iter().find_map(|version| {
            let (statement, plan) = (version.statement?, version.plan.clone()?);
            Some(Target { statement, plan, version: version.clone() })
        })
    }

    /// The stream did not get where it should: back to what ran before, by an equivalent action. A second failure is
    /// one to undo the first: then what is there stays, and the report says `degraded`.
    pub fn fail(&mut self, reason: Reason) {
        if let Goal::Run(target) = &self.goal
            && !self.before.iter().any(|version| version.dir == target.version.dir)
        {
            // Its programs may be attached somewhere already: they have to go.
            self.before.push(target.version.clone());
        }
        let refuses = |reason: &Reason| matches!(reason.code, Code::FeatureMissing | Code::Policy);
        let failed = match self.state {
            StreamState::Failed | StreamState::Degraded => true,
            // The two codes by which a failure is called a refusal.
            StreamState::Refused => self.reason.as_ref().is_some_and(refuses),
            _ => false,
        };
        if failed {
            self.state = StreamState::Degraded;
            self.goal = Goal::Keep;
            let first = self.reason.as_ref().map(|first| format!("{}; then ", first.message)).unwrap_or_default();
            let message = format!("{first}{}: {}", reason.code.as_str(), reason.message);
            self.reason = Some(Reason { code: Code::Undo, message });
            return;
        }
        let ran = match &self.goal {
            Goal::Run(target) => Some(target.statement),
            Goal::Load(_) | Goal::Keep | Goal::End => None,
        };
        self.state = if refuses(&reason) { StreamState::Refused } else { StreamState::Failed };
        self.goal = match (&self.goal, self.fallback()) {
            (Goal::Load(_) | Goal::End, _) => Goal::Keep,
            (_, Some(before)) if Some(before.statement) != ran => Goal::Run(Box::new(before)),
            (Goal::Run(_), None) => Goal::End,
            // The version that ran already: what is attached of it stays so.
            (_, _) => Goal::Keep,
        };
        self.reason = Some(reason);
    }
}

/// Decides about every stream that has a bundle or runs.
pub fn decide(bundles: Bundles, running: SortedMap<StreamName, Vec<Version>>) -> SortedMap<StreamName, Stream> {
    let mut running = running;
    let mut streams = SortedMap::new();
    for (name, verdict) in bundles.verdicts {
        let before = running.remove(&name).unwrap_or_default();
        streams.insert(name, with_bundle(verdict, before));
    }
    for (name, before) in running {
        streams.insert(name, without_bundle(before, bundles.directory_read));
    }
    streams
}

fn with_bundle(verdict: Verdict, before: Vec<Version>) -> Stream {
    match verdict {
        Verdict::Runs(verified) => {
            let statement = verified.statement_digest();
            let shown = Some((statement, Rc::clone(verified.plan())));
            let here = before.iter().find(|version| version.statement == Some(statement)).cloned();
            let goal = match here {
                Some(version) => Goal::Run(Box::new(Target { statement, plan: Rc::clone(verified.plan()), version })),
                None => Goal::Load(verified),
            };
            Stream { shown, ..Stream::new(goal, StreamState::Attached, None, before) }
        }
        Verdict::Ends(verified, code, message) => {
            let plan = verified.plan();
            let state = if code == Code::Expired { StreamState::Expired } else { StreamState::NotApplicable };
            let goal = ending(plan.on_expiry);
            let shown = Some((verified.statement_digest(), plan.clone()));
            Stream { shown, ..Stream::new(goal, state, Some(Reason { code, message }), before) }
        }
        Verdict::Forbidden(reason) => {
            let goal = ending(on_removal(&before));
            Stream::new(goal, StreamState::Refused, Some(reason), before)
        }
        Verdict::Refused(reason) => Stream::new(Goal::Keep, StreamState::Refused, Some(reason), before),
    }
}

fn without_bundle(before: Vec<Version>, directory_read: bool) -> Stream {
    if !directory_read {
        // Not the same as an empty directory: nobody said that the stream is to go.
        let message = "the directory of bundles cannot be read; what runs is left alone".to_owned();
        return Stream::new(Goal::Keep, StreamState::Attached, Some(Reason { code: Code::Read, message }), before);
    }
    Stream::new(ending(on_removal(&before)), StreamState::Removed, None, before)
}

/// `onRemoval` of what runs. Without a record nobody asked to keep it.
fn on_removal(before: &[Version]) -> Ending {
    before.iter().find_map(|version| version.plan.as_ref()).map_or(Ending::Detach, |plan| plan.on_removal)
}

fn ending(ending: Ending) -> Goal {
    match ending {
        Ending::Detach => Goal::End,
        Ending::Keep => Goal::Keep,
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
