//! Events: what can happen to a stream on a node, and what becomes of it. The loader obeys this table, the documents
//! are made from it, and tests walk it row by row.
//!
//! In: nothing. Out: [`Event::ALL`], and per event what becomes of what runs, the state, the exit code.
//! Cannot fail.

use crate::report::{Code, Exit, StreamState};

/// What becomes of a version that runs when the event happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// The bundle's version takes its place; if it is the one that runs, nothing changes.
    Replaced,
    /// It keeps running, untouched.
    Keeps,
    /// It is detached, or kept if its plan says `onRemoval: keep`.
    ByOnRemoval,
    /// It is detached, or kept if the plan says `onExpiry: keep`.
    ByOnExpiry,
    /// It is detached.
    Detached,
    /// What has a place keeps running there.
    KeepsTheRest,
    /// It runs as before: what had changed is undone.
    AsBefore,
    /// Some of it may run, some not.
    Unknown,
}

impl Running {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Keeps => "keeps running",
            Self::ByOnRemoval => "detached; kept for `onRemoval: keep`",
            Self::ByOnExpiry => "detached; kept for `onExpiry: keep`",
            Self::Detached => "detached",
            Self::KeepsTheRest => "the rest keeps running",
            Self::AsBefore => "as before",
            Self::Unknown => "degraded; the next run converges",
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $words:literal, $running:ident, $absent:literal, $state:ident, $exit:ident;)*) => {
        /// Something that can happen to a stream.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event { $($(#[$doc])* $name,)* }

        impl Event {
            /// All rows, in the order of the documents.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// For people.
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }

            /// What becomes of a version that runs.
            pub fn running(self) -> Running {
                match self { $(Self::$name => Running::$running,)* }
            }

            /// What becomes of a version that does not run yet, for people.
            pub fn absent(self) -> &'static str {
                match self { $(Self::$name => $absent,)* }
            }

            /// State of the stream in the report.
            pub fn state(self) -> StreamState {
                match self { $(Self::$name => StreamState::$state,)* }
            }

            /// Exit code that it asks of `apply --update`.
            pub fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* }
            }
        }
    };
}

events! {
    /// A sound bundle for this node.
    Valid = "bundle valid, new or changed", Replaced, "attached", Attached, Done;
    /// A bundle that is not believed.
    NotBelieved = "bundle damaged, signature bad, plan too new, rights exceeded, stream of another owner, no usable trust file at all, the node's memory unreadable or a newer loader's",
        Keeps, "refused", Refused, Refused;
    /// A decision of the security team, about what the node had accepted.
    Withdrawn = "of a bundle that the node accepted before: key or bundle revoked, below the floor (of the trust file, or remembered), other audience",
        ByOnRemoval, "refused", Refused, Done;
    /// A bundle that comes although the security team has decided against it.
    Forbidden = "the same of a bundle that is new to the node", ByOnRemoval, "refused", Refused, Refused;
    /// No bundle in a readable directory.
    BundleGone = "bundle gone from the directory", ByOnRemoval, "–", Removed, Done;
    /// Nobody said that there is no bundle.
    DirectoryGone = "directory of bundles absent or unreadable", Keeps, "–", Attached, Done;
    /// Outside `appliesTo`.
    NotApplicable = "not applicable", ByOnExpiry, "not attached", NotApplicable, Done;
    /// Past `expires`.
    Expired = "certainly expired", ByOnExpiry, "not attached", Expired, Done;
    /// An interface or cgroup is absent.
    PlaceAbsent = "interface or cgroup absent", KeepsTheRest, "pending", Pending, Done;
    /// The node lacks something.
    FeatureMissing = "kernel without the hook, function or tracepoint, or without freplace",
        Keeps, "refused", Refused, FeatureMissing;
    /// Only the node can tell that the owner may not.
    NotAllowedHere = "a selector means a reserved interface; maps over the owner's limit",
        Keeps, "refused", Refused, Refused;
    /// Only the node can tell that there are too many.
    NoRoom = "streams that come before it fill the ten XDP slots of an interface",
        Detached, "failed", Failed, Failed;
    /// Any other refusal by the kernel.
    KernelRefuses = "verifier, `EBUSY`, anything else of the kernel", AsBefore, "failed", Failed, Failed;
    /// A failure could not be undone.
    UndoFails = "undo failed", Unknown, "degraded", Degraded, Degraded;
    /// Held by hand or by the kernel command line.
    Held = "held: `hold`, kernel argument `nodebpf=off`", Keeps, "held", Held, Done;
    /// Held, and what runs is to go.
    HeldDetached = "held and detached: `detach`, `hold --detach`", Detached, "held", Held, Done;
}

impl Event {
    /// The event behind a failure while a version is loaded and attached.
    pub fn of_failure(code: Code) -> Self {
        match code {
            Code::FeatureMissing => Self::FeatureMissing,
            Code::Policy => Self::NotAllowedHere,
            Code::Undo => Self::UndoFails,
            Code::TooManyPrograms => Self::NoRoom,
            _ => Self::KernelRefuses,
        }
    }
}

/// The table in Markdown.
pub fn markdown() -> String {
    let mut text = "| event | what already runs | what does not run yet | state | exit |\n".to_owned();
    text.push_str("|---|---|---|---|---|\n");
    for event in Event::ALL {
        let cells = [event.words(), event.running().words(), event.absent(), event.state().as_str()];
        for cell in cells {
            text.push_str("| ");
            text.push_str(cell);
            text.push(' ');
        }
        text.push_str("| ");
        text.push(char::from(b'0' + event.exit().code()));
        text.push_str(" |\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_exits_as_its_state_does() {
        for event in Event::ALL {
            if *event == Event::Withdrawn {
                // The state is a refusal; that it was asked for, only the node's memory can tell.
                assert_eq!((event.state(), event.exit()), (Event::Forbidden.state(), Exit::Done));
                continue;
            }
            let code = match event {
                Event::FeatureMissing => Some(Code::FeatureMissing),
                Event::NotAllowedHere => Some(Code::Policy),
                Event::UndoFails => Some(Code::Undo),
                _ => None,
            };
            assert_eq!(event.state().exit(code), event.exit(), "row: {}", event.words());
        }
    }

    #[test]
    fn failures_are_the_rows_that_a_run_can_come_to() {
        for code in Code::ALL {
            let event = Event::of_failure(*code);
            assert_eq!(event.state().exit(Some(*code)), event.exit(), "{}", code.as_str());
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_row() {
        let text = markdown();
        assert_eq!(text.lines().count(), Event::ALL.len() + 2);
        assert!(text.lines().all(|line| line.matches('|').count() == 6), "{text}");
    }
}
