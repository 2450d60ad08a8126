//! XDP and bonds: on the bond, on its members, and on an interface that joins one. What the kernel refuses has a name.

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::kernel::{Kernel, XdpState};
use nodeplan::report::{Code, Exit, Report, StreamState};

use super::versions;
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{FrameSocket, Pair, ip, udp_frame},
    node::{Node, Snapshot, Stream, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "bond-with-xdp", needs: &[Feature::Freplace], run: on_the_bond },
    Test { name: "bond-whose-member-has-xdp", needs: &[Feature::Freplace], run: on_a_member },
];

/// Ids of the programs in the dispatcher of an interface; none without one.
fn members(interface: &str) -> Result<Vec<u32>> {
    let all = Kernel::new().interfaces().map_err(|error| anyhow!("{error}"))?;
    let one = all.iter().find(|one| one.name == interface).context("the interface")?;
    if one.xdp == XdpState::Empty { Ok(Vec::new()) } else { versions::members(interface) }
}

/// Takes an interface into a bond: that works only while it is down.
fn join(member: &str) -> Result<()> {
    ip(&format!("link set {member} down"))?;
    ip(&format!("link set {member} master bond0"))
}

fn bond() -> Result<()> {
    ip("link add bond0 type bond mode active-backup miimon 10")?;
    ip("link set bond0 up")
}

fn drops(interface: &'static str, revision: u32) -> Stream {
    Stream { revision, ..Stream::drop_port("drop", interface, 510) }
}

fn refused(report: &Report, words: &[&str]) -> Result<()> {
    let one = stream(report, "drop")?;
    let reason = one.reason.as_ref().context("a reason")?;
    ensure!(one.state == StreamState::Failed && reason.code == Code::HeldByLegacy, "{one:?}");
    for word in words {
        ensure!(reason.message.contains(word), "`{word}` is not in `{}`", reason.message);
    }
    Ok(())
}

/// What came through to `near` of a packet to the port that is dropped and one to another.
fn through(far: &FrameSocket, near: &FrameSocket) -> Result<usize> {
    for port in [4789, 4790] {
        far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    Ok(near.receive(1)?.len())
}

/// Native XDP of a bond runs on its members, also on one that joins later. The members have none of their own then.
fn on_the_bond(ctx: &mut Ctx) -> Result<()> {
    let (pair, second) = (Pair::new("near0", "far0")?, Pair::new("near1", "far1")?);
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    bond()?;
    join("near0")?;
    node.ship(&drops("bond0", 1))?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members("bond0")?.len() == 1 && members("near0")?.is_empty(), "{:?}", members("bond0")?);
    let (far, near) = (pair.far_socket()?, FrameSocket::open("bond0")?);
    std::thread::sleep(std::time::Duration::from_millis(300));
    ensure!(through(&far, &near)? == 1, "the first member does not filter");
    node.ship(&drops("bond0", 2))?;
    let (replaced, _) = versions::attached("bond0")?;
    node.apply_expecting(Exit::Done)?;
    ctx.say("updated");
    join("near1")?;
    ip("link set near0 down")?;
    std::thread::sleep(std::time::Duration::from_millis(300));
    ensure!(through(&second.far_socket()?, &near)? == 1, "the second member does not filter");
    let rest = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    rest.expect_again()?;

    ctx.say("on a member of it");
    node.ship(&Stream { name: "member", ..Stream::pass("member", "near0", 20) })?;
    let report = node.apply_expecting(Exit::Failed)?;
    let one = stream(&report, "member")?;
    let reason = one.reason.as_ref().context("a reason")?;
    ensure!(reason.code == Code::HeldByLegacy && reason.message.contains("`bond0` stands on `near0`"), "{one:?}");
    rest.expect_again()?;
    Node::remove("member")?;
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members("bond0")?.is_empty(), "{:?}", members("bond0")?);
    ip("link del bond0")?;
    // `bond_xdp_set` (linux `drivers/net/bonding/bond_main.c`) gives back the bond's program when it goes, and not when
    // another comes for it: the dispatcher stays, its members do not.
    let left = Snapshot::take_settled()?.new_programs(&empty);
    ensure!(left.iter().all(|id| *id == replaced), "{left:?} are left, replaced was {replaced}");
    for id in left {
        ctx.say_kernel_keeps(id);
    }
    Ok(())
}

/// A program of ours on an interface does not keep it from joining a bond, and keeps the bond from native XDP.
fn on_a_member(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let _second = Pair::new("near1", "far1")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("member", "near0", 20))?;
    node.apply_expecting(Exit::Done)?;
    let ours = members("near0")?;
    bond()?;
    join("near0")?;
    join("near1")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members("near0")? == ours && ours.len() == 1, "{:?}, not {ours:?}", members("near0")?);
    let rest = Snapshot::take_settled()?;
    node.ship(&drops("bond0", 1))?;
    refused(&node.apply_expecting(Exit::Failed)?, &["`near0` is in `bond0`"])?;
    rest.expect_again()?;

    ctx.say("without the member's");
    Node::remove("member")?;
    // The bond's comes before the member's goes: it takes a second run.
    node.apply()?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members("bond0")?.len() == 1 && members("near0")?.is_empty(), "{:?}", members("near0")?);
    std::thread::sleep(std::time::Duration::from_millis(300));
    ensure!(through(&pair.far_socket()?, &FrameSocket::open("bond0")?)? == 1, "the bond does not filter");

    ctx.say("an interface with XDP and a bond with XDP");
    ip("link set near0 nomaster")?;
    node.ship(&Stream::pass("member", "near0", 20))?;
    node.apply_expecting(Exit::Done)?;
    ensure!(join("near0").is_err(), "the kernel lets both have XDP");
    node.apply_expecting(Exit::Done)?;
    ensure!(members("bond0")?.len() == 1 && members("near0")?.len() == 1, "{:?}", members("near0")?);
    Ok(())
}
