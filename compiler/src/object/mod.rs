//! What a BPF object offers: programs, maps, licence.
//!
//! In:   bytes of a file. Out: [`ObjectFacts`]; nothing of it is judged here, [`crate::check`] does.
//! May fail with: [`ObjectError`], which [`crate::resolve`] reports as NB0205.

pub mod btf;
pub mod elf;
pub mod globals;
pub mod map;
pub mod shape;

use btf::{Btf, Kind, TypeId};
use globals::GlobalFacts;
use map::MapFacts;

/// What an object offers.
#[derive(Clone, Debug)]
pub struct ObjectFacts {
    /// Programs, by section and offset.
    pub programs: Vec<ProgramFacts>,
    /// Maps defined with BTF, by name.
    pub maps: Vec<MapFacts>,
    /// Global variables, by name.
    pub globals: Vec<GlobalFacts>,
    /// Licence text; absent if the object has no `license` section.
    pub licence: Option<String>,
    /// Whether the object has BTF.
    pub has_btf: bool,
}

/// One program of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramFacts {
    /// C function.
    pub name: String,
    /// ELF section.
    pub section: String,
    /// Its C prototype, if BTF has one under its function record.
    pub prototype: Option<Prototype>,
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

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The ELF side.
    #[error("{0}")]
    Elf(#[from] elf::ElfError),
    /// The BTF side.
    #[error("{0}")]
    Btf(#[from] btf::BtfError),
    /// Everything is in place, but the loader's own reader refuses it.
    #[error("the loader cannot read it: {0}")]
    Loader(String),
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<ObjectFacts, ObjectError> {
    let elf = elf::read(bytes)?;
    let btf = elf.btf.map(Btf::parse).transpose()?;
    let records = match (&btf, elf.btf_ext) {
        (Some(btf), Some(section)) => btf::function_records(section, btf)?,
        _ => Vec::new(),
    };
    let programs = elf
        .functions
        .into_iter()
        .map(|function| {
            let record = records
                .iter()
                .find(|record| record.section == function.section && u64::from(record.offset) == function.offset);
            let prototype =
                btf.as_ref().zip(record).and_then(|(btf, record)| prototype(btf, record.type_id, function.global));
            ProgramFacts { name: function.name, section: function.section, prototype }
        })
        .collect();
    let maps = btf.as_ref().map_or_else(Vec::new, map::read);
    let globals = btf.as_ref().map_or_else(Vec::new, |btf| globals::read(btf, bytes));
    // The licence is a C string in a char array.
    let licence = elf.licence.map(|bytes| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned());
    // The oracle: what the loader's reader refuses must be refused here, not on a node. Without BTF it refuses maps in
    // words of its own; that is judged, and better said, by the check phase.
    if btf.is_some() {
        aya_obj::Object::parse(bytes).map_err(|error| ObjectError::Loader(error.to_string()))?;
    }
    Ok(ObjectFacts { programs, maps, globals, licence, has_btf: btf.is_some() })
}

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
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/objects/odd.bpf.o")).unwrap()
    }

    #[test]
    fn the_example_offers_what_its_source_says() {
        let facts = read(&example()).unwrap();
        assert_eq!(facts.licence.as_deref(), Some("Dual BSD/GPL"));
        let prototype = Prototype { global: true, returns_int: true, parameters: vec![Some("xdp_md".to_owned())] };
        assert_eq!(
            facts.programs,
            [ProgramFacts {
                name: "drop_frag_needed".to_owned(),
                section: "xdp".to_owned(),
                prototype: Some(prototype)
            }]
        );
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

    /// Damaged files are refused or read, never a panic: every truncation, and each byte changed.
    #[test]
    fn damaged_objects_do_not_panic() {
        for object in [example(), odd()] {
            for length in 0..object.len() {
                let _ = read(&object[..length]);
            }
            for at in 0..object.len() {
                for flip in [0xff, 0x01] {
                    let mut bad = object.clone();
                    bad[at] ^= flip;
                    let _ = read(&bad);
                }
            }
        }
    }
}
