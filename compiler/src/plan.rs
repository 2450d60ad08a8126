//! Plan: a checked manifest to the node plan that is signed.
//!
//! In:   [`Checked`]. Out: [`NodePlan`], sorted; equal input gives equal bytes.
//! May fail with: NB0401 (too many programs), NB0402 (equal priority), NB0403 (two modes), NB0404 (contract).
//!
//! Pure. Order comes from names, never from the order in the manifest.

use nodeplan::{
    hook::{Attachment, XdpAttachment},
    limits,
    name::ProgramName,
    plan::{NodePlan, PLAN_VERSION, Program},
    selector::{Selector, Target},
    statement,
};

use crate::{
    check::{Checked, place::Place},
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
            object: program.objects.clone(),
            globals: program.globals.clone(),
            attach: attachments(&program.attach),
        })
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    let mut plan = NodePlan {
        plan_version: PLAN_VERSION,
        stream: checked.stream.value.clone(),
        owner: checked.owner.value.clone(),
        revision: checked.revision.value,
        intent: checked.intent,
        reference: checked.reference.clone(),
        pools,
        audience,
        applies_to: checked.applies_to.clone(),
        expires: checked.expires,
        on_expiry: checked.on_expiry,
        on_removal: checked.on_removal,
        rollback_floor: checked.rollback_floor,
        failure_policy: checked.failure_policy,
        stage: checked.stage,
        programs,
        maps: checked.maps.clone(),
    };
    plan.plan_version = plan.lowest_version();
    plan
}

/// Attachments of one program in an order that does not depend on the manifest's: by hook, place and selectors.
fn attachments(places: &[Place]) -> Vec<Attachment> {
    let mut attachments: Vec<_> = places.iter().map(|place| place.attachment.clone()).collect();
    attachments
        .sort_by_cached_key(|attachment| (attachment.hook(), attachment.interfaces().to_vec(), attachment.place()));
    attachments
}

/// An XDP program's place, with what the checks below look at.
#[derive(Clone, Copy)]
struct Xdp<'a> {
    name: &'a ProgramName,
    place: &'a Place,
    attachment: &'a XdpAttachment,
}

fn xdp_place<'a>(name: &'a ProgramName, place: &'a Place) -> Option<Xdp<'a>> {
    match &place.attachment {
        Attachment::Xdp(attachment) => Some(Xdp { name, place, attachment }),
        _ => None,
    }
}

/// Two programs that could meet on one interface must have an order and one mode; eleven do not fit.
fn conflicts(checked: &Checked, diags: &mut Diagnostics) {
    let places: Vec<Xdp<'_>> = checked
        .programs
        .iter()
        .flat_map(|program| program.attach.iter().filter_map(|place| xdp_place(&program.name.value, place)))
        .collect();
    for (at, one) in places.iter().enumerate() {
        for other in places[..at].iter().filter(|other| other.name != one.name) {
            let Some((interface, _)) = one.place.meeting(other.place) else { continue };
            if one.attachment.priority == other.attachment.priority {
                diags.push(equal_priority(*one, *other, &interface.value, &places));
            }
            if one.attachment.mode != other.attachment.mode {
                let message = format!(
                    "`{}` and `{}` want XDP modes {} and {} on `{}`",
                    one.name,
                    other.name,
                    one.attachment.mode.as_str(),
                    other.attachment.mode.as_str(),
                    interface.value,
                );
                diags.push(
                    Diagnostic::error(Code::ModesDiffer, message)
                        .at(one.place.mode, format_args!("{} for `{}`", one.attachment.mode.as_str(), one.name))
                        .also(other.place.mode, format_args!("{} for `{}`", other.attachment.mode.as_str(), other.name))
                        .note("kernel: an interface runs XDP in one mode")
                        .help("write the same `mode` for both"),
                );
            }
        }
    }
    too_many(&places, diags);
}

fn equal_priority(one: Xdp<'_>, other: Xdp<'_>, interface: &Selector, places: &[Xdp<'_>]) -> Diagnostic {
    let priority = one.attachment.priority;
    let taken: Vec<_> = places.iter().map(|place| place.attachment.priority.get()).collect();
    let free = (priority.get()..=limits::PRIORITY_MAX).find(|candidate| !taken.contains(candidate));
    Diagnostic::error(
        Code::EqualPriority,
        format!("priority {priority} on `{interface}` is already used by `{}`", other.name),
    )
    .at(one.place.priority, format_args!("`{}` asks for {priority} again", one.name))
    .also(other.place.priority, format_args!("`{}` takes {priority} here", other.name))
    .note("programs on one interface run in rising priority; equal priorities have no order")
    .maybe_help(free.map(|free| format!("pick a free value, for example `priority: {free}`")))
}

fn too_many(places: &[Xdp<'_>], diags: &mut Diagnostics) {
    let mut seen: Vec<&Selector> = Vec::new();
    for selector in places.iter().flat_map(|one| &one.place.interfaces) {
        if seen.contains(&&selector.value) {
            continue;
        }
        seen.push(&selector.value);
        let means = |other: &Spanned<Selector>| match (&other.value.target, &selector.value.target) {
            (Target::Name(other), Target::Name(one)) => other == one || (one.is_exact() && other.matches(one.as_str())),
            (other, one) => other == one,
        };
        let on_it: Vec<_> = places
            .iter()
            .filter_map(|one| Some((one.name, one.place.interfaces.iter().find(|other| means(other))?)))
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
