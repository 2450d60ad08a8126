//! Lower: an object to one that every reader on a node takes.
//!
//! In:   bytes of an object that was read, names of the programs that a manifest uses. Out: bytes to ship: the same
//! ones, unless a reader would stop at something that the manifest does not use.
//! May fail with: [`ObjectError`].
//!
//! Sections get the oldest of their names (`tc` becomes `classifier`, `?xdp` becomes `xdp`); other programs go, with
//! their relocations and BTF records; names of the kernel that only they used go from BTF. Instructions, maps and data
//! of what is used stay as they are. Equal input gives equal bytes.

use std::{borrow::Cow, collections::BTreeSet};

use object::{LittleEndian, elf as raw};

use super::{
    ObjectError, code,
    code::Function,
    construct,
    elf::{self, Elf},
    ext::{Ext, Records, Table},
    oracle,
    parts::Parts,
    section::{self, Usage},
    types::{Types, kind},
    variables, write,
};

/// Takes an object to the bytes that ship.
pub fn lower<'a>(bytes: &'a [u8], wanted: &BTreeSet<&str>) -> Result<Cow<'a, [u8]>, ObjectError> {
    let parts = Parts::read(bytes)?;
    let (elf, functions, types) = (&parts.elf, &parts.functions, parts.types.as_ref());
    let job = Job { elf, functions, types, ext: &parts.ext, used: used(functions, wanted) };
    if let Some(construct) = construct::of_object(elf, types).first() {
        return Err(ObjectError::Construct(construct.clone()));
    }
    // Readers allocate what a header says.
    if let Some(section) = variables::read(elf).iter().find(|section| section.is_too_large()) {
        return Err(ObjectError::Loader(format!("section `{}` takes {} bytes", section.name, section.bytes)));
    }
    if let Some((variable, section)) = types.and_then(without_size) {
        let why =
            format!("variable `{variable}` in section `{section}` takes no bytes, which the kernel's BTF forbids");
        return Err(ObjectError::Loader(why));
    }
    let shipped = if job.is_needed() { Cow::Owned(job.run()) } else { Cow::Borrowed(bytes) };
    // Without BTF aya refuses maps in words of its own; that is judged, and better said, by the check phase.
    if types.is_some() {
        oracle::check(&shipped).map_err(ObjectError::Loader)?;
    }
    Ok(shipped)
}

/// A variable of size 0, and its section: linux `kernel/bpf/btf.c`, `btf_datasec_check_meta`, refuses the BTF of it.
fn without_size<'a>(types: &Types<'a>) -> Option<(&'a str, &'a str)> {
    let data = |name: &str| [".rodata", ".data", ".bss"].iter().any(|base| name.starts_with(base));
    let sections = types.iter().filter(|(_, found)| found.kind() == kind::DATASEC && data(types.string(found.name)));
    let mut variables = sections.flat_map(|(_, found)| {
        let section = types.string(found.name);
        found.variables().map(move |(variable, _, size)| (variable, size, section))
    });
    let (variable, _, section) = variables.find(|(_, size, _)| *size == 0)?;
    Some((types.name(variable), section))
}

/// For each function, whether a wanted program needs it.
fn used(functions: &[Function], wanted: &BTreeSet<&str>) -> Vec<bool> {
    let is_wanted = |function: &Function| function.is_program && wanted.contains(function.name.as_str());
    let roots = functions.iter().enumerate().filter(|(_, function)| is_wanted(function)).map(|(index, _)| index);
    let mut used = vec![false; functions.len()];
    for index in code::reachable(functions, roots) {
        used[index] = true;
    }
    used
}

struct Job<'a> {
    elf: &'a Elf<'a>,
    functions: &'a [Function],
    types: Option<&'a Types<'a>>,
    ext: &'a Ext<'a>,
    used: Vec<bool>,
}

/// What becomes of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Keep,
    Drop,
}

impl Job<'_> {
    /// Whether a reader would stop at something that is not used, or at the name of a section.
    fn is_needed(&self) -> bool {
        let programs = || self.functions.iter().zip(&self.used).filter(|(function, _)| function.is_program);
        let foreign = programs().any(|(function, used)| {
            let name = self.elf.sections[function.section].name;
            let served = matches!(section::parse(name).map(|section| section.usage), Ok(Usage::Hook(..)));
            section::canonical(name) != name || (!served && !used)
        });
        let unused = || self.functions.iter().zip(&self.used).filter(|(_, used)| !**used);
        foreign
            || unused().any(|(function, _)| !construct::of_function(function, self.elf, self.types).is_empty())
            || self.types.is_some_and(|types| types.iter().any(|(_, found)| is_extern(types, &found)))
    }

    fn run(&self) -> Vec<u8> {
        let fates = self.fates();
        let mut file = write::File::new(self.elf);
        for (index, section) in self.elf.sections.iter().enumerate() {
            if fates[index] == Fate::Drop {
                file.drop_section(index);
            } else if section.is_code() {
                if !section.is_text() && section::canonical(section.name) != section.name {
                    file.rename(index, section::canonical(section.name));
                }
                self.blank_unused(index, &mut file);
            }
        }
        for (index, relocated) in self.relocation_sections() {
            // The tables of BTF are rewritten, and no reader asks for relocations of them.
            let is_btf = matches!(self.elf.sections[relocated].name, ".BTF" | ".BTF.ext");
            if fates[relocated] == Fate::Drop || is_btf {
                file.drop_section(index);
            } else if self.elf.sections[relocated].is_code() {
                file.keep_relocations(index, |offset| self.is_used(relocated, offset));
            }
        }
        self.types(&fates, &mut file);
        file.encode()
    }

    fn fates(&self) -> Vec<Fate> {
        let fate = |index: usize, section: &elf::Section<'_>| {
            let mut inside = self.functions.iter().zip(&self.used).filter(|(function, _)| function.section == index);
            let unused_code = section.is_code() && !inside.any(|(_, used)| *used);
            if unused_code || section.name.starts_with(".debug_") { Fate::Drop } else { Fate::Keep }
        };
        self.elf.sections.iter().enumerate().map(|(index, section)| fate(index, section)).collect()
    }

    /// Sections of relocations, with the sections they belong to.
    fn relocation_sections(&self) -> impl Iterator<Item = (usize, usize)> {
        self.elf.sections.iter().enumerate().filter_map(|(index, section)| {
            let header = section.header;
            let relocated = header.sh_info.get(LittleEndian) as usize;
            (header.sh_type.get(LittleEndian) == raw::SHT_REL).then_some((index, relocated))
        })
    }

    fn is_used(&self, section: usize, offset: u64) -> bool {
        self.functions.iter().zip(&self.used).any(|(function, used)| {
            let inside = function.offset <= offset && offset < function.offset + function.size;
            *used && function.section == section && inside
        })
    }

    /// An unused function beside a used one keeps its place, and nothing else: it returns 0.
    fn blank_unused(&self, section: usize, file: &mut write::File<'_>) {
        const RETURN_0: [u8; 8] = [0xb7, 0, 0, 0, 0, 0, 0, 0];
        const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
        for (function, used) in self.functions.iter().zip(&self.used) {
            if *used || function.section != section {
                continue;
            }
            let slots = usize::try_from(function.size / code::INSTRUCTION).unwrap_or(0);
            let body: Vec<u8> =
                std::iter::once(RETURN_0).chain(std::iter::repeat(EXIT)).take(slots).flatten().collect();
            file.overwrite(section, usize::try_from(function.offset).unwrap_or(usize::MAX), &body);
        }
    }

    /// BTF without names of the kernel, and its records under the new names of the sections.
    fn types(&self, fates: &[Fate], file: &mut write::File<'_>) {
        let Some(types) = self.types else { return };
        let mut strings = types.strings().to_vec();
        if let Some(index) = self.index(".BTF.ext") {
            let ext = self.ext;
            let records = Rewrite { job: self, types, fates };
            let written = Ext {
                functions: records.table(&ext.functions, &mut strings, true),
                lines: records.table(&ext.lines, &mut strings, false),
                relocations: records.table(&ext.relocations, &mut strings, false),
            };
            file.replace(index, written.encode());
        }
        if let Some(index) = self.index(".BTF") {
            file.replace(index, encode_types(types, &strings));
        }
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.elf.sections.iter().position(|section| section.name == name)
    }
}

struct Rewrite<'a> {
    job: &'a Job<'a>,
    types: &'a Types<'a>,
    fates: &'a [Fate],
}

impl Rewrite<'_> {
    /// Records of what stays. With `blanks`, also those of functions that keep their place only.
    fn table<'b>(&self, table: &Table<'b>, strings: &mut Vec<u8>, blanks: bool) -> Table<'b> {
        let mut kept = Table { stride: table.stride, sections: Vec::new() };
        for old in &table.sections {
            let name = self.types.string(old.section);
            let sections = self.job.elf.sections.iter().enumerate();
            let mut code = sections.filter(|(_, section)| section.is_code() && section.name == name);
            let Some((index, _)) = code.next().filter(|(index, _)| self.fates[*index] == Fate::Keep) else { continue };
            let stays = |offset: u32| blanks || self.job.is_used(index, u64::from(offset));
            let records: Vec<_> = old.records.iter().copied().filter(|record| stays(record.offset())).collect();
            if !records.is_empty() {
                let section = match section::canonical(name) {
                    same if same == name => old.section,
                    other => add_string(strings, other),
                };
                kept.sections.push(Records { section, records });
            }
        }
        kept
    }
}

/// Offset of `text` in the strings, which get it if they do not have it.
fn add_string(strings: &mut Vec<u8>, text: &str) -> u32 {
    let wanted: Vec<u8> = [&[0], text.as_bytes(), &[0]].concat();
    let at = strings.windows(wanted.len()).position(|window| window == wanted).map_or_else(
        || {
            let at = strings.len();
            strings.extend(&wanted[1..]);
            at
        },
        |before| before + 1,
    );
    u32::try_from(at).unwrap_or(0)
}

/// Whether a type stands for something of the kernel: linux `kernel/bpf/btf.c` takes no such linkage.
fn is_extern(types: &Types<'_>, found: &super::types::Type<'_>) -> bool {
    const EXTERN: u32 = 2;
    match found.kind() {
        kind::FUNC => found.info & 0xffff == EXTERN,
        kind::VAR => found.extra() == EXTERN,
        kind::DATASEC => matches!(types.string(found.name), ".ksyms" | ".kconfig"),
        _ => false,
    }
}

/// All types, those of the kernel replaced by a pointer to nothing, which keeps the numbers of the others.
fn encode_types(types: &Types<'_>, strings: &[u8]) -> Vec<u8> {
    const NOTHING: [u32; 3] = [0, (kind::PTR as u32) << 24, 0];
    let gone = |id| is_extern(types, &types.get(id));
    let mut body = Vec::new();
    for (_, found) in types.iter() {
        let tags_gone = found.kind() == kind::DECL_TAG && gone(found.word);
        if is_extern(types, &found) || tags_gone {
            body.extend(NOTHING.iter().flat_map(|word| word.to_le_bytes()));
        } else {
            body.extend([found.name, found.info, found.word].iter().flat_map(|word| word.to_le_bytes()));
            body.extend(found.rest());
        }
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut blob = vec![0x9f, 0xeb, 1, 0];
    for word in [24, 0, length(&body), length(&body), length(strings)] {
        blob.extend(word.to_le_bytes());
    }
    blob.extend(body);
    blob.extend(strings);
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/objects/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn lowered(bytes: &[u8], names: &[&str]) -> Vec<u8> {
        lower(bytes, &names.iter().copied().collect()).unwrap().into_owned()
    }

    /// Instructions of a function, by name.
    fn body<'a>(elf: &'a Elf<'a>, name: &str) -> &'a [u8] {
        let function = code::read(elf).unwrap().into_iter().find(|function| function.name == name).unwrap();
        let at = |offset: u64| usize::try_from(offset).unwrap();
        &elf.sections[function.section].data[at(function.offset)..at(function.offset + function.size)]
    }

    #[test]
    fn what_is_used_stays_as_it_is() {
        let source = file("mixed");
        let used = ["from_wire", "to_wire", "on_demand", "connecting", "switching", "entering", "securing", "probing"];
        let result = lowered(&source, &used);
        let (before, after) = (super::super::read(&source).unwrap(), super::super::read(&result).unwrap());
        assert_eq!(after.maps, before.maps);
        assert_eq!((after.licence, after.has_lines), (before.licence, before.has_lines));
        assert_eq!(after.constructs, []);
        let (old, new) = (elf::read(&source).unwrap(), elf::read(&result).unwrap());
        for name in used {
            let find =
                |facts: &[super::super::ProgramFacts]| facts.iter().find(|one| one.name == name).cloned().unwrap();
            let (one, other) = (find(&before.programs), find(&after.programs));
            assert_eq!(other.section, section::canonical(&one.section), "case: {name}");
            assert_eq!((other.prototype, other.helpers), (one.prototype, one.helpers), "case: {name}");
            assert_eq!(body(&old, name), body(&new, name), "case: {name}");
        }
        assert_eq!(body(&old, "count"), body(&new, "count"));
        for section in [".maps", ".rodata", "license"] {
            assert_eq!(old.data(section), new.data(section), "case: {section}");
        }
        // Another program of a section that stays keeps its place only; whole sections go.
        let names: Vec<_> = after.programs.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(names.iter().filter(|name| !used.contains(name)).collect::<Vec<_>>(), [&"with_version"]);
        assert_eq!(body(&new, "with_version")[..16], [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
        assert!(result.len() < source.len());
        assert_eq!(lowered(&source, &used), result, "equal input gives equal bytes");
        assert!(
            matches!(lower(&result, &used.into_iter().collect()).unwrap(), Cow::Borrowed(_)),
            "nothing is left to do"
        );
    }

    #[test]
    fn the_loaders_reader_sees_the_used_programs() {
        let source = file("mixed");
        assert!(aya_obj::Object::parse(&source).is_err(), "the case needs no lowering");
        let object = aya_obj::Object::parse(&lowered(&source, &["to_wire", "on_demand"])).unwrap();
        let mut names: Vec<_> = object.programs.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["on_demand", "to_wire"]);
        assert!(matches!(object.programs["to_wire"].section, aya_obj::ProgramSection::SchedClassifier));
        assert!(object.maps.contains_key("packets") && object.maps.contains_key(".rodata"));
    }

    #[test]
    fn objects_that_need_nothing_are_shipped_as_they_are() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        for (path, program) in [
            ("examples/drop-frag-needed/drop_frag_needed.bpf.o", "drop_frag_needed"),
            ("bpf/prebuilt/xdp_pass.bpf.o", "xdp_pass"),
            ("compiler/tests/objects/odd.bpf.o", "first"),
        ] {
            let bytes = std::fs::read(format!("{root}/{path}")).unwrap();
            assert!(matches!(lower(&bytes, &BTreeSet::from([program])), Ok(Cow::Borrowed(_))), "case: {path}");
        }
    }

    #[test]
    fn what_a_used_program_needs_is_not_left_out() {
        let error = lower(&file("mixed"), &BTreeSet::from(["with_kfunc"])).unwrap_err();
        assert!(matches!(error, ObjectError::Loader(_)), "{error}");
    }

    #[test]
    fn sizes_of_variables_are_not_believed() {
        for name in ["large", "large_two"] {
            let error = lower(&file(name), &BTreeSet::from(["count"])).unwrap_err();
            assert!(matches!(&error, ObjectError::Loader(text) if text.contains("`.bss`")), "case: {name}: {error}");
        }
    }
}
