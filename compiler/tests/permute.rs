//! The order of manifests, of list items and of keys changes no byte of lock and MachineConfigs; and what several
//! manifests in one call do that one alone does not.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{command, fail, nodebpf, project, stderr, succeed};

/// Numbers from a seed.
struct Shuffle(u64);

impl Shuffle {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn shuffled<T>(&mut self, items: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut items: Vec<_> = items.into_iter().collect();
        for at in (1..items.len()).rev() {
            let other = self.below(at + 1);
            items.swap(at, other);
        }
        items
    }

    /// `value` as YAML in flow style, keys and list items in any order. A band has an order.
    fn write(&mut self, key: &str, value: &Value, out: &mut String) {
        match value {
            Value::Object(fields) => {
                out.push('{');
                for (at, (key, value)) in self.shuffled(fields).into_iter().enumerate() {
                    let _ = write!(out, "{}{}: ", if at == 0 { "" } else { ", " }, json!(key));
                    self.write(key, value, out);
                }
                out.push('}');
            }
            Value::Array(items) => {
                let items: Vec<&Value> =
                    if matches!(key, "band" | "priorities") { items.iter().collect() } else { self.shuffled(items) };
                out.push('[');
                for (at, value) in items.into_iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    self.write("", value, out);
                }
                out.push(']');
            }
            scalar => out.push_str(&scalar.to_string()),
        }
    }
}

fn manifest(name: &str, spec: &Value) -> Value {
    let metadata = json!({ "name": name, "owner": "netops", "revision": 2 });
    json!({ "apiVersion": "nodebpf.io/v1alpha1", "kind": "BpfManifest", "metadata": metadata, "spec": spec })
}

fn documents() -> Vec<(&'static str, Value)> {
    let xdp = |interfaces: Value, priority: u16, proceed_on: Value| json!({ "xdp": { "interfaces": interfaces, "priority": priority, "proceedOn": proceed_on, "mode": "native" } });
    let a = json!({
        "intent": "feature", "pools": ["worker", "edge", "gpu"], "audience": ["prod", "test"],
        "appliesTo": { "architectures": ["arm64", "amd64"] },
        "programs": [
            { "name": "guard", "object": "chain.bpf.o", "attach": [
                xdp(json!([{ "name": "ens*", "exclude": ["ens9", "ens8"] }, { "name": "eth0" }]), 510, json!(["pass", "drop"])),
                xdp(json!([{ "name": "wlan0" }]), 511, json!(["pass"])),
            ] },
            { "name": "meter", "object": "chain.bpf.o", "attach": [xdp(json!([{ "name": "ens3" }]), 520, json!(["pass"]))] },
        ],
        "maps": { "flows": { "entries": [{ "key": 3, "value": 1 }, { "key": 1, "value": 1 }, { "key": 2, "value": 7 }] } },
    });
    let b = json!({
        "intent": "feature", "pools": ["edge"], "audience": ["prod"],
        "programs": [{ "name": "meter", "object": "chain.bpf.o", "attach": [
            xdp(json!([{ "name": "ens3" }, { "name": "ens4" }]), 530, json!(["tx", "pass", "aborted"])),
        ] }],
    });
    let c = json!({
        "intent": "feature", "pools": ["worker"], "audience": ["test"],
        "programs": [{ "name": "first", "object": "odd.bpf.o", "attach": [
            xdp(json!([{ "name": "ens?" }]), 540, json!(["pass"])),
        ] }],
    });
    let policy = json!({
        "apiVersion": "nodebpf.io/v1alpha1", "kind": "BpfPolicy", "metadata": { "name": "fleet" },
        "spec": {
            "version": 1, "audiences": ["prod", "test"],
            "pools": { "worker": {}, "edge": { "inherits": "worker" }, "gpu": { "inherits": "worker" } },
            "coexistsWith": ["tetragon", "falco"],
            "owners": [{ "name": "netops", "keys": ["public.pem"], "streams": ["netops-*", "net?ps"],
                "hooks": { "xdp": { "band": [500, 599] }, "lsm": {} } }],
        },
    });
    vec![
        ("a.yaml", manifest("netops-a", &a)),
        ("b.yaml", manifest("netops-b", &b)),
        ("c.yaml", manifest("netops-c", &c)),
        ("policy.yaml", policy),
    ]
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// Lock, trust file and MachineConfigs of the documents, shuffled.
fn outputs(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let directory = project();
    // An odd seed is never 0, which xorshift would keep.
    let mut shuffle = Shuffle(seed | 1);
    for (name, document) in documents() {
        let mut text = String::new();
        shuffle.write("", &document, &mut text);
        fs::write(directory.path().join(name), text).unwrap();
    }
    let manifests = shuffle.shuffled(["a.yaml", "b.yaml", "c.yaml"]).join(" ");
    succeed(directory.path(), &format!("lock {manifests} --policy policy.yaml -o out/bpf.lock.yaml"));
    succeed(directory.path(), "trust build policy.yaml -o out/trust.json");
    let options = "--policy policy.yaml --key key.pem --locked --lock out/bpf.lock.yaml -o out";
    succeed(directory.path(), &format!("compile {manifests} {options}"));
    succeed(directory.path(), &format!("lock {manifests} --policy policy.yaml -o out/bpf.lock.yaml --check"));
    files(&directory.path().join("out"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn order_changes_no_byte(seed in any::<u64>()) {
        let (one, other) = (outputs(seed), outputs(seed.rotate_left(17) ^ 0x5555));
        prop_assert_eq!(one.len(), 2 + 3 + 1 + 1);
        prop_assert!(one == other, "{:?}", one.iter().filter(|(name, bytes)| other.get(*name) != Some(bytes)).collect::<Vec<_>>());
    }
}

#[test]
fn an_error_in_one_manifest_writes_nothing_of_any() {
    let directory = project();
    let bad = support::MANIFEST.replace("netops-frag", "netops-bad").replace("510", "1001");
    fs::write(directory.path().join("bad.yaml"), bad).unwrap();
    let text = fail(directory.path(), "compile bpf.yaml bad.yaml --key key.pem -o out", 1);
    assert!(text.contains("NB0302") && !directory.path().join("out").exists(), "{text}");
}

/// Each manifest has its problem; none hides the others', whatever phase they are found in.
#[test]
fn all_problems_of_all_manifests_are_reported() {
    let directory = project();
    for (file, from, to) in [
        ("a.yaml", "priority: 510", "priority: high"),
        ("b.yaml", "drop_frag_needed.bpf.o", "missing.bpf.o"),
        ("c.yaml", "intent: feature", "intent: feature\n  onExpiry: keep"),
        ("d.yaml", "name: \"ens*\"", "name: ens3"),
    ] {
        fs::write(directory.path().join(file), support::MANIFEST.replace(from, to)).unwrap();
    }
    let text = fail(directory.path(), "check a.yaml b.yaml c.yaml d.yaml --message-format short", 1);
    for want in ["a.yaml:12:", "NB0110", "b.yaml:11:", "NB0201", "NB0309", "d.yaml:3:", "NB0406"] {
        assert!(text.contains(want), "{want} is missing in\n{text}");
    }
}

#[test]
fn stdin_is_read_once() {
    let directory = project();
    let text = fail(directory.path(), "check - -", 2);
    assert!(text.contains("once"), "{text}");
    let mut child = command(directory.path(), &["check", "-", "bpf.yaml", "--message-format", "short"]);
    let manifest = fs::File::open(directory.path().join("bpf.yaml")).unwrap();
    let output = child.stdin(manifest).output().unwrap();
    assert!(stderr(&output).contains("bpf.yaml:3:18: error[NB0406]"), "{}", stderr(&output));
}

/// The lock is written only when it was agreed on: a changed plan under an old revision leaves it as it is.
#[test]
fn a_lock_is_not_replaced_by_a_silent_change() {
    let directory = project();
    let path = directory.path().join("bpf.lock.yaml");
    succeed(directory.path(), "lock bpf.yaml --policy policy.yaml");
    let before = fs::read(&path).unwrap();
    succeed(directory.path(), "lock bpf.yaml --policy policy.yaml");
    assert_eq!(fs::read(&path).unwrap(), before);
    let changed = support::MANIFEST.replace("priority: 510", "priority: 511");
    fs::write(directory.path().join("bpf.yaml"), &changed).unwrap();
    fail(directory.path(), "lock bpf.yaml --policy policy.yaml", 1);
    assert_eq!(fs::read(&path).unwrap(), before);
    fs::write(directory.path().join("bpf.yaml"), changed.replace("revision: 3", "revision: 4")).unwrap();
    fail(directory.path(), "lock bpf.yaml --policy policy.yaml --check", 1);
    succeed(directory.path(), "lock bpf.yaml --policy policy.yaml");
    assert_ne!(fs::read(&path).unwrap(), before);
    let output = nodebpf(directory.path(), &["compile", "bpf.yaml", "--key", "key.pem", "--locked", "-o", "out"]);
    assert!(output.status.success(), "{}", stderr(&output));
}
