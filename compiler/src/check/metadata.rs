//! Check of everything that is not about programs and maps.
//!
//! In:   a raw manifest. Out: [`Metadata`].
//! May fail with: NB0301 (names), NB0302 (revision), NB0303 (time), NB0304 (kernel range), NB0305, NB0306 (lists),
//! NB0307 (no reference), NB0308 (security expires), NB0309 (nothing expires), NB0387 (a bug patch for ever), NB0388 (empty
//! range).

use nodeplan::{
    applies::{AppliesTo, Architecture, KernelRange, OcpRange},
    name::{Audience, OwnerName, PoolName, StreamName},
    plan::{Ending, FailurePolicy, Intent, Revision, Stage},
    time::Timestamp,
};

use super::{MetadataPlaces, all, name, not_empty, programs::not_too_many, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw::{AppliesTo as RawAppliesTo, Manifest, Spec},
    source::{Span, Spanned},
    yaml::types::{List, Text},
};

/// Longest `reference`, in bytes. Ours: it is a ticket, not a text.
const REFERENCE_MAX_BYTES: usize = 200;

pub(super) struct Metadata {
    pub(super) stream: Spanned<StreamName>,
    pub(super) owner: Spanned<OwnerName>,
    pub(super) revision: Spanned<Revision>,
    pub(super) intent: Intent,
    pub(super) reference: Option<String>,
    pub(super) pools: Vec<Spanned<PoolName>>,
    pub(super) audience: Vec<Spanned<Audience>>,
    pub(super) audience_span: Span,
    pub(super) applies_to: AppliesTo,
    pub(super) applies_to_spans: AppliesToSpans,
    pub(super) expires: Option<Timestamp>,
    pub(super) on_expiry: Ending,
    pub(super) on_removal: Ending,
    pub(super) rollback_floor: Option<Revision>,
    pub(super) failure_policy: FailurePolicy,
    pub(super) stage: Stage,
    pub(super) places: MetadataPlaces,
}

/// Where parts of `appliesTo` were written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AppliesToSpans {
    pub(crate) ocp: Option<Span>,
    pub(crate) kernel: Option<Span>,
}

impl AppliesToSpans {
    fn of(spec: &Spec) -> Self {
        let Some(raw) = &spec.applies_to else { return Self::default() };
        Self { ocp: raw.ocp.as_ref().map(|text| text.span), kernel: raw.kernel.as_ref().map(|text| text.span) }
    }
}

pub(super) fn check(manifest: &Manifest, diags: &mut Diagnostics) -> Option<Metadata> {
    let (metadata, spec) = (&manifest.metadata, &manifest.spec);
    let stream = name(&metadata.name, "stream name", diags);
    let owner = name(&metadata.owner, "owner", diags);
    let revision = revision(&metadata.revision, "revision", diags);
    let intent = spec.intent.0.value;
    let reference = reference(spec, diags);
    let pools = names(&spec.pools, "pools", "pool", diags);
    let audience = match &spec.audience {
        Some(list) => names(list, "audience", "audience", diags),
        None => Some(Vec::new()),
    };
    let applies_to = match &spec.applies_to {
        Some(raw) => applies_to(raw, diags),
        None => Some(AppliesTo::default()),
    };
    let expires = match &spec.expires {
        Some(text) => time(text, diags).map(Some),
        None => Some(None),
    };
    let default = if intent == Intent::Security { Ending::Keep } else { Ending::Detach };
    let on_expiry = spec.on_expiry.as_ref().map_or(default, |word| word.0.value);
    let on_removal = spec.on_removal.as_ref().map_or(default, |word| word.0.value);
    endings(spec, on_expiry, diags);
    for_ever(spec, diags);
    let rollback_floor = match &spec.rollback_floor {
        Some(number) => floor(number, &metadata.revision, diags).map(Some),
        None => Some(None),
    };
    Some(Metadata {
        stream: stream?,
        owner: owner?,
        revision: revision?,
        intent,
        reference: reference?,
        pools: pools?,
        audience: audience?,
        audience_span: spec.audience.as_ref().map_or(metadata.name.span, |list| list.span),
        applies_to: applies_to?,
        applies_to_spans: AppliesToSpans::of(spec),
        expires: expires?,
        on_expiry,
        on_removal,
        rollback_floor: rollback_floor?,
        failure_policy: spec.failure_policy.as_ref().map_or(FailurePolicy::Open, |word| word.0.value),
        stage: spec.stage.as_ref().map_or(Stage::Normal, |word| word.0.value),
        places: places(spec),
    })
}

fn places(spec: &Spec) -> MetadataPlaces {
    let intent = spec.intent.0.span;
    MetadataPlaces {
        intent,
        reference: spec.reference.as_ref().map_or(intent, |text| text.span),
        expires: spec.expires.as_ref().map_or(intent, |text| text.span),
        failure_policy: spec.failure_policy.as_ref().map_or(intent, |word| word.0.span),
    }
}

fn floor(number: &Spanned<i64>, own: &Spanned<i64>, diags: &mut Diagnostics) -> Option<Revision> {
    let floor = revision(number, "rollbackFloor", diags)?;
    if number.value > own.value {
        diags.push(
            Diagnostic::error(
                Code::OutOfRange,
                format!("`rollbackFloor` is {}, above the revision, {}", number.value, own.value),
            )
            .at(number.span, "nodes would refuse the very revision that sets it")
            .also(own.span, "this revision")
            .help(format!("write `rollbackFloor: {}` or lower", own.value)),
        );
        return None;
    }
    Some(floor.value)
}

pub(crate) fn revision(number: &Spanned<i64>, key: &str, diags: &mut Diagnostics) -> Option<Spanned<Revision>> {
    let revision = Revision::try_from(number.value);
    if revision.is_err() {
        let message = format!("`{key}` must be from 1 to {}, not {}", u32::MAX, number.value);
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
    }
    revision.ok().map(|revision| Spanned::new(revision, number.span))
}

/// Most names in one list: pools, audiences, globs. Ours. Every pair of pools is looked at.
pub(crate) const LIST_MAX_NAMES: usize = 1000;

/// A list of names: not empty, not too long, each sound, each once.
pub(crate) fn names<T>(list: &List<Text>, key: &str, what: &str, diags: &mut Diagnostics) -> Option<Vec<Spanned<T>>>
where
    T: for<'a> TryFrom<&'a str, Error = nodeplan::name::NameError>,
{
    if !not_too_many(list.value.len(), LIST_MAX_NAMES, key, list.span, diags) {
        return None;
    }
    let sound = not_empty(list, key, diags);
    unique(list.value.iter().map(|item| (&item.value, item.span)), |item| format!("{what} `{}`", shown(item)), diags);
    let names = all(list.value.iter().map(|item| name(item, what, diags)));
    names.filter(|_| sound)
}

#[expect(clippy::option_option, reason = "outside: a problem was reported; inside: there is no reference")]
fn reference(spec: &Spec, diags: &mut Diagnostics) -> Option<Option<String>> {
    let intent = &spec.intent.0;
    let Some(reference) = &spec.reference else {
        if intent.value == Intent::BugPatch {
            diags.push(
                Diagnostic::error(Code::NoReference, "intent `bug-patch` has no `reference`")
                    .at(intent.span, "needs the ticket of the bug")
                    .help("add `reference: OCPBUGS-12345` with your ticket"),
            );
            return None;
        }
        return Some(None);
    };
    let text = reference.value.trim();
    if text.is_empty() || text.len() > REFERENCE_MAX_BYTES || text.chars().any(char::is_control) {
        let message =
            format!("`reference` has {} bytes; it must be one line of 1 to {REFERENCE_MAX_BYTES}", text.len());
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(reference.span, ""));
        return None;
    }
    Some(Some(text.to_owned()))
}

fn applies_to(raw: &RawAppliesTo, diags: &mut Diagnostics) -> Option<AppliesTo> {
    let kernel = match &raw.kernel {
        None => Some(None),
        Some(text) => match KernelRange::try_from(text.value.as_str()) {
            Ok(range) if range.is_empty() => {
                diags.push(no_such(text, "kernel").note("kernels are compared in RPM order on what `uname -r` prints"));
                None
            }
            Ok(range) => Some(Some(range)),
            Err(error) => {
                diags.push(
                    Diagnostic::error(Code::BadKernelRange, format!("`kernel` {error}"))
                        .at(text.span, "")
                        .note("kernels are compared in RPM order on what `uname -r` prints")
                        .help("for example `kernel: \">=5.14.0-427 <5.14.0-570.30.1\"`"),
                );
                None
            }
        },
    };
    let ocp = match &raw.ocp {
        None => Some(None),
        Some(text) => match OcpRange::try_from(text.value.as_str()) {
            Ok(range) if range.is_empty() => {
                diags.push(no_such(text, "ocp").note("a node knows the cluster's minor release only"));
                None
            }
            Ok(range) => Some(Some(range)),
            Err(error) => {
                diags.push(
                    Diagnostic::error(Code::BadKernelRange, format!("`ocp` {error}"))
                        .at(text.span, "")
                        .note("a node knows the cluster's minor release only"),
                );
                None
            }
        },
    };
    let architectures = match &raw.architectures {
        None => Some(Vec::new()),
        Some(list) => architectures(list, diags),
    };
    Some(AppliesTo { kernel: kernel?, ocp: ocp?, architectures: architectures? })
}

fn no_such(text: &Text, key: &str) -> Diagnostic {
    Diagnostic::error(Code::EmptyRange, format!("`{key}` is `{}`, which no release can be", shown(&text.value)))
        .at(text.span, "all comparisons must hold")
        .help("write the lower bound first: `>=FROM <TO`")
}

/// A workaround should end; the fix is what stays.
fn for_ever(spec: &Spec, diags: &mut Diagnostics) {
    let intent = &spec.intent.0;
    if intent.value == Intent::BugPatch && spec.expires.is_none() {
        diags.push(
            Diagnostic::warning(Code::NoExpiry, "intent `bug-patch` has no `expires`")
                .at(intent.span, "would run for ever")
                .note("a workaround that outlives the bug is a bug itself")
                .help("add `expires: 2027-03-31T00:00:00Z` with the date by which the fix is everywhere"),
        );
    }
}

fn architectures(
    list: &List<crate::yaml::types::Word<Architecture>>,
    diags: &mut Diagnostics,
) -> Option<Vec<Architecture>> {
    let sound = not_empty(list, "architectures", diags);
    let words = list.value.iter().map(|word| (word.0.value, word.0.span));
    unique(words.clone(), |architecture| format!("`{}`", architecture.as_str()), diags);
    let mut architectures: Vec<_> = words.map(|(architecture, _)| architecture).collect();
    architectures.sort_unstable();
    Some(architectures).filter(|_| sound)
}

fn time(text: &Text, diags: &mut Diagnostics) -> Option<Timestamp> {
    let time = Timestamp::try_from(text.value.as_str()).ok();
    if time.is_none() {
        diags.push(
            Diagnostic::error(Code::BadTime, format!("`{}` is not a time", shown(&text.value)))
                .at(text.span, "must be UTC in whole seconds, on a day that exists")
                .help("write it like `2027-03-31T00:00:00Z`"),
        );
    }
    time
}

fn endings(spec: &Spec, on_expiry: Ending, diags: &mut Diagnostics) {
    let Some(word) = &spec.on_expiry else { return };
    match &spec.expires {
        Some(expires) if spec.intent.0.value == Intent::Security && on_expiry == Ending::Detach => diags.push(
            Diagnostic::error(Code::SecurityExpires, "intent `security` cannot have `onExpiry: detach`")
                .at(word.0.span, "would end enforcement because a clock says so")
                .also(expires.span, "at this moment")
                .help("write `onExpiry: keep`, or remove `expires`"),
        ),
        Some(_) => {}
        None => diags.push(
            Diagnostic::warning(Code::NothingExpires, "`onExpiry` has no effect: there is no `expires`")
                .at(word.0.span, "never happens")
                .help("add `expires: 2027-03-31T00:00:00Z` with your date, or remove `onExpiry`"),
        ),
    }
}
