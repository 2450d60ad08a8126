//! Global variables of an object, as its BTF names them.
//!
//! In:   [`Btf`] and the file. Out: [`GlobalFacts`], by name. Cannot fail: what has no type is not listed.
//!
//! Variables lie in sections, and each section becomes one map in the kernel: `.rodata` is frozen before a program
//! runs, `.data` and `.bss` are the programs' own. Source: libbpf `src/libbpf.c`, `bpf_object__init_global_data_maps`.

use std::collections::BTreeMap;

use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionKind, read::elf::ElfFile64};

use super::{
    btf::{Btf, Kind, Qualifier, TypeId},
    shape::Shape,
};

/// A global variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalFacts {
    /// C variable.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Its type.
    pub shape: Shape,
    /// Declared `static`: the name may stand for another variable elsewhere.
    pub is_static: bool,
    /// Declared `const`.
    pub is_const: bool,
    /// Declared `volatile`: without it the compiler may have used a constant's value already.
    pub is_volatile: bool,
    /// Its value in the file; `None` if there is no such symbol.
    pub initial: Option<Vec<u8>>,
}

/// What a section of variables is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionUse {
    /// `.rodata` and its kin: constants for the programs, and for the verifier.
    Constants,
    /// `.data`, `.bss` and their kin: programs change them.
    Variables,
    /// `.kconfig`: the kernel's configuration.
    KernelConfig,
    /// `.ksyms`: symbols of the kernel.
    KernelSymbols,
    /// `license`, `version`, `.maps` and whatever else.
    Other,
}

impl GlobalFacts {
    /// What its section is for.
    pub fn section_use(&self) -> SectionUse {
        let within =
            |base: &str| self.section.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        match () {
            () if within(".rodata") => SectionUse::Constants,
            () if within(".data") || within(".bss") => SectionUse::Variables,
            () if within(".kconfig") => SectionUse::KernelConfig,
            () if within(".ksyms") => SectionUse::KernelSymbols,
            () => SectionUse::Other,
        }
    }

    /// Whether a manifest can give it a value.
    pub fn is_settable(&self) -> bool {
        matches!(self.section_use(), SectionUse::Constants | SectionUse::Variables)
    }
}

/// All variables outside `.maps`; two of one name are both listed.
pub fn read(btf: &Btf, bytes: &[u8]) -> Vec<GlobalFacts> {
    let mut initial = initial_values(bytes);
    let mut globals = Vec::new();
    for (id, item) in btf.iter() {
        let Kind::DataSection(variables) = &item.kind else { continue };
        let section = btf.name(id);
        if section == ".maps" {
            continue;
        }
        for &variable in variables {
            let Kind::Variable { of, linkage } = btf.get(variable).kind else { continue };
            let Some(shape) = Shape::of(btf, of) else { continue };
            let name = btf.name(variable).to_owned();
            let (is_const, is_volatile) = qualifiers(btf, of);
            let value = initial.remove(&(section.to_owned(), name.clone()));
            let initial = value.filter(|value| value.len() == shape.size as usize);
            let (section, is_static) = (section.to_owned(), linkage == 0);
            globals.push(GlobalFacts { name, section, shape, is_static, is_const, is_volatile, initial });
        }
    }
    globals.sort_by(|a, b| (&a.name, &a.section).cmp(&(&b.name, &b.section)));
    globals
}

/// Longest chain that is followed; BTF may contain loops.
const MAX_CHAIN: usize = 32;

/// `const` and `volatile` of a variable; those of an array stand at its elements.
fn qualifiers(btf: &Btf, mut id: TypeId) -> (bool, bool) {
    let (mut is_const, mut is_volatile) = (false, false);
    for _ in 0..MAX_CHAIN {
        id = match btf.get(id).kind {
            Kind::Modifier { to, qualifier } => {
                is_const |= qualifier == Qualifier::Const;
                is_volatile |= qualifier == Qualifier::Volatile;
                to
            }
            Kind::Typedef(to) => to,
            Kind::Array { element, .. } => element,
            _ => break,
        };
    }
    (is_const, is_volatile)
}

/// Largest variable whose value is read, in bytes: it is only shown.
const INITIAL_MAX_BYTES: u64 = 4096;

/// Values by section and symbol; `.bss` has zeros only.
fn initial_values(bytes: &[u8]) -> BTreeMap<(String, String), Vec<u8>> {
    let mut values = BTreeMap::new();
    let Ok(file) = ElfFile64::<Endianness>::parse(bytes) else { return values };
    for symbol in file.symbols().filter(|symbol| symbol.size() > 0 && symbol.size() <= INITIAL_MAX_BYTES) {
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let Some(section) = section else { continue };
        let (Ok(section_name), Ok(name)) = (section.name(), symbol.name()) else { continue };
        let range = usize::try_from(symbol.address()).ok().zip(usize::try_from(symbol.size()).ok());
        let Some((start, size)) = range else { continue };
        let value = if section.kind() == SectionKind::UninitializedData {
            Some(vec![0; size])
        } else {
            let end = start.checked_add(size);
            section.data().ok().zip(end).and_then(|(data, end)| data.get(start..end)).map(<[u8]>::to_vec)
        };
        if let Some(value) = value {
            values.insert((section_name.to_owned(), name.to_owned()), value);
        }
    }
    values
}
