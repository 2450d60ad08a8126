//! Each rule is broken once by hand: what the compiler makes of manifests breaks none.

use serde_json::json;

use super::*;

fn sound() -> Value {
    let hash = format!("sha512-{}", "0".repeat(128));
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": { "name": "99-worker-x", "labels": { ROLE_LABEL: "worker" } },
        "spec": { "config": {
            "ignition": { "version": "3.2.0" },
            "storage": { "files": [{
                "path": "/etc/x", "mode": 420, "overwrite": true,
                "contents": { "source": "data:,", "compression": "", "verification": { "hash": hash } },
            }] },
            "systemd": { "units": [{
                "name": "x.service", "enabled": true,
                "contents": "# c\n[Service]\nExecStart=/bin/true \\\n  --more\n[Install]\nWantedBy=y.target\n",
            }] },
        } },
    })
}

const FILE: &str = "/spec/config/storage/files/0";
const UNIT: &str = "/spec/config/systemd/units/0";

/// `sound`, with `value` for `key` of what is at `place`; null removes the key.
fn with(place: &str, key: &str, value: Value) -> Value {
    let mut document = sound();
    let entries = document.pointer_mut(place).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        entries.remove(key);
    } else {
        entries.insert(key.to_owned(), value);
    }
    document
}

fn cases() -> Vec<(Rule, Value)> {
    let contents = format!("{FILE}/contents");
    let verification = format!("{contents}/verification");
    let twice = |place: &str| {
        let mut document = sound();
        let list = document.pointer_mut(place).unwrap().as_array_mut().unwrap();
        list.push(list[0].clone());
        document
    };
    let mut cases = vec![
        (Rule::Kind, with("", "kind", json!("MachineConfigPool"))),
        (Rule::Kind, with("", "apiVersion", json!("v1"))),
        (Rule::Name, with("/metadata", "name", json!("99_worker"))),
        (Rule::Name, with("/metadata", "name", json!("a".repeat(254)))),
        (Rule::Labels, with("/metadata", "labels", Value::Null)),
        (Rule::Labels, with("/metadata/labels", ROLE_LABEL, json!(""))),
        (Rule::Version, with("/spec/config/ignition", "version", json!("3.6.0"))),
        (Rule::Version, with("/spec", "config", Value::Null)),
        (Rule::Section, with("/spec/config/storage", "directories", json!([{ "path": "/etc/d" }]))),
        (Rule::Section, with("/spec/config/storage", "links", json!([]))),
        (Rule::Section, with("/spec/config", "kernelArguments", json!({}))),
        (Rule::PathForce, with(FILE, "path", json!("/run/machine-config-daemon-force"))),
        (Rule::PathTwice, twice("/spec/config/storage/files")),
        (Rule::Owner, with(FILE, "user", json!({ "name": "core" }))),
        (Rule::Append, with(FILE, "append", json!([]))),
        (Rule::Source, with(&contents, "source", json!("https://example.com/x"))),
        (Rule::Compression, with(&contents, "compression", Value::Null)),
        (Rule::Compression, with(&contents, "compression", json!("xz"))),
        (Rule::Hash, with(&verification, "hash", Value::Null)),
        (Rule::Hash, with(&verification, "hash", json!("sha512-00"))),
        (Rule::Overwrite, with(FILE, "overwrite", Value::Null)),
        (Rule::UnitName, with(UNIT, "name", json!("x"))),
        (Rule::UnitName, with(UNIT, "name", json!("x.conf"))),
        (Rule::UnitTwice, twice("/spec/config/systemd/units")),
        (Rule::UnitInstall, with(UNIT, "contents", json!("[Service]\nExecStart=/bin/true\n"))),
        (Rule::UnitText, with(UNIT, "contents", json!("[Install]\nnonsense\n"))),
        (Rule::UnitText, with(UNIT, "contents", json!("Key=before any section\n[Install]\n"))),
    ];
    for mode in [Value::Null, json!(0o1000), json!(0o4755), json!("0644"), json!(-1)] {
        cases.push((Rule::Mode, with(FILE, "mode", mode)));
    }
    for path in ["", "etc/x", "/etc//x", "/etc/../x", "/etc/x/", "/etc/./x"] {
        cases.push((Rule::PathUnclean, with(FILE, "path", json!(path))));
    }
    for path in ["/usr/bin/x", "/boot/x", "/x", "/usr/localx"] {
        cases.push((Rule::PathReadOnly, with(FILE, "path", json!(path))));
    }
    cases
}

#[test]
fn a_sound_object_is_not_refused() {
    assert_eq!(refusals(&sound()), []);
    assert_eq!(refusals(sound().pointer("/spec/config").unwrap()), []);
}

#[test]
fn every_rule_finds_its_mistake() {
    for (rule, document) in cases() {
        let found: Vec<_> = refusals(&document).iter().map(|refusal| refusal.rule).collect();
        assert!(found.contains(&rule), "{rule:?} is not found in {document}: {found:?}");
    }
    for rule in Rule::ALL {
        assert!(cases().iter().any(|(of, _)| of == rule), "{rule:?} has no case");
    }
}

#[test]
fn whatever_a_document_is_it_is_answered() {
    for document in
        [json!(null), json!([]), json!({ "ignition": 1 }), json!({ "spec": { "config": { "storage": 3 } } })]
    {
        let _ = refusals(&document);
    }
}
