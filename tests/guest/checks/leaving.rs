//! Interfaces and routes that leave in the middle of a run: no stream fails by that, and the next run is at rest.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::{Exit, Report, StreamState};

use super::hook_streams::{CGROUP, INGRESS, OBJECT, cgroup_at, node, ship, tc_on, tcx};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Snapshot, Stream, chain, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "an-xdp-interface-leaves-during-a-run", needs: &[Feature::Freplace], run: xdp },
    Test { name: "a-tc-interface-leaves-during-a-run", needs: &[Feature::Tcx], run: tc },
    Test { name: "a-cgroup-leaves-during-a-run", needs: &[], run: cgroup },
    Test { name: "the-default-route-leaves-during-a-run", needs: &[Feature::Freplace], run: route },
    Test { name: "a-route-and-an-interface-leave-during-an-update", needs: &[Feature::Tcx], run: route_and_interface },
];

/// The run is disturbed before each so many calls. Prime, so that it is not always the same call of a program; with 3 it
/// takes minutes.
const STRIDE: usize = 11;

/// What the node loses.
const GOES: &str = "near1";

fn interface_leaves() {
    // It may have left already: then nothing is lost.
    let _ = ip(&format!("link del {GOES}"));
}

/// Disturbs first runs and second ones at every so many calls, until a run makes no more calls. `rest`: what must hold
/// when the node is at rest without what left.
fn disturb(
    ctx: &mut Ctx,
    node: &Node,
    happens: fn(),
    ready: &dyn Fn(&Node, u32) -> Result<()>,
    check: &dyn Fn(&Report) -> Result<()>,
) -> Result<()> {
    for update in [false, true] {
        // The other guests disturb in between.
        for n in (0..).filter(|n| ctx.mine(*n)).map(|n| n * STRIDE) {
            let _ = fs::remove_file(Node::bundle("drop"));
            let _ = fs::remove_file(Node::bundle("stays"));
            node.apply_expecting(Exit::Done)?;
            ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
            ready(node, 1)?;
            if update {
                node.apply_expecting(Exit::Done)?;
                ready(node, 2)?;
            }
            let kernel = Kernel::disturbed_at(n, happens);
            let (report, exit) = node.apply_with(&kernel)?;
            let done = kernel.calls() <= n;
            if !done {
                ensure!(exit == Exit::Done, "call {n}, update {update}: {exit:?} {report:?}");
                for one in &report.streams {
                    let fine = matches!(one.state, StreamState::Attached | StreamState::Pending);
                    ensure!(fine, "call {n}, update {update}: {one:?}");
                }
                let report = node.apply_expecting(Exit::Done)?;
                check(&report).with_context(|| format!("call {n}, update {update}"))?;
                let rest = Snapshot::take_settled()?;
                node.apply_expecting(Exit::Done)?;
                rest.expect_again().with_context(|| format!("call {n}, update {update}, not at rest"))?;
            }
            if done {
                ctx.say(&format!("disturbed up to call {n}, update {update}"));
                ensure!(n > 10, "a run makes more than {n} calls");
                break;
            }
        }
    }
    Ok(())
}

/// Makes what left anew.
fn again() -> Result<()> {
    interface_leaves();
    ip(&format!("link add {GOES} type veth peer name far1"))
}

/// A stream is on the interface that leaves and on one that stays, another one only on the latter.
fn xdp(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let ready = |node: &Node, revision| {
        again()?;
        let both = Stream { revision, interfaces: vec!["near0", GOES], ..Stream::pass("drop", "near0", 510) };
        node.ship(&both)?;
        node.ship(&Stream { revision, ..Stream::pass("stays", "near0", 20) }).map(drop)
    };
    let check = |report: &Report| {
        for name in ["drop", "stays"] {
            let places = &stream(report, name)?.attachments;
            ensure!(places.len() == 1 && places[0].attached, "{report:?}");
        }
        let listed = chain(pair.near_name)?;
        ensure!(listed.len() == 2, "{listed:?}");
        let dispatchers = fs::read_dir("/sys/fs/bpf/xdp")?.count();
        ensure!(dispatchers == 1, "{dispatchers} dispatchers are pinned: {:?}", Snapshot::take()?.pins());
        Ok(())
    };
    disturb(ctx, &node, interface_leaves, &ready, &check)
}

fn tc(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let ready = |node: &Node, revision| {
        again()?;
        let both = [tc_on("near0", "ingress", 510, ""), tc_on(GOES, "ingress", 510, "")].join(",");
        ship(node, "drop", revision, OBJECT, &[("tc_hook", both, "")], "")?;
        ship(node, "stays", revision, OBJECT, &[("tc_hook", tc_on("near0", "ingress", 20, ""), "")], "").map(drop)
    };
    let check = |report: &Report| {
        for name in ["drop", "stays"] {
            let places = &stream(report, name)?.attachments;
            ensure!(places.len() == 1 && places[0].attached, "{report:?}");
        }
        ensure!(tcx("near0", INGRESS)?.len() == 2, "{:?}", tcx("near0", INGRESS)?.len());
        let links =
            Snapshot::take()?.pins().iter().filter(|pin| pin.contains("/links/") && !pin.ends_with('/')).count();
        ensure!(links == 2, "{links} links are pinned: {:?}", Snapshot::take()?.pins());
        Ok(())
    };
    disturb(ctx, &node, interface_leaves, &ready, &check)
}

/// Before each call of the second half of a run, also between the moment when the cgroup is opened and that of the link:
/// it counts as absent.
fn cgroup(ctx: &mut Ctx) -> Result<()> {
    fn cgroup_leaves() {
        let _ = fs::remove_dir(CGROUP);
    }
    let node = node()?;
    let ready = |revision| {
        fs::create_dir_all(CGROUP)?;
        ship(&node, "drop", revision, OBJECT, &[("cg_connect4", cgroup_at("connect4"), "")], "")
    };
    let waits = |report: &Report| {
        let one = stream(report, "drop")?;
        // It may leave while the report looks at it.
        let runs = one.attachments.iter().any(|place| place.attached);
        ensure!(one.state == StreamState::Pending && !runs, "{one:?}");
        Ok(())
    };
    for update in [false, true] {
        // An undisturbed run first, for the number of its calls.
        let mut n = usize::MAX;
        loop {
            ready(1)?;
            if update {
                node.apply_expecting(Exit::Done)?;
                ready(2)?;
            }
            let kernel = Kernel::disturbed_at(n, cgroup_leaves);
            let (report, exit) = node.apply_with(&kernel)?;
            ensure!(exit == Exit::Done, "call {n}, update {update}: {exit:?} {report:?}");
            if kernel.calls() > n {
                waits(&report).with_context(|| format!("call {n}, update {update}"))?;
                n += 1;
            } else if n == usize::MAX {
                n = kernel.calls() / 2;
            } else {
                break;
            }
            Node::remove("drop")?;
            node.apply_expecting(Exit::Done)?;
        }
        ctx.say(&format!("up to call {n}, update {update}"));
    }
    Ok(())
}

/// `primary` is asked for when there is no default route any more.
fn route(ctx: &mut Ctx) -> Result<()> {
    const ROUTE: &str = "default via 192.0.2.1 dev near0";
    fn route_leaves() {
        let _ = ip(&format!("route del {ROUTE}"));
    }
    let _pair = Pair::new("near0", "far0")?;
    ip("address add 192.0.2.9/24 dev near0")?;
    let node = Node::new()?;
    let attach = r#"{"xdp":{"interfaces":[{"primary":true}],"mode":"native","priority":510,"proceedOn":["pass"]}}"#;
    let ready = |node: &Node, revision| {
        route_leaves();
        ip(&format!("route add {ROUTE}"))?;
        ship(node, "drop", revision, "xdp_pass.bpf.o", &[("xdp_pass_a", attach.to_owned(), "")], "")?;
        node.ship(&Stream { revision, ..Stream::pass("stays", "near0", 20) }).map(drop)
    };
    let check = |report: &Report| {
        let one = stream(report, "stays")?;
        ensure!(one.state == StreamState::Attached, "{one:?}");
        let waits = stream(report, "drop")?;
        ensure!(waits.state == StreamState::Pending, "{waits:?}");
        // What ran when the route left is left alone; what did not run waits.
        ensure!(matches!(chain("near0")?.len(), 1 | 2), "{:?}", chain("near0")?);
        Ok(())
    };
    disturb(ctx, &node, route_leaves, &ready, &check)?;
    // And comes back.
    ready(&node, 9)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.attachments.iter().filter(|place| place.attached).count() == 1, "{report:?}");
    Ok(())
}

/// The default route leaves, by which an update has begun, and an interface of another stream, which costs the run a
/// second round: what runs on the uplink is one version, and the one that the report names.
fn route_and_interface(ctx: &mut Ctx) -> Result<()> {
    const ROUTE: &str = "default via 192.0.2.1 dev near0";
    fn both_leave() {
        interface_leaves();
        let _ = ip(&format!("route del {ROUTE}"));
    }
    let _pair = Pair::new("near0", "far0")?;
    ip("address add 192.0.2.9/24 dev near0")?;
    let node = node()?;
    let on = |selectors: &str| {
        format!(
            r#"{{"tc":{{"interfaces":[{selectors}],"direction":"ingress","priority":510,"verdicts":["next","drop"]}}}}"#
        )
    };
    let uplink = r#"{"primary":true}"#;
    let (mut n, mut new) = (0, 0);
    loop {
        both_leave();
        again()?;
        ip(&format!("route add {ROUTE}"))?;
        ship(&node, "drop", 1, OBJECT, &[("tc_hook", on(uplink), "")], "")?;
        let _ = fs::remove_file(Node::bundle("later"));
        node.apply_expecting(Exit::Done)?;
        ship(&node, "drop", 2, OBJECT, &[("tc_hook", on(uplink), "")], "")?;
        ship(&node, "later", 1, OBJECT, &[("tc_hook", tc_on(GOES, "ingress", 20, ""), "")], "")?;
        let kernel = Kernel::disturbed_at(n, both_leave);
        let report = node.apply_with(&kernel)?.0;
        if kernel.calls() <= n {
            break;
        }
        let one = stream(&report, "drop")?;
        let said: Vec<_> = one.attachments.iter().filter(|at| at.attached).map(|at| at.program_id).collect();
        let runs: Vec<_> = tcx("near0", INGRESS)?.iter().map(|(program, _)| Some(*program)).collect();
        ensure!(runs.len() == 1 && said == runs, "call {n}: {runs:?} run: {one:?}");
        new += usize::from(one.revision.map(nodeplan::plan::Revision::get) == Some(2));
        node.apply_expecting(Exit::Done)?;
        let still: Vec<_> = tcx("near0", INGRESS)?.iter().map(|(program, _)| Some(*program)).collect();
        ensure!(still == runs, "call {n}: {still:?} run, not {runs:?}");
        n += 1;
    }
    ctx.say(&format!("up to call {n}; {new} times the update was made all the same"));
    ensure!(new > 0 && new < n, "{new} of {n} times");
    Ok(())
}
