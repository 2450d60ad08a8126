//! Outcome: what the nodes of a pool do for a set of changes.
//!
//! In:   [`Changes`], [`Rules`]. Out: [`Outcome`]. Cannot fail.
//!
//! MCO `pkg/daemon/update.go`, `calculatePostConfigChangeNodeDisruptionAction` and `…FromMCDiffs`; `pkg/daemon/drain.go`,
//! `isDrainRequiredForNodeDisruptionActions`.

use serde::Serialize;

use super::{
    changes::{Changes, How},
    failure,
    policy::{Action, Policy},
    render::Rendered,
};

/// By what the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The policy, on this minor release of OpenShift 4.
    Policy(Policy, u16),
    /// Only what the operator always had, with the reason: 4.16 without the feature gate.
    Defaults(u16, &'static str),
    /// Everything boots, with the reason: on-cluster layering.
    None(&'static str),
}

/// What nodes do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The rendered config is the same: nodes do not even look.
    Unchanged,
    /// Files are written, nothing runs.
    None,
    /// Actions run, pods stay.
    Act,
    /// Pods move away, the node does not boot.
    Drain,
    /// Pods move away, the node boots.
    Reboot,
    /// An action fails: the daemon puts everything back, the node becomes degraded, and the pool stops.
    Fails,
    /// The pool or its nodes become degraded: nothing is written, or not all of it.
    Refused,
}

impl Verdict {
    /// In words.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Unchanged => "no change",
            Self::None => "files are written, nothing runs",
            Self::Act => "no drain, no reboot",
            Self::Drain => "drain, no reboot",
            Self::Reboot => "drain and reboot",
            Self::Fails => "the restart fails: nodes go back and are degraded",
            Self::Refused => "refused: nodes become degraded",
        }
    }
}

/// One changed thing and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Path, unit, or words.
    pub what: String,
    /// How it changed; absent for what has no such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// What it asks for.
    pub actions: Vec<Action>,
    /// No policy covers it, or no policy can.
    pub uncovered: bool,
}

/// What nodes do and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// In one word.
    pub verdict: Verdict,
    /// What runs, in order, repetitions and all: the daemon runs every action of every changed file. Which file comes
    /// first is left to chance (Go's map order), so files are shown by path.
    pub actions: Vec<Action>,
    /// Each change.
    pub items: Vec<Item>,
    /// What goes wrong, or could.
    pub warnings: Vec<String>,
}

/// Decides.
pub fn predict(changes: &Changes, old: &Rendered, new: &Rendered, rules: &Rules) -> Outcome {
    let items = items(changes, rules);
    let mut outcome = Outcome { verdict: Verdict::Unchanged, actions: Vec::new(), items, warnings: Vec::new() };
    if changes.is_empty() {
        return outcome;
    }
    if !changes.fixed.is_empty() {
        let what = changes.fixed.join(", ");
        outcome.verdict = Verdict::Refused;
        outcome.warnings.push(format!("a running node cannot change {what}; the pool stops"));
        return outcome;
    }
    let asked = || outcome.items.iter().flat_map(|item| item.actions.iter().cloned());
    outcome.actions = if asked().any(|action| action == Action::Reboot) {
        vec![Action::Reboot]
    } else {
        let steps: Vec<_> = asked().filter(|action| *action != Action::None).collect();
        if steps.is_empty() { vec![Action::None] } else { steps }
    };
    let has = |wanted: &Action| outcome.actions.contains(wanted);
    outcome.verdict = if has(&Action::Reboot) {
        Verdict::Reboot
    } else if has(&Action::Drain) || has(&Action::Special) {
        Verdict::Drain
    } else if has(&Action::None) {
        Verdict::None
    } else {
        Verdict::Act
    };
    outcome.warnings = warnings(&outcome, changes, rules);
    if outcome.verdict != Verdict::Reboot {
        let found = failure::look(&outcome.actions, changes, old, new);
        if !found.failures.is_empty() {
            outcome.verdict = Verdict::Fails;
        }
        outcome.warnings.extend(found.failures.into_iter().chain(found.doubts));
    }
    outcome
}

/// Files, then units, then SSH keys, then what first boots go by, then the machine.
fn items(changes: &Changes, rules: &Rules) -> Vec<Item> {
    let mut items = Vec::new();
    let mut push = |what: &str, how: Option<How>, actions: Option<Vec<Action>>| {
        let uncovered = actions.is_none();
        let actions = actions.unwrap_or_else(|| vec![Action::Reboot]);
        items.push(Item { what: what.to_owned(), how, actions, uncovered });
    };
    let defaults = Policy::default();
    let policy = match rules {
        Rules::Policy(policy, minor) => Some((policy, *minor)),
        // `calculatePostConfigChangeActionFromMCDiffs` of release-4.16 has the files that became the default policies.
        Rules::Defaults(minor, _) => Some((&defaults, *minor)),
        Rules::None(_) => None,
    };
    for (path, how) in &changes.files {
        push(path, Some(*how), policy.and_then(|(policy, minor)| policy.file(path, minor)));
    }
    for (unit, how) in &changes.units {
        push(unit, Some(*how), policy.and_then(|(policy, _)| policy.unit(unit)));
    }
    if changes.ssh {
        push("SSH keys", None, policy.map(|(policy, _)| policy.ssh()));
    }
    if changes.ignition {
        // `calculatePostConfigChangeNodeDisruptionAction`: no actions without changed files, units or keys.
        push("section ignition", None, policy.map(|_| vec![Action::None]));
    }
    for words in &changes.machine {
        push(words, None, None);
    }
    items
}

fn warnings(outcome: &Outcome, changes: &Changes, rules: &Rules) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Rules::None(why) | Rules::Defaults(_, why) = rules {
        warnings.push(format!("disruption policies do not apply: {why}"));
    }
    if changes.ignition {
        let what = "the section `ignition` (merge, replace, proxy, security, timeouts)";
        warnings.push(format!("nodes that run do nothing of {what}; new nodes go by it at their first boot"));
    }
    let covered = outcome.items.iter().filter(|item| !item.uncovered).count();
    let uncovered: Vec<&str> =
        outcome.items.iter().filter(|item| item.uncovered).map(|item| item.what.as_str()).collect();
    if covered > 0
        && let [first, rest @ ..] = uncovered.as_slice()
    {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        let first = crate::diag::visible(first);
        warnings.push(format!("no policy covers {first}{more}, so the whole change reboots"));
    }
    if outcome.verdict == Verdict::Reboot {
        return warnings;
    }
    let restarted = outcome.actions.iter().filter_map(|action| match action {
        Action::Restart(unit) | Action::Reload(unit) => Some(unit),
        _ => None,
    });
    let mut seen: Vec<(&String, usize)> = Vec::new();
    for unit in restarted {
        match seen.iter_mut().find(|(other, _)| *other == unit) {
            Some((_, count)) => *count += 1,
            None => seen.push((unit, 1)),
        }
    }
    for (unit, count) in &seen {
        let shown = crate::diag::visible(unit);
        if *count > 1 {
            warnings.push(format!("{shown} is restarted {count} times: once for each file and unit"));
        }
    }
    let first_restart = outcome.actions.iter().position(|action| matches!(action, Action::Restart(_)));
    let reload = outcome.actions.iter().position(|action| *action == Action::DaemonReload);
    if !changes.units.is_empty() && first_restart < reload && first_restart.is_some() {
        warnings.push("a service is restarted before daemon-reload, from the old unit file".to_owned());
    } else if !changes.units.is_empty() && reload.is_none() && outcome.verdict != Verdict::None {
        warnings.push("units change without daemon-reload: systemd keeps the old ones".to_owned());
    }
    warnings
}
