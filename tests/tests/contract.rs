//! Contract: what the compiler ships, the loader reads. The two sides have readers of objects of their own; here they
//! meet, on every object of every golden case.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use nodebpf::sign::carrier;
use nodebpf_loader::object::Image;
use nodeplan::{applies::Architecture, bundle::Unverified};

/// Files below `dir` that end in `.yaml`.
fn yaml_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn the_loader_reads_every_object_that_the_compiler_ships() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for dir in ["compiler/tests/cases/ok", "examples/machineconfigs"] {
        yaml_files(&root.join(dir), &mut files);
    }
    let (mut programs, mut hooks) = (0, Vec::new());
    for file in files {
        let bundles = carrier::bundles(&file, &fs::read(&file).unwrap()).unwrap_or_default();
        for bundle in bundles {
            let unverified = Unverified::decode(&bundle.bytes).unwrap();
            let (plan, parts) = (unverified.inspect().unwrap(), unverified.parts());
            for program in &plan.programs {
                for architecture in [Architecture::Amd64, Architecture::Arm64] {
                    let Some(object) = program.object.get(architecture) else { continue };
                    let bytes = parts.objects.get(&object.sha256).unwrap();
                    let globals: Vec<_> =
                        program.globals.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                    let image = Image::parse(bytes, &globals)
                        .unwrap_or_else(|error| panic!("{}: `{}`: {error}", file.display(), program.name));
                    let section = image.section(program.name.as_str()).unwrap();
                    assert_ne!(section, "", "{}: `{}`", file.display(), program.name);
                    programs += 1;
                }
                hooks.extend(program.attach.iter().map(nodeplan::hook::Attachment::hook));
            }
        }
    }
    hooks.sort_unstable();
    hooks.dedup();
    assert!(programs > 20, "only {programs} programs were looked at");
    assert_eq!(hooks, nodeplan::hook::Hook::ALL, "a hook has no golden case");
}
