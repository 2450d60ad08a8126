//! Authorize: whether the owner may do what the manifest wants, by a policy or trust file.
//!
//! In:   a plan, the places it came from and a [`TrustDocument`]. Out: nothing but reports.
//! May fail with: NB0331 (owner), NB0332 (stream), NB0333 (hook), NB0334 (band), NB0335 (audience), NB0336 (floor),
//! NB0606 (signers).
//!
//! The rules are [`TrustDocument::authorize`]'s, the very ones of the node; here they only get places.

use nodeplan::sorted::SortedSet;

use nodeplan::{
    hook::{Attachment, Chained, Hook, TcAttachment, XdpAttachment},
    key::KeyId,
    name::{Audience, OwnerName, StreamGlob},
    plan::{FailurePolicy, NodePlan, Program},
    priority::Priority,
    selector::Selector,
    trust::{PolicyRefusal, TrustDocument},
};

use super::{Checked, place::Place};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of},
    sign::store::still_to_sign,
    source::{Span, Spanned},
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
    let own = as_if_own(plan, trust);
    for part in parts(plan) {
        let refusal = trust.authorize(&part, signers).err();
        // A foreign stream comes before everything else; what else there is, its owner wants to know.
        let more = matches!(refusal, Some(PolicyRefusal::Stream { .. })).then(|| own.authorize(&part, signers).err());
        for refusal in refusal.into_iter().chain(more.flatten()) {
            if !refusals.contains(&refusal) {
                refusals.push(refusal);
            }
        }
    }
    for refusal in &refusals {
        diags.push(explain(refusal, signers, checked, trust));
    }
}

/// The rules, if the stream were one of its owner's.
fn as_if_own(plan: &NodePlan, trust: &TrustDocument) -> TrustDocument {
    let mut own = trust.clone();
    if let Some(owner) = own.owners.get_mut(&plan.owner) {
        owner.streams.extend(StreamGlob::try_from(plan.stream.as_str()));
    }
    own
}

/// `plan` without programs, with programs that are nowhere, and with each attachment on each selector alone: what one
/// rule refuses must not hide what another one refuses.
fn parts(plan: &NodePlan) -> Vec<NodePlan> {
    let open = NodePlan { programs: Vec::new(), failure_policy: FailurePolicy::Open, ..plan.clone() };
    let nowhere = |program: &Program| Program { attach: Vec::new(), ..program.clone() };
    let mut parts = vec![
        NodePlan { programs: Vec::new(), ..plan.clone() },
        NodePlan { programs: plan.programs.iter().map(nowhere).collect(), ..open.clone() },
    ];
    for program in &plan.programs {
        for attachment in program.attach.iter().flat_map(alone) {
            let alone = Program { attach: vec![attachment], ..nowhere(program) };
            parts.push(NodePlan { programs: vec![alone], ..open.clone() });
        }
    }
    parts
}

/// `attachment` on each of its selectors alone.
fn alone(attachment: &Attachment) -> Vec<Attachment> {
    let on = |selector: &Selector| {
        let one = vec![selector.clone()];
        match attachment.chained() {
            Some(Chained::Xdp(xdp)) => Attachment::Xdp(XdpAttachment { interfaces: one, ..xdp.clone() }),
            Some(Chained::Tc(tc)) => Attachment::Tc(TcAttachment { interfaces: one, ..tc.clone() }),
            None => attachment.clone(),
        }
    };
    match attachment.interfaces() {
        [] | [_] => vec![attachment.clone()],
        selectors => selectors.iter().map(on).collect(),
    }
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
        PolicyRefusal::Hook { hook, .. } => Diagnostic::error(Code::ForbiddenHook, refusal)
            .at(hook_span(checked, *hook), "used here")
            .also(checked.owner.span, "by this owner")
            .help("let the security team add the hook to the owner in the policy"),
        PolicyRefusal::Band { program, priority, band, .. } => Diagnostic::error(Code::OutsideBand, refusal)
            .at(priority_span(checked, program.as_str(), *priority), "outside")
            .help(format!("pick a priority from {band}")),
        PolicyRefusal::Reserved { program, selector, reserved } => Diagnostic::error(Code::Reserved, refusal)
            .at(selector_span(checked, program.as_str(), selector), "may mean it")
            .note("`reservedInterfaces` of the policy belong to somebody else")
            .help(if selector_of(checked, program.as_str(), selector).is_none_or(|own| own.value.exclude.is_empty()) {
                format!("add `exclude: [\"{reserved}\"]` to the selector, or name other interfaces")
            } else {
                format!("add `{reserved}` to the selector's `exclude`, or name other interfaces")
            }),
        PolicyRefusal::Closed(_) => Diagnostic::error(Code::MayNotClose, refusal)
            .at(checked.places.failure_policy, "kubelet would wait for the stream")
            .also(checked.owner.span, "this owner")
            .help("remove `failurePolicy`, or let the security team allow it in the policy"),
        PolicyRefusal::Programs { .. } => Diagnostic::error(Code::OverLimit, refusal)
            .at(checked.stream.span, "of this stream")
            .help("split the stream, or let the security team raise the limit in the policy"),
        PolicyRefusal::Audience { .. } => Diagnostic::error(Code::ForeignAudience, refusal)
            .at(checked.audience_span, "nodes of this policy would refuse it")
            .help(if trust.audiences.is_empty() {
                "remove `spec.audience`: the policy has no audiences".to_owned()
            } else {
                let known = one_of(trust.audiences.iter().map(Audience::as_str));
                format!("name one of the policy's audiences in `spec.audience`: {known}")
            }),
    }
}

fn globs(trust: &TrustDocument, owner: &OwnerName) -> String {
    one_of(trust.owners.get(owner).into_iter().flat_map(|owner| &owner.streams).map(StreamGlob::as_str))
}

/// Where the first program uses `hook`.
fn hook_span(checked: &Checked, hook: Hook) -> Span {
    let uses = |place: &&Place| place.attachment.hook() == hook;
    let place = checked.programs.iter().flat_map(|program| &program.attach).find(uses);
    place.map_or(checked.owner.span, |place| place.hook)
}

/// Where `program` has the selector that is shown as `selector`.
fn selector_span(checked: &Checked, program: &str, selector: &str) -> Span {
    selector_of(checked, program, selector).map_or(checked.owner.span, |selector| selector.span)
}

/// The first selector of `program` that is written like `selector`.
fn selector_of<'a>(checked: &'a Checked, program: &str, selector: &str) -> Option<&'a Spanned<Selector>> {
    let of_program = checked.programs.iter().filter(|candidate| candidate.name.value.as_str() == program);
    let mut selectors = of_program.flat_map(|program| &program.attach).flat_map(|place| &place.interfaces);
    selectors.find(|candidate| candidate.value.to_string() == selector)
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
