use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

fn options() -> Options {
    Options { policy: None, releases: Vec::new(), on_cluster_layering: false }
}

/// All golden MachineConfigs and Ignition configs, by path.
fn goldens() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/ok");
    let mut found = Vec::new();
    for case in fs::read_dir(root).unwrap() {
        for file in fs::read_dir(case.unwrap().path().join("expected")).unwrap() {
            let path = file.unwrap().path();
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() > 10);
    found
}

fn side(name: &str, bytes: &[u8]) -> Side {
    let mut side = Side::default();
    side.add(Path::new(name), bytes, true).unwrap();
    side
}

fn run(old: &Side, new: &Side) -> (Report, Diagnostics) {
    let mut diags = Diagnostics::default();
    let report = diff(old, new, &options(), &mut diags);
    (report, diags)
}

#[test]
fn equal_sides_have_no_difference_and_one_from_nothing_has() {
    let mut all = Side::default();
    for (name, bytes) in goldens() {
        let side = side(&name, &bytes);
        let (report, diags) = run(&side, &side);
        assert!(report.is_empty() && report.notes.is_empty(), "{name}: {report:?}");
        assert!(!diags.has_errors(), "{name}: {diags:?}");
        assert_eq!(text::print(&report), "", "{name}");
        for (old, new) in [(&Side::default(), &side), (&side, &Side::default())] {
            let (report, _) = run(old, new);
            assert_eq!(report.streams.len(), 1, "{name}");
            assert!(!report.streams[0].attachments.is_empty(), "{name}");
        }
        all.configs.extend(side.configs);
    }
    assert!(run(&all, &all).0.is_empty());
}

#[test]
fn metadata_alone_changes_nothing() {
    let (name, bytes) = goldens().into_iter().find(|(name, _)| name.contains("one-program")).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let other = text.replace("nodebpf.io/compiler-version: '", "nodebpf.io/compiler-version: '9");
    assert_ne!(text, other);
    assert!(run(&side(&name, &bytes), &side(&name, other.as_bytes())).0.is_empty());
}

#[test]
fn what_is_damaged_is_an_error_and_not_nothing() {
    let (name, bytes) = goldens().into_iter().find(|(name, _)| name.contains("one-program")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for (what, from, to) in [
        ("content", "data:;base64,H4", "data:;base64,AA"),
        ("hash", "sha512-", "sha512-0"),
        ("path", "/etc/nodebpf/bundles/", "/etc/./nodebpf/bundles/"),
        ("stream's file", ".bundle", "-x.bundle"),
    ] {
        assert!(text.contains(from), "case: {what}");
        let damaged = side(&name, text.replace(from, to).as_bytes());
        let (_, diags) = run(&Side::default(), &damaged);
        assert!(diags.has_errors(), "case: {what}");
    }
    let mut side = Side::default();
    assert!(side.add(Path::new("x.yaml"), b"a: 1", true).is_err());
    assert_eq!(side.add(Path::new("x.yaml"), b"a: 1", false), Ok(false));
    assert!(side.add(Path::new("x.yaml"), b"{ whatever", false).is_err(), "it may be one of ours");
}

/// `oc get machineconfig -o json` has what the operator rendered, too.
#[test]
fn lists_of_a_cluster_are_read() {
    let (name, bytes) = goldens().into_iter().find(|(name, _)| name.contains("one-program")).unwrap();
    let ours: serde_json::Value = serde_saphyr::from_slice(&bytes).unwrap();
    let mut rendered = ours.clone();
    rendered["metadata"] = serde_json::json!({"name": "rendered-worker-1"});
    let list = |items: &[&serde_json::Value]| serde_json::json!({"kind": "List", "items": items}).to_string();
    let listed = side("list.json", list(&[&rendered, &ours]).as_bytes());
    assert!(run(&side(&name, &bytes), &listed).0.is_empty());
    let mut lost = ours.clone();
    lost["metadata"]["labels"] = serde_json::json!({});
    let error = Side::default().add(Path::new("x.json"), list(&[&lost]).as_bytes(), false).unwrap_err();
    assert!(error.contains("without the label of a pool"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_input_is_an_error_or_a_difference_and_never_a_panic(
        pick in any::<usize>(),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<usize>()),
    ) {
        let goldens = goldens();
        let (name, bytes) = &goldens[pick % goldens.len()];
        let mut damaged = bytes.clone();
        for (at, byte) in edits {
            let at = at % damaged.len();
            damaged[at] = byte;
        }
        if let Some(cut) = cut {
            damaged.truncate(cut % damaged.len());
        }
        let mut new = Side::default();
        if new.add(Path::new(name), &damaged, true).is_ok() {
            let (report, _) = run(&side(name, bytes), &new);
            let text = text::print(&report);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            let _ = (markdown::print(&report), serde_json::to_string(&report).unwrap());
        }
    }

    #[test]
    fn any_document_is_taken(text in "(kind: (MachineConfig|MachineConfiguration|List)\n)?[a-z:\\[\\]{}\n -]{0,80}") {
        let mut side = Side::default();
        let _ = side.add(Path::new("x.yaml"), text.as_bytes(), false);
        run(&side, &Side::default());
    }
}
