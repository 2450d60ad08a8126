//! Update classes: what a node does at each attachment when one plan takes the place of another.
//!
//! In:   two plans of one stream, or one and nothing. Out: [`Step`]s. Cannot fail.
//!
//! The classes are the loader's (`docs/loader.md`, "Hooks"). A new statement is a new version of everything in it, so an
//! attachment that reads the same in both plans is updated, too.

use nodeplan::{
    hook::{Attachment, Chained},
    plan::{Ending, NodePlan},
};
use serde::Serialize;

use super::selectors;

/// How an attachment gets from one plan to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum UpdateClass {
    /// The old program runs until the new one does, never both: XDP, TC, cgroup.
    Atomic,
    /// The new program is attached before the old one leaves; both run for a moment.
    Overlap,
    /// Other interfaces: attached to the new ones, detached from those that are not meant any more; where both mean an
    /// interface, as the hook does it.
    Move,
    /// Nothing ran here.
    New,
    /// Nothing runs here any more.
    Removed,
    /// Its bundle goes, and it runs until the next boot: by `onRemoval: keep`, or because the loader goes as well.
    Kept,
    /// The loader refuses the change (NB1306): XDP in the other mode, while the stream itself holds the interface.
    Refused,
}

impl UpdateClass {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Overlap => "overlap",
            Self::Move => "move",
            Self::New => "new",
            Self::Removed => "removed",
            Self::Kept => "kept until the next boot",
            Self::Refused => "refused (NB1306)",
        }
    }
}

/// One attachment and its class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Program.
    pub program: String,
    /// Hook and what it is attached to there.
    pub place: String,
    /// Selectors of the interfaces, or nothing.
    pub interfaces: String,
    /// Class.
    pub class: UpdateClass,
}

/// All attachments of both plans, by program and place.
pub fn steps(old: Option<&NodePlan>, new: Option<&NodePlan>) -> Vec<Step> {
    let (was, is) = (attachments(old), attachments(new));
    let mut left: Vec<_> = was.iter().collect();
    let mut steps = Vec::new();
    let mut unmatched = Vec::new();
    for one in &is {
        let (program, attachment) = *one;
        let twin = left.iter().position(|(other, at)| {
            *other == program && at.place() == attachment.place() && at.interfaces() == attachment.interfaces()
        });
        match twin {
            Some(at) => {
                let class = class(left.remove(at).1, attachment);
                steps.push(step(program, attachment, class));
            }
            None => unmatched.push(one),
        }
    }
    for (program, attachment) in unmatched {
        let moved = left.iter().position(|(other, at)| other == program && at.place() == attachment.place());
        let class = moved.map_or(UpdateClass::New, |at| match class(left.remove(at).1, attachment) {
            UpdateClass::Refused => UpdateClass::Refused,
            _ => UpdateClass::Move,
        });
        steps.push(step(program, attachment, class));
    }
    let keeps = new.is_none() && old.is_some_and(|plan| plan.on_removal == Ending::Keep);
    let end = if keeps { UpdateClass::Kept } else { UpdateClass::Removed };
    steps.extend(left.into_iter().map(|(program, attachment)| step(program, attachment, end)));
    steps.sort();
    steps
}

fn attachments(plan: Option<&NodePlan>) -> Vec<(&str, &Attachment)> {
    let programs = plan.into_iter().flat_map(|plan| &plan.programs);
    programs.flat_map(|program| program.attach.iter().map(|at| (program.name.as_str(), at))).collect()
}

/// Class of an attachment whose program, place and interfaces stay.
fn class(old: &Attachment, new: &Attachment) -> UpdateClass {
    match (old.chained(), new.chained()) {
        (Some(Chained::Xdp(was)), Some(Chained::Xdp(is))) if was.mode != is.mode => UpdateClass::Refused,
        // It may have to stand elsewhere in the list, and a link cannot move within one.
        (Some(Chained::Tc(was)), Some(Chained::Tc(is)))
            if (was.priority, &was.before, &was.after) != (is.priority, &is.before, &is.after) =>
        {
            UpdateClass::Overlap
        }
        _ if new.hook().updates_atomically() => UpdateClass::Atomic,
        _ => UpdateClass::Overlap,
    }
}

fn step(program: &str, attachment: &Attachment, class: UpdateClass) -> Step {
    Step {
        program: program.to_owned(),
        place: attachment.place(),
        interfaces: selectors(attachment.interfaces()),
        class,
    }
}

#[cfg(test)]
#[path = "class_tests.rs"]
mod tests;
