//! Manifests of the documents pass `nodebpf check`: every fenced block whose info string starts with `yaml` and goes on.
//!
//! ```text
//! yaml manifest                   a whole manifest
//! yaml attach=OBJECT/PROGRAM      items of `attach` of this program
//! yaml maps=OBJECT/PROGRAM        what stands below `spec.maps`, of the object of this program
//! ```

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, path::PathBuf};

use clap::Parser as _;
use support::{crate_dir, nodebpf, stderr, workdir};

/// Info strings and texts of fenced blocks.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info.trim().to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, block)), None) => block.extend([line, "\n"]),
            (None, None) => {}
        }
    }
    found
}

fn indented(block: &str, by: usize) -> String {
    block.lines().flat_map(|line| [" ".repeat(by), line.to_owned(), "\n".to_owned()]).collect()
}

/// The manifest that a block stands for; `None` for blocks that stand for none.
fn manifest(info: &str, block: &str) -> Option<String> {
    let what = info.strip_prefix("yaml ")?;
    if what == "manifest" {
        return Some(block.to_owned());
    }
    let (kind, place) = what.split_once('=').unwrap();
    let (object, program) = place.split_once('/').unwrap();
    let head = format!(
        "apiVersion: nodebpf.io/v1alpha1\nkind: BpfManifest\nmetadata: {{name: a, owner: a, revision: 1}}\nspec:\n  \
         intent: feature\n  pools: [worker]\n  programs:\n    - name: {program}\n      object: {object}\n      attach:\n"
    );
    let buffers = "    events: {consumer: node agent}\n    samples: {consumer: node agent}\n";
    Some(match kind {
        "attach" if object == "hooks.bpf.o" => format!("{head}{}  maps:\n{buffers}", indented(block, 8)),
        "attach" => format!("{head}{}", indented(block, 8)),
        "maps" => {
            let attach = "        - xdp: {interfaces: [{name: ens3}], priority: 1}\n";
            format!("{head}{attach}  maps:\n{}", indented(block, 4))
        }
        _ => panic!("`{info}` stands for nothing"),
    })
}

#[test]
fn manifests_of_the_documents_are_sound() {
    let root = crate_dir().parent().unwrap();
    let mut documents: Vec<_> = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    documents.push(root.join("README.md"));
    documents.sort();
    let directory = workdir();
    let (mut count, mut problems) = (0, Vec::new());
    for path in documents.iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        for (info, block) in blocks(&fs::read_to_string(path).unwrap()) {
            let Some(text) = manifest(&info, &block) else { continue };
            count += 1;
            fs::write(directory.path().join("bpf.yaml"), text).unwrap();
            let output = nodebpf(directory.path(), &["check", "bpf.yaml"]);
            let said = stderr(&output);
            // What the loader of this release lacks, or a policy would have to say, or nobody knows of arm64 nodes, is no
            // fault of a document.
            let other = said.lines().any(|line| {
                line.starts_with("warning") && !["NB0408", "NB0508"].iter().any(|code| line.contains(code))
            });
            if !output.status.success() || other {
                problems.push(format!("{}: `{info}`\n{block}\n{said}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
    assert!(count > 10, "only {count} manifests were found");
}

/// A key that is not in the reference is not found by readers.
#[test]
fn the_reference_has_every_key() {
    fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(serde_json::Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match value {
            serde_json::Value::Object(object) => object.values().for_each(|value| keys(value, found)),
            serde_json::Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let directory = workdir();
    let schema = nodebpf(directory.path(), &["schema"]).stdout;
    let mut found = Vec::new();
    keys(&serde_json::from_slice(&schema).unwrap(), &mut found);
    assert!(found.len() > 50, "{found:?}");
    let reference = fs::read_to_string(crate_dir().parent().unwrap().join("docs/manifest.md")).unwrap();
    for key in found {
        let marked = [format!("`{key}`"), format!(".{key}`"), format!("{key}:"), format!("{key}, ")];
        assert!(marked.iter().any(|text| reference.contains(text)), "`{key}` is not in docs/manifest.md");
    }
}

/// Every document.
fn documents() -> Vec<PathBuf> {
    let root = crate_dir().parent().unwrap();
    let mut found = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    let mut folders = vec![root.join("docs"), root.join("examples")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// A command that nobody runs has at least options that exist: of those without a cluster, and of pipes the last part.
#[test]
fn commands_of_the_documents_can_be_typed() {
    let (mut count, mut problems) = (0, Vec::new());
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.trim_start().strip_prefix("$ ")) {
            // Another manager, and the apply of one guide after that of another is a conflict.
            if line.starts_with("oc apply ") && !line.contains(" --server-side --field-manager=nodebpf ") {
                problems.push(format!("{}: {line}", path.display()));
            }
            let command = line.split("  #").next().unwrap().rsplit(" | ").next().unwrap();
            if !command.starts_with("nodebpf ") {
                continue;
            }
            count += 1;
            if let Err(error) = nodebpf::cli::args::Cli::try_parse_from(command.split_whitespace()) {
                problems.push(format!("{}: {line}\n{error}", path.display()));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(count > 70, "only {count} commands were found");
}

/// Rows of a table of docs/machineconfig.md, the texts in code of the first column.
fn directives(reference: &str) -> Vec<String> {
    let table = reference.split("| directive | reason |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let first = rows.map(|line| line.split('|').nth(1).unwrap().trim().to_owned());
    first.collect()
}

/// What confines our services, and what is left open, each with its reason.
#[test]
fn every_directive_of_a_unit_has_its_reason() {
    use nodebpf::lower::unit::{Carrier, units};

    const OF_ANY_SERVICE: [&str; 8] = [
        "ExecStart=",
        "ExecStartPre=-/usr/bin/",
        "RemainAfterExit=",
        "RuntimeDirectory=",
        "RuntimeDirectoryPreserve=",
        "SystemCallErrorNumber=",
        "TimeoutStartSec=",
        "Type=",
    ];
    let reference = fs::read_to_string(crate_dir().parent().unwrap().join("docs/machineconfig.md")).unwrap();
    let rows = directives(&reference);
    let code = |row: &str| {
        let texts = row.split('`').skip(1).step_by(2).filter(|text| text.contains('='));
        texts.map(str::to_owned).collect::<Vec<_>>()
    };
    let left_out: Vec<_> = rows.iter().filter(|row| row.starts_with("not ")).flat_map(|row| code(row)).collect();
    // `ExecStartPre=… …` stands for its beginning.
    let stated: Vec<_> = rows.iter().filter(|row| !row.starts_with("not ")).flat_map(|row| code(row)).collect();
    let is_stated = |line: &str, row: &str| match row.strip_suffix(" …") {
        Some(beginning) => line.starts_with(beginning),
        None => line == row,
    };
    assert!(stated.len() >= 12 && left_out.len() >= 4, "{rows:?}");
    let units = units(Carrier::MachineConfig).unwrap();
    let services: Vec<_> = units.iter().filter(|unit| unit.name.ends_with(".service")).collect();
    assert_eq!(services.len(), 4);
    for unit in services {
        let (_, service) = unit.content.split_once("[Service]\n").unwrap();
        let service = service.split("\n[").next().unwrap();
        let lines: Vec<_> = service.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        for line in &lines {
            let known = stated.iter().any(|row| is_stated(line, row))
                || OF_ANY_SERVICE.iter().any(|beginning| line.starts_with(beginning));
            assert!(known, "{}: no reason is given for `{line}`", unit.name);
            assert!(
                !left_out.iter().any(|row| line.starts_with(row)),
                "{}: `{line}` is said to be left out",
                unit.name
            );
        }
        for row in stated.iter().filter(|row| unit.name != "nodebpf-gate.service" || !row.starts_with("ExecStartPre="))
        {
            assert!(lines.iter().any(|line| is_stated(line, row)), "{}: `{row}` is promised", unit.name);
        }
    }
}
