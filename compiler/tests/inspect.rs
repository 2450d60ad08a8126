//! `nodebpf inspect`: it says of an object what `check` and `compile` say.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use nodebpf::object::{self, map};
use serde_json::Value;
use support::{nodebpf, stderr, stdout, succeed, workdir};

/// Types of C, as C writes them; and what only lowering finds is said before anything is compiled.
#[test]
fn variables_and_refusals_are_those_of_compile() {
    let directory = workdir();
    let seen: Value = serde_json::from_str(&stdout(&succeed(directory.path(), "inspect empty.bpf.o --json"))).unwrap();
    let object = &seen["files"][0]["object"];
    let globals: Vec<_> = object["globals"].as_array().unwrap().iter().collect();
    let grid = globals.iter().find(|global| global["name"] == "grid").unwrap();
    assert_eq!((grid["type"].as_str().unwrap(), grid["bytes"].as_u64()), ("int[2][3]", Some(24)), "{object}");
    let refused = object["refused"][0].as_str().unwrap();
    assert!(refused.contains("variable `nothing`"), "{object}");
    let manifest = "apiVersion: nodebpf.io/v1alpha1\nkind: BpfManifest\nmetadata: {name: a, owner: b, revision: 1}\n\
                    spec: {intent: feature, pools: [worker], programs: [{name: look, object: empty.bpf.o, \
                    attach: [{xdp: {interfaces: [{name: ens5}], priority: 500}}]}]}\n";
    std::fs::write(directory.path().join("bpf.yaml"), manifest).unwrap();
    let told = stderr(&nodebpf(directory.path(), &["check", "bpf.yaml"]));
    assert!(told.contains(refused), "{told}");
}

/// The memory of a map is the one that limits are compared with.
#[test]
fn memory_is_counted_as_the_check_counts_it() {
    let directory = workdir();
    for file in ["hooks.bpf.o", "odd.bpf.o", "values.bpf.o"] {
        let facts = object::read(&std::fs::read(directory.path().join(file)).unwrap()).unwrap();
        let text = stdout(&succeed(directory.path(), &format!("inspect {file} --json --cpus 3")));
        let seen: Value = serde_json::from_str(&text).unwrap();
        let maps = seen["files"][0]["object"]["maps"].as_array().unwrap();
        let found: Vec<_> = maps.iter().map(|map| map["memoryBytes"].as_u64().unwrap()).collect();
        let wanted: Vec<_> = facts.maps.iter().map(|facts| map::memory_bytes(facts, 3)).collect();
        assert_eq!(found, wanted, "{file}");
        assert!(!wanted.is_empty() || file == "values.bpf.o", "{file}");
    }
}
