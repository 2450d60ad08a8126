//! Constructs: what an object may hold that a loader on a node does not do, by name.
//!
//! In:   [`Elf`] and BTF. Out: [`Construct`]s. Nothing is judged here: [`crate::check`] reports those that the
//! programs of the manifest need; what only other programs need, [`super::lower`] leaves out.

use std::fmt;

use super::{
    btf::TypeId,
    code::{Extern, Function},
    elf::{Elf, Symbol},
    types::{Types, kind},
};

/// Something that is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Construct {
    /// A function of the kernel, called by name.
    Kfunc(String),
    /// Another symbol of the kernel (`__ksym`).
    Ksym(String),
    /// A value of the kernel's configuration (`__kconfig`).
    Kconfig(String),
    /// Something that is defined nowhere.
    Undefined(String),
    /// A map of type `struct_ops`, or a variable of section `.struct_ops`.
    StructOps(String),
    /// Memory that is shared with user space.
    Arena(String),
    /// A map whose content is written in the C source (`.values`).
    StaticValues(String),
    /// A map in the old section `maps`.
    LegacyMaps(String),
    /// A variable in a section of its own.
    StraySection(String),
    /// A CO-RE relocation that asks whether types match, of this type.
    TypeMatches(String),
}

impl fmt::Display for Construct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kfunc(name) => write!(f, "the kernel function `{name}` (a kfunc)"),
            Self::Ksym(name) => write!(f, "the kernel symbol `{name}` (__ksym)"),
            Self::Kconfig(name) => write!(f, "the kernel configuration `{name}` (__kconfig)"),
            Self::Undefined(name) => write!(f, "`{name}`, which it does not define"),
            Self::StructOps(name) => write!(f, "the struct_ops `{name}`"),
            Self::Arena(name) => write!(f, "the arena `{name}`"),
            Self::StaticValues(name) => write!(f, "static values in map `{name}`"),
            Self::LegacyMaps(name) => write!(f, "map `{name}` of the old section `maps`"),
            Self::StraySection(name) => write!(f, "variables in section `{name}`"),
            Self::TypeMatches(name) => write!(f, "bpf_core_type_matches of `{name}`"),
        }
    }
}

impl Construct {
    /// What the author of the object can do.
    pub fn help(&self) -> String {
        match self {
            Self::Kfunc(_) | Self::Ksym(_) => {
                "use a helper instead, or move the code to a program that the manifest does not name".to_owned()
            }
            Self::Kconfig(name) => {
                format!("declare `const volatile` {name} without __kconfig, and set it under `globals`")
            }
            Self::Undefined(name) => format!("link the object that defines `{name}`: bpftool gen object OUT.o A.o B.o"),
            Self::StructOps(_) => "attach functions by fentry, or load the struct_ops by bpftool".to_owned(),
            Self::Arena(_) => "use a map of type array or hash".to_owned(),
            Self::StaticValues(name) => {
                format!("remove `.values` of `{name}`; a prog_array is filled by `maps: {{{name}: {{slots: …}}}}`")
            }
            Self::LegacyMaps(_) => "define the map in SEC(\".maps\") with __uint and __type".to_owned(),
            Self::StraySection(_) => "remove SEC(…) of the variables, so that they lie in .data or .rodata".to_owned(),
            Self::TypeMatches(name) => format!("use bpf_core_type_exists({name})"),
        }
    }
}

/// Map types: `BPF_MAP_TYPE_STRUCT_OPS` and `BPF_MAP_TYPE_ARENA`, linux `include/uapi/linux/bpf.h`.
const STRUCT_OPS: u32 = 26;
const ARENA: u32 = 33;

/// Constructs that `function` needs by itself, without what it calls.
pub fn of_function(function: &Function, elf: &Elf<'_>, types: Option<&Types<'_>>) -> Vec<Construct> {
    let mut found: Vec<_> = function.externs.iter().map(|item| of_extern(item, types)).collect();
    for &index in &function.data {
        let section = &elf.sections[index];
        let name = section.name;
        let within = |base: &str| name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if name == ".maps" || within(".data") || within(".rodata") || within(".bss") {
            continue;
        }
        let symbols = function.symbols.iter().map(|&symbol| &elf.symbols[symbol]);
        let named = symbols.filter(|symbol| symbol.section == Some(index)).map(|symbol| symbol.name);
        let first = named.filter(|name| !name.is_empty()).min().unwrap_or(name).to_owned();
        found.push(match name {
            _ if name.starts_with("maps") => Construct::LegacyMaps(first),
            ".struct_ops" | ".struct_ops.link" | "?.struct_ops" => Construct::StructOps(first),
            _ if name.starts_with(".addr_space") => Construct::Arena(name.to_owned()),
            _ => Construct::StraySection(name.to_owned()),
        });
    }
    let maps = function.symbols.iter().map(|&index| &elf.symbols[index]);
    found.extend(maps.filter_map(|symbol| of_map(symbol, elf, types?)));
    found
}

fn of_extern(item: &Extern, types: Option<&Types<'_>>) -> Construct {
    let name = item.name.clone();
    let section = types.and_then(|types| {
        let mut sections = types.iter().filter(|(_, section)| section.kind() == kind::DATASEC);
        let holds = |id: TypeId| types.name(id) == name;
        sections.find(|(_, section)| section.variables().any(|(id, _, _)| holds(id)))
    });
    match section.zip(types).map(|((id, _), types)| types.name(id)) {
        Some(".kconfig") => Construct::Kconfig(name),
        Some(".ksyms") if item.is_call => Construct::Kfunc(name),
        Some(".ksyms") => Construct::Ksym(name),
        _ if item.is_call && name.starts_with("BTF id ") => Construct::Kfunc(name),
        _ => Construct::Undefined(name),
    }
}

/// What is refused of the map `symbol`.
fn of_map(symbol: &Symbol<'_>, elf: &Elf<'_>, types: &Types<'_>) -> Option<Construct> {
    let section = symbol.section.filter(|&section| elf.sections[section].name == ".maps")?;
    let number = |id: TypeId| {
        let pointer = types.get(types.strip(id));
        let array = types.get(types.strip((pointer.kind() == kind::PTR).then_some(pointer.word)?));
        array.array().map(|(_, _, count)| count)
    };
    let definition = map_definition(symbol.name, types)?;
    let name = || symbol.name.to_owned();
    for member in types.get(definition).members() {
        match types.string(member.name) {
            "type" if number(member.type_id) == Some(STRUCT_OPS) => return Some(Construct::StructOps(name())),
            "type" if number(member.type_id) == Some(ARENA) => return Some(Construct::Arena(name())),
            _ => {}
        }
    }
    let inside = |offset: u64| (symbol.offset..symbol.offset + symbol.size).contains(&offset);
    let filled = elf.sections[section].relocations.iter().any(|relocation| inside(relocation.offset));
    filled.then(|| Construct::StaticValues(name()))
}

/// The struct that defines map `name`.
fn map_definition(name: &str, types: &Types<'_>) -> Option<TypeId> {
    let (_, section) =
        types.iter().find(|(id, section)| section.kind() == kind::DATASEC && types.name(*id) == ".maps")?;
    let (variable, _, _) = section.variables().find(|(id, _, _)| types.name(*id) == name)?;
    Some(types.strip(types.get(variable).word))
}

/// Constructs that hold for the whole object, whichever program is used: a reader refuses the file for them.
pub fn of_object(elf: &Elf<'_>, types: Option<&Types<'_>>) -> Vec<Construct> {
    let mut found = Vec::new();
    for symbol in &elf.symbols {
        let Some(section) = symbol.section else { continue };
        match elf.sections[section].name {
            name if name.starts_with("maps") => found.push(Construct::LegacyMaps(symbol.name.to_owned())),
            ".maps" => found.extend(types.and_then(|types| of_map(symbol, elf, types))),
            name if name.starts_with(".addr_space") => found.push(Construct::Arena(name.to_owned())),
            _ => {}
        }
    }
    found.sort();
    found.dedup();
    found
}
