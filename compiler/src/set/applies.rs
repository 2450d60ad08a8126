//! Which manifests may be on one node, by what they apply to.
//!
//! In:   `appliesTo` of all manifests. Out: [`Applies`]. Cannot fail.
//!
//! A node has one kernel, one release and one architecture: manifests whose ranges have nothing in common never meet.

use std::collections::BTreeMap;

use nodeplan::applies::{AppliesTo, Architecture, KernelRange, OcpRange};

/// For each pair of manifests, whether a node can be what both want.
#[derive(Debug)]
pub(super) struct Applies {
    kernels: Ranges,
    releases: Ranges,
    architectures: Vec<Vec<Architecture>>,
}

/// Ranges of one kind, each text once: a thousand manifests have few.
#[derive(Debug, Default)]
struct Ranges {
    /// For each manifest, which range it has; `None` for all.
    of_member: Vec<Option<usize>>,
    /// For each pair of ranges, whether something lies in both.
    common: Vec<Vec<bool>>,
}

impl Applies {
    pub(super) fn new<'a>(all: impl Iterator<Item = &'a AppliesTo> + Clone) -> Self {
        let kernels = all.clone().map(|one| one.kernel.as_ref().map(ToString::to_string));
        let releases = all.clone().map(|one| one.ocp.as_ref().map(ToString::to_string));
        Self {
            // All comparisons of a range must hold: those of two, one behind the other, are what both have.
            kernels: Ranges::new(kernels, |both| KernelRange::try_from(both).is_ok_and(|range| !range.is_empty())),
            releases: Ranges::new(releases, |both| OcpRange::try_from(both).is_ok_and(|range| !range.is_empty())),
            architectures: all.map(|one| one.architectures.clone()).collect(),
        }
    }

    /// Whether a manifest applies to every node of its pools.
    pub(super) fn anywhere(&self, member: usize) -> bool {
        let ranges = [&self.kernels, &self.releases];
        self.architectures[member].is_empty() && ranges.iter().all(|ranges| ranges.of_member[member].is_none())
    }

    /// Whether some node may get both manifests.
    pub(super) fn share(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.architectures[one], &self.architectures[other]);
        let machine = a.is_empty() || b.is_empty() || a.iter().any(|architecture| b.contains(architecture));
        machine && self.kernels.share(one, other) && self.releases.share(one, other)
    }
}

impl Ranges {
    fn new(texts: impl Iterator<Item = Option<String>>, holds: impl Fn(&str) -> bool) -> Self {
        let mut ids = BTreeMap::new();
        let of_member = texts.map(|text| {
            let next = ids.len();
            Some(*ids.entry(text?).or_insert(next))
        });
        let of_member = of_member.collect();
        let mut names = vec![""; ids.len()];
        for (text, id) in &ids {
            names[*id] = text;
        }
        let with = |a: &str| names.iter().map(|b| holds(&format!("{a} {b}"))).collect();
        Self { of_member, common: names.iter().map(|a| with(a)).collect() }
    }

    fn share(&self, one: usize, other: usize) -> bool {
        match (self.of_member[one], self.of_member[other]) {
            (Some(one), Some(other)) => self.common[one][other],
            (None, _) | (_, None) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applies(kernel: &str, ocp: &str, architectures: &[Architecture]) -> AppliesTo {
        AppliesTo {
            kernel: KernelRange::try_from(kernel).ok(),
            ocp: OcpRange::try_from(ocp).ok(),
            architectures: architectures.to_vec(),
        }
    }

    #[test]
    fn manifests_meet_where_all_of_it_does() {
        let (amd64, arm64) = ([Architecture::Amd64], [Architecture::Arm64]);
        for (name, one, other, want) in [
            ("anywhere", applies("", "", &[]), applies(">=6", ">=4.20", &amd64), true),
            ("kernels that touch", applies("<5.14.0-500", "", &[]), applies(">=5.14.0-500", "", &[]), false),
            ("kernels that overlap", applies("<=5.14.0-500", "", &[]), applies(">=5.14.0-500", "", &[]), true),
            ("releases apart", applies("", "<4.18", &[]), applies("", ">=4.18 <4.20", &[]), false),
            ("releases that overlap", applies("", "<=4.18", &[]), applies("", ">=4.18", &[]), true),
            ("machines apart", applies("", "", &amd64), applies("", "", &arm64), false),
            ("one of three apart", applies(">=6", "<4.18", &amd64), applies(">=6", ">=4.18", &amd64), false),
        ] {
            let both = [one, other];
            let found = Applies::new(both.iter());
            assert_eq!((found.share(0, 1), found.share(1, 0)), (want, want), "case: {name}");
            assert!(found.share(0, 0) && found.share(1, 1), "case: {name}");
        }
    }
}
