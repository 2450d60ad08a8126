//! What `diff` says of a disruption policy that changes, with MachineConfigs or without.

use std::fs;

use serde_json::{Value, json};

use super::{compile, copy, json, sides::install, support, verdict};
use support::{nodebpf, project, stdout, succeed};

const FILE: &str = "00-nodebpf-machineconfiguration.yaml";

/// What is said of one path or unit: before, after.
fn change<'a>(report: &'a Value, of: &str) -> [&'a Value; 2] {
    let changes = report["policy"]["changes"].as_array().unwrap();
    let found = changes.iter().find(|one| one["of"] == of).unwrap_or_else(|| panic!("{of}: {report}"));
    [&found["from"], &found["to"]]
}

/// Both ends of a removal by commits: entries that go, and the file that goes. Nothing else changes.
#[test]
fn a_policy_that_goes_or_comes_is_a_change() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let covered = json!({"actions": [{"type": "daemonReload"}, {"type": "restart", "service": "nodebpf-apply.service"}],
                         "uncovered": false});
    let nothing = json!({"actions": [{"type": "reboot"}], "uncovered": true});
    for (name, text) in [("lp", Some("spec: {}")), ("gone", None)] {
        copy(dir, "installed", name);
        let place = dir.join(name).join(FILE);
        match text {
            Some(spec) => {
                let before = fs::read_to_string(&place).unwrap();
                let head = before.split("spec:").next().unwrap();
                fs::write(&place, format!("{head}{spec}\n")).unwrap();
            }
            None => fs::remove_file(&place).unwrap(),
        }
        for (old, new, from, to) in [("installed", name, &covered, &nothing), (name, "installed", &nothing, &covered)] {
            let args = format!("diff {old} {new}");
            let output = nodebpf(dir, &["diff", old, new, "--exit-code"]);
            assert_eq!(output.status.code(), Some(1), "{args}: {}", stdout(&output));
            let report = json(dir, &format!("{args} --json"));
            assert_eq!(change(&report, "/etc/nodebpf"), [from, to], "{args}");
            assert_eq!(change(&report, "nodebpf-apply.service"), [from, to], "{args}");
            assert_eq!(report["pools"], json!([]), "{args}: no node acts");
            let of_side = report["policy"]["warnings"].to_string();
            assert_eq!(of_side.contains("has no MachineConfiguration"), name == "gone", "{args}: {of_side}");
            let text = stdout(&succeed(dir, &args));
            assert!(text.contains("disruption policy: no node does anything now"), "{text}");
            let row = |words: &[&str]| {
                text.lines().any(|line| words.iter().all(|word| line.contains(word)) && line.contains("/etc/nodebpf"))
            };
            assert!(row(&["drain and reboot (no policy)", "daemon-reload, restart nodebpf-apply.service"]), "{text}");
            let markdown = stdout(&succeed(dir, &format!("{args} --markdown")));
            assert!(!markdown.contains("Nothing changes"), "{markdown}");
            assert!(markdown.contains("| `/etc/nodebpf` | `d"), "{markdown}");
        }
    }
    // A cluster without entries, with the object and without it, is the same.
    assert_eq!(stdout(&succeed(dir, "diff lp gone --exit-code")), "");
    // The policy of the option judges pools, and hides nothing.
    compile(dir, 3, "worker", "lp");
    compile(dir, 3, "worker", "installed");
    compile(dir, 4, "worker", "lp");
    let given = json(dir, &format!("diff installed lp --policy installed/{FILE} --json"));
    assert_eq!(verdict(&given, "worker").as_deref(), Some("act"), "{given}");
    assert!(given["policy"]["warnings"][0].as_str().unwrap().contains("judged by --policy"), "{given}");
    assert_eq!(verdict(&json(dir, "diff installed lp --json"), "worker").as_deref(), Some("reboot"));
}

/// Entries that say what the directory above says, or what the operator does anyway, change nothing.
#[test]
fn a_policy_in_other_words_is_no_change() {
    let directory = project();
    let dir = directory.path();
    let entry = |path: &str, action: &str| json!({"path": path, "actions": [{"type": action}]});
    let write = |name: &str, files: &[Value]| {
        let policy = json!({"apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration",
            "metadata": {"name": "cluster"}, "spec": {"nodeDisruptionPolicy": {"files": files}}});
        fs::write(dir.join(name), policy.to_string()).unwrap();
    };
    write("one.yaml", &[entry("/etc/nodebpf", "None")]);
    write(
        "more.yaml",
        &[
            entry("/etc/nodebpf/bundles", "None"),
            entry("/etc/nodebpf", "None"),
            entry("/etc/nmstate/openshift", "None"),
        ],
    );
    write("other.yaml", &[entry("/etc/nodebpf/bundles", "Drain"), entry("/etc/nodebpf", "None")]);
    assert_eq!(stdout(&succeed(dir, "diff one.yaml more.yaml --exit-code")), "");
    let report = json(dir, "diff one.yaml other.yaml --json");
    let asked = |word: &str| json!({"actions": [{"type": word}], "uncovered": false});
    assert_eq!(change(&report, "/etc/nodebpf/bundles"), [&asked("none"), &asked("drain")]);
    assert_eq!(report["policy"]["changes"].as_array().unwrap().len(), 1, "{report}");
}
