//! A loader that is killed leaves nothing that the next run does not mend: `kill -9` at random moments.

use std::{path::Path, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::Exit;

use super::{
    hook_streams::{self, Inside, every_hook, ship_watchers},
    life::clear,
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Shape, Snapshot, Stream, spawn_apply},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "killed-at-random-moments", needs: &[Feature::Freplace], run: killed },
    Test { name: "killed-while-it-forgets", needs: &[Feature::Freplace], run: forgotten },
    Test { name: "killed-twice-and-reverted", needs: &[Feature::Freplace], run: reverted },
];

/// Kills of the first test.
const ROUNDS: u64 = 100;

/// What the node is told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    First,
    Second,
    Nothing,
}

const PLANS: [Plan; 3] = [Plan::First, Plan::Second, Plan::Nothing];

/// Programs that watch, beside XDP, TC and a cgroup: many kills are affordable only without probes.
type Watchers<'a> = &'a [&'a str];

fn tell(node: &Node, plan: Plan, watchers: Watchers<'_>) -> Result<()> {
    match plan {
        Plan::First => ship_watchers(node, 1, 510, watchers).map(drop),
        Plan::Second => ship_watchers(node, 2, 20, watchers).map(drop),
        Plan::Nothing => {
            let _ = std::fs::remove_file(Node::bundle("drop"));
            Ok(())
        }
    }
}

/// Numbers that look random and are the same in every run.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit.max(1)
    }
}

/// Starts a loader, and kills it after a random part of `longest`. Whether it was still at work.
fn kill(random: &mut Random, longest: Duration) -> Result<bool> {
    let mut child = spawn_apply()?;
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    thread::sleep(Duration::from_micros(random.below(micros)));
    let at_work = child.try_wait().context("waiting for the loader")?.is_none();
    child.kill().context("killing the loader")?;
    child.wait().context("waiting for the loader")?;
    Ok(at_work)
}

/// What undisturbed runs come to, and the longest that one took.
fn clean(node: &Node, watchers: Watchers<'_>) -> Result<(Vec<Shape>, Duration)> {
    let (mut shapes, mut longest) = (Vec::new(), Duration::ZERO);
    for plan in PLANS {
        tell(node, plan, watchers)?;
        let started = std::time::Instant::now();
        ensure!(spawn_apply()?.wait()?.success(), "an undisturbed run failed");
        longest = longest.max(started.elapsed());
        shapes.push(Snapshot::take_settled()?.shape());
    }
    Ok((shapes, longest))
}

fn shape(shapes: &[Shape], plan: Plan) -> &Shape {
    let at = PLANS.iter().position(|one| *one == plan).unwrap_or_default();
    &shapes[at]
}

fn killed(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let _pair = Pair::new("near0", "far0")?;
    let node = hook_streams::node()?;
    let watchers = &["raw_exec"];
    let (shapes, longest) = clean(&node, watchers)?;
    ctx.say(&format!("an undisturbed run takes up to {longest:?}"));
    let mut random = Random::new(0x9e37_79b9_7f4a_7c15);
    let mut at_work = 0;
    for round in 0..ROUNDS {
        let plan = PLANS[usize::try_from(round % 3)?];
        tell(&node, plan, watchers)?;
        at_work += u32::from(kill(&mut random, longest)?);
        let report = node.apply_expecting(Exit::Done).with_context(|| format!("kill {round}, to {plan:?}"))?;
        shape(&shapes, plan).expect().with_context(|| format!("kill {round}, to {plan:?}: {report:?}"))?;
    }
    ctx.say(&format!("{at_work} of {ROUNDS} loaders were killed at work"));
    ensure!(at_work > 30, "only {at_work} loaders were killed at work");
    node.trust(every_hook)?;
    clear(&node)
}

/// Killed on the way to one version and on the way back, several times, without a whole run in between.
fn reverted(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let _pair = Pair::new("near0", "far0")?;
    let node = hook_streams::node()?;
    let watchers = &["kp_sleep", "raw_exec", "tp_exec"];
    let (shapes, longest) = clean(&node, watchers)?;
    let mut random = Random::new(0x2545_f491_4f6c_dd1d);
    for round in 0..12 {
        for step in 0..3 {
            tell(&node, PLANS[(round + step) % 3], watchers)?;
            kill(&mut random, longest)?;
        }
        let plan = PLANS[usize::try_from(random.below(3))?];
        tell(&node, plan, watchers)?;
        node.apply_expecting(Exit::Done).with_context(|| format!("round {round}, to {plan:?}"))?;
        shape(&shapes, plan).expect().with_context(|| format!("round {round}, to {plan:?}"))?;
    }
    ctx.say("12 rounds of three kills");
    clear(&node)
}

/// Killed after the last version of a stream is gone: of its directory and its record nothing stays for ever.
fn forgotten(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    let (pins, record) = (Path::new("/sys/fs/bpf/nodebpf/drop"), Path::new("/tmp/node/run/nodebpf/streams/drop.json"));
    for n in (0..).filter(|n| ctx.mine(*n)) {
        node.ship(&Stream::pass("drop", pair.near_name, 510))?;
        node.apply_expecting(Exit::Done)?;
        ensure!(pins.exists() && record.exists(), "nothing to forget");
        Node::remove("drop")?;
        // From one call on all fail: what a killed loader leaves.
        let kernel = Kernel::killed_at(n);
        let ended = node.apply_with(&kernel);
        if kernel.calls() <= n {
            ended?;
            break;
        }
        node.apply_expecting(Exit::Done).with_context(|| format!("call {n}"))?;
        ensure!(!pins.exists() && !record.exists(), "call {n}: {} {}", pins.exists(), record.exists());
    }
    empty.expect_again()
}
