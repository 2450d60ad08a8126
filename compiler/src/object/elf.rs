//! ELF: sections and function symbols of a BPF object.
//!
//! In:   bytes of a file. Out: [`Elf`]. May fail with: [`ElfError`].

use object::{
    Architecture, Endianness, Object, ObjectKind, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind,
    read::elf::ElfFile64,
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

/// A function that is a program of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// C name.
    pub name: String,
    /// Section, such as `xdp`.
    pub section: String,
    /// Offset in the section, in bytes.
    pub offset: u64,
    /// Whether the symbol is global.
    pub global: bool,
}

/// What nodebpf wants of an ELF file.
#[derive(Clone, Debug, Default)]
pub struct Elf<'a> {
    /// Functions outside `.text`, by section and offset.
    pub functions: Vec<Function>,
    /// Content of `license`.
    pub licence: Option<&'a [u8]>,
    /// Content of `.BTF`.
    pub btf: Option<&'a [u8]>,
    /// Content of `.BTF.ext`.
    pub btf_ext: Option<&'a [u8]>,
}

const SHF_EXECINSTR: u64 = 4;

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<Elf<'_>, ElfError> {
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    let damaged = |error: object::Error| ElfError::Damaged(error.to_string());
    if bytes.get(4) == Some(&1) {
        return Err(ElfError::Machine("a 32-bit machine".to_owned()));
    }
    let file = ElfFile64::<Endianness>::parse(bytes).map_err(damaged)?;
    if file.architecture() != Architecture::Bpf {
        return Err(ElfError::Machine(format!("{:?}", file.architecture())));
    }
    if !file.is_little_endian() {
        return Err(ElfError::BigEndian);
    }
    match file.kind() {
        ObjectKind::Relocatable => {}
        ObjectKind::Executable => return Err(ElfError::NotRelocatable("an executable")),
        ObjectKind::Dynamic => return Err(ElfError::NotRelocatable("a shared library")),
        _ => return Err(ElfError::NotRelocatable("of an unknown kind")),
    }
    let mut elf = Elf::default();
    for section in file.sections() {
        match section.name().map_err(damaged)? {
            "license" => elf.licence = Some(section.data().map_err(damaged)?),
            ".BTF" => elf.btf = Some(section.data().map_err(damaged)?),
            ".BTF.ext" => elf.btf_ext = Some(section.data().map_err(damaged)?),
            _ => {}
        }
    }
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index).map_err(damaged)?;
        let name = section.name().map_err(damaged)?;
        let executable = matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & SHF_EXECINSTR != 0);
        if executable {
            // What is read later trusts these.
            let end = symbol.address().checked_add(symbol.size());
            let inside = section.address() == 0 && end.is_some_and(|end| end <= section.size());
            if !inside || section.data().is_err() {
                return Err(ElfError::Damaged(format!("symbol of {} bytes lies outside its section", symbol.size())));
            }
        }
        if executable && name != ".text" {
            elf.functions.push(Function {
                name: symbol.name().map_err(damaged)?.to_owned(),
                section: name.to_owned(),
                offset: symbol.address(),
                global: symbol.is_global(),
            });
        }
    }
    elf.functions.sort_by(|a, b| (&a.section, a.offset, &a.name).cmp(&(&b.section, b.offset, &b.name)));
    Ok(elf)
}
