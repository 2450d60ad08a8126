//! What the operator does, case by case. Each case names where in the MCO (release-4.20 unless said) it was read.

use serde_json::{Value, json};

use super::{
    changes::{Changes, How, changes},
    config::Config,
    outcome::{Outcome, Rules, Verdict, predict},
    policy::{Action, Policy},
    render::{Rendered, render},
};
use crate::lower::unit::DIAG_PATH;

/// A MachineConfig with a `spec`.
fn config(name: &str, role: &str, spec: &Value) -> Config {
    let document = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": spec
    });
    Config::read(&document, "").unwrap()
}

fn file(path: &str, content: &str) -> Value {
    use base64ct::Encoding as _;
    let source = format!("data:;base64,{}", base64ct::Base64::encode_string(content.as_bytes()));
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source, "compression": ""}})
}

fn gzipped(path: &str, content: &str) -> Value {
    use base64ct::Encoding as _;
    let gz = crate::lower::ignition::gzip(content.as_bytes());
    let source = format!("data:;base64,{}", base64ct::Base64::encode_string(&gz));
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source, "compression": "gzip"}})
}

fn unit(name: &str, content: &str) -> Value {
    json!({"name": name, "enabled": true, "contents": content})
}

fn spec(files: &[Value], units: &[Value]) -> Value {
    json!({"config": {"ignition": {"version": "3.2.0"}, "storage": {"files": files}, "systemd": {"units": units}}})
}

const BUNDLE: &str = "/etc/nodebpf/bundles/x.bundle";
const OTHER: &str = "/etc/nodebpf/bundles/y.bundle";
const LOADER: &str = "/usr/local/bin/nodebpf-loader";
const UPDATE: &str = "pkg/daemon/update.go calculatePostConfigChangeNodeDisruptionActionFromMCDiffs";
const MUST_BOOT: &str = "pkg/daemon/update.go calculatePostConfigChangeNodeDisruptionAction";
const CLOSEST: &str = "pkg/controller/common/helpers.go FindClosestFilePolicyPathMatch";
const FILES: &str = "pkg/controller/common/helpers.go CalculateConfigFileDiffs";
const UNITS: &str = "pkg/controller/common/helpers.go GetChangedConfigUnitsByType";
const FIXED: &str = "pkg/controller/common/reconcile.go isConfigReconcilable";
const USERS: &str = "pkg/controller/common/reconcile.go validatePasswdChanges, verifyUserFields";
const DEFAULTS: &str = "pkg/apihelpers/apihelpers.go defaultClusterPolicies, MergeClusterPolicies";
const MERGE: &str = "pkg/controller/common/helpers.go MergeMachineConfigs";
const LEGACY: &str = "release-4.16 pkg/daemon/update.go calculatePostConfigChangeAction";

fn policy(text: &Value) -> Policy {
    let document = json!({"kind": "MachineConfiguration", "spec": {"nodeDisruptionPolicy": text}});
    Policy::read(&document).unwrap().unwrap()
}

fn entry(key: &str, of: &str, actions: &Value) -> Value {
    json!({key: of, "actions": actions})
}

fn reload_restart() -> Value {
    json!([{"type": "DaemonReload"}, {"type": "Restart", "restart": {"serviceName": "nodebpf-apply.service"}}])
}

/// The policy that users write for us.
fn ours() -> Policy {
    policy(&json!({
        "files": [entry("path", "/etc/nodebpf", &reload_restart()), entry("path", LOADER, &reload_restart())],
        "units": [entry("name", "nodebpf-apply.service", &reload_restart())]
    }))
}

fn worker(spec: &Value) -> Rendered {
    render(&[config("99-worker-x", "worker", spec)], Some("worker"))
}

fn run(old: &Rendered, new: &Rendered, rules: &Rules) -> (Changes, Outcome) {
    let changes = changes(old, new);
    let outcome = predict(&changes, old, new, rules);
    (changes, outcome)
}

#[test]
fn what_nodes_do() {
    let empty = || spec(&[], &[]);
    let one = |text: &str| spec(&[file(BUNDLE, text)], &[]);
    let with = |key: &str, value: Value| {
        let mut spec = one("a");
        spec[key] = value;
        spec
    };
    let in_ignition = |place: &str, section: &str, value: Value| {
        let mut spec = one("a");
        spec["config"][place][section] = value;
        spec
    };
    let apply = "nodebpf-apply.service";
    let ndp = || Rules::Policy(ours(), 20);
    let no_policy = || Rules::Policy(Policy::default(), 20);
    let legacy = || Rules::Defaults(16, "off by default");
    let ocl = || Rules::None("on-cluster layering");
    let only_restart = || {
        policy(&json!({
            "files": [entry("path", "/etc/nodebpf", &json!([{"type": "Restart", "restart": {"serviceName": apply}}]))],
            "units": [entry("name", apply, &reload_restart())]
        }))
    };
    let with_action = |action: &str| {
        Rules::Policy(policy(&json!({"files": [entry("path", "/etc/nodebpf", &json!([{"type": action}]))]})), 20)
    };
    let cases: Vec<(&str, &str, Value, Value, Rules, Verdict, &str)> = vec![
        ("nothing changes", FILES, one("a"), one("a"), ndp(), Verdict::Unchanged, ""),
        (
            "a bundle changes",
            CLOSEST,
            one("a"),
            one("b"),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a bundle is new",
            FILES,
            empty(),
            one("a"),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a bundle goes",
            FILES,
            one("a"),
            empty(),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a bundle changes, no policy, or one that is applied later",
            UPDATE,
            one("a"),
            one("b"),
            no_policy(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        ("a bundle goes, no policy", UPDATE, one("a"), empty(), no_policy(), Verdict::Reboot, "drain and reboot"),
        ("a bundle changes on 4.16", LEGACY, one("a"), one("b"), legacy(), Verdict::Reboot, "drain and reboot"),
        (
            "a bundle changes in an image",
            "OpenShift documentation 4.19 to 4.22, node disruption policies: not with on-cluster layered images",
            one("a"),
            one("b"),
            ocl(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "two bundles change: no repetition is left out",
            UPDATE,
            spec(&[file(BUNDLE, "a"), file(OTHER, "a")], &[]),
            spec(&[file(BUNDLE, "b"), file(OTHER, "b")], &[]),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service, daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "files come before units",
            UPDATE,
            spec(&[file(BUNDLE, "a")], &[unit(apply, "a")]),
            spec(&[file(BUNDLE, "b")], &[unit(apply, "b")]),
            Rules::Policy(only_restart(), 20),
            Verdict::Act,
            "restart nodebpf-apply.service, daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "the loader without policy takes all with it",
            UPDATE,
            spec(&[file(BUNDLE, "a"), file(LOADER, "a")], &[]),
            spec(&[file(BUNDLE, "b"), file(LOADER, "b")], &[]),
            Rules::Policy(only_restart(), 20),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "the loader changes",
            CLOSEST,
            spec(&[file(LOADER, "a")], &[]),
            spec(&[file(LOADER, "b")], &[]),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a unit changes",
            UNITS,
            spec(&[], &[unit(apply, "a")]),
            spec(&[], &[unit(apply, "b")]),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a unit is new",
            UNITS,
            empty(),
            spec(&[], &[unit(apply, "a")]),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a unit goes",
            UNITS,
            spec(&[], &[unit(apply, "a")]),
            empty(),
            ndp(),
            Verdict::Fails,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a unit without policy",
            UPDATE,
            empty(),
            spec(&[], &[unit("z.service", "a")]),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "a unit has no directory",
            UPDATE,
            empty(),
            spec(&[], &[unit("nodebpf.service", "a")]),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "a unit on 4.16",
            LEGACY,
            spec(&[], &[unit(apply, "a")]),
            spec(&[], &[unit(apply, "b")]),
            legacy(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "other encoding, equal content",
            FILES,
            one("a"),
            spec(&[gzipped(BUNDLE, "a")], &[]),
            no_policy(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "other mode, equal content",
            FILES,
            one("a"),
            {
                let mut spec = one("a");
                spec["config"]["storage"]["files"][0]["mode"] = 384.into();
                spec
            },
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "kernel arguments",
            MUST_BOOT,
            one("a"),
            with("kernelArguments", json!(["nodebpf=off"])),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "kernel arguments go",
            MUST_BOOT,
            with("kernelArguments", json!(["nodebpf=off"])),
            one("a"),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "empty kernel arguments",
            "pkg/daemon/update.go newMachineConfigDiff",
            one("a"),
            with("kernelArguments", json!([])),
            ndp(),
            Verdict::Unchanged,
            "",
        ),
        (
            "extensions",
            MUST_BOOT,
            one("a"),
            with("extensions", json!(["ipsec"])),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "the image",
            MUST_BOOT,
            one("a"),
            with("osImageURL", json!("quay.io/x@sha256:1")),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "the kernel type",
            MUST_BOOT,
            one("a"),
            with("kernelType", json!("realtime")),
            ndp(),
            Verdict::Reboot,
            "drain and reboot",
        ),
        (
            "the kernel type written out",
            "pkg/helpers/helpers.go CanonicalizeKernelType",
            one("a"),
            with("kernelType", json!("default")),
            ndp(),
            Verdict::Unchanged,
            "",
        ),
        ("FIPS", FIXED, one("a"), with("fips", json!(true)), ndp(), Verdict::Refused, ""),
        (
            "a directory",
            FIXED,
            one("a"),
            in_ignition("storage", "directories", json!([{"path": "/etc/x"}])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "a link",
            FIXED,
            one("a"),
            in_ignition("storage", "links", json!([{"path": "/etc/x", "target": "/y"}])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "a link goes",
            FIXED,
            in_ignition("storage", "links", json!([{"path": "/etc/x", "target": "/y"}])),
            one("b"),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "another user",
            FIXED,
            one("a"),
            in_ignition("passwd", "users", json!([{"name": "me"}])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "an SSH key",
            UPDATE,
            one("a"),
            in_ignition("passwd", "users", json!([{"name": "core", "sshAuthorizedKeys": ["k"]}])),
            ndp(),
            Verdict::None,
            "nothing",
        ),
        (
            "the password of core",
            USERS,
            one("a"),
            in_ignition("passwd", "users", json!([{"name": "core", "passwordHash": "x", "groups": []}])),
            ndp(),
            Verdict::None,
            "nothing",
        ),
        (
            "core with groups",
            USERS,
            one("a"),
            in_ignition("passwd", "users", json!([{"name": "core", "sshAuthorizedKeys": ["k"], "groups": ["wheel"]}])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "core with nothing but a name",
            USERS,
            one("a"),
            in_ignition("passwd", "users", json!([{"name": "core"}])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "another user goes",
            USERS,
            in_ignition("passwd", "users", json!([{"name": "me"}])),
            one("a"),
            ndp(),
            Verdict::None,
            "nothing",
        ),
        (
            "groups",
            USERS,
            in_ignition("passwd", "groups", json!([{"name": "us"}])),
            one("a"),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "kernel arguments of Ignition",
            FIXED,
            one("a"),
            in_ignition("kernelArguments", "shouldExist", json!(["nosmt"])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "kernel arguments of Ignition that are to go",
            FIXED,
            one("a"),
            in_ignition("kernelArguments", "shouldNotExist", json!(["nosmt"])),
            ndp(),
            Verdict::Refused,
            "",
        ),
        (
            "the file that forces a boot",
            FIXED,
            one("a"),
            spec(&[file(BUNDLE, "a"), file("/run/machine-config-daemon-force", "")], &[]),
            ndp(),
            Verdict::Refused,
            "",
        ),
        ("policy None", UPDATE, one("a"), one("b"), with_action("None"), Verdict::None, "nothing"),
        (
            "policy Drain",
            "pkg/daemon/drain.go isDrainRequiredForNodeDisruptionActions",
            one("a"),
            one("b"),
            with_action("Drain"),
            Verdict::Drain,
            "drain",
        ),
        ("policy Reboot", UPDATE, one("a"), one("b"), with_action("Reboot"), Verdict::Reboot, "drain and reboot"),
        (
            "None beside others is left out",
            UPDATE,
            spec(&[file(BUNDLE, "a"), file("/etc/nmstate/openshift/x", "a")], &[]),
            spec(&[file(BUNDLE, "b"), file("/etc/nmstate/openshift/x", "b")], &[]),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
        ),
        (
            "a default: policy.json reloads CRI-O",
            DEFAULTS,
            spec(&[file("/etc/containers/policy.json", "a")], &[]),
            spec(&[file("/etc/containers/policy.json", "b")], &[]),
            no_policy(),
            Verdict::Act,
            "reload crio.service",
        ),
        (
            "a default on 4.16",
            LEGACY,
            spec(&[file("/etc/containers/policy.json", "a")], &[]),
            spec(&[file("/etc/containers/policy.json", "b")], &[]),
            legacy(),
            Verdict::Act,
            "reload crio.service",
        ),
        (
            "registries.conf may drain",
            "pkg/daemon/drain.go isDrainRequiredForNodeDisruptionActions",
            spec(&[file("/etc/containers/registries.conf", "a")], &[]),
            spec(&[file("/etc/containers/registries.conf", "b")], &[]),
            no_policy(),
            Verdict::Drain,
            "reload crio.service, perhaps drain",
        ),
        (
            "the user's entry replaces a default",
            DEFAULTS,
            spec(&[file("/etc/containers/policy.json", "a")], &[]),
            spec(&[file("/etc/containers/policy.json", "b")], &[]),
            Rules::Policy(
                policy(&json!({"files": [entry("path", "/etc/containers/policy.json", &json!([{"type": "Reboot"}]))]})),
                20,
            ),
            Verdict::Reboot,
            "drain and reboot",
        ),
    ];
    assert!(cases.len() >= 35, "{}", cases.len());
    for (name, source, old, new, rules, verdict, actions) in cases {
        let (old, new) = (worker(&old), worker(&new));
        let (_, outcome) = run(&old, &new, &rules);
        assert_eq!(outcome.verdict, verdict, "case: {name} ({source})");
        let found: Vec<_> = outcome.actions.iter().map(ToString::to_string).collect();
        assert_eq!(found.join(", "), actions, "case: {name} ({source})");
    }
}

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

#[test]
fn what_goes_wrong_is_said() {
    let apply = "nodebpf-apply.service";
    let with = |files: &[Value], units: &[Value]| worker(&spec(files, units));
    let only_restart = policy(&json!({
        "files": [entry("path", "/etc/nodebpf", &json!([{"type": "Restart", "restart": {"serviceName": apply}}]))],
        "units": [entry("name", apply, &reload_restart())]
    }));
    for (name, old, new, rules, want) in [
        (
            "deleting the unit that the policy restarts",
            with(&[file(BUNDLE, "a")], &[unit(apply, "a")]),
            with(&[], &[]),
            Rules::Policy(ours(), 20),
            "the restart fails",
        ),
        (
            "restart before daemon-reload",
            with(&[file(BUNDLE, "a")], &[unit(apply, "a")]),
            with(&[file(BUNDLE, "b")], &[unit(apply, "b")]),
            Rules::Policy(only_restart.clone(), 20),
            "before daemon-reload",
        ),
        (
            "two files, two restarts",
            with(&[file(BUNDLE, "a"), file(OTHER, "a")], &[]),
            with(&[file(BUNDLE, "b"), file(OTHER, "b")], &[]),
            Rules::Policy(ours(), 20),
            "restarted 2 times",
        ),
        (
            "one path without policy",
            with(&[file(BUNDLE, "a"), file("/etc/motd", "a")], &[]),
            with(&[file(BUNDLE, "b"), file("/etc/motd", "b")], &[]),
            Rules::Policy(ours(), 20),
            "no policy covers /etc/motd, so the whole change reboots",
        ),
        (
            "layering",
            with(&[file(BUNDLE, "a")], &[]),
            with(&[file(BUNDLE, "b")], &[]),
            Rules::None("on-cluster layering"),
            "policies do not apply: on-cluster layering",
        ),
    ] {
        let (_, outcome) = run(&old, &new, &rules);
        assert!(outcome.warnings.iter().any(|warning| warning.contains(want)), "case {name}: {:?}", outcome.warnings);
    }
    // A plain update has nothing to warn of.
    let (_, outcome) =
        run(&with(&[file(BUNDLE, "a")], &[]), &with(&[file(BUNDLE, "b")], &[]), &Rules::Policy(ours(), 20));
    assert_eq!(outcome.warnings, Vec::<String>::new());
}

/// `performPostConfigChangeNodeDisruptionAction`: whether restarts work on the node as it is then.
#[test]
fn restarts_that_fail_and_that_do_not() {
    let apply = "nodebpf-apply.service";
    let with = |files: &[Value], units: &[Value]| worker(&spec(files, units));
    let loader = |content: &str| file(LOADER, content);
    let runs =
        |content: &str| unit(apply, &format!("[Service]\nExecStartPre=-/usr/sbin/x\nExecStart={content} apply\n"));
    let masked = json!({"name": apply, "mask": true, "contents": "[Service]\n"});
    let dropin = json!({"name": apply, "dropins": [{"name": "a.conf", "contents": "[Service]\n"}]});
    let policy_for = |unit: &str| {
        let restart = json!([{"type": "Restart", "restart": {"serviceName": unit}}]);
        Rules::Policy(
            policy(&json!({
                "files": [entry("path", "/etc/nodebpf", &restart), entry("path", LOADER, &restart)],
                "units": [entry("name", apply, &restart)]
            })),
            20,
        )
    };
    let fails = |what| (Verdict::Fails, Some(what));
    let doubts = |what| (Verdict::Act, Some(what));
    let fine = || (Verdict::Act, None);
    let (a, b) = (|| file(BUNDLE, "a"), || file(BUNDLE, "b"));
    for (name, old, new, restarted, (verdict, want)) in [
        (
            "the loader goes",
            with(&[loader("a")], &[runs(LOADER)]),
            with(&[], &[runs(LOADER)]),
            apply,
            fails("without /usr/local/bin/nodebpf-loader"),
        ),
        (
            "units without loader",
            with(&[], &[]),
            with(&[], &[runs(LOADER)]),
            apply,
            fails("without /usr/local/bin/nodebpf-loader"),
        ),
        ("both", with(&[], &[]), with(&[loader("a")], &[runs(LOADER)]), apply, fine()),
        ("the loader alone", with(&[], &[]), with(&[loader("a")], &[]), apply, fails("nothing brings it")),
        (
            "the loader changes, units are elsewhere",
            with(&[loader("a")], &[]),
            with(&[loader("b")], &[]),
            apply,
            fine(),
        ),
        (
            "units change, the loader is elsewhere",
            with(&[], &[runs(LOADER)]),
            with(&[], &[unit(apply, "ExecStart=/usr/local/bin/nodebpf-loader")]),
            apply,
            doubts("nothing here brings /usr/local/bin/nodebpf-loader"),
        ),
        ("something of the platform", with(&[], &[]), with(&[], &[runs("/usr/bin/true")]), apply, fine()),
        (
            "a file of ours that it runs goes",
            with(&[file("/etc/nodebpf/x", "a")], &[runs("/etc/nodebpf/x")]),
            with(&[], &[runs("/etc/nodebpf/x")]),
            apply,
            fails("without /etc/nodebpf/x"),
        ),
        ("masked", with(&[], &[unit(apply, "[Service]\n")]), with(&[], &[masked]), apply, fails("and masked")),
        ("a drop-in goes", with(&[], std::slice::from_ref(&dropin)), with(&[], &[]), apply, fine()),
        (
            "a unit that install does not write",
            with(&[a()], &[]),
            with(&[b()], &[]),
            "nodebpf-aply.service",
            fails("does not exist"),
        ),
        ("a unit of others", with(&[a()], &[]), with(&[b()], &[]), "x.service", doubts("nothing here brings the unit")),
        ("a unit of the platform", with(&[a()], &[]), with(&[b()], &[]), "crio.service", fine()),
    ] {
        let (_, outcome) = run(&old, &new, &policy_for(restarted));
        assert_eq!(outcome.verdict, verdict, "case: {name}: {:?}", outcome.warnings);
        let said = |warning: &String| warning.contains("restart fails");
        let found = outcome.warnings.iter().find(|warning| said(warning));
        assert_eq!(found.is_some(), want.is_some(), "case: {name}: {:?}", outcome.warnings);
        if let (Some(found), Some(want)) = (found, want) {
            assert!(found.contains(want), "case: {name}: {found}");
        }
    }
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
