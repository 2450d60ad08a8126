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
