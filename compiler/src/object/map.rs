//! Maps of an object, as its BTF defines them in section `.maps`.
//!
//! In:   [`Btf`]. Out: [`MapFacts`], by name. Cannot fail: what is not a map definition is not listed.
//!
//! Source of the convention: libbpf `bpf_helpers.h` (`__uint`, `__type`) and `src/libbpf.c`, `parse_btf_map_def`.

use super::btf::{Btf, Kind, TypeId};

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
    /// Most entries; 0 if the object does not say.
    pub max_entries: u32,
}

/// Size and type of a key or value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size in bytes; 0 if there is none.
    pub size: u32,
    /// How manifests write it.
    pub scalar: ScalarType,
    /// C type for messages.
    pub c_type: String,
}

/// How a value of a map is written in a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarType {
    /// A number in the order of the machine.
    Int {
        /// Whether it has a sign.
        signed: bool,
    },
    /// A number in network order; of 4 bytes also an IPv4 address.
    Network,
    /// A truth value.
    Bool,
    /// Bytes only.
    Bytes,
}

/// Number of a map type: `enum bpf_map_type`, linux `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapType(pub u32);

impl MapType {
    /// `BPF_MAP_TYPE_HASH`.
    pub const HASH: Self = Self(1);
    /// `BPF_MAP_TYPE_ARRAY`.
    pub const ARRAY: Self = Self(2);
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    pub const PERCPU_ARRAY: Self = Self(6);

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
        matches!(self.name(), "percpu_hash" | "percpu_array" | "lru_percpu_hash" | "percpu_cgroup_storage")
    }
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
    let Kind::Variable(definition) = btf.get(variable).kind else { return None };
    let Kind::Composite { members, .. } = &btf.get(btf.strip(definition)).kind else { return None };
    let mut map = MapFacts {
        name: btf.name(variable).to_owned(),
        map_type: MapType(0),
        key: Shape::bytes(0),
        value: Shape::bytes(0),
        max_entries: 0,
    };
    for member in members {
        match btf.member_name(member) {
            "type" => map.map_type = MapType(number(btf, member.type_id)?),
            "max_entries" => map.max_entries = number(btf, member.type_id)?,
            "key_size" => map.key = Shape::bytes(number(btf, member.type_id)?),
            "value_size" => map.value = Shape::bytes(number(btf, member.type_id)?),
            "key" => map.key = Shape::of(btf, pointee(btf, member.type_id)?)?,
            "value" => map.value = Shape::of(btf, pointee(btf, member.type_id)?)?,
            // map_flags, pinning, numa_node, map_extra, values: not needed here.
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

impl Shape {
    fn bytes(size: u32) -> Self {
        Self { size, scalar: ScalarType::Bytes, c_type: format!("{size} bytes") }
    }

    fn of(btf: &Btf, id: TypeId) -> Option<Self> {
        let size = btf.size(id)?;
        let typedefs = btf.typedef_names(id);
        let plain = btf.strip(id);
        let network = typedefs.iter().any(|name| matches!(*name, "__be16" | "__be32" | "__be64"));
        let scalar = match btf.get(plain).kind {
            Kind::Int { encoding, .. } if encoding & 4 != 0 => ScalarType::Bool,
            Kind::Int { .. } if network => ScalarType::Network,
            Kind::Int { encoding, bits, .. } if size <= 8 && u32::from(bits) == size * 8 => {
                ScalarType::Int { signed: encoding & 1 != 0 }
            }
            Kind::Enum { signed, .. } => ScalarType::Int { signed },
            _ => ScalarType::Bytes,
        };
        let name = typedefs.first().copied().filter(|name| !name.is_empty()).unwrap_or(btf.name(plain));
        let c_type = match btf.get(plain).kind {
            _ if name.is_empty() => format!("{size} bytes"),
            Kind::Composite { .. } if typedefs.is_empty() => format!("struct {name} ({size} bytes)"),
            Kind::Composite { .. } => format!("{name} ({size} bytes)"),
            _ => name.to_owned(),
        };
        Some(Self { size, scalar, c_type })
    }
}
