//! Memory that the maps and variables of a stream take.
//!
//! In:   [`Resolved`]. Out: bytes. Cannot fail.
//!
//! A lower bound, keys, values and variables only: what the kernel adds for each entry differs from type to type and from kernel
//! to kernel. Per-CPU values count once, because the number of CPUs is the node's.

use crate::{
    object::map::MapFacts,
    resolve::Resolved,
    yaml::types::{Dict, Number},
};

/// Memory of all maps and sections of variables of all objects of a stream.
pub(super) fn bytes(resolved: &Resolved) -> u64 {
    let override_of = |name: &str| {
        let maps = resolved.manifest.spec.maps.as_ref().map_or(&[][..], |Dict(maps)| maps);
        let size = maps.iter().find(|(key, _)| key.value == name)?.1.max_entries.as_ref();
        size.and_then(|size: &Number| u64::try_from(size.value).ok())
    };
    let maps = resolved.objects.values().flat_map(|object| &object.facts.maps);
    let maps = maps.map(|map| of_map(map, override_of(&map.name)));
    let variables = resolved.objects.values().flat_map(|object| &object.facts.variables);
    maps.chain(variables.map(|section| section.bytes)).fold(0, u64::saturating_add)
}

fn of_map(map: &MapFacts, entries: Option<u64>) -> u64 {
    let entries = entries.unwrap_or(u64::from(map.max_entries));
    // A ring buffer has no keys and values; its size is in bytes.
    let entry = match u64::from(map.key.size) + u64::from(map.value.size) {
        0 => 1,
        entry => entry,
    };
    entries.saturating_mul(entry)
}
