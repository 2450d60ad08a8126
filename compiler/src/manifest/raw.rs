//! Raw types of the manifest: YAML types are right, places are kept, nothing else is believed.
//!
//! The doc comments become the descriptions of the JSON Schema.

use std::borrow::Cow;

use nodeplan::{
    applies::Architecture,
    plan::{Ending, Intent},
    xdp::{XdpAction, XdpMode},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    source::Spanned,
    yaml::{
        Node, Value,
        decode::{Decode, Decoder, Place, not_built, record},
        types::{Dict, List, Number, Scalar, Text, Word, Words},
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
        /// What a failure means for the node. Default, and only choice in this version: `open`.
        failure_policy: Option<Word<FailurePolicy>> = "failurePolicy",
        /// Programs and where they run.
        #[schemars(length(min = 1))]
        programs: List<Program> = "programs",
        /// What to know about maps, by C variable.
        maps: Option<Dict<Map>> = "maps",
    }
    later ["rollbackFloor", "stage", "requires"]
}

record! {
    /// What a node must be for the stream to run there. What is left out means: any.
    pub struct AppliesTo {
        /// Kernels in RPM order of `uname -r`, such as `>=5.14.0-427 <5.14.0-570.30.1`.
        kernel: Option<Text> = "kernel",
        /// Architectures.
        #[schemars(length(min = 1))]
        architectures: Option<List<Word<Architecture>>> = "architectures",
    }
    later ["ocp"]
}

/// What a failure of the stream means for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// The node boots all the same.
    Open,
}

record! {
    /// One program and where it runs.
    pub struct Program {
        /// Its C function.
        #[schemars(length(min = 1, max = 127), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
        name: Text = "name",
        /// File with the compiled object, relative to the manifest and not outside its directory.
        object: ObjectPath = "object",
        /// Where it is attached.
        #[schemars(length(min = 1))]
        attach: List<Attach> = "attach",
    }
    later ["globals", "stage"]
}

/// Path of an object.
#[derive(Clone, Debug)]
pub struct ObjectPath(pub Text);

record! {
    /// One place: the key names the hook.
    pub struct Attach {
        /// On interfaces, in the receive path before anything else.
        xdp: Xdp = "xdp",
    }
    later [
        "tc", "tcx", "cgroup", "tracepoint", "rawTracepoint", "btfTracepoint", "kprobe", "kretprobe", "fentry",
        "fexit", "lsm", "uprobe", "uretprobe", "usdt", "perfEvent", "skLookup", "skMsg", "skSkb", "socketFilter",
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
    later ["frags", "stage"]
}

record! {
    /// Selects interfaces of the node.
    pub struct Selector {
        /// By name, with `*` and `?`.
        #[schemars(length(min = 1, max = 30))]
        name: Text = "name",
    }
    later ["primary", "driver", "mac", "membersOf"]
}

record! {
    /// What to know about a map.
    pub struct Map {
        /// Its content: new with every bundle, frozen before programs run.
        #[schemars(length(min = 1))]
        entries: Option<List<Entry>> = "entries",
        /// Where its value is shown.
        export: Option<Export> = "export",
    }
    later ["persist", "maxEntries", "pinned"]
}

record! {
    /// One entry. Numbers, truth values, IPv4 addresses (`__be32`), or bytes as `"0x…"`.
    pub struct Entry {
        /// Key.
        key: Spanned<Scalar> = "key",
        /// Value.
        value: Spanned<Scalar> = "value",
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

impl Decode for ObjectPath {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        if let Value::Map(_) = node.value {
            d.diags.push(not_built("object: one per architecture", place.span));
            return None;
        }
        Text::decode(node, place, d).map(Self)
    }
}

impl JsonSchema for ObjectPath {
    fn schema_name() -> Cow<'static, str> {
        "ObjectPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1 })
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
words!(FailurePolicy, "FailurePolicy", ["open" => Self::Open], later ["closed"]);
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
        assert_eq!(XdpAction::WORDS.len(), XdpAction::ALL.len());
    }
}
