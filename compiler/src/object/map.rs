//! Maps of an object, as its BTF defines them in section `.maps`.
//!
//! In:   [`Btf`]. Out: [`MapFacts`], by name. Cannot fail: what is not a map definition is not listed.
//!
//! Source of the convention: libbpf `bpf_helpers.h` (`__uint`, `__type`) and `src/libbpf.c`, `parse_btf_map_def`.

use nodeplan::map_memory;

use super::{
    btf::{Btf, Kind, TypeId},
    shape::Shape,
};

/// A map of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFacts {
    /// C variable.
    pub name: String,
    /// What kind of map it is.
    pub map_type: MapType,
    /// Keys.
    pub key: Shape,
    /// Values.
    pub value: Shape,
    /// Most entries; 0 if the object does not say. Bytes of a ring buffer, pages of an arena.
    pub max_entries: u32,
    /// `BPF_F_*`, linux `include/uapi/linux/bpf.h`.
    pub flags: u32,
    /// Whether libbpf would pin it by its name, so that all objects with such a map share one: `LIBBPF_PIN_BY_NAME`.
    pub pinned: bool,
}

/// Number of a map type: `enum bpf_map_type`, linux `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapType(pub u32);

impl MapType {
    /// `BPF_MAP_TYPE_HASH`.
    pub const HASH: Self = Self(1);
    /// `BPF_MAP_TYPE_ARRAY`.
    pub const ARRAY: Self = Self(2);
    /// `BPF_MAP_TYPE_PROG_ARRAY`.
    pub const PROG_ARRAY: Self = Self(3);
    /// `BPF_MAP_TYPE_PERF_EVENT_ARRAY`.
    pub const PERF_EVENT_ARRAY: Self = Self(4);
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    pub const PERCPU_ARRAY: Self = Self(6);
    /// `BPF_MAP_TYPE_LRU_HASH`.
    pub const LRU_HASH: Self = Self(9);
    /// `BPF_MAP_TYPE_LRU_PERCPU_HASH`.
    pub const LRU_PERCPU_HASH: Self = Self(10);
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    pub const LPM_TRIE: Self = Self(11);
    /// `BPF_MAP_TYPE_RINGBUF`.
    pub const RINGBUF: Self = Self(27);
    /// `BPF_MAP_TYPE_ARENA`.
    pub const ARENA: Self = Self(33);

    /// bpftool's word for it.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 34] = [
            "unspec",
            "hash",
            "array",
            "prog_array",
            "perf_event_array",
            "percpu_hash",
            "percpu_array",
            "stack_trace",
            "cgroup_array",
            "lru_hash",
            "lru_percpu_hash",
            "lpm_trie",
            "array_of_maps",
            "hash_of_maps",
            "devmap",
            "sockmap",
            "cpumap",
            "xskmap",
            "sockhash",
            "cgroup_storage",
            "reuseport_sockarray",
            "percpu_cgroup_storage",
            "queue",
            "stack",
            "sk_storage",
            "devmap_hash",
            "struct_ops",
            "ringbuf",
            "inode_storage",
            "task_storage",
            "bloom_filter",
            "user_ringbuf",
            "cgrp_storage",
            "arena",
        ];
        NAMES.get(self.0 as usize).copied().unwrap_or("unknown")
    }

    /// Whether each CPU has values of its own.
    pub fn is_per_cpu(self) -> bool {
        map_memory::is_per_cpu(self.0)
    }

    /// Why `max_entries` cannot be chosen; `None` if it can.
    pub fn fixed_size(self) -> Option<&'static str> {
        match self.name() {
            "sk_storage" | "inode_storage" | "task_storage" | "cgrp_storage" => {
                Some("it grows with the objects it is attached to; kernel: max_entries must be 0")
            }
            "cgroup_storage" | "percpu_cgroup_storage" => {
                Some("it has one value per cgroup; kernel: max_entries must be 0")
            }
            "perf_event_array" => Some("it has one buffer per CPU"),
            "struct_ops" => Some("it holds one set of operations"),
            "prog_array" => Some("its indices are compiled into the programs"),
            _ => None,
        }
    }
}

/// Memory that a map may take on a node with `cpus` CPUs, in bytes; saturates. The loader's own estimate.
pub fn memory_bytes(map: &MapFacts, cpus: u32) -> u64 {
    let cpus = usize::try_from(cpus.max(1)).unwrap_or(usize::MAX);
    map_memory::bytes(map.map_type.0, map.key.size, map.value.size, map.max_entries, cpus)
}

/// All maps of section `.maps`.
pub fn read(btf: &Btf) -> Vec<MapFacts> {
    let mut maps: Vec<_> = btf
        .iter()
        .filter_map(|(id, kind)| match &kind.kind {
            Kind::DataSection(variables) if btf.name(id) == ".maps" => Some(variables),
            _ => None,
        })
        .flatten()
        .filter_map(|&variable| read_map(btf, variable))
        .collect();
    maps.sort_by(|a, b| a.name.cmp(&b.name));
    maps
}

fn read_map(btf: &Btf, variable: TypeId) -> Option<MapFacts> {
    let Kind::Variable { of: definition, .. } = btf.get(variable).kind else { return None };
    let Kind::Composite { members, .. } = &btf.get(btf.strip(definition)).kind else { return None };
    let mut map = MapFacts {
        name: btf.name(variable).to_owned(),
        map_type: MapType(0),
        key: Shape::bytes(0),
        value: Shape::bytes(0),
        max_entries: 0,
        flags: 0,
        pinned: false,
    };
    for member in members {
        match btf.member_name(member) {
            "type" => map.map_type = MapType(number(btf, member.type_id)?),
            "max_entries" => map.max_entries = number(btf, member.type_id)?,
            "key_size" => map.key = Shape::bytes(number(btf, member.type_id)?),
            "value_size" => map.value = Shape::bytes(number(btf, member.type_id)?),
            "key" => map.key = Shape::of(btf, pointee(btf, member.type_id)?)?,
            "value" => map.value = Shape::of(btf, pointee(btf, member.type_id)?)?,
            "map_flags" => map.flags = number(btf, member.type_id)?,
            "pinning" => map.pinned = number(btf, member.type_id)? != 0,
            // numa_node, map_extra, values: not needed here.
            _ => {}
        }
    }
    Some(map)
}

/// `__uint(name, n)` is a pointer to an array of `n`.
fn number(btf: &Btf, id: TypeId) -> Option<u32> {
    match btf.get(btf.strip(pointee(btf, id)?)).kind {
        Kind::Array { count, .. } => Some(count),
        _ => None,
    }
}

fn pointee(btf: &Btf, id: TypeId) -> Option<TypeId> {
    match btf.get(btf.strip(id)).kind {
        Kind::Pointer(to) => Some(to),
        _ => None,
    }
}
