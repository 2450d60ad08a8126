//! What the operator or each node refuses, whatever was there before; and what is only good advice.

use super::*;
use crate::mco::refusal::refusals;

const VALIDATE: &str = "pkg/controller/common/helpers.go ValidateMachineConfig";
const PARSE: &str = "pkg/controller/common/helpers.go IgnParseWrapper";
const DECODE: &str = "pkg/controller/common/helpers.go DecodeIgnitionFileContents";
const TYPES: &str = "coreos/ignition config/v3_5/types";
const NOT: &str = "";

fn sound() -> Value {
    spec(&[file(BUNDLE, "a")], &[unit("z.service", "[Service]\nExecStart=/bin/true\n")])
}

/// `sound`, with `value` for `key` of what is at `place`; null removes the key.
fn with(place: &str, key: &str, value: Value) -> Value {
    let mut spec = sound();
    let entries = spec.pointer_mut(place).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        entries.remove(key);
    } else {
        entries.insert(key.to_owned(), value);
    }
    spec
}

fn found(configs: &[Config], minor: u16) -> Vec<String> {
    let rendered = render(configs, Some("worker"));
    refusals(configs, "worker", &rendered, minor).into_iter().collect()
}

#[test]
fn what_is_refused_and_what_is_not() {
    let (file, unit) = ("/config/storage/files/0", "/config/systemd/units/0");
    let contents = "/config/storage/files/0/contents";
    let version = |version: &str| with("/config/ignition", "version", json!(version));
    let mode = |text: &str| {
        let mut spec = version(text);
        spec["config"]["storage"]["files"][0]["mode"] = json!(0o4755);
        spec
    };
    let path = |path: &str| with(file, "path", json!(path));
    let source = |source: &str| with(contents, "source", json!(source));
    let extension = |name: &str| with("", "extensions", json!([name]));
    let hash = |digits: &str| with(contents, "verification", json!({"hash": format!("sha512-{digits}")}));
    let twice = |place: &str| {
        let mut spec = sound();
        let list = spec.pointer_mut(place).unwrap().as_array_mut().unwrap();
        list.push(list[0].clone());
        spec
    };
    let old_and_twice = {
        let mut spec = twice("/config/storage/files");
        spec["config"]["ignition"]["version"] = json!("2.2.0");
        spec
    };
    let real_time = {
        let mut spec = extension("kernel-devel");
        spec["kernelType"] = json!("realtime");
        spec
    };
    let cases: Vec<(&str, &str, Value, u16, &str)> = vec![
        ("sound", VALIDATE, sound(), 20, NOT),
        ("no Ignition config", VALIDATE, json!({"kernelArguments": ["a"]}), 20, NOT),
        ("Ignition 3.0.0", PARSE, version("3.0.0"), 20, NOT),
        ("Ignition 3.5.0", PARSE, version("3.5.0"), 19, NOT),
        ("Ignition 3.5.0 too early", PARSE, version("3.5.0"), 18, "does not read Ignition 3.5.0"),
        ("Ignition 3.6.0", PARSE, version("3.6.0"), 22, "does not read Ignition 3.6.0"),
        ("Ignition 3.2.1", PARSE, version("3.2.1"), 22, "does not read Ignition 3.2.1"),
        ("Ignition 3.10.0", PARSE, version("3.10.0"), 22, "does not read Ignition 3.10.0"),
        ("Ignition 2.2.0", PARSE, version("2.2.0"), 22, NOT),
        ("Ignition 2.3.0", PARSE, version("2.3.0"), 22, "does not read Ignition 2.3.0"),
        ("no version", PARSE, json!({"config": {}}), 20, "it has no `ignition.version`"),
        ("a path of the system", "EROFS", path("/usr/bin/x"), 20, "`storage.files[0].path` is `/usr/bin/x`"),
        ("a link into the system", "EROFS", path("/lib/x"), 20, "`storage.files[0].path` is `/lib/x`"),
        ("/usr/local", "a link to /var/usrlocal", path("/usr/local/bin/x"), 20, NOT),
        ("/run", "advice: gone at the next boot", path("/run/x"), 20, NOT),
        ("a path that is not clean", TYPES, path("/etc//x"), 20, "`storage.files[0].path` is `/etc//x`"),
        ("a path twice", TYPES, twice("/config/storage/files"), 20, "must stand once"),
        ("a path twice, old", "removeIgnDuplicateFilesUnitsUsers", old_and_twice, 20, NOT),
        ("a unit twice", TYPES, twice("/config/systemd/units"), 20, "must stand once"),
        (
            "content from elsewhere",
            DECODE,
            source("http://x/y"),
            20,
            "has source `http://x/y`; it must be a `data:` URL",
        ),
        ("an empty source", DECODE, source(""), 20, "has source ``"),
        ("no source", TYPES, with(contents, "source", Value::Null), 20, "has no content"),
        ("no contents", TYPES, with(file, "contents", Value::Null), 20, "has no content"),
        ("data", DECODE, source("data:,x"), 20, NOT),
        ("xz", TYPES, with(contents, "compression", json!("xz")), 20, "contents.compression` is `xz`"),
        ("no compression", "advice: inherited before 4.20", with(contents, "compression", Value::Null), 20, NOT),
        ("no hash", "advice", sound(), 20, NOT),
        ("a hash that is too short", TYPES, hash("00"), 20, "contents.verification.hash` is `sha512-00`"),
        ("a hash that is wrong", "never compared", hash(&"0".repeat(128)), 20, NOT),
        ("special bits", "validateIgn3FileModes", mode("3.4.0"), 20, "`storage.files[0].mode` is `2541`"),
        ("special bits before 3.4.0", "dropped", mode("3.2.0"), 20, NOT),
        ("no mode", "0644", with(file, "mode", Value::Null), 20, NOT),
        ("no overwrite", "set by MergeMachineConfigs", with(file, "overwrite", Value::Null), 20, NOT),
        ("an owner", "advice: looked up on the node", with(file, "user", json!({"name": "core"})), 20, NOT),
        (
            "a unit of another suffix",
            TYPES,
            with(unit, "name", json!("z.conf")),
            20,
            "`systemd.units[0].name` is `z.conf`",
        ),
        ("a template", TYPES, with(unit, "name", json!("z@.service")), 20, NOT),
        ("enabled without [Install]", "a warning of Ignition", sound(), 20, NOT),
        (
            "text that is no unit",
            TYPES,
            with(unit, "contents", json!("[Install]\nnonsense\n")),
            20,
            "unit `z.service` has `nonsense`",
        ),
        (
            "a drop-in that is none",
            TYPES,
            with(unit, "dropins", json!([{"name": "a.conf", "contents": "[Service\n"}])),
            20,
            "unit `z.service.d/a.conf` has `[Service`",
        ),
        ("an extension", VALIDATE, extension("ipsec"), 17, NOT),
        ("no extension", VALIDATE, extension("bogus"), 20, "there is no extension `bogus`"),
        ("one that is not there yet", VALIDATE, extension("sysstat"), 17, "there is no extension `sysstat`"),
        ("one that is gone", VALIDATE, extension("wasm"), 22, "there is no extension `wasm`"),
        ("one that was there", VALIDATE, extension("wasm"), 21, NOT),
        ("a kernel type", VALIDATE, with("", "kernelType", json!("64k-pages")), 20, NOT),
        ("no kernel type", VALIDATE, with("", "kernelType", json!("bogus")), 20, "there is no kernel type `bogus`"),
        ("kernel-devel beside another kernel", "MergeMachineConfigs", real_time, 20, "beside kernel type `realtime`"),
        (
            "directories that are there before and after",
            "isConfigReconcilable",
            with("/config/storage", "directories", json!([{"path": "/etc/x"}])),
            20,
            NOT,
        ),
    ];
    for (name, source, spec, minor, want) in cases {
        let found = found(&[config("50-x", "worker", &spec)], minor);
        if want == NOT {
            assert!(found.is_empty(), "case: {name} ({source}): {found:?}");
        } else {
            assert!(found.len() == 1 && found[0].contains(want), "case: {name} ({source}): {found:?}");
        }
    }
}

/// Content is what all of a pool make of it: what a later one replaces is never written.
#[test]
fn only_what_is_rendered_is_written() {
    let fetched = json!({"path": BUNDLE, "contents": {"source": "http://x/y"}});
    let first = config("50-x", "worker", &spec(&[fetched], &[]));
    let later = config("60-x", "worker", &spec(&[file(BUNDLE, "a")], &[]));
    let elsewhere = config("50-m", "master", &spec(&[file("/usr/bin/x", "a")], &[]));
    assert_eq!(found(&[first.clone(), elsewhere], 20).len(), 1, "of the pool only");
    assert_eq!(found(&[first, later], 20), Vec::<String>::new());
}
