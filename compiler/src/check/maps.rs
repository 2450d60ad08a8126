//! Check of what a manifest says about maps.
//!
//! In:   [`Resolved`]. Out: maps of the plan.
//! May fail with: NB0111 (says nothing), NB0301 (names), NB0316 (no such map), NB0317 (two objects), NB0322 (no
//! counter), NB0330 (a map of variables), NB0344 (kinds), and what [`super::entries`], [`super::slots`] and
//! [`super::sizes`] say.
//!
//! A map is *config* (entries or slots), *state* (`persist`) or *scratch* (neither).

use std::collections::BTreeMap;

use nodeplan::{
    name::{CounterName, MapName},
    plan::Map,
    sorted::SortedMap,
};

use super::{
    all, entries, name,
    sizes::{self, Known},
    slots,
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    object::{
        map::{MapFacts, MapType},
        shape::Form,
    },
    resolve::Resolved,
    source::{Span, Spanned},
    suggest::nearest,
    yaml::types::{Dict, Text},
};

pub(super) fn check(resolved: &Resolved, diags: &mut Diagnostics) -> Option<SortedMap<MapName, Map>> {
    let known = known_maps(resolved, diags);
    let said: &[(Text, raw::Map)] = resolved.manifest.spec.maps.as_ref().map_or(&[], |dict| &dict.0);
    let maps = all(said.iter().map(|(text, raw)| {
        if let Some(problem) = internal(text, resolved) {
            diags.push(problem);
            return None;
        }
        let name = name::<MapName>(text, "map", diags)?;
        let Some(known) = known.get(name.value.as_str()) else {
            diags.push(no_such_map(text, &known, resolved));
            return None;
        };
        Some((name.value, check_map(raw, text, known.facts, resolved, diags)?))
    }));
    for (name, known) in &known {
        let said = said.iter().find(|(text, _)| text.value == **name).map(|(text, raw)| (text.span, raw));
        sizes::check(known, said.as_ref(), diags);
        sizes::consumer(known, said.as_ref(), diags);
        sizes::pinned(known, said.as_ref(), diags);
    }
    sizes::variables(resolved, diags);
    slots::all_reached(resolved, diags);
    if let Some(dict) = &resolved.manifest.spec.maps {
        unique_counters(dict, diags);
    }
    Some(maps?.into_iter().collect())
}

/// Maps that libbpf would pin by name, each where the manifest or the object is to be blamed for it.
pub(super) fn pinned(resolved: &Resolved) -> Vec<Spanned<String>> {
    let said = |name: &str| {
        let mut maps = resolved.manifest.spec.maps.iter().flat_map(|maps| &maps.0);
        maps.find(|(text, _)| text.value == name).map(|(text, _)| text.span)
    };
    let all = resolved.objects.values().flat_map(|object| object.facts.maps.iter().map(move |map| (object, map)));
    let mut pinned: Vec<_> = all
        .filter(|(_, map)| map.pinned)
        .map(|(object, map)| Spanned::new(map.name.clone(), said(&map.name).unwrap_or(object.span)))
        .collect();
    pinned.sort_by(|a, b| a.value.cmp(&b.value));
    pinned
}

/// All maps of all objects; the loader pins them by name, so that a name must be one map.
fn known_maps<'a>(resolved: &'a Resolved, diags: &mut Diagnostics) -> BTreeMap<&'a str, Known<'a>> {
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
            known.insert(map.name.as_str(), Known { facts: map, object: object.span });
        }
    }
    known
}

/// The maps that sections of variables become have no name of their own.
fn internal(text: &Text, resolved: &Resolved) -> Option<Diagnostic> {
    let sections = [".rodata", ".data", ".bss", ".kconfig"];
    if !sections.iter().any(|section| text.value.contains(section)) {
        return None;
    }
    let program = resolved.manifest.spec.programs.value.first().map_or("NAME", |program| &program.name.value);
    Some(
        Diagnostic::error(Code::InternalMap, format!("`{}` is not a map of yours", shown(&text.value)))
            .at(text.span, "a section of global variables")
            .note("the compiler and libbpf make one map of each section of variables")
            .help(format!("set variables at the program: `- name: {}`, `globals: {{VARIABLE: …}}`", shown(program))),
    )
}

fn no_such_map(text: &Text, known: &BTreeMap<&str, Known<'_>>, resolved: &Resolved) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::MapNotInObject, format!("no object has a map `{}`", shown(&text.value)))
        .at(text.span, "no such variable in section .maps");
    let mut globals = resolved.objects.values().flat_map(|object| &object.facts.globals);
    if globals.any(|global| global.name == text.value && global.is_settable()) {
        return diagnostic.help(format!("it is a variable: write `globals: {{{}: …}}` at the program", text.value));
    }
    match nearest(&text.value, known.keys().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("the objects have {}", one_of(known.keys().copied()))),
    }
}

fn check_map(
    raw: &raw::Map,
    name: &Text,
    facts: &MapFacts,
    resolved: &Resolved,
    diags: &mut Diagnostics,
) -> Option<Map> {
    let says_nothing = raw.entries.is_none()
        && raw.export.is_none()
        && raw.slots.is_none()
        && raw.persist.is_none()
        && raw.max_entries.is_none()
        && raw.consumer.is_none();
    if says_nothing {
        diags.push(
            Diagnostic::error(Code::MissingKey, format!("map `{}` has neither `entries` nor `export`", name.value))
                .at(name.span, "says nothing")
                .help("add one of `entries`, `slots`, `persist`, `maxEntries`, `export` and `consumer`, or remove the map"),
        );
        return None;
    }
    let persist = raw.persist.as_ref().is_some_and(|flag| flag.value);
    let one_kind = kinds(raw, name, facts, diags);
    let sized = sizes::sized(raw.max_entries.as_ref(), facts, diags);
    // What does not fit a refused size may well fit the object's.
    let effective = sized.as_ref().unwrap_or(facts);
    let checked_entries = match &raw.entries {
        Some(list) => entries::check(list, effective, diags),
        None => Some(Vec::new()),
    };
    let checked_slots = match &raw.slots {
        Some(dict) => slots::check(dict, name, effective, resolved, diags),
        None => Some(Vec::new()),
    };
    let counter = match &raw.export {
        Some(export) => check_counter(&export.counter, facts, diags).map(Some),
        None => Some(None),
    };
    let max_entries = raw.max_entries.as_ref().and(sized.as_ref()).map(|sized| sized.max_entries);
    sized.as_ref().filter(|_| one_kind)?;
    Some(Map {
        entries: checked_entries?,
        slots: checked_slots?,
        persist,
        max_entries,
        counter: counter?,
        consumer: raw.consumer.as_ref().map(|text| text.value.trim().to_owned()),
    })
}

/// A map is of one kind, and `persist` needs content that may outlive programs.
fn kinds(raw: &raw::Map, name: &Text, facts: &MapFacts, diags: &mut Diagnostics) -> bool {
    let persist = raw.persist.as_ref().filter(|flag| flag.value).map(|flag| flag.span);
    let entries = raw.entries.as_ref().map(|list| list.span);
    let two = match (entries, &raw.slots, persist) {
        (Some(entries), Some(_), _) => Some(("`entries` and `slots`", entries, "holds data", name.span)),
        (Some(entries), None, Some(persist)) => {
            Some(("`entries` and `persist`", persist, "keeps old content", entries))
        }
        (None, Some(_), Some(persist)) => Some(("`slots` and `persist`", persist, "keeps old content", name.span)),
        _ => None,
    };
    if let Some((what, at, label, other)) = two {
        diags.push(
            Diagnostic::error(Code::MapKinds, format!("map `{}` has {what}", name.value))
                .at(at, label)
                .also(other, "is new with every bundle")
                .note("a map is config (entries or slots), state (persist) or scratch (neither)")
                .help("remove one of the two, or use two maps"),
        );
        return false;
    }
    let Some(span) = persist else { return true };
    let why = match facts.map_type.name() {
        "hash" | "array" | "percpu_hash" | "percpu_array" | "lru_hash" | "lru_percpu_hash" | "lpm_trie" | "queue"
        | "stack" | "bloom_filter" | "ringbuf" => return true,
        "prog_array" => "it holds programs of one bundle",
        "perf_event_array" => "its buffers belong to the process that reads them",
        _ => "its content belongs to objects of the running kernel",
    };
    diags.push(
        Diagnostic::error(
            Code::MapKinds,
            format!("map `{}` ({}) cannot outlive its programs", name.value, facts.map_type.name()),
        )
        .at(span, why)
        .help("remove `persist`"),
    );
    false
}

fn check_counter(text: &Text, facts: &MapFacts, diags: &mut Diagnostics) -> Option<CounterName> {
    let name = name::<CounterName>(text, "counter", diags)?;
    let is_array = matches!(facts.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY);
    let is_number = facts.value.form == Form::Int { signed: false } && matches!(facts.value.size, 4 | 8);
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

fn unique_counters(dict: &Dict<raw::Map>, diags: &mut Diagnostics) {
    let counters = dict.0.iter().filter_map(|(_, map)| map.export.as_ref()).map(|export| &export.counter);
    super::unique(
        counters.map(|counter| (&counter.value, counter.span)),
        |name| format!("counter `{}`", shown(name)),
        diags,
    );
}
