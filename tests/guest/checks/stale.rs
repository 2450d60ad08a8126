//! Directories of dispatchers that nobody runs: swept if that is provable, and left alone otherwise.

use std::fs;

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::{
    kernel::Kernel,
    object::KernelBtf,
    xdp::{
        chain::Observed,
        dispatcher::Staged,
        observe::{self, Programs},
        stale,
    },
};
use nodeplan::report::Exit;

use super::{
    chain::load_theirs,
    hook_streams::Failed,
    versions::{attached, members},
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "sweeps-what-a-crash-left-of-others", needs: &[Feature::Freplace], run: sweeps },
    Test { name: "removes-nothing-that-is-attached", needs: &[Feature::Freplace], run: removes },
    Test { name: "leaves-dispatchers-of-other-networks", needs: &[Feature::Freplace], run: leaves },
];

fn directories() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/fs/bpf/xdp")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// What a run does that takes ours from beside theirs, up to the moment before the swap.
fn build_without_ours(interface: &str, ours: u32) -> Result<()> {
    let kernel = Kernel::new();
    let all = kernel.interfaces().map_err(Failed::from)?;
    let interface = all.iter().find(|one| one.name == interface).context("the interface")?;
    let mut programs = Programs::new();
    let observed = observe::observe(&kernel, interface, &mut programs).map_err(Failed::from)?;
    let Observed::Dispatcher(there) = &observed else { anyhow::bail!("{observed:?}") };
    let left: Vec<_> = there.members.iter().filter(|one| one.prog_id != ours).cloned().collect();
    let step = (there.mode, there.version, &left[..]);
    let staged = Staged::build(&kernel, &KernelBtf::default(), interface.ifindex, &observed, step, &programs);
    // Descriptors go, pins stay: as if it were killed here.
    staged.map(drop).map_err(|error| anyhow!("{error}"))
}

fn sweeps(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    load_theirs(pair.near_name)?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let (good, chain) = (directories()?, members(pair.near_name)?);
    ensure!(good.len() == 1 && chain.len() == 2, "{good:?} {chain:?}");
    let dispatcher = attached(pair.near_name)?.0;

    build_without_ours(pair.near_name, chain[1])?;
    let with = directories()?;
    ensure!(with.len() == 2, "nothing was left: {with:?}");
    let abandoned = with.iter().find(|name| !good.contains(name)).context("the new one")?;
    ensure!(fs::read_dir(format!("/sys/fs/bpf/xdp/{abandoned}"))?.count() == 2, "it holds more than one program");
    node.apply_expecting(Exit::Done)?;
    ensure!(directories()? == good, "not swept: {:?}", directories()?);
    ensure!(attached(pair.near_name)?.0 == dispatcher, "what is attached was replaced");
    ensure!(members(pair.near_name)? == chain, "{:?}", members(pair.near_name)?);

    // Nothing left of ours, and nothing but theirs: the same.
    build_without_ours(pair.near_name, chain[1])?;
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(directories()?.len() == 1, "after removal: {:?}", directories()?);
    ensure!(members(pair.near_name)? == chain[..1], "{:?}", members(pair.near_name)?);
    Ok(())
}

/// A swap that happened although the kernel's answer was lost: its directory was put aside as of no use.
fn removes(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let good = directories()?;
    fs::create_dir(format!("/sys/fs/bpf/xdp/{}9", good[0]))?;
    let all: Vec<_> = directories()?.iter().map(|name| format!("/sys/fs/bpf/xdp/{name}").into()).collect();
    ensure!(all.len() == 2, "{all:?}");
    stale::remove(&Kernel::new(), &all).map_err(Failed::from)?;
    ensure!(directories()? == good, "{:?}, not {good:?}", directories()?);
    Ok(())
}

/// A dispatcher of libxdp in a network that shares the BPF file system, on an interface whose index another one has here.
fn leaves(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let index = pair.far.run(|| sys::interface_index(pair.far_name))?;
    ip(&format!("link add twin0 index {index} type dummy"))?;
    ensure!(sys::interface_index("twin0")? == index, "another index");
    pair.far.run(|| load_theirs(pair.far_name))?;
    let theirs = pair.far.run(|| members(pair.far_name))?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    node.apply_expecting(Exit::Done)?;
    ensure!(directories()?.len() == 2, "{:?}", directories()?);
    ensure!(pair.far.run(|| members(pair.far_name))? == theirs && theirs.len() == 1, "theirs: {theirs:?}");
    Ok(())
}
