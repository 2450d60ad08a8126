//! Raw types of the manifest: YAML types are right, places are kept, nothing else is believed.
//!
//! The doc comments become the descriptions of the JSON Schema.

use std::borrow::Cow;

use nodeplan::{
    applies::Architecture,
    hook::{CgroupAttachType, Direction, Hook, TcVerdict},
    plan::{Ending, FailurePolicy, Intent, Stage},
    xdp::{XdpAction, XdpMode},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    source::Spanned,
    yaml::{
        Node, Value,
        decode::{Decode, Decoder, Place, record},
        types::{Dict, Keyed, List, Literal, Number, Text, Word, Words},
    },
};

record! {
    /// One stream of eBPF programs: signed, shipped, updated and removed as a whole.
    pub struct Manifest {
        /// Version of this format.
        api_version: Word<ApiVersion> = "apiVersion",
        /// What the document is.
        kind: Word<Kind> = "kind",
        /// Whose stream it is, and which state of it.
        metadata: Metadata = "metadata",
        /// What the stream wants of a node.
        spec: Spec = "spec",
    }
    later []
}

/// `apiVersion` of all documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion;

/// `kind` of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind;

record! {
    /// Whose stream it is, and which state of it.
    pub struct Metadata {
        /// Stream name: a DNS label of at most 40 characters that one of the owner's globs matches.
        #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
        name: Text = "name",
        /// An owner that the policy knows.
        #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
        owner: Text = "owner",
        /// Rises with every change, by review. From 1.
        #[schemars(range(min = 1, max = 4_294_967_295_i64))]
        revision: Number = "revision",
    }
    later []
}

record! {
    /// What the stream wants of a node.
    pub struct Spec {
        /// Why the stream exists; decides what must be said about it.
        intent: Word<Intent> = "intent",
        /// Ticket of the bug; required for intent `bug-patch`.
        #[schemars(length(min = 1, max = 200))]
        reference: Option<Text> = "reference",
        /// Machine config pools that may carry the stream; `compile --pool` picks among them.
        #[schemars(length(min = 1))]
        pools: List<Text> = "pools",
        /// Must meet one of the node's audiences in its trust file.
        #[schemars(length(min = 1))]
        audience: Option<List<Text>> = "audience",
        /// What a node must be for the stream to run there.
        applies_to: Option<AppliesTo> = "appliesTo",
        /// The stream ends at this moment: UTC, whole seconds, such as `2027-03-31T00:00:00Z`.
        #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
        expires: Option<Text> = "expires",
        /// What happens to running programs then. Default `detach`; `keep` for intent `security`.
        on_expiry: Option<Word<Ending>> = "onExpiry",
        /// What happens to running programs when the bundle is gone. Default `detach`; `keep` for intent `security`.
        on_removal: Option<Word<Ending>> = "onRemoval",
        /// Nodes that ran this revision refuse revisions below this number from then on.
        #[schemars(range(min = 1, max = 4_294_967_295_i64))]
        rollback_floor: Option<Number> = "rollbackFloor",
        /// When in the boot of a node: `early`, before the network, or `normal`, after it and before kubelet (default).
        stage: Option<Word<Stage>> = "stage",
        /// What a failure means for the node: it boots all the same (`open`, default), or kubelet waits (`closed`).
        failure_policy: Option<Word<FailurePolicy>> = "failurePolicy",
        /// Programs and where they run.
        #[schemars(length(min = 1))]
        programs: List<Program> = "programs",
        /// What to know about maps, by C variable.
        maps: Option<Dict<Map>> = "maps",
    }
    later ["requires"]
}

record! {
    /// What a node must be for the stream to run there. What is left out means: any.
    pub struct AppliesTo {
        /// Kernels in RPM order of `uname -r`, such as `>=5.14.0-427 <5.14.0-570.30.1`.
        kernel: Option<Text> = "kernel",
        /// OpenShift minor releases, such as `>=4.16 <4.20`.
        ocp: Option<Text> = "ocp",
        /// Architectures.
        #[schemars(length(min = 1))]
        architectures: Option<List<Word<Architecture>>> = "architectures",
    }
    later []
}

record! {
    /// One program and where it runs.
    pub struct Program {
        /// Its C function.
        #[schemars(length(min = 1, max = 127), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
        name: Text = "name",
        /// File with the compiled object, relative to the manifest and not outside its directory; or one per architecture.
        object: ObjectPath = "object",
        /// Values of the object's global variables, by C variable.
        globals: Option<Dict<Spanned<Literal>>> = "globals",
        /// Where it is attached. May be left out only if a map has the program in a slot, for tail calls.
        #[schemars(length(min = 1))]
        attach: Option<List<Attach>> = "attach",
    }
    later ["stage"]
}

/// Where the object of a program is.
#[derive(Clone, Debug)]
pub enum ObjectPath {
    /// One file for every architecture.
    One(Text),
    /// A file per architecture.
    PerArchitecture(Dict<Text>),
}

record! {
    /// One place: the key names the hook.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub struct Attach {
        /// On interfaces, in the receive path before anything else.
        xdp: Option<Keyed<Xdp>> = "xdp",
        /// On interfaces, at traffic control (TCX).
        tc: Option<Keyed<Tc>> = "tc",
        /// On sockets and packets of a cgroup and all below it.
        cgroup: Option<Keyed<Cgroup>> = "cgroup",
        /// On a static tracepoint.
        tracepoint: Option<Keyed<Tracepoint>> = "tracepoint",
        /// On a static tracepoint, with raw arguments.
        raw_tracepoint: Option<Keyed<Named>> = "rawTracepoint",
        /// On a static tracepoint, with typed arguments.
        btf_tracepoint: Option<Keyed<Named>> = "btfTracepoint",
        /// On an instruction of a kernel function.
        kprobe: Option<Keyed<Kprobe>> = "kprobe",
        /// On the return of a kernel function.
        kretprobe: Option<Keyed<Function>> = "kretprobe",
        /// On the entry of a kernel function, with typed arguments.
        fentry: Option<Keyed<Function>> = "fentry",
        /// On the return of a kernel function, with typed arguments and result.
        fexit: Option<Keyed<Function>> = "fexit",
        /// On a hook of the Linux security modules.
        lsm: Option<Keyed<Lsm>> = "lsm",
    }
    later [
        "uprobe", "uretprobe", "usdt", "perfEvent", "skLookup", "skMsg", "skSkb", "socketFilter",
        "flowDissector", "netfilter", "netkit", "iter", "structOps",
    ]
}

record! {
    /// An XDP program's place.
    pub struct Xdp {
        /// Every interface that any of these selects.
        #[schemars(length(min = 1))]
        interfaces: List<Selector> = "interfaces",
        /// Where in the receive path. Default `native`.
        mode: Option<Word<XdpMode>> = "mode",
        /// Place in the chain: 0 to 1000, lower runs first, inside the owner's band. There is no default.
        #[schemars(range(min = 0, max = 1000))]
        priority: Number = "priority",
        /// Verdicts after which the next program runs. Default `[pass]`.
        #[schemars(length(min = 1))]
        proceed_on: Option<List<Word<XdpAction>>> = "proceedOn",
    }
    later ["frags"]
}

record! {
    /// A TC program's place.
    pub struct Tc {
        /// Every interface that any of these selects.
        #[schemars(length(min = 1))]
        interfaces: List<Selector> = "interfaces",
        /// Received or sent packets.
        direction: Word<Direction> = "direction",
        /// Place among nodebpf's programs: 0 to 1000, lower runs first, inside the owner's band. There is no default.
        #[schemars(range(min = 0, max = 1000))]
        priority: Number = "priority",
        /// Verdicts that the program may return. All but `next` end the chain, also for others' filters behind it.
        #[schemars(length(min = 1))]
        verdicts: List<Word<TcVerdict>> = "verdicts",
        /// Runs before the program of this name, where somebody else has one.
        before: Option<Text> = "before",
        /// Runs after the program of this name, where somebody else has one.
        after: Option<Text> = "after",
    }
    later []
}

record! {
    /// A cgroup program's place.
    pub struct Cgroup {
        /// The cgroup, from the root of the unified hierarchy, such as `/kubepods.slice`; `/` for all of the node.
        #[schemars(length(min = 1, max = 1023))]
        path: Text = "path",
        /// What the program decides about, in the words of libbpf's section names.
        attach_type: Word<CgroupAttachType> = "attachType",
    }
    later []
}

record! {
    /// A tracepoint program's place.
    pub struct Tracepoint {
        /// Category, such as `sched`.
        category: Text = "category",
        /// Name, such as `sched_switch`.
        name: Text = "name",
    }
    later []
}

record! {
    /// The place of a program on a tracepoint.
    pub struct Named {
        /// Name of the tracepoint, such as `sched_switch`.
        name: Text = "name",
    }
    later []
}

record! {
    /// A kprobe's place.
    pub struct Kprobe {
        /// Kernel function.
        function: Text = "function",
        /// Instruction, in bytes from the function's start. Default 0.
        #[schemars(range(min = 0))]
        offset: Option<Number> = "offset",
    }
    later []
}

record! {
    /// A place at a kernel function.
    pub struct Function {
        /// Kernel function.
        function: Text = "function",
    }
    later []
}

record! {
    /// A security program's place.
    pub struct Lsm {
        /// Hook, such as `file_open`.
        hook: Text = "hook",
    }
    later []
}

record! {
    /// Selects interfaces of the node: one of the first five keys.
    pub struct Selector {
        /// By name, with `*` and `?`.
        #[schemars(length(min = 1, max = 30))]
        name: Option<Text> = "name",
        /// The physical uplink below the default route, looked through OVS, VLAN and bond: `true`.
        primary: Option<Spanned<bool>> = "primary",
        /// By the driver's name, as `ethtool -i` shows it.
        #[schemars(length(min = 1, max = 31))]
        driver: Option<Text> = "driver",
        /// By MAC address, such as `52:54:00:12:34:56`.
        mac: Option<Text> = "mac",
        /// The members of this bond.
        #[schemars(length(min = 1, max = 15))]
        members_of: Option<Text> = "membersOf",
        /// Names that are not meant nevertheless, with `*` and `?`.
        #[schemars(length(min = 1))]
        exclude: Option<List<Text>> = "exclude",
    }
    later []
}

record! {
    /// What to know about a map.
    pub struct Map {
        /// Its content: new with every bundle, frozen before programs run.
        #[schemars(length(min = 1))]
        entries: Option<List<Entry>> = "entries",
        /// Programs that tail calls reach, of a `prog_array`, by index.
        slots: Option<Dict<Text>> = "slots",
        /// Whether its content survives updates, as long as its shape is equal. Never together with `entries`.
        persist: Option<Spanned<bool>> = "persist",
        /// Size instead of the object's: entries, or bytes of a ring buffer.
        #[schemars(range(min = 1, max = 4_294_967_295_i64))]
        max_entries: Option<Number> = "maxEntries",
        /// Where its value is shown.
        export: Option<Export> = "export",
        /// Who reads a ring buffer or perf event array, in a few words.
        #[schemars(length(min = 1, max = 200))]
        consumer: Option<Text> = "consumer",
    }
    later ["pinned"]
}

record! {
    /// One entry. Numbers, truth values, text, IP and MAC addresses, bytes as `"0x…"`, lists for arrays, maps for structures.
    pub struct Entry {
        /// Key.
        key: Spanned<Literal> = "key",
        /// Value.
        value: Spanned<Literal> = "value",
    }
    later []
}

record! {
    /// Where a map's value is shown.
    pub struct Export {
        /// Under this name by `status`, in JSON and as a metric: the first value, per-CPU values summed.
        #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
        counter: Text = "counter",
    }
    later ["gauge", "histogram"]
}

/// The content of an [`Attach`], of the hook it names.
#[derive(Clone, Copy, Debug)]
pub enum AnyAttach<'a> {
    /// `xdp`
    Xdp(&'a Xdp),
    /// `tc`
    Tc(&'a Tc),
    /// `cgroup`
    Cgroup(&'a Cgroup),
    /// `tracepoint`
    Tracepoint(&'a Tracepoint),
    /// `rawTracepoint`
    RawTracepoint(&'a Named),
    /// `btfTracepoint`
    BtfTracepoint(&'a Named),
    /// `kprobe`
    Kprobe(&'a Kprobe),
    /// `kretprobe`
    Kretprobe(&'a Function),
    /// `fentry`
    Fentry(&'a Function),
    /// `fexit`
    Fexit(&'a Function),
    /// `lsm`
    Lsm(&'a Lsm),
}

impl AnyAttach<'_> {
    /// Which hook.
    pub fn hook(self) -> Hook {
        match self {
            Self::Xdp(_) => Hook::Xdp,
            Self::Tc(_) => Hook::Tc,
            Self::Cgroup(_) => Hook::Cgroup,
            Self::Tracepoint(_) => Hook::Tracepoint,
            Self::RawTracepoint(_) => Hook::RawTracepoint,
            Self::BtfTracepoint(_) => Hook::BtfTracepoint,
            Self::Kprobe(_) => Hook::Kprobe,
            Self::Kretprobe(_) => Hook::Kretprobe,
            Self::Fentry(_) => Hook::Fentry,
            Self::Fexit(_) => Hook::Fexit,
            Self::Lsm(_) => Hook::Lsm,
        }
    }
}

impl Attach {
    /// All hooks that are named, with their keys; a sound attachment names one.
    pub fn named(&self) -> Vec<Keyed<AnyAttach<'_>>> {
        fn one<'a, T>(found: Option<&'a Keyed<T>>, any: fn(&'a T) -> AnyAttach<'a>) -> Option<Keyed<AnyAttach<'a>>> {
            found.map(|found| Keyed { key: found.key, value: any(&found.value) })
        }
        let mut named: Vec<_> = [
            one(self.xdp.as_ref(), AnyAttach::Xdp),
            one(self.tc.as_ref(), AnyAttach::Tc),
            one(self.cgroup.as_ref(), AnyAttach::Cgroup),
            one(self.tracepoint.as_ref(), AnyAttach::Tracepoint),
            one(self.raw_tracepoint.as_ref(), AnyAttach::RawTracepoint),
            one(self.btf_tracepoint.as_ref(), AnyAttach::BtfTracepoint),
            one(self.kprobe.as_ref(), AnyAttach::Kprobe),
            one(self.kretprobe.as_ref(), AnyAttach::Kretprobe),
            one(self.fentry.as_ref(), AnyAttach::Fentry),
            one(self.fexit.as_ref(), AnyAttach::Fexit),
            one(self.lsm.as_ref(), AnyAttach::Lsm),
        ]
        .into_iter()
        .flatten()
        .collect();
        named.sort_by_key(|found| found.key);
        named
    }
}

impl Decode for ObjectPath {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        match node.value {
            Value::Map(_) => Dict::decode(node, place, d).map(Self::PerArchitecture),
            _ => Text::decode(node, place, d).map(Self::One),
        }
    }
}

impl JsonSchema for ObjectPath {
    fn schema_name() -> Cow<'static, str> {
        "ObjectPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": {
                        "amd64": { "type": "string", "minLength": 1 },
                        "arm64": { "type": "string", "minLength": 1 },
                    },
                    "additionalProperties": false,
                    "minProperties": 1,
                },
            ]
        })
    }
}

macro_rules! words {
    ($type:ty, $name:literal, [$($word:literal => $value:expr),* $(,)?], later [$($later:literal),*]) => {
        impl Words for $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $value)),*];
            const LATER: &'static [&'static str] = &[$($later),*];
            const NAME: &'static str = $name;
        }
    };
}

words!(ApiVersion, "ApiVersion", ["nodebpf.io/v1alpha1" => Self], later []);
words!(Kind, "Kind", ["BpfManifest" => Self], later []);
words!(FailurePolicy, "FailurePolicy", ["open" => Self::Open, "closed" => Self::Closed], later []);
words!(Stage, "Stage", ["early" => Self::Early, "normal" => Self::Normal], later []);
words!(Direction, "Direction", ["ingress" => Self::Ingress, "egress" => Self::Egress], later []);
words!(
    TcVerdict,
    "TcVerdict",
    ["next" => Self::Next, "pass" => Self::Pass, "drop" => Self::Drop, "redirect" => Self::Redirect],
    later []
);
words!(
    CgroupAttachType,
    "CgroupAttachType",
    [
        "ingress" => Self::Ingress,
        "egress" => Self::Egress,
        "sock_create" => Self::SockCreate,
        "sock_release" => Self::SockRelease,
        "sockops" => Self::Sockops,
        "bind4" => Self::Bind4,
        "bind6" => Self::Bind6,
        "post_bind4" => Self::PostBind4,
        "post_bind6" => Self::PostBind6,
        "connect4" => Self::Connect4,
        "connect6" => Self::Connect6,
        "sendmsg4" => Self::Sendmsg4,
        "sendmsg6" => Self::Sendmsg6,
        "recvmsg4" => Self::Recvmsg4,
        "recvmsg6" => Self::Recvmsg6,
        "getpeername4" => Self::Getpeername4,
        "getpeername6" => Self::Getpeername6,
        "getsockname4" => Self::Getsockname4,
        "getsockname6" => Self::Getsockname6,
        "getsockopt" => Self::Getsockopt,
        "setsockopt" => Self::Setsockopt,
        "sysctl" => Self::Sysctl,
    ],
    later ["connect_unix", "sendmsg_unix", "recvmsg_unix", "getpeername_unix", "getsockname_unix"]
);
words!(Architecture, "Architecture", ["amd64" => Self::Amd64, "arm64" => Self::Arm64], later ["ppc64le", "s390x"]);
words!(Ending, "Ending", ["detach" => Self::Detach, "keep" => Self::Keep], later []);
words!(XdpMode, "XdpMode", ["native" => Self::Native, "skb" => Self::Skb], later ["offload"]);
words!(
    Intent,
    "Intent",
    [
        "bug-patch" => Self::BugPatch,
        "feature" => Self::Feature,
        "observability" => Self::Observability,
        "security" => Self::Security,
    ],
    later []
);
words!(
    XdpAction,
    "XdpAction",
    [
        "aborted" => Self::Aborted,
        "drop" => Self::Drop,
        "pass" => Self::Pass,
        "tx" => Self::Tx,
        "redirect" => Self::Redirect,
        "dispatcherReturn" => Self::DispatcherReturn,
    ],
    later []
);

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of the manifest are those of the plan.
    #[test]
    fn words_are_those_of_the_wire() {
        fn check<T: Words + serde::Serialize>() {
            for (word, value) in T::WORDS {
                assert_eq!(serde_json::to_string(value).unwrap(), format!("\"{word}\""), "{}", T::NAME);
            }
        }
        check::<Intent>();
        check::<Ending>();
        check::<XdpMode>();
        check::<XdpAction>();
        check::<Architecture>();
        check::<FailurePolicy>();
        check::<Stage>();
        check::<Direction>();
        check::<TcVerdict>();
        check::<CgroupAttachType>();
        assert_eq!(CgroupAttachType::WORDS.len(), CgroupAttachType::ALL.len());
        assert_eq!(XdpAction::WORDS.len(), XdpAction::ALL.len());
    }
}
