//! Hooks of a starter: from a section of an object to lines below `attach`.
//!
//! In:   a section. Out: lines with comments; nothing if no hook takes the section.
//!
//! Source of the sections: libbpf `src/libbpf.c`, `section_defs`.

use nodeplan::{
    hook::CgroupAttachType,
    name::{AttachPoint, KernelSymbol},
};

/// A line and the comment behind it.
type Line = (String, &'static str);

const INTERFACES: &str = "EDIT: which interfaces; see the reference below";
const PRIORITY: &str = "EDIT: 0 to 1000, lower runs first, inside your band; no default";

/// The lines of one attachment.
pub(super) fn attach(section: &str, priority: usize) -> Option<Vec<Line>> {
    let section = section.trim_start_matches('?');
    let (kind, rest) = section.split_once('/').unwrap_or((section, ""));
    let kind = kind.strip_suffix(".s").unwrap_or(kind);
    let line = |text: String, comment| vec![(text, comment)];
    // Sections are not trusted: what is no sound name is left to be filled in.
    let function = |hook: &str| match symbol(rest) {
        None => line(format!("- {hook}: {{function: tcp_connect}}"), "EDIT: kernel function"),
        Some(function) => line(format!("- {hook}: {{function: {function}}}"), "kernel function"),
    };
    let named = |hook: &str| match point(rest) {
        None => line(format!("- {hook}: {{name: sched_switch}}"), "EDIT: tracepoint"),
        Some(name) => line(format!("- {hook}: {{name: {name}}}"), "tracepoint"),
    };
    Some(match kind {
        "xdp" | "xdp.frags" => xdp(priority),
        "tc" | "classifier" | "tcx" => tc(rest, priority),
        "cgroup" | "cgroup_skb" | "sockops" => cgroup(kind, rest)?,
        "tracepoint" | "tp" => match rest.split_once('/').and_then(|(a, b)| Some((point(a)?, point(b)?))) {
            Some((category, name)) => {
                line(format!("- tracepoint: {{category: {category}, name: {name}}}"), "static tracepoint")
            }
            None => line("- tracepoint: {category: sched, name: sched_switch}".to_owned(), "EDIT: category and name"),
        },
        "raw_tracepoint" | "raw_tp" => named("rawTracepoint"),
        "tp_btf" => named("btfTracepoint"),
        "kprobe" => match rest.split_once('+').and_then(|(at, offset)| Some((symbol(at)?, number(offset)?))) {
            Some((function, offset)) => line(
                format!("- kprobe: {{function: {function}, offset: {offset}}}"),
                "kernel function and offset in bytes",
            ),
            None => function("kprobe"),
        },
        "kretprobe" => function("kretprobe"),
        "fentry" => function("fentry"),
        "fexit" => function("fexit"),
        "lsm" => match point(rest) {
            None => line("- lsm: {hook: file_open}".to_owned(), "EDIT: security hook"),
            Some(hook) => line(format!("- lsm: {{hook: {hook}}}"), "security hook"),
        },
        _ => return None,
    })
}

fn symbol(text: &str) -> Option<&str> {
    KernelSymbol::try_from(text).is_ok().then_some(text)
}

fn point(text: &str) -> Option<&str> {
    AttachPoint::try_from(text).is_ok().then_some(text)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn xdp(priority: usize) -> Vec<Line> {
    vec![
        ("- xdp:".to_owned(), ""),
        ("    interfaces: [{primary: true}]".to_owned(), INTERFACES),
        ("    mode: native".to_owned(), "native (default) or skb"),
        (format!("    priority: {priority}"), PRIORITY),
        ("    proceedOn: [pass]".to_owned(), "verdicts after which the next program runs; default [pass]"),
    ]
}

fn tc(rest: &str, priority: usize) -> Vec<Line> {
    let (direction, comment) = match rest {
        "egress" => ("egress", "ingress or egress"),
        "ingress" => ("ingress", "ingress or egress"),
        _ => ("ingress", "EDIT: ingress or egress"),
    };
    vec![
        ("- tc:".to_owned(), ""),
        ("    interfaces: [{primary: true}]".to_owned(), INTERFACES),
        (format!("    direction: {direction}"), comment),
        (format!("    priority: {priority}"), PRIORITY),
        ("    verdicts: [next, drop]".to_owned(), "EDIT: what it may return: next, pass, drop, redirect"),
    ]
}

fn cgroup(kind: &str, rest: &str) -> Option<Vec<Line>> {
    let word = match (kind, rest) {
        ("sockops", _) => "sockops",
        ("cgroup", "skb") | ("cgroup_skb", "") => "ingress",
        ("cgroup", "sock") => "sock_create",
        (_, rest) => CgroupAttachType::ALL.iter().map(|kind| kind.as_str()).find(|word| *word == rest)?,
    };
    Some(vec![
        ("- cgroup:".to_owned(), ""),
        ("    path: /".to_owned(), "EDIT: a cgroup such as /kubepods.slice; / is the whole node"),
        (format!("    attachType: {word}"), "what the program decides about"),
    ])
}
