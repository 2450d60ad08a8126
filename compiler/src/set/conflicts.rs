//! Conflicts: what cannot be on one node together.
//!
//! In:   the set, chain by chain. Out: reports.
//! May fail with: NB0401 (too many programs), NB0402 (equal priority), NB0403 (two modes), NB0406 (stream twice),
//! NB0407 (pool and parent), NB0421 (maps that libbpf would share).

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::{
    hook::{Attachment, Direction},
    limits,
    name::{PoolName, StreamName},
    selector::{Overlap, Selector},
    xdp::XdpMode,
};

use super::{Chain, Class, Item, Meeting, Set, index::Index};
use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    policy::{Policy, desk::Desk, neighbours::Hold},
    source::Span,
};

/// Programs that TCX holds on one interface and direction.
///
/// `BPF_MPROG_MAX` is 64, linux `include/linux/bpf_mprog.h`; the 64th is refused with ERANGE.
const TCX_MAX_PROGRAMS: usize = 63;

/// One stream is one manifest.
pub(super) fn streams(set: &Set<'_>, diags: &mut Diagnostics) {
    let mut seen: BTreeMap<&StreamName, usize> = BTreeMap::new();
    for (at, member) in set.members().iter().enumerate() {
        let stream = &member.checked.stream;
        let Some(first) = seen.get(&stream.value) else {
            seen.insert(&stream.value, at);
            continue;
        };
        diags.push(
            Diagnostic::error(Code::StreamTwice, format!("stream `{}` is in two manifests", stream.value))
                .at(stream.span, "again here")
                .also(set.members()[*first].checked.stream.span, "first here")
                .note("a stream is one bundle on a node: the later file would replace the earlier one")
                .help("give one of them another name, or make them one manifest"),
        );
    }
}

/// Maps that libbpf would make one, because both ask to be pinned by the same name. Here each stream has its own.
pub(super) fn pins(set: &Set<'_>, diags: &mut Diagnostics) {
    let mut by_name: BTreeMap<&str, Vec<(usize, Span)>> = BTreeMap::new();
    for (at, member) in set.members().iter().enumerate() {
        for map in &member.checked.pinned {
            let seen = by_name.entry(map.value.as_str()).or_default();
            if let Some((other, first)) = seen.iter().find(|(other, _)| set.meet(at, *other)) {
                let other = &set.members()[*other].checked.stream.value;
                let message = format!("map `{}` would be one with that of stream `{other}` under libbpf", map.value);
                diags.push(
                    Diagnostic::warning(Code::PinShared, message)
                        .at(map.span, "is a map of its own here")
                        .also(*first, format_args!("that of `{other}`"))
                        .note("libbpf: pinning LIBBPF_PIN_BY_NAME makes all maps of one name one map")
                        .note("nodebpf never lets streams share maps: what one writes the other does not see")
                        .help("put the programs into one manifest and one object, or rename one of the maps"),
                );
            }
            seen.push((at, map.span));
        }
    }
}

/// A pool and one that it inherits from: its nodes get the same file twice, if both are written. Where nothing is, the
/// list is what a canary needs: it permits both, and `compile --pool` writes one after the other.
pub(super) fn parent_pools(set: &Set<'_>, desk: &Desk, written: Option<&[PoolName]>, diags: &mut Diagnostics) {
    let wanted = written.unwrap_or_default();
    // MCO: a custom pool selects role `worker` and its own role. So it is assumed where the policy does not say.
    let assumed = desk.pools.is_none();
    for member in set.members() {
        let pools = || member.checked.pools.iter().filter(|pool| wanted.is_empty() || wanted.contains(&pool.value));
        for parent in pools() {
            let below: BTreeSet<&PoolName> = desk.below(&parent.value).into_iter().map(|(name, _)| name).collect();
            let inherits = |pool: &PoolName| {
                if assumed {
                    parent.value.as_str() == "worker" && !matches!(pool.as_str(), "master" | "arbiter")
                } else {
                    below.contains(pool)
                }
            };
            for pool in pools().filter(|pool| pool.value != parent.value) {
                if !inherits(&pool.value) {
                    continue;
                }
                let (canary, parent_pool) = (&pool.value, &parent.value);
                let diagnostic = if written.is_some() {
                    let message = format!("both pools `{canary}` and `{parent_pool}` are written");
                    Diagnostic::warning(Code::ParentPool, message)
                } else {
                    let message = format!("pools `{canary}` and `{parent_pool}` are both listed");
                    Diagnostic::note_only(Code::ParentPool, message)
                };
                let mut diagnostic = diagnostic
                    .at(pool.span, format_args!("inherits from `{}`", parent.value))
                    .also(parent.span, "reaches it anyway")
                    .note("MCO: the custom pool's file wins; forgotten there, an old revision stays for ever");
                if assumed {
                    diagnostic =
                        diagnostic.note("assumed, as the policy has no `pools`: custom pools inherit from `worker`");
                }
                diags.push(diagnostic.help(format!(
                    "for a canary, `compile --pool {canary}`, then `--pool {parent_pool}`, then delete the canary's \
                     object; else list `{parent_pool}` alone"
                )));
            }
        }
    }
}

/// Conflicts inside one chain.
pub(super) fn judge(set: &Set<'_>, chain: &Chain<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    priorities(set, chain, policy, diags);
    if chain.class == Class::Xdp {
        modes(set, chain, diags);
    }
    too_many(set, chain, policy, diags);
}

fn priorities(set: &Set<'_>, chain: &Chain<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    let mut buckets: BTreeMap<u16, Vec<Item<'_>>> = BTreeMap::new();
    for item in &chain.items {
        buckets.entry(item.priority.get()).or_default().push(*item);
    }
    for items in buckets.values().filter(|items| items.len() > 1) {
        let index = Index::new(items.iter().enumerate().map(|(at, item)| (at, item.place.interfaces.as_slice())));
        for (at, one) in items.iter().enumerate() {
            if let Some(meeting) = set.first_met(one, items, &index, |other, _| other < at) {
                diags.push(equal_priority(set, one, &meeting, chain, policy));
            }
        }
    }
}

fn equal_priority(
    set: &Set<'_>,
    one: &Item<'_>,
    meeting: &Meeting<'_>,
    chain: &Chain<'_>,
    policy: Option<&Policy>,
) -> Diagnostic {
    let (priority, other) = (one.priority, &meeting.other);
    let diagnostic = Diagnostic::error(
        Code::EqualPriority,
        format!("priority {priority} on `{}` is already used by {}", meeting.own.value, other.name_beside(one)),
    )
    .at(one.place.priority, format_args!("`{}` asks for {priority} again", one.program.name.value))
    .also(other.place.priority, format_args!("{} takes {priority} here", other.name_beside(one)));
    let diagnostic = match set.shared_pool(one, other) {
        Some(note) => diagnostic.note(note),
        None => diagnostic,
    };
    diagnostic
        .note("programs on one interface run in rising priority; equal priorities have no order")
        .maybe_help(free(one, chain, policy).map(|free| format!("pick a free value, for example `priority: {free}`")))
}

/// A priority that nobody who may be met has, inside the owner's band if that is known.
fn free(one: &Item<'_>, chain: &Chain<'_>, policy: Option<&Policy>) -> Option<u16> {
    let mut taken = vec![false; usize::from(limits::PRIORITY_MAX) + 1];
    for selector in &one.place.interfaces {
        chain.index.visit(&selector.value, |at| taken[usize::from(chain.items[at].priority.get())] = true);
    }
    let hook = one.place.attachment.hook();
    let owner = policy.and_then(|policy| policy.trust.owners.get(&one.checked.owner.value));
    let band = owner.and_then(|owner| owner.hooks.get(&hook)?.band);
    let reserved = |priority: u16| {
        let ranges = policy.map_or(&[][..], |policy| &policy.desk.reserved);
        ranges.iter().any(|range| range.hook == hook && within(range.band, priority))
    };
    let own = one.priority.get();
    (own..=limits::PRIORITY_MAX)
        .chain((0..own).rev())
        .find(|free| !taken[usize::from(*free)] && band.is_none_or(|band| within(band, *free)) && !reserved(*free))
}

fn within(band: nodeplan::priority::Band, priority: u16) -> bool {
    nodeplan::priority::Priority::try_from(i64::from(priority)).is_ok_and(|priority| band.contains(priority))
}

fn mode(item: &Item<'_>) -> Option<XdpMode> {
    match &item.place.attachment {
        Attachment::Xdp(xdp) => Some(xdp.mode),
        _ => None,
    }
}

/// Each interface runs XDP in one mode; the rarer mode is told about the other.
fn modes(set: &Set<'_>, chain: &Chain<'_>, diags: &mut Diagnostics) {
    let in_mode = |mode_: XdpMode| -> Vec<Item<'_>> {
        chain.items.iter().filter(|item| mode(item) == Some(mode_)).copied().collect()
    };
    let (mut many, mut few) = (in_mode(XdpMode::Native), in_mode(XdpMode::Skb));
    if many.len() < few.len() {
        std::mem::swap(&mut many, &mut few);
    }
    let index = Index::new(many.iter().enumerate().map(|(at, item)| (at, item.place.interfaces.as_slice())));
    for item in &few {
        let Some(Meeting { own, other }) = set.first_met(item, &many, &index, |_, _| true) else { continue };
        // The later one is told, as everywhere.
        let later_first = (item.place.span > other.place.span).then_some((item, &other));
        let (one, other) = later_first.unwrap_or((&other, item));
        let word = |item: &Item<'_>| mode(item).map_or("", XdpMode::as_str);
        let message = format!(
            "`{}` and {} want XDP modes {} and {} on `{}`",
            one.program.name.value,
            other.name_beside(one),
            word(one),
            word(other),
            own.value,
        );
        let label = |item: &Item<'_>| format!("{} for `{}`", word(item), item.program.name.value);
        let diagnostic = Diagnostic::error(Code::ModesDiffer, message)
            .at(one.place.variant, label(one))
            .also(other.place.variant, label(other))
            .note("kernel: an interface runs XDP in one mode")
            .help("write the same `mode` for both");
        diags.push(match set.shared_pool(one, other) {
            Some(note) => diagnostic.note(note),
            None => diagnostic,
        });
    }
}

/// Counts programs on each selector, pool by pool; slots of others who use libxdp count too.
fn too_many(set: &Set<'_>, chain: &Chain<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    for (at, (selector, _)) in chain.index.selectors().iter().enumerate() {
        let on_it = chain.index.surely(at);
        let others = if chain.class == Class::Xdp { libxdp_users(selector, policy) } else { Vec::new() };
        let max = match chain.class {
            Class::Xdp => limits::DISPATCHER_SLOTS.saturating_sub(others.len()),
            Class::Tc(_) => TCX_MAX_PROGRAMS,
        };
        if on_it.len() <= max {
            continue;
        }
        let mut by_pool: BTreeMap<usize, Vec<&Item<'_>>> = BTreeMap::new();
        for item in on_it.iter().map(|at| &chain.items[*at]) {
            set.pools.of(item.member).iter().for_each(|pool| by_pool.entry(*pool).or_default().push(item));
        }
        let crowded = by_pool.iter().filter(|(_, items)| items.len() > max);
        let found =
            crowded.map(|(pool, items)| (pool, on_one_node(set, items, max))).find(|(_, items)| items.len() > max);
        let Some((pool, items)) = found else { continue };
        diags.push(over(set, chain.class, selector, &set.pools.names()[*pool], &items, max, &others));
    }
}

/// Those of `items` that one node may get together, if they are more than `max`: kernels, releases and architectures
/// are ranges, and ranges of which any two meet meet all in one place. Perhaps not the most, but never too many.
fn on_one_node<'a, 'b>(set: &Set<'_>, items: &[&'a Item<'b>], max: usize) -> Vec<&'a Item<'b>> {
    let from = |first: usize| {
        let (mut together, mut particular): (Vec<&'a Item<'b>>, Vec<&'a Item<'b>>) = (Vec::new(), Vec::new());
        for item in items[first..].iter().chain(&items[..first]) {
            let anywhere = set.applies.anywhere(item.member);
            if anywhere || particular.iter().all(|other| set.share_a_node(item, other)) {
                together.push(*item);
                particular.extend((!anywhere).then_some(*item));
            }
        }
        together
    };
    let all = (0..items.len()).map(from).find(|together| together.len() > max);
    let mut all = all.unwrap_or_default();
    // The last one is told that it does not fit, as everywhere.
    all.sort_by_key(|item| item.place.span);
    all
}

fn over(
    set: &Set<'_>,
    class: Class,
    selector: &Selector,
    pool: &PoolName,
    items: &[&Item<'_>],
    max: usize,
    others: &[&str],
) -> Diagnostic {
    let count = items.len();
    let message = match class {
        Class::Xdp if others.is_empty() => {
            format!("`{selector}` has {count} XDP programs; a dispatcher has {max} slots")
        }
        Class::Xdp => format!("`{selector}` has {count} XDP programs; a dispatcher has {max} slots beside others'"),
        Class::Tc(Direction::Ingress) => format!("`{selector}` has {count} TC ingress programs; TCX takes {max}"),
        Class::Tc(Direction::Egress) => format!("`{selector}` has {count} TC egress programs; TCX takes {max}"),
    };
    let last = items[max];
    let means = last.place.interfaces.iter().find(|own| own.value.overlap(selector) == Overlap::Perhaps);
    let mut diagnostic = Diagnostic::error(Code::TooManyPrograms, message)
        .at(means.map_or(last.place.span, |own| own.span), format_args!("`{}` does not fit", last.program.name.value))
        .help("move a program to another interface, or merge two programs into one");
    if set.members().len() > 1 {
        diagnostic = diagnostic.note(format!("on nodes of pool `{pool}`"));
    }
    if !others.is_empty() {
        diagnostic = diagnostic.note(format!("one slot each is left for {} (`coexistsWith`)", others.join(", ")));
    }
    diagnostic
}

/// Others who take a slot of the dispatcher, as far as the policy says.
fn libxdp_users(selector: &Selector, policy: Option<&Policy>) -> Vec<&'static str> {
    let neighbours = policy.and_then(|policy| policy.desk.neighbours.as_deref()).unwrap_or_default();
    let shares = |neighbour: &&crate::policy::desk::Neighbour| {
        neighbour.facts.xdp.is_some_and(|xdp| xdp.hold == Hold::Libxdp) && neighbour.may_be_on(selector)
    };
    neighbours.iter().filter(shares).map(|neighbour| neighbour.facts.name).collect()
}
