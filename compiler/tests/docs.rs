//! Manifests of the documents pass `nodebpf check`: every fenced block whose info string starts with `yaml` and goes on.
//!
//! ```text
//! yaml manifest                   a whole manifest
//! yaml attach=OBJECT/PROGRAM      items of `attach` of this program
//! yaml maps=OBJECT/PROGRAM        what stands below `spec.maps`, of the object of this program
//! ```

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

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
