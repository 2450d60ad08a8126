//! Ten slots and eleven programs: who goes is a function of the set, and nobody goes for somebody who does not come.

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{Xdp, XdpMode},
};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    report::{Code, Exit, Report, StreamState},
    trust::TRUST_FORMAT,
};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Snapshot, Stream, chain, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "the-last-of-eleven-goes", needs: &[Feature::Freplace], run: last_goes },
    Test { name: "nobody-goes-for-who-does-not-come", needs: &[Feature::Freplace], run: nobody_in_vain },
    Test { name: "every-fault-while-one-is-displaced", needs: &[Feature::Freplace], run: faults },
];

/// Every so many calls one fails. Prime, so that it is not always the same one of a program; with 7 it takes minutes.
const STRIDE: usize = 31;

/// Streams of which each takes a slot.
pub(super) const TEN: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

/// The interface of ten slots.
const FULL: &str = "near0";
/// Another one, on which the tenth stream runs as well.
const OTHER: &str = "near1";

fn pairs() -> Result<(Pair, Pair)> {
    Ok((Pair::new(FULL, "far0")?, Pair::new(OTHER, "far1")?))
}

/// Ships ten streams; the last one runs on both interfaces.
fn ship_ten(node: &Node) -> Result<()> {
    for (name, priority) in TEN.into_iter().zip(100u16..) {
        let mut one = Stream::pass(name, FULL, priority);
        if name == "j" {
            one.interfaces.push(OTHER);
        }
        node.ship(&one)?;
    }
    Ok(())
}

/// The eleventh, which runs before all others.
fn first() -> Stream {
    Stream::drop_port("drop", FULL, 50)
}

/// Names of the streams that run, by their programs on the interfaces.
fn running(report: &Report) -> Vec<&str> {
    let runs = report.streams.iter().filter(|one| one.attachments.iter().any(|place| place.attached));
    runs.map(|one| one.stream.as_str()).collect()
}

fn ids(report: &Report) -> Vec<(&str, u32)> {
    let places = report.streams.iter().flat_map(|one| one.attachments.iter().map(|place| (one.stream.as_str(), place)));
    places.filter_map(|(name, place)| Some((name, place.program_id?))).collect()
}

/// The report of a run in which this stream alone has no room.
fn without(node: &Node, loser: &str) -> Result<Report> {
    let report = node.apply_expecting(Exit::Failed)?;
    for one in &report.streams {
        let code = one.reason.as_ref().map(|reason| reason.code);
        let want = if one.stream.as_str() == loser {
            (StreamState::Failed, Some(Code::TooManyPrograms))
        } else {
            (StreamState::Attached, None)
        };
        ensure!((one.state, code) == want, "{one:?}");
    }
    ensure!(!running(&report).contains(&loser) && running(&report).len() == TEN.len(), "{report:?}");
    Ok(report)
}

fn last_goes(ctx: &mut Ctx) -> Result<()> {
    let _pairs = pairs()?;
    let node = Node::new()?;
    node.trust(|trust| {
        trust.format = TRUST_FORMAT;
        trust.owners.values_mut().for_each(|owner| owner.may_close = true);
    })?;
    ship_ten(&node)?;
    let ten = node.apply_expecting(Exit::Done)?;
    let before = ids(&ten);
    ctx.say("the eleventh comes before the tenth, which runs");
    node.ship(&first())?;
    let report = without(&node, "j")?;
    let listed = chain(FULL)?;
    ensure!(listed.len() == 10 && listed[0] == (50, "xdp_drop_udp_port".to_owned()), "{listed:?}");
    ensure!(ids(&report).iter().all(|one| one.0 == "drop" || before.contains(one)), "{before:?}, then {report:?}");
    let settled = Snapshot::take_settled()?;
    ensure!(!settled.pins().iter().any(|pin| pin.contains("/nodebpf/j/")), "not all of it is gone: {settled:?}");
    without(&node, "j").context("the second run")?;
    settled.expect_again().context("the second run")?;

    ctx.say("a closed stream comes before an open one");
    node.ship(&Stream {
        interfaces: vec![FULL, OTHER],
        more: r#","failurePolicy":"closed""#,
        ..Stream::pass("j", FULL, 109)
    })?;
    let report = without(&node, "i")?;
    ctx.say("as on a node that boots with these bundles");
    let bundles: Vec<_> = TEN.iter().chain(&["drop"]).map(|name| Node::bundle(name)).collect();
    for bundle in &bundles {
        std::fs::rename(bundle, bundle.with_extension("away"))?;
    }
    // Files that are no bundles are a problem of the node: not what this is about.
    node.apply()?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    for bundle in &bundles {
        std::fs::rename(bundle.with_extension("away"), bundle)?;
    }
    let booted = without(&node, "i")?;
    ensure!(running(&booted) == running(&report), "{booted:?}, before {report:?}");

    ctx.say("with the eleventh gone all ten run");
    Node::remove("drop")?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(running(&report) == TEN, "{report:?}");
    Ok(())
}

/// The eleventh is refused by another interface: the tenth stays, ids included.
fn nobody_in_vain(_: &mut Ctx) -> Result<()> {
    let _pairs = pairs()?;
    let held = Pair::new("near2", "far2")?;
    let node = Node::new()?;
    let mut object = EbpfLoader::new().btf(None).load_file("/objects/xdp_pass.bpf.o")?;
    let program: &mut Xdp = object.program_mut("xdp_pass_a").context("the program")?.try_into()?;
    program.load()?;
    program.attach(held.near_name, XdpMode::Driver)?;
    ship_ten(&node)?;
    node.apply_expecting(Exit::Done)?;
    let before = Snapshot::take_settled()?;
    node.ship(&Stream { interfaces: vec![FULL, held.near_name], ..first() })?;
    let report = node.apply_expecting(Exit::Failed)?;
    let refused = stream(&report, "drop")?;
    ensure!(refused.reason.as_ref().is_some_and(|reason| reason.code == Code::HeldByLink), "{refused:?}");
    ensure!(running(&report) == TEN, "{report:?}");
    ensure!(report.streams.iter().all(|one| one == refused || one.state == StreamState::Attached), "{report:?}");
    before.expect_again()
}

/// Calls fail in turn while the eleventh takes the tenth's slot: one of the two runs, the others always.
fn faults(ctx: &mut Ctx) -> Result<()> {
    let _pairs = pairs()?;
    let node = Node::new()?;
    ship_ten(&node)?;
    for n in (0..).filter(|n| ctx.mine(*n)).map(|n| n * STRIDE) {
        let _ = std::fs::remove_file(Node::bundle("drop"));
        let ten = node.apply_expecting(Exit::Done).with_context(|| format!("before call {n}"))?;
        ensure!(running(&ten) == TEN, "before call {n}: {ten:?}");
        node.ship(&first())?;
        let kernel = Kernel::failing_at(n);
        // A run that was impossible has no report, and changed nothing.
        let report = node.apply_with(&kernel).ok().map(|(report, _)| report);
        let listed = chain(FULL)?;
        ensure!(listed.len() == 10, "call {n}: {listed:?}, {report:?}");
        for priority in 100..109 {
            ensure!(listed.iter().any(|one| one.0 == priority), "call {n}: {listed:?}, {report:?}");
        }
        if let Some(report) = &report {
            let won = listed[0].0 == 50;
            let says = |name| stream(report, name).map(|one| one.state == StreamState::Attached);
            let wrong = says("drop")? != won || (says("j")? && won);
            ensure!(!wrong, "call {n}: {listed:?}, {report:?}");
        }
        without(&node, "j").with_context(|| format!("after call {n}"))?;
        if kernel.calls() <= n {
            ctx.say(&format!("calls up to {n} failed in turn"));
            ensure!(n > 50, "a run makes more than {n} calls");
            break;
        }
    }
    Ok(())
}
