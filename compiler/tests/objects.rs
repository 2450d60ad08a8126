//! Objects: ours and those of others, read by us and by libbpf.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, path::PathBuf, process::Command};

use nodebpf::object::{
    self,
    section::{self, Usage},
};
use support::crate_dir;

/// A line of `libbpf_types.c`.
struct Line {
    path: String,
    name: String,
    section: String,
    program_type: u32,
    attach_type: u32,
}

/// What libbpf says of `paths`; needs a C compiler and libbpf-dev, as `cargo xtask setup` installs them.
fn libbpf(paths: &[PathBuf]) -> Vec<Line> {
    let directory = tempfile::tempdir().unwrap();
    let tool = directory.path().join("libbpf_types");
    let source = crate_dir().join("tests/libbpf_types.c");
    let built = Command::new("cc").arg("-o").arg(&tool).arg(source).arg("-lbpf").output().unwrap();
    assert!(built.status.success(), "apt-get install gcc libbpf-dev: {}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(&tool).args(paths).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| {
            let words: Vec<_> = line.split('\t').collect();
            let [path, name, section, program_type, attach_type] = words[..] else { panic!("{line}") };
            Line {
                path: path.to_owned(),
                name: name.to_owned(),
                section: section.to_owned(),
                program_type: program_type.parse().unwrap(),
                attach_type: attach_type.parse().unwrap(),
            }
        })
        .collect()
}

/// Type and attach type of every program that libbpf knows; returns how many those were.
fn agree(paths: &[PathBuf]) -> usize {
    let mut known = 0;
    for line in libbpf(paths) {
        let facts = object::read(&fs::read(&line.path).unwrap()).unwrap();
        let case = format!("{} `{}` in {}", line.path, line.name, line.section);
        let program = facts.programs.iter().find(|program| program.name == line.name).expect(&case);
        // 0 is BPF_PROG_TYPE_UNSPEC: a section that came after this libbpf.
        if line.program_type != 0 {
            let section = program.kind.as_ref().expect(&case);
            assert_eq!((section.program_type.0, section.attach_type), (line.program_type, line.attach_type), "{case}");
            known += 1;
        }
    }
    known
}

#[test]
fn every_section_of_libbpf_is_accepted_or_refused_by_name() {
    let path = crate_dir().join("tests/objects/sections.bpf.o");
    let facts = object::read(&fs::read(&path).unwrap()).unwrap();
    let names: Vec<_> = section::all().map(|(name, _)| name).collect();
    let (mut hooks, mut refused) = (0, 0);
    for program in &facts.programs {
        match &program.kind.as_ref().expect(&program.section).usage {
            Usage::Hook(..) => hooks += 1,
            Usage::Refused(what) => {
                assert!(!what.is_empty());
                refused += 1;
            }
        }
    }
    // One program for each line of the table, and nothing else.
    assert_eq!((facts.programs.len(), hooks + refused), (names.len(), names.len()));
    let plain = |section: &str, rest: bool| {
        if rest { section.split('/').next().unwrap().to_owned() } else { section.to_owned() }
    };
    for (name, rest) in section::all() {
        assert!(facts.programs.iter().any(|program| plain(&program.section, rest) == name), "{name} has no program");
    }
    assert!(agree(&[path]) >= 60, "libbpf knows too few of them");
}

#[test]
fn objects_of_others_are_read_as_libbpf_reads_them() {
    let root = crate_dir().parent().unwrap();
    let mut paths = vec![root.join("examples/drop-frag-needed/drop_frag_needed.bpf.o")];
    let mut add = |directory: PathBuf, suffix: &str| {
        let Ok(entries) = fs::read_dir(&directory) else { return };
        let files = entries.map(|entry| entry.unwrap().path());
        paths.extend(files.filter(|path| path.to_string_lossy().ends_with(suffix)));
    };
    add(root.join("bpf/prebuilt"), ".bpf.o");
    add(crate_dir().join("tests/objects"), "mixed.bpf.o");
    // Where Debian and Fedora put those of xdp-tools.
    let before = paths_of_xdp_tools();
    assert!(before.len() > 5, "apt-get install xdp-tools");
    paths.extend(before);
    paths.sort();
    assert!(agree(&paths) > 20);
}

fn paths_of_xdp_tools() -> Vec<PathBuf> {
    let directories =
        ["/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib/aarch64-linux-gnu/bpf", "/usr/lib64/bpf", "/usr/lib/bpf"];
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "o")).collect()
}
