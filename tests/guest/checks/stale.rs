//! Directories of dispatchers that nobody runs: swept if that is provable, and left alone otherwise.

use std::{
    fs,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::{
    kernel::{Kernel, ProgInfo},
    object::KernelBtf,
    xdp::{
        chain::Observed,
        dispatcher::Staged,
        observe::{self, Programs},
        stale::{self, Ours},
    },
};
use nodeplan::report::Exit;

use super::{
    chain::load_theirs,
    hook_streams::{Failed, Inside, OBJECT, cgroup_at, node, ship, soon, udp_to},
    versions::{attached, members},
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Stream, chain},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "sweeps-what-a-crash-left-of-others", needs: &[Feature::Freplace], run: sweeps },
    Test { name: "removes-nothing-that-is-attached", needs: &[Feature::Freplace], run: removes },
    Test { name: "leaves-what-libxdp-may-be-about-to-swap-in", needs: &[Feature::Freplace], run: young },
    Test { name: "knows-as-ours-what-libxdp-holds", needs: &[Feature::Freplace], run: known },
    Test { name: "sweeps-theirs-that-a-killed-run-replaced", needs: &[Feature::Freplace], run: replaced },
    Test { name: "leaves-dispatchers-of-other-networks", needs: &[Feature::Freplace], run: leaves },
    Test { name: "a-dispatcher-without-pins-goes-meanwhile", needs: &[Feature::Freplace], run: gone_meanwhile },
];

fn directories() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("/sys/fs/bpf/xdp")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// The pins of a dispatcher, to be made again after somebody removed them.
struct Pins(PathBuf, Vec<(String, OwnedFd)>);

impl Pins {
    fn of(name: &str) -> Result<Self> {
        let (kernel, dir) = (Kernel::new(), PathBuf::from("/sys/fs/bpf/xdp").join(name));
        let open = |name: String| Ok((name.clone(), kernel.open_pin(&dir.join(&name)).map_err(Failed::from)?));
        let pins = kernel.names(&dir).map_err(Failed::from)?.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Self(dir, pins))
    }

    fn again(&self) -> Result<()> {
        fs::create_dir(&self.0).context("it is there still")?;
        for (name, pin) in &self.1 {
            Kernel::new().pin(pin.as_fd(), &self.0.join(name)).map_err(Failed::from)?;
        }
        Ok(())
    }
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

/// Others take a dispatcher off whose pins are gone, between the look at it and the swap: a lost race, and tried again.
fn gone_meanwhile(ctx: &mut Ctx) -> Result<()> {
    fn taken_off() {
        let _ = ip("link set up0 xdpgeneric off");
    }
    let node = Node::new()?;
    ip("link add up0 type veth peer name peer0")?;
    let ship = |revision| {
        let stream = Stream::pass("drop", "up0", 500 + u16::try_from(revision)?);
        node.ship(&Stream { revision, mode: "skb", ..stream }).map(drop)
    };
    // An undisturbed update first, for the number of its calls: the first half of them load.
    let mut n = usize::MAX;
    loop {
        if n < usize::MAX && !ctx.mine(n) {
            n += 1;
            continue;
        }
        ship(1)?;
        node.apply_expecting(Exit::Done)?;
        fs::remove_dir_all("/sys/fs/bpf/xdp")?;
        // The second pins keep the dispatcher as well.
        for version in fs::read_dir("/sys/fs/bpf/nodebpf/drop")? {
            fs::remove_dir_all(version?.path().join("links"))?;
        }
        ship(2)?;
        let kernel = Kernel::disturbed_at(n, taken_off);
        let (report, exit) = node.apply_with(&kernel)?;
        if n == usize::MAX {
            n = kernel.calls() / 2;
            continue;
        }
        if kernel.calls() <= n {
            break;
        }
        ensure!(exit == Exit::Done, "call {n}: {exit:?}: {report:?}");
        node.apply_expecting(Exit::Done)?;
        ensure!(chain("up0")?.len() == 1, "call {n}: {:?}", chain("up0")?);
        Node::remove("drop")?;
        node.apply_expecting(Exit::Done)?;
        n += 1;
    }
    ctx.say(&format!("taken off before each of {n} calls"));
    Ok(())
}

/// A libxdp process that does not get the processor between pinning its next dispatcher, with ours, and swapping it in.
/// Nobody works on one for ten minutes.
fn young(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    load_theirs(pair.near_name)?;
    let theirs = Pins::of(&directories()?[0])?;
    // Twice: the dispatcher of the first time is known to have replaced it.
    for (priority, revision) in [(20, 1), (30, 2)] {
        node.ship(&Stream { revision, ..Stream::pass("other", pair.near_name, priority) })?;
        node.apply_expecting(Exit::Done)?;
    }
    let (good, chain) = (directories()?, members(pair.near_name)?);
    ensure!(good.len() == 1 && chain.len() == 3, "{good:?} {chain:?}");
    theirs.again()?;
    node.apply_expecting(Exit::Done)?;
    ensure!(directories()?.len() == 2, "libxdp would swap in a dispatcher without pins: {:?}", directories()?);

    let kernel = Kernel::new();
    let interfaces = kernel.interfaces().map_err(Failed::from)?;
    let program = kernel.prog_by_id(chain[0]).map_err(Failed::from)?;
    let info = kernel.prog_info(program.as_fd()).map_err(Failed::from)?;
    for (minutes, left) in [(9, 2), (11, 1)] {
        let then = || Some(ProgInfo { load_time: info.load_time + minutes * 60_000_000_000, ..info.clone() });
        let ours = Ours { program: &|id| chain.contains(&id), dispatcher: &then };
        let suspects = stale::suspects(&kernel, &interfaces, &ours).map_err(Failed::from)?;
        let swept = stale::sweep(&kernel, &suspects, &ours);
        // Left with programs of ours in it: what tells them from others' has to stay as well.
        ensure!(swept.is_err() == (left == 2), "after {minutes} minutes: {swept:?}");
        ensure!(directories()?.len() == left, "after {minutes} minutes: {:?}", directories()?);
    }
    ensure!(directories()? == good, "{:?}", directories()?);
    Ok(())
}

/// The pins of a version stay for as long as a directory that may yet be swept holds its programs, over an update and a
/// removal: without them nobody knows that they are ours.
fn known(_: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let drop_port = |revision| Stream { revision, ..Stream::drop_port("drop", pair.near_name, 510) };
    let versions = |name: &str| fs::read_dir(format!("/sys/fs/bpf/nodebpf/{name}")).map_or(0, Iterator::count);
    node.ship(&drop_port(1))?;
    // 4789 in the order of the machine is denied.
    let deny = r#","globals":{"deny":"b5120000"}"#;
    ship(&node, "sock", 1, OBJECT, &[("cg_connect4", cgroup_at("connect4"), deny)], "")?;
    node.apply_expecting(Exit::Done)?;
    load_theirs(pair.near_name)?;
    let (theirs, name) = (Pins::of(&directories()?[0])?, directories()?);
    // Twice: the dispatcher of the first time is known to have replaced it.
    for (priority, revision) in [(20, 1), (30, 2)] {
        node.ship(&Stream { revision, ..Stream::pass("other", pair.near_name, priority) })?;
        node.apply_expecting(Exit::Done)?;
    }
    theirs.again()?;
    node.ship(&drop_port(2))?;
    node.apply_expecting(Exit::Done)?;
    ensure!(versions("drop") == 2 && directories()?.len() == 2, "updated: {} versions", versions("drop"));
    ensure!(udp_to(4789).is_err(), "denied");
    Node::remove("drop")?;
    Node::remove("sock")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(versions("drop") == 2 && directories()?.len() == 2, "removed: {} versions", versions("drop"));
    ensure!(members(pair.near_name)?.len() == 2, "it runs still: {:?}", members(pair.near_name)?);
    soon("detached from the cgroup", || Ok(udp_to(4789).is_ok()))?;
    // As when it is old enough.
    Kernel::new().remove_dir(&PathBuf::from("/sys/fs/bpf/xdp").join(&name[0])).map_err(Failed::from)?;
    node.apply_expecting(Exit::Done)?;
    for name in ["drop", "sock"] {
        ensure!(!fs::exists(format!("/sys/fs/bpf/nodebpf/{name}"))?, "{name}: {} versions", versions(name));
    }
    Ok(())
}

/// A run that was killed between its swap and the unpinning of what it replaced, a dispatcher of libxdp's with nothing but
/// programs of others: the one that replaced it says so.
fn replaced(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    load_theirs(pair.near_name)?;
    let theirs = Pins::of(&directories()?[0])?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let (good, chain) = (directories()?, members(pair.near_name)?);
    theirs.again()?;
    node.apply_expecting(Exit::Done)?;
    ensure!(directories()? == good, "{:?}", directories()?);
    // What was loaded and never committed is loaded anew: the next run swaps, too.
    theirs.again()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 520))?;
    node.apply_expecting(Exit::Done)?;
    let now = directories()?;
    ensure!(now.len() == 1 && now != good, "{now:?}");
    ensure!(members(pair.near_name)?[0] == chain[0], "{:?}, not {chain:?}", members(pair.near_name)?);
    Ok(())
}
