//! Memory that the maps and variables of a stream take.
//!
//! In:   [`Resolved`]. Out: bytes. Cannot fail.
//!
//! A lower bound, keys, values and variables only: what the kernel adds for each entry differs from type to type and
//! from kernel to kernel. Per-CPU values count once, because the number of CPUs is the node's.

use crate::{
    object::map::{MapFacts, memory_bytes},
    resolve::Resolved,
    yaml::types::{Dict, Number},
};

/// Memory of all maps and sections of variables of all objects of a stream.
pub(super) fn bytes(resolved: &Resolved) -> u64 {
    let override_of = |name: &str| {
        let maps = resolved.manifest.spec.maps.as_ref().map_or(&[][..], |Dict(maps)| maps);
        let size = maps.iter().find(|(key, _)| key.value == name)?.1.max_entries.as_ref();
        size.and_then(|size: &Number| u32::try_from(size.value).ok())
    };
    let maps = resolved.objects.values().flat_map(|object| &object.facts.maps);
    let sized = |map: &MapFacts| match override_of(&map.name) {
        Some(max_entries) => memory_bytes(&MapFacts { max_entries, ..map.clone() }, 1),
        None => memory_bytes(map, 1),
    };
    let maps = maps.map(sized);
    let variables = resolved.objects.values().flat_map(|object| &object.facts.variables);
    maps.chain(variables.map(|section| section.bytes)).fold(0, u64::saturating_add)
}
