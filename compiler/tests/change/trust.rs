//! What `diff` says of a trust file that nodes do not take: an older version, and one of another history.

use std::{fs, path::Path};

use super::{json, support, verdict};
use support::{POLICY, executable, project, stdout, succeed};

/// The installation with the trust file of this policy, in `out`. `after`: the file that the new one goes on from.
fn install(dir: &Path, policy: &str, root: &str, after: Option<&str>, out: &str) {
    fs::write(dir.join("loader"), executable(62, None, b"loader")).unwrap();
    fs::write(dir.join("policy.yaml"), policy).unwrap();
    let _ = fs::remove_file(dir.join("trust.json"));
    if let Some(after) = after {
        fs::copy(dir.join(after), dir.join("trust.json")).unwrap();
    }
    succeed(dir, &format!("trust build policy.yaml -o trust.json{root}"));
    fs::copy(dir.join("trust.json"), dir.join(format!("{out}.json"))).unwrap();
    succeed(dir, &format!("install --pool worker --trust trust.json --loader loader --no-diag -o {out}"));
}

/// The same rules in version 2, with a revoked key.
fn next(policy: &str) -> String {
    policy.replace("version: 1\n", &format!("version: 2\n  revokedKeys: [\"{}\"]\n", "0".repeat(63) + "a"))
}

#[test]
fn nodes_do_not_take_every_trust_file() {
    let rooted = POLICY.replace("  owners", "  roots: {keys: [public.pem]}\n  owners");
    for (name, policy, root) in [("with roots", rooted.as_str(), " --root-key key.pem"), ("without roots", POLICY, "")]
    {
        let directory = project();
        let dir = directory.path();
        install(dir, policy, root, None, "one");
        install(dir, &next(policy), root, Some("one.json"), "two");
        let fork = policy.replace("500, 599", "500, 700");
        assert_ne!(fork, policy);
        install(dir, &fork, root, None, "fork");

        let newer = json(dir, "diff one two --json");
        assert_eq!(verdict(&newer, "worker").as_deref(), Some("act"), "{name}: {newer}");
        assert!(newer["trust"][0]["warnings"].is_null(), "{name}: {newer}");

        let older =
            "version 1 is lower than 2: nodes that know version 2 go on with it (NB1112), and take nothing of this";
        let other = "nodes that know version 1 refuse it and go on with that one (NB1113, exit 3 of nodebpf-apply.service): \
                     version 1 has other content";
        for (args, want, of_pool, result) in [
            ("two one", older, "! nodes that know trust file version 2 go on with it (NB1112)", "act"),
            ("one fork", other, "! nodebpf-apply.service is restarted and refuses the trust file (NB1113)", "fails"),
        ] {
            let report = json(dir, &format!("diff {args} --json"));
            assert!(report["trust"][0]["warnings"][0].as_str().unwrap().starts_with(want), "{name}: {report}");
            assert_eq!(verdict(&report, "worker").as_deref(), Some(result), "{name}, {args}: {report}");
            let text = stdout(&succeed(dir, &format!("diff {args}")));
            assert!(text.contains(&format!("! {want}")) && text.contains(of_pool), "{name}: {text}");
            let markdown = stdout(&succeed(dir, &format!("diff {args} --markdown")));
            assert!(markdown.contains(&format!("**Mind:** `{want}")), "{name}: {markdown}");
        }
        // Nothing is restarted that could fail: by a boot, or by a policy that does nothing.
        let text = stdout(&succeed(dir, "diff one fork --policy none"));
        assert!(text.contains("drain and reboot"), "{name}: {text}");
        assert!(text.contains("! nodes refuse the trust file (NB1113), and go on with version 1"), "{name}: {text}");
        // A newer version of another history: only root keys tell.
        install(dir, &next(&fork), root, Some("fork.json"), "later");
        let later = verdict(&json(dir, "diff one later --json"), "worker");
        let want = if root.is_empty() { "act" } else { "fails" };
        assert_eq!(later.as_deref(), Some(want), "{name}");
    }
}

/// A revert brings back the stream that the newer version refuses, and nodes go on with that version.
#[test]
fn what_the_version_that_nodes_keep_refuses_is_named() {
    let directory = project();
    let dir = directory.path();
    install(dir, POLICY, "", None, "one");
    let floor = POLICY.replace("version: 1\n", "version: 2\n  floors: {netops-frag: 9}\n");
    install(dir, &floor, "", Some("one.json"), "two");
    super::compile(dir, 3, "worker", "one");
    let text = stdout(&succeed(dir, "diff two one"));
    let want =
        "! version 2, with which nodes go on, refuses stream netops-frag, which these pools get: revision 3 is below";
    assert!(text.contains(want), "{text}");
}
