//! Sections of global variables, each of which becomes one map on a node.
//!
//! In:   an [`Elf`]. Out: [`VariableSection`]s, in the order of the file. Cannot fail.
//!
//! Their sizes stand in the headers: a `.bss` takes nothing of the file, so that a small file may ask for any memory.

use nodeplan::limits;
use object::{LittleEndian, elf as raw};

use super::elf::{Elf, Section};

/// A section of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableSection {
    /// Name.
    pub name: String,
    /// Size in memory, in bytes.
    pub bytes: u64,
    /// Its largest variable, if a symbol tells.
    pub largest: Option<String>,
}

impl VariableSection {
    /// Whether it takes more than a map may.
    pub fn is_too_large(&self) -> bool {
        self.bytes > limits::MAP_MAX_MEMORY_BYTES
    }
}

/// All of an object.
pub fn read(elf: &Elf<'_>) -> Vec<VariableSection> {
    let sections = elf.sections.iter().enumerate().filter(|(_, section)| is_variables(section));
    sections
        .map(|(index, section)| {
            let symbols = elf.symbols.iter().filter(|symbol| symbol.section == Some(index) && symbol.size > 0);
            let largest = symbols.max_by_key(|symbol| symbol.size).map(|symbol| symbol.name.to_owned());
            VariableSection { name: section.name.to_owned(), bytes: section.size(), largest }
        })
        .collect()
}

/// Readers go by the start of the name.
fn is_variables(section: &Section<'_>) -> bool {
    let named = [".rodata", ".data", ".bss"].iter().any(|base| section.name.starts_with(base));
    let allocated = section.header.sh_flags.get(LittleEndian) & u64::from(raw::SHF_ALLOC) != 0;
    let zero = section.header.sh_type.get(LittleEndian) == raw::SHT_NOBITS;
    named && (allocated || zero) && section.size() > 0
}
