//! The disruption policy: what it asks for before and after.
//!
//! In:   two [`Side`]s, the policy of `--policy`. Out: [`PolicyDiff`]; `None` if nodes will decide alike. Cannot fail.
//!
//! A policy that changes makes no node act. It decides what the next change of a file or unit does.

use std::collections::BTreeSet;

use serde::Serialize;

use super::side::Side;
use crate::{
    mco::policy::{Action, Policy},
    platform::table,
};

/// A disruption policy that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDiff {
    /// Paths and units that will be treated in another way.
    pub changes: Vec<PolicyLine>,
    /// What to mind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What a change of one thing asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyLine {
    /// Path of a file or directory, name of a unit, or words.
    pub of: String,
    /// Before.
    pub from: Asked,
    /// After.
    pub to: Asked,
}

/// Actions, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// In the order in which they run.
    pub actions: Vec<Action>,
    /// No entry covers it.
    pub uncovered: bool,
}

impl Asked {
    fn of(found: Option<Vec<Action>>) -> Self {
        let uncovered = found.is_none();
        Self { actions: found.unwrap_or_else(|| vec![Action::Reboot]), uncovered }
    }

    /// In words.
    pub fn words(&self) -> String {
        let list: Vec<_> = self.actions.iter().map(ToString::to_string).collect();
        if self.uncovered { format!("{} (no policy)", list.join(", ")) } else { list.join(", ") }
    }
}

/// Above the changes, in every form.
pub const HEADLINE: &str = "disruption policy: no node does anything now; later changes of these do something else";

/// Compares the policies of two sides. One that only one side has comes or goes.
pub(super) fn compare(old: &Side, new: &Side, given: bool) -> Option<PolicyDiff> {
    let none = Policy::default();
    let (was, is) = (old.policy.as_ref().unwrap_or(&none), new.policy.as_ref().unwrap_or(&none));
    let changes = changes(was, is);
    if changes.is_empty() {
        return None;
    }
    let mut warnings = Vec::new();
    if old.policy.is_none() {
        warnings.push("the old side has no MachineConfiguration: it is taken for a cluster without entries".to_owned());
    }
    if new.policy.is_none() {
        warnings.push(
            "the new side has no MachineConfiguration: nodes go on by the entries that the cluster keeps, and as shown once \
             they are taken back"
                .to_owned(),
        );
    }
    if given {
        warnings.push("pools are judged by --policy, and by neither of these".to_owned());
    }
    Some(PolicyDiff { changes, warnings })
}

/// What is treated in another way. Only entries need a look: a path below them is treated as the longest of them.
fn changes(was: &Policy, is: &Policy) -> Vec<PolicyLine> {
    let minor = table::NEWEST.minor;
    let mut found = Vec::new();
    let mut add = |of: &str, from: Option<Vec<Action>>, to: Option<Vec<Action>>| {
        let (from, to) = (Asked::of(from), Asked::of(to));
        if from != to {
            found.push(PolicyLine { of: of.to_owned(), from, to });
        }
    };
    let files: BTreeSet<&str> = was.files.iter().chain(&is.files).map(|entry| entry.of.as_str()).collect();
    for path in files {
        add(path, was.file(path, minor), is.file(path, minor));
    }
    let units: BTreeSet<&str> = was.units.iter().chain(&is.units).map(|entry| entry.of.as_str()).collect();
    for unit in units {
        add(unit, was.unit(unit), is.unit(unit));
    }
    add("SSH keys", Some(was.ssh()), Some(is.ssh()));
    found
}
