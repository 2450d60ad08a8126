//! What a round does on each interface, and who is to blame if it cannot. Pure.
//!
//! In: [`Place`]s and the streams' goals. Out: steps.
//! May fail with: the stream that has no room, or that an interface refuses.

use nodeplan::{name::StreamName, plan::FailurePolicy, report::Reason, sorted::SortedSet, xdp::XdpMode};

use super::{
    Round, Streams, attachments,
    place::{Place, Wanted},
};
use crate::{
    stream::{Goal, Stream},
    xdp::{
        admit::{self, Claim, Room},
        chain::{self, Member, Observed, Refused, Step},
    },
};

/// What is to be done on each interface. Pure. The error is whom to blame.
pub(super) fn steps<'p>(places: &'p [Place], streams: &Streams) -> Result<Vec<(&'p Place, Step)>, Round> {
    let mut drop = SortedSet::new();
    for stream in streams.values().filter(|stream| !matches!(stream.goal, Goal::Keep)) {
        for id in &stream.program_ids() {
            drop.insert(*id);
        }
    }
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
        let priority = attachments(&target.plan).iter().map(|(_, xdp)| xdp.priority.get()).min().unwrap_or_default();
        claims.push(Claim { open: target.plan.failure_policy == FailurePolicy::Open, priority, stream, wants });
    }
    let mut rooms: Vec<Room<'_>> = places.iter().map(room).collect();
    admit::refused(&mut rooms, &mut claims).map(|(name, refused)| (name.clone(), refused))
}

/// Who fails because of an interface: of the streams that would change it, the one that comes last.
pub(super) fn blame(place: &Place, streams: &Streams, reason: Reason) -> Round {
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
