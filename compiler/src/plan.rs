//! Plan: a checked manifest to the node plan that is signed.
//!
//! In:   [`Checked`]. Out: [`NodePlan`], sorted; equal input gives equal bytes.
//! May fail with: NB0404 (contract).
//!
//! Pure. Order comes from names, never from the order in the manifest. Not here: conflicts between programs, of one
//! manifest or of several ([`crate::set`]).

use nodeplan::{
    hook::Attachment,
    limits,
    plan::{NodePlan, PLAN_VERSION, Program},
    statement,
};

use crate::{
    check::{Checked, place::Place},
    diag::{Code, Diagnostic, Diagnostics},
};

/// The plan of `checked`; `None` if an error was reported.
pub fn plan(checked: &Checked, diags: &mut Diagnostics) -> Option<NodePlan> {
    let before = diags.error_count();
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

/// The plan of what is left of a broken manifest: to be judged, never to be signed.
pub(crate) fn of_parts(checked: &Checked) -> NodePlan {
    build(checked)
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
            attach: attachments(&program.attach, program.frags),
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
fn attachments(places: &[Place], frags: bool) -> Vec<Attachment> {
    let mut attachments: Vec<_> = places.iter().map(|place| place.attachment.clone()).collect();
    for attachment in &mut attachments {
        if let Attachment::Xdp(xdp) = attachment {
            xdp.frags = frags;
        }
    }
    attachments
        .sort_by_cached_key(|attachment| (attachment.hook(), attachment.interfaces().to_vec(), attachment.place()));
    attachments
}
