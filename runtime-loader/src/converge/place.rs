//! What a round sees of each interface: what is attached, and what streams want there.
//!
//! In: interfaces and streams. Out: [`Place`]s, and the programs that run there.
//! May fail with: a call of the kernel; an interface that changes while it is looked at is named instead.

use std::{os::fd::OwnedFd, path::PathBuf, rc::Rc};

use nodeplan::{hook::XdpAttachment, name::StreamName, xdp::XdpMode};

use super::{Streams, attachment_on, attachments_on};
use crate::{
    kernel::{Call, Interface, Kernel},
    scene,
    select::Interfaces,
    stream::Goal,
    xdp::{
        self,
        chain::{Member, Observed},
        config::{ALWAYS_PROCEED, F_XDP_HAS_FRAGS},
        observe::{self, Programs},
    },
};

/// One interface in one round.
pub(super) struct Place {
    pub(super) interface: Interface,
    pub(super) observed: Observed,
    pub(super) wanted: Vec<Wanted>,
}

impl Place {
    /// Where the dispatcher is pinned that a run of ours replaced here. It is there still if the run was killed before it
    /// unpinned it, and if only programs of others are in it nothing else tells that it is not another network's.
    pub(super) fn former(&self) -> Option<PathBuf> {
        let Observed::Dispatcher(there) = &self.observed else { return None };
        Some(xdp::dispatch_dir(self.interface.ifindex, there.former?))
    }
}

/// One of our programs wanted on an interface.
pub(super) struct Wanted {
    pub(super) stream: StreamName,
    pub(super) mode: XdpMode,
    pub(super) member: Member,
}

/// Every interface, or the name of one that changed while it was looked at; none at all without XDP.
pub(super) fn observe_all(
    kernel: &Kernel,
    interfaces: &Interfaces,
    streams: &Streams,
) -> Call<Result<(Vec<Place>, Programs), String>> {
    let mut programs = Programs::new();
    let mut places = Vec::new();
    if !streams.values().any(scene::has_xdp) {
        return Ok(Ok((places, programs)));
    }
    for interface in &interfaces.all {
        let wanted = wanted_on(kernel, interfaces, streams, interface)?;
        match observe::observe(kernel, interface, &mut programs) {
            Ok(mut observed) => {
                if let Observed::Lost(lost) = &mut observed {
                    lost.kept = kept_on(kernel, interfaces, streams, interface, &lost.runs, &mut programs)?;
                }
                places.push(Place { interface: interface.clone(), observed, wanted });
            }
            // What others do on an interface that no stream asks for is no reason to do nothing anywhere.
            Err(_) if !streams.values().any(|stream| scene::concerns(stream, interfaces, interface)) => {}
            // The program was there a moment ago: replaced or taken off meanwhile.
            Err(error) if error.errno == libc::ENOENT => return Ok(Err(interface.name.clone())),
            Err(error) => return Err(error),
        }
    }
    Ok(Ok((places, programs)))
}

fn wanted_on(kernel: &Kernel, interfaces: &Interfaces, streams: &Streams, interface: &Interface) -> Call<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (name, stream) in streams {
        let Goal::Run(target) = &stream.goal else { continue };
        for (program, xdp) in attachments_on(&target.plan, interfaces, interface) {
            let Some(loaded) = target.version.programs.get(program) else { continue };
            let member = member(kernel, &loaded.fd, xdp)?;
            wanted.push(Wanted { stream: name.clone(), mode: xdp.mode, member });
        }
    }
    // Who wins a conflict is a function of the set: priority, then stream name.
    wanted.sort_unstable_by(|a, b| (a.member.priority, &a.stream).cmp(&(b.member.priority, &b.stream)));
    Ok(wanted)
}

/// A program of ours as a member of a chain, by its plan.
fn member(kernel: &Kernel, program: &OwnedFd, xdp: &XdpAttachment) -> Call<Member> {
    let mask = xdp.proceed_on.mask() | ALWAYS_PROCEED;
    let flags = if xdp.frags { F_XDP_HAS_FRAGS } else { 0 };
    observe::describe(kernel, program, u32::from(xdp.priority.get()), mask, flags)
}

/// Those of the programs in a dispatcher whose pins are gone that belong to streams which stay as they are. What their
/// slots were told is in the plans that were obeyed.
fn kept_on(
    kernel: &Kernel,
    interfaces: &Interfaces,
    streams: &Streams,
    interface: &Interface,
    runs: &[u32],
    programs: &mut Programs,
) -> Call<Vec<Member>> {
    let mut kept = Vec::new();
    for version in streams.values().filter(|one| matches!(one.goal, Goal::Keep)).flat_map(|one| &one.before) {
        let Some(plan) = &version.plan else { continue };
        for (name, loaded) in version.programs.iter().filter(|(_, loaded)| runs.contains(&loaded.id)) {
            if let Some(xdp) = attachment_on(plan, name, interfaces, interface) {
                kept.push(member(kernel, &loaded.fd, xdp)?);
                programs.insert(loaded.id, Rc::clone(&loaded.fd));
            }
        }
    }
    Ok(kept)
}
