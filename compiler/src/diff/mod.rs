//! Diff: what changes from one set of compiled output to another, for people, for review, and for nodes.
//!
//! In:   two [`Side`]s, the releases and the disruption policy to judge by. Out: [`Report`]; empty for equal sides.
//! May fail with: NB0540 (something that should be compared cannot be read).
//!
//! Signatures are listed, not checked (that is `verify`). What the nodes of a pool get is what the operator renders for
//! it ([`crate::mco`]), so a canary's bundle hides the one its pool inherits.

pub mod markdown;
pub mod order;
pub mod pools;
pub mod side;
pub mod stream;
pub mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use nodeplan::applies::OcpVersion;
use serde::Serialize;

use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    mco::{policy::Policy, render},
};
use order::OrderDiff;
use pools::PoolDiff;
use side::{Node, Side};
use stream::{StreamDiff, TrustDiff};

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policy of `--policy`; `None` takes that of the sides, or `install`'s.
    pub policy: Option<Policy>,
    /// Releases of `--ocp`; empty: any that has disruption policies on.
    pub releases: Vec<OcpVersion>,
    /// Nodes boot from images that the cluster builds: policies do not apply.
    pub on_cluster_layering: bool,
}

/// Everything that changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Streams, by name.
    pub streams: Vec<StreamDiff>,
    /// Chains whose order changes.
    pub order: Vec<OrderDiff>,
    /// Trust files.
    pub trust: Vec<TrustDiff>,
    /// What the operator does, by pool.
    pub pools: Vec<PoolDiff>,
    /// Which policy was looked at, and what to mind about it.
    pub notes: Vec<String>,
}

impl Report {
    /// Nothing changes for any node.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.order.is_empty() && self.trust.is_empty() && self.pools.is_empty()
    }
}

/// What one side gives the nodes of a pool; what cannot be read of it is reported.
fn look(side: &Side, name: &str, pool: Option<&str>, diags: &mut Diagnostics) -> Node {
    let node = side.node(pool);
    for why in &node.problems {
        diags.push(
            Diagnostic::error(Code::NotComparable, format!("the {name} side {why}"))
                .note("nothing is said of what cannot be read")
                .help("write it again with `nodebpf compile`, and see `nodebpf verify`"),
        );
    }
    node
}

/// Compares two sides.
pub fn diff(old: &Side, new: &Side, options: &Options, diags: &mut Diagnostics) -> Report {
    let mut report = Report::default();
    let pools = |side: &Side| render::pools(&side.configs);
    // A tree, bundles or Ignition configs beside MachineConfigs: the same streams in another form.
    let loose = |side: &Side, other: &Side| {
        pools(side).is_empty() && !pools(other).is_empty() && other.node(None).streams.is_empty()
    };
    if loose(old, new) && !old.node(None).is_empty() {
        across((old, "old"), (new, "new"), true, &mut report, diags);
        return report;
    }
    if loose(new, old) && !new.node(None).is_empty() {
        across((new, "new"), (old, "old"), false, &mut report, diags);
        return report;
    }
    let mut names: BTreeSet<Option<String>> = pools(old).into_iter().chain(pools(new)).map(Some).collect();
    // What is for no pool: bundles and Ignition configs.
    names.insert(None);
    for pool in &names {
        let was = look(old, "old", pool.as_deref(), diags);
        let is = look(new, "new", pool.as_deref(), diags);
        let label = pool.clone().unwrap_or_else(|| NO_POOL.to_owned());
        stream::compare(&label, &was, &is, &mut report);
        order::compare(&label, &was, &is, &mut report.order);
        if pool.is_some() {
            report.pools.extend(pools::compare(&label, &was.rendered, &is.rendered, old, new, options));
        }
    }
    report.streams.sort_by(|a, b| (&a.stream, &a.pools).cmp(&(&b.stream, &b.pools)));
    if !report.pools.is_empty() {
        report.notes = pools::notes(old, new, options);
    }
    report
}

/// Compares a side without pools with one that has nothing else: each stream with that of its name in every pool. Files
/// and units are not compared, because nothing of the side without pools comes by the operator.
fn across(
    loose: (&Side, &str),
    pooled: (&Side, &str),
    loose_is_old: bool,
    report: &mut Report,
    diags: &mut Diagnostics,
) {
    let mut rest = look(loose.0, loose.1, None, diags);
    let all = rest.clone();
    let mut compare = |label: &str, loose: &Node, pooled: &Node| {
        let (was, is) = if loose_is_old { (loose, pooled) } else { (pooled, loose) };
        stream::compare(label, was, is, report);
        order::compare(label, was, is, &mut report.order);
    };
    for pool in render::pools(&pooled.0.configs) {
        let node = look(pooled.0, pooled.1, Some(&pool), diags);
        let mut here = all.clone();
        // What is in another pool only is not missing here.
        here.streams.retain(|name, _| node.streams.contains_key(name));
        // Streams and installation often lie apart, and a tree's trust file is an anchor at another place.
        if here.trust.is_none() || node.trust.is_none() {
            here.trust.clone_from(&node.trust);
        }
        rest.streams.retain(|name, _| !node.streams.contains_key(name));
        compare(&pool, &here, &node);
    }
    rest.trust = None;
    compare(NO_POOL, &rest, &Node::default());
    report.streams.sort_by(|a, b| (&a.stream, &a.pools).cmp(&(&b.stream, &b.pools)));
    report.notes.push(format!(
        "the {} side has no pools: its streams are compared with those of every pool of the {} side, files and units are not",
        loose.1, pooled.1
    ));
}

/// Stands for the pool of what is for none.
const NO_POOL: &str = "-";
