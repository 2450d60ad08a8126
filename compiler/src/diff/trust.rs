//! Trust files: what of them changes, and whether nodes take the new one.
//!
//! In:   what nodes of a pool get, before and after. Out: [`TrustDiff`]s, [`Untaken`]. Cannot fail.
//!
//! Nodes keep the newest trust file that they accepted, and go by it whatever is delivered: the loader asks
//! [`Trust::stands_to`], and so does this. Nodes are taken to have accepted the old side's file.

use std::cmp::Ordering;

use nodeplan::{
    bundle::check_accepted,
    key::KeyId,
    sorted::SortedSet,
    trust::{PolicyRefusal, Trust, TrustDocument},
};
use serde::Serialize;

use super::{
    side::Node,
    stream::{self, Line},
};
use crate::{
    describe::diff,
    lower::disruption::APPLY,
    mco::{
        outcome::{Outcome, Verdict},
        policy::Action,
    },
};

/// A trust file that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustDiff {
    /// Pools.
    pub pools: Vec<String>,
    /// Version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Version after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// What differs.
    pub changes: Vec<Line>,
    /// Why nodes do not take it; streams that the file by which they go refuses, and that the pools get all the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Why nodes that know the old file go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Untaken {
    /// The new one is an older version (NB1112). Nothing fails by it.
    Older {
        /// Version that nodes know.
        known: u64,
    },
    /// The new one does not follow from what they know (NB1113). `apply --update` fails by it.
    Fork {
        /// Version that nodes know.
        known: u64,
        /// Why, in the words of the loader.
        why: String,
    },
}

impl Untaken {
    /// `None` if nodes take the new file, or if there are not two.
    pub(super) fn of(old: &Node, new: &Node) -> Option<Self> {
        let (was, is) = (old.trust.as_ref()?, new.trust.as_ref()?);
        if was.document() == is.document() {
            return None;
        }
        let known = was.document().version;
        match is.stands_to(was) {
            Ok(Ordering::Less) => Some(Self::Older { known }),
            Ok(Ordering::Equal | Ordering::Greater) => None,
            Err(error) => Some(Self::Fork { known, why: error.to_string() }),
        }
    }

    fn warning(&self, version: u64) -> String {
        match self {
            Self::Older { known } => format!(
                "version {version} is lower than {known}: nodes that know version {known} go on with it (NB1112), and take \
                 nothing of this; nodes that know none take version {version}; a change is taken back by a new version: \
                 raise `version`"
            ),
            Self::Fork { known, why } => format!(
                "nodes that know version {known} refuse it and go on with that one (NB1113, exit 3 of {APPLY}): {why}; build \
                 the next version from the newest trust file, and raise `version`"
            ),
        }
    }

    /// Says it of a pool, too, whose files change by it. The operator restarts a unit that fails of a fork.
    pub(super) fn judge(&self, outcome: &mut Outcome) {
        if matches!(outcome.verdict, Verdict::Unchanged | Verdict::Refused) {
            return;
        }
        let restarts = outcome.actions.contains(&Action::Restart(APPLY.to_owned()));
        outcome.warnings.push(match self {
            Self::Older { known } => format!("nodes that know trust file version {known} go on with it (NB1112)"),
            Self::Fork { .. } if restarts => {
                outcome.verdict = Verdict::Fails;
                format!(
                    "{APPLY} is restarted and refuses the trust file (NB1113): the restart fails, the node goes back and is \
                     degraded"
                )
            }
            Self::Fork { known, .. } => {
                format!("nodes refuse the trust file (NB1113), and go on with version {known}; {APPLY} fails")
            }
        });
    }
}

/// Compares what one pool gets.
pub(super) fn compare(pool: &str, old: &Node, new: &Node, found: &mut Vec<TrustDiff>) {
    let Some(diff) = trust(pool, old, new) else { return };
    let same = |other: &&mut TrustDiff| {
        (other.from, other.to, &other.changes, &other.warnings) == (diff.from, diff.to, &diff.changes, &diff.warnings)
    };
    match found.iter_mut().find(same) {
        Some(same) => same.pools.push(pool.to_owned()),
        None => found.push(diff),
    }
}

fn trust(pool: &str, old: &Node, new: &Node) -> Option<TrustDiff> {
    let (was, is) = (old.trust.as_ref().map(Trust::document), new.trust.as_ref().map(Trust::document));
    if was == is {
        return None;
    }
    let changes = match (was, is) {
        (Some(was), Some(is)) => diff::trust_changes(was, is).into_iter().map(stream::line).collect(),
        _ => Vec::new(),
    };
    let version = |document: Option<&TrustDocument>| document.map(|document| document.version);
    let mut warnings = Vec::new();
    if let Some(is) = is {
        match Untaken::of(old, new).zip(was) {
            None => refused(is, new, |stream, why| {
                warnings.push(format!(
                    "it refuses stream {stream}, which these pools still get: {why}; the stream ends; delete its \
                     MachineConfig in the same change"
                ));
            }),
            Some((untaken, was)) => {
                warnings.push(untaken.warning(is.version));
                refused(was, new, |stream, why| {
                    warnings.push(format!(
                        "version {}, with which nodes go on, refuses stream {stream}, which these pools get: {why}",
                        was.version
                    ));
                });
            }
        }
    }
    Some(TrustDiff { pools: vec![pool.to_owned()], from: version(was), to: version(is), changes, warnings })
}

/// Streams of `node` that `trust` refuses, whatever their signatures are worth, and why.
fn refused(trust: &TrustDocument, node: &Node, mut say: impl FnMut(&str, &str)) {
    for (stream, version) in &node.streams {
        let counts: SortedSet<KeyId> =
            version.signers.iter().copied().filter(|key| trust.signing_key(*key).is_some()).collect();
        let revoked = version.signers.iter().find(|key| trust.revoked_keys.contains(key));
        let why = if let Err(refusal) = check_accepted(trust, version.accepted.digest(), Some(&version.accepted)) {
            refusal.to_string()
        } else if let Err(refusal) = trust.authorize(&version.accepted, &counts) {
            match revoked {
                Some(key) if matches!(refusal, PolicyRefusal::Signers { .. }) => format!("key {key} is revoked"),
                _ => refusal.to_string(),
            }
        } else {
            continue;
        };
        say(stream, &why);
    }
}
