//! Check of the entries of a config map.
//!
//! In:   raw entries and the map. Out: entries in bytes, sorted by key.
//! May fail with: NB0305 (no entries), NB0318 (takes no entries), NB0319 (does not fit), NB0320 (too many), NB0321 (key
//! twice).

use std::collections::BTreeMap;

use nodeplan::{
    entry::{HexBytes, MapEntry},
    limits,
};

use super::{
    all, lpm, not_empty,
    values::{self, Subject},
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    manifest::raw,
    object::map::{MapFacts, MapType},
    source::{Span, Spanned},
    yaml::types::{List, Literal},
};

/// `BPF_F_RDONLY`: user space may not write. Source: linux `include/uapi/linux/bpf.h`.
const F_RDONLY: u32 = 1 << 3;

/// Why a map cannot be filled from a manifest, and what to do instead; `None` if it can.
///
/// A config map is filled once, frozen, and looks the same on every node. That leaves arrays, hashes and LPM tries.
fn refusal(facts: &MapFacts) -> Option<(&'static str, &'static str)> {
    let refusal = match facts.map_type.name() {
        "hash" | "array" | "lpm_trie" if facts.flags & F_RDONLY != 0 => {
            ("its flags say BPF_F_RDONLY: user space may not write", "use BPF_F_RDONLY_PROG: programs may not write")
        }
        "hash" | "array" | "lpm_trie" => return None,
        "percpu_hash" | "percpu_array" | "lru_percpu_hash" | "percpu_cgroup_storage" => {
            ("each CPU has values of its own", "use a map of type BPF_MAP_TYPE_HASH or BPF_MAP_TYPE_ARRAY")
        }
        "lru_hash" => {
            ("it forgets entries when it is full, also these", "use a map of type BPF_MAP_TYPE_HASH for what must stay")
        }
        "prog_array" => ("it holds programs", "write `slots: {0: PROGRAM}`"),
        "array_of_maps" | "hash_of_maps" => ("it holds maps", "use one hash with the outer key as part of its key"),
        "ringbuf" | "user_ringbuf" | "perf_event_array" => {
            ("it carries events", "remove `entries`; `consumer` says who reads it")
        }
        "devmap" | "devmap_hash" | "cpumap" | "xskmap" => {
            ("its values are devices, CPUs or sockets of one node", "leave it to a program or agent on the node")
        }
        "sockmap" | "sockhash" | "reuseport_sockarray" => {
            ("it holds sockets", "let a sockops program add them: bpf_sock_map_update()")
        }
        "cgroup_array" => ("it holds cgroups", "use bpf_skb_ancestor_cgroup_id() with a hash of ids"),
        "queue" | "stack" | "bloom_filter" => ("it has no keys", "use a map of type BPF_MAP_TYPE_ARRAY or HASH"),
        "sk_storage" | "inode_storage" | "task_storage" | "cgrp_storage" | "cgroup_storage" => {
            ("its values belong to objects of the running kernel", "use a map of type BPF_MAP_TYPE_HASH")
        }
        _ => ("nodebpf cannot fill it", "use a map of type BPF_MAP_TYPE_HASH or BPF_MAP_TYPE_ARRAY"),
    };
    Some(refusal)
}

/// The entries of one map; `facts` has the size that the manifest chooses.
pub(super) fn check(list: &List<raw::Entry>, facts: &MapFacts, diags: &mut Diagnostics) -> Option<Vec<MapEntry>> {
    if let Some((why, help)) = refusal(facts) {
        let message = format!("map `{}` has type {}, which takes no entries", facts.name, facts.map_type.name());
        diags.push(Diagnostic::error(Code::MapTakesNoEntries, message).at(list.span, why).help(help));
        return None;
    }
    if facts.map_type == MapType::LPM_TRIE && !lpm::fits(&facts.key) {
        let message = format!("map `{}` is an lpm_trie with key {}", facts.name, facts.key.c_type);
        diags.push(
            Diagnostic::error(Code::MapTakesNoEntries, message)
                .at(list.span, "the key must start with a prefix length")
                .note("kernel: the key of an lpm_trie is a __u32 prefix length, then the data")
                .help("struct key { __u32 prefixlen; __be32 address; };"),
        );
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
                .help("raise it by `maxEntries`, up to 4096, or remove entries"),
        );
        sound = false;
    }
    let entries = all(list.value.iter().map(|entry| {
        let subject = |what| Subject { what, name: "", code: Code::EntryMismatch };
        let key = if facts.map_type == MapType::LPM_TRIE {
            lpm::key(&entry.key, &facts.key, diags)
        } else {
            values::encode(&entry.key, &facts.key, subject("key"), diags)
        };
        let value = values::encode(&entry.value, &facts.value, subject("value"), diags);
        let key = key.filter(|key| index_exists(key, &entry.key, facts, diags))?;
        Some(Spanned::new((key, value?), entry.key.span))
    }))?;
    let entries = sorted_entries(entries, diags)?;
    sound.then_some(entries)
}

/// Keys of arrays are indices.
fn index_exists(key: &[u8], written: &Spanned<Literal>, facts: &MapFacts, diags: &mut Diagnostics) -> bool {
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
