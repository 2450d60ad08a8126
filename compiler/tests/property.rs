//! Properties: what holds for every manifest, whatever its order, and for every input, whatever it is.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, path::Path};

use nodebpf::{
    check,
    diag::{Diagnostics, render_human, render_json},
    emit, lower, manifest, object, plan, policy,
    resolve::{self, Files, ReadError},
    sign::{self, Signer, key::FileKey},
    source::SourceMap,
};
use nodeplan::statement;
use proptest::{prelude::*, test_runner::RngAlgorithm};
use serde_json::Value;
use support::{MANIFEST, POLICY, cases, command, noise, project, stderr, succeed, workdir};

struct Disk<'a>(&'a Path);

impl Files for Disk<'_> {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, ReadError> {
        fs::read(self.0.join(path)).map_err(|_| ReadError::Missing)
    }
}

/// What `compile` writes for every pool, with all its reports; `None` for a manifest with errors.
fn compile(text: &[u8], files: &Path) -> (Option<Vec<Vec<u8>>>, String) {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let checked = manifest::parse("bpf.yaml", text, &mut sources, &mut diags)
        .and_then(|manifest| resolve::resolve(manifest, &Disk(files), &mut diags))
        .and_then(|resolved| check::check(&resolved, &mut diags));
    let plan = checked.as_ref().and_then(|checked| plan::plan(checked, &mut diags));
    let written = checked.as_ref().zip(plan).map(|(checked, plan)| {
        let key = FileKey::from_pem(&fs::read(files.join("key.pem")).unwrap()).unwrap();
        let statement = statement::encode(&plan);
        let parts = sign::bundle(&statement, checked.objects(), &[&key as &dyn Signer]);
        let ids: Vec<_> = parts.signatures.keys().copied().collect();
        let pools = lower::pools(checked, &[], &mut diags);
        let config = |pool| lower::stream(pool, &plan, &statement, &ids, &parts.encode());
        let emit = |pool| emit::machine_config(&config(pool), None, &mut diags).bytes;
        pools.iter().map(emit).collect()
    });
    let _ = render_json::render(&diags, &sources);
    (written, render_human::render(&diags, &sources, false))
}

/// Sound manifests: those of the golden cases, and the one of these tests.
fn sound() -> Vec<String> {
    let mut texts = vec![MANIFEST.to_owned()];
    texts.extend(cases("ok").iter().map(|case| fs::read_to_string(case.join("bpf.yaml")).unwrap()));
    texts
}

/// `items` in an order that `next` draws, with commas.
fn shuffle(mut items: Vec<String>, next: &mut dyn FnMut(usize) -> usize) -> String {
    for at in (1..items.len()).rev() {
        items.swap(at, next(at + 1));
    }
    items.join(", ")
}

/// `value` as YAML in flow style, keys and items in an order that `next` draws. Values of variables and of maps stay as
/// they are: the items of an array in C have their places.
fn shuffled(value: &Value, next: &mut dyn FnMut(usize) -> usize) -> String {
    match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| shuffled(item, next)).collect();
            format!("[{}]", shuffle(items, next))
        }
        Value::Object(entries) => {
            let fixed = |key: &str| matches!(key, "globals" | "key" | "value");
            let entries = entries
                .iter()
                .map(|(key, value)| {
                    let value = if fixed(key) { value.to_string() } else { shuffled(value, next) };
                    format!("\"{key}\": {value}")
                })
                .collect();
            format!("{{{}}}", shuffle(entries, next))
        }
        scalar => scalar.to_string(),
    }
}

fn config(count: u32) -> ProptestConfig {
    // The same cases on every machine and day: a failure is the change's, not the dice's.
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::ChaCha,
        ..Default::default()
    }
}

/// Runs `test` for `count` values of `strategy`, the same ones every time.
fn each<S: Strategy>(count: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let rng = proptest::test_runner::TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = proptest::test_runner::TestRunner::new_with_rng(config(count), rng);
    runner.run(strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_order_of_keys_and_items_changes_no_byte() {
    let directory = workdir();
    for text in sound() {
        let (wanted, reports) = compile(text.as_bytes(), directory.path());
        let wanted = wanted.unwrap_or_else(|| panic!("{reports}\n{text}"));
        let value: Value = serde_saphyr::from_str(&text).unwrap();
        each(24, &any::<[usize; 64]>(), |draws| {
            let mut draws = draws.iter().cycle();
            let text = shuffled(&value, &mut |end| draws.next().unwrap() % end);
            let (found, reports) = compile(text.as_bytes(), directory.path());
            prop_assert!(found.as_ref() == Some(&wanted), "{}\n{}", text, reports);
            Ok(())
        });
    }
}

/// Text that looks like a manifest: words of the format and of YAML in any order.
fn yaml_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ -~]{0,6}",
        "[\\n ]{1,4}",
        "\\PC{0,3}",
        prop::sample::select(vec![
            "\n",
            ": ",
            "\n- ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\"",
            "'",
            "|\n",
            ">\n",
            "&a",
            "*a",
            "!t ",
            "---\n",
            "? ",
            "\t",
            "apiVersion: nodebpf.io/v1alpha1\n",
            "kind: BpfManifest\n",
            "kind: BpfPolicy\n",
            "metadata:\n  ",
            "spec:\n  ",
            "programs:\n",
            "attach: ",
            "xdp: ",
            "interfaces: ",
            "maps:\n",
            "entries: ",
            "owners:\n",
            "name: a\n",
            "\r\n",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

#[test]
fn any_text_is_answered() {
    let directory = workdir();
    each(1500, &yaml_text(), |text| {
        let (written, reports) = compile(text.as_bytes(), directory.path());
        prop_assert!(written.is_some() || !reports.is_empty(), "refused without a word: {}", text);
        let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
        let policy = policy::parse("policy.yaml", text.as_bytes(), &Disk(directory.path()), &mut sources, &mut diags);
        prop_assert_eq!(policy.is_none(), diags.has_errors());
        let _ = render_human::render(&diags, &sources, true);
        Ok(())
    });
}

/// Where, how much to remove, what to put there.
fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    (any::<prop::sample::Index>(), 0..16_usize, prop::collection::vec(any::<u8>(), 0..16))
}

fn damaged(bytes: &[u8], damages: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, remove, insert) in damages {
        let at = at.index(bytes.len() + 1);
        let end = (at + remove).min(bytes.len());
        bytes.splice(at..end, insert.iter().copied());
    }
    bytes
}

#[test]
fn damaged_manifests_are_answered() {
    let directory = workdir();
    let texts = sound();
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(damage(), 1..4));
    each(600, &strategy, |(which, damages)| {
        let text = damaged(which.get(&texts).as_bytes(), &damages);
        let (written, reports) = compile(&text, directory.path());
        prop_assert!(written.is_some() || !reports.is_empty());
        Ok(())
    });
}

#[test]
fn damaged_objects_are_answered() {
    let directory = workdir();
    let listed = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let objects: Vec<_> = listed
        .filter(|path| path.extension().is_some_and(|end| end == "o"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(objects.len() >= 3);
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(damage(), 1..5));
    each(1500, &strategy, |(which, damages)| {
        // Half of the time the length stays, so that tables keep pointing somewhere.
        let damages: Vec<_> = damages.into_iter().map(|(at, _, new)| (at, new.len(), new)).collect();
        let _ = object::read(&damaged(&objects[which.index(objects.len())], &damages));
        Ok(())
    });
}

/// The whole program on damaged files of each kind that `verify` reads; one process for many of them.
#[test]
fn damaged_bundles_are_answered() {
    let directory = project();
    let dir = directory.path();
    fs::write(dir.join("policy.yaml"), POLICY).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o out");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o out --format ignition");
    let config = fs::read(dir.join("out/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    let bundle = support::node_files(&config).remove(0).1;
    let ignition = fs::read(dir.join("out/99-worker-nodebpf-stream-netops-frag.ign")).unwrap();
    let numbers = noise(60 * 8);
    for (ending, sound) in [("yaml", config), ("ign", ignition), ("bundle", bundle)] {
        let mut args = vec!["verify".to_owned(), "--trust".to_owned(), "trust.json".to_owned()];
        for (n, number) in numbers.chunks(8).enumerate() {
            let mut bytes = sound.clone();
            let at = usize::from(number[0]) << 8 | usize::from(number[1]);
            // Damage at the start of a file is structure, behind it payload: both.
            let at = if n % 2 == 0 { at % bytes.len() } else { at % 700 };
            match number[2] % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << (number[3] % 8),
                2 => drop(bytes.splice(at..at, number[4..].iter().copied())),
                _ => drop(bytes.drain(at..(at + usize::from(number[3])).min(bytes.len()))),
            }
            let name = format!("netops-frag-{n}.{ending}");
            fs::write(dir.join(&name), bytes).unwrap();
            args.push(name);
        }
        let output = command(dir, &args.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{ending}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{ending}: {}", stderr(&output));
    }
}
