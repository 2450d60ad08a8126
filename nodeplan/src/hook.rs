//! Hooks: the places in the kernel where a program can be attached, and what an attachment says about its place.
//!
//! Plan version 1.0 has XDP with interfaces by name; everything else here came with 1.1.

use serde::Serialize;

use crate::{
    json::{self, Problem, Value},
    name::{AttachPoint, CgroupPath, KernelSymbol, ProgramName},
    priority::Priority,
    selector::Selector,
    xdp::{ProceedOn, XdpMode},
};

/// Kind of a place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Hook {
    /// Receive path of an interface, before anything else.
    Xdp,
    /// Traffic control of an interface (TCX).
    Tc,
    /// Sockets and packets of a cgroup and all below it.
    Cgroup,
    /// A static tracepoint, by category and name.
    Tracepoint,
    /// A static tracepoint with its raw arguments.
    RawTracepoint,
    /// A static tracepoint with typed arguments.
    BtfTracepoint,
    /// Any instruction of a kernel function.
    Kprobe,
    /// Return of a kernel function.
    Kretprobe,
    /// Entry of a kernel function, with typed arguments.
    Fentry,
    /// Return of a kernel function, with typed arguments and result.
    Fexit,
    /// A hook of the Linux security modules.
    Lsm,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Self; 11] = [
        Self::Xdp,
        Self::Tc,
        Self::Cgroup,
        Self::Tracepoint,
        Self::RawTracepoint,
        Self::BtfTracepoint,
        Self::Kprobe,
        Self::Kretprobe,
        Self::Fentry,
        Self::Fexit,
        Self::Lsm,
    ];

    /// The word used in manifests, policies, plans and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Tc => "tc",
            Self::Cgroup => "cgroup",
            Self::Tracepoint => "tracepoint",
            Self::RawTracepoint => "rawTracepoint",
            Self::BtfTracepoint => "btfTracepoint",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Lsm => "lsm",
        }
    }

    /// Whether programs on one place have an order by priority: then attachments have a priority, owners a band.
    pub fn has_priority(self) -> bool {
        matches!(self, Self::Xdp | Self::Tc)
    }

    /// Whether a new program takes the place of the old one in one step. On other hooks the new one is attached
    /// before the old one leaves, and both run for a moment.
    ///
    /// Source: `link_update` exists for cgroup and TCX links and not for perf, raw tracepoint and tracing links:
    /// linux `kernel/bpf/syscall.c`, `link_update`.
    pub fn updates_atomically(self) -> bool {
        matches!(self, Self::Xdp | Self::Tc | Self::Cgroup)
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// One place in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Attachment {
    /// On interfaces, through a libxdp dispatcher.
    Xdp(XdpAttachment),
    /// On interfaces, by TCX.
    Tc(TcAttachment),
    /// On a cgroup.
    Cgroup(CgroupAttachment),
    /// On a tracepoint.
    Tracepoint(TracepointAttachment),
    /// On a tracepoint, raw.
    RawTracepoint(NamedAttachment),
    /// On a tracepoint, typed.
    BtfTracepoint(NamedAttachment),
    /// On an instruction of a kernel function.
    Kprobe(KprobeAttachment),
    /// On the return of a kernel function.
    Kretprobe(FunctionAttachment),
    /// On the entry of a kernel function.
    Fentry(FunctionAttachment),
    /// On the return of a kernel function, typed.
    Fexit(FunctionAttachment),
    /// On a security hook.
    Lsm(LsmAttachment),
}

/// An XDP program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct XdpAttachment {
    /// Every interface that any of them selects. Not empty.
    pub interfaces: Vec<Selector>,
    /// Native or skb.
    pub mode: XdpMode,
    /// Place in the chain.
    pub priority: Priority,
    /// Verdicts after which the chain goes on.
    pub proceed_on: ProceedOn,
    /// Whether the program takes packets of several fragments (section `xdp.frags`): a dispatcher does if all its
    /// programs do. Without it a program is told of no such packet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frags: bool,
}

/// Direction of packets at an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Received.
    Ingress,
    /// Sent.
    Egress,
}

impl Direction {
    /// The word used in manifests and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        }
    }
}

/// Verdict of a TC program under TCX.
///
/// Source: `enum tcx_action_base`, linux `include/uapi/linux/bpf.h`. Every verdict but [`TcVerdict::Next`] ends the
/// chain and skips the filters of classic traffic control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TcVerdict {
    /// The next program decides (`TCX_NEXT`, -1).
    Next,
    /// Handed on, and nobody behind is asked (`TCX_PASS`, 0).
    Pass,
    /// Dropped (`TCX_DROP`, 2).
    Drop,
    /// Sent elsewhere (`TCX_REDIRECT`, 7).
    Redirect,
}

impl TcVerdict {
    /// All verdicts.
    pub const ALL: [Self; 4] = [Self::Next, Self::Pass, Self::Drop, Self::Redirect];

    /// The word used in manifests and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Redirect => "redirect",
        }
    }
}

/// A TC program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TcAttachment {
    /// Every interface that any of them selects. Not empty.
    pub interfaces: Vec<Selector>,
    /// Received or sent packets.
    pub direction: Direction,
    /// Place among nodebpf's programs.
    pub priority: Priority,
    /// Verdicts that the program may return, as its author declares. Sorted, not empty.
    pub verdicts: Vec<TcVerdict>,
    /// Runs before the program of this name, if somebody else has one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<ProgramName>,
    /// Runs after the program of this name, if somebody else has one there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<ProgramName>,
}

/// An attachment on interfaces: programs of all owners stand in a chain there, by priority.
#[derive(Clone, Copy, Debug)]
pub enum Chained<'a> {
    /// In an XDP dispatcher.
    Xdp(&'a XdpAttachment),
    /// In the list of TCX.
    Tc(&'a TcAttachment),
}

macro_rules! cgroup_attach_types {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $number:literal;)*) => {
        /// What of a cgroup a program decides about, in the words of libbpf's section names.
        ///
        /// Source of the numbers: `enum bpf_attach_type`, linux `include/uapi/linux/bpf.h`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        pub enum CgroupAttachType {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl CgroupAttachType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The word used in manifests and reports.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The kernel's number.
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }
        }

        json::decode_words!(CgroupAttachType { $($word: $name,)* });
    };
}

cgroup_attach_types! {
    /// Packets received by the cgroup's sockets.
    Ingress = "ingress", 0;
    /// Packets sent by the cgroup's sockets.
    Egress = "egress", 1;
    /// A socket is made.
    SockCreate = "sock_create", 2;
    /// Events of TCP sockets.
    Sockops = "sockops", 3;
    /// An IPv4 socket is bound.
    Bind4 = "bind4", 8;
    /// An IPv6 socket is bound.
    Bind6 = "bind6", 9;
    /// An IPv4 socket is connected.
    Connect4 = "connect4", 10;
    /// An IPv6 socket is connected.
    Connect6 = "connect6", 11;
    /// An IPv4 socket was bound.
    PostBind4 = "post_bind4", 12;
    /// An IPv6 socket was bound.
    PostBind6 = "post_bind6", 13;
    /// An IPv4 datagram is sent.
    Sendmsg4 = "sendmsg4", 14;
    /// An IPv6 datagram is sent.
    Sendmsg6 = "sendmsg6", 15;
    /// A sysctl is read or written.
    Sysctl = "sysctl", 18;
    /// An IPv4 datagram is received.
    Recvmsg4 = "recvmsg4", 19;
    /// An IPv6 datagram is received.
    Recvmsg6 = "recvmsg6", 20;
    /// A socket option is read.
    Getsockopt = "getsockopt", 21;
    /// A socket option is set.
    Setsockopt = "setsockopt", 22;
    /// The peer's IPv4 address is asked for.
    Getpeername4 = "getpeername4", 29;
    /// The peer's IPv6 address is asked for.
    Getpeername6 = "getpeername6", 30;
    /// The own IPv4 address is asked for.
    Getsockname4 = "getsockname4", 31;
    /// The own IPv6 address is asked for.
    Getsockname6 = "getsockname6", 32;
    /// A socket is released.
    SockRelease = "sock_release", 34;
}

/// A cgroup program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupAttachment {
    /// The cgroup, from the root of the unified hierarchy.
    pub path: CgroupPath,
    /// What the program decides about.
    pub attach_type: CgroupAttachType,
}

/// A tracepoint program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TracepointAttachment {
    /// Category, such as `sched`.
    pub category: AttachPoint,
    /// Name, such as `sched_switch`.
    pub name: AttachPoint,
}

/// A place with a name only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamedAttachment {
    /// Name of the tracepoint, such as `sched_switch`.
    pub name: AttachPoint,
}

/// A kprobe's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KprobeAttachment {
    /// Kernel function.
    pub function: KernelSymbol,
    /// Instruction, in bytes from the function's start.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
}

/// A place at a kernel function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionAttachment {
    /// Kernel function.
    pub function: KernelSymbol,
}

/// A security program's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LsmAttachment {
    /// Hook, such as `file_open`.
    pub hook: AttachPoint,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Attachment {
    /// Which hook.
    pub fn hook(&self) -> Hook {
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

    /// The attachment as one on interfaces; `None` on the hooks that have neither interfaces nor priorities.
    pub fn chained(&self) -> Option<Chained<'_>> {
        match self {
            Self::Xdp(xdp) => Some(Chained::Xdp(xdp)),
            Self::Tc(tc) => Some(Chained::Tc(tc)),
            Self::Cgroup(_)
            | Self::Tracepoint(_)
            | Self::RawTracepoint(_)
            | Self::BtfTracepoint(_)
            | Self::Kprobe(_)
            | Self::Kretprobe(_)
            | Self::Fentry(_)
            | Self::Fexit(_)
            | Self::Lsm(_) => None,
        }
    }

    /// Selectors of the interfaces; empty on hooks that have none.
    pub fn interfaces(&self) -> &[Selector] {
        match self.chained() {
            Some(Chained::Xdp(xdp)) => &xdp.interfaces,
            Some(Chained::Tc(tc)) => &tc.interfaces,
            None => &[],
        }
    }

    /// The priority, on hooks that have one.
    pub fn priority(&self) -> Option<Priority> {
        match self.chained()? {
            Chained::Xdp(xdp) => Some(xdp.priority),
            Chained::Tc(tc) => Some(tc.priority),
        }
    }

    /// The place for people, such as `tc ingress`, `tracepoint sched/sched_switch` or `kprobe tcp_connect+0x10`;
    /// without interfaces and priority.
    pub fn place(&self) -> String {
        match self {
            Self::Xdp(_) => "xdp".to_owned(),
            Self::Tc(tc) => format!("tc {}", tc.direction.as_str()),
            Self::Cgroup(cgroup) => format!("cgroup {} {}", cgroup.attach_type.as_str(), cgroup.path),
            Self::Tracepoint(point) => format!("tracepoint {}/{}", point.category, point.name),
            Self::Kprobe(probe) if probe.offset != 0 => format!("kprobe {}+{:#x}", probe.function, probe.offset),
            Self::Kprobe(KprobeAttachment { function, .. }) => format!("kprobe {function}"),
            Self::Kretprobe(at) | Self::Fentry(at) | Self::Fexit(at) => format!("{} {}", self.hook(), at.function),
            Self::RawTracepoint(at) | Self::BtfTracepoint(at) => format!("{} {}", self.hook(), at.name),
            Self::Lsm(lsm) => format!("lsm {}", lsm.hook),
        }
    }
}

json::decode_words!(Hook {
    "xdp": Xdp,
    "tc": Tc,
    "cgroup": Cgroup,
    "tracepoint": Tracepoint,
    "rawTracepoint": RawTracepoint,
    "btfTracepoint": BtfTracepoint,
    "kprobe": Kprobe,
    "kretprobe": Kretprobe,
    "fentry": Fentry,
    "fexit": Fexit,
    "lsm": Lsm,
});
json::decode_words!(Direction { "ingress": Ingress, "egress": Egress });
json::decode_words!(TcVerdict { "next": Next, "pass": Pass, "drop": Drop, "redirect": Redirect });
json::decode_struct!(XdpAttachment {
    interfaces: "interfaces",
    mode: "mode",
    priority: "priority",
    proceed_on: "proceedOn",
    frags: "frags",
});
json::decode_struct!(TcAttachment {
    interfaces: "interfaces",
    direction: "direction",
    priority: "priority",
    verdicts: "verdicts",
    before: "before",
    after: "after",
});
json::decode_struct!(CgroupAttachment { path: "path", attach_type: "attachType" });
json::decode_struct!(TracepointAttachment { category: "category", name: "name" });
json::decode_struct!(NamedAttachment { name: "name" });
json::decode_struct!(FunctionAttachment { function: "function" });
json::decode_struct!(LsmAttachment { hook: "hook" });

impl json::Decode for KprobeAttachment {
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        let fields = problem.fields(value, &["function", "offset"])?;
        let function = problem.take(&fields, "function")?;
        let offset: Option<u64> = problem.take(&fields, "offset")?;
        problem.close(&fields);
        if offset == Some(0) {
            // One value has one text.
            problem.say(format_args!("offset 0 must be left out"));
            return None;
        }
        Some(Self { function, offset: offset.unwrap_or_default() })
    }
}

impl json::Decode for Attachment {
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        let (hook, content) = problem.variant(value)?;
        Some(match Hook::read(&hook, problem)? {
            Hook::Xdp => Self::Xdp(XdpAttachment::read(content, problem)?),
            Hook::Tc => Self::Tc(TcAttachment::read(content, problem)?),
            Hook::Cgroup => Self::Cgroup(CgroupAttachment::read(content, problem)?),
            Hook::Tracepoint => Self::Tracepoint(TracepointAttachment::read(content, problem)?),
            Hook::RawTracepoint => Self::RawTracepoint(NamedAttachment::read(content, problem)?),
            Hook::BtfTracepoint => Self::BtfTracepoint(NamedAttachment::read(content, problem)?),
            Hook::Kprobe => Self::Kprobe(KprobeAttachment::read(content, problem)?),
            Hook::Kretprobe => Self::Kretprobe(FunctionAttachment::read(content, problem)?),
            Hook::Fentry => Self::Fentry(FunctionAttachment::read(content, problem)?),
            Hook::Fexit => Self::Fexit(FunctionAttachment::read(content, problem)?),
            Hook::Lsm => Self::Lsm(LsmAttachment::read(content, problem)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hook_has_one_text() {
        for text in [
            r#"{"xdp":{"interfaces":[{"name":"eth*"}],"mode":"native","priority":510,"proceedOn":["pass"]}}"#,
            r#"{"tc":{"interfaces":[{"primary":true}],"direction":"ingress","priority":1,"verdicts":["next","drop"],"before":"cil_from_netdev"}}"#,
            r#"{"cgroup":{"path":"/kubepods.slice","attachType":"connect4"}}"#,
            r#"{"tracepoint":{"category":"sched","name":"sched_switch"}}"#,
            r#"{"rawTracepoint":{"name":"sched_switch"}}"#,
            r#"{"btfTracepoint":{"name":"sched_switch"}}"#,
            r#"{"kprobe":{"function":"tcp_connect","offset":16}}"#,
            r#"{"kprobe":{"function":"tcp_connect"}}"#,
            r#"{"kretprobe":{"function":"tcp_connect"}}"#,
            r#"{"fentry":{"function":"tcp_connect"}}"#,
            r#"{"fexit":{"function":"tcp_connect"}}"#,
            r#"{"lsm":{"hook":"file_open"}}"#,
        ] {
            let attachment: Attachment = json::parse(text.as_bytes(), 999).unwrap();
            assert_eq!(String::from_utf8(json::to_bytes(&attachment)).unwrap(), text);
            assert!(text.starts_with(&format!("{{\"{}\"", attachment.hook())), "case: {text}");
        }
        assert!(json::parse::<Attachment>(br#"{"kprobe":{"function":"f","offset":0}}"#, 99).is_err());
        assert!(json::parse::<Attachment>(br#"{"uprobe":{"function":"f"}}"#, 99).is_err());
    }
}
