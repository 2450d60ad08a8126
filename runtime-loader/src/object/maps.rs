//! Maps that an object defines: those of section `.maps`, and one for each section of variables.
//!
//! In: ELF and BTF. Out: [`Map`]s by name. Fails with [`ObjectError::Elf`] for a definition that has no sense.
//!
//! Source of the convention: libbpf `src/bpf_helpers.h` (`__uint`, `__type`) and `src/libbpf.c`.

use nodeplan::limits::MAP_MAX_MEMORY_BYTES;

use super::{
    Read, broken,
    btf::{ARRAY, Btf, DATASEC, PTR, STRUCT, VAR},
    elf::{Elf, Section},
    fix::symbol_value,
};

/// `BPF_MAP_TYPE_ARRAY`.
const ARRAY_MAP: u32 = 2;
/// `BPF_F_RDONLY_PROG`.
const READ_ONLY: u32 = 1 << 7;

/// A map to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Map<'a> {
    /// C variable, or the section.
    pub(super) name: &'a str,
    /// Number of the section that holds the definition or the variables.
    pub(super) section: usize,
    /// Offset of the definition in its section. For a section of variables 0.
    pub(super) offset: usize,
    /// Content of a section of variables; empty for one that is all zero.
    pub(super) data: Option<Vec<u8>>,
    /// `enum bpf_map_type`.
    pub(super) kind: u32,
    /// Bytes of a key.
    pub(super) key_size: u32,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// Most entries.
    pub(super) max_entries: u32,
    /// `BPF_F_*`.
    pub(super) flags: u32,
    /// Meaning depends on the type.
    pub(super) extra: u64,
    /// BTF ids of key and value; 0 for none.
    pub(super) types: (u32, u32),
}

impl Map<'_> {
    /// Whether programs may only read it: its values are constants for the verifier once it is frozen.
    pub(super) fn is_read_only(&self) -> bool {
        self.data.is_some() && self.flags & READ_ONLY != 0
    }
}

/// All maps of an object, by name.
pub(super) fn read<'a>(elf: &Elf<'a>, btf: Option<&Btf>) -> Read<Vec<Map<'a>>> {
    let mut maps = Vec::new();
    for (number, section) in elf.sections.iter().enumerate() {
        if section.name == ".maps" {
            defined(&mut maps, elf, number, btf.ok_or_else(|| broken("it has maps but no BTF", ""))?)?;
        } else if let Some(flags) = variables(section) {
            maps.push(of_variables(number, section, flags)?);
        }
    }
    maps.sort_unstable_by_key(|map| map.name);
    Ok(maps)
}

/// Flags of the map for a section of variables; `None` for other sections.
fn variables(section: &Section<'_>) -> Option<u32> {
    let starts =
        |name: &str| section.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if !section.is_memory() || section.size == 0 {
        return None;
    }
    match () {
        () if starts(".rodata") => Some(READ_ONLY),
        () if starts(".data") || starts(".bss") => Some(0),
        () => None,
    }
}

fn of_variables<'a>(number: usize, section: &Section<'a>, flags: u32) -> Read<Map<'a>> {
    if section.size > MAP_MAX_MEMORY_BYTES {
        return Err(broken("a section of variables is too large", section.name));
    }
    Ok(Map {
        name: section.name,
        section: number,
        data: Some(if section.is_zero() { Vec::new() } else { section.data.to_vec() }),
        kind: ARRAY_MAP,
        key_size: 4,
        value_size: u32::try_from(section.size).unwrap_or_default(),
        max_entries: 1,
        flags,
        ..Map::default()
    })
}

/// Maps of section `.maps`: each variable's type is a structure whose members say everything.
fn defined<'a>(maps: &mut Vec<Map<'a>>, elf: &Elf<'a>, number: usize, btf: &Btf) -> Read<()> {
    let section = btf.get(btf.find(DATASEC, ".maps").ok_or_else(|| broken("its BTF has no section `.maps`", ""))?);
    for index in 0..section.count() {
        let variable = btf.get(section.item(index, 3, 0));
        let name = btf.text(variable.name());
        let (_, definition) = btf.plain(variable.size_or_type());
        if variable.kind() != VAR || definition.kind() != STRUCT {
            return Err(broken("the definition of a map is no structure", name));
        }
        let offset = symbol_value(elf, number, name)? as usize;
        // The name lives in the ELF file, too: BTF is changed before the map is created.
        let symbol = elf.symbols.iter().find(|symbol| symbol.section == number && symbol.name == name);
        let mut map = Map { name: symbol.map_or("", |symbol| symbol.name), section: number, offset, ..Map::default() };
        for member in 0..definition.count() {
            let field = btf.text(definition.item(member, 3, 0));
            member_of(&mut map, btf, field, definition.item(member, 3, 1))
                .ok_or_else(|| broken("a member of a map's definition has no sense", field))?;
        }
        maps.push(map);
    }
    Ok(())
}

/// `__uint(name, n)` is a pointer to an array of `n`; `__type(name, t)` is a pointer to `t`.
fn member_of(map: &mut Map<'_>, btf: &Btf, field: &str, id: u32) -> Option<()> {
    let pointee = || {
        let (_, pointer) = btf.plain(id);
        (pointer.kind() == PTR).then(|| pointer.size_or_type())
    };
    let number = || {
        let (_, array) = btf.plain(pointee()?);
        (array.kind() == ARRAY).then(|| array.word(5))
    };
    match field {
        "type" => map.kind = number()?,
        "max_entries" => map.max_entries = number()?,
        "map_flags" => map.flags = number()?,
        "map_extra" => map.extra = number()?.into(),
        "key_size" => map.key_size = number()?,
        "value_size" => map.value_size = number()?,
        "key" => {
            map.types.0 = pointee()?;
            map.key_size = btf.size(map.types.0)?;
        }
        "value" => {
            map.types.1 = pointee()?;
            map.value_size = btf.size(map.types.1)?;
        }
        // pinning and numa_node: places of pins are ours. values: refused with the type of the map.
        _ => {}
    }
    Some(())
}
