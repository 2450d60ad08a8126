//! Chain: programs that keep others from running, or that an interface cannot take as it is.
//!
//! In:   the set, chain by chain. Out: reports, most of them warnings: verdicts are declared, packets are not known.
//! May fail with: NB0411 (passed packets skip), NB0412 (hides streams), NB0415 (fragments), NB0416 (bonds),
//! NB0417 (OVS bridge).

use nodeplan::{
    hook::{Attachment, TcVerdict},
    selector::{Selector, Target},
    xdp::{XdpAction, XdpMode},
};

use super::{Chain, Class, Item, Meeting, Set, index::Index};
use crate::{
    check::selectors,
    diag::{Code, Diagnostic, Diagnostics},
    source::Spanned,
};

/// The bridge that OVN-Kubernetes puts on the uplink.
const EXTERNAL_BRIDGE: &str = "br-ex";

pub(super) fn judge<'a>(set: &Set<'a>, chain: &Chain<'a>, diags: &mut Diagnostics) {
    for item in &chain.items {
        match &item.place.attachment {
            Attachment::Xdp(xdp) if !xdp.proceed_on.actions().contains(&XdpAction::Pass) => {
                diags.extend(skipped(set, chain, item));
            }
            Attachment::Tc(tc) if ends_for_others(&tc.verdicts) => diags.extend(hides(set, chain, item)),
            _ => {}
        }
        bridge(chain.class, item, diags);
    }
    if chain.class == Class::Xdp {
        frags(set, chain, diags);
        bonds(set, chain, diags);
    }
}

/// Verdicts that let a packet live and keep it from the programs behind. A dropped packet is nobody's loss.
pub(super) fn ends_for_others(verdicts: &[TcVerdict]) -> bool {
    verdicts.iter().any(|verdict| matches!(verdict, TcVerdict::Pass | TcVerdict::Redirect))
}

/// The program that runs next behind `item`, if any.
fn behind<'a>(
    set: &Set<'a>,
    chain: &Chain<'a>,
    item: &Item<'a>,
    accept: impl Fn(&Item<'a>) -> bool,
) -> Option<Meeting<'a>> {
    let later = |other: &Item<'a>| item.priority.runs_before(other.priority) && accept(other);
    let first = set.first_met(item, &chain.items, &chain.index, |_, other| later(other))?;
    // Of all that are behind it, the next one tells most; usually that is the first found already.
    let nearer = |other: &Item<'a>| later(other) && other.priority.runs_before(first.other.priority);
    set.first_met(item, &chain.items, &chain.index, |_, other| nearer(other)).or(Some(first))
}

fn skipped(set: &Set<'_>, chain: &Chain<'_>, item: &Item<'_>) -> Option<Diagnostic> {
    let Attachment::Xdp(xdp) = &item.place.attachment else { return None };
    let Meeting { own, other } = behind(set, chain, item, |_| true)?;
    let words: Vec<_> = xdp.proceed_on.actions().iter().map(|action| action.as_str()).collect();
    let message = format!("packets that `{}` passes skip {}", item.program.name.value, other.name_beside(item));
    Some(
        Diagnostic::warning(Code::SkippedOnPass, message)
            .at(item.place.verdicts, format_args!("goes on after {} only", words.join(", ")))
            .also(other.place.priority, format_args!("runs behind it on `{}`", own.value))
            .note(
                "libxdp: the next program runs only after a verdict that `proceedOn` names; without `pass`, after few",
            )
            .help("write `proceedOn: [pass]`, or give the other program a lower priority"),
    )
}

fn hides(set: &Set<'_>, chain: &Chain<'_>, item: &Item<'_>) -> Option<Diagnostic> {
    let Attachment::Tc(tc) = &item.place.attachment else { return None };
    let Meeting { own, other } = behind(set, chain, item, |other| other.member != item.member)?;
    let words: Vec<_> = tc.verdicts.iter().filter(|verdict| **verdict != TcVerdict::Next).map(|v| v.as_str()).collect();
    let message = format!("`{}` can end the chain before {}", item.program.name.value, other.name_beside(item));
    let diagnostic = Diagnostic::warning(Code::HidesStreams, message)
        .at(item.place.verdicts, format_args!("{} ends it", words.join(", ")))
        .also(other.place.priority, format_args!("runs behind it on `{}`", own.value))
        .note("kernel: every verdict of TCX but `next` ends the chain (linux net/core/dev.c, tcx_run)")
        .help("return TCX_NEXT and declare `verdicts: [next]`, or let the other program run first");
    Some(match set.shared_pool(item, &other) {
        Some(note) => diagnostic.note(note),
        None => diagnostic,
    })
}

/// Programs with and without fragments on one interface: libxdp's dispatcher takes the lesser of them.
fn frags(set: &Set<'_>, chain: &Chain<'_>, diags: &mut Diagnostics) {
    let native =
        |item: &&Item<'_>| matches!(&item.place.attachment, Attachment::Xdp(xdp) if xdp.mode == XdpMode::Native);
    let (with, without): (Vec<Item<'_>>, Vec<Item<'_>>) =
        chain.items.iter().filter(native).copied().partition(|item| item.program.frags);
    let index = Index::new(with.iter().enumerate().map(|(at, item)| (at, item.place.interfaces.as_slice())));
    for item in &without {
        let Some(Meeting { own, other }) = set.first_met(item, &with, &index, |_, _| true) else { continue };
        let message = format!(
            "`{}` takes fragments away from {} on `{}`",
            item.program.name.value,
            other.name_beside(item),
            own.value
        );
        diags.push(
            Diagnostic::warning(Code::MixedFrags, message)
                .at(item.program.name.span, "is in section `xdp`")
                .also(other.program.name.span, "is in section `xdp.frags`")
                .note("libxdp: a dispatcher takes fragmented packets only if all its programs do")
                .note(
                    "kernel: without that, drivers refuse native XDP on an MTU above about 3.5 KiB: one page a packet",
                )
                .help("put both into SEC(\"xdp.frags\"), or neither"),
        );
    }
}

/// XDP on bonds: some bonds refuse it, and members refuse it while the bond has it.
fn bonds(set: &Set<'_>, chain: &Chain<'_>, diags: &mut Diagnostics) {
    for item in &chain.items {
        for selector in &item.place.interfaces {
            match &selector.value.target {
                Target::MembersOf(bond) => {
                    let mut on_bond = chain.index.named(bond.as_str()).map(|at| &chain.items[at]);
                    let Some(other) = on_bond.find(|other| set.share_a_node(item, other)) else { continue };
                    let message =
                        format!("XDP on the members of `{bond}` meets XDP of {} on it", other.name_beside(item));
                    diags.push(
                        Diagnostic::error(Code::BondXdp, message)
                            .at(selector.span, "these would be refused")
                            .also(other.place.span, "while this is attached")
                            .note(
                                "kernel: \"Cannot attach when an upper device already has a program\" (net/core/dev.c)",
                            )
                            .help("select the members for both programs, or the bond for both"),
                    );
                }
                Target::Name(glob) if glob.as_str().starts_with("bond") && is_native(item) => {
                    let message =
                        format!("cannot tell whether `{}` takes native XDP: it may be a bond", selector.value);
                    diags.push(
                        Diagnostic::warning(Code::BondXdp, message)
                            .at(selector.span, "")
                            .note(
                                "kernel: bonds of mode balance-tlb, balance-alb and broadcast, and those with \
                                 xmit_hash_policy vlan+srcmac, refuse it (drivers/net/bonding/bond_main.c)",
                            )
                            .help(format!(
                                "select its members: `membersOf: {}`",
                                glob.as_str().replace(['*', '?'], "0")
                            )),
                    );
                }
                Target::Name(_) | Target::Primary | Target::Driver(_) | Target::Mac(_) => {}
            }
        }
    }
}

fn is_native(item: &Item<'_>) -> bool {
    matches!(&item.place.attachment, Attachment::Xdp(xdp) if xdp.mode == XdpMode::Native)
}

/// A program on the OVS bridge sees what OVS hands to the host, not what the wire brings.
fn bridge(class: Class, item: &Item<'_>, diags: &mut Diagnostics) {
    // NB0383 and NB0384 say as much.
    let untold = |one: &&Spanned<Selector>| !selectors::tells_of_switch(&one.value, class == Class::Xdp);
    let meant = item.place.interfaces.iter().filter(|one| super::means(&one.value, EXTERNAL_BRIDGE));
    for selector in meant.filter(untold) {
        let exact = super::is_named(&selector.value, EXTERNAL_BRIDGE);
        let message = if exact {
            format!("`{EXTERNAL_BRIDGE}` is the OVS bridge of OVN-Kubernetes")
        } else {
            format!("`{}` means `{EXTERNAL_BRIDGE}`, the OVS bridge of OVN-Kubernetes", selector.value)
        };
        let diagnostic = Diagnostic::warning(Code::BridgePort, message)
            .at(selector.span, "")
            .note("packets reach it only after Open vSwitch; those of pods on other paths never do");
        let diagnostic = if is_native(item) {
            diagnostic.note("kernel: internal ports of OVS have no native XDP (net/openvswitch/vport-internal_dev.c)")
        } else {
            diagnostic
        };
        let diagnostic = diagnostic.help("select the uplink below it: `primary: true`");
        diags.push(if exact { diagnostic } else { diagnostic.help("or leave it out: `exclude: [br-ex]`") });
    }
}
