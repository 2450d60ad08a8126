//! `apply --dry-run` says of every hook what a run would say, as far as that can be told without attaching.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};
use nodeplan::report::{Code, Exit, StreamState};

use super::hook_streams::{self, OBJECT, ship, tc_on};
use crate::{
    bpf::{self, AttachType, Kind},
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Snapshot, stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "dry-run-asks-every-place", needs: &[Feature::Freplace], run: places },
    Test { name: "dry-run-asks-the-tc-list", needs: &[Feature::Tcx], run: order },
];

/// What a stream comes to: state, code, exit.
type End = (StreamState, Option<Code>, Exit);

const ATTACHED: End = (StreamState::Attached, None, Exit::Done);
const REFUSED: End = (StreamState::Refused, Some(Code::FeatureMissing), Exit::FeatureMissing);

/// The dry run comes to `want`, changes nothing, and the run comes to the same.
fn expect(node: &Node, want: End) -> Result<()> {
    let end = |(report, exit): (nodeplan::report::Report, Exit)| -> Result<(End, String)> {
        let one = stream(&report, "drop")?;
        let words = one.reason.as_ref().map(|reason| reason.message.clone()).unwrap_or_default();
        Ok(((one.state, one.reason.as_ref().map(|reason| reason.code), exit), words))
    };
    let before = Snapshot::take_settled()?;
    let (dry, said) = end(node.rehearse()?)?;
    before.expect_again().context("a dry run changes nothing")?;
    ensure!(dry == want, "dry: {dry:?}: {said}");
    let (run, says) = end(node.apply()?)?;
    ensure!(run == want, "run: {run:?}: {says}");
    // One call more or less may be named.
    ensure!(said.is_empty() == says.is_empty(), "dry `{said}`, run `{says}`");
    // Again, where it runs now.
    ensure!(end(node.rehearse()?)?.0 == want, "dry, again");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    Ok(())
}

fn places(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = hook_streams::node()?;
    let tcx = bpf::query_interface(1, AttachType::TcxIngress).is_ok();
    let pending = (StreamState::Pending, Some(Code::CgroupAbsent), Exit::Done);
    for (program, at, want) in [
        ("kp_sleep", r#"{"kprobe":{"function":"hrtimer_nanosleep"}}"#.to_owned(), ATTACHED),
        ("kp_sleep", r#"{"kprobe":{"function":"nodebpf_has_none"}}"#.to_owned(), REFUSED),
        ("krp_sleep", r#"{"kretprobe":{"function":"nodebpf_has_none"}}"#.to_owned(), REFUSED),
        ("tp_exec", r#"{"tracepoint":{"category":"sched","name":"sched_process_exec"}}"#.to_owned(), ATTACHED),
        ("tp_exec", r#"{"tracepoint":{"category":"sched","name":"nodebpf_has_none"}}"#.to_owned(), REFUSED),
        ("raw_exec", r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#.to_owned(), ATTACHED),
        ("raw_exec", r#"{"rawTracepoint":{"name":"nodebpf_has_none"}}"#.to_owned(), REFUSED),
        ("cg_connect4", r#"{"cgroup":{"path":"/nodebpf-has-none","attachType":"connect4"}}"#.to_owned(), pending),
        ("tc_hook", tc_on("near0", "ingress", 510, ""), if tcx { ATTACHED } else { REFUSED }),
    ] {
        ship(&node, "drop", 1, OBJECT, &[(program, at.clone(), "")], "")?;
        expect(&node, want).with_context(|| format!("{program} at {at}"))?;
    }
    ctx.say(&format!("TCX {}", if tcx { "is there" } else { "is absent, and refused" }));
    Ok(())
}

/// Anchors that contradict the list.
fn order(_: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = hook_streams::node()?;
    let ifindex = sys::interface_index("near0")?;
    let load = |name| bpf::load(&bpf::Program { kind: Kind::SchedCls, name, verdict: bpf::TCX_NEXT, replaces: None });
    let (one, two) = (load("one")?, load("two")?);
    let _one = bpf::link_interface(one.as_fd(), ifindex, AttachType::TcxIngress)?;
    let _two = bpf::link_interface(two.as_fd(), ifindex, AttachType::TcxIngress)?;
    for (more, want) in [
        (r#","after":"one","before":"two""#, ATTACHED),
        (r#","after":"two","before":"one""#, (StreamState::Failed, Some(Code::Order), Exit::Failed)),
    ] {
        ship(&node, "drop", 1, OBJECT, &[("tc_hook", tc_on("near0", "ingress", 510, more), "")], "")?;
        expect(&node, want).context(more)?;
    }
    Ok(())
}
