//! Order: who runs before whom, across all streams of a pool.
//!
//! In:   what nodes of a pool get, before and after. Out: [`OrderDiff`]s. Cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::priority::Priority;
use serde::Serialize;

use super::side::Node;

/// A chain whose programs or order change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderDiff {
    /// Pools.
    pub pools: Vec<String>,
    /// Hook.
    pub place: String,
    /// Selector.
    pub interfaces: String,
    /// Programs before, as `stream/program (priority)`, first one first.
    pub from: Vec<String>,
    /// Programs after.
    pub to: Vec<String>,
}

type Chains = BTreeMap<(String, String), BTreeSet<(u16, String)>>;

/// Compares what one pool gets.
pub(super) fn compare(pool: &str, old: &Node, new: &Node, found: &mut Vec<OrderDiff>) {
    let (was, is) = (chains(old), chains(new));
    let places: BTreeSet<&(String, String)> = was.keys().chain(is.keys()).collect();
    for place in places {
        let list = |chains: &Chains| -> Vec<String> {
            let items = chains.get(place).into_iter().flatten();
            items.map(|(priority, name)| format!("{name} ({priority})")).collect()
        };
        let (from, to) = (list(&was), list(&is));
        // One program that comes or goes has no order to change.
        if from == to || (from.len() < 2 && to.len() < 2) {
            continue;
        }
        let diff =
            OrderDiff { pools: vec![pool.to_owned()], place: place.0.clone(), interfaces: place.1.clone(), from, to };
        let same = found.iter_mut().find(|other| {
            (&other.place, &other.interfaces, &other.from, &other.to)
                == (&diff.place, &diff.interfaces, &diff.from, &diff.to)
        });
        match same {
            Some(same) => same.pools.push(pool.to_owned()),
            None => found.push(diff),
        }
    }
}

fn chains(node: &Node) -> Chains {
    let mut chains = Chains::new();
    for (stream, version) in &node.streams {
        for program in &version.accepted.programs {
            for (attachment, priority) in program.attach.iter().filter_map(|at| Some((at, at.priority()?))) {
                for selector in attachment.interfaces() {
                    let place = (attachment.place(), selector.to_string());
                    let item = (Priority::get(priority), format!("{stream}/{}", program.name));
                    chains.entry(place).or_default().insert(item);
                }
            }
        }
    }
    chains
}
