//! ELF: sections, symbols and relocations of a relocatable BPF object.
//!
//! In: bytes of an object. Out: [`Elf`], borrowed from them. Fails with [`ObjectError::Elf`].
//!
//! Source: System V ABI, "Object Files"; relocations: linux `Documentation/bpf/llvm_reloc.rst`. Only what clang writes
//! for `-target bpfel`: 64 bits, little-endian, fewer than 65,280 sections.

use super::{Read, broken, bytes};

/// `EM_BPF`.
const MACHINE_BPF: u16 = 247;
/// `ET_REL`.
const RELOCATABLE: u16 = 1;
const SYMTAB: u32 = 2;
const NOBITS: u32 = 8;
const REL: u32 = 9;
const FLAG_ALLOC: u64 = 2;
const FLAG_EXEC: u64 = 4;

const HEADER_BYTES: usize = 64;
const SYMBOL_BYTES: usize = 24;
const REL_BYTES: usize = 16;

/// A section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub(super) name: &'a str,
    /// Size in memory, in bytes; larger than `data` only where the file has none.
    pub(super) size: u64,
    pub(super) data: &'a [u8],
    kind: u32,
    flags: u64,
    link: u32,
    info: u32,
}

impl Section<'_> {
    /// Whether it holds instructions.
    pub(super) fn is_code(&self) -> bool {
        self.flags & FLAG_EXEC != 0 && !self.data.is_empty()
    }

    /// Whether it is part of the program's memory.
    pub(super) fn is_memory(&self) -> bool {
        self.flags & FLAG_ALLOC != 0
    }

    /// Whether it is all zero, with nothing in the file.
    pub(super) fn is_zero(&self) -> bool {
        self.kind == NOBITS
    }
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct Symbol<'a> {
    pub(super) name: &'a str,
    /// Number of its section; 0 for an undefined one.
    pub(super) section: usize,
    /// Offset in its section, in bytes.
    pub(super) value: usize,
    pub(super) size: usize,
    info: u8,
    other: u8,
}

impl Symbol<'_> {
    /// `STT_FUNC`.
    pub(super) fn is_function(&self) -> bool {
        self.info & 15 == 2
    }

    /// `STB_WEAK`: may stay undefined.
    pub(super) fn is_weak(&self) -> bool {
        self.info >> 4 == 2
    }

    /// `STV_INTERNAL` or `STV_HIDDEN`: nobody else calls it.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self.other & 3, 1 | 2)
    }
}

/// An object, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Elf<'a> {
    pub(super) sections: Vec<Section<'a>>,
    pub(super) symbols: Vec<Symbol<'a>>,
}

impl<'a> Elf<'a> {
    pub(super) fn parse(file: &'a [u8]) -> Read<Self> {
        // Class 64, little-endian.
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return Err(broken("it is no 64-bit little-endian ELF file", ""));
        }
        let (kind, machine) = (bytes::u16_at(file, 16), bytes::u16_at(file, 18));
        if (kind, machine) != (Some(RELOCATABLE), Some(MACHINE_BPF)) {
            return Err(broken("it is no relocatable ELF file for BPF", ""));
        }
        let sections = sections(file).ok_or_else(|| broken("its section table is damaged", ""))?;
        let symbols = symbols(&sections).ok_or_else(|| broken("its symbol table is damaged", ""))?;
        Ok(Self { sections, symbols })
    }

    /// The section `name`.
    pub(super) fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// For every instruction of the code section `number`, the number of the symbol that it is relocated against;
    /// 0, the empty symbol, for none.
    pub(super) fn relocations(&self, number: usize) -> Read<Vec<u32>> {
        let code = self.sections.get(number).map_or(0, |section| section.data.len() / 8);
        let mut symbols = vec![0; code];
        let tables = self.sections.iter().filter(|table| table.kind == REL && table.info as usize == number);
        for entry in tables.flat_map(|table| table.data.chunks_exact(REL_BYTES)) {
            let (Some(offset), Some(symbol)) = (bytes::size_at(entry, 0), bytes::u32_at(entry, 12)) else { continue };
            match symbols.get_mut(offset / 8) {
                Some(slot) if offset % 8 == 0 && self.symbols.len() > symbol as usize => *slot = symbol,
                _ => return Err(broken("a relocation leads outside of its section or of the symbols", "")),
            }
        }
        Ok(symbols)
    }
}

fn sections(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let table = file.get(bytes::size_at(file, 40)?..)?;
    let count = usize::from(bytes::u16_at(file, 60)?);
    if bytes::u16_at(file, 58)? as usize != HEADER_BYTES {
        return None;
    }
    let (mut sections, mut total) = (Vec::new(), 0);
    for header in table.get(..count * HEADER_BYTES)?.chunks_exact(HEADER_BYTES) {
        let kind = bytes::u32_at(header, 4)?;
        let size = bytes::u64_at(header, 32)?;
        // SHT_NULL and SHT_NOBITS have nothing in the file.
        let data =
            if kind == 0 || kind == NOBITS { &[] } else { bytes::slice(file, bytes::size_at(header, 24)?, size)? };
        // What is made of each must not be made of the same bytes again and again.
        total += data.len();
        if total > file.len() {
            return None;
        }
        sections.push(Section {
            name: "",
            size,
            data,
            kind,
            flags: bytes::u64_at(header, 8)?,
            link: bytes::u32_at(header, 40)?,
            info: bytes::u32_at(header, 44)?,
        });
    }
    let names = sections.get(usize::from(bytes::u16_at(file, 62)?))?.data;
    for (section, header) in sections.iter_mut().zip(table.chunks_exact(HEADER_BYTES)) {
        section.name = bytes::text_at(names, bytes::u32_at(header, 0)?)?;
    }
    Some(sections)
}

fn symbols<'a>(sections: &[Section<'a>]) -> Option<Vec<Symbol<'a>>> {
    let mut symbols = Vec::new();
    // An object without symbols has nothing to load, which is said later.
    let Some(table) = sections.iter().find(|section| section.kind == SYMTAB) else { return Some(symbols) };
    let names = sections.get(table.link as usize)?.data;
    for entry in table.data.chunks_exact(SYMBOL_BYTES) {
        let section = usize::from(bytes::u16_at(entry, 6)?);
        symbols.push(Symbol {
            name: bytes::text_at(names, bytes::u32_at(entry, 0)?)?,
            // Absolute and common symbols are of no section that exists.
            section: if section < sections.len() { section } else { 0 },
            value: bytes::size_at(entry, 8)?,
            size: bytes::size_at(entry, 16)?,
            info: *entry.get(4)?,
            other: *entry.get(5)?,
        });
    }
    Some(symbols)
}
