//! Which manifests reach the nodes of which pools.
//!
//! In:   the pools that manifests list, and what the policy says of pools. Out: [`Pools`]. Cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::name::PoolName;

use crate::policy::desk::Desk;

/// Pools and the manifests that reach them.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Sorted.
    names: Vec<PoolName>,
    /// For each manifest, which of `sets` it reaches.
    of_member: Vec<usize>,
    /// Distinct sets of pools, as positions in `names`, rising.
    sets: Vec<Vec<usize>>,
    /// For each pair of `sets`, the first common pool.
    common: Vec<Vec<Option<usize>>>,
}

impl Pools {
    /// `listed` has the pools of each manifest.
    pub(crate) fn new(listed: &[Vec<PoolName>], desk: Option<&Desk>) -> Self {
        let mentioned: BTreeSet<&PoolName> = listed.iter().flatten().collect();
        let reached = |pool: &PoolName| -> Vec<PoolName> {
            let known = desk.filter(|desk| desk.pools.is_some());
            let mut reached: Vec<PoolName> = match known {
                Some(desk) => desk.below(pool).into_iter().map(|(name, _)| name.clone()).collect(),
                // MCO: a custom pool selects role `worker` and its own role.
                None if pool.as_str() == "worker" => {
                    let custom = |name: &&&PoolName| !matches!(name.as_str(), "master" | "arbiter");
                    mentioned.iter().filter(custom).map(|name| (*name).clone()).collect()
                }
                None => Vec::new(),
            };
            reached.push(pool.clone());
            reached
        };
        let reached: BTreeMap<&PoolName, Vec<PoolName>> = mentioned.iter().map(|pool| (*pool, reached(pool))).collect();
        let names: BTreeSet<&PoolName> = reached.values().flatten().collect();
        let names: Vec<PoolName> = names.into_iter().cloned().collect();
        let mut ids = BTreeMap::new();
        let of_member = listed
            .iter()
            .map(|pools| {
                let all: BTreeSet<usize> = pools
                    .iter()
                    .filter_map(|pool| reached.get(pool))
                    .flatten()
                    .filter_map(|pool| names.binary_search(pool).ok())
                    .collect();
                let next = ids.len();
                *ids.entry(all.into_iter().collect::<Vec<_>>()).or_insert(next)
            })
            .collect();
        let mut sets = vec![Vec::new(); ids.len()];
        for (set, id) in ids {
            sets[id] = set;
        }
        let common = |a: &Vec<usize>| sets.iter().map(|b| a.iter().find(|pool| b.contains(pool)).copied()).collect();
        let common = sets.iter().map(common).collect();
        Self { names, of_member, sets, common }
    }

    /// All pools that a manifest reaches, sorted.
    pub(crate) fn names(&self) -> &[PoolName] {
        &self.names
    }

    /// Whether a manifest reaches the pool at this position of [`Pools::names`].
    pub(crate) fn has(&self, member: usize, pool: usize) -> bool {
        self.sets[self.of_member[member]].binary_search(&pool).is_ok()
    }

    /// Positions of the pools that a manifest reaches, rising.
    pub(super) fn of(&self, member: usize) -> &[usize] {
        &self.sets[self.of_member[member]]
    }

    /// Whether some pool gets both manifests.
    pub(super) fn share(&self, one: usize, other: usize) -> bool {
        self.common[self.of_member[one]][self.of_member[other]].is_some()
    }

    /// The first pool that gets both manifests.
    pub(super) fn shared(&self, one: usize, other: usize) -> Option<&PoolName> {
        self.common[self.of_member[one]][self.of_member[other]].map(|pool| &self.names[pool])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<PoolName> {
        names.iter().map(|name| PoolName::try_from(*name).unwrap()).collect()
    }

    #[test]
    fn without_a_policy_custom_pools_get_what_workers_get() {
        let pools = Pools::new(&[names(&["worker"]), names(&["edge"]), names(&["master"]), names(&["gpu"])], None);
        let shared = |a, b| pools.shared(a, b).map(PoolName::as_str);
        assert_eq!(shared(0, 1), Some("edge"));
        assert_eq!(shared(0, 3), Some("gpu"));
        assert_eq!(shared(0, 2), None);
        assert_eq!(shared(1, 3), None);
        assert_eq!(pools.names(), names(&["edge", "gpu", "master", "worker"]));
    }
}
