//! docs/security.md: each threat has a test that carries it out, or says why none can and what detects it.

use std::{fs, path::Path};

/// Names of tests in the files of this directory.
fn tests() -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trust");
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]") {
            let name = pair[1].trim_start_matches("fn ").split('(').next().unwrap();
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn each_threat_has_a_test_or_says_what_detects_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let tests = tests();
    let names = (1..=15).map(|n| (format!("T{n}"), format!("t{n:02}_")));
    for (threat, prefix) in names.chain([("takeover".to_owned(), "takeover_".to_owned())]) {
        let row = format!("| {threat} |");
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with(&row)).collect();
        assert!(!rows.is_empty(), "docs/security.md has no row `{row}`");
        let named =
            |row: &&str| tests.iter().any(|test| test.starts_with(&prefix) && row.contains(&format!("`{test}`")));
        let out = |row: &&str| row.contains("out of reach") && row.contains("detected by");
        assert!(
            rows.iter().any(|row| named(row) || out(row)),
            "{threat}: no test `{prefix}…` and no word of what detects it"
        );
    }
    // And nothing is tested that the document does not name.
    for test in tests.iter().filter(|test| test.starts_with('t') && test.as_bytes()[1].is_ascii_digit()) {
        assert!(text.contains(&format!("`{test}`")), "`{test}` is not in docs/security.md");
    }
}
