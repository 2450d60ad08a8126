//! What `diff` says of streams that go together with the loader, which alone detaches them.

use std::fs;

use serde_json::Value;

use super::{blocks, compile, copy, json, sides::install, support, verdict};
use support::{project, stdout, succeed};

/// The class of the one attachment of each stream that changes, with its pools and warnings.
fn classes(report: &Value) -> Vec<(String, String, String)> {
    let streams = report["streams"].as_array().unwrap().iter();
    let one = |stream: &Value| {
        let pools = stream["pools"].as_array().unwrap().iter().map(|pool| pool.as_str().unwrap());
        let warnings = stream["warnings"].as_array().into_iter().flatten().map(ToString::to_string);
        let class = stream["attachments"][0]["class"].as_str().unwrap().to_owned();
        (pools.collect::<Vec<_>>().join(" "), class, warnings.collect::<String>())
    };
    streams.map(one).collect()
}

#[test]
fn nobody_detaches_what_goes_with_the_loader() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    compile(dir, 3, "worker", "installed");
    // The policy by which the guide takes everything away.
    let policy = blocks("docs/guides/changes.md").into_iter().find(|(info, _)| info == "yaml").unwrap();
    fs::write(dir.join("remove.yaml"), policy.1.join("\n")).unwrap();
    let without = |name: &str, gone: &[&str]| {
        copy(dir, "installed", name);
        for file in gone {
            fs::remove_file(dir.join(name).join(format!("99-worker-nodebpf-{file}.yaml"))).unwrap();
        }
    };
    without("no-stream", &["stream-netops-frag"]);
    without("no-loader", &["stream-netops-frag", "loader"]);
    without("no-units", &["stream-netops-frag", "units"]);
    without("no-diag", &["stream-netops-frag", "diag", "trust"]);
    let (until, boot) = ("it runs until the next boot", "where nodes do not boot");
    for (args, pool, class, want) in [
        ("installed empty --policy remove.yaml", "none", "kept", ["the loader goes too", until]),
        ("installed no-loader --policy remove.yaml", "none", "kept", ["the loader goes too", until]),
        ("installed no-units --policy remove.yaml", "none", "kept", ["nodebpf-apply.service goes too", until]),
        // The restart fails, and files come back.
        ("installed empty", "fails", "kept", ["the loader goes too", "remove the streams first"]),
        ("installed empty --policy remove.yaml --ocp 4.16-4.18", "reboot", "kept", ["the loader goes too", boot]),
        // A boot ends everything; and a loader that stays does.
        ("installed empty --policy none", "reboot", "removed", ["", ""]),
        ("installed empty --policy remove.yaml --ocp 4.16", "reboot", "removed", ["", ""]),
        ("installed no-stream", "act", "removed", ["", ""]),
        ("installed no-diag", "act", "removed", ["", ""]),
    ] {
        let report = json(dir, &format!("diff {args} --json"));
        assert_eq!(verdict(&report, "worker").as_deref(), Some(pool), "{args}: {report}");
        let found = classes(&report);
        assert_eq!(found.len(), 1, "{args}: {report}");
        let (pools, found, warnings) = &found[0];
        assert_eq!((pools.as_str(), found.as_str()), ("worker", class), "{args}: {report}");
        assert_eq!(warnings.is_empty(), class == "removed", "{args}: {report}");
        assert!(want.iter().all(|part| warnings.contains(part)), "{args}: {warnings}");
        let text = stdout(&succeed(dir, &format!("diff {args}")));
        assert_eq!(text.contains("kept until the next boot"), class == "kept", "{args}: {text}");
        assert_eq!(text.contains("! the loader goes too: nobody detaches"), want[0] == "the loader goes too", "{text}");
    }
}

/// A pool that keeps its loader detaches, beside one that does not.
#[test]
fn each_pool_has_its_own_end() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    compile(dir, 3, "worker", "installed");
    // The same signature in both: made once.
    succeed(dir, "sign bpf.yaml --key key.pem");
    for pool in ["worker", "canary"] {
        compile(dir, 3, pool, "installed");
    }
    succeed(dir, "install --pool canary --trust trust.json --loader loader -o installed");
    copy(dir, "installed", "new");
    for file in fs::read_dir(dir.join("new")).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("99-worker") || name.contains("stream") {
            fs::remove_file(file).unwrap();
        }
    }
    fs::write(dir.join("none.yaml"), POLICY).unwrap();
    let report = json(dir, "diff installed new --policy none.yaml --json");
    let found: Vec<_> = classes(&report).into_iter().map(|(pools, class, _)| (pools, class)).collect();
    let want = [("canary", "removed"), ("worker", "kept")].map(|(pool, class)| (pool.to_owned(), class.to_owned()));
    assert_eq!(found, want, "{report}");
}

/// Nothing of ours makes a node act.
const POLICY: &str = "apiVersion: operator.openshift.io/v1
kind: MachineConfiguration
metadata: {name: cluster}
spec:
  nodeDisruptionPolicy:
    files: [{path: /etc, actions: [{type: None}]}, {path: /usr/local/bin, actions: [{type: None}]}]
    units:
      - {name: nodebpf-apply.path, actions: [{type: None}]}
      - {name: nodebpf-apply.service, actions: [{type: None}]}
      - {name: nodebpf-apply.timer, actions: [{type: None}]}
      - {name: nodebpf-early.service, actions: [{type: None}]}
      - {name: nodebpf-gate.service, actions: [{type: None}]}
      - {name: nodebpf.service, actions: [{type: None}]}
";
