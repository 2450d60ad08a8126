//! Scene: the interfaces of this moment as the streams select them, and what that makes of the streams.
//!
//! In: the kernel, streams with their goals. Out: [`Interfaces`]; streams that are refused or put off.
//! Looked at anew in each round: interfaces and routes come and go while programs are loaded.

use std::rc::Rc;

use nodeplan::{
    name::IfGlob,
    plan::NodePlan,
    report::{Code, Reason, StreamState},
};

use crate::{
    converge::{self, Streams},
    kernel::{Call, Interface, Kernel},
    select::Interfaces,
    state::{self, Version},
    stream::{Goal, Stream},
};

/// The interfaces as the plans of these streams select them.
pub fn take(kernel: &Kernel, streams: &Streams) -> Call<Interfaces> {
    let plan = |stream: &Stream| match &stream.goal {
        Goal::Run(target) => Some(Rc::clone(&target.plan)),
        Goal::Load(verified) => Some(Rc::clone(verified.plan())),
        Goal::Keep => stream.before.iter().find_map(|version| version.plan.clone()),
        Goal::End => None,
    };
    let plans: Vec<_> = streams.values().filter_map(plan).collect();
    Interfaces::take(kernel, &plans)
}

/// Refuses or puts off what only the node can tell: see [`Interfaces::refuse`]. A stream that goes back to what ran
/// before has had its verdict.
pub fn refuse(kernel: &Kernel, interfaces: &Interfaces, reserved: &[IfGlob], streams: &mut Streams) {
    for stream in streams.values_mut() {
        let plan: &NodePlan = match &stream.goal {
            Goal::Run(target) => &target.plan,
            Goal::Load(verified) => verified.plan(),
            Goal::Keep | Goal::End => continue,
        };
        let fresh = stream.reason.is_none();
        if let Some(reason) = interfaces.refuse(plan, reserved).filter(|_| fresh) {
            stream.fail(reason);
        } else if let Some(why) = unsure(kernel, interfaces, plan, &stream.before) {
            if fresh {
                let message = format!("{why}; what runs is left alone");
                stream.state = StreamState::Pending;
                stream.reason = Some(Reason { code: Code::InterfaceAbsent, message });
            }
            stream.stay();
        }
    }
}

/// Why it cannot be told where a plan wants something that runs already. Routes come and go while a network is set up again,
/// and cards fail; programs stay.
fn unsure(kernel: &Kernel, interfaces: &Interfaces, plan: &NodePlan, before: &[Version]) -> Option<String> {
    if interfaces.without_primary(plan) && !before.is_empty() {
        return Some("no default route says which interface is `primary`".to_owned());
    }
    for (ifindex, why) in interfaces.untold(plan) {
        for version in before {
            // What cannot be looked at may be there.
            let Ok(pins) = kernel.names(&version.dir.join("links")) else { return Some(why.clone()) };
            if pins.iter().any(|pin| state::is_on(pin, *ifindex)) {
                return Some(why.clone());
            }
        }
    }
    None
}

/// Whether an interface of `seen` has left or got another name since: what failed may have failed by that.
pub fn changed(kernel: &Kernel, seen: &Interfaces) -> bool {
    let here = |now: &[Interface], one: &Interface| {
        now.iter().any(|other| (other.ifindex, &other.name) == (one.ifindex, &one.name))
    };
    kernel.interfaces().is_ok_and(|now| seen.all.iter().any(|one| !here(&now, one)))
}

/// Versions of a stream that a run deals with; none if it leaves the stream alone.
fn versions(stream: &Stream) -> Vec<&Version> {
    if matches!(stream.goal, Goal::Keep) { Vec::new() } else { stream.versions() }
}

/// Whether a stream attaches XDP programs or has to take some off. Of a version without a plan nobody knows.
pub fn has_xdp(stream: &Stream) -> bool {
    let xdp = |version: &Version| version.plan.as_ref().is_none_or(|plan| !converge::attachments(plan).is_empty());
    versions(stream).into_iter().any(xdp)
}

/// Whether a stream attaches XDP programs to this interface or may have to take some off there: its selectors mean it, or a
/// second pin says that they did.
pub fn concerns(stream: &Stream, interfaces: &Interfaces, interface: &Interface) -> bool {
    let there = |version: &Version| {
        let pin = |program| state::link_pin(&version.dir, interface.ifindex, program);
        if version.programs.keys().any(|program| pin(program).exists()) {
            return true;
        }
        version.plan.as_ref().is_none_or(|plan| !converge::attachments_on(plan, interfaces, interface).is_empty())
    };
    versions(stream).into_iter().any(there)
}
