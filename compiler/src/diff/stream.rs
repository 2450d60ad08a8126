//! Streams: what of them changes.
//!
//! In:   what nodes of a pool get, before and after. Out: [`StreamDiff`]s. Cannot fail.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{
    side::{Node, Version},
    stranded::Stranded,
};
use crate::describe::{
    class::{self, Step, UpdateClass},
    diff::{self, Change},
};

/// What happens to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone; programs end by `onRemoval`.
    Removed,
    /// Another statement: everything in it is loaded anew.
    Changed,
    /// The same statement with other signatures: the loader keeps what runs.
    Signatures,
}

impl Kind {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Signatures => "signatures only",
        }
    }
}

/// One version of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// Revision.
    pub revision: u32,
    /// Owner.
    pub owner: String,
    /// Digest of the statement.
    pub statement: String,
    /// Keys whose signatures it carries; not checked.
    pub signers: Vec<String>,
}

/// One line of what a plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// `stream`, `order`, `program NAME` or `map NAME`.
    pub about: String,
    /// Property, or nothing for the thing itself.
    pub what: String,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// After.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// One stream that changes, in the pools in which it changes so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamDiff {
    /// Stream.
    pub stream: String,
    /// Pools; `-` is for bundles and Ignition configs.
    pub pools: Vec<String>,
    /// What happens.
    pub kind: Kind,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Shown>,
    /// After.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Shown>,
    /// Attachments with their update classes; none if the loader keeps what runs.
    pub attachments: Vec<Step>,
    /// Everything else that the two plans say differently; none for streams that come or go.
    pub changes: Vec<Line>,
    /// What to mind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl StreamDiff {
    /// What the loader would detach stays, because the loader goes as well.
    fn strand(&mut self, stranded: &Stranded) {
        if self.kind != Kind::Removed {
            return;
        }
        let mut steps = self.attachments.iter_mut().filter(|step| step.class == UpdateClass::Removed).peekable();
        if steps.peek().is_some() {
            self.warnings.push(stranded.warning());
        }
        steps.for_each(|step| step.class = UpdateClass::Kept);
    }

    /// Whether two pools see the same.
    fn same_change(&self, other: &Self) -> bool {
        // One pool may keep its loader, and another not.
        let (steps, theirs) = ((&self.attachments, &self.warnings), (&other.attachments, &other.warnings));
        (&self.stream, self.kind, &self.old, &self.new) == (&other.stream, other.kind, &other.old, &other.new)
            && steps == theirs
    }
}

/// Compares what one pool gets.
pub(super) fn compare(pool: &str, old: &Node, new: &Node, stranded: Option<&Stranded>, streams: &mut Vec<StreamDiff>) {
    let names: BTreeSet<&String> = old.streams.keys().chain(new.streams.keys()).collect();
    for name in names {
        let Some(mut diff) = stream(pool, name, old.streams.get(name), new.streams.get(name)) else { continue };
        if let Some(stranded) = stranded {
            diff.strand(stranded);
        }
        match streams.iter_mut().find(|other| other.same_change(&diff)) {
            Some(same) if same.pools.iter().any(|other| other == pool) => {}
            Some(same) => same.pools.push(pool.to_owned()),
            None => streams.push(diff),
        }
    }
}

fn stream(pool: &str, name: &str, old: Option<&Version>, new: Option<&Version>) -> Option<StreamDiff> {
    let kind = match (old, new) {
        (Some(was), Some(is)) if was.bundle == is.bundle => return None,
        (Some(was), Some(is)) if was.accepted.digest() == is.accepted.digest() => Kind::Signatures,
        (Some(_), Some(_)) => Kind::Changed,
        (None, _) => Kind::Added,
        (Some(_), None) => Kind::Removed,
    };
    let plan = |version: Option<&Version>| version.map(|version| &*version.accepted).cloned();
    let (was, is) = (plan(old), plan(new));
    let attachments = if kind == Kind::Signatures { Vec::new() } else { class::steps(was.as_ref(), is.as_ref()) };
    let changes = match (&was, &is) {
        (Some(was), Some(is)) => {
            let types = |version: Option<&Version>| version.map(|version| version.types.clone()).unwrap_or_default();
            diff::changes_in_words((was, &types(old)), (is, &types(new))).into_iter().map(line).collect()
        }
        _ => Vec::new(),
    };
    Some(StreamDiff {
        stream: name.to_owned(),
        pools: vec![pool.to_owned()],
        kind,
        old: old.map(shown),
        new: new.map(shown),
        attachments,
        changes,
        warnings: warnings(kind, old, new),
    })
}

fn warnings(kind: Kind, old: Option<&Version>, new: Option<&Version>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Kind::Changed, Some(was), Some(is)) = (kind, old, new) {
        let (from, to) = (was.accepted.revision, is.accepted.revision);
        if from == to {
            warnings.push(format!("revision {to} has other content than before: raise the revision"));
        } else if to < from {
            warnings.push(format!("revision {to} is lower than {from}: nodes refuse it below the stream's floor"));
        }
    }
    if new.is_some_and(|version| version.signers.is_empty()) {
        warnings.push("signed by nobody: nodes refuse it".to_owned());
    }
    warnings
}

fn shown(version: &Version) -> Shown {
    Shown {
        revision: version.accepted.revision.get(),
        owner: version.accepted.owner.to_string(),
        statement: version.accepted.digest().to_string(),
        signers: version.signers.iter().map(ToString::to_string).collect(),
    }
}

/// A change as a line of a report.
pub(super) fn line(change: Change) -> Line {
    match change {
        Change::Added(fact) => Line { about: fact.about, what: fact.what, from: None, to: Some(fact.value) },
        Change::Removed(fact) => Line { about: fact.about, what: fact.what, from: Some(fact.value), to: None },
        Change::Changed { from, to } => {
            Line { about: to.about, what: to.what, from: Some(from.value), to: Some(to.value) }
        }
    }
}
