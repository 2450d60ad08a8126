//! What nodes do for a change, case by case.

use super::*;

const UPDATE: &str = "pkg/daemon/update.go calculatePostConfigChangeNodeDisruptionActionFromMCDiffs";
const MUST_BOOT: &str = "pkg/daemon/update.go calculatePostConfigChangeNodeDisruptionAction";
const UNITS: &str = "pkg/controller/common/helpers.go GetChangedConfigUnitsByType";
const FIXED: &str = "pkg/controller/common/reconcile.go isConfigReconcilable";
const USERS: &str = "pkg/controller/common/reconcile.go validatePasswdChanges, verifyUserFields";
const DEFAULTS: &str = "pkg/apihelpers/apihelpers.go defaultClusterPolicies, MergeClusterPolicies";
const LEGACY: &str = "release-4.16 pkg/daemon/update.go calculatePostConfigChangeAction";

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
            "what new nodes fetch",
            MUST_BOOT,
            one("a"),
            in_ignition("ignition", "config", json!({"merge": [{"source": "https://x/y"}]})),
            ndp(),
            Verdict::None,
            "nothing",
        ),
        (
            "what new nodes fetch, and a bundle",
            UPDATE,
            one("b"),
            in_ignition("ignition", "config", json!({"merge": [{"source": "https://x/y"}]})),
            ndp(),
            Verdict::Act,
            "daemon-reload, restart nodebpf-apply.service",
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
