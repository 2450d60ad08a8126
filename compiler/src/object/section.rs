//! Sections: what the name of a program's section says about the program.
//!
//! In:   a section name, as written in `SEC("…")`. Out: [`Section`]. May fail with: [`UnknownSection`].
//!
//! One table, with libbpf's names. Source: libbpf 1.1 to 1.5, `src/libbpf.c`, `section_defs`; a test compares types and
//! attach types with the libbpf that is installed. Numbers: linux `include/uapi/linux/bpf.h`.

use nodeplan::hook::{CgroupAttachType, Direction, Hook};

/// Kind of a program, as the kernel counts: `enum bpf_prog_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramType(pub u32);

impl ProgramType {
    /// bpftool's word for it.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 33] = [
            "unspec",
            "socket_filter",
            "kprobe",
            "sched_cls",
            "sched_act",
            "tracepoint",
            "xdp",
            "perf_event",
            "cgroup_skb",
            "cgroup_sock",
            "lwt_in",
            "lwt_out",
            "lwt_xmit",
            "sock_ops",
            "sk_skb",
            "cgroup_device",
            "sk_msg",
            "raw_tracepoint",
            "cgroup_sock_addr",
            "lwt_seg6local",
            "lirc_mode2",
            "sk_reuseport",
            "flow_dissector",
            "cgroup_sysctl",
            "raw_tracepoint_writable",
            "cgroup_sockopt",
            "tracing",
            "struct_ops",
            "ext",
            "lsm",
            "sk_lookup",
            "syscall",
            "netfilter",
        ];
        NAMES.get(self.0 as usize).copied().unwrap_or("unknown")
    }
}

/// What a section name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Kind of program.
    pub program_type: ProgramType,
    /// `expected_attach_type` that libbpf would give the kernel; 0 where it gives none.
    pub attach_type: u32,
    /// What nodebpf does with it.
    pub usage: Usage,
    /// May sleep (`.s`).
    pub sleepable: bool,
    /// Takes packets in several pieces (`xdp.frags`).
    pub frags: bool,
    /// Not loaded by libbpf unless asked (`?` in front). Of no meaning to nodebpf, which loads what a manifest names.
    pub on_demand: bool,
}

/// Whether a section has a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It has.
    Hook(Hook, Target),
    /// nodebpf does not load it; these words say what it is.
    Refused(&'static str),
}

/// Where the section name says the program belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It does not say.
    Any,
    /// A kernel function, security hook or tracepoint, and what stands behind `+`.
    Name(String),
    /// A tracepoint by category and name.
    Tracepoint(String, String),
    /// Received or sent packets.
    Direction(Direction),
    /// One of these attach types of a cgroup.
    Cgroup(&'static [CgroupAttachType]),
}

impl Target {
    /// For people; empty if the section does not say.
    pub fn text(&self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Name(name) => name.clone(),
            Self::Tracepoint(category, name) => format!("{category}/{name}"),
            Self::Direction(direction) => direction.as_str().to_owned(),
            Self::Cgroup(types) => types.iter().map(|item| item.as_str()).collect::<Vec<_>>().join(" or "),
        }
    }
}

/// A section that libbpf does not know either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("section `{0}` is none that libbpf knows")]
pub struct UnknownSection(pub String);

/// How the rest behind the name of a section is read.
#[derive(Clone, Copy)]
enum Rest {
    /// There is none.
    Nothing,
    /// `/NAME`, or nothing.
    Name,
    /// `/CATEGORY/NAME`, or nothing.
    Tracepoint,
}

/// What a line of the table is good for.
#[derive(Clone, Copy)]
enum Use {
    Hook(Hook),
    Tc(Direction),
    Cgroup(&'static [CgroupAttachType]),
    No(&'static str),
}

const SLEEPS: u8 = 1;
const FRAGS: u8 = 2;

struct Line {
    name: &'static str,
    rest: Rest,
    program_type: u32,
    attach_type: u32,
    flags: u8,
    usage: Use,
}

const fn line(name: &'static str, rest: Rest, types: (u32, u32), flags: u8, usage: Use) -> Line {
    Line { name, rest, program_type: types.0, attach_type: types.1, flags, usage }
}

macro_rules! cgroup {
    ($name:literal, $program_type:literal, $($attach_type:ident),+) => {{
        const TYPES: &[CgroupAttachType] = &[$(CgroupAttachType::$attach_type),+];
        Line {
            name: $name,
            rest: Rest::Nothing,
            program_type: $program_type,
            attach_type: 0,
            flags: 0,
            usage: Use::Cgroup(TYPES),
        }
    }};
}

const MULTI: &str = "a probe of many functions at once";
const USER: &str = "a probe of a user program";
const SYSCALL: &str = "a probe of a system call";
const SOCKMAP: &str = "a program of a socket map";
const LWT: &str = "a program of a route";
const UNIX: &str = "a cgroup program for unix sockets";
const XDP_MAP: &str = "an XDP program that a map redirects to";

/// Longer names stand before the ones they begin with only where the shorter takes a rest: see [`parse`].
#[rustfmt::skip]
const TABLE: &[Line] = {
    use Rest::{Name, Nothing, Tracepoint};
    use Use::{Hook as On, No, Tc};
    &[
    line("xdp", Nothing, (6, 37), 0, On(Hook::Xdp)),
    line("xdp.frags", Nothing, (6, 37), FRAGS, On(Hook::Xdp)),
    line("xdp/devmap", Nothing, (6, 33), 0, No(XDP_MAP)),
    line("xdp.frags/devmap", Nothing, (6, 33), FRAGS, No(XDP_MAP)),
    line("xdp/cpumap", Nothing, (6, 35), 0, No(XDP_MAP)),
    line("xdp.frags/cpumap", Nothing, (6, 35), FRAGS, No(XDP_MAP)),
    line("tc", Nothing, (3, 0), 0, On(Hook::Tc)),
    line("classifier", Nothing, (3, 0), 0, On(Hook::Tc)),
    line("tc/ingress", Nothing, (3, 46), 0, Tc(Direction::Ingress)),
    line("tc/egress", Nothing, (3, 47), 0, Tc(Direction::Egress)),
    line("tcx/ingress", Nothing, (3, 46), 0, Tc(Direction::Ingress)),
    line("tcx/egress", Nothing, (3, 47), 0, Tc(Direction::Egress)),
    line("netkit/primary", Nothing, (3, 54), 0, No("a program of a netkit device")),
    line("netkit/peer", Nothing, (3, 55), 0, No("a program of a netkit device")),
    line("action", Nothing, (4, 0), 0, No("an action of classic traffic control")),
    line("tracepoint", Tracepoint, (5, 0), 0, On(Hook::Tracepoint)),
    line("tp", Tracepoint, (5, 0), 0, On(Hook::Tracepoint)),
    line("raw_tracepoint", Name, (17, 0), 0, On(Hook::RawTracepoint)),
    line("raw_tp", Name, (17, 0), 0, On(Hook::RawTracepoint)),
    line("raw_tracepoint.w", Name, (24, 0), 0, No("a tracepoint program that may write")),
    line("raw_tp.w", Name, (24, 0), 0, No("a tracepoint program that may write")),
    line("tp_btf", Name, (26, 23), 0, On(Hook::BtfTracepoint)),
    line("fentry", Name, (26, 24), 0, On(Hook::Fentry)),
    line("fentry.s", Name, (26, 24), SLEEPS, On(Hook::Fentry)),
    line("fexit", Name, (26, 25), 0, On(Hook::Fexit)),
    line("fexit.s", Name, (26, 25), SLEEPS, On(Hook::Fexit)),
    line("fmod_ret", Name, (26, 26), 0, No("a program that changes a function's result")),
    line("fmod_ret.s", Name, (26, 26), SLEEPS, No("a program that changes a function's result")),
    line("freplace", Name, (28, 0), 0, No("a replacement of another program's function")),
    line("lsm", Name, (29, 27), 0, On(Hook::Lsm)),
    line("lsm.s", Name, (29, 27), SLEEPS, On(Hook::Lsm)),
    line("lsm_cgroup", Name, (29, 43), 0, No("a security program of one cgroup")),
    line("iter", Name, (26, 28), 0, No("an iterator")),
    line("iter.s", Name, (26, 28), SLEEPS, No("an iterator")),
    line("kprobe", Name, (2, 0), 0, On(Hook::Kprobe)),
    line("kretprobe", Name, (2, 0), 0, On(Hook::Kretprobe)),
    line("kprobe.multi", Name, (2, 42), 0, No(MULTI)),
    line("kretprobe.multi", Name, (2, 42), 0, No(MULTI)),
    line("kprobe.session", Name, (2, 56), 0, No(MULTI)),
    line("uprobe", Name, (2, 0), 0, No(USER)),
    line("uprobe.s", Name, (2, 0), SLEEPS, No(USER)),
    line("uretprobe", Name, (2, 0), 0, No(USER)),
    line("uretprobe.s", Name, (2, 0), SLEEPS, No(USER)),
    line("uprobe.multi", Name, (2, 48), 0, No(USER)),
    line("uretprobe.multi", Name, (2, 48), 0, No(USER)),
    line("uprobe.multi.s", Name, (2, 48), SLEEPS, No(USER)),
    line("uretprobe.multi.s", Name, (2, 48), SLEEPS, No(USER)),
    line("uprobe.session", Name, (2, 57), 0, No(USER)),
    line("uprobe.session.s", Name, (2, 57), SLEEPS, No(USER)),
    line("usdt", Name, (2, 0), 0, No(USER)),
    line("usdt.s", Name, (2, 0), SLEEPS, No(USER)),
    line("ksyscall", Name, (2, 0), 0, No(SYSCALL)),
    line("kretsyscall", Name, (2, 0), 0, No(SYSCALL)),
    line("syscall", Nothing, (31, 0), SLEEPS, No("a program that is run by hand")),
    line("perf_event", Nothing, (7, 0), 0, No("a program of a perf event")),
    line("socket", Nothing, (1, 0), 0, No("a filter of one socket")),
    line("sk_reuseport", Nothing, (21, 39), 0, No("a program of a group of sockets")),
    line("sk_reuseport/migrate", Nothing, (21, 40), 0, No("a program of a group of sockets")),
    line("sk_lookup", Nothing, (30, 36), 0, No("a program of a network namespace's sockets")),
    line("flow_dissector", Nothing, (22, 17), 0, No("a flow dissector")),
    line("netfilter", Nothing, (32, 45), 0, No("a netfilter program")),
    line("sk_skb", Nothing, (14, 0), 0, No(SOCKMAP)),
    line("sk_skb/stream_parser", Nothing, (14, 4), 0, No(SOCKMAP)),
    line("sk_skb/stream_verdict", Nothing, (14, 5), 0, No(SOCKMAP)),
    line("sk_skb/verdict", Nothing, (14, 38), 0, No(SOCKMAP)),
    line("sk_msg", Nothing, (16, 7), 0, No(SOCKMAP)),
    line("lirc_mode2", Nothing, (20, 16), 0, No("a program of an infrared receiver")),
    line("lwt_in", Nothing, (10, 0), 0, No(LWT)),
    line("lwt_out", Nothing, (11, 0), 0, No(LWT)),
    line("lwt_xmit", Nothing, (12, 0), 0, No(LWT)),
    line("lwt_seg6local", Nothing, (19, 0), 0, No(LWT)),
    line("struct_ops", Name, (27, 0), 0, No("a struct_ops program")),
    line("struct_ops.s", Name, (27, 0), SLEEPS, No("a struct_ops program")),
    line("cgroup/dev", Nothing, (15, 6), 0, No("a cgroup program for devices, which container runtimes own")),
    line("cgroup/connect_unix", Nothing, (18, 49), 0, No(UNIX)),
    line("cgroup/sendmsg_unix", Nothing, (18, 50), 0, No(UNIX)),
    line("cgroup/recvmsg_unix", Nothing, (18, 51), 0, No(UNIX)),
    line("cgroup/getpeername_unix", Nothing, (18, 52), 0, No(UNIX)),
    line("cgroup/getsockname_unix", Nothing, (18, 53), 0, No(UNIX)),
    cgroup!("cgroup/skb", 8, Ingress, Egress),
    cgroup!("cgroup_skb/ingress", 8, Ingress),
    cgroup!("cgroup_skb/egress", 8, Egress),
    cgroup!("cgroup/sock", 9, SockCreate),
    cgroup!("cgroup/sock_create", 9, SockCreate),
    cgroup!("cgroup/sock_release", 9, SockRelease),
    cgroup!("cgroup/post_bind4", 9, PostBind4),
    cgroup!("cgroup/post_bind6", 9, PostBind6),
    cgroup!("cgroup/bind4", 18, Bind4),
    cgroup!("cgroup/bind6", 18, Bind6),
    cgroup!("cgroup/connect4", 18, Connect4),
    cgroup!("cgroup/connect6", 18, Connect6),
    cgroup!("cgroup/sendmsg4", 18, Sendmsg4),
    cgroup!("cgroup/sendmsg6", 18, Sendmsg6),
    cgroup!("cgroup/recvmsg4", 18, Recvmsg4),
    cgroup!("cgroup/recvmsg6", 18, Recvmsg6),
    cgroup!("cgroup/getpeername4", 18, Getpeername4),
    cgroup!("cgroup/getpeername6", 18, Getpeername6),
    cgroup!("cgroup/getsockname4", 18, Getsockname4),
    cgroup!("cgroup/getsockname6", 18, Getsockname6),
    cgroup!("cgroup/sysctl", 23, Sysctl),
    cgroup!("cgroup/getsockopt", 25, Getsockopt),
    cgroup!("cgroup/setsockopt", 25, Setsockopt),
    cgroup!("sockops", 13, Sockops),
    ]
};

/// All section names of the table that serve `hook`, for messages.
pub fn names(hook: Hook) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |line| hook_of(line) == Some(hook)).map(|line| line.name)
}

/// All section names, and whether a rest may follow. For tests and suggestions.
pub fn all() -> impl Iterator<Item = (&'static str, bool)> {
    TABLE.iter().map(|line| (line.name, !matches!(line.rest, Rest::Nothing)))
}

fn hook_of(line: &Line) -> Option<Hook> {
    match line.usage {
        Use::Hook(hook) => Some(hook),
        Use::Tc(_) => Some(Hook::Tc),
        Use::Cgroup(_) => Some(Hook::Cgroup),
        Use::No(_) => None,
    }
}

/// Reads a section name.
pub fn parse(name: &str) -> Result<Section, UnknownSection> {
    let (on_demand, plain) = name.strip_prefix('?').map_or((false, name), |rest| (true, rest));
    let (line, rest) = TABLE
        .iter()
        .find_map(|line| {
            let rest = plain.strip_prefix(line.name)?;
            match line.rest {
                Rest::Nothing => rest.is_empty().then_some((line, None)),
                Rest::Name | Rest::Tracepoint if rest.is_empty() => Some((line, None)),
                Rest::Name | Rest::Tracepoint => rest.strip_prefix('/').map(|rest| (line, Some(rest))),
            }
        })
        .ok_or_else(|| UnknownSection(name.to_owned()))?;
    let target = match (line.rest, rest) {
        (_, None | Some("")) => Target::Any,
        (Rest::Tracepoint, Some(rest)) => {
            let (category, name) = rest.split_once('/').ok_or_else(|| UnknownSection(name.to_owned()))?;
            Target::Tracepoint(category.to_owned(), name.to_owned())
        }
        (Rest::Name | Rest::Nothing, Some(rest)) => Target::Name(rest.to_owned()),
    };
    let (usage, attach_type) = match line.usage {
        Use::Hook(hook) => (Usage::Hook(hook, target), line.attach_type),
        Use::Tc(direction) => (Usage::Hook(Hook::Tc, Target::Direction(direction)), line.attach_type),
        // `cgroup/skb` alone has two, and libbpf then gives the kernel none.
        Use::Cgroup(types) => {
            let only = if let [only] = types { only.number() } else { 0 };
            (Usage::Hook(Hook::Cgroup, Target::Cgroup(types)), only)
        }
        Use::No(what) => (Usage::Refused(what), line.attach_type),
    };
    Ok(Section {
        program_type: ProgramType(line.program_type),
        attach_type,
        usage,
        sleepable: line.flags & SLEEPS != 0,
        frags: line.flags & FRAGS != 0,
        on_demand,
    })
}

/// The name under which every reader of objects takes the section: without `?`, and by the oldest of several names.
pub fn canonical(name: &str) -> &str {
    let plain = name.strip_prefix('?').unwrap_or(name);
    match plain {
        "tc" | "tc/ingress" | "tc/egress" | "tcx/ingress" | "tcx/egress" => "classifier",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_hooks_and_targets() {
        let cases: &[(&str, &str)] = &[
            ("xdp", "xdp "),
            ("?xdp.frags", "xdp "),
            ("tcx/egress", "tc egress"),
            ("classifier", "tc "),
            ("cgroup/skb", "cgroup ingress or egress"),
            ("cgroup/connect4", "cgroup connect4"),
            ("tp/sched/sched_switch", "tracepoint sched/sched_switch"),
            ("tracepoint", "tracepoint "),
            ("raw_tp/sched_switch", "rawTracepoint sched_switch"),
            ("kprobe/tcp_connect+0x10", "kprobe tcp_connect+0x10"),
            ("fentry.s/vfs_open", "fentry vfs_open"),
            ("lsm.s/bprm_check_security", "lsm bprm_check_security"),
            ("kprobe.multi/tcp_*", "refused: a probe of many functions at once"),
            ("netfilter", "refused: a netfilter program"),
            ("xdp/devmap", "refused: an XDP program that a map redirects to"),
        ];
        for (name, wanted) in cases {
            let found = match parse(name).unwrap().usage {
                Usage::Hook(hook, target) => format!("{hook} {}", target.text()),
                Usage::Refused(what) => format!("refused: {what}"),
            };
            assert_eq!(found, *wanted, "case: {name}");
        }
        for name in ["", "?", "xdp/mine", "xdp_prog", "classifier/x", "tracepoint/sched", "prog", "kprobes/x", "??xdp"]
        {
            assert_eq!(parse(name), Err(UnknownSection(name.to_owned())), "case: {name}");
        }
        assert!(parse("lsm.s/x").unwrap().sleepable && !parse("lsm/x").unwrap().sleepable);
        assert!(parse("xdp.frags").unwrap().frags && parse("?xdp").unwrap().on_demand);
    }

    #[test]
    fn every_hook_has_a_section() {
        for hook in Hook::ALL {
            assert!(names(hook).count() > 0, "{hook}");
        }
    }

    #[test]
    fn canonical_names_mean_the_same() {
        for (name, _) in all() {
            let (before, after) = (parse(name).unwrap(), parse(canonical(name)).unwrap());
            assert_eq!(before.program_type, after.program_type, "case: {name}");
            assert_eq!(canonical(&format!("?{name}")), canonical(name));
        }
    }
}
