//! What a BPF object offers: programs, maps, licence.
//!
//! In:   bytes of a file. Out: [`ObjectFacts`]; nothing of it is judged here, [`crate::check`] does.
//! May fail with: [`ObjectError`], which [`crate::resolve`] reports as NB0205.

pub mod btf;
pub mod code;
pub mod construct;
pub mod elf;
pub mod ext;
pub mod globals;
pub mod helpers;
pub mod kernel_rules;
pub mod lower;
pub mod map;
mod oracle;
pub mod parts;
pub mod run_config;
pub mod section;
pub mod shape;
pub mod types;
pub mod variables;
mod write;

use std::collections::BTreeMap;

use btf::{Btf, Kind, TypeId};
use code::Function;
use construct::Construct;
use globals::GlobalFacts;
use map::MapFacts;
use parts::Parts;
use run_config::RunConfig;
use section::{Section, UnknownSection};
use variables::VariableSection;

/// What an object offers.
#[derive(Clone, Debug)]
pub struct ObjectFacts {
    /// Programs, by section and offset.
    pub programs: Vec<ProgramFacts>,
    /// Maps defined with BTF, by name.
    pub maps: Vec<MapFacts>,
    /// Global variables, by name.
    pub globals: Vec<GlobalFacts>,
    /// Sections that hold them.
    pub variables: Vec<VariableSection>,
    /// Licence text; absent if the object has no `license` section.
    pub licence: Option<String>,
    /// Whether the object has BTF.
    pub has_btf: bool,
    /// Whether BTF tells the C line of an instruction.
    pub has_lines: bool,
    /// What no reader on a node takes, whichever program is used.
    pub constructs: Vec<Construct>,
}

/// One program of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// C function.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// What the section says.
    pub kind: Result<Section, UnknownSection>,
    /// Its C prototype, if BTF has one under its function record.
    pub prototype: Option<Prototype>,
    /// Instructions, with those of the functions it calls.
    pub instructions: u64,
    /// Functions that it calls, directly or not, by name.
    pub functions: Vec<String>,
    /// Helpers that it or what it calls calls, by number: function, and instruction in it.
    pub helpers: BTreeMap<u32, (String, u64)>,
    /// CO-RE relocations in it and what it calls.
    pub relocations: usize,
    /// What it needs and no reader on a node gives.
    pub constructs: Vec<Construct>,
    /// What `.xdp_run_config` says of it.
    pub run_config: Option<RunConfig>,
}

/// A C prototype, as far as a dispatcher cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Declared without `static`.
    pub global: bool,
    /// Returns a signed 32-bit `int`.
    pub returns_int: bool,
    /// For each parameter that is a pointer to a struct, the struct's name; `None` for others.
    pub parameters: Vec<Option<String>>,
}

impl Prototype {
    /// Why a program of this prototype cannot stand behind an XDP dispatcher; `None` if it can.
    pub fn misfit(&self) -> Option<&'static str> {
        if !self.global {
            Some("it is static")
        } else if !self.returns_int {
            Some("it does not return int")
        } else if !matches!(self.parameters.as_slice(), [Some(name)] if name == "xdp_md") {
            Some("its parameter is not one struct xdp_md *")
        } else {
            None
        }
    }
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The ELF side.
    #[error("{0}")]
    Elf(#[from] elf::ElfError),
    /// The BTF side.
    #[error("{0}")]
    Btf(#[from] btf::BtfError),
    /// Something that concerns the whole object.
    #[error("it needs {0}")]
    Construct(Construct),
    /// Everything is in place, but the loader's own reader refuses it.
    #[error("the loader cannot read it: {0}")]
    Loader(String),
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<ObjectFacts, ObjectError> {
    let parts = Parts::read(bytes)?;
    let tree = parts.types.as_ref().map(Btf::new).transpose()?;
    let configs = parts.types.as_ref().map(run_config::read).unwrap_or_default();
    let programs = parts
        .functions
        .iter()
        .enumerate()
        .filter(|(_, function)| function.is_program)
        .map(|(index, function)| {
            let record = parts.function_type(function);
            let prototype = tree.as_ref().zip(record).and_then(|(btf, id)| prototype(btf, id, function.global));
            ProgramFacts { prototype, run_config: configs.get(&function.name).cloned(), ..program(&parts, index) }
        })
        .collect();
    let maps = tree.as_ref().map_or_else(Vec::new, map::read);
    let globals = tree.as_ref().map_or_else(Vec::new, |btf| globals::read(btf, bytes));
    // The licence is a C string in a char array.
    let licence =
        parts.elf.data("license").map(|bytes| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned());
    let constructs = construct::of_object(&parts.elf, parts.types.as_ref());
    Ok(ObjectFacts {
        programs,
        maps,
        globals,
        variables: variables::read(&parts.elf),
        licence,
        has_btf: tree.is_some(),
        has_lines: !parts.ext.lines.sections.is_empty(),
        constructs,
    })
}

/// CO-RE relocations inside a function: kind and type.
fn relocations(parts: &Parts<'_>, function: &Function) -> Vec<(u32, TypeId)> {
    parts.records(&parts.ext.relocations, function).map(|record| (record.word(3), record.type_id())).collect()
}

/// Facts of the program `index`, without prototype.
fn program(parts: &Parts<'_>, index: usize) -> ProgramFacts {
    let main = &parts.functions[index];
    let section = parts.elf.sections[main.section].name.to_owned();
    let mut facts = ProgramFacts {
        name: main.name.clone(),
        kind: section::parse(&section),
        section,
        prototype: None,
        instructions: 0,
        functions: Vec::new(),
        helpers: BTreeMap::new(),
        relocations: 0,
        constructs: Vec::new(),
        run_config: None,
    };
    for called in code::reachable(&parts.functions, [index]) {
        let function = &parts.functions[called];
        facts.instructions += function.size / code::INSTRUCTION;
        if called != index {
            facts.functions.push(function.name.clone());
        }
        for (&helper, &at) in &function.helpers {
            facts.helpers.entry(helper).or_insert_with(|| (function.name.clone(), at));
        }
        let relocations = relocations(parts, function);
        facts.relocations += relocations.len();
        // aya-obj 0.3 ends at kind 11; linux `include/uapi/linux/bpf.h`, BPF_CORE_TYPE_MATCHES.
        let matches = relocations.iter().filter(|(kind, _)| *kind == TYPE_MATCHES);
        let name = |id: TypeId| parts.types.as_ref().map(|types| types.name(id).to_owned()).unwrap_or_default();
        facts.constructs.extend(matches.map(|(_, id)| Construct::TypeMatches(name(*id))));
        facts.constructs.extend(construct::of_function(function, &parts.elf, parts.types.as_ref()));
    }
    facts.constructs.sort();
    facts.constructs.dedup();
    facts
}

/// `BPF_CORE_TYPE_MATCHES`.
const TYPE_MATCHES: u32 = 12;

fn prototype(btf: &Btf, function: TypeId, global: bool) -> Option<Prototype> {
    let Kind::Function { prototype, linkage } = btf.get(function).kind else { return None };
    let Kind::Prototype { returns, parameters } = &btf.get(prototype).kind else { return None };
    let int = &btf.get(btf.strip(*returns)).kind;
    let pointee = |id| match btf.get(btf.strip(id)).kind {
        Kind::Pointer(to) => Some(btf.strip(to)),
        _ => None,
    };
    Some(Prototype {
        global: global && linkage == 1,
        returns_int: matches!(int, Kind::Int { size: 4, encoding: 1, .. }),
        parameters: parameters
            .iter()
            .map(|parameter| pointee(parameter.type_id).map(|id| btf.name(id).to_owned()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/drop-frag-needed/drop_frag_needed.bpf.o");
        std::fs::read(path).unwrap()
    }

    fn odd() -> Vec<u8> {
        file("odd")
    }

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/objects/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_example_offers_what_its_source_says() {
        let facts = read(&example()).unwrap();
        assert_eq!(facts.licence.as_deref(), Some("Dual BSD/GPL"));
        let prototype = Prototype { global: true, returns_int: true, parameters: vec![Some("xdp_md".to_owned())] };
        let [program] = facts.programs.as_slice() else { panic!("{:?}", facts.programs) };
        assert_eq!((program.name.as_str(), program.section.as_str()), ("drop_frag_needed", "xdp"));
        assert_eq!(program.prototype, Some(prototype));
        assert_eq!((program.constructs.len(), program.relocations, program.instructions), (0, 0, 76));
        let helpers: Vec<_> = program.helpers.keys().filter_map(|id| helpers::name(*id)).collect();
        assert_eq!(helpers, ["bpf_map_lookup_elem"]);
        assert_eq!(facts.constructs, []);
        let maps: Vec<_> = facts
            .maps
            .iter()
            .map(|map| {
                let (key, value) = (&map.key.c_type, &map.value.c_type);
                format!(
                    "{} {} {key}({}) {value}({}) {}",
                    map.name,
                    map.map_type.name(),
                    map.key.size,
                    map.value.size,
                    map.max_entries
                )
            })
            .collect();
        assert_eq!(
            maps,
            [
                "dropped percpu_array __u32(4) __u64(8) 1",
                "node_ips hash __be32(4) __u8(1) 4096",
                "passed percpu_array __u32(4) __u64(8) 1"
            ]
        );
    }

    #[test]
    fn scalars_are_told_apart() {
        use shape::Form::{Bool, Int, Network};
        let facts = read(&odd()).unwrap();
        let form = |name: &str| {
            let map = facts.maps.iter().find(|map| map.name == name).unwrap();
            (map.key.form.clone(), map.value.form.clone())
        };
        let unsigned = Int { signed: false };
        assert_eq!(form("levels"), (unsigned.clone(), Int { signed: true }));
        assert_eq!(form("ports"), (Network, unsigned.clone()));
        assert_eq!(form("macs").1, Bool);
        let shape::Form::Struct(fields) = form("wides").1 else { panic!("{:?}", form("wides")) };
        assert_eq!((fields[0].name.as_str(), fields[0].shape.c_type.as_str()), ("bytes", "__u8[64]"));
    }

    /// Damaged files are refused or read, never a panic: truncated and with each byte changed.
    #[test]
    fn damaged_objects_do_not_panic() {
        for object in [example(), odd(), file("mixed"), file("refused")] {
            for length in (0..object.len()).step_by(7) {
                let _ = read(&object[..length]);
            }
            let mut taken = 0;
            for at in 0..object.len() {
                let mut bad = object.clone();
                bad[at] ^= [0xff, 0x01][at % 2];
                // What is read is also lowered, and that runs the readers of a node; a part of them, for time.
                if let Ok(facts) = read(&bad)
                    && at % 23 == 0
                {
                    let names = facts.programs.iter().filter(|program| program.constructs.is_empty());
                    let wanted = names.map(|program| program.name.as_str()).collect();
                    taken += usize::from(lower::lower(&bad, &wanted).is_ok());
                }
            }
            assert!(taken < object.len() / 23, "{taken} of {} damaged objects were taken", object.len() / 23);
        }
    }

    /// A chain of programs, each a call of the next one: facts about each with all that it calls would take memory without
    /// end.
    #[test]
    fn programs_without_end_are_refused() {
        let chain = |count: usize| {
            let mut code = vec![[0x85, 0x10, 0, 0, 0, 0, 0, 0]; count - 1];
            code.push([0x95, 0, 0, 0, 0, 0, 0, 0]);
            let (mut names, mut symbols) = (b"\0xdp\0".to_vec(), vec![0; 24]);
            for at in 0..count {
                symbols.extend_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
                symbols.extend_from_slice(&[0x12, 0, 1, 0]);
                symbols.extend_from_slice(&(8 * at).to_le_bytes());
                symbols.extend_from_slice(&8u64.to_le_bytes());
                names.extend_from_slice(format!("f{at}\0").as_bytes());
            }
            let mut file = b"\x7fELF\x02\x01\x01".to_vec();
            file.resize(64, 0);
            file[16..20].copy_from_slice(&[1, 0, 247, 0]);
            file[20] = 1;
            file[52] = 64;
            file[58..64].copy_from_slice(&[64, 0, 4, 0, 3, 0]);
            let mut headers = vec![0; 64];
            // PROGBITS with SHF_EXECINSTR, SYMTAB, STRTAB.
            for (name, kind, flags, entry, data) in
                [(1, 1, 4, 0, code.concat()), (0, 2, 0, 24, symbols), (0, 3, 0, 0, names)]
            {
                let mut header = [0; 64];
                (header[0], header[4], header[8], header[40], header[56]) = (name, kind, flags, 3, entry);
                header[24..32].copy_from_slice(&file.len().to_le_bytes());
                header[32..40].copy_from_slice(&data.len().to_le_bytes());
                headers.extend_from_slice(&header);
                file.extend_from_slice(&data);
            }
            let table = file.len().to_le_bytes();
            file[40..48].copy_from_slice(&table);
            file.extend_from_slice(&headers);
            file
        };
        let facts = read(&chain(256)).unwrap();
        assert_eq!((facts.programs.len(), facts.programs[0].instructions), (256, 256));
        let large = chain(24_000);
        assert!(large.len() < nodeplan::limits::OBJECT_MAX_BYTES);
        let error = read(&large).unwrap_err().to_string();
        assert!(error.contains("program `f0` and what it calls are more"), "{error}");
    }

    #[test]
    fn what_programs_need_is_named() {
        let facts = read(&file("mixed")).unwrap();
        let needs: Vec<_> = facts
            .programs
            .iter()
            .filter(|program| !program.constructs.is_empty())
            .map(|program| {
                let needs: Vec<_> = program.constructs.iter().map(ToString::to_string).collect();
                format!("{}: {}", program.name, needs.join(", "))
            })
            .collect();
        assert_eq!(
            needs,
            [
                "with_version: the kernel configuration `LINUX_KERNEL_VERSION` (__kconfig)",
                "with_kfunc: the kernel function `bpf_rcu_read_lock` (a kfunc), the kernel function \
                 `bpf_rcu_read_unlock` (a kfunc)",
                "with_ksym: the kernel symbol `bpf_prog_active` (__ksym)",
            ]
        );
        let jumping = facts.programs.iter().find(|program| program.name == "jumping").unwrap();
        let config = jumping.run_config.as_ref().unwrap();
        assert_eq!(config.priority, Some(20));
        assert_eq!(config.proceed_on.as_deref().map(<[_]>::len), Some(2));
        assert!(jumping.helpers.contains_key(&helpers::TAIL_CALL));
        let facts = read(&file("refused")).unwrap();
        let needs: Vec<_> = facts.constructs.iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["the arena `pages`", "static values in map `filled`"]);
        let needs: Vec<_> = facts.programs[0].constructs.iter().map(ToString::to_string).collect();
        assert_eq!(needs, ["static values in map `filled`", "variables in section `mydata`"]);
    }
}
