//! Desk: the rules of a policy that are judged before anything reaches a node, and never on one.
//!
//! In:   the raw policy. Out: [`Desk`].
//! May fail with: NB0301, NB0302, NB0305, NB0306 (names, numbers, lists), NB0343 (range), NB0390 (pools), NB0396 (sizes).
//!
//! Nodes do not know their pool, what else runs on the cluster, or which ticket system is used: so it cannot be there.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::{
    hook::Hook,
    name::{IfGlob, PoolName},
    priority::Band,
    selector::{Overlap, Selector},
};

use super::{
    neighbours::{self, NeighbourId},
    raw,
};
use crate::{
    check::{LIST_MAX_NAMES, all, metadata_names as names, name, not_too_many, unique},
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    source::{Span, Spanned},
    suggest::nearest,
    yaml::types::Scalar,
};

/// Longest `maxDays`: a hundred years.
const MAX_DAYS: i64 = 36_500;

/// What is judged at the desk.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// Pools by name; `None` if the policy says nothing of pools.
    pub(crate) pools: Option<BTreeMap<PoolName, Pool>>,
    /// Priorities of others.
    pub(crate) reserved: Vec<ReservedRange>,
    /// Form of a bug patch's reference.
    pub(crate) reference: Option<Spanned<String>>,
    /// Longest life of a bug patch, in days.
    pub(crate) max_days: Option<Spanned<u32>>,
    /// Other eBPF on the cluster; `None` if the policy says nothing of it.
    pub(crate) neighbours: Option<Vec<Neighbour>>,
}

/// A machine config pool.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) inherits: Option<PoolName>,
    pub(crate) control_plane: bool,
    pub(crate) allow_closed: bool,
    pub(crate) span: Span,
}

/// Priorities of somebody else on a hook.
#[derive(Clone, Debug)]
pub(crate) struct ReservedRange {
    pub(crate) hook: Hook,
    pub(crate) band: Band,
    pub(crate) reason: String,
    pub(crate) span: Span,
}

/// Other eBPF on this cluster.
#[derive(Clone, Debug)]
pub(crate) struct Neighbour {
    pub(crate) facts: neighbours::Neighbour,
    /// Where it runs, if the policy says it. Sorted.
    pub(crate) interfaces: Option<Vec<IfGlob>>,
    pub(crate) span: Span,
}

impl Neighbour {
    /// Whether it may be on an interface that `selector` means.
    pub(crate) fn may_be_on(&self, selector: &Selector) -> bool {
        let meets = |glob: &IfGlob| selector.overlap(&Selector::name(glob.clone())) == Overlap::Perhaps;
        self.interfaces.as_ref().is_none_or(|globs| globs.iter().any(meets))
    }
}

impl Desk {
    /// `pool` and all pools whose nodes get its MachineConfigs.
    pub(crate) fn below<'a>(&'a self, pool: &'a PoolName) -> Vec<(&'a PoolName, &'a Pool)> {
        let Some(pools) = &self.pools else { return Vec::new() };
        let gets = |name: &PoolName| {
            let mut at = Some(name);
            while let Some(name) = at.filter(|name| *name != pool) {
                at = pools.get(name).and_then(|pool| pool.inherits.as_ref());
            }
            at.is_some()
        };
        pools.iter().filter(|(name, _)| gets(name)).collect()
    }
}

pub(super) fn check(spec: &raw::Spec, diags: &mut Diagnostics) -> Option<Desk> {
    let pools = match &spec.pools {
        Some(dict) if !few_pools(&dict.0, diags) => None,
        Some(dict) => pools(&dict.0, diags).map(Some),
        None => Some(None),
    };
    let reserved = reserved(spec.reserved.as_ref(), diags);
    let patches = spec.bug_patches.as_ref();
    let reference = patches.and_then(|patches| patches.reference.clone());
    let max_days = match patches.and_then(|patches| patches.max_days.as_ref()) {
        None => Some(None),
        Some(number) => days(number, diags).map(Some),
    };
    let neighbours = match &spec.coexists_with {
        Some(list) => neighbours_here(&list.value, diags).map(Some),
        None => Some(None),
    };
    Some(Desk { pools: pools?, reserved: reserved?, reference, max_days: max_days?, neighbours: neighbours? })
}

/// Whether there are few enough to compare all with all.
fn few_pools(dict: &[(Spanned<String>, raw::Pool)], diags: &mut Diagnostics) -> bool {
    let first = dict.first().map(|(name, _)| name.span);
    first.is_none_or(|first| not_too_many(dict.len(), LIST_MAX_NAMES, "pools", first, diags))
}

fn pools(dict: &[(Spanned<String>, raw::Pool)], diags: &mut Diagnostics) -> Option<BTreeMap<PoolName, Pool>> {
    let pools = all(dict.iter().map(|(key, raw)| {
        let pool = name::<PoolName>(key, "pool", diags);
        let inherits = match &raw.inherits {
            Some(parent) => name::<PoolName>(parent, "pool", diags).map(|name| Some(name.value)),
            None => Some(None),
        };
        let control_plane = raw.control_plane.as_ref().is_some_and(|flag| flag.value);
        let allow_closed = raw.allow_closed.as_ref().map_or(!control_plane, |flag| flag.value);
        let span = raw.inherits.as_ref().map_or(key.span, |parent| parent.span);
        Some((pool?.value, Pool { inherits: inherits?, control_plane, allow_closed, span }))
    }))?;
    let pools: BTreeMap<_, _> = pools.into_iter().collect();
    let before = diags.error_count();
    for (name, pool) in &pools {
        inheritance(name, pool, &pools, diags);
    }
    Some(pools).filter(|_| diags.error_count() == before)
}

/// A pool inherits from a pool of workers that is there, and not from itself.
fn inheritance(name: &PoolName, pool: &Pool, pools: &BTreeMap<PoolName, Pool>, diags: &mut Diagnostics) {
    let Some(parent) = &pool.inherits else { return };
    let refused = |message: String| {
        Diagnostic::error(Code::PoolInheritance, message)
            .at(pool.span, "")
            .note("MCO: a custom pool takes the MachineConfigs of role `worker` and of its own role, of no other")
    };
    let Some(found) = pools.get(parent) else {
        let near = nearest(parent.as_str(), pools.keys().map(PoolName::as_str));
        diags.push(refused(format!("pool `{name}` inherits from `{parent}`, which is not in `pools`")).help(
            match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("add `{parent}: {{}}` to `pools`"),
            },
        ));
        return;
    };
    if found.control_plane || pool.control_plane {
        let which = if found.control_plane { parent } else { name };
        let message = format!("pool `{name}` inherits from `{parent}`, but `{which}` is a pool of the control plane");
        diags.push(refused(message).also(found.span, "this pool").help("inherit from `worker`, or remove `inherits`"));
        return;
    }
    let mut seen = BTreeSet::from([name]);
    let mut at = parent;
    while seen.insert(at) {
        match pools.get(at).and_then(|pool| pool.inherits.as_ref()) {
            Some(next) => at = next,
            None => return,
        }
    }
    let circle = one_of(seen.into_iter().map(PoolName::as_str));
    diags.push(refused(format!("pool `{name}` inherits from itself")).help(format!("break the circle of {circle}")));
}

fn reserved(raw: Option<&raw::Reserved>, diags: &mut Diagnostics) -> Option<Vec<ReservedRange>> {
    let Some(raw) = raw else { return Some(Vec::new()) };
    let hooks = [(Hook::Xdp, &raw.xdp), (Hook::Tc, &raw.tc)];
    let ranges = hooks.into_iter().filter_map(|(hook, list)| Some((hook, list.as_ref()?)));
    all(ranges.flat_map(|(hook, list)| list.value.iter().map(move |range| (hook, range))).map(|(hook, range)| {
        let band = super::band(&range.priorities, "priorities", diags);
        Some(ReservedRange { hook, band: band?, reason: shown(range.reason.value.trim()), span: range.priorities.span })
    }))
}

fn days(number: &Spanned<i64>, diags: &mut Diagnostics) -> Option<Spanned<u32>> {
    let days = u32::try_from(number.value).ok().filter(|_| (1..=MAX_DAYS).contains(&number.value));
    if days.is_none() {
        let message = format!("`maxDays` must be from 1 to {MAX_DAYS}, not {}", number.value);
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
    }
    days.map(|days| Spanned::new(days, number.span))
}

fn neighbours_here(list: &[raw::Neighbour], diags: &mut Diagnostics) -> Option<Vec<Neighbour>> {
    let word = |raw: &raw::Neighbour| match raw {
        raw::Neighbour::Anywhere(word) => word.0.clone(),
        raw::Neighbour::On(on) => on.name.0.clone(),
    };
    let words: Vec<Spanned<NeighbourId>> = list.iter().map(word).collect();
    let named = words.iter().map(|id| (id.value, id.span));
    unique(named, |id| format!("`{}`", id.facts().name), diags);
    all(list.iter().zip(words).map(|(raw, id)| {
        let interfaces = match raw {
            raw::Neighbour::Anywhere(_) => Some(None),
            raw::Neighbour::On(on) => names::<IfGlob>(&on.interfaces, "interfaces", "interface", diags).map(Some),
        };
        let interfaces = interfaces?.map(|globs| {
            let mut globs: Vec<_> = globs.into_iter().map(|glob| glob.value).collect();
            globs.sort();
            globs
        });
        Some(Neighbour { facts: id.value.facts(), interfaces, span: id.span })
    }))
}

/// A size in bytes.
pub(super) fn size(raw: &raw::Size, key: &str, diags: &mut Diagnostics) -> Option<u64> {
    let bytes = match &raw.0.value {
        Scalar::Int(number) => u64::try_from(*number).ok(),
        Scalar::Text(text) => bytes(text),
        Scalar::Bool(_) => None,
    };
    let bytes = bytes.filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        let written = match &raw.0.value {
            Scalar::Int(number) => number.to_string(),
            Scalar::Text(text) => shown(text),
            Scalar::Bool(value) => value.to_string(),
        };
        diags.push(
            Diagnostic::error(Code::BadSize, format!("`{key}` is `{written}`, which is no size"))
                .at(raw.0.span, "must be a number of bytes from 1, or one with Ki, Mi or Gi")
                .help("for example `16Mi`, or `16777216`"),
        );
    }
    bytes
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return None,
    };
    let sound = digits.starts_with(|c: char| ('1'..='9').contains(&c)) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| sound)?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_have_one_spelling() {
        for (text, want) in [
            ("1", Some(1)),
            ("16Mi", Some(16 << 20)),
            ("2Ki", Some(2048)),
            ("1Gi", Some(1 << 30)),
            ("0", None),
            ("", None),
            ("Mi", None),
            ("16M", None),
            ("16mi", None),
            ("+1", None),
            ("1 Mi", None),
            ("1.5Mi", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551615Ki", None),
        ] {
            assert_eq!(super::bytes(text), want, "case: {text}");
        }
    }
}
