//! What a node remembers, on a real kernel: over updates and reverts, and on a disk that is full.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use nodeplan::{
    memory::Memory,
    plan::PLAN_VERSION,
    report::{Code, Exit, Report, StreamState},
    trust::Trust,
};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Snapshot, Stream, chain, spawn_apply_by, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "trust-goes-on-from-what-is-known", needs: &[Feature::Freplace], run: trust_life },
    Test { name: "trust-floors-outlive-the-pins", needs: &[Feature::Freplace], run: floors },
    Test { name: "trust-on-a-full-disk", needs: &[Feature::Freplace], run: full_disk },
];

fn problems(report: &Report) -> Vec<Code> {
    report.problems.iter().map(|problem| problem.code).collect()
}

/// An older trust file than the one known changes nothing and is said; one of another history fails the update.
fn trust_life(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let first = fs::read(Node::trust_file())?;
    node.trust(|_| ())?;
    node.apply_expecting(Exit::Done)?;
    let before = Snapshot::take_settled()?;
    fs::write(Node::trust_file(), &first)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(problems(&report) == [Code::TrustOlder] && report.trust.version == Some(2), "{report:?}");
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    before.expect_again()?;
    // Version 2 again, with other content.
    let other = Node::new()?;
    other.trust(|trust| trust.audiences = vec!["prod".try_into().expect("a name")])?;
    let report = node.apply_expecting(Exit::Refused)?;
    ensure!(problems(&report) == [Code::TrustFork], "{report:?}");
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    before.expect_again()
}

/// A floor is remembered when the programs, pins and records that set it are long gone.
fn floors(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let of = |revision| Stream { revision, ..Stream::pass("drop", pair.near_name, 510) };
    let ship = |revision| {
        node.ship_changed(&of(revision), |plan| {
            plan.plan_version = PLAN_VERSION;
            plan.rollback_floor = 2i64.try_into().ok();
        })
    };
    ship(3)?;
    // A timer in the middle of an update: what it attaches may be taken back yet.
    let timer = spawn_apply_by("nodebpf-apply.timer")?.wait()?;
    ensure!(timer.success() && chain(pair.near_name)?.len() == 1, "{timer}: not attached");
    let floors = || -> Result<usize> { Ok(Memory::parse(&fs::read(Node::memory("memory.json"))?)?.floors.len()) };
    ensure!(floors()? == 0, "a timer has taught a floor");
    node.apply_expecting(Exit::Done)?;
    ensure!(floors()? == 1, "an update has taught no floor");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left");
    ship(2)?;
    node.apply_expecting(Exit::Done).context("down to the floor")?;
    ensure!(chain(pair.near_name)?.len() == 1, "not attached");
    node.ship(&of(1))?;
    let report = node.apply_expecting(Exit::Refused)?;
    let refused = stream(&report, "drop")?;
    ensure!(refused.reason.as_ref().is_some_and(|reason| reason.code == Code::BelowFloor), "{refused:?}");
    ensure!(!Snapshot::take()?.has_pins(), "what is below the floor runs on");
    Ok(())
}

/// One page for all that is to be remembered: the trust file takes it, and nothing else can be written.
fn full_disk(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let dir = Node::memory("");
    fs::create_dir_all(&dir)?;
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k,mode=755", "none"]).arg(&dir).status()?;
    ensure!(mounted.success(), "mount: {mounted}");
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(problems(&report) == [Code::MemoryNotKept], "{report:?}");
    ensure!(report.problems[0].message.contains("No space left"), "{report:?}");
    ensure!(chain(pair.near_name)?.len() == 1, "not attached");
    let kept = fs::read(Node::memory("trust.json"))?;
    // A newer trust file cannot be kept: the one that is, stays whole, and the newer one rules. That nothing else was
    // ever written looks like a loss, and is said as one.
    node.trust(|_| ())?;
    let report = node.apply_expecting(Exit::Done)?;
    let mut said = problems(&report);
    said.sort_unstable_by_key(|code| code.as_str());
    ensure!(said == [Code::MemoryDamaged, Code::MemoryNotKept, Code::MemoryNotKept], "{report:?}");
    ensure!(report.trust.version == Some(2), "{report:?}");
    ensure!(fs::read(Node::memory("trust.json"))? == kept && Trust::parse(&kept).is_ok(), "the old file is damaged");
    ensure!(fs::read_dir(&dir)?.count() == 1, "something is left");
    let unmounted = Command::new("umount").arg(&dir).status()?;
    ensure!(unmounted.success(), "umount: {unmounted}");
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(problems(&report).is_empty() && Node::memory("memory.json").exists(), "{report:?}");
    Ok(())
}
