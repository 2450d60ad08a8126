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

/// Compares two sides.
pub fn diff(old: &Side, new: &Side, options: &Options, diags: &mut Diagnostics) -> Report {
    let mut report = Report::default();
    let mut names: BTreeSet<Option<String>> =
        render::pools(old.configs.iter().chain(&new.configs)).into_iter().map(Some).collect();
    // What is for no pool: bundles and Ignition configs.
    names.insert(None);
    for pool in &names {
        let mut look = |side: &Side, name: &str| {
            let node = side.node(pool.as_deref());
            for why in &node.problems {
                diags.push(
                    Diagnostic::error(Code::NotComparable, format!("the {name} side {why}"))
                        .note("nothing is said of what cannot be read")
                        .help("write it again with `nodebpf compile`, and see `nodebpf verify`"),
                );
            }
            node
        };
        let (was, is): (Node, Node) = (look(old, "old"), look(new, "new"));
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

/// Stands for the pool of what is for none.
const NO_POOL: &str = "-";
