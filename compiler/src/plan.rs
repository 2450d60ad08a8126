//! Plan: a checked manifest to the node plan that is signed.
//!
//! In:   [`Checked`]. Out: [`NodePlan`], sorted; equal input gives equal bytes.
//! May fail with: NB0401 (too many programs), NB0402 (equal priority), NB0403 (two modes), NB0404 (contract).
//!
//! Pure. Order comes from names, never from the order in the manifest.

use nodeplan::{
    applies::AppliesTo,
    glob, limits,
    name::{IfGlob, ProgramName},
    plan::{Attachment, NodePlan, ObjectRef, PLAN_VERSION, Program, Selector, XdpAttachment},
    statement,
};

use crate::{
    check::{Checked, Xdp},
    diag::{Code, Diagnostic, Diagnostics},
    source::Spanned,
};

/// The plan of `checked`; `None` if an error was reported.
pub fn plan(checked: &Checked, diags: &mut Diagnostics) -> Option<NodePlan> {
    let before = diags.error_count();
    conflicts(checked, diags);
    let plan = build(checked);
    if let Err(error) = plan.check() {
        diags.push(Diagnostic::error(Code::PlanRefused, error).at(checked.stream.span, "in this stream"));
    }
    let size = statement::encode(&plan).len();
    if size > limits::STATEMENT_MAX_BYTES {
        let message = format!("the statement has {size} bytes; {} are allowed", limits::STATEMENT_MAX_BYTES);
        diags.push(
            Diagnostic::error(Code::PlanRefused, message)
                .at(checked.stream.span, "of this stream")
                .help("remove map entries, or split the stream"),
        );
    }
    (diags.error_count() == before).then_some(plan)
}

fn build(checked: &Checked) -> NodePlan {
    let mut pools: Vec<_> = checked.pools.iter().map(|pool| pool.value.clone()).collect();
    pools.sort();
    let mut audience: Vec<_> = checked.audience.iter().map(|audience| audience.value.clone()).collect();
    audience.sort();
    let mut programs: Vec<_> = checked
        .programs
        .iter()
        .map(|program| Program {
            name: program.name.value.clone(),
            object: ObjectRef { sha256: program.object, source_sha256: program.object },
            attach: attachments(&program.attach),
        })
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    NodePlan {
        plan_version: PLAN_VERSION,
        stream: checked.stream.value.clone(),
        owner: checked.owner.value.clone(),
        revision: checked.revision.value,
        intent: checked.intent,
        reference: checked.reference.clone(),
        pools,
        audience,
        applies_to: AppliesTo {
            kernel: checked.applies_to.kernel.clone(),
            architectures: checked.applies_to.architectures.clone(),
        },
        expires: checked.expires,
        on_expiry: checked.on_expiry,
        on_removal: checked.on_removal,
        programs,
        maps: checked.maps.clone(),
    }
}

/// Attachments of one program, by their first interface: selectors of one program are disjoint.
fn attachments(attach: &[Xdp]) -> Vec<Attachment> {
    let mut attachments: Vec<_> = attach
        .iter()
        .map(|xdp| {
            let mut names: Vec<_> = xdp.interfaces.iter().map(|glob| glob.value.clone()).collect();
            names.sort();
            (names, xdp)
        })
        .collect();
    attachments.sort_by(|(a, _), (b, _)| a.cmp(b));
    attachments
        .into_iter()
        .map(|(names, xdp)| {
            Attachment::Xdp(XdpAttachment {
                interfaces: names.into_iter().map(Selector::Name).collect(),
                mode: xdp.mode.value,
                priority: xdp.priority.value,
                proceed_on: xdp.proceed_on.clone(),
            })
        })
        .collect()
}

/// Two programs that could meet on one interface must have an order and one mode; eleven do not fit.
fn conflicts(checked: &Checked, diags: &mut Diagnostics) {
    let places: Vec<(&ProgramName, &Xdp)> = checked
        .programs
        .iter()
        .flat_map(|program| program.attach.iter().map(move |xdp| (&program.name.value, xdp)))
        .collect();
    for (at, (name, xdp)) in places.iter().enumerate() {
        for (other_name, other) in places[..at].iter().filter(|(other, _)| other != name) {
            let Some(interface) = meeting(xdp, other) else { continue };
            if xdp.priority.value == other.priority.value {
                diags.push(equal_priority((name, xdp), (other_name, other), interface, &places));
            }
            if xdp.mode.value != other.mode.value {
                let message = format!(
                    "`{name}` and `{other_name}` want XDP modes {} and {} on `{interface}`",
                    xdp.mode.value.as_str(),
                    other.mode.value.as_str()
                );
                diags.push(
                    Diagnostic::error(Code::ModesDiffer, message)
                        .at(xdp.mode.span, format_args!("{} for `{name}`", xdp.mode.value.as_str()))
                        .also(other.mode.span, format_args!("{} for `{other_name}`", other.mode.value.as_str()))
                        .note("kernel: an interface runs XDP in one mode")
                        .help("write the same `mode` for both"),
                );
            }
        }
    }
    too_many(&places, diags);
}

/// A selector of `a` that meets one of `b`.
fn meeting<'a>(a: &'a Xdp, b: &Xdp) -> Option<&'a IfGlob> {
    let meets = |x: &IfGlob| b.interfaces.iter().any(|y| glob::overlap(x.as_str(), y.value.as_str()));
    a.interfaces.iter().map(|x| &x.value).find(|x| meets(x))
}

fn equal_priority(
    (name, xdp): (&ProgramName, &Xdp),
    (other_name, other): (&ProgramName, &Xdp),
    interface: &IfGlob,
    places: &[(&ProgramName, &Xdp)],
) -> Diagnostic {
    let priority = xdp.priority.value;
    let taken: Vec<_> = places.iter().map(|(_, place)| place.priority.value.get()).collect();
    let free = (priority.get()..=limits::PRIORITY_MAX).find(|candidate| !taken.contains(candidate));
    Diagnostic::error(
        Code::EqualPriority,
        format!("priority {priority} on `{interface}` is already used by `{other_name}`"),
    )
    .at(xdp.priority.span, format_args!("`{name}` asks for {priority} again"))
    .also(other.priority.span, format_args!("`{other_name}` takes {priority} here"))
    .note("programs on one interface run in rising priority; equal priorities have no order")
    .maybe_help(free.map(|free| format!("pick a free value, for example `priority: {free}`")))
}

fn too_many(places: &[(&ProgramName, &Xdp)], diags: &mut Diagnostics) {
    let mut seen: Vec<&IfGlob> = Vec::new();
    for selector in places.iter().flat_map(|(_, xdp)| &xdp.interfaces) {
        if seen.contains(&&selector.value) {
            continue;
        }
        seen.push(&selector.value);
        let means = |other: &Spanned<IfGlob>| {
            other.value == selector.value || (selector.value.is_exact() && other.value.matches(selector.value.as_str()))
        };
        let on_it: Vec<_> = places
            .iter()
            .filter_map(|(name, xdp)| Some((name, xdp.interfaces.iter().find(|other| means(other))?)))
            .collect();
        if let Some((name, place)) = on_it.get(limits::DISPATCHER_SLOTS) {
            let message = format!(
                "`{}` has {} XDP programs; a dispatcher has {} slots",
                selector.value,
                on_it.len(),
                limits::DISPATCHER_SLOTS
            );
            diags.push(
                Diagnostic::error(Code::TooManyPrograms, message)
                    .at(place.span, format_args!("`{name}` does not fit"))
                    .help("move a program to another interface, or merge two programs into one"),
            );
        }
    }
}
