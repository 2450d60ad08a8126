//! Pools: what the operator does on the nodes of each.
//!
//! In:   rendered configs before and after, options. Out: [`PoolDiff`], notes. Cannot fail.

use nodeplan::applies::OcpVersion;
use serde::Serialize;

use super::{Options, side::Side};
use crate::{
    mco::{
        changes,
        outcome::{self, Outcome, Rules, Verdict},
        policy::Policy,
        render::Rendered,
    },
    platform::table::{self, Disruption},
};

/// What happens in a pool on some releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnReleases {
    /// Releases of `--ocp`, such as `4.17` to `4.22`; empty without it.
    pub releases: Vec<String>,
    /// What nodes do.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What happens in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolDiff {
    /// Pool.
    pub pool: String,
    /// One for each group of releases with the same outcome.
    pub outcomes: Vec<OnReleases>,
}

/// The policy in force after the change, and whose it is.
fn policy<'a>(old: &'a Side, new: &'a Side, options: &'a Options) -> (Policy, &'static str) {
    match (&options.policy, &new.policy, &old.policy) {
        (Some(policy), _, _) => (policy.clone(), "of --policy"),
        (None, Some(policy), _) => (policy.clone(), "of the MachineConfiguration on the new side"),
        // Streams and installation often lie apart: a side without policy says nothing about it.
        (None, None, Some(policy)) => (policy.clone(), "of the MachineConfiguration on the old side"),
        (None, None, None) => (Policy::of_install(), "that `nodebpf install` writes"),
    }
}

/// Compares; `None` if nodes of the pool get the same.
pub(super) fn compare(
    pool: &str,
    was: &Rendered,
    is: &Rendered,
    old: &Side,
    new: &Side,
    options: &Options,
) -> Option<PoolDiff> {
    let changes = changes::changes(was, is);
    if changes.is_empty() {
        return None;
    }
    let (policy, _) = policy(old, new, options);
    let mut outcomes: Vec<OnReleases> = Vec::new();
    let mut add = |release: Option<OcpVersion>| {
        let outcome = outcome::predict(&changes, was, is, &rules(release, &policy, options));
        let name = release.map(|release| release.to_string());
        match outcomes.last_mut().filter(|last| last.outcome == outcome) {
            Some(last) => last.releases.extend(name),
            None => outcomes.push(OnReleases { releases: name.into_iter().collect(), outcome }),
        }
    };
    let all: Vec<OcpVersion> = table::releases().collect();
    match options.releases.as_slice() {
        // It depends on the release which rules hold.
        [] if options.on_cluster_layering => all.into_iter().for_each(|release| add(Some(release))),
        [] => add(None),
        some => some.iter().for_each(|release| add(Some(*release))),
    }
    Some(PoolDiff { pool: pool.to_owned(), outcomes })
}

/// First minor release whose daemon goes by the policies in images that the cluster builds, unless the image is built
/// anew: MCO commit 97cecaed0, `pkg/daemon/update.go`, `update`, and `RequiresRebuild`.
const LAYERING_WITH_POLICIES: u16 = 20;

fn rules(release: Option<OcpVersion>, policy: &Policy, options: &Options) -> Rules {
    // Of newer ones nothing else is known.
    let release = release.unwrap_or(table::NEWEST).min(table::NEWEST);
    if options.on_cluster_layering && release.minor < LAYERING_WITH_POLICIES {
        return Rules::None("on-cluster layering, before 4.20");
    }
    match table::disruption(release) {
        Some((Disruption::TechPreview, _)) => {
            Rules::Defaults(release.minor, "on 4.16 they are Technology Preview, and off by default")
        }
        Some((Disruption::Default, _)) | None => Rules::Policy(policy.clone(), release.minor),
    }
}

/// What to mind.
pub(super) fn notes(old: &Side, new: &Side, options: &Options) -> Vec<String> {
    let (_, whose) = policy(old, new, options);
    let mut notes = vec![format!("nodes decide by the disruption policy {whose}, and the operator's defaults")];
    if options.on_cluster_layering {
        notes.push(
            "OpenShift's documentation says that policies are not supported with on-cluster layering; from 4.20 on the \
             daemon goes by them all the same, unless the image is built anew"
                .to_owned(),
        );
    }
    if options.policy.is_none() && new.policy.is_some() && new.policy != old.policy {
        notes.push(
            "the policy changes, too: apply it first, and wait until its status.observedGeneration is its \
             metadata.generation; until then nodes decide by the old one"
                .to_owned(),
        );
    }
    notes
}

impl OnReleases {
    /// `4.17 to 4.22: `, or nothing.
    pub fn label(&self) -> String {
        match self.releases.as_slice() {
            [] => String::new(),
            [one] => format!("{one}: "),
            [first, .., last] => format!("{first} to {last}: "),
        }
    }

    /// The verdict with what runs.
    pub fn sentence(&self) -> String {
        let words = self.outcome.verdict.words();
        match self.outcome.verdict {
            Verdict::Act | Verdict::Drain | Verdict::Fails => {
                let steps: Vec<_> = self.outcome.actions.iter().map(ToString::to_string).collect();
                format!("{}; {words}", steps.join(", "))
            }
            Verdict::Unchanged | Verdict::None | Verdict::Reboot | Verdict::Refused => words.to_owned(),
        }
    }
}
