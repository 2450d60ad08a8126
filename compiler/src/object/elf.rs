//! ELF: sections, symbols and relocations of a BPF object.
//!
//! In:   bytes of a file. Out: [`Elf`], whose offsets all lie inside. May fail with: [`ElfError`].

use object::{
    LittleEndian, elf,
    read::elf::{FileHeader as _, Rel as _, SectionHeader as _, Sym as _},
};

/// Why a file is not a BPF object that nodebpf takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Not ELF at all.
    #[error("it is not an ELF file")]
    NotElf,
    /// ELF whose tables point outside.
    #[error("its ELF tables are damaged: {0}")]
    Damaged(String),
    /// More code behind one program than the kernel takes.
    #[error(
        "program `{0}` and what it calls are more than 256 functions or 1,000,000 instructions, the kernel's limits"
    )]
    TooLarge(String),
    /// For another machine.
    #[error("it is for {0}, not for BPF")]
    Machine(String),
    /// For a big-endian target.
    #[error("it is big-endian; x86_64 and aarch64 need little-endian (`clang -target bpfel`)")]
    BigEndian,
    /// Linked, not compiled.
    #[error("it is {0}; a BPF object is relocatable (`clang -c`)")]
    NotRelocatable(&'static str),
}

/// A section.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// Name.
    pub name: &'a str,
    /// Header as it stands in the file.
    pub header: &'a elf::SectionHeader64<LittleEndian>,
    /// Content; empty for those that only take memory.
    pub data: &'a [u8],
    /// Relocations of its content, by offset.
    pub relocations: Vec<Relocation>,
}

/// A relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Place, in bytes from the section's start.
    pub offset: u64,
    /// Index of a symbol.
    pub symbol: usize,
    /// `R_BPF_*`.
    pub kind: u32,
}

/// A symbol.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts of a file format")]
pub struct Symbol<'a> {
    /// Name; empty for sections.
    pub name: &'a str,
    /// Offset in its section, in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// Its section; `None` if it is defined elsewhere.
    pub section: Option<usize>,
    /// Whether it is a function.
    pub is_function: bool,
    /// Whether it stands for a section.
    pub is_section: bool,
    /// Whether others may refer to it.
    pub global: bool,
    /// Whether it may be missing.
    pub weak: bool,
}

/// A BPF object.
#[derive(Clone, Debug)]
pub struct Elf<'a> {
    /// Header of the file.
    pub header: &'a elf::FileHeader64<LittleEndian>,
    /// Sections, by index.
    pub sections: Vec<Section<'a>>,
    /// Symbols, by index.
    pub symbols: Vec<Symbol<'a>>,
    /// Index of the section of the symbols.
    pub symbol_section: usize,
}

type Header = elf::FileHeader64<LittleEndian>;

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<Elf<'_>, ElfError> {
    let header = header(bytes)?;
    let damaged = |error: object::Error| ElfError::Damaged(error.to_string());
    let table = header.sections(LittleEndian, bytes).map_err(damaged)?;
    let symbols = table.symbols(LittleEndian, bytes, elf::SHT_SYMTAB).map_err(damaged)?;
    let mut sections = Vec::new();
    for (_, header) in table.enumerate() {
        let name = text(table.section_name(LittleEndian, header).map_err(damaged)?)?;
        let data = header.data(LittleEndian, bytes).map_err(damaged)?;
        // Readers subtract it; nothing is placed yet.
        if header.sh_addr(LittleEndian) != 0 {
            return Err(ElfError::Damaged(format!("section `{name}` has an address")));
        }
        sections.push(Section { name, header, data, relocations: Vec::new() });
    }
    for (_, header) in table.enumerate() {
        if header.sh_type(LittleEndian) == elf::SHT_RELA {
            return Err(ElfError::Damaged("it has relocations of the kind RELA".to_owned()));
        }
        let Some((relocations, link)) = header.rel(LittleEndian, bytes).map_err(damaged)? else { continue };
        if link != symbols.section() {
            return Err(ElfError::Damaged("relocations refer to another symbol table".to_owned()));
        }
        let target = sections
            .get_mut(header.sh_info(LittleEndian) as usize)
            .ok_or_else(|| ElfError::Damaged("relocations of a section that is not there".to_owned()))?;
        for relocation in relocations {
            let symbol = relocation.r_sym(LittleEndian) as usize;
            let offset = relocation.r_offset(LittleEndian);
            if symbol >= symbols.len() || offset >= target.header.sh_size(LittleEndian) {
                return Err(ElfError::Damaged("a relocation lies outside".to_owned()));
            }
            target.relocations.push(Relocation { offset, symbol, kind: relocation.r_type(LittleEndian) });
        }
        target.relocations.sort_by_key(|relocation| relocation.offset);
    }
    let mut found = Vec::new();
    for symbol in symbols.iter() {
        found.push(read_symbol(symbol, symbols.strings(), &sections)?);
    }
    Ok(Elf { header, sections, symbols: found, symbol_section: symbols.section().0 })
}

fn header(bytes: &[u8]) -> Result<&Header, ElfError> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    match (bytes.get(4), bytes.get(5)) {
        (Some(1), _) => return Err(ElfError::Machine("a 32-bit machine".to_owned())),
        (Some(2), Some(2)) => {
            let machine = bytes.get(18..20).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
            return Err(match machine {
                Some(elf::EM_BPF) => ElfError::BigEndian,
                _ => ElfError::Machine("another machine".to_owned()),
            });
        }
        _ => {}
    }
    let header = Header::parse(bytes).map_err(|error| ElfError::Damaged(error.to_string()))?;
    let machine = header.e_machine.get(LittleEndian);
    if machine != elf::EM_BPF {
        return Err(ElfError::Machine(match machine {
            elf::EM_X86_64 => "x86_64".to_owned(),
            elf::EM_AARCH64 => "aarch64".to_owned(),
            other => format!("ELF machine {other}"),
        }));
    }
    match header.e_type.get(LittleEndian) {
        elf::ET_REL => Ok(header),
        elf::ET_EXEC => Err(ElfError::NotRelocatable("an executable")),
        elf::ET_DYN => Err(ElfError::NotRelocatable("a shared library")),
        _ => Err(ElfError::NotRelocatable("of an unknown kind")),
    }
}

fn text(bytes: &[u8]) -> Result<&str, ElfError> {
    std::str::from_utf8(bytes).map_err(|_| ElfError::Damaged("a name is not UTF-8".to_owned()))
}

fn read_symbol<'a>(
    symbol: &'a elf::Sym64<LittleEndian>,
    strings: object::StringTable<'a>,
    sections: &[Section<'a>],
) -> Result<Symbol<'a>, ElfError> {
    let name = symbol.name(LittleEndian, strings).map_err(|error| ElfError::Damaged(error.to_string()))?;
    let index = symbol.st_shndx(LittleEndian);
    // Absolute, common and the like belong to no section.
    let section = (index != elf::SHN_UNDEF && index < elf::SHN_LORESERVE).then_some(usize::from(index));
    let found = Symbol {
        name: text(name)?,
        offset: symbol.st_value(LittleEndian),
        size: symbol.st_size(LittleEndian),
        section,
        is_function: symbol.st_type() == elf::STT_FUNC,
        is_section: symbol.st_type() == elf::STT_SECTION,
        global: symbol.st_bind() != elf::STB_LOCAL,
        weak: symbol.st_bind() == elf::STB_WEAK,
    };
    if let Some(index) = section {
        let size = sections
            .get(index)
            .map(|section| section.header.sh_size(LittleEndian))
            .ok_or_else(|| ElfError::Damaged("a symbol of a section that is not there".to_owned()))?;
        if found.offset.checked_add(found.size).is_none_or(|end| end > size) {
            return Err(ElfError::Damaged(format!("symbol of {} bytes lies outside its section", found.size)));
        }
    }
    Ok(found)
}

impl Section<'_> {
    /// Whether it holds instructions.
    pub fn is_code(&self) -> bool {
        let flags = self.header.sh_flags(LittleEndian);
        flags & u64::from(elf::SHF_EXECINSTR) != 0
            && self.header.sh_type(LittleEndian) == elf::SHT_PROGBITS
            && !self.data.is_empty()
    }

    /// Whether functions in it are called by programs, and are none themselves.
    pub fn is_text(&self) -> bool {
        self.is_code() && self.name.starts_with(".text")
    }

    /// Size in memory, in bytes.
    pub fn size(&self) -> u64 {
        self.header.sh_size(LittleEndian)
    }
}

impl<'a> Elf<'a> {
    /// Content of the first section `name`.
    pub fn data(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.data)
    }
}
