//! A fault in every kernel call of a first attachment, an update and a removal, with a program on each way of attaching.

use anyhow::Result;

use super::{
    hook_streams::{DENY, Inside, OBJECT, WATCHERS, apply_attached, node, quiet, ship, ship_all},
    life::{clear, every_fault},
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::Node,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "fault-in-hooks-first", needs: &[Feature::Freplace], run: fault_in_first },
    Test { name: "fault-in-hooks-update", needs: &[Feature::Freplace], run: fault_in_update },
    Test { name: "fault-in-hooks-removal", needs: &[Feature::Freplace], run: fault_in_removal },
    Test { name: "fault-in-bound-update", needs: &[], run: fault_in_bound },
];

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
