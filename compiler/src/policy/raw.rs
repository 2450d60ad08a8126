//! Raw types of the policy: `kind: BpfPolicy`.

use crate::{
    manifest::raw::ApiVersion,
    source::Spanned,
    yaml::{
        decode::record,
        types::{Dict, List, Number, Text, Word, Words},
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
    }
    later ["pools", "reserved", "reservedInterfaces", "requiredStreams", "holdSeconds", "coexistsWith", "limits"]
}

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
    }
    later ["limits", "failurePolicy", "closed", "interfaces"]
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
