//! Every hook but XDP, on a real kernel: attached, effect seen, updated, detached, a failure undone.
//!
//! The programs are those of `bpf/programs/hooks.bpf.c`: each counts in its place of the map `hits`.

use std::{fs, net::UdpSocket, os::fd::AsFd as _, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    hook::Hook,
    report::{Code, Exit, StreamState},
};

use super::hook_streams::{
    DENY, EGRESS, Failed, INGRESS, Inside, OBJECT, Program, WATCHERS, apply_attached, attached, cgroup_at, every_hook,
    hits, leaves, node, place_of, ship, soon, tc_on, tcx, trigger, udp_to, xdp_on,
};
use crate::{
    bpf::{self, AttachType, Kind},
    features::{Feature, smallest},
    harness::{Ctx, Step, Test, prove},
    net::{Pair, ip, udp_frame},
    node::{Node, Snapshot, stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "hook-tc", needs: &[Feature::Tcx], run: tc },
    Test { name: "hook-tc-order", needs: &[Feature::Tcx], run: tc_order },
    Test { name: "hook-tc-order-everywhere", needs: &[Feature::Tcx], run: tc_order_everywhere },
    Test { name: "hook-tc-refused-without-tcx", needs: &[], run: tc_probe },
    Test { name: "hook-cgroup", needs: &[], run: cgroup },
    Test { name: "hook-cgroup-waits", needs: &[], run: cgroup_waits },
    Test { name: "hook-cgroup-made-anew", needs: &[], run: cgroup_anew },
    Test { name: "hook-tracing", needs: &[], run: tracing },
    Test { name: "hook-lsm", needs: &[Feature::BpfLsm], run: lsm },
    Test { name: "hook-missing-is-named", needs: &[], run: missing },
    Test { name: "hook-selectors", needs: &[Feature::Freplace], run: selectors },
];

/// Both directions; an update takes the link over; a program of others is left alone.
fn tc(_: &mut Ctx) -> Result<()> {
    let proved = |step| ["ingress", "egress"].iter().for_each(|at| prove(Hook::Tc, at, step));
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let foreign = smallest(Kind::SchedCls, "foreign", bpf::TCX_NEXT)?;
    let _foreign = bpf::link_interface(foreign.as_fd(), sys::interface_index("near0")?, AttachType::TcxEgress)?;
    let empty = Snapshot::take_settled()?;
    let both = || format!("{},{}", tc_on("near0", "egress", 10, ""), tc_on("near0", "ingress", 10, ""));
    ship(&node, "drop", 1, OBJECT, &[("tc_hook", both(), "")], "")?;
    let old = apply_attached(&node, "drop")?;
    proved(Step::Attached);
    ensure!(leaves(&pair)?, "a program without opinion lets it go");
    ensure!(hits("drop", 0)? == 1, "it ran {} times on egress", hits("drop", 0)?);
    pair.far_socket()?.send(&udp_frame([192, 0, 2, 2], [192, 0, 2, 1], 7, b"x")?)?;
    thread::sleep(Duration::from_millis(100));
    ensure!(hits("drop", 0)? == 2, "it ran {} times on ingress", hits("drop", 0)?);
    proved(Step::Effect);
    let before = Snapshot::take_settled()?;
    apply_attached(&node, "drop")?;
    before.expect_again().context("a second run")?;
    proved(Step::Unchanged);
    let links = (tcx("near0", EGRESS)?, tcx("near0", INGRESS)?);
    ship(&node, "drop", 2, OBJECT, &[("tc_hook", both(), DENY)], "")?;
    let new = apply_attached(&node, "drop")?;
    ensure!(new.iter().all(|id| !old.contains(id)), "the old program still runs: {old:?} {new:?}");
    let after = (tcx("near0", EGRESS)?, tcx("near0", INGRESS)?);
    let ids = |list: &[(u32, u32)]| list.iter().map(|(_, link)| *link).collect::<Vec<_>>();
    ensure!(ids(&links.0) == ids(&after.0) && ids(&links.1) == ids(&after.1), "not in place: {links:?} {after:?}");
    ensure!(!leaves(&pair)?, "the new program drops");
    proved(Step::Updated);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    soon("detached", || leaves(&pair))?;
    empty.expect_again().context("the foreign program alone")?;
    proved(Step::Detached);
    Ok(())
}

/// Ours by priority; among others by anchors; a changed priority moves; others stay, by id.
fn tc_order(_: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let ifindex = sys::interface_index("near0")?;
    let one = smallest(Kind::SchedCls, "one", bpf::TCX_NEXT)?;
    let two = smallest(Kind::SchedCls, "two", bpf::TCX_NEXT)?;
    let _one = bpf::link_interface(one.as_fd(), ifindex, AttachType::TcxIngress)?;
    let _two = bpf::link_interface(two.as_fd(), ifindex, AttachType::TcxIngress)?;
    let others: Vec<u32> = tcx("near0", INGRESS)?.iter().map(|(id, _)| *id).collect();
    let ship = |name, revision, priority, more: &str| {
        ship(&node, name, revision, OBJECT, &[("tc_hook", tc_on("near0", "ingress", priority, more), "")], "")
    };
    let ids = |names: &[&str]| -> Result<Vec<u32>> {
        let report = node.apply_expecting(Exit::Done)?;
        let mut ids = Vec::new();
        for name in names {
            ids.extend(attached(stream(&report, name)?)?);
        }
        Ok(ids)
    };
    let list = || -> Result<Vec<u32>> { Ok(tcx("near0", INGRESS)?.iter().map(|(id, _)| *id).collect()) };
    ship("a", 1, 30, r#","after":"one","before":"two""#)?;
    let [a] = ids(&["a"])?[..] else { anyhow::bail!("one attachment") };
    ensure!(list()? == [others[0], a, others[1]], "between the anchors: {:?}", list()?);
    ship("b", 1, 10, "")?;
    ship("c", 1, 20, "")?;
    let [a, b, c] = ids(&["a", "b", "c"])?[..] else { anyhow::bail!("three attachments") };
    ensure!(list()? == [others[0], b, c, a, others[1]], "by priority: {:?} of {a} {b} {c}", list()?);
    ship("b", 2, 40, "")?;
    let [a, b, c] = ids(&["a", "b", "c"])?[..] else { anyhow::bail!("three attachments") };
    ensure!(list()? == [others[0], c, a, b, others[1]] || list()? == [others[0], c, a, others[1], b], "{:?}", list()?);
    let before = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    before.expect_again()?;
    // What cannot be met is refused, and changes nothing.
    ship("d", 1, 5, r#","after":"two""#)?;
    let report = node.apply_expecting(Exit::Failed)?;
    let failed = stream(&report, "d")?;
    ensure!(failed.reason.as_ref().is_some_and(|reason| reason.code == Code::Order), "{failed:?}");
    before.expect_again()
}

/// In one run, on two interfaces and in both directions: each list has its own order.
fn tc_order_everywhere(_: &mut Ctx) -> Result<()> {
    let _pairs = (Pair::new("near0", "far0")?, Pair::new("near1", "far1")?);
    let node = node()?;
    let everywhere = |priority| {
        let at = |interface, direction| tc_on(interface, direction, priority, "");
        [at("near0", "ingress"), at("near0", "egress"), at("near1", "ingress"), at("near1", "egress")].join(",")
    };
    for (name, priority) in [("a", 30), ("b", 20), ("c", 10)] {
        ship(&node, name, 1, OBJECT, &[("tc_hook", everywhere(priority), "")], "")?;
    }
    let ordered = |names: [&str; 3]| -> Result<()> {
        let report = node.apply_expecting(Exit::Done)?;
        let program = |name| -> Result<u32> { attached(stream(&report, name)?)?.first().copied().context("a program") };
        let want = [program(names[0])?, program(names[1])?, program(names[2])?];
        for interface in ["near0", "near1"] {
            for direction in [INGRESS, EGRESS] {
                let found: Vec<u32> = tcx(interface, direction)?.iter().map(|(id, _)| *id).collect();
                ensure!(found == want, "{interface} {direction}: {found:?}, not {want:?}");
            }
        }
        Ok(())
    };
    ordered(["c", "b", "a"]).context("first")?;
    ship(&node, "c", 2, OBJECT, &[("tc_hook", everywhere(40), "")], "")?;
    ship(&node, "b", 2, OBJECT, &[("tc_hook", everywhere(35), "")], "")?;
    ordered(["a", "b", "c"]).context("changed priorities")
}

/// A kernel without TCX says so before anything is attached; one with it attaches.
fn tc_probe(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let before = Snapshot::take_settled()?;
    let both = format!("{},{}", tc_on("near0", "egress", 10, ""), tc_on("near0", "ingress", 10, ""));
    ship(&node, "drop", 1, OBJECT, &[("tc_hook", both, "")], "")?;
    let present = bpf::query_interface(1, AttachType::TcxIngress).is_ok();
    ctx.say(if present { "TCX: attached" } else { "no TCX: refused" });
    if present {
        return apply_attached(&node, "drop").map(drop);
    }
    let report = node.apply_expecting(Exit::FeatureMissing)?;
    let refused = stream(&report, "drop")?;
    ensure!(refused.state == StreamState::Refused, "{refused:?}");
    let reason = refused.reason.as_ref().context("a reason")?;
    ensure!(reason.code == Code::FeatureMissing && reason.message.contains("TCX"), "{reason:?}");
    before.expect_again()?;
    for at in ["ingress", "egress"] {
        prove(Hook::Tc, at, Step::Refused(reason.code));
    }
    Ok(())
}
/// Things that programs of cgroups see: sockets bound, connected, set up, sent from and to; a sysctl; a TCP connection.
fn use_sockets() -> Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    server.set_broadcast(true)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.local_addr()?)?;
    client.send(b"x")?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let _stream = std::net::TcpStream::connect(listener.local_addr()?)?;
    fs::read_to_string("/proc/sys/kernel/ostype")?;
    Ok(())
}

/// Every family of programs for cgroups: runs, is replaced in place, goes; and a verdict has its effect.
fn cgroup(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let node = node()?;
    let empty = Snapshot::take_settled()?;
    let cases = [
        ("cg_connect4", "connect4", 1),
        ("cg_egress", "egress", 2),
        ("cg_ingress", "ingress", 3),
        ("cg_sock", "sock_create", 4),
        ("cg_bind4", "bind4", 5),
        ("cg_sysctl", "sysctl", 6),
        ("cg_setsockopt", "setsockopt", 7),
        ("cg_sockops", "sockops", 8),
    ];
    let proved = |step| cases.iter().for_each(|(_, at, _)| prove(Hook::Cgroup, at, step));
    let mut programs: Vec<Program> = cases.iter().map(|(program, at, _)| (*program, cgroup_at(at), "")).collect();
    programs.sort_unstable();
    let links = || -> Result<Vec<String>> {
        let mut versions = fs::read_dir("/sys/fs/bpf/nodebpf/drop")?;
        let mut list = Vec::new();
        for link in fs::read_dir(versions.next().context("a version")??.path().join("links"))? {
            let link = link?.path();
            let fd = Kernel::new().open_pin(&link).map_err(Failed::from)?;
            let info = Kernel::new().link_info(fd.as_fd()).map_err(Failed::from)?;
            list.push(format!("{} {}", link.file_name().context("a name")?.display(), info.id));
        }
        list.sort_unstable();
        Ok(list)
    };
    ship(&node, "drop", 1, OBJECT, &programs, "")?;
    let old = apply_attached(&node, "drop")?;
    let old_links = links()?;
    ctx.say(&old_links.join(", "));
    proved(Step::Attached);
    let before = Snapshot::take_settled()?;
    apply_attached(&node, "drop")?;
    before.expect_again().context("a second run")?;
    proved(Step::Unchanged);
    use_sockets()?;
    for (program, _, place) in cases {
        ensure!(hits("drop", place)? > 0, "{program} did not run");
    }
    proved(Step::Effect);
    // 4789 in the order of the machine.
    let deny = r#","globals":{"deny":"b5120000"}"#;
    let denying: Vec<Program> = programs.iter().map(|(program, at, _)| (*program, at.clone(), deny)).collect();
    udp_to(4789).context("nothing is denied yet")?;
    ship(&node, "drop", 2, OBJECT, &denying, "")?;
    let new = apply_attached(&node, "drop")?;
    ensure!(new.iter().all(|id| !old.contains(id)), "old programs still run: {old:?} {new:?}");
    ensure!(links()? == old_links, "not in place: {old_links:?}, then {:?}", links()?);
    use_sockets()?;
    for (program, _, place) in cases {
        ensure!(hits("drop", place)? > 0, "{program} did not run after the update");
    }
    let denied = udp_to(4789).map_err(|error| error.raw_os_error());
    ensure!(denied == Err(Some(libc::EPERM)), "connecting to the denied port: {denied:?}");
    udp_to(4790).context("another port")?;
    proved(Step::Updated);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    soon("detached", || Ok(udp_to(4789).is_ok()))?;
    empty.expect_again()?;
    proved(Step::Detached);
    Ok(())
}

/// An absent cgroup is pending; one that comes is taken up; one that goes leaves no pin.
fn cgroup_waits(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let connect: [Program; 1] = [("cg_connect4", cgroup_at("connect4"), "")];
    ship(&node, "drop", 1, OBJECT, &connect, "")?;
    for round in 0..2 {
        let report = node.apply_expecting(Exit::Done)?;
        let waiting = stream(&report, "drop")?;
        ensure!(waiting.state == StreamState::Pending, "round {round}: {waiting:?}");
        ensure!(waiting.reason.as_ref().is_some_and(|reason| reason.code == Code::CgroupAbsent), "{waiting:?}");
        let stale = Snapshot::take()?.pins().iter().any(|pin| pin.contains("/links/") && !pin.ends_with('/'));
        ensure!(!stale, "round {round}: a stale pin: {:?}", Snapshot::take()?);
        let inside = Inside::new()?;
        apply_attached(&node, "drop")?;
        udp_to(1)?;
        ensure!(hits("drop", 1)? == round + 1, "round {round}: it ran {} times", hits("drop", 1)?);
        drop(inside);
    }
    Ok(())
}
/// A cgroup whose directory went lives on while a socket of it does: the one that has its path now gets the program.
fn cgroup_anew(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let connect: [Program; 1] = [("cg_connect4", cgroup_at("connect4"), "")];
    ship(&node, "drop", 1, OBJECT, &connect, "")?;
    let old = Inside::new()?;
    let _socket = UdpSocket::bind("127.0.0.1:0")?;
    apply_attached(&node, "drop")?;
    udp_to(1)?;
    ensure!(hits("drop", 1)? == 1, "it ran {} times", hits("drop", 1)?);
    drop(old);
    let anew = Inside::new()?;
    apply_attached(&node, "drop")?;
    udp_to(1)?;
    ensure!(hits("drop", 1)? == 2, "it does not run in the new one: {}", hits("drop", 1)?);
    let before = Snapshot::take_settled()?;
    apply_attached(&node, "drop")?;
    before.expect_again()?;
    drop(anew);
    Ok(())
}

/// Every hook that watches, each in a stream of its own: attached, seen to run, updated, detached.
fn tracing(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    for (program, at, place) in WATCHERS {
        let (hook, to) = place_of(at)?;
        let empty = Snapshot::take_settled()?;
        ship(&node, "drop", 1, OBJECT, &[(program, at.to_owned(), "")], "")?;
        let old = apply_attached(&node, "drop").context(program)?;
        prove(hook, &to, Step::Attached);
        let before = Snapshot::take_settled()?;
        apply_attached(&node, "drop")?;
        before.expect_again().with_context(|| format!("{program}: a second run"))?;
        prove(hook, &to, Step::Unchanged);
        trigger()?;
        let first = hits("drop", place)?;
        ensure!(first > 0, "{program} did not run");
        prove(hook, &to, Step::Effect);
        ship(&node, "drop", 2, OBJECT, &[(program, at.to_owned(), DENY)], "")?;
        let new = apply_attached(&node, "drop").context(program)?;
        ensure!(new != old, "{program}: {old:?} still runs");
        trigger()?;
        ensure!(hits("drop", place)? > 0, "{program} did not run after the update");
        prove(hook, &to, Step::Updated);
        ctx.say(&format!("{program}: {first} hits, then {}", hits("drop", place)?));
        Node::remove("drop")?;
        node.apply_expecting(Exit::Done)?;
        empty.expect_again().with_context(|| format!("{program}: detached"))?;
        prove(hook, &to, Step::Detached);
    }
    Ok(())
}

fn raw_socket(protocol: libc::c_int) -> Result<(), Option<i32>> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error());
    }
    // SAFETY: the descriptor was just made.
    unsafe { libc::close(fd) };
    Ok(())
}

fn lsm(_: &mut Ctx) -> Result<()> {
    let proved = |step| prove(Hook::Lsm, "socket_create", step);
    let node = node()?;
    let empty = Snapshot::take_settled()?;
    let at = || r#"{"lsm":{"hook":"socket_create"}}"#.to_owned();
    // Protocols 253 and 254 are for experiments: RFC 3692.
    let denies = |number: &str| format!(r#","globals":{{"deny":"{number}000000"}}"#);
    ship(&node, "drop", 1, OBJECT, &[("lsm_socket", at(), &denies("fd"))], "")?;
    let old = apply_attached(&node, "drop")?;
    proved(Step::Attached);
    ensure!(raw_socket(253) == Err(Some(libc::EPERM)), "{:?}", raw_socket(253));
    ensure!(raw_socket(254) == Ok(()) && hits("drop", 16)? > 0, "another protocol");
    proved(Step::Effect);
    let before = Snapshot::take_settled()?;
    ensure!(apply_attached(&node, "drop")? == old, "a second run loaded anew");
    before.expect_again().context("a second run")?;
    proved(Step::Unchanged);
    ship(&node, "drop", 2, OBJECT, &[("lsm_socket", at(), &denies("fe"))], "")?;
    apply_attached(&node, "drop")?;
    ensure!(raw_socket(254) == Err(Some(libc::EPERM)), "updated");
    soon("the old program left", || Ok(raw_socket(253) == Ok(())))?;
    proved(Step::Updated);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    soon("detached", || Ok(raw_socket(254) == Ok(())))?;
    empty.expect_again()?;
    proved(Step::Detached);
    Ok(())
}

/// A place that this kernel does not have is a missing feature, by name, and nothing changes.
fn missing(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let before = Snapshot::take_settled()?;
    for (program, at, named) in [
        ("tp_exec", r#"{"tracepoint":{"category":"sched","name":"no_such"}}"#, "sched/no_such"),
        ("raw_exec", r#"{"rawTracepoint":{"name":"no_such"}}"#, "no_such"),
        ("btf_exec", r#"{"btfTracepoint":{"name":"no_such"}}"#, "no_such"),
        ("kp_sleep", r#"{"kprobe":{"function":"no_such"}}"#, "no_such"),
        ("krp_sleep", r#"{"kretprobe":{"function":"no_such"}}"#, "no_such"),
        ("fe_sleep", r#"{"fentry":{"function":"no_such"}}"#, "no_such"),
        ("lsm_socket", r#"{"lsm":{"hook":"no_such"}}"#, "no_such"),
    ] {
        ship(&node, "drop", 1, OBJECT, &[(program, at.to_owned(), "")], "")?;
        let report = node.apply_expecting(Exit::FeatureMissing).context(program)?;
        let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
        ensure!(reason.code == Code::FeatureMissing && reason.message.contains(named), "{program}: {reason:?}");
        before.expect_again().context(program)?;
    }
    Ok(())
}

/// Interfaces by driver, address, bond, default route; a reserved one is never selected.
fn selectors(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let _pair = Pair::new("near0", "far0")?;
    for line in [
        "link add bond0 type bond mode active-backup",
        "link add up0 type veth peer name up0-peer",
        "link add up1 type veth peer name up1-peer",
        "link set up0 master bond0",
        "link set up1 master bond0",
        "link set near0 address 02:00:00:00:00:77",
        "link add link bond0 name bond0.7 type vlan id 7",
        "link set bond0 up",
        "link set bond0.7 up",
        "address add 192.0.2.9/24 dev bond0.7",
        "route add default via 192.0.2.1 dev bond0.7",
    ] {
        ip(line)?;
    }
    let object = "xdp_pass.bpf.o";
    let on = |report: &nodeplan::report::Report| -> Result<Vec<String>> {
        let one = stream(report, "drop")?;
        Ok(one.attachments.iter().filter_map(|place| Some(place.interface.as_ref()?.to_string())).collect())
    };
    for (revision, selector, want) in [
        (1, r#"{"mac":"02:00:00:00:00:77"}"#, &["near0"][..]),
        (2, r#"{"membersOf":"bond0"}"#, &["up0", "up1"]),
        (3, r#"{"primary":true}"#, &["up0", "up1"]),
        (4, r#"{"primary":true,"exclude":["up1"]}"#, &["up0"]),
        (5, r#"{"driver":"veth","exclude":["up*"]}"#, &["near0"]),
        (6, r#"{"driver":"no_such"}"#, &[]),
    ] {
        ship(&node, "drop", revision, object, &[("xdp_pass_a", xdp_on(selector), "")], "")?;
        let report = node.apply_expecting(Exit::Done).context(selector)?;
        let mut got = on(&report)?;
        got.sort_unstable();
        ctx.say(&format!("{selector}: {got:?}"));
        ensure!(got == want, "{selector}: {got:?}, not {want:?}");
        let state = if want.is_empty() { StreamState::Pending } else { StreamState::Attached };
        ensure!(stream(&report, "drop")?.state == state, "{selector}: {report:?}");
    }
    // Without a default route nobody knows the uplink: what runs stays.
    ship(&node, "drop", 6, object, &[("xdp_pass_a", xdp_on(r#"{"primary":true}"#), "")], "")?;
    node.apply_expecting(Exit::Done)?;
    let before = Snapshot::take_settled()?;
    ip("route del default")?;
    let report = node.apply_expecting(Exit::Done)?;
    let waiting = stream(&report, "drop")?;
    ensure!(waiting.state == StreamState::Pending, "{waiting:?}");
    before.expect_again().context("without a default route")?;
    ip("route add default via 192.0.2.1 dev bond0.7")?;
    ensure!(apply_attached(&node, "drop")?.len() == 2, "the uplink is known again");
    node.trust(|trust| {
        every_hook(trust);
        trust.reserved_interfaces = vec!["up*".try_into().expect("a glob")];
    })?;
    let before = Snapshot::take_settled()?;
    ship(&node, "drop", 7, object, &[("xdp_pass_a", xdp_on(r#"{"driver":"veth"}"#), "")], "")?;
    let report = node.apply_expecting(Exit::Refused)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.code == Code::Policy && reason.message.contains("up0"), "{reason:?}");
    before.expect_again()?;
    // A program cannot run twice at one place, however that came to be.
    node.trust(every_hook)?;
    let twice = format!("{},{}", xdp_on(r#"{"driver":"veth"}"#), xdp_on(r#"{"name":"near0"}"#));
    ship(&node, "drop", 8, object, &[("xdp_pass_a", twice, "")], "")?;
    let report = node.apply_expecting(Exit::Failed)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.code == Code::Order && reason.message.contains("near0"), "{reason:?}");
    before.expect_again()
}
