//! The reader against an oracle, `aya-obj`, on every object of the repository; and against damage.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use aya_obj::{EbpfSectionKind, btf::BtfFeatures};

use super::{
    Image, Read,
    btf::{Btf, DATASEC, FUNC, FUNC_PROTO, PTR, Part, STRUCT},
    core, fix,
    link::{self, CALL, Code, Function, Insn, LOAD_64, Resolve},
    maps::Map,
};

/// Objects of the repository, by name.
fn objects() -> Vec<(String, Vec<u8>)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|extension| extension == "o") {
                out.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut paths = Vec::new();
    for dir in ["runtime-loader/tests/objects", "bpf/prebuilt", "examples"] {
        walk(&root.join(dir), &mut paths);
    }
    // The compiler's other test objects are for its refusals.
    for name in ["odd", "values", "hooks", "chain"] {
        paths.push(root.join(format!("compiler/tests/objects/{name}.bpf.o")));
    }
    assert!(paths.len() >= 10, "{paths:?}");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read(path).unwrap())).collect()
}

/// Those that the oracle takes.
fn known_objects() -> impl Iterator<Item = (String, Vec<u8>)> {
    objects().into_iter().filter(|(file, _)| file != "core_matches.bpf.o")
}

fn object(name: &str) -> Vec<u8> {
    objects().into_iter().find(|(other, _)| other == name).unwrap().1
}

/// The types of a made-up kernel.
fn kernel_bytes() -> Vec<u8> {
    let object = object("core_kernel.bpf.o");
    let elf = super::Elf::parse(&object).unwrap();
    elf.section(".BTF").unwrap().data.to_vec()
}

#[expect(clippy::default_trait_access, reason = "the type is of a crate that we do not name")]
fn their_btf(bytes: &[u8]) -> aya_obj::btf::Btf {
    aya_obj::btf::Btf::parse(bytes, Default::default()).unwrap()
}

/// Map number `n` has descriptor `100 + n`.
struct Fake<'i, 'a> {
    image: &'i Image<'a>,
    kernel: &'i Btf,
    candidates: core::Candidates,
}

impl Resolve for Fake<'_, '_> {
    fn adapt(&mut self, function: Function<'_>, insns: &mut [Insn]) -> Read<()> {
        let Some(btf) = &self.image.btf else { return Ok(()) };
        core::adapt(self.image, btf, &mut self.candidates, function, insns, &mut || Ok(self.kernel))
    }

    fn map_fd(&self, map: usize) -> i32 {
        100 + i32::try_from(map).unwrap()
    }
}

fn link_one(image: &Image<'_>, kernel: &Btf, name: &str) -> Read<Code> {
    link::link(image, image.program(name)?, &mut Fake { image, kernel, candidates: Vec::new() })
}

/// Names of all programs.
fn programs<'a>(image: &Image<'a>) -> Vec<&'a str> {
    image.functions.iter().map(|one| one.name).filter(|name| image.program(name).is_ok()).collect()
}

/// What the oracle makes of all programs of an object, maps having the same descriptors as in [`Fake`].
fn oracle(bytes: &[u8], kernel: &aya_obj::btf::Btf) -> BTreeMap<String, Code> {
    let mut object = aya_obj::Object::parse(bytes).unwrap();
    object.relocate_btf(kernel).unwrap();
    let maps = std::mem::take(&mut object.maps);
    let mut names: Vec<&String> = maps.keys().collect();
    names.sort();
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let with_fds = names.iter().zip(100..).map(|(name, fd)| (name.as_str(), fd, &maps[*name]));
    object.relocate_maps(with_fds, &sections).unwrap();
    object.relocate_calls(&sections).unwrap();
    let code = |function: &aya_obj::Function| {
        let mut insns = Vec::new();
        for insn in &function.instructions {
            insns.extend_from_slice(&[insn.code, insn.dst_reg() | insn.src_reg() << 4]);
            insns.extend_from_slice(&insn.off.to_le_bytes());
            insns.extend_from_slice(&insn.imm.to_le_bytes());
        }
        Code {
            insns,
            func_info: (function.func_info.func_info_bytes(), function.func_info_rec_size),
            line_info: (function.line_info.line_info_bytes(), function.line_info_rec_size),
        }
    };
    object
        .programs
        .iter()
        .map(|(name, program)| (name.clone(), code(&object.functions[&program.function_key()])))
        .collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A program by function, whatever their order: calls name the function, lines count from its start.
fn by_function(code: &Code) -> BTreeMap<u32, [Vec<Vec<u8>>; 2]> {
    let starts: Vec<(usize, u32)> =
        code.func_info.0.chunks(code.func_info.1).map(|record| (word(record, 0) as usize, word(record, 4))).collect();
    let mut functions = BTreeMap::new();
    for (number, (start, id)) in starts.iter().enumerate() {
        let end = starts.get(number + 1).map_or(code.insns.len() / 8, |next| next.0);
        let mut insns: Vec<Vec<u8>> = code.insns[start * 8..end * 8].chunks(8).map(<[u8]>::to_vec).collect();
        for (index, insn) in insns.iter_mut().enumerate() {
            let pseudo = matches!((insn[0], insn[1] >> 4), (CALL, 1) | (LOAD_64, 4));
            if pseudo {
                let target = (start + index + 1).wrapping_add_signed(word(insn, 4).cast_signed() as isize);
                let (_, id) = starts.iter().find(|(start, _)| *start == target).unwrap();
                insn[4..].copy_from_slice(&id.to_le_bytes());
            }
        }
        let mut lines = Vec::new();
        for record in code.line_info.0.chunks(code.line_info.1.max(1)) {
            let at = word(record, 0) as usize;
            if (*start..end).contains(&at) {
                lines.push([&u32::try_from(at - start).unwrap().to_le_bytes(), &record[4..]].concat());
            }
        }
        assert!(functions.insert(*id, [insns, lines]).is_none());
    }
    functions
}

#[test]
fn programs_are_the_oracles() {
    let bytes = kernel_bytes();
    let theirs = their_btf(&bytes);
    let kernel = Btf::parse(bytes).unwrap();
    let mut compared = 0;
    for (file, bytes) in known_objects() {
        let image = Image::parse(&bytes, &[]).unwrap();
        let want = oracle(&bytes, &theirs);
        for name in programs(&image) {
            let got = link_one(&image, &kernel, name).unwrap();
            // The oracle does not list what libxdp calls in the section of its dispatcher.
            let Some(want) = want.get(name) else { continue };
            assert!(got.func_info.1 >= 8 && got.line_info.1 >= 16, "{file} {name}");
            assert!(by_function(&got) == by_function(want), "{file} {name}: {got:?} is not {want:?}");
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared}");
}

#[test]
fn calls_lead_to_functions() {
    let bytes = object("shapes.bpf.o");
    let image = Image::parse(&bytes, &[]).unwrap();
    let code = link_one(&image, &Btf::parse(kernel_bytes()).unwrap(), "shapes_main").unwrap();
    let btf = image.btf.as_ref().unwrap();
    let names: Vec<&str> = code.func_info.0.chunks(8).map(|record| btf.text(btf.get(word(record, 4)).name())).collect();
    assert_eq!(names, ["shapes_main", "tree", "each", "branch", "leaf"]);
}

#[test]
fn maps_are_the_oracles() {
    for (file, bytes) in known_objects() {
        let image = Image::parse(&bytes, &[]).unwrap();
        let want = aya_obj::Object::parse(&bytes).unwrap();
        assert_eq!(image.maps.len(), want.maps.len(), "{file}");
        for map in &image.maps {
            let want = &want.maps[map.name];
            let types = match want {
                aya_obj::Map::Btf(map) => (map.def.btf_key_type_id, map.def.btf_value_type_id),
                aya_obj::Map::Legacy(_) => (0, 0),
            };
            let got = (map.kind, map.key_size, map.value_size, map.max_entries, map.flags, map.extra, map.types);
            let want_numbers = (
                want.map_type(),
                want.key_size(),
                want.value_size(),
                want.max_entries(),
                want.map_flags(),
                want.map_extra(),
                types,
            );
            assert_eq!(got, want_numbers, "{file} {}", map.name);
            let data = map.data.clone().unwrap_or_default();
            let want_data = if want.section_kind() == EbpfSectionKind::Bss { &[] } else { want.data() };
            assert_eq!(data, want_data, "{file} {}", map.name);
            assert_eq!(map.is_read_only(), want.section_kind() == EbpfSectionKind::Rodata, "{file} {}", map.name);
        }
    }
}

/// Types with names instead of their offsets, variables of sections in order.
fn readable(bytes: Vec<u8>) -> Vec<Vec<String>> {
    let btf = Btf::parse(bytes).unwrap();
    let describe = |id: u32| {
        let one = btf.get(id);
        let name = if one.kind() == PTR { "" } else { btf.text(one.name()) };
        let mut out = vec![format!("{:x} {} {name}", one.word(1), one.size_or_type())];
        if one.kind() == FUNC_PROTO {
            out.extend((0..one.count()).map(|index| one.item(index, 2, 1).to_string()));
        } else if one.kind() == DATASEC {
            let item = |index| (one.item(index, 3, 1), one.item(index, 3, 0), one.item(index, 3, 2));
            let mut items: Vec<_> = (0..one.count()).map(item).collect();
            items.sort_unstable();
            out.extend(items.iter().map(|item| format!("{item:?}")));
        }
        out
    };
    btf.ids().map(describe).collect()
}

#[test]
fn btf_for_the_kernel_is_the_oracles() {
    for (file, bytes) in known_objects() {
        let image = Image::parse(&bytes, &[]).unwrap();
        let btf = image.btf.as_ref().unwrap();
        let mut object = aya_obj::Object::parse(&bytes).unwrap();
        let modern = BtfFeatures::new(true, true, true, true, true, true, true, true);
        let want = object.fixup_and_sanitize_btf(&modern).unwrap().unwrap().to_bytes();
        let mut want = readable(want);
        if file == "shapes.bpf.o" {
            // libbpf makes hidden functions static; the oracle does not.
            let branch = btf.find(FUNC, "branch").unwrap() as usize - 1;
            want[branch][0] = want[branch][0].replace("c000001", "c000000");
        }
        assert_eq!(readable(fix::fix(btf, &image.elf, false).unwrap()), want, "{file}");
        let plain = BtfFeatures::new(true, true, true, true, true, false, false, false);
        let _ = object.fixup_and_sanitize_btf(&plain);
        let got = readable(fix::fix(btf, &image.elf, true).unwrap());
        let kinds: HashSet<&str> = got.iter().filter_map(|one| one[0].split(' ').next()).collect();
        let newer = kinds.iter().filter(|kind| matches!(u32::from_str_radix(kind, 16).unwrap() >> 24 & 31, 17..=19));
        assert_eq!(newer.count(), 0, "{file}");
    }
}

#[test]
fn globals_are_written_over() {
    let bytes = object("shapes.bpf.o");
    let image = Image::parse(&bytes, &[("limit", &[1, 2, 3, 4]), ("started", &[9, 0, 0, 0])]).unwrap();
    let mut want = aya_obj::Object::parse(&bytes).unwrap();
    let globals = HashMap::from([("limit", (&[1u8, 2, 3, 4][..], true)), ("started", (&[9u8, 0, 0, 0][..], true))]);
    want.patch_map_data(globals).unwrap();
    for map in image.maps.iter().filter(|map| map.data.as_ref().is_some_and(|data| !data.is_empty())) {
        assert_eq!(map.data.as_deref().unwrap(), want.maps[map.name].data(), "{}", map.name);
    }
    for (name, value) in [("absent", &[1u8][..]), ("limit", &[1]), ("counted", &[0; 8]), ("flows", &[0; 4])] {
        assert!(Image::parse(&bytes, &[(name, value)]).is_err(), "case: {name}");
    }
}

/// What the records of a program came to: the instructions that differ from the file's.
fn changed(image: &Image<'_>, kernel: &Btf, name: &str) -> Vec<(usize, Insn, Insn)> {
    let function = image.program(name).unwrap();
    let section = image.elf.sections[function.section].data;
    let before = link::decode(&section[function.start * 8..function.end * 8]);
    let mut after = before.clone();
    Fake { image, kernel, candidates: Vec::new() }.adapt(function, &mut after).unwrap();
    (0..before.len()).filter(|&at| before[at] != after[at]).map(|at| (at, before[at], after[at])).collect()
}

/// Expected by hand: see the types in `core_kernel.bpf.c`.
#[test]
fn types_match() {
    let bytes = object("core_matches.bpf.o");
    let kernel = Btf::parse(kernel_bytes()).unwrap();
    let image = Image::parse(&bytes, &[]).unwrap();
    let gone: Vec<usize> = changed(&image, &kernel, "core_matches").iter().map(|(at, ..)| *at).collect();
    let (size, records) = image.records(Part::Core, image.btf.as_ref().unwrap(), "xdp").unwrap();
    let matches: Vec<bool> =
        records.chunks(size).take(12).map(|record| !gone.contains(&(word(record, 0) as usize / 8))).collect();
    let [t, f] = [true, false];
    assert_eq!(matches, [t, f, f, t, t, f, t, f, t, t, f, f]);
}

#[test]
fn an_array_without_length_has_every_index() {
    let bytes = object("core_matches.bpf.o");
    let kernel = Btf::parse(kernel_bytes()).unwrap();
    let image = Image::parse(&bytes, &[]).unwrap();
    let thing = kernel.get(kernel.find(STRUCT, "thing").unwrap());
    let last = thing.item(thing.count() - 1, 3, 2) & 0x00ff_ffff;
    let [(_, _, after)] = changed(&image, &kernel, "core_open")[..] else { panic!("one load") };
    assert_eq!(u32::try_from(after.offset).unwrap(), last / 8 + 7);
}

#[test]
fn a_number_with_a_sign_keeps_its_size() {
    let bytes = object("core_matches.bpf.o");
    let kernel = Btf::parse(kernel_bytes()).unwrap();
    let image = Image::parse(&bytes, &[]).unwrap();
    let [(_, before, after)] = changed(&image, &kernel, "core_resized")[..] else { panic!("one load") };
    assert_eq!((before.code & 7, after), (1, Insn { code: CALL, registers: 0, offset: 0, imm: 0x0bad_2310 }));
}

/// Each byte changed and every length: an error or a result, never a panic.
#[test]
fn damage_is_no_panic() {
    let kernel = Btf::parse(kernel_bytes()).unwrap();
    let try_all = |bytes: &[u8]| {
        let Ok(image) = Image::parse(bytes, &[("limit", &[1, 2, 3, 4])]).or_else(|_| Image::parse(bytes, &[])) else {
            return;
        };
        if let Some(btf) = &image.btf {
            let _ = fix::fix(btf, &image.elf, false);
            let _ = fix::fix(btf, &image.elf, true);
            let _ = btf.functions().count();
        }
        for name in programs(&image) {
            let _ = link_one(&image, &kernel, name);
            // The object's own types as those of a kernel: a damaged kernel is an error, too.
            if let Some(btf) = &image.btf {
                let _ = link_one(&image, btf, name);
            }
        }
    };
    for file in ["shapes.bpf.o", "core.bpf.o", "core_matches.bpf.o"] {
        let mut bad = object(file);
        for length in (0..bad.len()).step_by(7) {
            try_all(&bad[..length]);
        }
        for at in 0..bad.len() {
            bad[at] ^= 0xff;
            try_all(&bad);
            bad[at] ^= 0xff;
        }
    }
}

/// An object with one section `xdp` of these instructions and functions: name, first instruction, and number of them.
fn object_of(insns: &[[u8; 8]], functions: &[(String, usize, usize)]) -> Vec<u8> {
    let mut names = b"\0xdp\0".to_vec();
    let mut symbols = vec![0; 24];
    for (name, start, count) in functions {
        symbols.extend_from_slice(&u32::try_from(names.len()).unwrap().to_le_bytes());
        symbols.extend_from_slice(&[0x12, 0, 1, 0]);
        symbols.extend_from_slice(&(8 * start).to_le_bytes());
        symbols.extend_from_slice(&(8 * count).to_le_bytes());
        names.extend_from_slice(name.as_bytes());
        names.push(0);
    }
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(64, 0);
    file[16..20].copy_from_slice(&[1, 0, 247, 0]);
    file[58..64].copy_from_slice(&[64, 0, 4, 0, 3, 0]);
    let mut headers = vec![0; 64];
    // PROGBITS with SHF_EXECINSTR, SYMTAB, STRTAB.
    for (name, kind, flags, data) in [(1, 1, 4, insns.concat()), (0, 2, 0, symbols), (0, 3, 0, names)] {
        let mut header = [0; 64];
        header[0] = name;
        header[4] = kind;
        header[8] = flags;
        header[24..32].copy_from_slice(&file.len().to_le_bytes());
        header[32..40].copy_from_slice(&data.len().to_le_bytes());
        header[40] = 3;
        headers.extend_from_slice(&header);
        file.extend_from_slice(&data);
    }
    let table = file.len().to_le_bytes();
    file[40..48].copy_from_slice(&table);
    file.extend_from_slice(&headers);
    file
}

const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
/// A call of what follows it.
const CALL_NEXT: [u8; 8] = [CALL, 0x10, 0, 0, 0, 0, 0, 0];

/// As many functions as fit, each a call of the next one: a program of them is what the kernel takes, or an error, and
/// not all that a small object can be blown up to.
#[test]
fn a_small_object_is_no_large_program() {
    let kernel = Btf::parse(kernel_bytes()).unwrap();
    let link = |insns: &[[u8; 8]], functions: &[(String, usize, usize)]| -> Result<usize, String> {
        let bytes = object_of(insns, functions);
        assert!(bytes.len() < nodeplan::limits::OBJECT_MAX_BYTES, "{}", bytes.len());
        let text = |error: super::ObjectError| error.to_string();
        let image = Image::parse(&bytes, &[]).map_err(text)?;
        link_one(&image, &kernel, "f0").map(|code| code.insns.len() / 8).map_err(text)
    };
    let name = |at: usize| format!("f{at}");
    let chain = |count: usize| [vec![CALL_NEXT; count - 1], vec![EXIT]].concat();
    let all = 24_000;
    let inside: Vec<_> = (0..all).map(|at| (name(at), at, all - at)).collect();
    assert_eq!(link(&chain(all), &inside).unwrap_err(), "functions `f0` and `f1` overlap");
    let apart = |count: usize| (0..count).map(|at| (name(at), at, 1)).collect::<Vec<_>>();
    assert_eq!(link(&chain(256), &apart(256)), Ok(256));
    let error = link(&chain(all), &apart(all)).unwrap_err();
    assert!(error.contains("more than the kernel takes") && error.contains("`f256`"), "{error}");
    // Two names of one function, in either order.
    let both =
        |first: &str, second: &str| [("f0".to_owned(), 0, 1), (first.to_owned(), 1, 2), (second.to_owned(), 1, 2)];
    for functions in [both("f1", "alias"), both("alias", "f1")] {
        assert_eq!(link(&[CALL_NEXT, EXIT, EXIT], &functions), Ok(3));
    }
}

/// Sections that are all the same bytes: the reader keeps something of each.
#[test]
fn sections_share_no_bytes() {
    let mut file = object_of(&[EXIT; 1000], &[("f0".to_owned(), 0, 1)]);
    let section = file[file.len() - 192..file.len() - 128].to_vec();
    for _ in 0..9000 {
        file.extend_from_slice(&section);
    }
    file[60..62].copy_from_slice(&9004u16.to_le_bytes());
    assert!(file.len() < nodeplan::limits::OBJECT_MAX_BYTES);
    assert!(Image::parse(&file, &[]).unwrap_err().to_string().contains("section table"));
}

#[test]
fn maps_of_every_kind_are_bounded() {
    for (name, kind, value_size, fits) in [
        ("array", 2, 4, 1 << 23),
        ("percpu_array, on one CPU", 6, 4, 5_592_405),
        ("ringbuf", 27, 0, 1 << 26),
        ("user_ringbuf", 31, 0, 1 << 26),
        ("arena", 33, 0, 1 << 14),
    ] {
        let key_size = if value_size == 0 { 0 } else { 4 };
        let map = Map { name: "m", kind, key_size, value_size, ..Map::default() };
        assert!(super::bounded(&map, fits).is_ok(), "case: {name}");
        assert!(super::bounded(&map, fits + 1).is_err(), "case: {name}");
    }
}

#[test]
fn slots_are_for_arrays_of_programs() {
    for (kind, key_size, value_size, want) in
        [(3, 4, 4, true), (2, 4, 4, false), (3, 8, 4, false), (3, 4, 8, false), (13, 4, 4, false), (6, 4, 4, false)]
    {
        let map = Map { name: "m", kind, key_size, value_size, ..Map::default() };
        assert_eq!(super::takes_slots(&map).is_ok(), want, "type {kind}, {key_size} and {value_size} bytes");
    }
}
