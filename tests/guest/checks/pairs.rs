//! Two faults in one run: each next run mends what they left.

use anyhow::{Context as _, Result, bail, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::Exit;

use super::{crash::Random, life::clear};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Shape, Snapshot, Stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "faults-in-pairs", needs: &[Feature::Freplace], run: pairs },
    Test { name: "faults-in-pairs-far-apart", needs: &[Feature::Freplace], run: far_pairs },
];

/// Pairs that are tried: the calls right after a fault first, for every fault, then those further away. A number and not
/// a time, so that a slow machine proves as much.
const PAIRS: usize = 220;

/// Pairs with a random distance.
const FAR_PAIRS: usize = 60;

/// An update of a stream, to be made with two faults.
struct Update<'a> {
    ctx: &'a Ctx,
    node: &'a Node,
    /// Calls of an undisturbed one.
    calls: usize,
    want: Shape,
    /// Pairs so far, of all guests together, and of this one.
    reached: usize,
    tried: usize,
    /// Runs that were impossible, done all the same, undone, degraded.
    ends: [usize; 4],
}

impl<'a> Update<'a> {
    fn new(ctx: &'a Ctx, node: &'a Node) -> Result<Self> {
        node.ship(&Self::old())?;
        node.apply_expecting(Exit::Done)?;
        node.ship(&Self::new_revision())?;
        let kernel = Kernel::new();
        node.apply_with(&kernel)?;
        let (calls, want) = (kernel.calls(), Snapshot::take_settled()?.shape());
        Ok(Self { ctx, node, calls, want, reached: 0, tried: 0, ends: [0; 4] })
    }

    fn old() -> Stream {
        Stream::pass("drop", "near0", 510)
    }

    fn new_revision() -> Stream {
        Stream { revision: 2, ..Stream::pass("drop", "near0", 20) }
    }

    /// Faults at call `n` and `distance` calls later: undone, done or degraded; the next run converges. Or nothing, when
    /// this pair is another guest's.
    fn fail(&mut self, n: usize, distance: usize) -> Result<()> {
        self.reached += 1;
        if !self.ctx.mine(self.reached) {
            return Ok(());
        }
        let node = self.node;
        node.ship(&Self::old())?;
        node.apply_expecting(Exit::Done).with_context(|| format!("before calls {n} and {distance} later"))?;
        node.ship(&Self::new_revision())?;
        let outcome = node.apply_with(&Kernel::failing_twice(n, distance));
        self.ends[match &outcome {
            Err(_) => 0,
            Ok((_, Exit::Done)) => 1,
            Ok((_, Exit::Failed)) => 2,
            Ok((_, Exit::Degraded)) => 3,
            Ok((report, exit)) => bail!("calls {n} and {distance} later: {exit:?} {report:?}"),
        }] += 1;
        let report = node.apply_expecting(Exit::Done);
        let report = report.with_context(|| format!("after calls {n} and {distance} later: {outcome:?}"))?;
        let shape = self.want.expect();
        shape.with_context(|| format!("calls {n} and {distance} later: {outcome:?}, then {report:?}"))?;
        self.tried += 1;
        Ok(())
    }

    fn done(&self, distance: usize) -> Result<()> {
        let [impossible, done, failed, degraded] = self.ends;
        self.ctx.say(&format!(
            "{} pairs among {} calls, up to {distance} calls apart: {impossible} runs impossible, {done} done all the \
             same, {failed} undone, {degraded} degraded; each converged in the next run",
            self.tried, self.calls
        ));
        clear(self.node)
    }
}

/// An update with a fault, and another one in the undo of it.
fn pairs(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let mut update = Update::new(ctx, &node)?;
    let mut distance = 1;
    while update.reached < PAIRS {
        for n in 0..update.calls {
            update.fail(n, distance)?;
            if distance > 1 && update.reached >= PAIRS {
                break;
            }
        }
        distance += 1;
    }
    ensure!(update.ends[2] > 0 && update.ends[3] > 0, "the pairs tell nothing: {:?}", update.ends);
    update.done(distance - 1)
}

/// The same with faults that have nothing to do with each other: the second one meets the first one's undo, its
/// repetition, or what a later round makes of it.
fn far_pairs(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let mut update = Update::new(ctx, &node)?;
    let mut random = Random::new(0xd1b5_4a32_d192_ed03);
    let mut farthest = 0;
    while update.reached < FAR_PAIRS {
        let calls = u64::try_from(update.calls)?;
        let n = usize::try_from(random.below(calls))?;
        // Neighbours have a test of their own. The undo of a late fault goes on behind the last call of a whole run.
        let distance = 2 + usize::try_from(random.below(calls))?;
        update.fail(n, distance)?;
        farthest = farthest.max(distance);
    }
    ensure!(update.ends[2] + update.ends[3] > update.tried / 4, "the pairs tell nothing: {:?}", update.ends);
    update.done(farthest)
}
