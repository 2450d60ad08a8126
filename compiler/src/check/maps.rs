//! Check of what a manifest says about maps.
//!
//! In:   [`Resolved`]. Out: maps of the plan.
//! May fail with: NB0111 (says nothing), NB0301 (names), NB0305 (no entries), NB0316 (no such map), NB0317 (two objects),
//! NB0318 (takes no entries), NB0319 (does not fit), NB0320 (too many), NB0321 (key twice), NB0322 (no counter).

use std::collections::BTreeMap;

use nodeplan::{
    entry::{HexBytes, MapEntry},
    limits,
    name::{CounterName, MapName},
    plan::Map,
    sorted::SortedMap,
};

use super::{all, name, not_empty, values};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    object::map::{MapFacts, MapType, ScalarType},
    resolve::Resolved,
    source::{Span, Spanned},
    suggest::nearest,
    yaml::types::{List, Text},
};

pub(super) fn check(resolved: &Resolved, diags: &mut Diagnostics) -> Option<SortedMap<MapName, Map>> {
    let known = known_maps(resolved, diags);
    let Some(dict) = &resolved.manifest.spec.maps else {
        return Some(SortedMap::new());
    };
    let maps = all(dict.0.iter().map(|(text, raw)| {
        let name = name::<MapName>(text, "map", diags)?;
        let Some(facts) = known.get(name.value.as_str()) else {
            diags.push(no_such_map(text, &known));
            return None;
        };
        Some((name.value, check_map(raw, text, facts, diags)?))
    }))?;
    let maps: SortedMap<_, _> = maps.into_iter().collect();
    unique_counters(dict, diags);
    Some(maps)
}

/// All maps of all objects; the loader pins them by name, so that a name must be one map.
fn known_maps<'a>(resolved: &'a Resolved, diags: &mut Diagnostics) -> BTreeMap<&'a str, &'a MapFacts> {
    let mut known = BTreeMap::new();
    let mut origin: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    let mut objects: Vec<_> = resolved.objects.values().collect();
    objects.sort_by_key(|object| object.span);
    for object in objects {
        for map in &object.facts.maps {
            if let Some((path, span)) = origin.insert(&map.name, (&object.path, object.span)) {
                diags.push(
                    Diagnostic::error(
                        Code::MapInTwoObjects,
                        format!("map `{}` is in `{}` and in `{}`", shown(&map.name), shown(path), shown(&object.path)),
                    )
                    .at(object.span, "defines it again")
                    .also(span, "defines it first")
                    .note("a stream's maps are told apart by name")
                    .help("rename one of the two in its C source, or put both programs into one object"),
                );
            }
            known.insert(map.name.as_str(), map);
        }
    }
    known
}

fn no_such_map(text: &Text, known: &BTreeMap<&str, &MapFacts>) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::MapNotInObject, format!("no object has a map `{}`", shown(&text.value)))
        .at(text.span, "no such variable in section .maps");
    match nearest(&text.value, known.keys().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("the objects have {}", one_of(known.keys().copied()))),
    }
}

fn check_map(raw: &raw::Map, name: &Text, facts: &MapFacts, diags: &mut Diagnostics) -> Option<Map> {
    if raw.entries.is_none() && raw.export.is_none() {
        diags.push(
            Diagnostic::error(Code::MissingKey, format!("map `{}` has neither `entries` nor `export`", name.value))
                .at(name.span, "says nothing")
                .help("add one of them, or remove the map"),
        );
        return None;
    }
    let entries = match &raw.entries {
        Some(list) => check_entries(list, facts, diags),
        None => Some(Vec::new()),
    };
    let counter = match &raw.export {
        Some(export) => check_counter(&export.counter, facts, diags).map(Some),
        None => Some(None),
    };
    Some(Map { entries: entries?, counter: counter?, ..Map::default() })
}

fn check_counter(text: &Text, facts: &MapFacts, diags: &mut Diagnostics) -> Option<CounterName> {
    let name = name::<CounterName>(text, "counter", diags)?;
    let is_array = matches!(facts.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
    let is_number = facts.value.scalar == ScalarType::Int { signed: false } && matches!(facts.value.size, 4 | 8);
    if is_array && is_number {
        return Some(name.value);
    }
    let message =
        format!("map `{}` ({}, value {}) cannot be a counter", facts.name, facts.map_type.name(), facts.value.c_type);
    diags.push(
        Diagnostic::error(Code::NotACounter, message)
            .at(text.span, "")
            .note("a counter is the first value of an array or percpu_array of __u64 or __u32")
            .help("count in a map of type BPF_MAP_TYPE_PERCPU_ARRAY with value __u64"),
    );
    None
}

fn unique_counters(dict: &crate::yaml::types::Dict<raw::Map>, diags: &mut Diagnostics) {
    let counters = dict.0.iter().filter_map(|(_, map)| map.export.as_ref()).map(|export| &export.counter);
    super::unique(
        counters.map(|counter| (&counter.value, counter.span)),
        |name| format!("counter `{}`", shown(name)),
        diags,
    );
}

fn check_entries(list: &List<raw::Entry>, facts: &MapFacts, diags: &mut Diagnostics) -> Option<Vec<MapEntry>> {
    if !matches!(facts.map_type, MapType::HASH | MapType::ARRAY) {
        let why = if facts.map_type.is_per_cpu() {
            "each CPU has values of its own"
        } else {
            "only hash and array maps take them in this version"
        };
        let message = format!("map `{}` has type {}, which takes no entries", facts.name, facts.map_type.name());
        diags.push(Diagnostic::error(Code::MapTakesNoEntries, message).at(list.span, why));
        return None;
    }
    let mut sound = not_empty(list, "entries", diags);
    let max = limits::MAP_MAX_ENTRIES.min(facts.max_entries as usize);
    if list.value.len() > max {
        let message = format!("map `{}` has {} entries; {max} are allowed", facts.name, list.value.len());
        let why = if facts.max_entries as usize == max { "its max_entries" } else { "nodebpf's limit" };
        diags.push(
            Diagnostic::error(Code::TooManyEntries, message)
                .at(list.span, format_args!("{why} is {max}"))
                .help("raise max_entries in the C source, up to 4096, or remove entries"),
        );
        sound = false;
    }
    let entries = all(list.value.iter().map(|entry| {
        let key = values::encode(&entry.key, &facts.key, "key", diags);
        let value = values::encode(&entry.value, &facts.value, "value", diags);
        let key = key.filter(|key| index_exists(key, &entry.key, facts, diags))?;
        Some(Spanned::new((key, value?), entry.key.span))
    }))?;
    let entries = sorted_entries(entries, diags)?;
    sound.then_some(entries)
}

/// Keys of arrays are indices.
fn index_exists(
    key: &[u8],
    written: &Spanned<crate::yaml::types::Literal>,
    facts: &MapFacts,
    diags: &mut Diagnostics,
) -> bool {
    let Ok(bytes) = <[u8; 4]>::try_from(key) else { return true };
    let index = u32::from_le_bytes(bytes);
    if facts.map_type != MapType::ARRAY || index < facts.max_entries {
        return true;
    }
    let last = facts.max_entries.saturating_sub(1);
    let message = format!("index {index} is outside map `{}`; its indices are 0 to {last}", facts.name);
    diags.push(Diagnostic::error(Code::EntryMismatch, message).at(written.span, ""));
    false
}

fn sorted_entries(entries: Vec<Spanned<(Vec<u8>, Vec<u8>)>>, diags: &mut Diagnostics) -> Option<Vec<MapEntry>> {
    let mut by_key: BTreeMap<Vec<u8>, (Vec<u8>, Span)> = BTreeMap::new();
    let mut sound = true;
    for entry in entries {
        let (key, value) = entry.value;
        if let Some((_, first)) = by_key.get(&key) {
            diags.push(
                Diagnostic::error(Code::EntryTwice, "the map key stands twice")
                    .at(entry.span, "again here")
                    .also(*first, "first here")
                    .help("remove one of the two"),
            );
            sound = false;
        } else {
            by_key.insert(key, (value, entry.span));
        }
    }
    let entry = |(key, (value, _))| MapEntry { key: HexBytes::from(key), value: HexBytes::from(value) };
    sound.then(|| by_key.into_iter().map(entry).collect())
}
