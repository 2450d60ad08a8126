//! Converge: bring every interface to what the streams want, one swap per interface, all or nothing per stream.
//!
//! In: streams with their goals. Out: the same streams, those that could not get there put back to what ran before.
//!
//! One round, under libxdp's lock: observe all interfaces, decide (pure), stage every dispatcher that must change,
//! and only when all are staged swap them in, one after the other. A failure before the first swap changes nothing.
//! After it, the stream that failed gets its former version as its goal, and the next round makes the equivalent
//! undo. A lost race starts the round again, at most [`MAX_RACES`] times; so does what fails while interfaces leave,
//! as often again.
//!
//! A stream without room beside others loses it for as long as they get where they want: when one of them fails, all
//! that lost are asked again. So nobody goes for somebody who does not come.

mod decide;
mod place;
mod reason;
mod swap;

use std::{path::PathBuf, ptr, rc::Rc, thread, time::Duration};

use nodeplan::{
    hook::{Attachment, XdpAttachment},
    name::{IfGlob, ProgramName, StreamName},
    plan::NodePlan,
    report::{Code, Reason},
    sorted::{SortedMap, SortedSet},
};

use self::{
    decide::{blame, steps},
    place::{Place, observe_all},
    reason::object_reason,
    swap::{commit, discard, renew},
};
use crate::{
    kernel::{Call, CallError, DirLock, Interface, Kernel},
    links,
    object::{KernelBtf, ObjectError},
    scene,
    select::Interfaces,
    stream::{Goal, Stream},
    xdp::{
        self,
        chain::Step,
        dispatcher::{self, Dispatcher, Staged},
        stale::{self, Ours},
    },
};

/// Lost races before giving up, and failures while interfaces leave; libxdp gives up after ten as well.
const MAX_RACES: usize = 10;

/// Streams by name.
pub type Streams = SortedMap<StreamName, Stream>;

/// XDP attachments of a plan, with their programs.
pub fn attachments(plan: &NodePlan) -> Vec<(&ProgramName, &XdpAttachment)> {
    let mut all = Vec::new();
    for program in &plan.programs {
        for attachment in &program.attach {
            if let Attachment::Xdp(xdp) = attachment {
                all.push((&program.name, xdp));
            }
        }
    }
    all
}

/// Those of them that mean this interface.
pub fn attachments_on<'p>(
    plan: &'p NodePlan,
    interfaces: &Interfaces,
    interface: &Interface,
) -> Vec<(&'p ProgramName, &'p XdpAttachment)> {
    let mut all = attachments(plan);
    all.retain(|(_, xdp)| interfaces.selects(&xdp.interfaces, interface));
    all
}

/// The attachment by which a program runs on an interface. Selectors may have moved on, and the program has not: then
/// the one that asks for what cannot be told now, or the first.
pub fn attachment_on<'p>(
    plan: &'p NodePlan,
    program: &ProgramName,
    interfaces: &Interfaces,
    interface: &Interface,
) -> Option<&'p XdpAttachment> {
    let (mut found, mut best) = (None, 0);
    for (name, xdp) in attachments(plan) {
        let fits = match () {
            () if name != program => 0,
            () if interfaces.selects(&xdp.interfaces, interface) => 3,
            () if interfaces.unsure(&xdp.interfaces) => 2,
            () => 1,
        };
        if fits > best {
            (found, best) = (Some(xdp), fits);
        }
    }
    found
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
/// that no packet sees. `seen`: what the last round of this run saw, to begin with nothing.
pub fn converge(
    kernel: &Kernel,
    kernel_btf: &KernelBtf,
    reserved: &[IfGlob],
    streams: &mut Streams,
    seen: &mut Interfaces,
) -> Vec<CallError> {
    let (mut trash, mut left) = (Vec::new(), Vec::new());
    let (mut races, mut changes) = (0, 0);
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
                fail_some(streams, &call_failed(&error), &scene::has_xdp);
                continue;
            }
        };
        let outcome = scene::take(kernel, streams).and_then(|mut interfaces| {
            interfaces.remember(seen);
            scene::refuse(kernel, &interfaces, reserved, streams);
            *seen = interfaces;
            round(kernel, kernel_btf, seen, streams, &mut trash, &mut left)
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
            Ok(Round::Blame(..)) | Err(_) if changes < MAX_RACES && scene::changed(kernel, seen) => changes += 1,
            Ok(Round::Raced(interface, ran)) => {
                let message = format!("`{interface}` was changed by others {races} times in a row");
                let reason = Reason { code: Code::LostRace, message };
                let there = seen.all.iter().find(|one| one.name == interface);
                // Selectors say where a stream is to run, programs where it does: a default route may have moved.
                let is_there = |stream: &Stream| {
                    there.is_none_or(|one| scene::concerns(stream, seen, one)) || stream.runs_any(&ran)
                };
                if !fail_some(streams, &reason, &is_there) {
                    fail_some(streams, &reason, &|_| true);
                }
                races = 0;
            }
            Ok(Round::Blame(name, reason)) => {
                if let Some(stream) = streams.get_mut(&name) {
                    stream.fail(reason);
                }
            }
            Err(error) => {
                fail_some(streams, &call_failed(&error), &|_| true);
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
fn fail_some(streams: &mut Streams, reason: &Reason, which: &dyn Fn(&Stream) -> bool) -> bool {
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
                let name = &place.interface.name;
                return Ok(match &error {
                    ObjectError::Call(error) if dispatcher::is_gone(error) => {
                        Round::Raced(name.clone(), observed.programs())
                    }
                    _ => blame(place, streams, object_reason(&error, name)),
                });
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
