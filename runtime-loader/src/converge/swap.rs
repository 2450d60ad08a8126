//! The part of a round that packets notice: swaps, and the pins that follow them.
//!
//! In: dispatchers that are staged. Out: what the round came to.
//! May fail with: the stream to blame, or somebody who was faster; what could not be unpinned is trash.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use nodeplan::{
    name::{ProgramName, StreamName},
    report::{Code, Reason},
};

use super::{Round, Streams, decide::blame, place::Place, reason::call_reason};
use crate::{
    kernel::{Call, Interface, Kernel, SwapError},
    state::{self, Version},
    xdp::{
        chain::{Observed, Step},
        dispatcher::{self, Committed, Staged},
        observe,
    },
};

/// Swaps in what was staged and takes off what is to go.
pub(super) fn commit(
    kernel: &Kernel,
    interfaces: &[Interface],
    streams: &Streams,
    steps: &[(&Place, Step)],
    staged: Vec<(&Place, Staged)>,
    trash: &mut Vec<PathBuf>,
) -> Round {
    let mut left = staged.into_iter();
    while let Some((place, one)) = left.next() {
        let dir = one.dir().to_owned();
        let result = match one.commit(kernel) {
            // Not attached: its directory is of no use to anybody.
            Err(error) => {
                trash.push(dir);
                Err(error)
            }
            Ok(committed) => {
                swapped(place, streams, &committed);
                let pinned = pin_again(kernel, streams, place.interface.ifindex, &committed.links);
                unpin_old(kernel, &committed, trash);
                pinned.map_err(SwapError::Call)
            }
        };
        if let Err(error) = result {
            discard(kernel, left.collect(), trash);
            return swap_failed(place, interfaces, streams, error);
        }
    }
    for (place, _) in steps.iter().filter(|(_, step)| matches!(step, Step::Detach)) {
        match dispatcher::detach(kernel, place.interface.ifindex, &place.observed) {
            Ok(committed) => {
                swapped(place, streams, &committed);
                unpin_old(kernel, &committed, trash);
            }
            Err(error) => return swap_failed(place, interfaces, streams, error),
        }
    }
    Round::Done
}

/// Notes what an interface means for an undo: streams that are there now, and those of which something was there and is
/// not any more.
fn swapped(place: &Place, streams: &Streams, committed: &Committed) {
    let mut left = place.observed.programs();
    left.retain(|id| committed.links.iter().all(|(other, _)| other != id));
    let here = |name: &StreamName| place.wanted.iter().any(|wanted| wanted.stream == *name);
    let those = streams.iter().filter(|(name, stream)| here(name) || stream.runs_any(&left));
    those.for_each(|(_, stream)| stream.swapped.set(true));
}

/// Removes the pins of the former dispatcher, now or at the end of the run.
fn unpin_old(kernel: &Kernel, committed: &Committed, trash: &mut Vec<PathBuf>) {
    if committed.unpin_old(kernel).is_err() {
        trash.extend(committed.old_dir());
    }
}

fn swap_failed(place: &Place, interfaces: &[Interface], streams: &Streams, error: SwapError) -> Round {
    let here = &place.interface;
    let name = &here.name;
    // Whatever is attached, the kernel refuses every change below what has XDP, and XDP of a bond whose member has its own:
    // `dev_xdp_attach`, linux `net/core/dev.c`, and `bond_xdp_set`, `drivers/net/bonding/bond_main.c`.
    let above = |one: &&Interface| one.has_xdp() && one.stands_on(here);
    let within = |one: &&Interface| one.has_xdp() && one.master == here.ifindex && here.kind == "bond";
    let other = match &error {
        SwapError::Call(error) if error.errno == libc::EOPNOTSUPP => {
            interfaces.iter().find(within).map(|one| (one, "is in"))
        }
        SwapError::Call(error) if error.errno != libc::EEXIST => None,
        SwapError::HeldByLink => None,
        SwapError::Raced | SwapError::Call(_) => interfaces.iter().find(above).map(|one| (one, "stands on")),
    };
    if let Some((other, place_of)) = other {
        let message =
            format!("`{}` {place_of} `{name}` and has XDP, which keeps that of `{name}` as it is", other.name);
        return blame(place, streams, Reason { code: Code::HeldByLegacy, message });
    }
    match error {
        SwapError::Raced => Round::Raced(name.clone(), place.observed.programs()),
        SwapError::HeldByLink => {
            let message = format!("a bpf_link took `{name}` meanwhile");
            blame(place, streams, Reason { code: Code::HeldByLink, message })
        }
        SwapError::Call(error) => {
            let mut reason = call_reason(&error, name);
            if error.errno == libc::EEXIST {
                // What stands on it is in another network, which we do not see.
                reason.code = Code::HeldByLegacy;
            }
            blame(place, streams, reason)
        }
    }
}

pub(super) fn discard(kernel: &Kernel, staged: Vec<(&Place, Staged)>, trash: &mut Vec<PathBuf>) {
    for (_, one) in staged {
        let dir = one.dir().to_owned();
        if one.discard(kernel).is_err() {
            trash.push(dir);
        }
    }
}

/// Pins the links of our programs a second time below our own directories, replacing those to the former dispatcher.
fn pin_again(kernel: &Kernel, streams: &Streams, ifindex: u32, links: &[(u32, OwnedFd)]) -> Call<()> {
    for (id, link) in links {
        if let Some((version, program)) = home(streams, *id) {
            let path = state::link_pin(&version.dir, ifindex, program);
            kernel.unpin(&path)?;
            kernel.pin(link.as_fd(), &path)?;
        }
    }
    Ok(())
}

/// The same where nothing is to be done: others may have built the dispatcher anew since, or removed a pin.
pub(super) fn renew(kernel: &Kernel, streams: &Streams, place: &Place) -> Call<()> {
    let Observed::Dispatcher(there) = &place.observed else { return Ok(()) };
    let ifindex = place.interface.ifindex;
    for (slot, member) in there.members.iter().enumerate() {
        let Some((version, program)) = home(streams, member.prog_id) else { continue };
        if observe::leads_to(kernel, &state::link_pin(&version.dir, ifindex, program), there.prog_id)?.is_none() {
            let link = kernel.open_pin(&observe::link_pin(ifindex, there.prog_id, slot))?;
            pin_again(kernel, streams, ifindex, &[(member.prog_id, link)])?;
        }
    }
    Ok(())
}

/// The version that a program of ours belongs to.
fn home(streams: &Streams, id: u32) -> Option<(&Version, &ProgramName)> {
    for stream in streams.values() {
        for version in stream.versions() {
            if let Some((name, _)) = version.programs.iter().find(|(_, program)| program.id == id) {
                return Some((version, name));
            }
        }
    }
    None
}
