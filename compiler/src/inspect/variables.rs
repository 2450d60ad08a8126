//! Global variables of an object, with their C types.

use object::LittleEndian;
use serde::Serialize;

use crate::object::{
    btf::TypeId,
    elf::Elf,
    types::{Types, kind},
};

/// A global variable.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// C name.
    pub name: String,
    /// `.rodata` can be set by `globals`; `.data` and `.bss` belong to the program.
    pub section: String,
    /// C type.
    #[serde(rename = "type")]
    pub c_type: String,
    /// Size of its value.
    pub bytes: u32,
}

/// All of an object, by section and name.
pub fn read(types: &Types<'_>, elf: &Elf<'_>) -> Vec<Variable> {
    let is_memory = |name: &str| {
        let flags = |section: &crate::object::elf::Section<'_>| section.header.sh_flags.get(LittleEndian);
        let known = [".data", ".rodata", ".bss"].iter().any(|base| name.starts_with(base));
        known && elf.sections.iter().any(|section| section.name == name && flags(section) != 0)
    };
    let mut found: Vec<_> = types
        .iter()
        .filter(|(_, section)| section.kind() == kind::DATASEC && is_memory(types.string(section.name)))
        .flat_map(|(id, section)| section.variables().map(move |(variable, _, _)| (id, variable)))
        .map(|(section, variable)| Variable {
            name: types.name(variable).to_owned(),
            section: types.name(section).to_owned(),
            c_type: c_type(types, types.get(variable).word, 0),
            bytes: types.size(variable).unwrap_or(0),
        })
        .collect();
    found.sort_by(|a, b| (&a.section, &a.name).cmp(&(&b.section, &b.name)));
    found
}

/// A type as C writes it, more or less.
fn c_type(types: &Types<'_>, id: TypeId, depth: usize) -> String {
    let found = types.get(id);
    let name = types.name(id);
    let inner = |id| if depth < 8 { c_type(types, id, depth + 1) } else { "…".to_owned() };
    match found.kind() {
        kind::VOID => "void".to_owned(),
        kind::PTR => format!("{} *", inner(found.word)),
        kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => inner(found.word),
        kind::ARRAY => {
            let (element, _, count) = found.array().unwrap_or_default();
            format!("{}[{count}]", inner(element))
        }
        kind::STRUCT => format!("struct {name}").trim_end().to_owned(),
        kind::UNION => format!("union {name}").trim_end().to_owned(),
        kind::ENUM | kind::ENUM64 => format!("enum {name}").trim_end().to_owned(),
        _ => name.to_owned(),
    }
}
