//! Names: `worker-0` and `worker-0.example.com` are one node.
//!
//! In:  what nodes said under the names that their lines have, and the names of the list of nodes, if there is one.
//! Out: the newest of each node, under one name. Cannot fail.
//!
//! The journal has the host's own name, short or full as somebody has set it, and `oc` the node's name in the cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::Said;

/// Takes a short name for the full one if exactly one full name begins with it. The list of nodes has the last word: a
/// node goes by the name that it has there, and two names there are two nodes.
pub fn join<'a>(
    said: &'a BTreeMap<String, Said>,
    listed: Option<&'a BTreeMap<String, String>>,
) -> BTreeMap<&'a str, &'a Said> {
    let is_listed = |name: &str| listed.is_some_and(|nodes| nodes.contains_key(name));
    let all: BTreeSet<&str> =
        said.keys().chain(listed.into_iter().flat_map(BTreeMap::keys)).map(String::as_str).collect();
    let mut aliases = BTreeMap::new();
    for short in all.iter().copied().filter(|name| !name.contains('.')) {
        // `/` comes right after `.`.
        let (from, to) = (format!("{short}."), format!("{short}/"));
        let range = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        let mut full = all.range::<str, _>(range).copied();
        let (Some(full), None) = (full.next(), full.next()) else { continue };
        match (is_listed(short), is_listed(full)) {
            (true, true) => None,
            (true, false) => aliases.insert(full, short),
            (false, _) => aliases.insert(short, full),
        };
    }
    let mut joined: BTreeMap<&str, &Said> = BTreeMap::new();
    for (name, new) in said {
        let name = aliases.get(name.as_str()).copied().unwrap_or(name);
        match joined.get(name) {
            Some(old) if !is_newer(new, old) => {}
            _ => drop(joined.insert(name, new)),
        }
    }
    joined
}

/// By what the lines say; where that is nothing, by the order of the input.
fn is_newer(new: &Said, old: &Said) -> bool {
    if new.at < old.at { old.stamp.is_older(&new.stamp) } else { !new.stamp.is_older(&old.stamp) }
}
