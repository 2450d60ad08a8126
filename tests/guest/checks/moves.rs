//! Interfaces that are renamed, moved to another network and back, deleted and made anew; members that join a bond:
//! attached where the selectors say, once, and no pin that leads nowhere.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::{Exit, StreamState};

use super::hook_streams::{INGRESS, OBJECT, node, ship, tcx};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Namespace, ip},
    node::{Node, Snapshot, chain, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "moves-of-an-xdp-interface", needs: &[Feature::Freplace], run: xdp },
    Test { name: "moves-of-a-tc-interface", needs: &[Feature::Tcx], run: tc },
    Test { name: "moves-while-drivers-are-asked", needs: &[Feature::Freplace], run: asked },
    Test { name: "an-interface-that-does-not-tell-its-driver", needs: &[Feature::Tcx], run: untold },
    Test { name: "a-fault-while-a-renamed-interface-is-left", needs: &[Feature::Freplace], run: renamed },
];

/// How a hook is asked for and looked at.
struct Hook {
    object: &'static str,
    program: &'static str,
    attach: fn(&str) -> String,
    /// Programs on an interface, as others see them.
    on: fn(&str) -> Result<usize>,
}

fn xdp(ctx: &mut Ctx) -> Result<()> {
    let attach = |selector: &str| {
        format!(r#"{{"xdp":{{"interfaces":[{selector}],"mode":"skb","priority":510,"proceedOn":["pass"]}}}}"#)
    };
    let on = |interface: &str| -> Result<usize> {
        let status = xdp_loader("status")?;
        let mut lines = status.lines().skip_while(|line| line.split_whitespace().next() != Some(interface));
        lines.next();
        Ok(lines.take_while(|line| line.trim_start().starts_with("=>")).count())
    };
    moves(ctx, &Hook { object: "xdp_pass.bpf.o", program: "xdp_pass_a", attach, on })
}

fn tc(ctx: &mut Ctx) -> Result<()> {
    let attach = |selector: &str| {
        format!(
            r#"{{"tc":{{"interfaces":[{selector}],"direction":"ingress","priority":510,"verdicts":["next","drop"]}}}}"#
        )
    };
    let on = |interface: &str| Ok(tcx(interface, INGRESS)?.len());
    moves(ctx, &Hook { object: OBJECT, program: "tc_hook", attach, on })
}

/// Pins of links of the stream, and directories of dispatchers.
fn pinned() -> Result<(usize, usize)> {
    let dirs = |path: &str| -> Result<Vec<std::path::PathBuf>> {
        let Ok(entries) = fs::read_dir(path) else { return Ok(Vec::new()) };
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let mut links = 0;
    for version in dirs("/sys/fs/bpf/nodebpf/drop")? {
        links += dirs(&version.join("links").display().to_string())?.len();
    }
    Ok((links, dirs("/sys/fs/bpf/xdp")?.len()))
}

/// Runs the loader, and demands one program on each of these interfaces, and pins for no other.
fn settled(node: &Node, hook: &Hook, on: &[&str], pending: bool) -> Result<Vec<u32>> {
    let report = node.apply_expecting(Exit::Done)?;
    let one = stream(&report, "drop")?;
    let state = if pending { StreamState::Pending } else { StreamState::Attached };
    ensure!(one.state == state, "{one:?}");
    let mut shown: Vec<&str> =
        one.attachments.iter().filter_map(|at| at.interface.as_ref().map(nodeplan::name::IfName::as_str)).collect();
    shown.sort_unstable();
    ensure!(shown == on && one.attachments.iter().all(|at| at.attached), "on {on:?}: {one:?}");
    for interface in on {
        ensure!((hook.on)(interface)? == 1, "{} programs on {interface}", (hook.on)(interface)?);
    }
    let dispatchers = if hook.object == OBJECT { 0 } else { on.len() };
    ensure!(pinned()? == (on.len(), dispatchers), "pins: {:?} for {on:?}: {:?}", pinned()?, Snapshot::take()?.pins());
    let before = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    before.expect_again().context("a second run")?;
    Ok(one.attachments.iter().filter_map(|at| at.program_id).collect())
}

fn moves(ctx: &mut Ctx, hook: &Hook) -> Result<()> {
    let node = node()?;
    let elsewhere = Namespace::new()?;
    let attach = format!("{},", (hook.attach)(r#"{"name":"up*"},{"membersOf":"bond0"}"#));
    let attach = attach.trim_end_matches(',').to_owned();
    ship(&node, "drop", 1, hook.object, &[(hook.program, attach, "")], "")?;
    for line in ["link add bond0 type bond mode active-backup", "link add up0 type veth peer name peer0"] {
        ip(line)?;
    }
    ctx.say("there");
    // No member of the bond yet.
    let first = settled(&node, hook, &["up0"], true)?;
    ctx.say("renamed to a name that is selected");
    ip("link set up0 down")?;
    ip("link set up0 name up9")?;
    ensure!(settled(&node, hook, &["up9"], true)? == first, "the program was loaded anew");
    ctx.say("renamed to a name that is not");
    ip("link set up9 name other0")?;
    settled(&node, hook, &[], true)?;
    ensure!((hook.on)("other0")? == 0, "it still runs on the renamed interface");
    ip("link set other0 name up0")?;
    settled(&node, hook, &["up0"], true)?;
    ctx.say("moved to another network and back, with a run in between");
    ip(&format!("link set up0 netns {}", elsewhere.path()))?;
    settled(&node, hook, &[], true)?;
    elsewhere.run(|| ip(&format!("link set up0 netns {}", std::process::id())))?;
    settled(&node, hook, &["up0"], true)?;
    ctx.say("the same without a run in between");
    ip(&format!("link set up0 netns {}", elsewhere.path()))?;
    elsewhere.run(|| ip(&format!("link set up0 netns {}", std::process::id())))?;
    settled(&node, hook, &["up0"], true)?;
    ctx.say("deleted, and made anew");
    ip("link del up0")?;
    settled(&node, hook, &[], true)?;
    ip("link add up0 type veth peer name peer0")?;
    settled(&node, hook, &["up0"], true)?;
    ip("link del up0")?;
    ip("link add up0 type veth peer name peer0")?;
    settled(&node, hook, &["up0"], true)?;
    ctx.say("members join a bond and leave it");
    ip("link add slave0 type veth peer name peer1")?;
    ip("link add slave1 type veth peer name peer2")?;
    ip("link set slave0 master bond0")?;
    settled(&node, hook, &["slave0", "up0"], false)?;
    ip("link set slave1 master bond0")?;
    settled(&node, hook, &["slave0", "slave1", "up0"], false)?;
    ip("link set slave0 nomaster")?;
    settled(&node, hook, &["slave1", "up0"], false)?;
    ensure!((hook.on)("slave0")? == 0, "it still runs on what left the bond");
    Ok(())
}

/// An interface that gets another name while its driver is asked for keeps what the driver selects.
fn asked(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    ip("link add up0 type veth peer name peer0")?;
    let attach = r#"{"xdp":{"interfaces":[{"driver":"veth"}],"mode":"skb","priority":510,"proceedOn":["pass"]}}"#;
    ship(&node, "drop", 1, "xdp_pass.bpf.o", &[("xdp_pass_a", attach.to_owned(), "")], "")?;
    node.apply_expecting(Exit::Done)?;
    let (mut n, mut renamed) = (0, 0);
    loop {
        if !ctx.mine(n) {
            n += 1;
            continue;
        }
        let kernel = Kernel::disturbed_at(n, || drop(ip("link set up0 name up9")));
        let (report, exit) = node.apply_with(&kernel)?;
        if kernel.calls() <= n {
            break;
        }
        let (up, peer) = (chain("up9")?, chain("peer0")?);
        ensure!(up.len() == 1 && peer.len() == 1, "call {n}: {exit:?} {up:?} {peer:?}: {report:?}");
        ip("link set up9 name up0")?;
        (n, renamed) = (n + 1, renamed + 1);
    }
    ctx.say(&format!("renamed before {renamed} of {n} calls"));
    ensure!(n > 10, "{n} calls");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ip("link del up0")
}

/// A card that does not answer when its driver is asked for: the stream that asks by `driver` is updated or left alone as a
/// whole, and the other one is updated.
fn untold(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    ip("link add up0 type veth peer name peer0")?;
    let on = |selector: &str, priority: u16| {
        format!(
            r#"{{"tc":{{"interfaces":[{selector}],"direction":"ingress","priority":{priority},"verdicts":["next"]}}}}"#
        )
    };
    let both = |revision| -> Result<()> {
        ship(&node, "asks", revision, OBJECT, &[("tc_hook", on(r#"{"driver":"veth"}"#, 20), "")], "")?;
        ship(&node, "other", revision, OBJECT, &[("tc_hook", on(r#"{"name":"up0"}"#, 510), "")], "").map(drop)
    };
    let (mut kept, mut updated) = (0, 0);
    for n in 0.. {
        for name in ["asks", "other"] {
            let _ = fs::remove_file(Node::bundle(name));
        }
        node.apply_expecting(Exit::Done)?;
        both(1)?;
        node.apply_expecting(Exit::Done)?;
        both(2)?;
        let kernel = Kernel::failing_at(n);
        let ended = node.apply_with(&kernel);
        if kernel.calls() <= n {
            break;
        }
        let report = match ended {
            Ok((report, _)) => report,
            Err(error) => {
                ensure!(!format!("{error:#}").contains("ETHTOOL"), "call {n}: {error:#}");
                continue;
            }
        };
        let one = stream(&report, "asks")?;
        if one.reason.as_ref().is_none_or(|reason| !reason.message.contains("does not tell its driver")) {
            continue;
        }
        ensure!(one.state == StreamState::Pending, "call {n}: {one:?}");
        let there: Vec<_> = one.attachments.iter().filter(|at| at.attached).collect();
        ensure!(there.len() == 2 && there.len() == one.attachments.len(), "call {n}: {one:?}");
        match one.revision.map(nodeplan::plan::Revision::get) {
            Some(1) => kept += 1,
            _ => updated += 1,
        }
        let other = stream(&report, "other")?;
        let new = other.state == StreamState::Attached && other.revision.map(nodeplan::plan::Revision::get) == Some(2);
        ensure!(new, "call {n}: {other:?}");
    }
    ctx.say(&format!("kept {kept} times, updated {updated} times"));
    ensure!(kept > 0 && updated > 0, "kept {kept} times, updated {updated} times");
    Ok(())
}

/// A call fails while a stream is removed that runs on an interface which its selectors do not mean any more: what the run
/// calls done is off.
fn renamed(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    ip("link add up0 type veth peer name peer0")?;
    let attach = r#"{"xdp":{"interfaces":[{"name":"up0"}],"mode":"skb","priority":510,"proceedOn":["pass"]}}"#;
    let (mut n, mut done, mut failed) = (0, 0, 0);
    loop {
        if !ctx.mine(n) {
            n += 1;
            continue;
        }
        ship(&node, "drop", 1, "xdp_pass.bpf.o", &[("xdp_pass_a", attach.to_owned(), "")], "")?;
        node.apply_expecting(Exit::Done)?;
        ip("link set up0 name other0")?;
        Node::remove("drop")?;
        let kernel = Kernel::failing_at(n);
        let ended = node.apply_with(&kernel);
        let runs = || -> Result<usize> { Ok(chain("other0")?.len()) };
        match &ended {
            Ok((report, Exit::Done)) => {
                ensure!(runs()? == 0, "call {n}: it still runs: {report:?}");
                done += 1;
            }
            _ => failed += 1,
        }
        node.apply_expecting(Exit::Done)?;
        ensure!(runs()? == 0, "after call {n} it still runs");
        ip("link set other0 name up0")?;
        if kernel.calls() <= n {
            break;
        }
        n += 1;
    }
    ctx.say(&format!("of {n} calls {failed} made the removal fail, {done} did not"));
    ensure!(done > 0 && failed > 0, "{done} times done, {failed} times failed");
    Ok(())
}
