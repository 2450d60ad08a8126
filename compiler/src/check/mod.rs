//! Check: a resolved manifest to values that can be used without another look.
//!
//! In:   [`Resolved`]. Out: [`Checked`].
//! May fail with: `NB03xx`, all of them at once.
//!
//! Pure. Not here: rights of the owner ([`authorize`], which needs a plan), conflicts between programs
//! ([`crate::plan`]).

mod architectures;
mod attach;
pub mod authorize;
pub mod desk;
mod entries;
mod fit;
mod globals;
pub mod kernels;
mod kinds;
mod lpm;
mod maps;
mod memory;
mod metadata;
pub(crate) mod place;
mod programs;
mod scalars;
pub(crate) mod selectors;
mod ship;
pub(crate) mod sizes;
mod slots;
mod values;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use attach::priority as program_priority;
pub(crate) use metadata::{LIST_MAX_NAMES, names as metadata_names, revision as metadata_revision};
pub(crate) use programs::not_too_many;

use nodeplan::{
    applies::AppliesTo,
    digest::Sha256Digest,
    entry::HexBytes,
    name::{Audience, GlobalName, MapName, NameError, OwnerName, PoolName, ProgramName, StreamName},
    plan::{Ending, FailurePolicy, Intent, Map, Objects, Revision, Stage},
    sorted::SortedMap,
    time::Timestamp,
};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw::Attach,
    resolve::Resolved,
    source::{Span, Spanned},
    yaml::types::List,
};

/// A sound manifest. Made by [`check`] only.
#[derive(Clone, Debug)]
pub struct Checked {
    pub(crate) stream: Spanned<StreamName>,
    pub(crate) owner: Spanned<OwnerName>,
    pub(crate) revision: Spanned<Revision>,
    pub(crate) intent: Intent,
    pub(crate) reference: Option<String>,
    pub(crate) pools: Vec<Spanned<PoolName>>,
    pub(crate) audience: Vec<Spanned<Audience>>,
    /// Place of the audience, or where it would stand.
    pub(crate) audience_span: Span,
    pub(crate) applies_to: AppliesTo,
    pub(crate) applies_to_spans: metadata::AppliesToSpans,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) on_expiry: Ending,
    pub(crate) on_removal: Ending,
    pub(crate) rollback_floor: Option<Revision>,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) stage: Stage,
    pub(crate) programs: Vec<Program>,
    pub(crate) maps: SortedMap<MapName, Map>,
    pub(crate) objects: SortedMap<Sha256Digest, Vec<u8>>,
    /// Memory of all maps and variables, in bytes.
    pub(crate) map_bytes: u64,
    /// Maps that libbpf would pin by their names, sorted.
    pub(crate) pinned: Vec<Spanned<String>>,
    /// Places of values that a policy judges.
    pub(crate) places: MetadataPlaces,
}

/// Places of values that a policy judges; where a value is absent, of the key that wants it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MetadataPlaces {
    pub(crate) intent: Span,
    pub(crate) reference: Span,
    pub(crate) expires: Span,
    pub(crate) failure_policy: Span,
}

/// A program that exists in its object and fits its hooks.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: Spanned<ProgramName>,
    pub(crate) objects: Objects,
    /// Helpers it calls, by number, those of its subprograms included.
    pub(crate) helpers: BTreeSet<u32>,
    pub(crate) globals: SortedMap<GlobalName, HexBytes>,
    /// Whether it takes packets of several fragments: section `xdp.frags`.
    pub(crate) frags: bool,
    pub(crate) attach: Vec<place::Place>,
}

impl Checked {
    /// Pools that may carry the stream, in written order.
    pub fn pools(&self) -> impl Iterator<Item = &PoolName> {
        self.pools.iter().map(|pool| &pool.value)
    }

    /// Where the stream is named.
    pub(crate) fn stream_span(&self) -> Span {
        self.stream.span
    }

    /// Objects by digest.
    pub fn objects(&self) -> &SortedMap<Sha256Digest, Vec<u8>> {
        &self.objects
    }
}

/// Checks everything that one manifest and its objects tell; `None` if an error was reported.
pub fn check(resolved: &Resolved, diags: &mut Diagnostics) -> Option<Checked> {
    let before = diags.error_count();
    let metadata = metadata::check(&resolved.manifest, diags);
    let programs = programs::check(resolved, diags);
    globals::agree(resolved, diags);
    selectors::early(&resolved.manifest, diags);
    let maps = maps::check(resolved, diags);
    if let Some(programs) = &programs {
        kinds::of_called(resolved, programs, diags);
    }
    if diags.error_count() > before {
        return None;
    }
    let (metadata, mut programs, maps) = (metadata?, programs?, maps?);
    architectures::check(resolved, &metadata.applies_to, diags);
    let objects = ship::ship(resolved, &mut programs, diags);
    if diags.error_count() > before {
        return None;
    }
    Some(Checked {
        stream: metadata.stream,
        owner: metadata.owner,
        revision: metadata.revision,
        intent: metadata.intent,
        reference: metadata.reference,
        pools: metadata.pools,
        audience: metadata.audience,
        audience_span: metadata.audience_span,
        applies_to: metadata.applies_to,
        applies_to_spans: metadata.applies_to_spans,
        expires: metadata.expires,
        on_expiry: metadata.on_expiry,
        on_removal: metadata.on_removal,
        rollback_floor: metadata.rollback_floor,
        failure_policy: metadata.failure_policy,
        stage: metadata.stage,
        programs,
        maps,
        objects,
        map_bytes: memory::bytes(resolved),
        pinned: maps::pinned(resolved),
        places: metadata.places,
    })
}

/// Checks attachments whose program is not known, for themselves.
pub fn attachments(list: &List<Attach>, diags: &mut Diagnostics) {
    for item in &list.value {
        let _ = attach::check(item, list.span, diags);
    }
}

/// `text` as a name of kind `T`; `what` says which, such as "pool".
pub(crate) fn name<T>(text: &Spanned<String>, what: &str, diags: &mut Diagnostics) -> Option<Spanned<T>>
where
    T: for<'a> TryFrom<&'a str, Error = NameError>,
{
    match T::try_from(&text.value) {
        Ok(name) => Some(Spanned::new(name, text.span)),
        Err(error) => {
            let help = suggestion::<T>(&text.value).map(|name| format!("for example `{name}`"));
            diags.push(
                Diagnostic::error(Code::BadName, format!("{what} `{}` {error}", shown(&text.value)))
                    .at(text.span, "")
                    .maybe_help(help),
            );
            None
        }
    }
}

/// A sound name near `text`, if lower case and other separators make one. Paths are none: their dots have a meaning.
fn suggestion<T: for<'a> TryFrom<&'a str>>(text: &str) -> Option<String> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    let dashed: String =
        text.to_lowercase().chars().map(|c| if matches!(c, '_' | '.' | ' ') { '-' } else { c }).collect();
    let underscored = text.replace(['-', '.', ' '], "_");
    [dashed, underscored].into_iter().find(|name| T::try_from(name).is_ok())
}

/// Reports an empty list at its key.
pub(crate) fn not_empty<T>(list: &Spanned<Vec<T>>, key: &str, diags: &mut Diagnostics) -> bool {
    // What stands in for a broken list is nobody's mistake.
    if list.span.is_nowhere() {
        return true;
    }
    if list.value.is_empty() {
        diags.push(
            Diagnostic::error(Code::EmptyList, format!("`{key}` is empty"))
                .at(list.span, "needs at least one item")
                .help(format!("add an item to `{key}`, or remove what it belongs to")),
        );
    }
    !list.value.is_empty()
}

/// Reports items that stand twice, at the second one.
pub(crate) fn unique<'a, K: Ord + 'a>(
    items: impl IntoIterator<Item = (K, Span)>,
    describe: impl Fn(&K) -> String,
    diags: &mut Diagnostics,
) {
    let mut seen = BTreeMap::new();
    for (item, span) in items {
        let Some(first) = seen.get(&item) else {
            seen.insert(item, span);
            continue;
        };
        diags.push(
            Diagnostic::error(Code::ListedTwice, format!("{} is listed twice", describe(&item)))
                .at(span, "again here")
                .also(*first, "first here")
                .help("remove one of the two"),
        );
    }
}

/// Sequences results, keeping the reports of all of them.
pub(crate) fn all<T>(items: impl IntoIterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<_> = items.into_iter().collect();
    items.into_iter().collect()
}
