//! What `diff` says of pools that have streams and no installation.

use std::fs;

use serde_json::json;

use super::{compile, copy, json, sides::install, support, verdict};
use support::{MANIFEST, project, stdout, succeed};

#[test]
fn a_pool_that_no_installation_is_for_is_named() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let add = |pool: &str, out: &str| {
        succeed(dir, &format!("install --pool {pool} --trust trust.json --loader loader -o {out}"));
    };
    compile(dir, 3, "worker", "streams");
    copy(dir, "streams", "misspelled");
    compile(dir, 4, "worker", "next");
    copy(dir, "next", "misspelled-next");
    for out in ["misspelled", "misspelled-next"] {
        add("wroker", out);
    }
    let want =
        "pool `worker` has streams and no installation, own or inherited, though the new side has one for `wroker`";
    let doubt = "nothing here brings nodebpf-apply.service to this pool: where nodes do not have it, the restart fails";
    let report = json(dir, "diff misspelled misspelled-next --json");
    assert!(report["warnings"][0].as_str().unwrap().starts_with(want), "{report}");
    assert_eq!(verdict(&report, "worker").as_deref(), Some("act"));
    assert_eq!(report["pools"][0]["outcomes"][0]["warnings"], json!([doubt]), "{report}");
    let text = stdout(&succeed(dir, "diff misspelled misspelled-next"));
    assert!(text.contains(&format!("\n! {want}")), "{text}");
    let markdown = stdout(&succeed(dir, "diff misspelled misspelled-next --markdown"));
    assert!(markdown.contains("**Mind:** `pool 'worker' has streams and no installation"), "{markdown}");
    // Said, too, when the installation comes and workers do not change; and not of sides that are equal.
    let report = json(dir, "diff streams misspelled --json");
    assert!(report["warnings"][0].as_str().unwrap().starts_with(want), "{report}");
    assert_eq!(stdout(&succeed(dir, "diff misspelled misspelled --exit-code")), "");

    // Its own, an inherited one, or none at all: streams and installation often lie apart.
    compile(dir, 3, "canary", "streams");
    copy(dir, "streams", "installed");
    for args in ["empty streams", "streams next", "empty installed", "installed streams"] {
        let report = json(dir, &format!("diff {args} --json"));
        assert!(report["warnings"].is_null(), "{args}: {report}");
    }
    // Masters inherit nothing.
    fs::write(dir.join("bpf.yaml"), MANIFEST.replace("[worker, edge]", "[master]")).unwrap();
    succeed(dir, "compile bpf.yaml --key key.pem -o installed");
    let report = json(dir, "diff empty installed --json");
    let said = report["warnings"][0].as_str().unwrap();
    assert!(said.starts_with("pool `master` has streams and no installation"), "{report}");
    assert!(said.contains("`canary` or `worker`"), "{report}");
    assert_eq!(report["warnings"].as_array().unwrap().len(), 1, "{report}");
}
