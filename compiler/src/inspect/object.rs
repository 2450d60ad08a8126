//! What an object holds.

use std::collections::BTreeSet;

use nodeplan::{digest::Sha256Digest, hook::Hook};
use serde::Serialize;

use crate::{
    check::{
        kernels::{self, Answer},
        sizes,
    },
    object::{
        self, ObjectError, ObjectFacts, ProgramFacts,
        globals::GlobalFacts,
        helpers, lower,
        map::{self, MapFacts},
        parts::Parts,
        section::{Target, Usage},
    },
    relocate::{self, Kernel},
};

/// An object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Digest of the file.
    pub sha256: String,
    /// Its size.
    pub bytes: usize,
    /// Licence; absent if it names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Whether it has BTF.
    pub btf: bool,
    /// Whether BTF tells C lines.
    pub lines: bool,
    /// Programs, by section and offset.
    pub programs: Vec<Program>,
    /// Maps, by name.
    pub maps: Vec<Map>,
    /// Global variables, by section and offset.
    pub globals: Vec<Variable>,
    /// Why nodebpf would refuse it, whichever program is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// A program.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// C function.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Kind of program, in bpftool's words; absent if libbpf does not know the section.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub program_type: Option<&'static str>,
    /// Hook of nodebpf; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<&'static str>,
    /// What the section names: a function, tracepoint, attach type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Whether it may sleep.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sleepable: bool,
    /// Instructions, with those of the functions it calls.
    pub instructions: u64,
    /// Functions it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// Helpers it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub helpers: Vec<String>,
    /// CO-RE relocations.
    pub relocations: usize,
    /// Why nodebpf would refuse it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// For each kernel of `--btf`, what it lacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<OnKernel>,
}

/// A program on a kernel.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OnKernel {
    /// Name of the kernel's file.
    pub kernel: String,
    /// What it lacks, in C's words.
    pub lacks: Vec<String>,
    /// What it lacks, where the program seems to ask first.
    pub perhaps_unreachable: Vec<String>,
    /// What the section names, where the kernel's types do not tell whether it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<String>,
}

/// A map.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// C variable.
    pub name: String,
    /// Type, in bpftool's words.
    #[serde(rename = "type")]
    pub map_type: &'static str,
    /// Type of its keys.
    pub key: String,
    /// Size of a key.
    pub key_bytes: u32,
    /// Type of its values.
    pub value: String,
    /// Size of a value.
    pub value_bytes: u32,
    /// Most entries; bytes of a ring buffer.
    pub max_entries: u32,
    /// Bytes of all keys and values, per-CPU values for the CPUs that were named.
    pub memory_bytes: u64,
}

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

/// Looks at an object.
pub fn inspect(bytes: &[u8], cpus: u32, kernels: &[Kernel<'_>]) -> Result<Object, ObjectError> {
    let facts = object::read(bytes)?;
    let parts = Parts::read(bytes)?;
    let mut programs: Vec<_> =
        facts.programs.iter().map(|program| read_program(program, &facts, &parts, kernels)).collect();
    let mut refused: Vec<_> = facts.constructs.iter().map(|construct| format!("it needs {construct}")).collect();
    let too_large = facts.variables.iter().filter(|section| section.is_too_large());
    refused.extend(too_large.map(|section| format!("its section {} takes {} bytes", section.name, section.bytes)));
    refused.extend(facts.maps.iter().filter_map(sizes::refused));
    if !facts.has_btf {
        refused.push("it has no BTF".to_owned());
    }
    if facts.licence.as_deref().is_none_or(str::is_empty) {
        refused.push("it has no licence".to_owned());
    }
    if refused.is_empty() {
        refused.extend(lowered(bytes, &mut programs));
    }
    let mut globals: Vec<_> = facts.globals.iter().filter(|global| global.is_settable()).map(read_variable).collect();
    globals.sort_by(|a, b| (&a.section, &a.name).cmp(&(&b.section, &b.name)));
    Ok(Object {
        sha256: Sha256Digest::of(bytes).to_string(),
        bytes: bytes.len(),
        licence: facts.licence.clone(),
        btf: facts.has_btf,
        lines: facts.has_lines,
        programs,
        maps: facts.maps.iter().map(|map| read_map(map, cpus)).collect(),
        globals,
        refused,
    })
}

fn read_program(facts: &ProgramFacts, object: &ObjectFacts, parts: &Parts<'_>, kernels: &[Kernel<'_>]) -> Program {
    let mut refused = Vec::new();
    let (hook, target) = match facts.kind.as_ref().map(|section| &section.usage) {
        Ok(Usage::Hook(hook, target)) => (Some(*hook), target.text()),
        Ok(Usage::Refused(what)) => {
            refused.push(format!("it is {what}"));
            (None, String::new())
        }
        Err(error) => {
            refused.push(error.to_string());
            (None, String::new())
        }
    };
    refused.extend(facts.constructs.iter().map(|construct| format!("it needs {construct}")));
    if hook == Some(Hook::Xdp) {
        match &facts.prototype {
            Some(prototype) => {
                let misfit = prototype.misfit();
                refused.extend(misfit.map(|why| format!("it cannot follow a dispatcher: {why}")));
            }
            None if object.has_btf => refused.push("its BTF has no record of the function".to_owned()),
            None => {}
        }
    }
    let gpl = object.licence.as_deref().is_some_and(|licence| helpers::GPL_LICENCES.contains(&licence));
    if !gpl && hook.is_some_and(helpers::hook_is_gpl_only) {
        refused.push("its hook needs a GPL-compatible licence".to_owned());
    }
    let name = |id: &u32| helpers::name(*id).unwrap_or_else(|| format!("helper {id}"));
    let needs_gpl = facts.helpers.keys().filter(|id| !gpl && helpers::is_gpl_only(**id));
    refused.extend(needs_gpl.map(|id| format!("{} needs a GPL-compatible licence", name(id))));
    let section = facts.kind.as_ref().ok();
    Program {
        name: facts.name.clone(),
        section: facts.section.clone(),
        program_type: section.map(|section| section.program_type.name()),
        hook: hook.map(Hook::as_str),
        target: Some(target).filter(|target| !target.is_empty()),
        sleepable: section.is_some_and(|section| section.sleepable),
        instructions: facts.instructions,
        functions: facts.functions.clone(),
        helpers: facts.helpers.keys().map(name).collect(),
        relocations: facts.relocations,
        refused,
        kernels: kernels.iter().map(|kernel| on_kernel(facts, parts, kernel)).collect(),
    }
}

fn on_kernel(facts: &ProgramFacts, parts: &Parts<'_>, kernel: &Kernel<'_>) -> OnKernel {
    let mut found = OnKernel {
        kernel: kernel.name.clone(),
        lacks: Vec::new(),
        perhaps_unreachable: Vec::new(),
        not_checked: Vec::new(),
    };
    if let Some((hook, name)) = target(facts) {
        match kernels::target(hook, name, kernel) {
            Answer::Has => {}
            Answer::Lacks { .. } => found.lacks.push(format!("{hook} {name}")),
            Answer::NotChecked => found.not_checked.push(format!("{hook} {name}")),
        }
    }
    for lack in relocate::lacks(parts, &facts.name, kernel) {
        let list = if lack.perhaps_unreachable { &mut found.perhaps_unreachable } else { &mut found.lacks };
        list.push(lack.what);
    }
    found
}

/// What the section names of the kernel.
fn target(facts: &ProgramFacts) -> Option<(Hook, &str)> {
    match &facts.kind.as_ref().ok()?.usage {
        Usage::Hook(hook, Target::Name(name) | Target::Tracepoint(_, name)) => Some((*hook, name)),
        _ => None,
    }
}

fn read_map(facts: &MapFacts, cpus: u32) -> Map {
    Map {
        name: facts.name.clone(),
        map_type: facts.map_type.name(),
        key: facts.key.c_type.clone(),
        key_bytes: facts.key.size,
        value: facts.value.c_type.clone(),
        value_bytes: facts.value.size,
        max_entries: facts.max_entries,
        memory_bytes: map::memory_bytes(facts, cpus),
    }
}

fn read_variable(facts: &GlobalFacts) -> Variable {
    Variable {
        name: facts.name.clone(),
        section: facts.section.clone(),
        c_type: facts.shape.c_type.clone(),
        bytes: facts.shape.size,
    }
}

/// Lowers the object as `compile` would for its sound programs: what is refused then is of one program, or of the object.
fn lowered(bytes: &[u8], programs: &mut [Program]) -> Option<String> {
    let sound = programs.iter().filter(|program| program.refused.is_empty());
    let names: BTreeSet<&str> = sound.map(|program| program.name.as_str()).collect();
    let error = lower::lower(bytes, &names).err()?.to_string();
    let alone = |name: &str| lower::lower(bytes, &BTreeSet::from([name])).err();
    let refused: Vec<_> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), alone(name)?.to_string()))).collect();
    if refused.is_empty() || refused.len() == names.len() && refused.iter().all(|(_, why)| *why == error) {
        return Some(error);
    }
    for (name, why) in refused {
        let same = programs.iter_mut().filter(|program| program.name == name);
        same.for_each(|program| program.refused.push(why.clone()));
    }
    None
}
