//! What is said of a change beside the verdict, and restarts that fail.

use super::*;

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
