//! `nodebpf trust`: ceremonies with several root keys, rotation, and edits of the policy.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, path::Path};

use nodebpf::sign::{Signer as _, key::FileKey};
use nodeplan::{
    key::KeyId,
    trust::{Trust, TrustError, decode_chain, encode_chain},
};
use support::{POLICY, fail, project, stderr, stdout, succeed};

/// A policy with comments, which edits must keep.
const COMMENTED: &str = "\
# Who may put eBPF on our nodes.
apiVersion: nodebpf.io/v1alpha1
kind: BpfPolicy
metadata: {name: fleet}
spec:
  version: 7            # by review
  owners:
    - name: netops      # the network team
      keys:
        - public.pem    # in the safe
      streams: [\"netops-*\"]
      hooks: {xdp: {band: [500, 599]}}   # agreed in May
";

fn keys(directory: &Path, names: &[&str]) {
    for name in names {
        succeed(directory, &format!("keygen -o {name}"));
    }
}

fn private(directory: &Path, name: &str) -> FileKey {
    FileKey::from_pem(&fs::read(directory.join(name).join("private.pem")).unwrap()).unwrap()
}

fn id(directory: &Path, name: &str) -> KeyId {
    private(directory, name).public().id()
}

fn rooted(version: u64, roots: &[&str], threshold: usize) -> String {
    let keys = roots.iter().map(|root| format!("{root}/public.pem")).collect::<Vec<_>>().join(", ");
    let roots = format!("version: {version}\n  roots: {{keys: [{keys}], threshold: {threshold}}}");
    POLICY.replace("version: 1", &roots)
}

fn trust(directory: &Path) -> Trust {
    Trust::parse(&fs::read(directory.join("trust.json")).unwrap()).unwrap()
}

/// Six versions, each with another pair of root keys, signed one after another by people who never meet: a node that
/// knows version n walks to n+5, and to no version of anybody else.
#[test]
fn a_chain_is_walked_over_five_rotations() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["r0", "r1", "r2", "r3", "r4", "r5", "r6", "evil"]);
    for version in 1..=6_usize {
        let (old, new) = (format!("r{}", version - 1), format!("r{version}"));
        fs::write(dir.join("policy.yaml"), rooted(version as u64, &[&old, &new], 2)).unwrap();
        let text = stderr(&succeed(dir, "trust build policy.yaml -o trust.json --pending"));
        assert!(text.contains("NB0621"), "{text}");
        if version > 1 {
            assert_eq!(trust(dir).document().version, version as u64 - 1, "half a ceremony changes nothing");
        }
        // The roots of the version before are r(n-2) and r(n-1).
        let signers: Vec<String> = (version.saturating_sub(2)..=version).map(|n| format!("r{n}")).collect();
        for (at, signer) in signers.iter().enumerate() {
            let text = stderr(&succeed(dir, &format!("trust sign trust.json --root-key {signer}/private.pem")));
            assert_eq!(text.contains("is complete"), at + 1 == signers.len(), "version {version}, {signer}: {text}");
        }
        assert!(!dir.join("trust.json.pending").exists());
        assert_eq!(trust(dir).document().version, version as u64);
    }
    let bytes = fs::read(dir.join("trust.json")).unwrap();
    let chain = decode_chain(&bytes).unwrap();
    assert_eq!(chain.len(), 6);
    for at in 1..chain.len() {
        let mut gap = chain.clone();
        gap.remove(at);
        let walked = Trust::parse(&encode_chain(gap));
        // Without the last it is an older file; without any other the walk breaks where its roots are missing.
        match at {
            5 => assert_eq!(walked.unwrap().document().version, 5),
            _ => assert!(matches!(walked, Err(TrustError::Threshold { .. })), "without version {}", at + 1),
        }
    }
    // A seventh version by a stranger, for which the stranger says to be the root.
    fs::write(dir.join("policy.yaml"), rooted(7, &["evil"], 1)).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json --pending --root-key evil/private.pem");
    assert_eq!(fs::read(dir.join("trust.json")).unwrap(), bytes, "only one half has signed");
    fs::copy(dir.join("trust.json.pending"), dir.join("forged.json")).unwrap();
    assert!(matches!(
        Trust::parse(&fs::read(dir.join("forged.json")).unwrap()),
        Err(TrustError::Threshold { version: 7, of: 6, valid: 0, threshold: 2 })
    ));
    let text = fail(dir, "verify --trust forged.json bpf.yaml", 1);
    assert!(text.contains("NB0605"), "{text}");
    let shown = stdout(&succeed(dir, "trust show trust.json"));
    for version in 1..=6 {
        assert!(shown.contains(&format!("version {version}\n")), "{shown}");
    }
    assert!(shown.contains("anchor: root-signed") && shown.contains("version 7 waits in"), "{shown}");
    assert!(shown.contains("2 of 2 root signatures of version 5"), "{shown}");
}

/// Without root keys there is no chain; nodes remember the version all the same (NB1113).
#[test]
fn without_roots_the_version_rises_too() {
    let directory = project();
    let dir = directory.path();
    let policy = fs::read_to_string(dir.join("policy.yaml")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    let first = fs::read(dir.join("trust.json")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    assert_eq!(fs::read(dir.join("trust.json")).unwrap(), first, "nothing changed");
    let changed = policy.replace("[500, 599]", "[500, 589]");
    assert_ne!(changed, policy);
    fs::write(dir.join("policy.yaml"), &changed).unwrap();
    let text = fail(dir, "trust build policy.yaml -o trust.json", 1);
    assert!(text.contains("NB0608"), "{text}");
    assert_eq!(fs::read(dir.join("trust.json")).unwrap(), first, "a refused version was written");
    fs::write(dir.join("policy.yaml"), changed.replace("version: ", "version: 9")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    // And never back.
    fs::write(dir.join("policy.yaml"), &policy).unwrap();
    assert!(fail(dir, "trust build policy.yaml -o trust.json", 1).contains("NB0608"));
}

#[test]
fn a_ceremony_is_told_who_is_missing() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["a", "b", "c", "x"]);
    fs::write(dir.join("policy.yaml"), rooted(1, &["a", "b", "c"], 2)).unwrap();
    let text = stderr(&succeed(dir, "trust build policy.yaml -o trust.json --pending --root-key a/private.pem"));
    assert!(text.contains("1 of 2 root signatures of version 1"), "{text}");
    for name in ["b", "c"] {
        assert!(text.contains(&format!("root key {} of version 1 has not signed", id(dir, name))), "{text}");
    }
    assert!(!text.contains(&id(dir, "a").to_string()), "{text}");
    assert!(!dir.join("trust.json").exists());
    let before = fs::read(dir.join("trust.json.pending")).unwrap();
    let text = stderr(&succeed(dir, "trust sign trust.json --root-key a/private.pem"));
    assert!(text.contains("has signed this already; nothing changes"), "{text}");
    succeed(dir, "trust sign trust.json --dry-run");
    let text = fail(dir, "trust sign trust.json --root-key x/private.pem", 1);
    assert!(text.contains("NB0607"), "{text}");
    assert_eq!(fs::read(dir.join("trust.json.pending")).unwrap(), before);
    // Beginning the same version again keeps the signature.
    succeed(dir, "trust build policy.yaml -o trust.json --pending");
    assert_eq!(fs::read(dir.join("trust.json.pending")).unwrap(), before);
    // The second one is an external signer's.
    let printed = stdout(&succeed(dir, "trust sign trust.json --prepare -o pae"));
    let bytes = fs::read(dir.join("pae")).unwrap();
    assert_eq!(printed, format!("{}  pae\n", nodeplan::digest::Sha256Digest::of(&bytes)));
    fs::write(dir.join("sig"), private(dir, "c").sign(&bytes)).unwrap();
    let text = fail(dir, "trust sign trust.json --attach sig --public-key b/public.pem", 1);
    assert!(text.contains("NB0610"), "{text}");
    succeed(dir, "trust sign trust.json --attach sig --public-key c/public.pem");
    assert_eq!(trust(dir).document().version, 1);
    let text = fail(dir, "trust sign trust.json --root-key a/private.pem", 1);
    assert!(text.contains("NB0620"), "{text}");
}

#[test]
fn what_waits_must_follow_the_trust_file() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["a", "b"]);
    fs::write(dir.join("policy.yaml"), rooted(1, &["a"], 1)).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json --root-key a/private.pem");
    fs::write(dir.join("policy.yaml"), rooted(2, &["a", "b"], 2)).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json --pending");
    fs::write(dir.join("other.yaml"), rooted(3, &["a"], 1)).unwrap();
    succeed(dir, "trust build other.yaml -o trust.json --root-key a/private.pem");
    let text = fail(dir, "trust sign trust.json --root-key a/private.pem", 1);
    assert!(text.contains("does not follow `trust.json` any more"), "{text}");
    fs::write(dir.join("trust.json.pending"), "{}").unwrap();
    let text = fail(dir, "trust sign trust.json --root-key a/private.pem", 1);
    assert!(text.contains("NB0605"), "{text}");
}

#[test]
fn edits_keep_everything_else_as_it_was() {
    let key = "332ca3e476bf1993e355eb2d8eca3213371e7f1a88335f02ca225597e31860e7";
    let digest = "ab".repeat(32);
    let (by_id, by_statement) = (format!("revoke {key}"), format!("revoke statement:{digest}"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let cases: Vec<(&str, String, &str, Vec<String>)> = vec![
        (
            "a list in lines",
            COMMENTED.to_owned(),
            "add-key netops more/public.pem",
            vec!["        - more/public.pem".to_owned()],
        ),
        (
            "a list on one line",
            POLICY.to_owned(),
            "add-key netops more/public.pem",
            vec!["      keys: [public.pem, more/public.pem]".to_owned()],
        ),
        ("nothing revoked yet", COMMENTED.to_owned(), "revoke public.pem", vec![format!("  revokedKeys: [\"{key}\"]")]),
        ("by id", COMMENTED.to_owned(), &by_id, vec![format!("  revokedKeys: [\"{key}\"]")]),
        ("a statement", COMMENTED.to_owned(), &by_statement, vec![format!("  revokedBundles: [\"{digest}\"]")]),
        (
            "one more",
            COMMENTED.replace("  owners", &format!("  revokedKeys:\n  - {}\n  owners", "0".repeat(63) + "a")),
            "revoke public.pem",
            vec![format!("  - \"{key}\"")],
        ),
        (
            "one more on the line",
            COMMENTED.replace("  owners", &format!("  revokedKeys: [ {} ]   # old\n  owners", "0".repeat(63) + "a")),
            "revoke public.pem",
            vec![format!("  revokedKeys: [ {}, \"{key}\" ]   # old", "0".repeat(63) + "a")],
        ),
        (
            "an empty list",
            COMMENTED.replace("  owners", "  revokedKeys: []\n  owners"),
            "revoke public.pem",
            vec![format!("  revokedKeys: [\"{key}\"]")],
        ),
        ("no floor yet", COMMENTED.to_owned(), "floor netops-frag 3", vec!["  floors: {netops-frag: 3}".to_owned()]),
        (
            "a floor rises",
            COMMENTED.replace("  owners", "  floors: {netops-frag: 3, netops-x: 1}\n  owners"),
            "floor netops-frag 4",
            vec!["  floors: {netops-frag: 4, netops-x: 1}".to_owned()],
        ),
        (
            "one more floor",
            COMMENTED.replace("  owners", "  floors: {netops-x: 1}\n  owners"),
            "floor netops-frag 4",
            vec!["  floors: {netops-x: 1, netops-frag: 4}".to_owned()],
        ),
        (
            "one more floor in lines",
            COMMENTED.replace("  owners", "  floors:\n    netops-x: 1   # since May\n  owners"),
            "floor netops-frag 4",
            vec!["    netops-frag: 4".to_owned()],
        ),
        (
            "a root",
            COMMENTED.replace("  owners", "  roots: {keys: [root/public.pem]}   # offline\n  owners"),
            "rotate-root root/public.pem more/public.pem",
            vec!["  roots: {keys: [more/public.pem]}   # offline".to_owned()],
        ),
        (
            "Windows line ends",
            COMMENTED.replace('\n', "\r\n"),
            "floor netops-frag 3",
            vec!["  floors: {netops-frag: 3}".to_owned()],
        ),
    ];
    for (name, policy, command, added) in cases {
        let directory = project();
        let dir = directory.path();
        keys(dir, &["more", "root"]);
        fs::write(dir.join("policy.yaml"), &policy).unwrap();
        succeed(dir, &format!("trust {command}"));
        let found = fs::read_to_string(dir.join("policy.yaml")).unwrap();
        let (old, new) = (lines(&policy), lines(&found));
        let came: Vec<_> = new.iter().filter(|line| !old.contains(line)).cloned().collect();
        let version = if policy == POLICY { "  version: 2" } else { "  version: 8            # by review" };
        let mut want = added.clone();
        want.push(version.to_owned());
        want.sort();
        let mut sorted = came.clone();
        sorted.sort();
        assert_eq!(sorted, want, "case {name}: {found}");
        let replaced = old.iter().filter(|line| !new.contains(line)).count();
        assert!(replaced <= 2, "case {name} lost lines: {found}");
        if !command.starts_with("rotate-root") {
            let text = stderr(&succeed(dir, &format!("trust {command}")));
            assert!(text.contains("already; nothing changes"), "case {name}: {text}");
            assert_eq!(fs::read_to_string(dir.join("policy.yaml")).unwrap(), found, "case {name}");
        }
    }
}

#[test]
fn what_cannot_be_edited_safely_is_left_alone() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["more"]);
    for (name, policy, command, help) in
        [
            (
                "a flow list over several lines",
                POLICY.replace("[public.pem]", "[\n        public.pem\n      ]"),
                "add-key netops more/public.pem",
                "add `more/public.pem` to the owner's `keys`",
            ),
            (
                "version on the line of others",
                POLICY
                    .replace("spec:\n  version: 1\n", "spec:\n  audiences: [fleet-prod]\n  ? version\n  : 1\n")
                    .replacen("  audiences: [fleet-prod]\n  owners", "  owners", 1),
                "floor netops-frag 3",
                "write `netops-frag: 3` in `spec.floors`",
            ),
            (
                "no floors in braces",
                POLICY.replace("  owners", "  floors: {}\n  owners"),
                "floor netops-frag 3",
                "write `version: 2`",
            ),
        ]
    {
        fs::write(dir.join("policy.yaml"), &policy).unwrap();
        let text = fail(dir, &format!("trust {command}"), 1);
        assert!(text.contains("NB0622") && text.contains(help), "case {name}: {text}");
        assert_eq!(fs::read_to_string(dir.join("policy.yaml")).unwrap(), policy, "case {name}");
    }
}

#[test]
fn edits_that_make_no_sense_are_refused() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["more", "root"]);
    let policy = COMMENTED
        .replace("  owners", "  floors: {netops-frag: 3}\n  roots: {keys: [root/public.pem]}\n  owners")
        .replace("  floors", &format!("  revokedKeys: [\"{}\"]\n  floors", id(dir, "more")));
    fs::write(dir.join("policy.yaml"), &policy).unwrap();
    for (command, exit, want) in [
        ("add-key netopps root/public.pem".to_owned(), 1, "did you mean `netops`?"),
        ("add-key netops more/public.pem".to_owned(), 1, "is revoked"),
        ("floor netops-frag 2".to_owned(), 1, "NB0623"),
        ("floor storage-x 2".to_owned(), 1, "NB0332"),
        ("floor netops-frag 0".to_owned(), 2, "must be from 1"),
        ("revoke root/public.pem".to_owned(), 1, "root keys are not revoked"),
        (format!("revoke {}", "ab".repeat(32)), 2, "write `key:abab"),
        ("revoke key:short".to_owned(), 2, "64"),
        ("revoke bpf.yaml".to_owned(), 2, "neither a public key"),
        ("revoke no/such.pem".to_owned(), 3, "does not exist"),
        ("rotate-root more/public.pem root/public.pem".to_owned(), 1, "is not one of the root keys"),
        ("rotate-root root/public.pem root/public.pem".to_owned(), 1, "is a root key already"),
    ] {
        let text = fail(dir, &format!("trust {command}"), exit);
        assert!(text.contains(want), "{command}: {text}");
        assert_eq!(fs::read_to_string(dir.join("policy.yaml")).unwrap(), policy, "{command}");
    }
}

/// T6, from the theft of a key to nodes that refuse it: each step a command.
#[test]
fn a_stolen_key_is_revoked_and_replaced() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["root", "new"]);
    fs::write(dir.join("policy.yaml"), rooted(1, &["root"], 1)).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json --root-key root/private.pem");
    succeed(dir, "compile bpf.yaml --key key.pem -o out");
    succeed(dir, "verify --trust trust.json out");
    let text = stderr(&succeed(dir, "trust revoke public.pem"));
    assert!(text.contains("NB0624") && text.contains("owner netops has 0 keys left; 1 must sign"), "{text}");
    succeed(dir, "trust add-key netops new/public.pem");
    succeed(dir, "trust build policy.yaml -o trust.json --root-key root/private.pem");
    let text = fail(dir, "verify --trust trust.json out", 1);
    assert!(text.contains("NB1107"), "{text}");
    succeed(dir, "compile bpf.yaml --key new/private.pem --policy policy.yaml -o out");
    succeed(dir, "verify --trust trust.json out");
    // And a bundle of it, by its file.
    let text = stderr(&succeed(dir, "trust revoke out/99-worker-nodebpf-stream-netops-frag.yaml"));
    assert!(text.contains("+ revoked: statement "), "{text}");
    succeed(dir, "trust build policy.yaml -o trust.json --root-key root/private.pem");
    let text = fail(dir, "verify --trust trust.json out", 1);
    assert!(text.contains("NB1107"), "{text}");
}

/// A policy in another folder than the one the command runs in.
#[test]
fn paths_are_written_as_the_policy_reads_them() {
    let directory = project();
    let dir = directory.path();
    keys(dir, &["more"]);
    fs::create_dir(dir.join("team")).unwrap();
    fs::write(dir.join("team/policy.yaml"), POLICY.replace("public.pem", "../public.pem")).unwrap();
    succeed(dir, "trust add-key netops more/public.pem --policy team/policy.yaml");
    let text = fs::read_to_string(dir.join("team/policy.yaml")).unwrap();
    assert!(text.contains("keys: [../public.pem, ../more/public.pem]"), "{text}");
}

/// Each edit is read, changed and written back; of twelve at one time, none may be lost.
#[test]
fn edits_at_the_same_time_are_all_made() {
    let directory = project();
    let dir = directory.path();
    let streams: Vec<_> = (0..12).map(|n| format!("netops-s{n}")).collect();
    let edit = |stream: &String| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_nodebpf"));
        command.args(["trust", "floor", stream, "3"]).current_dir(dir).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let running: Vec<_> = streams.iter().map(edit).collect();
    for one in running {
        let output = one.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let text = fs::read_to_string(dir.join("policy.yaml")).unwrap();
    for stream in &streams {
        assert!(text.contains(&format!("{stream}: 3")), "{stream} is lost: {text}");
    }
    assert!(text.contains("version: 13"), "{text}");
}
