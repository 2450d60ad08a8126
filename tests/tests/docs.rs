//! The documents: links lead somewhere, error codes exist, fenced manifests of the README are those of the example.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Markdown files of the workspace, build outputs aside.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            if !document.parent().unwrap().join(target).exists() {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn error_codes_in_documents_have_a_page() {
    let pages = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for code in text.match_indices("NB").filter_map(|(at, _)| text.get(at..at + 6)) {
            if code[2..].bytes().all(|byte| byte.is_ascii_digit()) {
                assert!(pages.contains(code), "{}: {code} has no page", document.display());
            }
        }
    }
}

#[test]
fn every_loader_code_has_a_page() {
    let pages = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    for code in nodeplan::report::Code::ALL {
        assert!(pages.contains(code.as_str()), "{} ({}) has no page", code.as_str(), code.title());
    }
}

#[test]
fn tests_that_the_security_page_names_exist() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut sources = String::new();
    let places =
        ["nodeplan/src", "runtime-loader/src", "tests/guest", "tests/tests/trust", "compiler/src", "compiler/tests"];
    let mut folders: Vec<_> = places.iter().map(|place| root().join(place)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                sources.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    // The last column of the table of attacks.
    let named = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.rsplit('|').nth(1));
    let tests: Vec<&str> = named.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(tests.len() > 8, "{tests:?}");
    for test in tests {
        let exists = sources.contains(&format!("fn {test}(")) || sources.contains(&format!("\"{test}\""));
        assert!(exists, "docs/security.md names `{test}`, which does not exist");
    }
}
