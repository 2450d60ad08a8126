//! Other eBPF that runs on OpenShift clusters: where it sits, what its programs are called, what it does to others.
//!
//! In:   nothing. Out: [`Neighbour`]s, by [`NeighbourId`]. Cannot fail.
//!
//! Data, read in each project's own source in the middle of 2026 unless the line says otherwise. A cluster's policy
//! picks from it by `coexistsWith`. What a project decides at run time (its custom resources, its flags) is not in
//! here; a policy can say it with `interfaces`, and where it does not, reports say "cannot tell".

use nodeplan::hook::{CgroupAttachType, Direction};

use CgroupAttachType::{
    Bind4, Bind6, Connect4, Connect6, Egress, Getpeername4, Getpeername6, Ingress, PostBind4, PostBind6, Recvmsg4,
    Recvmsg6, Sendmsg4, Sendmsg6, SockRelease, Sockops,
};

/// Other eBPF.
#[derive(Clone, Debug)]
pub struct Neighbour {
    /// Its name in policies.
    pub name: &'static str,
    /// Its XDP programs, if it has any.
    pub xdp: Option<Xdp>,
    /// Its TC programs, if it has any.
    pub tc: Option<Tc>,
    /// Cgroup hooks that it uses at the root, and counts as its own.
    pub cgroup_root: &'static [CgroupAttachType],
    /// How its kernel programs are called, by prefix: it takes such programs for its own, and may remove them.
    pub prefixes: &'static [&'static str],
    /// Where it was read.
    pub source: &'static str,
}

/// How XDP programs of a neighbour hold an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// By a `bpf_link`, which the kernel lets nobody replace.
    Link,
    /// By netlink; it replaces what is there by force.
    Forced,
    /// Through a libxdp dispatcher, which has room for others.
    Libxdp,
}

/// XDP of a neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Xdp {
    /// How it holds an interface.
    pub hold: Hold,
    /// Whether it has XDP programs only if it is told to.
    pub optional: bool,
}

/// TC of a neighbour.
#[derive(Clone, Copy, Debug)]
pub struct Tc {
    /// Programs at the physical and bonded interfaces, by direction; names in full.
    pub programs: &'static [(Direction, &'static str)],
    /// Whether it may be attached as filters of classic traffic control, which run behind all of TCX.
    pub classic: bool,
    /// Whether its verdicts end the chain.
    pub terminal: bool,
}

const NONE: &[CgroupAttachType] = &[];

const IN: Direction = Direction::Ingress;
const OUT: Direction = Direction::Egress;

macro_rules! neighbours {
    ($($(#[$doc:meta])* $id:ident = $name:literal {
        xdp: $xdp:expr, tc: $tc:expr, cgroup_root: $cgroup:expr, prefixes: $prefixes:expr, source: $source:literal,
    })*) => {
        /// Names of [`Neighbour`]s.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum NeighbourId {
            $($(#[$doc])* $id,)*
        }

        impl NeighbourId {
            /// All of them with their words in policies.
            pub const NAMES: &'static [(&'static str, Self)] = &[$(($name, Self::$id)),*];

            /// What is known of it.
            pub fn facts(self) -> Neighbour {
                match self {
                    $(Self::$id => Neighbour {
                        name: $name,
                        xdp: $xdp,
                        tc: $tc,
                        cgroup_root: $cgroup,
                        prefixes: $prefixes,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

neighbours! {
    /// OVN-Kubernetes: Open vSwitch and nftables, no eBPF.
    OvnKubernetes = "ovn-kubernetes" {
        xdp: None, tc: None, cgroup_root: NONE, prefixes: &[],
        source: "ovn-kubernetes 8871cd9: loads no program",
    }
    /// Cilium.
    Cilium = "cilium" {
        xdp: Some(Xdp { hold: Hold::Link, optional: true }),
        tc: Some(Tc {
            programs: &[(IN, "cil_from_netdev"), (OUT, "cil_to_netdev")],
            classic: true,
            terminal: true,
        }),
        cgroup_root: &[
            Connect4, Connect6, Sendmsg4, Sendmsg6, Recvmsg4, Recvmsg6, Getpeername4, Getpeername6, PostBind4,
            PostBind6, Bind4, Bind6, SockRelease,
        ],
        prefixes: &["cil_"],
        source: "cilium pkg/datapath/loader: tc.go 07ceead, tcx.go 0a25351, xdp.go 00fcf65; pkg/socketlb/cgroup.go 2654149",
    }
    /// Calico with its eBPF data plane.
    Calico = "calico" {
        xdp: Some(Xdp { hold: Hold::Forced, optional: true }),
        tc: Some(Tc {
            programs: &[(IN, "cali_tc_preamble"), (OUT, "cali_tc_preamble")],
            classic: true,
            terminal: true,
        }),
        cgroup_root: &[Connect4, Connect6, Sendmsg4, Sendmsg6, Recvmsg4, Recvmsg6],
        prefixes: &["cali_", "calico_"],
        source: "calico 87c1590: felix/bpf/tc, felix/bpf/xdp, felix/bpf/nat",
    }
    /// Ingress Node Firewall operator.
    IngressNodeFirewall = "ingress-node-firewall" {
        xdp: Some(Xdp { hold: Hold::Link, optional: false }),
        tc: Some(Tc { programs: &[(IN, "tcx_ingress_node_firewall_process")], classic: false, terminal: false }),
        cgroup_root: NONE,
        prefixes: &[],
        source: "ingress-node-firewall 1223118: pkg/ebpf, bpf/ingress_node_firewall_kernel.c",
    }
    /// Network Observability's agent; TCX unless told otherwise, and its programs hand on.
    Netobserv = "netobserv" {
        xdp: None,
        tc: Some(Tc {
            programs: &[(IN, "tcx_ingress_flow_parse"), (OUT, "tcx_egress_flow_parse")],
            classic: false,
            terminal: false,
        }),
        cgroup_root: NONE,
        prefixes: &[],
        source: "netobserv-ebpf-agent 56a7d35: pkg/tracer/tracer.go",
    }
    /// bpfman, also as the eBPF Manager Operator.
    Bpfman = "bpfman" {
        xdp: Some(Xdp { hold: Hold::Link, optional: true }),
        tc: Some(Tc { programs: &[(IN, "tc_dispatcher"), (OUT, "tc_dispatcher")], classic: true, terminal: true }),
        cgroup_root: NONE,
        prefixes: &[],
        source: "bpfman 385d6f5: bpfman/src/multiprog",
    }
    /// Programs loaded by hand with xdp-tools, at priority 50 unless told otherwise.
    XdpTools = "xdp-tools" {
        xdp: Some(Xdp { hold: Hold::Libxdp, optional: false }),
        tc: None, cgroup_root: NONE, prefixes: &[],
        source: "xdp-tools lib/libxdp/protocol.org",
    }
    /// `AF_XDP` device plugin: one program per interface that it hands to a pod, priority 20.
    AfxdpPlugins = "afxdp-plugins" {
        xdp: Some(Xdp { hold: Hold::Libxdp, optional: false }),
        tc: None, cgroup_root: NONE, prefixes: &[],
        source: "intel/afxdp-plugins internal/bpf/bpfWrapper.c: detaches the whole dispatcher when it cleans up",
    }
    /// Beyla, now OpenTelemetry eBPF Instrumentation.
    Beyla = "beyla" {
        xdp: Some(Xdp { hold: Hold::Link, optional: true }),
        tc: Some(Tc {
            programs: &[(IN, "beyla_app_ingress"), (OUT, "beyla_app_egress")],
            classic: true,
            terminal: false,
        }),
        cgroup_root: &[Sockops],
        prefixes: &[],
        source: "open-telemetry/opentelemetry-ebpf-instrumentation 6955b658; grafana/beyla#2691",
    }
    /// Datadog's security agent.
    Datadog = "datadog" {
        xdp: None,
        tc: Some(Tc { programs: &[], classic: true, terminal: false }),
        cgroup_root: NONE, prefixes: &[],
        source: "DataDog/datadog-agent#13762; DataDog/ebpf-manager#67",
    }
    /// Tracee.
    Tracee = "tracee" {
        xdp: None, tc: None,
        cgroup_root: &[Ingress, Egress],
        prefixes: &[],
        source: "aquasecurity/tracee#1828",
    }
    /// Tetragon: tracing and security hooks.
    Tetragon = "tetragon" {
        xdp: None, tc: None, cgroup_root: NONE, prefixes: &[],
        source: "tetragon 4fbfe2d: no network hooks",
    }
    /// Falco, and collectors built on its libraries (Red Hat Advanced Cluster Security, Sysdig).
    Falco = "falco" {
        xdp: None, tc: None, cgroup_root: NONE, prefixes: &[],
        source: "falcosecurity/libs driver/modern_bpf: tracing only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_every_line_has_a_source() {
        for (at, (name, id)) in NeighbourId::NAMES.iter().enumerate() {
            assert_eq!(id.facts().name, *name);
            assert!(!id.facts().source.is_empty(), "{name}");
            assert!(NeighbourId::NAMES[..at].iter().all(|(other, _)| other != name), "{name} twice");
        }
    }
}
