//! Pools: what the operator does on the nodes of each.
//!
//! In:   rendered configs before and after, options. Out: [`PoolDiff`], notes. Cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::applies::OcpVersion;
use serde::Serialize;

use super::{
    Options,
    side::{Node, Side},
    trust::Untaken,
};
use crate::{
    mco::{
        changes,
        config::Config,
        outcome::{self, Outcome, Rules, Verdict},
        policy::Policy,
        refusal,
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

/// Compares; `None` if nodes of the pool get the same, and the operator takes either as well or as badly.
pub(super) fn compare(
    pool: &str,
    was: &Node,
    is: &Node,
    old: &Side,
    new: &Side,
    options: &Options,
) -> Option<PoolDiff> {
    let untaken = Untaken::of(was, is);
    let (was, is) = (&was.rendered, &is.rendered);
    let changes = changes::changes(was, is);
    let refused = |releases: &[u16]| Refused {
        old: Refusals::of(&old.configs, pool, was, releases),
        new: Refusals::of(&new.configs, pool, is, releases),
    };
    let (policy, _) = policy(old, new, options);
    let mut outcomes: Vec<OnReleases> = Vec::new();
    let mut add = |release: Option<OcpVersion>| {
        let mut outcome = outcome::predict(&changes, was, is, &rules(release, &policy, options));
        let minors = release.map_or_else(with_policies, |release| vec![release.minor]);
        refused(&minors).judge(&mut outcome);
        if let Some(untaken) = &untaken {
            untaken.judge(&mut outcome);
        }
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
    let says = |one: &OnReleases| one.outcome.verdict != Verdict::Unchanged || !one.outcome.warnings.is_empty();
    outcomes.iter().any(says).then(|| PoolDiff { pool: pool.to_owned(), outcomes })
}

/// Minor releases that are meant where none is named.
fn with_policies() -> Vec<u16> {
    let on = |release: &OcpVersion| matches!(table::disruption(*release), Some((Disruption::Default, _)));
    table::releases().filter(on).map(|release| release.minor).collect()
}

/// Why the operator refuses what one side gives a pool.
#[derive(Default, PartialEq, Eq)]
struct Refusals {
    /// Each release refuses it, for whatever reason.
    always: bool,
    /// Reasons on each release.
    all: BTreeSet<String>,
    /// Reasons on some of them, with those.
    some: BTreeMap<String, Vec<u16>>,
}

impl Refusals {
    fn of(configs: &[Config], pool: &str, rendered: &Rendered, minors: &[u16]) -> Self {
        let mut found = Self { always: true, ..Self::default() };
        for minor in minors {
            let whys = refusal::refusals(configs, pool, rendered, *minor);
            found.always &= !whys.is_empty();
            for why in whys {
                found.some.entry(why).or_default().push(*minor);
            }
        }
        found.all = found.some.iter().filter(|(_, on)| on.len() == minors.len()).map(|(why, _)| why.clone()).collect();
        found.some.retain(|_, on| on.len() < minors.len());
        found
    }
}

/// The same of both sides.
struct Refused {
    old: Refusals,
    new: Refusals,
}

impl Refused {
    /// What is refused never comes to actions; whatever else is on a side that changes, it is refused with it.
    fn judge(self, outcome: &mut Outcome) {
        if self.old == self.new && outcome.verdict == Verdict::Unchanged {
            return;
        }
        let Self { old, new } = self;
        if old.always && !new.always {
            outcome.warnings.push(format!(
                "the old side is refused, so nodes have what was before it, and what they do depends on that: {}",
                old.all.into_iter().chain(old.some.into_keys()).collect::<Vec<_>>().join("; ")
            ));
        }
        if new.always && outcome.verdict != Verdict::Refused {
            outcome.verdict = Verdict::Refused;
            outcome.actions.clear();
            outcome.warnings.clear();
        }
        outcome.warnings.extend(new.all.into_iter().map(|why| format!("refused: {why}")));
        for (why, on) in new.some {
            let on = on.iter().map(|minor| format!("4.{minor}")).collect::<Vec<_>>().join(", ");
            outcome.warnings.push(format!("refused on {on}: {why}"));
        }
    }
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
