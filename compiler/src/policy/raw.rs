//! Raw types of the policy: `kind: BpfPolicy`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::neighbours::NeighbourId;
use crate::{
    manifest::raw::ApiVersion,
    source::Spanned,
    yaml::{
        Node, Value,
        decode::{Decode, Decoder, Place, record},
        types::{Dict, List, Number, Scalar, Text, Word, Words},
    },
};

record! {
    /// Who may run which eBPF programs on the nodes that hold this policy.
    pub struct Policy {
        /// Version of this format.
        api_version: Word<ApiVersion> = "apiVersion",
        /// What the document is.
        kind: Word<Kind> = "kind",
        /// Its name.
        metadata: Metadata = "metadata",
        /// Its rules.
        spec: Spec = "spec",
    }
    later []
}

/// `kind` of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind;

impl Words for Kind {
    const WORDS: &'static [(&'static str, Self)] = &[("BpfPolicy", Self)];
    const NAME: &'static str = "PolicyKind";
}

record! {
    /// Name of the policy.
    pub struct Metadata {
        /// A DNS label, for people.
        name: Text = "name",
    }
    later []
}

record! {
    /// Rules of the policy.
    pub struct Spec {
        /// Rises with every change. From 1.
        version: Number = "version",
        /// What these nodes are; bundles name one of them.
        audiences: Option<List<Text>> = "audiences",
        /// Who may run programs.
        owners: List<Owner> = "owners",
        /// Who may write the next version.
        roots: Option<Keys> = "roots",
        /// Lowest revision accepted, per stream.
        floors: Option<Dict<Number>> = "floors",
        /// Ids of keys that count no more, wherever they are listed.
        revoked_keys: Option<List<Text>> = "revokedKeys",
        /// SHA-256 of statements that are refused.
        revoked_bundles: Option<List<Text>> = "revokedBundles",
        /// Streams for which kubelet waits on nodes that have their bundle; of owners with `mayClose`.
        #[schemars(length(min = 1))]
        required_streams: Option<List<Text>> = "requiredStreams",
        /// Most seconds that it waits for them. Default 300.
        #[schemars(range(min = 1, max = 3600))]
        hold_seconds: Option<Number> = "holdSeconds",
        /// Machine config pools of the cluster. Absent: pools are not judged, and all but `master` carry worker's streams.
        pools: Option<Dict<Pool>> = "pools",
        /// Interfaces that no stream may name, with `*` and `?`.
        #[schemars(length(min = 1))]
        reserved_interfaces: Option<List<Text>> = "reservedInterfaces",
        /// Priorities that nodebpf's programs leave to others.
        reserved: Option<Reserved> = "reserved",
        /// What streams of intent `bug-patch` must say.
        bug_patches: Option<BugPatches> = "bugPatches",
        /// Other eBPF on the cluster. `[]`: there is none. Absent: unknown.
        coexists_with: Option<List<Neighbour>> = "coexistsWith",
    }
    later []
}

record! {
    /// A machine config pool.
    pub struct Pool {
        /// The pool whose MachineConfigs its nodes get as well: `worker` for a custom pool.
        #[schemars(length(min = 1, max = 63))]
        inherits: Option<Text> = "inherits",
        /// Whether its nodes run the control plane.
        control_plane: Option<Spanned<bool>> = "controlPlane",
        /// Whether streams may hold back kubelet there. Default: `false` on the control plane, else `true`.
        allow_closed: Option<Spanned<bool>> = "allowClosed",
    }
    later []
}

record! {
    /// Priorities that nodebpf's programs leave to others, by hook.
    pub struct Reserved {
        /// XDP, such as 50, where libxdp puts programs loaded by hand.
        xdp: Option<List<ReservedRange>> = "xdp",
        /// TC.
        tc: Option<List<ReservedRange>> = "tc",
    }
    later []
}

record! {
    /// Priorities of somebody else.
    pub struct ReservedRange {
        /// First and last priority.
        #[schemars(length(min = 2, max = 2))]
        priorities: List<Spanned<i64>> = "priorities",
        /// Whose they are, in a few words.
        #[schemars(length(min = 1, max = 200))]
        reason: Text = "reason",
    }
    later []
}

record! {
    /// What streams of intent `bug-patch` must say.
    pub struct BugPatches {
        /// Form of `reference`, with `*` and `?`, such as `OCPBUGS-*`.
        #[schemars(length(min = 1, max = 200))]
        reference: Option<Text> = "reference",
        /// Longest time to `expires`, in days; without `expires` such streams are refused then.
        #[schemars(range(min = 1, max = 36_500))]
        max_days: Option<Number> = "maxDays",
    }
    later []
}

/// Other eBPF on the cluster: its name, or its name and where it runs.
#[derive(Clone, Debug)]
pub enum Neighbour {
    /// Wherever nodebpf's table says.
    Anywhere(Word<NeighbourId>),
    /// On these interfaces.
    On(NeighbourOn),
}

record! {
    /// Other eBPF and where it runs.
    pub struct NeighbourOn {
        /// Its name.
        name: Word<NeighbourId> = "name",
        /// Interfaces on which it runs, with `*` and `?`.
        #[schemars(length(min = 1))]
        interfaces: List<Text> = "interfaces",
    }
    later []
}

/// A number of bytes: `16777216`, or `16Mi` with Ki, Mi or Gi.
#[derive(Clone, Debug)]
pub struct Size(pub Spanned<Scalar>);

record! {
    /// Keys of which a number must have signed.
    pub struct Keys {
        /// Files with PEM public keys, relative to this file.
        keys: List<Text> = "keys",
        /// Distinct keys that must have signed. Default 1.
        threshold: Option<Number> = "threshold",
    }
    later []
}

record! {
    /// Who may run programs, and which.
    pub struct Owner {
        /// Name, as manifests write it.
        name: Text = "name",
        /// Files with PEM public keys of the owner, relative to this file.
        keys: List<Text> = "keys",
        /// Distinct keys that must have signed. Default 1.
        threshold: Option<Number> = "threshold",
        /// Stream names that belong to the owner, with `*` and `?`.
        streams: List<Text> = "streams",
        /// Hooks the owner may use.
        hooks: Hooks = "hooks",
        /// Bounds of each of its streams.
        limits: Option<Limits> = "limits",
        /// Whether its streams may have `failurePolicy: closed`. Default `false`.
        may_close: Option<Spanned<bool>> = "mayClose",
    }
    later []
}

record! {
    /// Bounds of each stream of an owner.
    pub struct Limits {
        /// Most programs.
        #[schemars(range(min = 1, max = 4_294_967_295_i64))]
        programs: Option<Number> = "programs",
        /// Most memory of all maps, in bytes: `16777216` or `16Mi`.
        map_bytes: Option<Size> = "mapBytes",
    }
    later []
}

record! {
    /// Hooks an owner may use; what is not named is forbidden.
    pub struct Hooks {
        /// XDP.
        xdp: Option<Ordered> = "xdp",
        /// TC.
        tc: Option<Ordered> = "tc",
        /// Cgroups.
        cgroup: Option<Plain> = "cgroup",
        /// Tracepoints.
        tracepoint: Option<Plain> = "tracepoint",
        /// Raw tracepoints.
        raw_tracepoint: Option<Plain> = "rawTracepoint",
        /// Typed tracepoints.
        btf_tracepoint: Option<Plain> = "btfTracepoint",
        /// Kprobes.
        kprobe: Option<Plain> = "kprobe",
        /// Return probes.
        kretprobe: Option<Plain> = "kretprobe",
        /// Entries of kernel functions.
        fentry: Option<Plain> = "fentry",
        /// Returns of kernel functions.
        fexit: Option<Plain> = "fexit",
        /// Security hooks.
        lsm: Option<Plain> = "lsm",
    }
    later []
}

record! {
    /// What an owner may do on a hook where programs have priorities.
    pub struct Ordered {
        /// First and last priority that belong to the owner.
        band: List<Spanned<i64>> = "band",
    }
    later []
}

record! {
    /// What an owner may do on a hook without priorities: `{}`, everything.
    pub struct Plain {}
    later []
}

impl Words for NeighbourId {
    const WORDS: &'static [(&'static str, Self)] = Self::NAMES;
    const NAME: &'static str = "NeighbourId";
}

impl Decode for Neighbour {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        match &node.value {
            Value::Map(_) => NeighbourOn::decode(node, place, d).map(Self::On),
            _ => Word::decode(node, place, d).map(Self::Anywhere),
        }
    }
}

impl JsonSchema for Neighbour {
    fn schema_name() -> Cow<'static, str> {
        "Neighbour".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<Word<NeighbourId>>();
        let on = generator.subschema_for::<NeighbourOn>();
        json_schema!({ "oneOf": [word, on] })
    }
}

impl Decode for Size {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        match &node.value {
            Value::Int(_) | Value::Text(_) => Spanned::decode(node, place, d).map(Self),
            _ => {
                d.wrong_type(node, place, "a number of bytes", Some("for example `16Mi`".to_owned()));
                None
            }
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 1 },
            { "type": "string", "pattern": "^[1-9][0-9]*(Ki|Mi|Gi)?$" },
        ] })
    }
}
