//! Stream: what is to become of each stream of this node, decided from its bundle's verdict and from what runs.
//!
//! Pure but for the descriptors it carries. The rows are those of the event table in docs/loader.md; a test walks it.

use std::{cell::Cell, mem, rc::Rc};

use nodeplan::sorted::{SortedMap, SortedSet};
use nodeplan::{
    bundle::Verified,
    digest::Sha256Digest,
    event::{Event, Running},
    name::StreamName,
    plan::{Ending, Stage},
    report::{Code, Reason, StreamState},
    statement::Accepted,
};

use crate::{
    held::{Hold, Holds},
    show::{cat, has},
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

/// Which streams a run is about. The others stay exactly as they are, also in the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those with `stage: early`: before the network.
    Early,
    /// These.
    Only(SortedSet<StreamName>),
}

impl Scope {
    /// Whether a run is about this stream. One whose plan nobody knows is none of the early ones.
    pub fn has(&self, name: &StreamName, stream: &Stream) -> bool {
        match self {
            Self::All => true,
            Self::Early => stream.shown.as_ref().is_some_and(|(_, plan)| plan.stage == Stage::Early),
            Self::Only(names) => names.contains(name),
        }
    }
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
    /// The statement of its bundle, if the node believes it, or did before it was forbidden.
    pub accepted: Option<Sha256Digest>,
    /// What ran before.
    pub before: Vec<Version>,
    /// Whether its new version stands somewhere in the place of what ran there, or what ran there is gone.
    pub swapped: Cell<bool>,
    /// What it was before it lost its room to others: they may fail yet.
    regains: Option<Box<Stream>>,
}

impl Stream {
    fn new(goal: Goal, state: StreamState, reason: Option<Reason>, before: Vec<Version>) -> Self {
        let shown = before.iter().find_map(|version| Some((version.committed?, version.plan.clone()?)));
        Self { goal, state, reason, shown, accepted: None, before, swapped: Cell::new(false), regains: None }
    }

    /// Whether it ended as asked: a bundle that the node had accepted is forbidden now. No reason to fail an update, or
    /// the trust file that forbids it would be taken back.
    pub fn is_withdrawn(&self) -> bool {
        let forbids = |reason: &Reason| matches!(reason.code, Code::Revoked | Code::BelowFloor | Code::Audience);
        self.accepted.is_some() && self.state == Event::Withdrawn.state() && self.reason.as_ref().is_some_and(forbids)
    }

    /// Everything that this stream has in the kernel, whatever becomes of it: what is to run, and what ran before.
    pub fn versions(&self) -> Vec<&Version> {
        let mut all = Vec::new();
        if let Goal::Run(target) = &self.goal {
            all.push(&target.version);
        }
        all.extend(&self.before);
        all
    }

    /// Ids of the programs of all of them.
    pub fn program_ids(&self) -> SortedSet<u32> {
        let mut ids = SortedSet::new();
        for version in self.versions() {
            for program in version.programs.values() {
                ids.insert(program.id);
            }
        }
        ids
    }

    /// Whether one of these programs is its own.
    pub fn runs_any(&self, programs: &[u32]) -> bool {
        let own = self.program_ids();
        programs.iter().any(|id| own.contains(id))
    }

    /// The version that ran before and can run again: its plan is known, and nobody has forbidden it.
    fn fallback(&self) -> Option<Target> {
        self.before.iter().filter(|version| !version.goes()).find_map(|version| {
            let (statement, plan) = (version.committed?, version.plan.clone()?);
            Some(Target { statement, plan, version: version.clone() })
        })
    }

    /// What runs stays as it is; but what of it is forbidden goes, as if its own bundle were there to say so.
    pub fn stay(&mut self) {
        self.goal = Goal::Keep;
        if let Some(version) = self.before.iter().find(|version| version.goes()) {
            // No bundle could be read: nothing but this happens to the stream.
            if self.state == Event::DirectoryGone.state() {
                (self.state, self.reason, self.accepted) = (Event::Withdrawn.state(), None, version.committed);
            }
            self.goal = self.fallback().map_or(Goal::End, |other| Goal::Run(Box::new(other)));
        }
        self.say_forbidden();
    }

    /// Says why what ran goes, or would.
    fn say_forbidden(&mut self) {
        let Some(why) = self.before.iter().find_map(|version| version.forbidden.as_ref()) else { return };
        let ran = "what ran is forbidden: ";
        match &mut self.reason {
            Some(reason) if has(&reason.message, &why.message) => {}
            Some(reason) => reason.message.push_str(&cat(&["; ", ran, why.code.as_str(), " ", &why.message])),
            None => self.reason = Some(Reason { code: why.code, message: cat(&[ran, &why.message]) }),
        }
    }

    /// The stream did not get where it should: back to what ran before, by an equivalent action. A second failure is
    /// one to undo the first: then what is there stays, and the report says `degraded`.
    pub fn fail(&mut self, mut reason: Reason) {
        self.regains = None;
        if let Goal::Run(target) = &self.goal
            && !self.before.iter().any(|version| version.is(&target.version))
        {
            // Its programs may be attached somewhere already: they have to go.
            self.before.push(target.version.clone());
        }
        // A failure may be called a refusal: by the events that are one and not a verdict on the bundle.
        let refuses =
            |reason: &Reason| matches!(Event::of_failure(reason.code), Event::FeatureMissing | Event::NotAllowedHere);
        let failed = match self.state {
            StreamState::Failed | StreamState::Degraded => true,
            StreamState::Refused => self.reason.as_ref().is_some_and(refuses),
            _ => false,
        };
        if failed {
            self.state = Event::UndoFails.state();
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
        let (swapped, ends) = (self.swapped.get(), matches!(self.goal, Goal::End));
        let (loads, goes) = (matches!(self.goal, Goal::Load(_)), self.before.iter().any(Version::goes));
        // What was forbidden, or detached by hand, comes back nowhere.
        let stopped = ends && (goes || matches!(self.state, StreamState::Refused | StreamState::Held));
        self.state = Event::of_failure(reason.code).state();
        self.goal = match (&self.goal, self.fallback().filter(|_| !stopped)) {
            (Goal::Load(_), _) => Goal::Keep,
            (Goal::End, _) if !swapped => Goal::Keep,
            (_, Some(before)) if Some(before.statement) != ran => Goal::Run(Box::new(before)),
            // There is nothing to go back to, and half of the new version is none.
            (Goal::Run(_), None) if goes => Goal::End,
            (Goal::Run(_) | Goal::End, None) if swapped && (ends || self.before.len() > 1) => {
                // What ran cannot come back without its plan: better the new version than neither.
                self.state = Event::UndoFails.state();
                let why = if stopped {
                    "what ran was told to stop and does not come back"
                } else {
                    "what ran before has no record to go back by"
                };
                let message = format!("{}: {}; {why}", reason.code.as_str(), reason.message);
                reason = Reason { code: Code::Undo, message };
                Goal::Keep
            }
            (Goal::Run(target), None) => {
                // Of what ran before nobody knows the plan: it stays as it is, and only what came goes.
                let new = target.version.clone();
                self.before.retain(|version| version.is(&new));
                Goal::End
            }
            // The version that ran already: what is attached of it stays so.
            (_, _) => Goal::Keep,
        };
        self.reason = Some(reason);
        if loads {
            self.stay();
        }
        self.say_forbidden();
    }

    /// Others come before it where it wants to run: to what ran before, if that is another version, else off. Until the
    /// others do run it may still [`regain`](Self::regain) its room.
    pub fn lose(&mut self, reason: Reason) {
        let Goal::Run(target) = &self.goal else { return };
        let mut before = self.before.clone();
        if !before.iter().any(|version| version.is(&target.version)) {
            before.push(target.version.clone());
        }
        let goal = match self.fallback().filter(|former| former.statement != target.statement) {
            Some(former) => Goal::Run(Box::new(former)),
            None => Goal::End,
        };
        let (state, shown) = (Event::of_failure(reason.code).state(), self.shown.clone());
        let swapped = self.swapped.clone();
        let accepted = self.accepted;
        let lost = Self { goal, state, reason: Some(reason), shown, accepted, before, swapped, regains: None };
        let mut was = mem::replace(self, lost);
        self.regains = was.regains.take().or_else(|| Some(Box::new(was)));
    }

    /// Its pins are gone, or some of them: whoever fails now, it does not come back in this run.
    pub fn is_lost(&mut self) {
        if matches!(self.goal, Goal::End) {
            self.regains = None;
            self.swapped.set(false);
        }
    }

    /// What it was before it lost its room.
    pub fn regain(&mut self) {
        if let Some(was) = self.regains.take() {
            // What its former version was swapped for meanwhile is no less swapped.
            was.swapped.set(self.swapped.get());
            *self = *was;
        }
    }
}

/// Decides about every stream that has a bundle or runs.
pub fn decide(
    bundles: Bundles,
    running: SortedMap<StreamName, Vec<Version>>,
    holds: &Holds,
) -> SortedMap<StreamName, Stream> {
    let mut running = running;
    let mut streams = SortedMap::new();
    for (name, verdict) in bundles.verdicts {
        let before = running.remove(&name).unwrap_or_default();
        let forbidden = matches!(verdict, Verdict::Forbidden { .. });
        let mut stream = with_bundle(verdict, before);
        match holds.of(&name) {
            // What is forbidden ends if either of the two says so: `onRemoval: keep` does not outlast `detach`.
            Some(hold) if forbidden && hold.detach => stream.goal = Goal::End,
            Some(hold) if !forbidden => stream = held(stream, &hold),
            _ => {}
        }
        settle(&mut stream);
        streams.insert(name, stream);
    }
    for (name, before) in running {
        let unread = if bundles.strangers.is_empty() { "is absent" } else { "cannot be read" };
        let mut stream = without_bundle(before, (!bundles.directory_read).then_some(unread));
        if let Some(hold) = holds.of(&name) {
            stream = held(stream, &hold);
        }
        settle(&mut stream);
        streams.insert(name, stream);
    }
    streams
}

/// What is decided about bundles reaches what runs, too.
fn settle(stream: &mut Stream) {
    if matches!(stream.goal, Goal::Keep) {
        stream.stay();
    }
}

/// What an event of the table makes of a stream. `run` is the goal of the one row that replaces.
fn row(event: Event, reason: Option<Reason>, before: Vec<Version>, on_expiry: Ending, run: Option<Goal>) -> Stream {
    let ending = |ending| match ending {
        Ending::Detach => Goal::End,
        Ending::Keep => Goal::Keep,
    };
    let goal = match event.running() {
        Running::Replaced => run.unwrap_or(Goal::Keep),
        Running::Keeps | Running::KeepsTheRest | Running::AsBefore | Running::Unknown => Goal::Keep,
        Running::ByOnRemoval => ending(on_removal(&before)),
        Running::ByOnExpiry => ending(on_expiry),
        Running::Detached => Goal::End,
    };
    Stream::new(goal, event.state(), reason, before)
}

fn with_bundle(verdict: Verdict, before: Vec<Version>) -> Stream {
    match verdict {
        Verdict::Runs(verified) => {
            let (statement, plan) = (verified.statement_digest(), Rc::clone(verified.plan()));
            // A version that a crash cut short has lost programs: it is loaded anew.
            let whole = |version: &&Version| {
                version.committed == Some(statement)
                    && plan.programs.iter().all(|program| version.programs.contains_key(&program.name))
            };
            let goal = match before.iter().find(whole).cloned() {
                Some(version) => Goal::Run(Box::new(Target { statement, plan: Rc::clone(&plan), version })),
                None => Goal::Load(verified),
            };
            let stream = row(Event::Valid, None, before, plan.on_expiry, Some(goal));
            Stream { shown: Some((statement, plan)), accepted: Some(statement), ..stream }
        }
        Verdict::Ends(verified, code, message) => {
            let plan = verified.plan();
            let event = if code == Code::Expired { Event::Expired } else { Event::NotApplicable };
            let statement = verified.statement_digest();
            let (shown, accepted) = (Some((statement, plan.clone())), Some(statement));
            Stream { shown, accepted, ..row(event, Some(Reason { code, message }), before, plan.on_expiry, None) }
        }
        Verdict::Forbidden { reason, statement, known } => {
            // What runs was accepted, also by a loader that did not write down what it accepts.
            let known = known || before.iter().any(|version| version.committed == Some(statement));
            let event = if known { Event::Withdrawn } else { Event::Forbidden };
            let accepted = known.then_some(statement);
            Stream { accepted, ..row(event, Some(reason), before, Ending::Detach, None) }
        }
        Verdict::Refused(reason) => row(Event::NotBelieved, Some(reason), before, Ending::Detach, None),
    }
}

/// `unread`: what is wrong with the directory of bundles.
fn without_bundle(before: Vec<Version>, unread: Option<&str>) -> Stream {
    if let Some(unread) = unread {
        // Not the same as an empty directory: nobody said that the stream is to go.
        let message = format!("the directory of bundles {unread}; what runs is left alone");
        let reason = Reason { code: Code::Read, message };
        return row(Event::DirectoryGone, Some(reason), before, Ending::Detach, None);
    }
    row(Event::BundleGone, None, before, Ending::Detach, None)
}

/// A stream that would become something else, were it not held.
fn held(stream: Stream, hold: &Hold) -> Stream {
    let mut message = format!("held {}", hold.words);
    if let Some(reason) = &stream.reason {
        message.push_str("; its bundle: ");
        message.push_str(reason.code.as_str());
        message.push(' ');
        message.push_str(&reason.message);
    }
    let event = if hold.detach { Event::HeldDetached } else { Event::Held };
    let reason = Some(Reason { code: Code::Held, message });
    let Stream { shown, accepted, before, .. } = stream;
    Stream { shown, accepted, ..row(event, reason, before, Ending::Detach, None) }
}

/// `onRemoval` of what runs. Without a record nobody asked to keep it.
fn on_removal(before: &[Version]) -> Ending {
    before.iter().find_map(|version| version.plan.as_ref()).map_or(Ending::Detach, |plan| plan.on_removal)
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
