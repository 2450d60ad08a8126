//! `.BTF.ext`: which function, C line and CO-RE relocation belongs to which instruction.
//!
//! In:   the section. Out: [`Ext`], record by record. May fail with: [`BtfError`].
//!
//! Source: linux `Documentation/bpf/btf.rst`, section 4.2, and `include/uapi/linux/bpf.h`, `struct bpf_core_relo`.

use super::{
    btf::{BtfError, TypeId},
    elf::{Elf, Section},
    types::Types,
};

/// Records of all three tables.
#[derive(Clone, Debug, Default)]
pub struct Ext<'a> {
    /// Functions: offset, type.
    pub functions: Table<'a>,
    /// C lines: offset, file, text, line and column.
    pub lines: Table<'a>,
    /// CO-RE relocations: offset, type, access string, kind.
    pub relocations: Table<'a>,
}

/// One table.
#[derive(Clone, Debug, Default)]
pub struct Table<'a> {
    /// Bytes of a record; 0 if the table is empty.
    pub stride: u32,
    /// Records by section.
    pub sections: Vec<Records<'a>>,
}

/// Records of one section.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    /// Name of the section: offset in the strings of `.BTF`.
    pub section: u32,
    /// The records; each begins with an offset in the section, in bytes.
    pub records: Vec<Record<'a>>,
}

/// One record, of `stride` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a>(pub &'a [u8]);

impl Record<'_> {
    /// Number at place `index`.
    pub fn word(&self, index: usize) -> u32 {
        self.0
            .get(index * 4..index * 4 + 4)
            .map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("invariant: four bytes")))
    }

    /// Offset of the instruction in its section, in bytes.
    pub fn offset(&self) -> u32 {
        self.word(0)
    }

    /// Type of a function or relocation.
    pub fn type_id(&self) -> TypeId {
        self.word(1)
    }
}

/// Bytes of the header that nodebpf writes: with CO-RE relocations.
const HEADER: usize = 32;

impl<'a> Ext<'a> {
    /// Reads `.BTF.ext`.
    pub fn parse(section: &'a [u8]) -> Result<Self, BtfError> {
        let short = BtfError("its .BTF.ext header is too short");
        if section.get(..3) != Some(&[0x9f, 0xeb, 1]) {
            return Err(BtfError("the magic or version of .BTF.ext is unknown"));
        }
        let header = Record(section).word(1) as usize;
        if header < 24 || section.len() < header {
            return Err(short);
        }
        let table = |index: usize, min_stride: u32| {
            if header < (index + 2) * 4 {
                return Ok(Table::default());
            }
            let (offset, length) = (Record(section).word(index) as usize, Record(section).word(index + 1) as usize);
            let bytes = header
                .checked_add(offset)
                .and_then(|start| section.get(start..start.checked_add(length)?))
                .ok_or(BtfError("a table of .BTF.ext lies outside"))?;
            read_table(bytes, min_stride)
        };
        Ok(Self { functions: table(2, 8)?, lines: table(4, 16)?, relocations: table(6, 16)? })
    }

    /// Every record belongs to an instruction of a section, and every name and type in it is there.
    pub fn check(&self, elf: &Elf<'_>, types: &Types<'_>) -> Result<(), BtfError> {
        let sound_string = |offset: u32| types.bytes(offset).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
        let sound_type = |id: TypeId| id != 0 && id <= types.last();
        for table in [&self.functions, &self.lines, &self.relocations] {
            for records in &table.sections {
                let name = types.bytes(records.section).unwrap_or_default();
                let section = elf.sections.iter().find(|section| section.is_code() && section.name.as_bytes() == name);
                let size = section.map(Section::size).ok_or(BtfError(".BTF.ext names a section without code"))?;
                let inside =
                    |record: &Record<'_>| u64::from(record.offset()) < size && record.offset().is_multiple_of(8);
                if !records.records.iter().all(inside) || !records.records.is_sorted_by_key(Record::offset) {
                    return Err(BtfError("a record of .BTF.ext belongs to no instruction"));
                }
            }
        }
        let functions = self.functions.iter().all(|(_, record)| sound_type(record.type_id()));
        let lines = self.lines.iter().all(|(_, record)| sound_string(record.word(1)) && sound_string(record.word(2)));
        let sound_relocation = |record: &Record<'_>| {
            let access = types.string(record.word(2));
            let parts =
                access.split(':').filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty());
            sound_type(record.type_id()) && record.word(3) <= 12 && parts.count() == access.split(':').count()
        };
        let relocations = self.relocations.iter().all(|(_, record)| sound_relocation(&record));
        if functions && lines && relocations {
            Ok(())
        } else {
            Err(BtfError("a record of .BTF.ext refers to a name or type that is not there"))
        }
    }

    /// The section's bytes: header, then functions, lines and relocations.
    pub fn encode(&self) -> Vec<u8> {
        let tables = [&self.functions, &self.lines, &self.relocations].map(encode_table);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let mut put = |word: usize| bytes.extend(u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
        put(HEADER);
        let mut offset = 0;
        for table in &tables {
            put(offset);
            put(table.len());
            offset += table.len();
        }
        bytes.extend(tables.concat());
        bytes
    }
}

fn read_table(mut bytes: &[u8], min_stride: u32) -> Result<Table<'_>, BtfError> {
    let early = BtfError(".BTF.ext ends too early");
    if bytes.is_empty() {
        return Ok(Table::default());
    }
    let mut take = |length: usize| {
        let (head, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some((head, rest.is_empty()))
    };
    let (head, mut done) = take(4).ok_or(early.clone())?;
    let stride = Record(head).word(0);
    if stride < min_stride || !stride.is_multiple_of(4) || stride > 256 {
        return Err(BtfError("its .BTF.ext records have a wrong size"));
    }
    let mut sections = Vec::new();
    while !done {
        let (head, _) = take(8).ok_or(early.clone())?;
        let (section, count) = (Record(head).word(0), Record(head).word(1));
        if count == 0 {
            return Err(BtfError("a section of .BTF.ext has no records"));
        }
        let mut records = Vec::new();
        for _ in 0..count {
            let (record, empty) = take(stride as usize).ok_or(early.clone())?;
            records.push(Record(record));
            done = empty;
        }
        sections.push(Records { section, records });
    }
    Ok(Table { stride, sections })
}

fn encode_table(table: &Table<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if table.sections.is_empty() {
        return bytes;
    }
    bytes.extend(table.stride.to_le_bytes());
    for section in &table.sections {
        bytes.extend(section.section.to_le_bytes());
        bytes.extend(u32::try_from(section.records.len()).unwrap_or(u32::MAX).to_le_bytes());
        section.records.iter().for_each(|record| bytes.extend(record.0));
    }
    bytes
}

impl<'a> Table<'a> {
    /// All records with the offset of their section's name.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Record<'a>)> {
        self.sections.iter().flat_map(|section| section.records.iter().map(|record| (section.section, *record)))
    }
}
