//! Anchors: `before` and `after` of TC programs, against priorities and against what is known.
//!
//! In:   the set, chain by chain. Out: reports.
//! May fail with: NB0408 (unknown), NB0409 (contradiction), NB0410 (ambiguous).
//!
//! Priorities order nodebpf's programs completely, so that a circle always holds one of two things: an anchor between
//! two of ours against their priorities, or two of ours around one program of others in the wrong order.

use std::collections::BTreeMap;

use nodeplan::{hook::Attachment, limits, name::ProgramName};

use super::{Chain, Class, Item, Set};
use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    policy::{
        Policy,
        neighbours::{Neighbour, NeighbourId},
    },
    source::Span,
    suggest::nearest,
};

/// Which side of its anchor a program wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

impl Side {
    fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// One `before` or `after`.
#[derive(Clone, Copy)]
struct Anchor<'i, 'a> {
    item: &'i Item<'a>,
    side: Side,
    name: &'a ProgramName,
    span: Span,
}

pub(super) fn judge<'a>(set: &Set<'a>, chain: &Chain<'a>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    let Class::Tc(_) = chain.class else { return };
    let mut by_name: BTreeMap<&ProgramName, Vec<usize>> = BTreeMap::new();
    for (at, item) in chain.items.iter().enumerate() {
        by_name.entry(&item.program.name.value).or_default().push(at);
    }
    let mut foreign: BTreeMap<&ProgramName, Vec<Anchor<'_, 'a>>> = BTreeMap::new();
    for anchor in chain.items.iter().flat_map(anchors) {
        let named = by_name.get(anchor.name).map_or(&[][..], Vec::as_slice);
        let named = named.iter().map(|at| &chain.items[*at]).filter(|other| set.share_a_node(anchor.item, other));
        let named: Vec<_> = named.collect();
        if named.is_empty() {
            unknown(chain, anchor, policy, &by_name, diags);
            foreign.entry(anchor.name).or_default().push(anchor);
        } else {
            among_ours(anchor, &named, diags);
        }
    }
    for around in foreign.values() {
        contradictions(set, around, diags);
    }
}

fn anchors<'i, 'a>(item: &'i Item<'a>) -> Vec<Anchor<'i, 'a>> {
    let Attachment::Tc(tc) = &item.place.attachment else { return Vec::new() };
    let [before, after] = item.place.anchors;
    [(Side::Before, &tc.before, before), (Side::After, &tc.after, after)]
        .into_iter()
        .filter_map(|(side, name, span)| Some(Anchor { item, side, name: name.as_ref()?, span }))
        .collect()
}

/// An anchor that is a program of ours: one only, and where the priorities say.
fn among_ours(anchor: Anchor<'_, '_>, named: &[&Item<'_>], diags: &mut Diagnostics) {
    let Anchor { item, side, name, span } = anchor;
    let met: Vec<_> = named.iter().filter(|other| item.place.meeting(other.place).is_some()).collect();
    if let [one, .., two] = met.as_slice()
        && one.member != two.member
    {
        diags.push(
            Diagnostic::error(Code::AnchorAmbiguous, format!("`{name}` is a program of two streams on the interface"))
                .at(span, format_args!("cannot be `{}` both", side.as_str()))
                .also(one.program.name.span, format_args!("of `{}`", one.checked.stream.value))
                .also(two.program.name.span, format_args!("of `{}`", two.checked.stream.value))
                .help("remove the anchor: priorities order nodebpf's programs"),
        );
        return;
    }
    let Some(other) = met.first() else {
        let message = format!("`{name}` is not on an interface where `{}` runs", item.program.name.value);
        diags.push(
            Diagnostic::warning(Code::AnchorUnknown, message)
                .at(span, "has no effect")
                .also(named[0].place.span, "its interfaces")
                .help("remove the anchor, or correct the interfaces"),
        );
        return;
    };
    let (first, last) = if side == Side::Before { (item, **other) } else { (**other, item) };
    if !first.priority.runs_before(last.priority) {
        let message = format!(
            "`{}` cannot run {} `{name}`: their priorities are {} and {}",
            item.program.name.value,
            side.as_str(),
            item.priority,
            other.priority
        );
        diags.push(
            Diagnostic::error(Code::AnchorOrder, message)
                .at(span, "against the priorities")
                .also(item.place.priority, format_args!("of `{}`", item.program.name.value))
                .also(other.place.priority, format_args!("of {}", other.name_beside(item)))
                .note("priorities order nodebpf's programs; lower runs first; anchors are for programs of others")
                .help("remove the anchor, or change a priority"),
        );
    }
}

/// The kernel knows programs by 15 characters.
fn same_name(one: &str, other: &str) -> bool {
    let cut = |name: &'_ str| name.len().min(limits::KERNEL_OBJ_NAME_BYTES);
    one == other || (one.len() >= limits::KERNEL_OBJ_NAME_BYTES && one[..cut(one)] == other[..cut(other)])
}

/// Whether a program of `neighbour` that is attached in this chain has this name.
pub(super) fn has_program(neighbour: &Neighbour, class: Class, name: &str) -> bool {
    let Class::Tc(direction) = class else { return false };
    let programs = neighbour.tc.map_or(&[][..], |tc| tc.programs);
    programs.iter().any(|(there, program)| *there == direction && same_name(name, program))
}

/// Reports an anchor that no program of ours and of `coexistsWith` has.
fn unknown(
    chain: &Chain<'_>,
    anchor: Anchor<'_, '_>,
    policy: Option<&Policy>,
    ours: &BTreeMap<&ProgramName, Vec<usize>>,
    diags: &mut Diagnostics,
) {
    let Anchor { item, side, name, span } = anchor;
    let here = policy.and_then(|policy| policy.desk.neighbours.as_deref());
    let known = |neighbour: &Neighbour| has_program(neighbour, chain.class, name.as_str());
    if here.is_some_and(|here| here.iter().any(|neighbour| known(&neighbour.facts))) {
        return;
    }
    let message = format!("cannot tell whether `{}` runs {} `{name}`", item.program.name.value, side.as_str());
    let diagnostic = Diagnostic::warning(Code::AnchorUnknown, message).at(span, "nobody is known to have it");
    let of_table = NeighbourId::NAMES.iter().map(|(_, id)| id.facts()).find(known);
    let Class::Tc(direction) = chain.class else { return };
    let programs = NeighbourId::NAMES.iter().filter_map(|(_, id)| id.facts().tc).flat_map(|tc| tc.programs);
    let words = programs.filter(|(there, _)| *there == direction).map(|(_, program)| *program);
    let near = nearest(name.as_str(), words.chain(ours.keys().map(|name| name.as_str())));
    diags.push(match (of_table, near) {
        (Some(neighbour), _) => diagnostic
            .note(format!("it is a program of {}, which the policy does not list", neighbour.name))
            .help(format!("add `{}` to `coexistsWith` of the policy, or remove the anchor", neighbour.name)),
        (None, Some(near)) => diagnostic.help(format!("did you mean `{near}`?")),
        (None, None) => diagnostic
            .note("without that program on a node, priorities alone decide")
            .help("give all manifests of the pool in one call, or correct the name"),
    });
}

/// Two of ours around one program of others, against their priorities.
fn contradictions(set: &Set<'_>, around: &[Anchor<'_, '_>], diags: &mut Diagnostics) {
    let side = |side: Side| around.iter().filter(move |anchor| anchor.side == side);
    for after in side(Side::After) {
        let wrong = |before: &&Anchor<'_, '_>| {
            after.item.priority.runs_before(before.item.priority)
                && set.share_a_node(before.item, after.item)
                && before.item.place.meeting(after.item.place).is_some()
        };
        let Some(before) = side(Side::Before).find(wrong) else { continue };
        let message = format!(
            "`{}` is after `{}`, and {}, which runs later, before it",
            after.item.program.name.value,
            after.name,
            before.item.name_beside(after.item),
        );
        diags.push(
            Diagnostic::error(Code::AnchorOrder, message)
                .at(after.span, format_args!("at priority {}", after.item.priority))
                .also(before.span, format_args!("at priority {}", before.item.priority))
                .note("no order has all three")
                .help(format!("give `{}` a priority above {}", after.item.program.name.value, before.item.priority)),
        );
    }
}
