//! Authorize: whether the owner may do what the manifest wants, by a policy or trust file.
//!
//! In:   a plan, the places it came from and a [`TrustDocument`]. Out: nothing but reports.
//! May fail with: NB0331 (owner), NB0332 (stream), NB0333 (hook), NB0334 (band), NB0335 (audience), NB0336 (floor),
//! NB0606 (signers).
//!
//! The rules are [`TrustDocument::authorize`]'s, the very ones of the node; here they only get places.

use nodeplan::sorted::SortedSet;

use nodeplan::{
    key::KeyId,
    name::{OwnerName, StreamGlob},
    plan::{NodePlan, Program},
    priority::Priority,
    trust::{PolicyRefusal, TrustDocument},
};

use super::Checked;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of},
    sign::store::still_to_sign,
    source::Span,
    suggest::nearest,
};

/// Checks `plan` before it is signed, as if all keys of the owner were to sign.
pub fn authorize(plan: &NodePlan, checked: &Checked, trust: &TrustDocument, diags: &mut Diagnostics) {
    let signers = trust
        .owners
        .get(&plan.owner)
        .map_or_else(SortedSet::new, |owner| owner.signers.keys.iter().map(nodeplan::key::PublicKey::id).collect());
    report(plan, &signers, checked, trust, diags);
    if let Some(floor) = trust.floors.get(&plan.stream)
        && plan.revision < *floor
    {
        diags.push(
            Diagnostic::error(Code::BelowFloor, format!("revision {} is below the floor {floor}", plan.revision))
                .at(checked.revision.span, "nodes would refuse it as a replay")
                .help(format!("write `revision: {floor}` or higher")),
        );
    }
}

/// Checks the keys that have signed.
pub fn authorize_signers(
    plan: &NodePlan,
    signers: &SortedSet<KeyId>,
    checked: &Checked,
    trust: &TrustDocument,
    diags: &mut Diagnostics,
) {
    report(plan, signers, checked, trust, diags);
}

fn report(
    plan: &NodePlan,
    signers: &SortedSet<KeyId>,
    checked: &Checked,
    trust: &TrustDocument,
    diags: &mut Diagnostics,
) {
    // `authorize` stops at the first refusal; asking about each attachment alone finds all of them.
    let mut refusals: Vec<PolicyRefusal> = Vec::new();
    for part in parts(plan) {
        if let Err(refusal) = trust.authorize(&part, signers)
            && !refusals.contains(&refusal)
        {
            refusals.push(refusal);
        }
    }
    for refusal in &refusals {
        diags.push(explain(refusal, signers, checked, trust));
    }
}

/// `plan` without programs, and `plan` with each attachment alone.
fn parts(plan: &NodePlan) -> Vec<NodePlan> {
    let mut parts = vec![NodePlan { programs: Vec::new(), ..plan.clone() }];
    for program in &plan.programs {
        for attachment in &program.attach {
            let alone = Program { attach: vec![attachment.clone()], ..program.clone() };
            parts.push(NodePlan { programs: vec![alone], ..plan.clone() });
        }
    }
    parts
}

fn explain(
    refusal: &PolicyRefusal,
    signers: &SortedSet<KeyId>,
    checked: &Checked,
    trust: &TrustDocument,
) -> Diagnostic {
    match refusal {
        PolicyRefusal::Owner(owner) => {
            Diagnostic::error(Code::UnknownOwner, format!("the policy has no owner `{owner}`"))
                .at(checked.owner.span, "unknown")
                .help(match nearest(owner.as_str(), trust.owners.keys().map(OwnerName::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "let the security team add the owner to the policy".to_owned(),
                })
        }
        PolicyRefusal::Signers { owner, .. } => {
            let diagnostic = Diagnostic::error(Code::WrongSigner, refusal).at(checked.owner.span, "");
            still_to_sign(trust, owner, |id| signers.contains(&id))
                .map(|id| format!("key {id} has not signed"))
                .fold(diagnostic, Diagnostic::note)
                .help("let their holders run `nodebpf sign MANIFEST --key private.pem`, or give `--key` here")
        }
        PolicyRefusal::Stream { owner, .. } => Diagnostic::error(Code::ForeignStream, refusal)
            .at(checked.stream.span, "matches none of the owner's globs")
            .also(checked.owner.span, "this owner")
            .help(format!("its streams are {}", globs(trust, owner))),
        PolicyRefusal::Hook { .. } => Diagnostic::error(Code::ForbiddenHook, refusal)
            .at(hook_span(checked), "")
            .help("let the security team add the hook to the owner in the policy"),
        PolicyRefusal::Band { program, priority, band, .. } => Diagnostic::error(Code::OutsideBand, refusal)
            .at(priority_span(checked, program.as_str(), *priority), "outside")
            .help(format!("pick a priority from {band}")),
        PolicyRefusal::Reserved { program, .. } => Diagnostic::error(Code::Reserved, refusal)
            .at(program_span(checked, program.as_str()), "")
            .help("exclude it: `exclude: [br-ex]`, or name other interfaces"),
        PolicyRefusal::Closed(_) => Diagnostic::error(Code::MayNotClose, refusal)
            .at(checked.stream.span, "of this stream")
            .help("remove `failurePolicy`, or let the security team allow it in the policy"),
        PolicyRefusal::Programs { .. } => Diagnostic::error(Code::OverLimit, refusal)
            .at(checked.stream.span, "of this stream")
            .help("split the stream, or let the security team raise the limit in the policy"),
        PolicyRefusal::Audience { .. } => Diagnostic::error(Code::ForeignAudience, refusal)
            .at(checked.audience_span, "nodes of this policy would refuse it")
            .help("name one of the policy's audiences in `spec.audience`"),
    }
}

fn globs(trust: &TrustDocument, owner: &OwnerName) -> String {
    one_of(trust.owners.get(owner).into_iter().flat_map(|owner| &owner.streams).map(StreamGlob::as_str))
}

fn hook_span(checked: &Checked) -> Span {
    checked.programs.first().map_or(checked.owner.span, |program| program.name.span)
}

fn program_span(checked: &Checked, program: &str) -> Span {
    let named = |candidate: &&super::Program| candidate.name.value.as_str() == program;
    checked.programs.iter().find(named).map_or(checked.owner.span, |program| program.name.span)
}

fn priority_span(checked: &Checked, program: &str, priority: Priority) -> Span {
    checked
        .programs
        .iter()
        .filter(|candidate| candidate.name.value.as_str() == program)
        .flat_map(|candidate| &candidate.attach)
        .find(|place| place.attachment.priority() == Some(priority))
        .map_or(checked.owner.span, |place| place.priority)
}
