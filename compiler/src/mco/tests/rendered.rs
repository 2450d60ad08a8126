//! How configurations of a pool become one, and what differs between two of those.

use super::*;

const MERGE: &str = "pkg/controller/common/helpers.go MergeMachineConfigs";

#[test]
fn custom_pools_win_over_worker_whatever_their_names() {
    let content = |rendered: &Rendered| rendered.files[BUNDLE]["contents"]["source"].as_str().unwrap().to_owned();
    let one = |name: &str, role: &str, text: &str| config(name, role, &spec(&[file(BUNDLE, text)], &[]));
    let text = |text: &str| file(BUNDLE, text)["contents"]["source"].as_str().unwrap().to_owned();
    for (name, configs, pool, want) in [
        ("by name", vec![one("99-b", "worker", "b"), one("50-a", "worker", "a")], "worker", "b"),
        ("by name, given the other way", vec![one("50-a", "worker", "a"), one("99-b", "worker", "b")], "worker", "b"),
        ("custom after worker", vec![one("50-canary", "canary", "c"), one("99-worker", "worker", "w")], "canary", "c"),
        (
            "worker without custom",
            vec![one("50-canary", "canary", "c"), one("99-worker", "worker", "w")],
            "worker",
            "w",
        ),
        ("inherited", vec![one("99-worker", "worker", "w")], "canary", "w"),
    ] {
        assert_eq!(content(&render(&configs, Some(pool))), text(want), "case: {name} ({MERGE})");
    }
    let master = render(&[one("99-worker", "worker", "w")], Some("master"));
    assert!(master.files.is_empty(), "master inherits nothing");
}

#[test]
fn merges_go_field_by_field() {
    let old = config(
        "98-a",
        "worker",
        &json!({"config": {"ignition": {"version": "3.2.0"},
        "storage": {"files": [gzipped(BUNDLE, "a")]},
        "systemd": {"units": [{"name": "kubelet.service", "dropins": [{"name": "10-a.conf", "contents": "a"}]}]}}}),
    );
    let new = config(
        "99-b",
        "worker",
        &json!({"kernelArguments": ["x"], "config": {"ignition": {"version": "3.2.0"},
        "storage": {"files": [{"path": BUNDLE, "contents": {"source": "data:;base64,Yg=="}}]},
        "systemd": {"units": [{"name": "kubelet.service", "enabled": null, "dropins": [{"name": "20-b.conf", "contents": "b"}]}]}}}),
    );
    let rendered = render(&[new, old], Some("worker"));
    // Without compression the later one would inherit gzip; `ignitionMergeSetFilesDefaultCompression` prevents it.
    let wanted = json!({"path": BUNDLE, "mode": 420, "overwrite": true, "contents": {"source": "data:;base64,Yg=="}});
    assert_eq!(rendered.files[BUNDLE], wanted, "{MERGE}");
    let dropins = rendered.units["kubelet.service"]["dropins"].as_array().unwrap();
    assert_eq!(dropins.len(), 2, "both drop-ins are kept");
    assert!(rendered.units["kubelet.service"].get("enabled").is_none(), "null is absent");
    assert_eq!(rendered.kernel_arguments, [json!("x")]);
}

#[test]
fn what_changed_is_named() {
    let old = worker(&spec(&[file(BUNDLE, "a"), file(OTHER, "a"), file("/etc/a", "a")], &[]));
    let new = worker(&spec(&[gzipped(BUNDLE, "a"), file(OTHER, "b"), file("/etc/b", "a")], &[]));
    let found = changes(&old, &new).files;
    let wanted = [("/etc/a", How::Removed), ("/etc/b", How::Added), (BUNDLE, How::Encoding), (OTHER, How::Changed)];
    assert_eq!(found, wanted.map(|(path, how)| (path.to_owned(), how)).into(), "{FILES}");
}

const SCHEMA: &str = "coreos/ignition config/v3_5/types/schema.go";

/// What the rendered config, which is written again, has alike.
#[test]
fn what_is_empty_is_not_there() {
    let base = || spec(&[file(BUNDLE, "a")], &[unit("z.service", "a")]);
    let with = |place: &str, key: &str, value: Value| {
        let mut spec = base();
        spec.pointer_mut(place).unwrap()[key] = value;
        spec
    };
    let (config, file) = ("/config", "/config/storage/files/0");
    let (contents, unit) = ("/config/storage/files/0/contents", "/config/systemd/units/0");
    for (name, spec) in [
        ("passwd", with(config, "passwd", json!({}))),
        ("users", with(config, "passwd", json!({"users": [], "groups": null}))),
        ("kernel arguments", with(config, "kernelArguments", json!({"shouldExist": []}))),
        ("links", with("/config/storage", "links", json!([]))),
        ("timeouts", with("/config/ignition", "timeouts", json!({"httpTotal": null}))),
        ("merge", with("/config/ignition", "config", json!({"merge": []}))),
        ("version", with("/config/ignition", "version", json!("3.4.0"))),
        ("verification", with(contents, "verification", json!({}))),
        ("a hash that is null", with(contents, "verification", json!({"hash": null}))),
        ("headers", with(contents, "httpHeaders", json!([]))),
        ("no compression", with(contents, "compression", json!(null))),
        ("user", with(file, "user", json!({}))),
        ("a group that is null", with(file, "group", json!({"name": null}))),
        ("append", with(file, "append", json!([]))),
        ("overwrite", with(file, "overwrite", json!(null))),
        ("dropins", with(unit, "dropins", json!([]))),
        ("mask", with(unit, "mask", json!(null))),
    ] {
        let found = changes(&worker(&base()), &worker(&spec));
        assert!(found.is_empty(), "case: {name} ({SCHEMA}): {found:?}");
    }
    let (without, empty) = (spec(&[], &[]), json!({"config": {"storage": {"files": []}, "systemd": {"units": []}}}));
    assert!(changes(&worker(&without), &worker(&empty)).is_empty());
    assert!(changes(&worker(&without), &worker(&json!({}))).is_empty());
}

/// A pointer to an empty text is not nil, and an item of a list is there.
#[test]
fn what_is_there_and_says_nothing_is_there() {
    let base = || spec(&[file(BUNDLE, "a")], &[unit("z.service", "a")]);
    let (file, unit) = ("/config/storage/files/0", "/config/systemd/units/0");
    for (name, place, key, value) in [
        ("a hash", "/config/storage/files/0/contents", "verification", json!({"hash": ""})),
        ("a user", file, "user", json!({"name": ""})),
        ("root", file, "user", json!({"id": 0})),
        ("a source", file, "contents", json!({"source": ""})),
        ("an appended nothing", file, "append", json!([{}])),
        ("a drop-in", unit, "dropins", json!([{"name": "a.conf"}])),
        ("an empty unit", unit, "contents", json!("")),
        ("mask", unit, "mask", json!(false)),
    ] {
        let mut other = base();
        other.pointer_mut(place).unwrap()[key] = value;
        let found = changes(&worker(&base()), &worker(&other));
        assert!(!found.files.is_empty() || !found.units.is_empty(), "case: {name} ({SCHEMA})");
    }
    let dropins =
        |dropin: Value| json!({"config": {"systemd": {"units": [{"name": "z.service", "dropins": [dropin]}]}}});
    let (was, is) = (dropins(json!({"name": "a.conf"})), dropins(json!({"name": "a.conf", "contents": ""})));
    assert!(!changes(&worker(&was), &worker(&is)).is_empty());
}
