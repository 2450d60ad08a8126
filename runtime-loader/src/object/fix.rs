//! What an object's BTF lacks for the kernel, and what an older kernel does not know.
//!
//! In: the BTF as clang wrote it, and the ELF file. Out: bytes for `BPF_BTF_LOAD`; ids stay as they are.
//! Fails with [`ObjectError::Elf`] for variables without section or symbol.
//!
//! Source of the rules: linux `kernel/bpf/btf.c` and what libbpf does before a load (`bpf_object__sanitize_btf`,
//! `btf_fixup_datasec`).

use super::{
    Read, broken,
    btf::{Btf, CONST, DATASEC, DECL_TAG, ENUM, ENUM64, Edit, FUNC, FUNC_PROTO, INT, PTR, TYPE_TAG, Type, UNION, VAR},
    elf::Elf,
};

/// `BTF_FUNC_STATIC`, `BTF_FUNC_GLOBAL`; also of variables.
const STATIC: u32 = 0;
const GLOBAL: u32 = 1;

/// Functions that clang calls by itself. Checked on their own, as global ones are, they would lose what the caller
/// knows about the sizes.
const MEMORY: [&str; 4] = ["memcpy", "memset", "memmove", "memcmp"];

/// The BTF that the kernel takes. `plain`: without the kinds that 5.14 as released lacks, which are declaration tags,
/// type tags and 64-bit enumerations.
pub(super) fn fix(btf: &Btf, elf: &Elf<'_>, plain: bool) -> Read<Vec<u8>> {
    let mut edit = btf.edit();
    let mut word = None;
    let mut parameter = None;
    for id in btf.ids() {
        let one = btf.get(id);
        match one.kind() {
            // Rust names its pointers; the kernel allows no name there.
            PTR => edit.set(btf, id, 0, 0),
            FUNC => fix_function(&mut edit, btf, id, one, elf),
            // Functions without names of parameters are not taken.
            FUNC_PROTO => {
                for index in (0..one.count()).filter(|&index| one.item(index, 2, 0) == 0 && one.item(index, 2, 1) != 0)
                {
                    let name = *parameter.get_or_insert_with(|| edit.add_name("arg"));
                    edit.set(btf, id, 3 + 2 * index, name);
                }
            }
            DATASEC => fix_section(&mut edit, btf, id, one, elf)?,
            DECL_TAG if plain => {
                edit.set(btf, id, 1, INT << 24);
                edit.set(btf, id, 2, 1);
                edit.set(btf, id, 3, 8); // bits
            }
            TYPE_TAG if plain => {
                edit.set(btf, id, 0, 0);
                edit.set(btf, id, 1, CONST << 24);
            }
            ENUM if plain && one.flag() => edit.set(btf, id, 1, one.word(1) & !(1 << 31)),
            // Values have as many words as members of a union: name, type, place.
            ENUM64 if plain => {
                let word = *word.get_or_insert_with(|| edit.add_type(&[0, INT << 24, 4, 32]));
                edit.set(btf, id, 1, UNION << 24 | one.word(1) & 0xffff);
                for index in 0..one.count() {
                    edit.set(btf, id, 4 + 3 * index, word);
                    edit.set(btf, id, 5 + 3 * index, 0);
                }
            }
            _ => {}
        }
    }
    Ok(edit.finish())
}

/// Linkage of a function: what is not to be verified apart from its callers is static.
fn fix_function(edit: &mut Edit, btf: &Btf, id: u32, one: Type<'_>, elf: &Elf<'_>) {
    let name = btf.text(one.name());
    let hidden = || elf.symbols.iter().any(|symbol| symbol.is_function() && symbol.is_hidden() && symbol.name == name);
    let linkage = match one.word(1) & 0xffff {
        GLOBAL if MEMORY.contains(&name) || hidden() => STATIC,
        STATIC => STATIC,
        // Functions of the kernel, too, which no kernel takes as external.
        _ => GLOBAL,
    };
    edit.set(btf, id, 1, FUNC << 24 | linkage);
}

/// Size of a section and places of its variables, which clang leaves to whoever knows the ELF file.
fn fix_section(edit: &mut Edit, btf: &Btf, id: u32, one: Type<'_>, elf: &Elf<'_>) -> Read<()> {
    if one.size_or_type() != 0 {
        return Ok(());
    }
    let name = btf.text(one.name());
    let Some(number) = elf.sections.iter().position(|section| section.name == name) else {
        return Err(broken("its BTF has variables in a section that is not there", name));
    };
    let size = u32::try_from(elf.sections[number].size).map_err(|_| broken("a section has 4 GiB or more", name))?;
    edit.set(btf, id, 2, size);
    let mut items = Vec::new();
    for index in 0..one.count() {
        let (variable, mut place) = (btf.get(one.item(index, 3, 0)), one.item(index, 3, 1));
        if variable.kind() == VAR && variable.word(3) != STATIC {
            place = symbol_value(elf, number, btf.text(variable.name()))?;
        }
        items.push((place, one.item(index, 3, 0), one.item(index, 3, 2)));
    }
    // The kernel wants them in the order of their places.
    items.sort_unstable();
    for (index, (place, variable, size)) in items.into_iter().enumerate() {
        for (field, value) in [variable, place, size].into_iter().enumerate() {
            edit.set(btf, id, 3 + 3 * index + field, value);
        }
    }
    Ok(())
}

/// Offset of the variable `name` in a section.
pub(super) fn symbol_value(elf: &Elf<'_>, section: usize, name: &str) -> Read<u32> {
    let symbol = elf.symbols.iter().find(|symbol| symbol.section == section && symbol.name == name);
    symbol
        .and_then(|symbol| u32::try_from(symbol.value).ok())
        .ok_or_else(|| broken("a variable of its BTF has no symbol", name))
}
