//! Write: an ELF object with some of its sections changed.
//!
//! In:   an [`Elf`] that was read, changes by section. Out: bytes. Cannot fail.
//!
//! Sections keep their numbers, symbols too: a section that goes becomes an empty one, its symbols belong to nothing.

use std::{borrow::Cow, collections::BTreeMap};

use object::{LittleEndian, U16, U32, U64, elf as raw, pod};

use super::elf::Elf;

type Header = raw::SectionHeader64<LittleEndian>;
type Symbol = raw::Sym64<LittleEndian>;

/// A file in the making.
pub(super) struct File<'a> {
    elf: &'a Elf<'a>,
    contents: Vec<Cow<'a, [u8]>>,
    dropped: Vec<bool>,
    names: BTreeMap<usize, String>,
}

impl<'a> File<'a> {
    pub(super) fn new(elf: &'a Elf<'a>) -> Self {
        let contents: Vec<_> = elf.sections.iter().map(|section| Cow::Borrowed(section.data)).collect();
        Self { elf, dropped: vec![false; contents.len()], contents, names: BTreeMap::new() }
    }

    pub(super) fn drop_section(&mut self, index: usize) {
        self.dropped[index] = true;
        self.contents[index] = Cow::Borrowed(&[]);
    }

    pub(super) fn rename(&mut self, index: usize, name: &str) {
        self.names.insert(index, name.to_owned());
    }

    pub(super) fn replace(&mut self, index: usize, content: Vec<u8>) {
        self.contents[index] = Cow::Owned(content);
    }

    /// Writes over a part of a section; what lies outside is not written.
    pub(super) fn overwrite(&mut self, index: usize, offset: usize, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len());
        if let Some(place) = end.and_then(|end| self.contents[index].to_mut().get_mut(offset..end)) {
            place.copy_from_slice(bytes);
        }
    }

    /// Keeps those relocations of section `index` whose place `stays`.
    pub(super) fn keep_relocations(&mut self, index: usize, stays: impl Fn(u64) -> bool) {
        const BYTES: usize = 16;
        let place = |record: &[u8]| {
            record.get(..8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("invariant: eight bytes")))
        };
        let kept = self.contents[index].chunks_exact(BYTES).filter(|record| stays(place(record))).flatten().copied();
        self.contents[index] = Cow::Owned(kept.collect());
    }

    pub(super) fn encode(mut self) -> Vec<u8> {
        self.release_symbols();
        let name_offsets = self.add_names();
        let mut bytes = pod::bytes_of(self.elf.header).to_vec();
        let mut headers = Vec::new();
        for (index, section) in self.elf.sections.iter().enumerate() {
            let mut header = *section.header;
            if self.dropped[index] {
                header = empty();
            } else if header.sh_type.get(LittleEndian) != raw::SHT_NULL {
                if header.sh_type.get(LittleEndian) != raw::SHT_NOBITS {
                    header.sh_size = U64::new(LittleEndian, self.contents[index].len() as u64);
                }
                align(&mut bytes, header.sh_addralign.get(LittleEndian));
                header.sh_offset = U64::new(LittleEndian, bytes.len() as u64);
                bytes.extend(&*self.contents[index]);
                if let Some(offset) = name_offsets.get(&index) {
                    header.sh_name = U32::new(LittleEndian, *offset);
                }
            }
            headers.push(header);
        }
        align(&mut bytes, 8);
        let mut header = *self.elf.header;
        header.e_shoff = U64::new(LittleEndian, bytes.len() as u64);
        bytes[..size_of_val(&header)].copy_from_slice(pod::bytes_of(&header));
        for header in &headers {
            bytes.extend(pod::bytes_of(header));
        }
        bytes
    }

    /// Symbols of sections that go.
    fn release_symbols(&mut self) {
        let symbols = &self.elf.symbols;
        let is_gone =
            |index: usize| symbols.get(index).and_then(|symbol| symbol.section).is_some_and(|of| self.dropped[of]);
        if !(0..symbols.len()).any(is_gone) {
            return;
        }
        let table = &self.contents[self.elf.symbol_section];
        let mut written = Vec::with_capacity(table.len());
        for (index, record) in table.chunks(size_of::<Symbol>()).enumerate() {
            match pod::from_bytes::<Symbol>(record) {
                Ok((symbol, _)) if is_gone(index) => {
                    let mut symbol = *symbol;
                    // Untyped, in the same binding: local symbols stand before the others.
                    symbol.st_info &= 0xf0;
                    symbol.st_shndx = U16::new(LittleEndian, raw::SHN_ABS);
                    symbol.st_value = U64::new(LittleEndian, 0);
                    symbol.st_size = U64::new(LittleEndian, 0);
                    written.extend(pod::bytes_of(&symbol));
                }
                _ => written.extend(record),
            }
        }
        self.contents[self.elf.symbol_section] = Cow::Owned(written);
    }

    /// Adds the new names behind the old ones; returns their offsets.
    fn add_names(&mut self) -> BTreeMap<usize, u32> {
        let index = usize::from(self.elf.header.e_shstrndx.get(LittleEndian));
        let mut offsets = BTreeMap::new();
        let Some(strings) = self.contents.get_mut(index).filter(|_| !self.names.is_empty()) else { return offsets };
        let strings = strings.to_mut();
        let mut known: BTreeMap<&str, u32> = BTreeMap::new();
        for (section, name) in &self.names {
            let offset = *known.entry(name).or_insert_with(|| {
                let at = u32::try_from(strings.len()).unwrap_or(0);
                strings.extend(name.as_bytes());
                strings.push(0);
                at
            });
            offsets.insert(*section, offset);
        }
        offsets
    }
}

fn empty() -> Header {
    let (word, long) = (U32::new(LittleEndian, 0), U64::new(LittleEndian, 0));
    Header {
        sh_name: word,
        sh_type: word,
        sh_flags: long,
        sh_addr: long,
        sh_offset: long,
        sh_size: long,
        sh_link: word,
        sh_info: word,
        sh_addralign: long,
        sh_entsize: long,
    }
}

/// Fills up to a multiple of `alignment`; more than a page is nobody's wish.
fn align(bytes: &mut Vec<u8>, alignment: u64) {
    let alignment = usize::try_from(alignment.clamp(1, 4096)).unwrap_or(1);
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}
