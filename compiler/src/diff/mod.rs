//! Diff: what changes from one set of compiled output to another, for people, for review, and for nodes.
//!
//! In:   two [`Side`]s, the releases and the disruption policy to judge by. Out: [`Report`]; empty for equal sides.
//! May fail with: NB0540 (something that should be compared cannot be read).
//!
//! Signatures are listed, not checked (that is `verify`). What the nodes of a pool get is what the operator renders for
//! it ([`crate::mco`]), so a canary's bundle hides the one its pool inherits.

pub mod kustomization;
pub mod markdown;
pub mod order;
pub mod others;
pub mod policy;
pub mod pools;
pub mod side;
mod stranded;
pub mod stream;
pub mod text;
pub mod trust;
mod uninstalled;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::applies::OcpVersion;
use serde::Serialize;

use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    mco::{self, render},
};
use order::OrderDiff;
use policy::PolicyDiff;
use pools::PoolDiff;
use side::{Node, Place, Side};
use stranded::Stranded;
use stream::StreamDiff;
use trust::TrustDiff;

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// The policy of `--policy`; `None` takes that of the sides, or `install`'s.
    pub policy: Option<mco::policy::Policy>,
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
    /// The disruption policy, if nodes will decide in another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyDiff>,
    /// What the operator does, by pool.
    pub pools: Vec<PoolDiff>,
    /// Objects that differ and that nodes may act upon, in ways that nothing here follows: kind and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// What to mind of the new side, whatever changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Which policy was looked at, and what to mind about it.
    pub notes: Vec<String>,
}

impl Report {
    /// Nothing changes for any node, nor how nodes will take later changes.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
            && self.order.is_empty()
            && self.trust.is_empty()
            && self.policy.is_none()
            && self.pools.is_empty()
            && self.others.is_empty()
    }

    /// Says what is not in the answer.
    fn not_judged(&self) -> Option<String> {
        let shown = self.others.iter().take(OTHERS_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.others.len() {
            0 => None,
            1 => Some(format!("1 object that changes is not judged, and nodes may act upon it: {shown}")),
            count => {
                let more = match count.saturating_sub(OTHERS_SHOWN) {
                    0 => String::new(),
                    more => format!(" and {more} more, which --json names"),
                };
                Some(format!("{count} objects that change are not judged, and nodes may act upon them: {shown}{more}"))
            }
        }
    }
}

/// So many of the objects that are not judged are named.
const OTHERS_SHOWN: usize = 20;

/// What one side gives nodes; what cannot be read of it is reported.
fn look(side: &Side, name: &str, place: &Place, diags: &mut Diagnostics) -> Node {
    let node = side.node(place);
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
    let mut report = Report { others: old.others.differing(&new.others), ..Report::default() };
    for note in old.notes.iter().chain(&new.notes) {
        if !report.notes.contains(note) {
            report.notes.push(note.clone());
        }
    }
    let given = options.policy.is_some();
    // A tree, bundles or Ignition configs beside MachineConfigs: the same streams in another form.
    if let Some(form) = forms(old, new) {
        // What is not for a cluster has no policy by its nature.
        if old.policy.is_some() && new.policy.is_some() {
            report.policy = policy::compare(old, new, given);
        }
        across(&form, &mut report, diags);
        return report;
    }
    report.policy = policy::compare(old, new, given);
    let mut places: BTreeSet<Place> = old.places().into_iter().chain(new.places()).collect();
    places.insert(Place::Loose);
    for place in &places {
        let was = look(old, "old", place, diags);
        let is = look(new, "new", place, diags);
        let label = place.label();
        let pool = match place {
            Place::Pool(pool) => pools::compare(pool, &was, &is, old, new, options),
            Place::Image(_) | Place::Loose => None,
        };
        let stranded = Stranded::of(&was.rendered, &is.rendered, pool.as_ref());
        stream::compare(label, &was, &is, stranded.as_ref(), &mut report.streams);
        trust::compare(label, &was, &is, &mut report.trust);
        order::compare(label, &was, &is, &mut report.order);
        report.pools.extend(pool);
    }
    report.streams.sort_by(|a, b| (&a.stream, &a.pools).cmp(&(&b.stream, &b.pools)));
    if !report.is_empty() {
        report.warnings = uninstalled::warnings(new, &mut report.pools);
    }
    if !report.pools.is_empty() {
        report.notes.extend(pools::notes(old, new, options));
    }
    report
}

/// How much a side says about who gets what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Loose,
    Images,
    Pools,
}

fn form(side: &Side) -> Form {
    let places = side.places();
    let is_pool = |place: &Place| matches!(place, Place::Pool(_));
    match places.iter().next() {
        // A tree without bundles, as `install` writes it.
        None if side.others.has_image() => Form::Images,
        None => Form::Loose,
        Some(_) if places.iter().any(is_pool) => Form::Pools,
        Some(_) => Form::Images,
    }
}

/// Two sides of different form.
struct Across<'a> {
    /// The one that says less, with its name.
    loose: (&'a Side, &'static str),
    /// The other.
    pooled: (&'a Side, &'static str),
    loose_is_old: bool,
}

/// Whether the sides have different forms; `None`, too, if one has nothing, or one has both.
fn forms<'a>(old: &'a Side, new: &'a Side) -> Option<Across<'a>> {
    let (was, is) = (form(old), form(new));
    let across = match was.cmp(&is) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => Across { loose: (old, "old"), pooled: (new, "new"), loose_is_old: true },
        std::cmp::Ordering::Greater => Across { loose: (new, "new"), pooled: (old, "old"), loose_is_old: false },
    };
    let higher = form(across.pooled.0);
    let own = |place: &Place| match place {
        Place::Pool(_) => Form::Pools,
        Place::Image(_) => Form::Images,
        Place::Loose => Form::Loose,
    };
    let places = |side: &Side| -> Vec<Place> { side.places().into_iter().chain([Place::Loose]).collect() };
    let has = |side: &Side, place: &Place| !side.node(place).is_empty();
    let both = places(across.pooled.0)
        .iter()
        .any(|place| own(place) < higher && !across.pooled.0.node(place).streams.is_empty());
    let nothing =
        !across.loose.0.others.has_image() && !places(across.loose.0).iter().any(|place| has(across.loose.0, place));
    (!both && !nothing).then_some(across)
}

/// Compares a side that says less about who gets what with one that says more, pool by pool. Files and units are not
/// compared, because nothing of the side that says less comes by the operator.
fn across(forms: &Across<'_>, report: &mut Report, diags: &mut Diagnostics) {
    let Across { loose, pooled, loose_is_old } = *forms;
    let mut rest = look(loose.0, loose.1, &Place::Loose, diags);
    let images: BTreeMap<String, Node> = loose
        .0
        .places()
        .into_iter()
        .map(|place| (place.label().to_owned(), look(loose.0, loose.1, &place, diags)))
        .collect();
    // One image is taken for that of every pool; several are for those they name.
    let by_pool = images.len() > 1;
    if !by_pool {
        for image in images.values() {
            rest.streams.extend(image.streams.clone());
        }
    }
    let all = rest.clone();
    let mut compare = |label: &str, loose: &Node, pooled: &Node| {
        let (was, is) = if loose_is_old { (loose, pooled) } else { (pooled, loose) };
        stream::compare(label, was, is, None, &mut report.streams);
        trust::compare(label, was, is, &mut report.trust);
        order::compare(label, was, is, &mut report.order);
    };
    let mut seen = BTreeSet::new();
    for place in pooled.0.places() {
        let pool = place.label();
        let node = look(pooled.0, pooled.1, &place, diags);
        let mut here = all.clone();
        // What is in another pool only is not missing here.
        here.streams.retain(|name, _| node.streams.contains_key(name));
        let image = [pool, render::WORKER].into_iter().filter(|from| render::selects(pool, from));
        if by_pool && let Some(from) = image.into_iter().find(|from| images.contains_key(*from)) {
            here.streams.extend(images[from].streams.clone());
            seen.insert(from.to_owned());
        }
        // Streams and installation often lie apart, and a tree's trust file is an anchor at another place.
        if here.trust.is_none() || node.trust.is_none() {
            here.trust.clone_from(&node.trust);
        }
        rest.streams.retain(|name, _| !node.streams.contains_key(name));
        compare(pool, &here, &node);
    }
    rest.trust = None;
    compare(Place::Loose.label(), &rest, &Node::default());
    if by_pool {
        for (pool, image) in images.iter().filter(|(pool, _)| !seen.contains(*pool)) {
            compare(pool, image, &Node::default());
        }
    }
    report.streams.sort_by(|a, b| (&a.stream, &a.pools).cmp(&(&b.stream, &b.pools)));
    let (says, which) = if by_pool { ("has images", "the pool of its name") } else { ("has no pools", "every pool") };
    report.notes.push(format!(
        "the {} side {says}: its streams are compared with those of {which} of the {} side, files and units are not",
        loose.1, pooled.1
    ));
}
