//! XDP of others on what stands on an interface of ours: the kernel then refuses every change below, by the word that also
//! says that somebody was faster.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nodeplan::report::{Code, Exit, Report, StreamState};

use super::{
    hook_streams::{apply_attached, node, ship, xdp_on},
    versions::members,
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Namespace, Pair, ip},
    node::{Node, Snapshot, Stream, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "names-who-has-xdp-above", needs: &[Feature::Freplace], run: above },
    Test { name: "takes-back-a-removal-that-stops-halfway", needs: &[Feature::Freplace], run: halfway },
    Test { name: "ends-below-xdp-in-another-network", needs: &[Feature::Freplace], run: unseen },
];

/// A program without dispatcher, in generic mode.
pub(super) fn legacy_on(interface: &str) -> Result<()> {
    let pin = "/sys/fs/bpf/legacy";
    if !std::fs::exists(pin)? {
        let load = ["prog", "load", "/objects/xdp_pass.bpf.o", pin, "type", "xdp"];
        let loaded = Command::new("bpftool").args(load).output().context("starting bpftool")?;
        ensure!(loaded.status.success(), "bpftool: {}", String::from_utf8_lossy(&loaded.stderr));
    }
    ip(&format!("link set dev {interface} xdpgeneric pinned {pin}"))
}

fn expect_failure(report: &Report, code: Code, words: &[&str]) -> Result<()> {
    let one = stream(report, "drop")?;
    let reason = one.reason.as_ref().context("a reason")?;
    ensure!(one.state == StreamState::Failed && reason.code == code, "{one:?}");
    for word in words {
        ensure!(reason.message.contains(word), "`{word}` is not in `{}`", reason.message);
    }
    Ok(())
}

/// An update and a removal fail with the name of who is in the way, and what runs stays; without him both are done.
fn above(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let revision = |revision, priority| Stream { revision, ..Stream::drop_port("drop", pair.near_name, priority) };
    for (makes, upper) in [
        ("link add link near0 name upper0 type vlan id 7", "upper0"),
        ("link add link near0 name upper1 type macvlan", "upper1"),
        ("link add upper2 type bridge", "upper2"),
    ] {
        ctx.say(makes);
        ip(makes)?;
        if upper == "upper2" {
            ip("link set near0 master upper2")?;
        }
        node.ship(&revision(1, 510))?;
        node.apply_expecting(Exit::Done)?;
        let first = members("near0")?;
        legacy_on(upper)?;
        let before = Snapshot::take_settled()?;
        // Nothing to do is nothing to refuse.
        node.apply_expecting(Exit::Done)?;
        node.ship(&revision(2, 520))?;
        expect_failure(&node.apply_expecting(Exit::Failed)?, Code::HeldByLegacy, &[upper, "near0"])?;
        before.expect_again().context("an update")?;
        Node::remove("drop")?;
        expect_failure(&node.apply_expecting(Exit::Failed)?, Code::HeldByLegacy, &[upper, "near0"])?;
        before.expect_again().context("a removal")?;
        ensure!(members("near0")? == first, "{:?}, not {first:?}", members("near0")?);
        ip(&format!("link set dev {upper} xdpgeneric off"))?;
        node.apply_expecting(Exit::Done)?;
        ip(&format!("link del {upper}"))?;
    }
    Ok(())
}

/// The second of two interfaces refuses to let go: the stream runs on the first one again.
fn halfway(_: &mut Ctx) -> Result<()> {
    let _pairs = (Pair::new("near0", "far0")?, Pair::new("near1", "far1")?);
    let node = Node::new()?;
    node.ship(&Stream { interfaces: vec!["near0", "near1"], ..Stream::drop_port("drop", "near0", 510) })?;
    node.apply_expecting(Exit::Done)?;
    let first = members("near0")?;
    ip("link add link near1 name upper0 type vlan id 7")?;
    legacy_on("upper0")?;
    let before = Snapshot::take_settled()?;
    Node::remove("drop")?;
    expect_failure(&node.apply_expecting(Exit::Failed)?, Code::HeldByLegacy, &["upper0", "near1"])?;
    before.expect_equivalent()?;
    ensure!(members("near0")? == first && members("near1")? == first, "{:?}, not {first:?}", members("near0")?);
    ip("link set dev upper0 xdpgeneric off")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members("near0").is_err() && members("near1").is_err(), "it runs still");
    Ok(())
}

/// A VLAN in another network is not to be seen from here. The default route has moved, so nobody's selectors say
/// that the interface below is his: the run ends all the same, and his program says whose it is.
fn unseen(ctx: &mut Ctx) -> Result<()> {
    let (_pair, _other) = (Pair::new("near0", "far0")?, Pair::new("near1", "far1")?);
    let (node, elsewhere) = (node()?, Namespace::new()?);
    for line in [
        "address add 192.0.2.9/24 dev near0",
        "address add 198.51.100.9/24 dev near1",
        "route add default via 192.0.2.1 dev near0",
        "link add link near0 name upper0 type vlan id 7",
    ] {
        ip(line)?;
    }
    ship(&node, "drop", 1, "xdp_pass.bpf.o", &[("xdp_pass_a", xdp_on(r#"{"primary":true}"#), "")], "")?;
    let ours = apply_attached(&node, "drop")?;
    ip(&format!("link set upper0 netns {}", elsewhere.path()))?;
    elsewhere.run(|| legacy_on("upper0"))?;
    ip("route replace default via 198.51.100.1 dev near1")?;
    ctx.say("the route has moved");
    expect_failure(&node.apply_expecting(Exit::Failed)?, Code::HeldByLegacy, &["near0", "upper device already has"])?;
    ensure!(members("near0")? == ours, "{:?}, not {ours:?}", members("near0")?);
    elsewhere.run(|| ip("link set dev upper0 xdpgeneric off"))?;
    ensure!(apply_attached(&node, "drop")? == ours && members("near1")? == ours, "it did not follow the route");
    Ok(())
}
