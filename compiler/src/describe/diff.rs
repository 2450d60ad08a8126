//! What changes from one plan to another.
//!
//! In:   two [`NodePlan`]s of one stream. Out: [`Change`]s, in the order in which the new plan is shown.
//! Cannot fail.

use std::fmt;

use nodeplan::{plan::NodePlan, trust::TrustDocument};

use super::{Fact, Types, facts, trust};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the new plan says it.
    Added(Fact),
    /// Only the old plan says it.
    Removed(Fact),
    /// Both say it, with different values.
    Changed {
        /// What the old plan says.
        from: Fact,
        /// What the new plan says.
        to: Fact,
    },
}

/// One line of text: `+` for what is new, `-` for what goes, `~` for what changes.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_subject = |fact: &Fact| fact.what.is_empty();
        match self {
            Self::Added(fact) if is_subject(fact) => write!(f, "+ {}", fact.about),
            Self::Removed(fact) if is_subject(fact) => write!(f, "- {}", fact.about),
            Self::Added(fact) => write!(f, "+ {}: {}: {}", fact.about, fact.what, fact.value),
            Self::Removed(fact) => write!(f, "- {}: {}: {}", fact.about, fact.what, fact.value),
            Self::Changed { from, to } => write!(f, "~ {}: {}: {} -> {}", to.about, to.what, from.value, to.value),
        }
    }
}

/// All differences; empty for equal plans, and for equal plans only.
pub fn changes(old: &NodePlan, new: &NodePlan) -> Vec<Change> {
    // Bytes: of the old plan's objects nothing but digests may be left, and equal bytes must be equal text.
    between(facts(old, &Types::default()), facts(new, &Types::default()))
}

/// As [`changes`], with values shown by the types of each plan's own objects. What differs is decided by bytes all the
/// same: another type alone changes no value.
pub fn changes_in_words(old: (&NodePlan, &Types), new: (&NodePlan, &Types)) -> Vec<Change> {
    let both = |(plan, types): (&NodePlan, &Types)| -> Vec<(Fact, Fact)> {
        facts(plan, &Types::default()).into_iter().zip(facts(plan, types)).collect()
    };
    let (was, is) = (both(old), both(new));
    let words = |both: &[(Fact, Fact)], fact: Fact| {
        both.iter().find(|(bytes, _)| *bytes == fact).map_or(fact, |(_, words)| words.clone())
    };
    let in_words = |change| match change {
        Change::Added(fact) => Change::Added(words(&is, fact)),
        Change::Removed(fact) => Change::Removed(words(&was, fact)),
        Change::Changed { from, to } => Change::Changed { from: words(&was, from), to: words(&is, to) },
    };
    changes(old.0, new.0).into_iter().map(in_words).collect()
}

/// All differences of two trust documents.
pub fn trust_changes(old: &TrustDocument, new: &TrustDocument) -> Vec<Change> {
    between(trust::facts(old), trust::facts(new))
}

fn between(old: Vec<Fact>, new: Vec<Fact>) -> Vec<Change> {
    let (old, new) = (with_subjects(old), with_subjects(new));
    let twin = |facts: &[Fact], fact: &Fact| {
        facts.iter().find(|other| other.about == fact.about && other.what == fact.what).cloned()
    };
    let mut changes = Vec::new();
    for fact in &new {
        match twin(&old, fact) {
            Some(from) if from.value == fact.value => {}
            Some(from) => changes.push(Change::Changed { from, to: fact.clone() }),
            None => changes.push(Change::Added(fact.clone())),
        }
    }
    changes.extend(old.into_iter().filter(|fact| twin(&new, fact).is_none()).map(Change::Removed));
    changes
}

/// A fact for each program and map itself, before its first property.
fn with_subjects(facts: Vec<Fact>) -> Vec<Fact> {
    let mut all: Vec<Fact> = Vec::with_capacity(facts.len());
    for fact in facts {
        if all.last().is_none_or(|last| last.about != fact.about) {
            all.push(Fact { about: fact.about.clone(), what: String::new(), value: String::new() });
        }
        all.push(fact);
    }
    all
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
