//! Desk: one manifest against the rules of a policy that no node judges, and against a moment.
//!
//! In:   a checked manifest, its plan, a [`Policy`] and a [`Moment`]. Out: nothing but reports.
//! May fail with: NB0339 (map memory), NB0340 (reserved priority), NB0391 (pool), NB0392 (closed), NB0393 (reference),
//! NB0394 (lives too long), NB0395 (expired).
//!
//! Pure: the moment comes from outside. Not here: what nodes judge too ([`super::authorize`]), several manifests
//! together ([`crate::set`]).

use nodeplan::{
    glob,
    name::PoolName,
    plan::{FailurePolicy, Intent, NodePlan},
    time::Timestamp,
};

use super::Checked;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, render_human::MAX_SHOWN, shown},
    policy::{
        Policy,
        desk::{Desk, Pool},
    },
    suggest::nearest,
};

const DAY_SECONDS: u64 = 86_400;

/// The moment by which times are judged.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// UTC.
    pub at: Timestamp,
    /// Whether somebody asked for this moment. Otherwise it is the time of the run, and what it decides is a warning:
    /// the same manifest must not be sound today and refused tomorrow.
    pub stated: bool,
}

impl Moment {
    fn report(self, code: Code, message: String) -> Diagnostic {
        if self.stated { Diagnostic::error(code, message) } else { Diagnostic::warning(code, message) }
    }
}

/// Judges one manifest; `policy` is absent if none was given.
pub fn judge(plan: &NodePlan, checked: &Checked, policy: Option<&Policy>, moment: Moment, diags: &mut Diagnostics) {
    expired(checked, moment, diags);
    let Some(policy) = policy else { return };
    pools(checked, &policy.desk, diags);
    closed(checked, policy, diags);
    if checked.intent == Intent::BugPatch {
        reference(checked, &policy.desk, diags);
        life(checked, &policy.desk, moment, diags);
    }
    priorities(checked, &policy.desk, diags);
    memory(plan, checked, policy, diags);
}

fn expired(checked: &Checked, moment: Moment, diags: &mut Diagnostics) {
    let Some(expires) = checked.expires.filter(|expires| *expires <= moment.at) else { return };
    let when = if moment.stated { format!("; it is {}", moment.at) } else { String::new() };
    diags.push(
        moment
            .report(Code::AlreadyExpired, format!("stream `{}` expired at {expires}{when}", checked.stream.value))
            .at(checked.places.expires, "over")
            .note("nodes would report it as expired, and end it by `onExpiry`")
            .help("remove the stream, or write a later `expires`"),
    );
}

fn pools(checked: &Checked, desk: &Desk, diags: &mut Diagnostics) {
    let Some(pools) = &desk.pools else { return };
    let unknown = checked.pools.iter().filter(|pool| !pools.contains_key(&pool.value));
    for (count, pool) in unknown.enumerate() {
        // Every suggestion looks at all pools of the policy, and more than those shown nobody reads.
        let helped = count < MAX_SHOWN;
        let near = helped.then(|| nearest(pool.value.as_str(), pools.keys().map(PoolName::as_str))).flatten();
        diags.push(
            Diagnostic::error(Code::UnknownPool, format!("pool `{}` is not in the policy's `pools`", pool.value))
                .at(pool.span, "unknown")
                .note("MCO: a MachineConfig of a role that no pool selects reaches no node, and nothing says so")
                .maybe_help(helped.then(|| match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the policy has {}", one_of(pools.keys().map(PoolName::as_str))),
                })),
        );
    }
}

/// A closed or required stream on a pool, or on one that inherits from it, where kubelet must not wait.
fn closed(checked: &Checked, policy: &Policy, diags: &mut Diagnostics) {
    let required = policy.trust.required_streams.contains(&checked.stream.value);
    let (what, span, help) = match checked.failure_policy {
        FailurePolicy::Closed => ("closed", checked.places.failure_policy, "remove `failurePolicy`, or the pool"),
        FailurePolicy::Open if required => ("required", checked.stream.span, "remove the pool"),
        FailurePolicy::Open => return,
    };
    for pool in &checked.pools {
        let Some((heir, found)) = forbidden(&pool.value, &policy.desk) else { continue };
        let heir = heir.map_or_else(String::new, |heir| format!(", from which `{heir}` inherits"));
        let message = format!("a {what} stream may not be on pool `{}`{heir}", pool.value);
        let diagnostic =
            Diagnostic::error(Code::ClosedPool, message).at(span, "kubelet would wait").also(pool.span, "on this pool");
        let diagnostic = match found {
            Some(found) => diagnostic.also(found.span, "the policy does not allow it here"),
            None => diagnostic,
        };
        let diagnostic = if found.is_none_or(|found| found.control_plane) {
            diagnostic.note("a control plane whose kubelets wait cannot mend itself")
        } else {
            diagnostic
        };
        diags.push(diagnostic.help(format!("{help}; or let the security team write `allowClosed: true`")));
    }
}

/// Why `pool` takes no closed stream: the pool that inherits from it, if it is not itself, and what the policy says.
fn forbidden<'a>(pool: &'a PoolName, desk: &'a Desk) -> Option<(Option<&'a PoolName>, Option<&'a Pool>)> {
    if desk.pools.is_none() {
        // The names that OpenShift gives to pools of the control plane.
        return matches!(pool.as_str(), "master" | "arbiter").then_some((None, None));
    }
    let (name, below) = desk.below(pool).into_iter().find(|(_, below)| !below.allow_closed)?;
    Some(((name != pool).then_some(name), Some(below)))
}

fn reference(checked: &Checked, desk: &Desk, diags: &mut Diagnostics) {
    let (Some(form), Some(reference)) = (&desk.reference, &checked.reference) else { return };
    if !glob::matches(&form.value, reference) {
        let message = format!("reference `{}` does not match `{}`", shown(reference), shown(&form.value));
        diags.push(
            Diagnostic::error(Code::ReferenceForm, message)
                .at(checked.places.reference, "has another form")
                .also(form.span, "the policy wants this")
                .help(format!("write a ticket like `{}`", shown(&form.value.replace('*', "12345")))),
        );
    }
}

fn life(checked: &Checked, desk: &Desk, moment: Moment, diags: &mut Diagnostics) {
    let Some(max) = &desk.max_days else { return };
    let Some(expires) = checked.expires else {
        let message = format!("a bug patch has no `expires`; the policy allows {} days", max.value);
        diags.push(
            Diagnostic::error(Code::LivesTooLong, message)
                .at(checked.places.intent, "would stay for ever")
                .also(max.span, "the policy's limit")
                .help(format!("add `expires: {}`", latest(moment, max.value))),
        );
        return;
    };
    let left = expires.unix_seconds().saturating_sub(moment.at.unix_seconds());
    if left > u64::from(max.value) * DAY_SECONDS {
        let days = left.div_ceil(DAY_SECONDS);
        let message = format!("the bug patch expires in {days} days; the policy allows {}", max.value);
        diags.push(
            moment
                .report(Code::LivesTooLong, message)
                .at(checked.places.expires, format_args!("counted from {}", moment.at))
                .also(max.span, "the policy's limit")
                .help(format!("write `expires: {}` or earlier", latest(moment, max.value))),
        );
    }
}

/// The latest sound `expires`, cut to the day, so that it does not differ from second to second.
fn latest(moment: Moment, days: u32) -> Timestamp {
    let end = moment.at.unix_seconds().saturating_add(u64::from(days) * DAY_SECONDS);
    Timestamp::from_unix_seconds(end - end % DAY_SECONDS)
}

fn priorities(checked: &Checked, desk: &Desk, diags: &mut Diagnostics) {
    for (program, place) in checked.programs.iter().flat_map(|one| one.attach.iter().map(move |place| (one, place))) {
        let Some(priority) = place.attachment.priority() else { continue };
        let hook = place.attachment.hook();
        let Some(range) = desk.reserved.iter().find(|range| range.hook == hook && range.band.contains(priority)) else {
            continue;
        };
        let message =
            format!("program `{}` has {hook} priority {priority}; {} is reserved", program.name.value, range.band);
        diags.push(
            Diagnostic::error(Code::ReservedPriority, message)
                .at(place.priority, "belongs to others")
                .also(range.span, format_args!("reserved here: {}", range.reason))
                .help("pick a priority outside that range, inside the owner's band"),
        );
    }
}

fn memory(plan: &NodePlan, checked: &Checked, policy: &Policy, diags: &mut Diagnostics) {
    let Some(owner) = policy.trust.owners.get(&plan.owner) else { return };
    let Some(max) = owner.limits.map_bytes.filter(|max| checked.map_bytes > *max) else { return };
    let message = format!(
        "the stream's maps and variables take {} bytes or more; owner `{}` may have {max}",
        checked.map_bytes, checked.owner.value
    );
    diags.push(
        Diagnostic::error(Code::OverLimit, message)
            .at(checked.stream.span, "of this stream")
            .note("keys and values of all maps, per-CPU values counted once, and sections of variables")
            .help("lower `maxEntries` of its maps, or let the security team raise the limit in the policy"),
    );
}
