//! Converge: bring every interface to what the streams want, one swap per interface, all or nothing per stream.
//!
//! In: streams with their goals. Out: the same streams, those that could not get there put back to what ran before.
//!
//! One round, under libxdp's lock: observe all interfaces, decide (pure), stage every dispatcher that must change,
//! and only when all are staged swap them in, one after the other. A failure before the first swap changes nothing.
//! After it, the stream that failed gets its former version as its goal, and the next round makes the equivalent
//! undo. A lost race starts the round again, at most [`MAX_RACES`] times; so does what fails while interfaces leave.
//!
//! A stream without room beside others loses it for as long as they get where they want: when one of them fails, all
//! that lost are asked again. So nobody goes for somebody who does not come.

use nodeplan::sorted::{SortedMap, SortedSet};
use std::{
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    ptr,
    rc::Rc,
    thread,
    time::Duration,
};

use nodeplan::{
    hook::{Attachment, XdpAttachment},
    name::{IfGlob, ProgramName, StreamName},
    plan::{FailurePolicy, NodePlan},
    report::{Code, Reason},
    xdp::XdpMode,
};

use crate::{
    kernel::{Call, CallError, DirLock, Interface, Kernel, SwapError},
    links,
    object::{KernelBtf, ObjectError},
    scene,
    select::Interfaces,
    state::{self, Version},
    stream::{Goal, Stream},
    xdp::{
        self,
        admit::{self, Claim, Room},
        chain::{self, Member, Observed, Refused, Step},
        config::{ALWAYS_PROCEED, F_XDP_HAS_FRAGS},
        dispatcher::{self, Committed, Dispatcher, Staged},
        observe::{self, Programs},
        stale::{self, Ours},
    },
};

/// Lost races before giving up; libxdp gives up after ten as well.
const MAX_RACES: usize = 10;

/// Streams by name.
pub type Streams = SortedMap<StreamName, Stream>;

/// XDP attachments of a plan, with their programs.
pub fn attachments(plan: &NodePlan) -> impl Iterator<Item = (&ProgramName, &XdpAttachment)> {
    fn xdp(attachment: &Attachment) -> Option<&XdpAttachment> {
        match attachment {
            Attachment::Xdp(xdp) => Some(xdp),
            _ => None,
        }
    }
    plan.programs.iter().flat_map(move |program| program.attach.iter().filter_map(xdp).map(|xdp| (&program.name, xdp)))
}

/// One interface in one round.
struct Place {
    interface: Interface,
    observed: Observed,
    wanted: Vec<Wanted>,
}

impl Place {
    /// Where the dispatcher is pinned that a run of ours replaced here. It is there still if the run was killed before it
    /// unpinned it, and if only programs of others are in it nothing else tells that it is not another network's.
    fn former(&self) -> Option<PathBuf> {
        let Observed::Dispatcher(there) = &self.observed else { return None };
        Some(xdp::dispatch_dir(self.interface.ifindex, there.former?))
    }
}

/// One of our programs wanted on an interface.
struct Wanted {
    stream: StreamName,
    mode: XdpMode,
    member: Member,
}

/// What a round came to.
enum Round {
    /// Every interface is as it should be.
    Done,
    /// Somebody else was faster on an interface: its name, and the programs that ran there.
    Raced(String, Vec<u32>),
    /// A stream could not get where it should.
    Blame(StreamName, Reason),
    /// A stream has no room where others are to run.
    Lose(StreamName, Reason),
}

/// Whether a stream asks for nothing.
fn idle(stream: &Stream) -> bool {
    match stream.goal {
        Goal::Keep => true,
        Goal::End => stream.before.is_empty(),
        Goal::Run(_) | Goal::Load(_) => false,
    }
}

/// Runs rounds until nothing is left to do. Returns what could not be cleaned up: stale directories of dispatchers
/// that no packet sees.
pub fn converge(kernel: &Kernel, kernel_btf: &KernelBtf, reserved: &[IfGlob], streams: &mut Streams) -> Vec<CallError> {
    let (mut trash, mut left) = (Vec::new(), Vec::new());
    let mut races = 0;
    regain(streams);
    // Ends: every round but a lost race makes a stream fail or lose its room. One that failed twice is idle; one that lost
    // twice wants none, until the next failure.
    while !streams.values().all(idle) {
        // Others hold libxdp's lock as long as they like: who has no XDP does not wait for it.
        let xdp = streams.values().any(scene::has_xdp);
        let lock = if xdp { kernel.lock_dir(&xdp::root()).map(Some) } else { Ok(None) };
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => {
                regain(streams);
                fail_some(streams, &call_failed(&error), scene::has_xdp);
                continue;
            }
        };
        let mut seen = Interfaces::default();
        let outcome = scene::take(kernel, streams).and_then(|interfaces| {
            scene::refuse(&interfaces, reserved, streams);
            seen = interfaces;
            round(kernel, kernel_btf, &seen, streams, &mut trash, &mut left)
        });
        if !matches!(outcome, Ok(Round::Done | Round::Lose(..))) {
            regain(streams);
        }
        match outcome {
            Ok(Round::Lose(name, reason)) => {
                if let Some(stream) = streams.get_mut(&name) {
                    stream.lose(reason);
                }
            }
            Ok(Round::Done) => {
                // What stays costs memory and holds no packet; the next run tries again.
                left.extend(lock.and_then(|lock| tidy(kernel, kernel_btf, &seen.all, streams, lock).err()));
                break;
            }
            // An interface that leaves takes its programs with it: no failure of any stream.
            Ok(Round::Raced(..)) if races < MAX_RACES => {
                drop(lock);
                thread::sleep(Duration::from_millis(1 << races));
                races += 1;
            }
            Ok(Round::Blame(..)) | Err(_) if races < MAX_RACES && scene::changed(kernel, &seen) => races += 1,
            Ok(Round::Raced(interface, ran)) => {
                let message = format!("`{interface}` was changed by others {races} times in a row");
                let reason = Reason { code: Code::LostRace, message };
                let there = seen.all.iter().find(|one| one.name == interface);
                // Selectors say where a stream is to run, programs where it does: a default route may have moved.
                let is_there = |stream: &Stream| {
                    there.is_none_or(|one| scene::concerns(stream, &seen, one)) || stream.runs_any(&ran)
                };
                if !fail_some(streams, &reason, is_there) {
                    fail_some(streams, &reason, |_| true);
                }
                races = 0;
            }
            Ok(Round::Blame(name, reason)) => {
                if let Some(stream) = streams.get_mut(&name) {
                    stream.fail(reason);
                }
            }
            Err(error) => {
                fail_some(streams, &call_failed(&error), |_| true);
            }
        }
    }
    // Directories that could not be removed when they should: once more. What stays is stale and holds no packet.
    if !trash.is_empty() {
        left.extend(kernel.lock_dir(&xdp::root()).and_then(|_lock| stale::remove(kernel, &trash)).err());
    }
    left
}

/// Streams that lost their room are asked again.
fn regain(streams: &mut Streams) {
    streams.values_mut().for_each(Stream::regain);
}

fn call_failed(error: &CallError) -> Reason {
    Reason { code: Code::Kernel, message: error.to_string() }
}

/// Those of the streams that ask for something fail. Returns whether any did.
fn fail_some(streams: &mut Streams, reason: &Reason, which: impl Fn(&Stream) -> bool) -> bool {
    let mut any = false;
    for stream in streams.values_mut().filter(|stream| !idle(stream) && which(stream)) {
        stream.fail(reason.clone());
        any = true;
    }
    any
}

/// Removes stale directories of dispatchers. What libxdp has in its hands looks like that too, until the lock is free.
fn tidy(
    kernel: &Kernel,
    kernel_btf: &KernelBtf,
    interfaces: &[Interface],
    streams: &Streams,
    lock: DirLock,
) -> Call<()> {
    let programs: SortedSet<u32> = streams.values().flat_map(Stream::program_ids).collect();
    let own = || Dispatcher::template(kernel, kernel_btf).ok()?.info(kernel).ok();
    let ours = Ours { program: &|id| programs.contains(&id), dispatcher: &own };
    let look = || stale::suspects(kernel, interfaces, &ours);
    let suspects = look().or_else(|_| look())?;
    drop(lock);
    if suspects.is_empty() {
        return Ok(());
    }
    thread::sleep(stale::AT_WORK);
    let _lock = kernel.lock_dir(&xdp::root())?;
    let sweep = || stale::sweep(kernel, &suspects, &ours);
    sweep().or_else(|_| sweep())
}

/// One round. Out through `trash`: directories to be removed later; through `left`: what the next run has to mend.
fn round(
    kernel: &Kernel,
    kernel_btf: &KernelBtf,
    interfaces: &Interfaces,
    streams: &Streams,
    trash: &mut Vec<PathBuf>,
    left: &mut Vec<CallError>,
) -> Call<Round> {
    let (places, mut programs) = match observe_all(kernel, interfaces, streams)? {
        Ok(all) => all,
        Err(changed) => return Ok(Round::Raced(changed, Vec::new())),
    };
    trash.extend(places.iter().filter_map(Place::former).filter(|dir| dir.exists()));
    for stream in streams.values() {
        if let Goal::Run(target) = &stream.goal {
            programs.extend(target.version.programs.values().map(|program| (program.id, Rc::clone(&program.fd))));
        }
    }
    let steps = match steps(&places, streams) {
        Ok(steps) => steps,
        Err(blame) => return Ok(blame),
    };
    let mut staged = Vec::new();
    for (place, step) in &steps {
        let Step::Build { mode, version, members } = step else { continue };
        let (ifindex, observed) = (place.interface.ifindex, &place.observed);
        match Staged::build(kernel, kernel_btf, ifindex, observed, (*mode, *version, members), &programs) {
            Ok(one) => staged.push((*place, one)),
            Err(error) => {
                discard(kernel, staged, trash);
                return Ok(blame(place, streams, object_reason(&error, &place.interface.name)));
            }
        }
    }
    // First what can be taken back without a trace.
    if let Err((name, reason)) = links::advance(kernel, interfaces, streams) {
        discard(kernel, staged, trash);
        return Ok(Round::Blame(name, reason));
    }
    let outcome = commit(kernel, &interfaces.all, streams, &steps, staged, trash);
    if matches!(outcome, Round::Done)
        && let Err((name, reason)) = links::retire(kernel, interfaces, streams)
    {
        return Ok(Round::Blame(name, reason));
    }
    if matches!(outcome, Round::Done) {
        let stays = |place: &&Place| !steps.iter().any(|(other, _)| ptr::eq(*other, *place));
        let renew = |place| renew(kernel, streams, place);
        // They are needed only if libxdp's are lost: no stream fails for them.
        left.extend(places.iter().filter(stays).filter_map(|place| renew(place).or_else(|_| renew(place)).err()));
    }
    Ok(outcome)
}

/// What is to be done on each interface. Pure. The error is whom to blame.
fn steps<'p>(places: &'p [Place], streams: &Streams) -> Result<Vec<(&'p Place, Step)>, Round> {
    let drop: SortedSet<u32> =
        streams.values().filter(|stream| !matches!(stream.goal, Goal::Keep)).flat_map(Stream::program_ids).collect();
    if let Some((name, refused)) = contest(places, streams, &drop) {
        return Err(Round::Lose(name, Reason { code: refused.code, message: refused.message }));
    }
    let mut steps = Vec::new();
    for place in places {
        let mode = place.wanted.first().map_or(XdpMode::Native, |first| first.mode);
        let wanted: Vec<Member> = place.wanted.iter().map(|wanted| wanted.member.clone()).collect();
        match chain::decide(&place.observed, &drop, &wanted, mode) {
            Ok(Step::Nothing) => {}
            Ok(step) => steps.push((place, step)),
            Err(refused) => {
                return Err(blame(place, streams, Reason { code: refused.code, message: refused.message }));
            }
        }
    }
    Ok(steps)
}

/// Decides as a round does, and changes nothing: streams that interfaces and other places refuse fail.
pub fn rehearse(kernel: &Kernel, streams: &mut Streams) -> Call<()> {
    let mut races = 0;
    // As in `converge`, but that a race only costs another look.
    while races < MAX_RACES {
        let interfaces = scene::take(kernel, streams)?;
        let Ok((places, _)) = observe_all(kernel, &interfaces, streams)? else {
            races += 1;
            continue;
        };
        let (name, reason) = match steps(&places, streams) {
            Err(Round::Lose(name, reason)) => {
                if let Some(stream) = streams.get_mut(&name) {
                    stream.lose(reason);
                }
                continue;
            }
            Err(Round::Blame(name, reason)) => (name, reason),
            Err(Round::Raced(..) | Round::Done) | Ok(_) => match links::rehearse(kernel, &interfaces, streams) {
                Ok(()) => break,
                Err(blamed) => blamed,
            },
        };
        regain(streams);
        if let Some(stream) = streams.get_mut(&name) {
            stream.fail(reason);
        }
    }
    Ok(())
}

/// Swaps in what was staged and takes off what is to go.
fn commit(
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

fn discard(kernel: &Kernel, staged: Vec<(&Place, Staged)>, trash: &mut Vec<PathBuf>) {
    for (_, one) in staged {
        let dir = one.dir().to_owned();
        if one.discard(kernel).is_err() {
            trash.push(dir);
        }
    }
}

/// Every interface, or the name of one that changed while it was looked at; none at all without XDP.
fn observe_all(
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
        for (program, xdp) in
            attachments(&target.plan).filter(|(_, xdp)| interfaces.selects(&xdp.interfaces, interface))
        {
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
            let here = |xdp: &&XdpAttachment| interfaces.selects(&xdp.interfaces, interface);
            let all = || attachments(plan).filter(|(program, _)| *program == name).map(|(_, xdp)| xdp);
            // Selectors may have moved on; the program has not.
            if let Some(xdp) = all().find(here).or_else(|| all().next()) {
                kept.push(member(kernel, &loaded.fd, xdp)?);
                programs.insert(loaded.id, Rc::clone(&loaded.fd));
            }
        }
    }
    Ok(kept)
}

/// The first stream without room on an interface, and why. `goes`: programs that are to go, unless they are wanted.
fn contest(places: &[Place], streams: &Streams, goes: &SortedSet<u32>) -> Option<(StreamName, Refused)> {
    let room = |place| {
        let Place { interface, observed, .. }: &Place = place;
        let taken = match observed {
            Observed::Dispatcher(there) => there.members.iter().filter(|one| !goes.contains(&one.prog_id)).count(),
            Observed::Lost(there) => there.kept.len(),
            // Shared with nobody, or made anew.
            Observed::Held(_) | Observed::Empty => 0,
        };
        Room { interface: &interface.name, taken, mode: observed.dispatcher().map(|(mode, _)| mode) }
    };
    let mut claims = Vec::new();
    for (stream, one) in streams {
        let Goal::Run(target) = &one.goal else { continue };
        let mut wants = Vec::new();
        for (at, place) in places.iter().enumerate() {
            wants.extend(place.wanted.iter().filter(|one| one.stream == *stream).map(|one| (at, one.mode)));
        }
        let priority = attachments(&target.plan).map(|(_, xdp)| xdp.priority.get()).min().unwrap_or_default();
        claims.push(Claim { open: target.plan.failure_policy == FailurePolicy::Open, priority, stream, wants });
    }
    let mut rooms: Vec<Room<'_>> = places.iter().map(room).collect();
    admit::refused(&mut rooms, &mut claims).map(|(name, refused)| (name.clone(), refused))
}

/// Who fails because of an interface: of the streams that would change it, the one that comes last.
fn blame(place: &Place, streams: &Streams, reason: Reason) -> Round {
    let there = place.observed.programs();
    let settled = |wanted: &&Wanted| match &place.observed {
        Observed::Dispatcher(attached) => attached.members.contains(&wanted.member),
        Observed::Empty | Observed::Lost(_) | Observed::Held(_) => false,
    };
    let new = place.wanted.iter().rev().find(|wanted| !settled(wanted));
    let leaving = || {
        let leaves = |stream: &&Stream| !matches!(stream.goal, Goal::Keep) && stream.runs_any(&there);
        streams.iter().rev().find(|(_, stream)| leaves(stream)).map(|(name, _)| name)
    };
    let any = || streams.iter().rev().find(|(_, stream)| !matches!(stream.goal, Goal::Keep)).map(|(name, _)| name);
    match new.map(|wanted| &wanted.stream).or_else(leaving).or_else(any) {
        Some(name) => Round::Blame(name.clone(), reason),
        None => Round::Done,
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
fn renew(kernel: &Kernel, streams: &Streams, place: &Place) -> Call<()> {
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
    streams
        .values()
        .flat_map(|stream| {
            let target = match &stream.goal {
                Goal::Run(target) => Some(&target.version),
                Goal::Load(_) | Goal::Keep | Goal::End => None,
            };
            target.into_iter().chain(&stream.before)
        })
        .find_map(|version| {
            let (name, _) = version.programs.iter().find(|(_, program)| program.id == id)?;
            Some((version, name))
        })
}

/// A failed call on an interface, for the report.
pub fn call_reason(error: &CallError, interface: &str) -> Reason {
    let hint = match error.errno {
        libc::ERANGE => {
            "; the MTU is too large for programs of which one does not take fragments (section `xdp.frags`)"
        }
        libc::EOPNOTSUPP if error.call == "RTM_SETLINK" => "; the driver has no native XDP, use `mode: skb`",
        _ => "",
    };
    Reason { code: Code::Kernel, message: format!("`{interface}`: {error}{hint}") }
}

fn object_reason(error: &ObjectError, interface: &str) -> Reason {
    match error {
        ObjectError::Call(error) => call_reason(error, interface),
        ObjectError::Elf(_) => Reason { code: Code::Object, message: format!("`{interface}`: dispatcher: {error}") },
        ObjectError::Program { .. } => {
            Reason { code: Code::Verifier, message: format!("`{interface}`: dispatcher: {error}") }
        }
    }
}
