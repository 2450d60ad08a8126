//! Maps of a starter: one line for each map of the objects.
//!
//! In:   what objects offer. Out: lines below `maps`. What can be left as it is stands behind `# `.

use super::{Start, Text};
use crate::{
    check::sizes,
    diag::shown,
    object::{
        map::{MapFacts, MapType},
        shape::Form,
    },
};

/// A line for one map.
struct Line {
    /// Whether the manifest should say it, and not only may.
    wanted: bool,
    text: String,
    comment: String,
}

pub(super) fn lines(text: &mut Text, objects: &[Start<'_>]) {
    let maps = objects.iter().flat_map(|object| &object.facts.maps);
    let named = maps.filter(|map| nodeplan::name::MapName::try_from(map.name.as_str()).is_ok());
    let lines: Vec<_> = named.map(line).collect();
    if lines.is_empty() {
        return;
    }
    text.line("  # Maps: only those that the manifest has something to say about.", "");
    let all_optional = lines.iter().all(|line| !line.wanted);
    text.line(if all_optional { "  # maps:" } else { "  maps:" }, "");
    for line in lines {
        let start = match (line.wanted, all_optional) {
            (true, _) => "    ",
            (false, true) => "  #   ",
            (false, false) => "    # ",
        };
        text.line(&format!("{start}{}", line.text), &line.comment);
    }
}

fn line(map: &MapFacts) -> Line {
    let (name, kind) = (&map.name, map.map_type.name());
    if let Some(size) = sizes::needs_size(map) {
        let consumer = if kind == "ringbuf" { ", consumer: node agent" } else { "" };
        let text = format!("{name}: {{maxEntries: {size}{consumer}}}");
        return Line { wanted: true, text, comment: format!("{kind}: EDIT: its size; the object has none that works") };
    }
    let counts = matches!(map.map_type, MapType::ARRAY | MapType::PERCPU_ARRAY)
        && map.value.form == (Form::Int { signed: false })
        && matches!(map.value.size, 4 | 8);
    let (text, what) = match kind {
        _ if counts => (format!("{name}: {{export: {{counter: {name}}}}}"), "shown by status, in JSON, as a metric"),
        "ringbuf" | "perf_event_array" => (format!("{name}: {{consumer: node agent}}"), "EDIT: who reads it"),
        "prog_array" => (format!("{name}: {{slots: {{0: PROGRAM}}}}"), "programs that tail calls reach"),
        "hash" | "array" => (format!("{name}: {{entries: [{{key: …, value: …}}]}}"), "filled, then frozen"),
        "lpm_trie" if map.key.size == 20 => {
            (format!("{name}: {{entries: [{{key: \"2001:db8::/32\", value: …}}]}}"), "filled, then frozen")
        }
        "lpm_trie" => (format!("{name}: {{entries: [{{key: 10.0.0.0/8, value: …}}]}}"), "filled, then frozen"),
        "percpu_hash" | "percpu_array" | "lru_hash" | "lru_percpu_hash" => {
            (format!("{name}: {{persist: true, maxEntries: {}}}", map.max_entries), "survives updates")
        }
        _ => (format!("{name}: {{}}"), "nothing to say"),
    };
    let untyped = kind == "prog_array" || kind == "perf_event_array" || map.key.size == 0 || map.value.size == 0;
    let types =
        if untyped { String::new() } else { format!(" of {} to {}", shown(&map.key.c_type), shown(&map.value.c_type)) };
    Line { wanted: matches!(kind, "ringbuf" | "perf_event_array"), text, comment: format!("{kind}{types}: {what}") }
}
