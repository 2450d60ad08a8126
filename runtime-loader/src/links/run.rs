//! Run: make the links of all streams what their plans want.
//!
//! In: streams with their goals, interfaces. Out: pinned links; on an error nothing of that stream that was not there.
//! May fail with: NB1203 (the node lacks the place), NB1307 (order), NB1402.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use nodeplan::{
    name::StreamName,
    plan::NodePlan,
    report::{Code, Reason},
};

use super::{
    Place, Wanted,
    order::{self, Entry, Rank},
    place::{attach, create, open_place, reason},
    running, wanted,
};
use crate::{
    converge::{self, Streams},
    kernel::{Call, CallError, Kernel, LinkInfo, Position},
    program::missing,
    select::Interfaces,
    state::{self, Program},
    stream::{Goal, Stream, Target},
};

/// Changes by others to one list before giving up.
const MAX_RACES: usize = 10;

/// Our links in lists: id, rank, and the name of the pin, which says which list.
#[derive(Debug, Default)]
struct Ours(Vec<(u32, Rank, String)>);

/// A result, or the stream that has to fail and why.
type Blamed<T> = Result<T, (StreamName, Reason)>;

fn blame(stream: &StreamName, error: &CallError) -> (StreamName, Reason) {
    (stream.clone(), Reason { code: Code::Kernel, message: error.to_string() })
}

/// A link that a program took over, and the id of the one that it led to before. Without descriptors: there may be as many
/// as interfaces.
struct Taken {
    place: String,
    pin: PathBuf,
    new: Rc<OwnedFd>,
    old: u32,
}

/// A pinned link.
struct Found {
    fd: OwnedFd,
    info: LinkInfo,
}

/// The link at the pin of what is wanted, below the directory of a version.
fn open(kernel: &Kernel, dir: &Path, wanted: &Wanted<'_>) -> Call<Option<Found>> {
    let fd = match kernel.open_pin(&dir.join("links").join(&wanted.pin)) {
        Err(error) if error.errno == libc::ENOENT => return Ok(None),
        fd => fd?,
    };
    let mut info = kernel.link_info(fd.as_fd())?;
    // A cgroup lives on without its directory while a socket of it does, and another one may have its path by now.
    if let Place::Cgroup(_) = wanted.place {
        info.alive &= wanted.cgroup() == Some(info.cgroup);
    }
    Ok(Some(Found { fd, info }))
}

/// The link of what is wanted, if there is one that leads there.
pub fn alive(kernel: &Kernel, dir: &Path, wanted: &Wanted<'_>) -> Call<Option<LinkInfo>> {
    Ok(open(kernel, dir, wanted)?.map(|found| found.info).filter(|info| info.alive))
}

fn rank(stream: &StreamName, wanted: &Wanted<'_>) -> Option<Rank> {
    let priority = wanted.attachment.priority()?.get();
    Some((priority, stream.clone(), wanted.program.clone()))
}

impl Ours {
    /// Our links that stay or are to be taken over, and those of streams that are left alone.
    fn find(kernel: &Kernel, interfaces: &Interfaces, streams: &Streams) -> Blamed<Self> {
        let mut ours = Self::default();
        for (name, stream) in streams {
            let (plan, target): (&NodePlan, _) = match &stream.goal {
                Goal::Run(target) => (&target.plan, Some(&target.version)),
                Goal::Keep => match stream.before.iter().find_map(|version| version.plan.as_ref()) {
                    Some(plan) => (plan, None),
                    None => continue,
                },
                Goal::Load(_) | Goal::End => continue,
            };
            // Once for each version, and not once for each link of each: there may be a thousand interfaces.
            let mut ran = Vec::new();
            if let Some(target) = target {
                ran.push((target, running(plan, interfaces)));
            }
            for version in &stream.before {
                if let Some(plan) = &version.plan {
                    ran.push((version, running(plan, interfaces)));
                }
            }
            for wanted in running(plan, interfaces) {
                let Some(rank) = rank(name, &wanted) else { continue };
                for (version, ran) in &ran {
                    // One whose priority changes has none until it is clear whether it stays where it is.
                    let Some(at) = ran.iter().find(|one| one.pin == wanted.pin) else { continue };
                    if at.attachment.priority() != wanted.attachment.priority() {
                        continue;
                    }
                    let found = alive(kernel, &version.dir, &wanted).map_err(|error| blame(name, &error))?;
                    if let Some(info) = found {
                        ours.0.push((info.id, rank, wanted.pin));
                        break;
                    }
                }
            }
        }
        Ok(ours)
    }

    fn rank(&self, link_id: u32) -> Option<Rank> {
        self.0.iter().find(|(id, ..)| *id == link_id).map(|(_, rank, _)| rank.clone())
    }
}

/// Attaches and updates what the streams want. What is in the way of it stays until [`retire`], or until the pins of
/// its version go.
pub fn advance(kernel: &Kernel, interfaces: &Interfaces, streams: &Streams) -> Blamed<()> {
    let mut ours = Ours::find(kernel, interfaces, streams)?;
    for (name, stream) in streams {
        let Goal::Run(target) = &stream.goal else { continue };
        let (mut made, mut taken) = (Vec::new(), Vec::new());
        for wanted in wanted(&target.plan, interfaces) {
            let mut step = Step {
                kernel,
                name,
                stream,
                target,
                wanted: &wanted,
                made: &mut made,
                taken: &mut taken,
                ours: &mut ours,
            };
            let found = wanted.cgroup();
            // A cgroup that has left or was made anew meanwhile: by what is there now.
            let result = step.run().or_else(|reason| if wanted.cgroup() == found { Err(reason) } else { step.run() });
            if let Err(reason) = result {
                // Links without a pin go. One that stays belongs to a version that is not committed, or to the one
                // that runs and wants it.
                give_back(kernel, stream, &taken);
                for pin in &made {
                    let _ = kernel.unpin(pin);
                }
                return Err((name.clone(), reason));
            }
        }
        if !taken.is_empty() {
            stream.swapped.set(true);
        }
    }
    Ok(())
}

/// Lets links lead to the programs that they led to before: the former version may have no record to come back by.
fn give_back(kernel: &Kernel, stream: &Stream, taken: &[Taken]) {
    for Taken { place, pin, new, old } in taken {
        let back = || {
            let (link, old) = (kernel.open_pin(pin)?, kernel.prog_by_id(*old)?);
            kernel.link_update(place, link.as_fd(), old.as_fd(), new.as_fd())
        };
        if back().is_err() {
            stream.swapped.set(true);
        }
    }
}

/// Looks at what [`advance`] would attach to, and attaches nothing. Finds places that are not there and orders that
/// contradict each other; what a place says of this very program is not known before it is attached.
pub fn rehearse(kernel: &Kernel, interfaces: &Interfaces, streams: &Streams) -> Blamed<()> {
    let mut ours = Ours::find(kernel, interfaces, streams)?;
    for (name, stream) in streams {
        let Goal::Run(target) = &stream.goal else { continue };
        for wanted in wanted(&target.plan, interfaces) {
            let (made, taken) = (&mut Vec::new(), &mut Vec::new());
            let step = Step { kernel, name, stream, target, wanted: &wanted, made, taken, ours: &mut ours };
            step.probe().map_err(|reason| (name.clone(), reason))?;
        }
    }
    Ok(())
}

/// Removes links that are not wanted any more in the version that runs, and pins of links that lead nowhere.
pub fn retire(kernel: &Kernel, interfaces: &Interfaces, streams: &Streams) -> Blamed<()> {
    for (stream_name, stream) in streams {
        let Goal::Run(target) = &stream.goal else { continue };
        let dir = target.version.dir.join("links");
        let mut wanted: Vec<String> = wanted(&target.plan, interfaces).into_iter().map(|wanted| wanted.pin).collect();
        // Second pins of XDP: where the program is not wanted any more they would only keep it loaded.
        for (program, xdp) in converge::attachments(&target.plan) {
            let on = interfaces.selected(&xdp.interfaces);
            wanted.extend(on.map(|one| state::link_pin_name(one.ifindex, program)));
        }
        unpin(kernel, &dir, &|name| !wanted.contains(name)).map_err(|error| blame(stream_name, &error))?;
    }
    Ok(())
}

/// Detaches what versions of a stream that do not run any more still have attached: on hooks where the new program was
/// added beside the old one, or where nothing but its pin keeps it. Their second pins lead to XDP dispatchers that no packet
/// sees, and go with their version.
pub fn detach_former(kernel: &Kernel, stream: &Stream) -> Call<()> {
    let runs = match &stream.goal {
        Goal::Run(target) => Some(&target.version),
        Goal::End => None,
        Goal::Load(_) | Goal::Keep => return Ok(()),
    };
    let mut former = stream.before.iter().filter(|version| !runs.is_some_and(|runs| version.is(runs)));
    former.try_for_each(|version| unpin(kernel, &version.dir.join("links"), &|name| !state::is_second_pin(name)))
}

fn unpin(kernel: &Kernel, dir: &Path, goes: &dyn Fn(&String) -> bool) -> Call<()> {
    let mut names = kernel.names(dir)?.into_iter().filter(goes);
    names.try_for_each(|name| kernel.unpin(&dir.join(name)))
}

/// One link of one stream.
struct Step<'s, 'w> {
    kernel: &'s Kernel,
    name: &'s StreamName,
    stream: &'s Stream,
    target: &'s Target,
    wanted: &'s Wanted<'w>,
    /// Pins made for this stream.
    made: &'s mut Vec<PathBuf>,
    /// Links taken over for this stream.
    taken: &'s mut Vec<Taken>,
    ours: &'s mut Ours,
}

/// An entry of a list and its place in it.
type List = (u64, Vec<Entry>);

impl Step<'_, '_> {
    fn run(&mut self) -> Result<(), Reason> {
        let target = self.target;
        let Some(program) = target.version.programs.get(self.wanted.program) else { return Ok(()) };
        let dir = target.version.dir.join("links");
        let pin = dir.join(&self.wanted.pin);
        match open(self.kernel, &target.version.dir, self.wanted).map_err(|error| self.reason(&error))? {
            Some(own) if own.info.alive && own.info.prog_id == program.id => return Ok(()),
            Some(own) if own.info.alive => return self.update(&own, program),
            Some(_) => self.kernel.unpin(&pin).map_err(|error| self.reason(&error))?,
            None => {}
        }
        if let Some(former) = self.former()? {
            self.pin(&former.fd, &dir, pin.clone())?;
            self.update(&former, program)?;
            self.takes_its_place(former.info.id);
            if former.info.prog_id != program.id {
                let place = self.wanted.attachment.place();
                self.taken.push(Taken { place, pin, new: Rc::clone(&program.fd), old: former.info.prog_id });
            }
            return Ok(());
        }
        let Some(link) = self.create(program)? else { return Ok(()) };
        self.pin(&link, &dir, pin)?;
        let info = self.kernel.link_info(link.as_fd()).map_err(|error| self.reason(&error))?;
        self.takes_its_place(info.id);
        Ok(())
    }

    /// From now on the link counts in its list. The one of this stream that was there before is on its way out.
    fn takes_its_place(&mut self, link_id: u32) {
        let Some(rank) = rank(self.name, self.wanted) else { return };
        self.ours.0.retain(|(_, other, pin)| *other != rank || *pin != self.wanted.pin);
        self.ours.0.push((link_id, rank, self.wanted.pin.clone()));
    }

    /// Asks the place of a link that is not there yet.
    fn probe(&self) -> Result<(), Reason> {
        let there = alive(self.kernel, &self.target.version.dir, self.wanted).map_err(|error| self.reason(&error))?;
        match self.wanted.place {
            _ if there.is_some() => Ok(()),
            Place::Tcx { .. } => self.tcx_position().map(drop),
            Place::Raw(name) => {
                let found = self.kernel.has_raw_tracepoint(name).map_err(|error| self.reason(&error))?;
                if found {
                    Ok(())
                } else {
                    Err(missing(format!("this kernel has no {}", self.wanted.attachment.place())))
                }
            }
            // Found in the kernel's types when it was loaded.
            Place::Bound(_) => Ok(()),
            _ => open_place(self.kernel, self.wanted).map(drop),
        }
    }

    /// The link that the new program can take over: at this place in a version that ran before, and in the right order.
    fn former(&self) -> Result<Option<Found>, Reason> {
        if !self.wanted.attachment.hook().updates_atomically() {
            return Ok(None);
        }
        for version in self.stream.before.iter().filter(|version| !version.is(&self.target.version)) {
            let found = open(self.kernel, &version.dir, self.wanted).map_err(|error| self.reason(&error))?;
            let Some(found) = found.filter(|found| found.info.alive) else { continue };
            if self.stands_well(found.info.id)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn pin(&mut self, link: &OwnedFd, dir: &Path, pin: PathBuf) -> Result<(), Reason> {
        let pinned = self.kernel.make_dir(dir).and_then(|()| self.kernel.pin(link.as_fd(), &pin));
        pinned.map_err(|error| self.reason(&error))?;
        self.made.push(pin);
        Ok(())
    }

    fn update(&self, found: &Found, program: &Program) -> Result<(), Reason> {
        if found.info.prog_id == program.id {
            return Ok(());
        }
        let old = self.kernel.prog_by_id(found.info.prog_id);
        let new = program.fd.as_fd();
        let place = self.wanted.attachment.place();
        old.and_then(|old| self.kernel.link_update(&place, found.fd.as_fd(), new, old.as_fd()))
            .map_err(|error| self.reason(&error))
    }

    fn reason(&self, error: &CallError) -> Reason {
        reason(self.wanted, error)
    }

    /// `None`: the place is absent, and waited for.
    fn create(&self, program: &Program) -> Result<Option<OwnedFd>, Reason> {
        match self.wanted.place {
            Place::Tcx { .. } => self.create_tcx(program).map(Some),
            _ => create(self.kernel, self.wanted, program.fd.as_fd()),
        }
    }

    /// The list at this link's place; empty on hooks without one. `None`: it changed while it was looked at.
    fn list(&self) -> Call<Option<List>> {
        let Place::Tcx { tc, ifindex, attach_type, .. } = self.wanted.place else { return Ok(Some((0, Vec::new()))) };
        let anchors = tc.before.is_some() || tc.after.is_some();
        let list = self.kernel.tcx_list(ifindex, attach_type)?;
        let mut entries = Vec::new();
        for neighbour in list.entries {
            let mut name = format!("program {}", neighbour.prog_id);
            if anchors {
                let info = self.kernel.prog_by_id(neighbour.prog_id).and_then(|fd| self.kernel.prog_info(fd.as_fd()));
                match info {
                    Ok(info) => name = info.name,
                    Err(error) if error.errno == libc::ENOENT => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            entries.push(Entry { neighbour, name, rank: self.ours.rank(neighbour.link_id) });
        }
        Ok(Some((list.revision, entries)))
    }

    fn stands_well(&self, link_id: u32) -> Result<bool, Reason> {
        let (Place::Tcx { tc, .. }, Some(rank)) = (self.wanted.place, rank(self.name, self.wanted)) else {
            return Ok(true);
        };
        let list = self.list().map_err(|error| self.reason(&error))?;
        Ok(list.is_some_and(|(_, entries)| {
            let at = entries.iter().position(|entry| entry.neighbour.link_id == link_id);
            at.is_some_and(|at| order::stands_well(&entries, at, &rank, tc.before.as_ref(), tc.after.as_ref()))
        }))
    }

    /// Where in its list a program goes, and the list's revision. `None`: it changed while it was looked at.
    fn tcx_position(&self) -> Result<Option<(Position, u64)>, Reason> {
        let (Place::Tcx { tc, .. }, Some(rank)) = (self.wanted.place, rank(self.name, self.wanted)) else {
            return Ok(None);
        };
        let Some((revision, mut entries)) = self.list().map_err(|error| self.reason(&error))? else { return Ok(None) };
        // The program of this stream that it takes the place of is on its way out.
        entries.iter_mut().filter(|entry| entry.rank.as_ref() == Some(&rank)).for_each(|entry| entry.rank = None);
        let position = order::position(&entries, &rank, tc.before.as_ref(), tc.after.as_ref())?;
        Ok(Some((position, revision)))
    }

    fn create_tcx(&self, program: &Program) -> Result<OwnedFd, Reason> {
        let Place::Tcx { ifindex, attach_type, interface, .. } = self.wanted.place else {
            unreachable!("invariant: TC has interfaces")
        };
        for _ in 0..MAX_RACES {
            let Some((position, revision)) = self.tcx_position()? else { continue };
            let what = format!("{} {interface}", self.wanted.attachment.place());
            let link = || self.kernel.link_tcx(&what, program.fd.as_fd(), (ifindex, attach_type), position, revision);
            match attach(&link) {
                // Somebody was faster, or the neighbour left.
                Err(error) if matches!(error.errno, libc::ESTALE | libc::ENOENT) => {}
                link => return link.map_err(|error| self.reason(&error)),
            }
        }
        let message = format!("the programs at {} of `{interface}` keep changing", self.wanted.attachment.place());
        Err(Reason { code: Code::LostRace, message })
    }
}
