//! What the loader says: states of streams, error codes, exit codes and the JSON report.

use crate::sorted::SortedMap;
use serde::Serialize;

use crate::{
    digest::Sha256Digest,
    hook::Hook,
    json,
    name::{CounterName, IfName, OwnerName, ProgramName, StreamName},
    plan::{FormatVersion, Intent, Revision},
    priority::Priority,
    trust::Anchor,
    xdp::XdpMode,
};

/// Version of [`Report`].
pub const REPORT_VERSION: FormatVersion = FormatVersion { major: 1, minor: 1 };

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal;)*) => {
        /// Error codes of the loader. Stable; a code is never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// All codes, rising.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code, such as `NB1102`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A file of ours cannot be read.
    Read = "NB1001", "a file cannot be read";
    /// A file that others may write, a link, or not a regular file.
    UnsafeFile = "NB1002", "a file is not safe to read";
    /// Archive, members or digests of a bundle.
    BundleDamaged = "NB1101", "the bundle is damaged";
    /// No good signature.
    Signature = "NB1102", "no valid signature";
    /// Signed, but not a statement about a plan.
    Statement = "NB1103", "the statement cannot be read";
    /// Plan of a newer major or minor version.
    PlanTooNew = "NB1104", "the plan needs another loader";
    /// The owner may not do this.
    Policy = "NB1105", "the owner may not do this";
    /// Meant for other nodes.
    Audience = "NB1106", "the bundle is for other nodes";
    /// Revoked by the trust file.
    Revoked = "NB1107", "the bundle is revoked";
    /// Below the floor of the trust file.
    BelowFloor = "NB1108", "the revision is below the floor";
    /// No trust file.
    TrustMissing = "NB1109", "the trust file is missing";
    /// A trust file that cannot be used.
    TrustDamaged = "NB1110", "the trust file is damaged";
    /// File name and stream name differ.
    FileName = "NB1111", "the bundle has another stream's file name";
    /// The delivered trust file is older than one that was accepted here.
    TrustOlder = "NB1112", "the trust file is older than the one known here";
    /// A trust file that does not go on from one that was accepted here.
    TrustFork = "NB1113", "the trust file does not follow from the one known here";
    /// What the node remembers is damaged.
    MemoryDamaged = "NB1114", "what the node remembers is damaged";
    /// The stream's name belonged to another owner.
    Takeover = "NB1115", "the stream belongs to another owner here";
    /// What the node is to remember cannot be written.
    MemoryNotKept = "NB1116", "what the node is to remember cannot be written";
    /// A clock that nobody set, by which something would have expired.
    ClockUnverified = "NB1117", "the clock is not synchronised";
    /// What the node remembers is of a newer loader, or cannot be read now.
    MemoryUnread = "NB1118", "what the node remembers cannot be read by this loader";
    /// Too many bytes of bundles on one node.
    BundlesTooLarge = "NB1119", "the bundles of the node are too large together";
    /// Outside `appliesTo`.
    NotApplicable = "NB1201", "the stream is not for this node";
    /// Past `expires`.
    Expired = "NB1202", "the stream has expired";
    /// The kernel lacks something the plan needs.
    FeatureMissing = "NB1203", "the kernel lacks a feature";
    /// One map name in two objects of a stream.
    MapTwice = "NB1204", "two objects have a map of one name";
    /// No interface that a selector means.
    InterfaceAbsent = "NB1301", "the interface is absent";
    /// An XDP program without dispatcher is attached.
    HeldByLegacy = "NB1302", "another XDP program holds the interface";
    /// A `bpf_link` is attached.
    HeldByLink = "NB1303", "a bpf_link holds the interface";
    /// A dispatcher that this loader does not understand.
    DispatcherTooNew = "NB1304", "the dispatcher is newer than this loader";
    /// No free slot.
    TooManyPrograms = "NB1305", "the interface has too many XDP programs";
    /// The other XDP mode is in use.
    ModeConflict = "NB1306", "the interface runs XDP in the other mode";
    /// Priorities and anchors contradict each other, or a program would run twice at one place.
    Order = "NB1307", "the order at a place cannot be met";
    /// No such cgroup.
    CgroupAbsent = "NB1308", "the cgroup is absent";
    /// The verifier.
    Verifier = "NB1401", "the verifier refused a program";
    /// Any other call.
    Kernel = "NB1402", "the kernel refused a call";
    /// ELF or BTF that cannot be loaded.
    Object = "NB1403", "the object cannot be loaded";
    /// Others changed the interface again and again.
    LostRace = "NB1404", "others keep changing the interface";
    /// After a failure something could not be undone.
    Undo = "NB1405", "a change could not be undone";
    /// What was attached is not any more.
    Lost = "NB1406", "others have removed an attachment";
    /// Another run holds the lock.
    Locked = "NB1501", "another run holds the lock";
    /// Not root, or no BPF file system.
    CannotRun = "NB1502", "the loader cannot run here";
    /// Held by hand or by the kernel command line.
    Held = "NB1503", "the stream is held";
    /// What was released is held by something else.
    StillHeld = "NB1504", "the stream stays held";
    /// The node goes on with its boot without a stream that it requires.
    Unsatisfied = "NB1505", "a required stream does not run";
    /// More streams than a journal line holds.
    SummaryTooLong = "NB1510", "the journal line of the run had no room for its streams";
    /// A map that `map dump` cannot show.
    NoSuchMap = "NB1511", "there is no such map to show";
    /// A command of the other binary, which is not there.
    NoDiag = "NB1512", "nodebpf-diag cannot be started";
}

impl Code {
    /// The exit code that a problem of the node itself asks for. Some are said and no reason to fail an update: the
    /// node runs what it should, and going back to older files must work.
    pub fn exit_of_problem(self) -> Exit {
        match self {
            Self::TrustOlder
            | Self::TrustMissing
            | Self::MemoryDamaged
            | Self::MemoryNotKept
            | Self::ClockUnverified => Exit::Done,
            _ => Exit::Refused,
        }
    }
}

/// Exit codes of the loader; the highest of a run wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All streams are as they should be.
    Done,
    /// The run itself was impossible.
    CannotRun,
    /// Wrong usage.
    Usage,
    /// A bundle was refused.
    Refused,
    /// The node lacks a feature.
    FeatureMissing,
    /// The kernel refused something.
    Failed,
    /// A failure could not be undone.
    Degraded,
    /// Another run holds the lock.
    Locked,
}

impl Exit {
    /// The number, 0 to 7.
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// State of a stream on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StreamState {
    /// All programs run where they should.
    Attached,
    /// Something it is to be attached to is absent.
    Pending,
    /// Not for this node.
    NotApplicable,
    /// Its time is over.
    Expired,
    /// Held back by hand.
    Held,
    /// Its bundle was refused.
    Refused,
    /// The kernel refused it.
    Failed,
    /// A failure could not be undone.
    Degraded,
    /// Its bundle is gone.
    Removed,
}

impl StreamState {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attached => "attached",
            Self::Pending => "pending",
            Self::NotApplicable => "notApplicable",
            Self::Expired => "expired",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Removed => "removed",
        }
    }

    /// Exit code that this state asks for, given the code of its reason.
    pub fn exit(self, reason: Option<Code>) -> Exit {
        match self {
            Self::Attached | Self::Pending | Self::NotApplicable | Self::Expired | Self::Held | Self::Removed => {
                Exit::Done
            }
            Self::Refused if reason == Some(Code::FeatureMissing) => Exit::FeatureMissing,
            Self::Refused => Exit::Refused,
            Self::Failed => Exit::Failed,
            Self::Degraded => Exit::Degraded,
        }
    }
}

/// Why something is not attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// Stable code.
    pub code: Code,
    /// One line for people.
    pub message: String,
}

/// What runs on a node and why not more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this structure.
    pub report_version: FormatVersion,
    /// Version of the loader.
    pub loader: String,
    /// `uname -r`.
    pub kernel: String,
    /// The trust file, or why there is none.
    pub trust: TrustReport,
    /// What is wrong with the files as such: a directory that cannot be read, a name that is no bundle's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Reason>,
    /// Streams by name.
    pub streams: Vec<StreamReport>,
}

/// The trust in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustReport {
    /// Version of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Where its authority comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// Name, from the bundle's file name.
    pub stream: StreamName,
    /// State.
    pub state: StreamState,
    /// Why, if not attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Owner, if a plan was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerName>,
    /// Revision that runs, or would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Intent, if a plan was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// Digest of the statement that runs, or would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Sha256Digest>,
    /// Places, in the plan's order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<AttachmentReport>,
    /// Exported counters; filled by `status`.
    #[serde(skip_serializing_if = "SortedMap::is_empty")]
    pub counters: SortedMap<CounterName, u64>,
}

impl StreamReport {
    /// Of a stream about whose plan nothing is known.
    pub fn new(stream: StreamName, state: StreamState, reason: Option<Reason>) -> Self {
        Self {
            stream,
            state,
            reason,
            owner: None,
            revision: None,
            intent: None,
            statement: None,
            attachments: Vec::new(),
            counters: SortedMap::new(),
        }
    }
}

/// One program at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentReport {
    /// Hook.
    pub hook: Hook,
    /// Place for people, such as `tc ingress` or `tracepoint sched/sched_switch`; absent in reports of version 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Program.
    pub program: ProgramName,
    /// Id of the loaded program, if attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_id: Option<u32>,
    /// Interface, on hooks of interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// Its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Native or skb, on XDP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<XdpMode>,
    /// For a program that takes packets of several fragments, whether the dispatcher lets it: all others there must, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frags: Option<bool>,
    /// Place in the order, on hooks that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Whether it runs now.
    pub attached: bool,
}

/// What begins the one journal line of a run; the [`Summary`] follows as compact JSON, up to the end of the line.
///
/// A prefix, because a line travels through `journalctl -o short`, `oc adm node-logs` and log stores that keep nothing
/// but the message.
pub const SUMMARY_PREFIX: &str = "nodebpf-report ";

/// `MESSAGE_ID` of that line, see systemd.journal-fields(7). Never changes.
pub const SUMMARY_MESSAGE_ID: &str = "1479c30662d14fe79cfe51842e18dd2f";

/// A run in one journal line: what `nodebpf fleet` reads of many nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Version of this structure: that of [`Report`].
    pub report_version: FormatVersion,
    /// Version of the loader.
    pub loader: String,
    /// `uname -r`.
    pub kernel: String,
    /// Version of the trust document in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<u64>,
    /// Codes of the node's own problems.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Code>,
    /// Streams by name.
    pub streams: Vec<StreamSummary>,
}

/// One stream in a [`Summary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSummary {
    /// Name.
    pub stream: StreamName,
    /// State.
    pub state: StreamState,
    /// Revision that runs, or would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Digest of the statement that runs, or would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<Sha256Digest>,
    /// Why, if not attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

impl From<&Report> for Summary {
    fn from(report: &Report) -> Self {
        let stream = |one: &StreamReport| StreamSummary {
            stream: one.stream.clone(),
            state: one.state,
            revision: one.revision,
            statement: one.statement,
            code: one.reason.as_ref().map(|reason| reason.code),
        };
        Self {
            report_version: report.report_version,
            loader: report.loader.clone(),
            kernel: report.kernel.clone(),
            trust: report.trust.version,
            problems: report.problems.iter().map(|problem| problem.code).collect(),
            streams: report.streams.iter().map(stream).collect(),
        }
    }
}

json::decode_struct!(Summary {
    report_version: "reportVersion",
    loader: "loader",
    kernel: "kernel",
    trust: "trust",
    problems: "problems",
    streams: "streams",
});
json::decode_struct!(StreamSummary {
    stream: "stream",
    state: "state",
    revision: "revision",
    statement: "statement",
    code: "code",
});

json::decode_words!(StreamState {
    "attached": Attached,
    "pending": Pending,
    "notApplicable": NotApplicable,
    "expired": Expired,
    "held": Held,
    "refused": Refused,
    "failed": Failed,
    "degraded": Degraded,
    "removed": Removed,
});
json::decode_struct!(Reason { code: "code", message: "message" });
json::decode_struct!(Report {
    report_version: "reportVersion",
    loader: "loader",
    kernel: "kernel",
    trust: "trust",
    problems: "problems",
    streams: "streams",
});
json::decode_struct!(TrustReport { version: "version", anchor: "anchor", reason: "reason" });
json::decode_struct!(StreamReport {
    stream: "stream",
    state: "state",
    reason: "reason",
    owner: "owner",
    revision: "revision",
    intent: "intent",
    statement: "statement",
    attachments: "attachments",
    counters: "counters",
});
json::decode_struct!(AttachmentReport {
    hook: "hook",
    place: "place",
    program: "program",
    program_id: "programId",
    interface: "interface",
    ifindex: "ifindex",
    mode: "mode",
    frags: "frags",
    priority: "priority",
    attached: "attached",
});

impl json::Decode for Code {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        let text = problem.text(value)?;
        let known = Self::ALL.iter().find(|code| code.as_str() == text);
        if known.is_none() {
            problem.say(format_args!("unknown code `{text}`"));
        }
        known.copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_rise_and_are_unique() {
        assert!(Code::ALL.is_sorted_by(|a, b| a.as_str() < b.as_str()));
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        use StreamState::{Attached, Degraded, Expired, Failed, Held, NotApplicable, Pending, Refused, Removed};
        for (state, reason, want) in [
            (Attached, None, 0),
            (Pending, Some(Code::InterfaceAbsent), 0),
            (NotApplicable, Some(Code::NotApplicable), 0),
            (Expired, Some(Code::Expired), 0),
            (Held, None, 0),
            (Removed, None, 0),
            (Refused, Some(Code::Signature), 3),
            (Refused, Some(Code::FeatureMissing), 4),
            (Failed, Some(Code::Verifier), 5),
            (Degraded, Some(Code::Undo), 6),
        ] {
            assert_eq!(state.exit(reason).code(), want, "case: {}", state.as_str());
        }
        assert_eq!((Exit::CannotRun.code(), Exit::Usage.code(), Exit::Locked.code()), (1, 2, 7));
    }
}
