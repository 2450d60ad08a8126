//! Which entry of a disruption policy covers what, and which policies are refused.

use super::*;

#[test]
fn paths_match_whole_names_and_the_longest_wins() {
    let restart = |name: &str| json!([{"type": "Restart", "restart": {"serviceName": name}}]);
    let policy = policy(&json!({"files": [
        entry("path", "/etc/nodebpf", &restart("a.service")),
        entry("path", "/etc/nodebpf/bundles", &restart("b.service")),
        entry("path", "/etc/nodebpf/bundles/x.bundle", &restart("c.service")),
        entry("path", "/etc/slash/", &restart("d.service"))
    ]}));
    for (path, want) in [
        ("/etc/nodebpf/trust.json", Some("a.service")),
        ("/etc/nodebpf", Some("a.service")),
        ("/etc/nodebpf/bundles/y.bundle", Some("b.service")),
        ("/etc/nodebpf/bundles/deep/er", Some("b.service")),
        ("/etc/nodebpf/bundles/x.bundle", Some("c.service")),
        ("/etc/nodebpf-x", None),
        ("/etc/nodebp", None),
        ("/etc", None),
        ("/etc/slash/x", Some("d.service")),
        ("/etc/crio/policies/x", Some("crio.service")),
        ("/etc/./nodebpf//bundles/z", Some("b.service")),
    ] {
        let found = policy.file(path, 20).map(|actions| actions[0].clone());
        let name = found.map(|action| match action {
            Action::Restart(name) | Action::Reload(name) => name,
            other => panic!("{other}"),
        });
        assert_eq!(name.as_deref(), want, "case: {path} ({CLOSEST})");
    }
    let root = self::policy(&json!({"files": [entry("path", "/", &restart("all.service"))]}));
    assert_eq!(root.file("/etc/motd", 20), None, "`/` covers nothing (IsSubdirectory)");
    // CrioPoliciesDir is a default from release-4.18 on.
    assert_eq!(policy.file("/etc/crio/policies/x", 17), None);
}

#[test]
fn the_policy_of_install_covers_all_of_ours() {
    let policy = Policy::of_install();
    for path in [BUNDLE, "/etc/nodebpf/trust.json", LOADER] {
        assert!(policy.file(path, 17).is_some(), "{path}");
    }
    // No service runs what only looks.
    assert_eq!(policy.file(DIAG_PATH, 17), Some(vec![Action::None]));
    for entry in policy.files.iter().chain(&policy.units).filter(|entry| entry.of != DIAG_PATH) {
        assert_eq!(entry.actions[0], Action::DaemonReload, "{}", entry.of);
    }
}

#[test]
fn policies_that_are_none_are_refused() {
    let read = |policy: Value| {
        Policy::read(&json!({"kind": "MachineConfiguration", "spec": {"nodeDisruptionPolicy": policy}}))
    };
    for (name, policy) in [
        ("a map for a list", json!({"files": {}})),
        ("no path", json!({"files": [{"actions": []}]})),
        ("no actions", json!({"files": [{"path": "/x"}]})),
        ("an unknown action", json!({"files": [entry("path", "/x", &json!([{"type": "Explode"}]))]})),
        ("a restart of nothing", json!({"files": [entry("path", "/x", &json!([{"type": "Restart"}]))]})),
    ] {
        assert!(read(policy).unwrap().is_err(), "case: {name}");
    }
    assert_eq!(read(Value::Null), Some(Ok(Policy::default())));
    assert_eq!(Policy::read(&json!({"kind": "Node"})), None);
}
