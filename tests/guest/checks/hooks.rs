//! Every hook but XDP, on a real kernel: attached, effect seen, updated, detached, a failure undone.
//!
//! The programs are those of `bpf/programs/hooks.bpf.c`: each counts in its place of the map `hits`.

use std::{fs, net::UdpSocket, os::fd::AsFd as _, process::Command, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    hook::Hook,
    report::{Code, Exit, StreamState},
};

use super::{
    hook_streams::{
        DENY, EGRESS, Failed, INGRESS, Inside, OBJECT, Program, WATCHERS, apply_attached, attached, cgroup_at,
        every_hook, hits, leaves, map, node, place_of, quiet, ship, ship_all, soon, tc_on, tcx, xdp_on,
    },
    life::{clear, every_fault},
};
use crate::{
    bpf::{self, AttachType, Kind},
    features::{Feature, smallest},
    harness::{Ctx, Step, Test, prove},
    net::{Pair, ip, udp_frame},
    node::{Node, Snapshot, spawn_apply, stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "hook-tc", needs: &[Feature::Tcx], run: tc },
    Test { name: "hook-tc-order", needs: &[Feature::Tcx], run: tc_order },
    Test { name: "hook-tc-refused-without-tcx", needs: &[], run: tc_probe },
    Test { name: "hook-cgroup", needs: &[], run: cgroup },
    Test { name: "hook-cgroup-waits", needs: &[], run: cgroup_waits },
    Test { name: "hook-tracing", needs: &[], run: tracing },
    Test { name: "hook-lsm", needs: &[Feature::BpfLsm], run: lsm },
    Test { name: "hook-missing-is-named", needs: &[], run: missing },
    Test { name: "hook-tail-call-outlives-the-loader", needs: &[Feature::Freplace], run: tail_call },
    Test { name: "hook-state-maps-are-kept", needs: &[], run: state_maps },
    Test { name: "hook-timer-outlives-the-loader", needs: &[], run: timer },
    Test { name: "core-field-of-this-kernel", needs: &[], run: core_field },
    Test { name: "hook-selectors", needs: &[Feature::Freplace], run: selectors },
    Test { name: "fault-in-hooks-first", needs: &[Feature::Freplace], run: fault_in_first },
    Test { name: "fault-in-hooks-update", needs: &[Feature::Freplace], run: fault_in_update },
    Test { name: "fault-in-hooks-removal", needs: &[Feature::Freplace], run: fault_in_removal },
    Test { name: "fault-in-bound-update", needs: &[], run: fault_in_bound },
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

fn udp_to(port: u16) -> std::io::Result<()> {
    UdpSocket::bind("127.0.0.1:0")?.connect(("127.0.0.1", port))
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

fn trigger() -> Result<()> {
    ensure!(Command::new("ip").arg("-V").output().context("starting ip")?.status.success(), "ip");
    thread::sleep(Duration::from_millis(1));
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

/// Whether a frame from the far end gets past XDP of the near one.
fn enters(pair: &Pair) -> Result<bool> {
    let near = pair.near_socket()?;
    pair.far_socket()?.send(&udp_frame([192, 0, 2, 2], [192, 0, 2, 1], 7, b"payload")?)?;
    Ok(!near.receive(1)?.is_empty())
}

/// The loader's descriptors are closed after each run; the slot still leads to the program.
fn tail_call(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let empty = Snapshot::take_settled()?;
    let programs = || [("tail_entry", xdp_on(r#"{"name":"near0"}"#), ""), ("tail_target", String::new(), "")];
    let slots = r#","maps":{"calls":{"slots":[{"index":2,"program":"tail_target"}]}}"#;
    ensure!(enters(&pair)?, "without a program");
    ship(&node, "drop", 1, "tail.bpf.o", &programs(), slots)?;
    apply_attached(&node, "drop")?;
    ensure!(!enters(&pair)?, "the tail call is not taken");
    ship(&node, "drop", 2, "tail.bpf.o", &programs(), slots)?;
    apply_attached(&node, "drop")?;
    ensure!(!enters(&pair)?, "the tail call is not taken after an update");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(enters(&pair)?, "detached");
    empty.expect_again()
}

/// A timer goes on when the loader is gone, and is gone with its program.
fn timer(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let node = node()?;
    ship(&node, "drop", 1, "timer.bpf.o", &[("start_timer", cgroup_at("connect4"), "")], "")?;
    let ran = spawn_apply()?.wait().context("waiting for the loader")?;
    ensure!(ran.success(), "the loader ended with {ran}");
    let fired = || -> Result<u64> {
        let mut value = [0; 8];
        Kernel::new().map_lookup(map("drop", "fired")?.as_fd(), &[0; 4], &mut value).map_err(Failed::from)?;
        Ok(u64::from_ne_bytes(value))
    };
    ensure!(fired()? == 0, "it fires before it was started");
    udp_to(1)?;
    soon("it fires", || Ok(fired()? > 3))?;
    apply_attached(&node, "drop")?;
    let before = fired()?;
    soon("it still fires after another run", || Ok(fired()? > before + 3))?;
    ctx.say(&format!("it fired {} times", fired()?));
    Ok(())
}

/// A field of the kernel's own type is read where this kernel has it: a helper says the same.
fn core_field(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let at = r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#.to_owned();
    ship(&node, "drop", 1, "core_task.bpf.o", &[("core_task", at, "")], "")?;
    apply_attached(&node, "drop")?;
    trigger()?;
    let compared = |place: u32| -> Result<u64> {
        let mut value = [0; 8];
        Kernel::new()
            .map_lookup(map("drop", "compared")?.as_fd(), &place.to_ne_bytes(), &mut value)
            .map_err(Failed::from)?;
        Ok(u64::from_ne_bytes(value))
    };
    let (same, other) = (compared(0)?, compared(1)?);
    ctx.say(&format!("{same} times the same, {other} times not"));
    ensure!(same > 0 && other == 0, "{same} times the same, {other} times not");
    Ok(())
}

/// State survives ten updates while its shape is equal, and not a change of it; scratch does not survive.
fn state_maps(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let exec: [Program; 1] = [("tp_exec", WATCHERS[6].1.to_owned(), "")];
    let persist = r#","maps":{"hits":{"persist":true}}"#;
    ship(&node, "drop", 1, OBJECT, &exec, persist)?;
    apply_attached(&node, "drop")?;
    trigger()?;
    let mut last = hits("drop", 9)?;
    ensure!(last > 0, "it did not run");
    for revision in 2..12 {
        ship(&node, "drop", revision, OBJECT, &exec, persist)?;
        apply_attached(&node, "drop")?;
        trigger()?;
        ensure!(hits("drop", 9)? > last, "revision {revision} forgot: {} after {last}", hits("drop", 9)?);
        last = hits("drop", 9)?;
    }
    let larger = r#","maps":{"hits":{"persist":true,"maxEntries":64}}"#;
    ship(&node, "drop", 20, OBJECT, &exec, larger)?;
    apply_attached(&node, "drop")?;
    ensure!(hits("drop", 9)? == 0, "a map of another size cannot be the same");
    let info = Kernel::new().map_info(map("drop", "hits")?.as_fd()).map_err(Failed::from)?;
    ensure!(info.max_entries == 64, "{info:?}");
    // The owner's limit counts what the maps take here: 64 entries of 4 and 8 bytes are too many.
    node.trust(|trust| {
        every_hook(trust);
        trust.owners.values_mut().for_each(|owner| owner.limits.map_bytes = Some(700));
    })?;
    ship(&node, "drop", 21, OBJECT, &exec, larger)?;
    let before = Snapshot::take_settled()?;
    let report = node.apply_expecting(Exit::Refused)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.code == Code::Policy && reason.message.contains("700"), "{reason:?}");
    before.expect_again()
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

/// Runs revision 1 of [`ship_all`] and waits until nothing else is there.
fn run_all(node: &Node) -> Result<()> {
    let programs = ship_all(node, 1, 510)?;
    apply_attached(node, "drop")?;
    // The dispatcher is one more.
    quiet(programs + 1)
}

fn fault_in_first(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let prepare = || {
        clear(&node)?;
        quiet(0)?;
        ship_all(&node, 1, 510).map(drop)
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}

fn fault_in_update(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let prepare = || {
        run_all(&node)?;
        ship_all(&node, 2, 20).map(drop)
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}

fn fault_in_removal(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let prepare = || {
        run_all(&node)?;
        Node::remove("drop")
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}

/// The last way of attaching: to what the program was loaded for.
fn fault_in_bound(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let bound = |revision, more| {
        ship(&node, "drop", revision, OBJECT, &[("fe_sleep", WATCHERS[1].1.to_owned(), more)], "").map(drop)
    };
    let prepare = || {
        bound(1, "")?;
        apply_attached(&node, "drop")?;
        quiet(1)?;
        bound(2, DENY)
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}
