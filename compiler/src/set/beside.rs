//! Beside: nodebpf's programs and other eBPF of the cluster (`coexistsWith`).
//!
//! In:   the set and the policy. Out: reports; where the policy does not say where something runs, they say so.
//! May fail with: NB0413 (verdicts hide others), NB0414 (interface is held), NB0418 (cgroup hook), NB0419 (name),
//! NB0420 (order).

use nodeplan::{
    hook::{Attachment, CgroupAttachType, TcAttachment, TcVerdict},
    selector::Target,
};

use super::{Chain, Class, Item, Set, anchors::has_program, chain::ends_for_others};
use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    policy::{Policy, desk::Neighbour, neighbours::Hold},
};

pub(super) fn judge(chain: &Chain<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    let neighbours = policy.and_then(|policy| policy.desk.neighbours.as_deref());
    for item in &chain.items {
        match (&item.place.attachment, neighbours) {
            (Attachment::Tc(tc), None) if ends_for_others(&tc.verdicts) => diags.push(cannot_tell(item, tc)),
            (Attachment::Tc(tc), Some(neighbours)) => {
                for neighbour in neighbours {
                    beside_tc(chain.class, item, tc, neighbour, diags);
                }
            }
            (Attachment::Xdp(_), Some(neighbours)) => {
                diags.extend(neighbours.iter().filter_map(|neighbour| beside_xdp(item, neighbour)));
            }
            _ => {}
        }
    }
}

/// What ends the chain, in words.
fn ends(tc: &TcAttachment) -> String {
    let ends = tc.verdicts.iter().filter(|verdict| matches!(verdict, TcVerdict::Pass | TcVerdict::Redirect));
    ends.map(|verdict| format!("`{}`", verdict.as_str())).collect::<Vec<_>>().join(" and ")
}

const SKIPS: &str =
    "kernel: after any verdict but `next`, later TCX programs and all filters of classic TC are skipped";

fn cannot_tell(item: &Item<'_>, tc: &TcAttachment) -> Diagnostic {
    let message = format!("cannot tell whose filters verdict {} of `{}` hides", ends(tc), item.program.name.value);
    Diagnostic::warning(Code::HidesOthers, message)
        .at(item.place.verdicts, "ends the chain")
        .note(SKIPS)
        .help("return TCX_NEXT and declare `verdicts: [next]`; or list other eBPF in the policy: `coexistsWith: []`")
}

/// Whether the policy says that the neighbour is on an interface of the item; `None` if it is not there at all. Which
/// names a driver, an address, a bond or the default route has is not known at the desk.
fn certain(item: &Item<'_>, neighbour: &Neighbour) -> Option<bool> {
    let meeting = || item.place.interfaces.iter().filter(|selector| neighbour.may_be_on(&selector.value));
    meeting().next()?;
    let named = meeting().any(|selector| matches!(selector.value.target, Target::Name(_)));
    Some(named && neighbour.interfaces.is_some())
}

/// Where the policy says that the neighbour runs, in words.
fn whereabouts(neighbour: &Neighbour, certain: bool) -> String {
    match globs(neighbour) {
        None => "the policy does not say where it runs".to_owned(),
        Some(_) if certain => "runs on these interfaces".to_owned(),
        Some(globs) => format!("runs on {globs}, which the selector may mean"),
    }
}

/// The neighbour's interfaces as a list to write; `None` if the policy does not say.
fn globs(neighbour: &Neighbour) -> Option<String> {
    let globs = neighbour.interfaces.as_ref()?.iter().map(nodeplan::name::IfGlob::as_str);
    Some(format!("[{}]", globs.collect::<Vec<_>>().join(", ")))
}

fn beside_tc(class: Class, item: &Item<'_>, tc: &TcAttachment, neighbour: &Neighbour, diags: &mut Diagnostics) {
    let (Class::Tc(direction), Some(theirs)) = (class, &neighbour.facts.tc) else { return };
    if !theirs.programs.is_empty() && !theirs.programs.iter().any(|(there, _)| *there == direction) {
        return;
    }
    let Some(certain) = certain(item, neighbour) else { return };
    let follows = tc.after.as_ref().is_some_and(|name| has_program(&neighbour.facts, class, name.as_str()));
    let precedes = tc.before.as_ref().is_some_and(|name| has_program(&neighbour.facts, class, name.as_str()));
    // Behind it, nothing is hidden from what runs as TCX; classic filters come after all of TCX.
    if ends_for_others(&tc.verdicts) && !follows {
        diags.push(hides(class, item, tc, neighbour, certain));
    }
    if theirs.terminal && !follows && !precedes {
        diags.push(order_unknown(class, item, neighbour));
    }
}

fn hides(class: Class, item: &Item<'_>, tc: &TcAttachment, neighbour: &Neighbour, certain: bool) -> Diagnostic {
    let (program, name) = (&item.program.name.value, neighbour.facts.name);
    let diagnostic = if certain {
        let message = format!("verdict {} of `{program}` hides the programs of {name}", ends(tc));
        Diagnostic::error(Code::HidesOthers, message)
    } else {
        let message = format!("cannot tell whether verdict {} of `{program}` hides the programs of {name}", ends(tc));
        Diagnostic::warning(Code::HidesOthers, message)
    };
    diagnostic
        .at(item.place.verdicts, "ends the chain")
        .also(neighbour.span, whereabouts(neighbour, certain))
        .note(SKIPS)
        .note(source(neighbour))
        .help(format!(
            "return TCX_NEXT and declare `verdicts: [next]`; or run behind it with `after: {}`",
            anchor(class, neighbour)
        ))
}

/// A program of the neighbour in this chain, to write as an anchor.
fn anchor(class: Class, neighbour: &Neighbour) -> &'static str {
    let programs = neighbour.facts.tc.map_or(&[][..], |tc| tc.programs);
    let here = programs.iter().find(|(there, _)| class == Class::Tc(*there));
    here.map_or("ITS_PROGRAM", |(_, program)| *program)
}

fn source(neighbour: &Neighbour) -> String {
    format!("source: {}", neighbour.facts.source)
}

fn order_unknown(class: Class, item: &Item<'_>, neighbour: &Neighbour) -> Diagnostic {
    let (program, name) = (&item.program.name.value, neighbour.facts.name);
    let anchor = anchor(class, neighbour);
    let message = format!("cannot tell whether `{program}` runs at all beside {name}");
    Diagnostic::warning(Code::OrderUnknown, message)
        .at(item.place.span, "has neither `before` nor `after`")
        .also(neighbour.span, "its verdicts end the chain")
        .note("TCX has no priorities: without an anchor, who was attached first runs first")
        .help(format!("write `before: {anchor}`, or `after: {anchor}`"))
}

fn beside_xdp(item: &Item<'_>, neighbour: &Neighbour) -> Option<Diagnostic> {
    let xdp = neighbour.facts.xdp.filter(|xdp| xdp.hold != Hold::Libxdp)?;
    let there = certain(item, neighbour)?;
    let certain = there && !xdp.optional;
    let (program, name) = (&item.program.name.value, neighbour.facts.name);
    let does = match xdp.hold {
        Hold::Link => "holds interfaces by bpf_link, and shares them with nobody",
        Hold::Forced => "replaces XDP programs of others by force",
        Hold::Libxdp => return None,
    };
    let diagnostic = if certain {
        Diagnostic::error(Code::HeldByOthers, format!("`{program}` cannot share its interfaces with {name}"))
    } else {
        let message = format!("cannot tell whether `{program}` meets XDP of {name}");
        Diagnostic::warning(Code::HeldByOthers, message)
    };
    let place =
        if there && xdp.optional { "has XDP only if it is told to".to_owned() } else { whereabouts(neighbour, there) };
    let exclude = globs(neighbour).filter(|_| !there);
    Some(
        diagnostic
            .at(item.place.span, "")
            .also(neighbour.span, place)
            .note(format!("{name} {does}"))
            .note(source(neighbour))
            .maybe_help(
                exclude.map(|globs| format!("leave its interfaces out: add `exclude: {globs}` to the selector")),
            )
            .help(format!(
                "use hook `tc`, or other interfaces; if {name} is elsewhere, say where: \
                 `{{name: {name}, interfaces: [ens4]}}`"
            )),
    )
}

/// Cgroup hooks that others count as theirs.
pub(super) fn cgroups(set: &Set<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    let neighbours = policy.and_then(|policy| policy.desk.neighbours.as_deref()).unwrap_or_default();
    for member in set.members() {
        for (program, place) in
            member.checked.programs.iter().flat_map(|one| one.attach.iter().map(move |at| (one, at)))
        {
            let Attachment::Cgroup(cgroup) = &place.attachment else { continue };
            let (path, kind, program) = (cgroup.path.as_str(), cgroup.attach_type, &program.name.value);
            for neighbour in neighbours {
                if path == "/" && neighbour.facts.cgroup_root.contains(&kind) {
                    let name = neighbour.facts.name;
                    let message = format!("`{program}` is on {} of the root cgroup, as {name} is", kind.as_str());
                    diags.push(
                        Diagnostic::warning(Code::CgroupOwner, message)
                            .at(place.span, "")
                            .also(neighbour.span, "counts this hook as its own")
                            .note(source(neighbour))
                            .help("choose a cgroup below the root, such as `/system.slice`"),
                    );
                }
            }
            let packets = matches!(kind, CgroupAttachType::Ingress | CgroupAttachType::Egress);
            if packets && path.ends_with(".service") {
                diags.push(
                    Diagnostic::warning(
                        Code::CgroupOwner,
                        format!("cannot tell whether systemd lets others on `{path}`"),
                    )
                    .at(place.span, "")
                    .note(
                        "systemd: a unit with IPAddressAllow=, IPAddressDeny= or IPAccounting= has programs without \
                             BPF_F_ALLOW_MULTI, and the kernel refuses all others (systemd src/core/bpf-firewall.c)",
                    )
                    .help("choose the slice above it"),
                );
            }
        }
    }
}

/// Programs that others would take for their own.
pub(super) fn names(set: &Set<'_>, policy: Option<&Policy>, diags: &mut Diagnostics) {
    let neighbours = policy.and_then(|policy| policy.desk.neighbours.as_deref()).unwrap_or_default();
    for program in set.members().iter().flat_map(|member| &member.checked.programs) {
        for neighbour in neighbours {
            let starts = |prefix: &&&str| program.name.value.as_str().starts_with(**prefix);
            let Some(prefix) = neighbour.facts.prefixes.iter().find(starts) else { continue };
            let name = neighbour.facts.name;
            diags.push(
                Diagnostic::warning(
                    Code::ForeignName,
                    format!("program `{}` is named like one of {name}", program.name.value),
                )
                .at(program.name.span, format_args!("begins with `{prefix}`"))
                .also(neighbour.span, "knows its programs by that")
                .note(format!("{name} removes programs with its prefix that it does not expect"))
                .help("rename the function in the C source"),
            );
        }
    }
}
