//! Checks of a plan that its types cannot make, and [`PlanError`].
//!
//! In: a [`NodePlan`] of the right shape. Out: nothing, or the first rule it breaks.

use super::{Ending, FormatVersion, Intent, Map, NodePlan, PLAN_VERSION, Program, Revision, Stage};
use crate::{
    hook::Attachment,
    json, limits,
    name::{MapName, ProgramName},
};

/// Why bytes are not a plan.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not the shape of a plan.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// Made for a newer loader.
    #[error("planVersion is {found}; this build reads {PLAN_VERSION} and older minors of {}", PLAN_VERSION.major)]
    Version {
        /// Version found.
        found: FormatVersion,
    },
    /// A list that must not be empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A list in which something stands twice or out of order.
    #[error("`{0}` is not sorted, or names something twice")]
    NotSorted(&'static str),
    /// More than allowed.
    #[error("`{what}` has {count} items; {max} are allowed")]
    TooMany {
        /// Field.
        what: &'static str,
        /// Found.
        count: usize,
        /// Allowed.
        max: usize,
    },
    /// A bug patch must say which bug.
    #[error("intent bug-patch has no `reference`")]
    NoReference,
    /// Security streams do not end because a clock says so.
    #[error("intent security cannot have `onExpiry: detach`")]
    SecurityExpires,
    /// The same program twice at one place.
    #[error("program `{0}` names a place twice")]
    PlaceTwice(ProgramName),
    /// A program that nothing reaches.
    #[error("program `{0}` is neither attached nor in a slot of a map")]
    Unreached(ProgramName),
    /// A slot for a program that is not there.
    #[error("a slot names program `{0}`, which is not in the plan")]
    NoSuchProgram(ProgramName),
    /// More than the version it says can express.
    #[error("planVersion is {found}, but the plan needs {needed}")]
    VersionTooLow {
        /// Version found.
        found: FormatVersion,
        /// Lowest version that has all of it.
        needed: FormatVersion,
    },
    /// A map of two kinds.
    #[error("map `{0}` is config and state at once; it can be one")]
    TwoKinds(MapName),
    /// A selector that needs the network, in an early stream.
    #[error("stage early cannot tell `{0}` interfaces")]
    NotEarly(&'static str),
    /// Before and after the same program.
    #[error("a TC attachment of program `{0}` names one anchor as `before` and as `after`")]
    Anchors(ProgramName),
    /// A floor above the revision that sets it.
    #[error("rollbackFloor {floor} is above the revision, {revision}")]
    FloorAbove {
        /// Floor found.
        floor: Revision,
        /// The plan's revision.
        revision: Revision,
    },
}

fn strictly_sorted<T: Ord>(what: &'static str, items: &[T]) -> Result<(), PlanError> {
    if items.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(PlanError::NotSorted(what)) }
}

impl NodePlan {
    /// Checks what the types cannot say. The compiler calls it on what it made, the loader on what it read.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.pools.is_empty() {
            return Err(PlanError::Empty("pools"));
        }
        strictly_sorted("pools", &self.pools)?;
        strictly_sorted("audience", &self.audience)?;
        strictly_sorted("architectures", &self.applies_to.architectures)?;
        if self.intent == Intent::BugPatch && self.reference.is_none() {
            return Err(PlanError::NoReference);
        }
        if self.intent == Intent::Security && self.expires.is_some() && self.on_expiry == Ending::Detach {
            return Err(PlanError::SecurityExpires);
        }
        if let Some(floor) = self.rollback_floor.filter(|floor| *floor > self.revision) {
            return Err(PlanError::FloorAbove { floor, revision: self.revision });
        }
        self.check_programs()?;
        self.check_maps()?;
        let needed = self.lowest_version();
        if !self.plan_version.reads(needed) {
            return Err(PlanError::VersionTooLow { found: self.plan_version, needed });
        }
        Ok(())
    }

    fn check_programs(&self) -> Result<(), PlanError> {
        if self.programs.is_empty() {
            return Err(PlanError::Empty("programs"));
        }
        too_many("programs", self.programs.len(), limits::PLAN_MAX_PROGRAMS)?;
        let names: Vec<_> = self.programs.iter().map(|program| &program.name).collect();
        strictly_sorted("programs", &names)?;
        for program in &self.programs {
            if program.object.all().is_empty() {
                return Err(PlanError::Empty("object"));
            }
            let in_slot = |map: &Map| map.slots.iter().any(|slot| slot.program == program.name);
            if program.attach.is_empty() && !self.maps.values().any(in_slot) {
                return Err(PlanError::Unreached(program.name.clone()));
            }
            for (at, attachment) in program.attach.iter().enumerate() {
                self.check_attachment(program, attachment)?;
                if program.attach[..at].iter().any(|other| meet(other, attachment)) {
                    return Err(PlanError::PlaceTwice(program.name.clone()));
                }
            }
        }
        Ok(())
    }

    fn check_attachment(&self, program: &Program, attachment: &Attachment) -> Result<(), PlanError> {
        let interfaces = attachment.interfaces();
        match attachment {
            Attachment::Xdp(_) | Attachment::Tc(_) if interfaces.is_empty() => {
                return Err(PlanError::Empty("interfaces"));
            }
            Attachment::Tc(tc) => {
                if tc.verdicts.is_empty() {
                    return Err(PlanError::Empty("verdicts"));
                }
                strictly_sorted("verdicts", &tc.verdicts)?;
                if tc.before.is_some() && tc.before == tc.after {
                    return Err(PlanError::Anchors(program.name.clone()));
                }
            }
            _ => {}
        }
        for (at, selector) in interfaces.iter().enumerate() {
            strictly_sorted("exclude", &selector.exclude)?;
            if self.stage == Stage::Early && !selector.is_early() {
                return Err(PlanError::NotEarly(selector.kind()));
            }
            // One program runs once per interface: it cannot hold two places in one chain.
            if interfaces[..at].contains(selector) {
                return Err(PlanError::PlaceTwice(program.name.clone()));
            }
        }
        Ok(())
    }

    fn check_maps(&self) -> Result<(), PlanError> {
        for (name, map) in &self.maps {
            too_many("entries", map.entries.len(), limits::MAP_MAX_ENTRIES)?;
            let keys: Vec<_> = map.entries.iter().map(|entry| &entry.key).collect();
            strictly_sorted("entries", &keys)?;
            too_many("slots", map.slots.len(), limits::MAP_MAX_SLOTS)?;
            let indices: Vec<_> = map.slots.iter().map(|slot| slot.index).collect();
            strictly_sorted("slots", &indices)?;
            if (map.persist && map.is_config()) || !(map.slots.is_empty() || map.entries.is_empty()) {
                return Err(PlanError::TwoKinds(name.clone()));
            }
            for slot in &map.slots {
                if !self.programs.iter().any(|program| program.name == slot.program) {
                    return Err(PlanError::NoSuchProgram(slot.program.clone()));
                }
            }
        }
        Ok(())
    }
}

/// Whether two attachments of one program surely have a place in common. What a node alone can tell, such as a name and
/// a driver of one interface, the loader refuses.
fn meet(a: &Attachment, b: &Attachment) -> bool {
    match (a, b) {
        (Attachment::Xdp(_), Attachment::Xdp(_)) => {
            a.interfaces().iter().any(|selector| b.interfaces().contains(selector))
        }
        (Attachment::Tc(x), Attachment::Tc(y)) => {
            x.direction == y.direction && x.interfaces.iter().any(|selector| y.interfaces.contains(selector))
        }
        _ => a == b,
    }
}

fn too_many(what: &'static str, count: usize, max: usize) -> Result<(), PlanError> {
    if count > max { Err(PlanError::TooMany { what, count, max }) } else { Ok(()) }
}
