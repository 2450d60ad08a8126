//! `nodebpf diff` and `nodebpf fleet` as users meet them, and what the guides on change say.
//!
//! Golden outputs are in `tests/cases/change`; bless with `NODEBPF_BLESS=1 cargo test -p nodebpf --test change`.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "change/fleet.rs"]
mod fleet;
#[path = "change/policy.rs"]
mod policy;
#[path = "change/pools.rs"]
mod pools;
#[path = "change/refused.rs"]
mod refused;
#[path = "change/removal.rs"]
mod removal;
#[path = "change/sides.rs"]
mod sides;
mod support;
#[path = "change/trust.rs"]
mod trust;

use std::{fs, path::Path};

use fleet::{line, locked};
use serde_json::Value;
use support::{MANIFEST, binary, command, crate_dir, executable, golden, nodebpf, project, stderr, stdout, succeed};

/// A manifest for workers, canary nodes first.
fn manifest(revision: u32, priority: u16) -> String {
    MANIFEST
        .replace("revision: 3", &format!("revision: {revision}"))
        .replace("[worker, edge]", "[canary, worker]")
        .replace("priority: 510", &format!("priority: {priority}"))
}

/// Compiles a revision for one pool.
fn compile(dir: &Path, revision: u32, pool: &str, out: &str) {
    fs::write(dir.join("bpf.yaml"), manifest(revision, 500 + u16::try_from(revision).unwrap())).unwrap();
    succeed(dir, &format!("compile bpf.yaml --key key.pem --pool {pool} -o {out}"));
}

fn copy(dir: &Path, from: &str, to: &str) {
    fs::create_dir_all(dir.join(to)).unwrap();
    for entry in fs::read_dir(dir.join(from)).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), dir.join(to).join(entry.file_name())).unwrap();
    }
}

fn check(name: &str, found: &[u8]) {
    let failure = golden(&crate_dir().join("tests/cases/change").join(name), found);
    assert!(failure.is_none(), "{}", failure.unwrap());
}

fn json(dir: &Path, args: &str) -> Value {
    serde_json::from_str(&stdout(&nodebpf(dir, &args.split(' ').collect::<Vec<_>>()))).unwrap()
}

/// Verdict of the operator on a pool.
fn verdict(report: &Value, pool: &str) -> Option<String> {
    let pools = report["pools"].as_array().unwrap();
    let found = pools.iter().find(|one| one["pool"] == pool)?;
    Some(found["outcomes"][0]["verdict"].as_str().unwrap().to_owned())
}

#[test]
fn a_new_revision_in_table_json_and_markdown() {
    let directory = project();
    let dir = directory.path();
    compile(dir, 3, "worker", "old");
    let text = manifest(4, 520).replace("10.0.0.2, value: 1", "10.0.0.3, value: 1");
    fs::write(dir.join("bpf.yaml"), text).unwrap();
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o new");
    check("revision.txt", &succeed(dir, "diff old new").stdout);
    check("revision.md", &succeed(dir, "diff old new --markdown").stdout);
    check("revision.json", &succeed(dir, "diff old new --json").stdout);
    check("releases.txt", &succeed(dir, "diff old new --ocp 4.16-4.18").stdout);
    check("layering.txt", &succeed(dir, "diff old new --target ocl").stdout);
    check("no-policy.txt", &succeed(dir, "diff old new --policy none").stdout);
    fs::create_dir(dir.join("empty")).unwrap();
    check("removal.txt", &succeed(dir, "diff old empty").stdout);
}

#[test]
fn help_fits_a_terminal_and_says_what_exit_codes_mean() {
    let directory = project();
    for command in ["diff", "fleet"] {
        let text = stdout(&succeed(directory.path(), &format!("{command} --help")));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{command}: {text}");
        assert!(text.contains("Exit codes: 0 ") && text.ends_with("2 wrong usage, 3 I/O\n"), "{command}: {text}");
    }
}

#[test]
fn exit_codes_of_diff() {
    let directory = project();
    let dir = directory.path();
    fs::create_dir(dir.join("empty")).unwrap();
    compile(dir, 3, "worker", "old");
    compile(dir, 4, "worker", "new");
    succeed(dir, "compile bpf.yaml --unsigned --pool worker -o unsigned");
    let unsigned = stdout(&succeed(dir, "diff new unsigned"));
    assert!(
        unsigned.contains("signatures only") && unsigned.contains("! signed by nobody: nodes refuse it"),
        "{unsigned}"
    );
    for (args, exit) in [
        ("diff old old", 0),
        ("diff old old --exit-code", 0),
        ("diff old new", 0),
        ("diff old new --exit-code", 1),
        ("diff empty empty --exit-code", 0),
        ("diff old bpf.yaml", 1),
        ("diff old", 2),
        ("diff old new --json --markdown", 2),
        ("diff old new --ocp 4", 2),
        ("diff old nowhere", 3),
    ] {
        let output = nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(exit), "{args}: {}", stderr(&output));
    }
    assert_eq!(stdout(&succeed(dir, "diff old old")), "");
    assert!(stdout(&succeed(dir, "diff old old --markdown")).contains("Nothing changes for any node."));
}

#[test]
fn bundles_machineconfigs_and_ignition_are_compared() {
    let directory = project();
    let dir = directory.path();
    let compiled = |revision: u32, out: &str| {
        compile(dir, revision, "worker", out);
        succeed(dir, &format!("sign bpf.yaml --key key.pem --signatures sigs-{out}"));
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool worker --format ignition -o ign-{out}"));
        let file = fs::read(dir.join(out).join("99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
        fs::write(dir.join(format!("{out}.bundle")), &support::node_files(&file)[0].1).unwrap();
    };
    compiled(3, "old");
    compiled(4, "new");
    fs::rename(dir.join("old.bundle"), dir.join("netops-frag.bundle")).unwrap();
    fs::create_dir(dir.join("after")).unwrap();
    fs::rename(dir.join("new.bundle"), dir.join("after/netops-frag.bundle")).unwrap();
    for args in ["diff netops-frag.bundle after/netops-frag.bundle --json", "diff ign-old ign-new --json"] {
        let report = json(dir, args);
        assert_eq!(report["streams"][0]["kind"], "changed", "{args}");
        assert_eq!(report["streams"][0]["new"]["revision"], 4, "{args}");
        assert_eq!(report["pools"], serde_json::json!([]), "{args}: no pool, nothing for the operator");
    }
    // The same stream, carried in two ways.
    let report = json(dir, "diff netops-frag.bundle ign-old --json");
    assert_eq!(report["streams"], serde_json::json!([]));
}

/// A tree for images beside the MachineConfigs of a cluster: what differs is the streams and not the form.
#[test]
fn a_tree_is_compared_with_machineconfigs_stream_by_stream() {
    let directory = project();
    let dir = directory.path();
    let tree = |revision: u32, out: &str| {
        fs::write(dir.join("bpf.yaml"), manifest(revision, 500 + u16::try_from(revision).unwrap())).unwrap();
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool worker --format tree -o {out}"));
    };
    // The same signature in all: made once.
    compile(dir, 3, "worker", "configs");
    succeed(dir, "sign bpf.yaml --key key.pem");
    compile(dir, 3, "worker", "configs");
    compile(dir, 3, "canary", "configs");
    tree(3, "image");
    let note = |old: &str, new: &str, loose: &str, pooled: &str| {
        let said = stdout(&succeed(dir, &format!("diff {old} {new} --exit-code")));
        let want = format!(
            "note: the {loose} side has no pools: its streams are compared with those of every pool of the {pooled} side, \
             files and units are not\n"
        );
        assert_eq!(said, want, "{old} {new}");
    };
    note("image", "configs", "old", "new");
    note("configs", "image", "new", "old");

    tree(4, "next");
    let report = json(dir, "diff configs next --json");
    let streams = report["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{report}");
    assert_eq!((&streams[0]["kind"], &streams[0]["new"]["revision"]), (&"changed".into(), &4.into()), "{report}");
    assert_eq!(streams[0]["pools"], serde_json::json!(["canary", "worker"]));
    assert_eq!(report["pools"], serde_json::json!([]), "nothing of it comes by the operator");

    // One stream in the tree, two in a pool of the cluster, one of those in another pool.
    fs::write(dir.join("other.yaml"), manifest(1, 400).replace("netops-frag", "netops-other")).unwrap();
    succeed(dir, "compile other.yaml --key key.pem --pool worker -o configs");
    let report = json(dir, "diff image configs --json");
    let streams = report["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 1, "{report}");
    assert_eq!((&streams[0]["stream"], &streams[0]["kind"]), (&"netops-other".into(), &"added".into()), "{report}");
    succeed(dir, "compile other.yaml --key key.pem --pool worker --format tree -o other-image");
    fs::remove_file(dir.join("configs/99-worker-nodebpf-stream-netops-other.yaml")).unwrap();
    let report = json(dir, "diff configs other-image --json");
    let kinds: Vec<_> =
        report["streams"].as_array().unwrap().iter().map(|one| (&one["stream"], &one["kind"])).collect();
    let want = [("netops-frag", "removed"), ("netops-other", "added")];
    assert!(kinds.iter().map(|(a, b)| (a.as_str().unwrap(), b.as_str().unwrap())).eq(want), "{report}");
}

/// The real order of pools: canary first, promoted, aborted.
#[test]
fn a_canary_is_promoted_and_aborted() {
    let directory = project();
    let dir = directory.path();
    compile(dir, 3, "worker", "before");
    copy(dir, "before", "canary");
    compile(dir, 4, "canary", "canary");
    // What is signed does not depend on the pool.
    let four = json(dir, "diff before canary --json");
    copy(dir, "canary", "promoted");
    compile(dir, 4, "worker", "promoted");
    copy(dir, "promoted", "after");
    fs::remove_file(dir.join("after/99-canary-nodebpf-stream-netops-frag.yaml")).unwrap();

    assert_eq!(four["streams"].as_array().unwrap().len(), 1);
    assert_eq!(four["streams"][0]["pools"], serde_json::json!(["canary"]), "workers see nothing yet");
    assert_eq!((verdict(&four, "canary").as_deref(), verdict(&four, "worker")), (Some("act"), None));

    let promotion = json(dir, "diff canary promoted --json");
    assert_eq!(promotion["streams"][0]["pools"], serde_json::json!(["worker"]), "canary nodes have it already");
    assert_eq!(promotion["streams"][0]["new"]["statement"], four["streams"][0]["new"]["statement"], "signed once");
    assert_eq!((verdict(&promotion, "canary"), verdict(&promotion, "worker").as_deref()), (None, Some("act")));

    // Then the canary's object goes: it hides an equal one, so no node does anything.
    assert_eq!(stdout(&succeed(dir, "diff promoted after")), "");

    let abort = json(dir, "diff canary before --json");
    assert!(abort["streams"][0]["warnings"][0].as_str().unwrap().contains("lower than 4"), "{abort}");
    assert_eq!(abort["streams"][0]["pools"], serde_json::json!(["canary"]));
    assert_eq!(abort["streams"][0]["new"]["revision"], 3, "canary nodes get what workers have");
    assert_eq!((verdict(&abort, "canary").as_deref(), verdict(&abort, "worker")), (Some("act"), None));

    // Forgotten: the canary's old revision hides the next one of the workers.
    copy(dir, "promoted", "forgotten");
    compile(dir, 5, "worker", "forgotten");
    let forgotten = json(dir, "diff promoted forgotten --json");
    assert_eq!(forgotten["streams"][0]["pools"], serde_json::json!(["worker"]));
}

#[test]
fn two_streams_and_their_order() {
    let directory = project();
    let dir = directory.path();
    let other = |priority: u16| {
        let text = manifest(1, priority).replace("netops-frag", "netops-other");
        let head = text.split("  maps:").next().unwrap();
        head.replace("name: drop_frag_needed", "name: xdp_pass_a").replace("drop_frag_needed.bpf.o", "xdp_pass.bpf.o")
    };
    compile(dir, 3, "worker", "old");
    for (priority, out) in [(400, "old"), (600, "new")] {
        fs::write(dir.join("other.yaml"), other(priority)).unwrap();
        succeed(dir, &format!("compile other.yaml --key key.pem --pool worker -o {out}"));
    }
    compile(dir, 3, "worker", "new");
    check("order.txt", &succeed(dir, "diff old new").stdout);
    check("order.md", &succeed(dir, "diff old new --markdown").stdout);
}

#[test]
fn install_and_uninstall_say_what_nodes_do() {
    let directory = project();
    let dir = directory.path();
    fs::create_dir(dir.join("empty")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    for (loader, out) in [("one", "first"), ("two", "second")] {
        fs::write(dir.join(loader), executable(62, None, loader.as_bytes())).unwrap();
        fs::write(dir.join("nodebpf-diag"), binary("nodebpf-diag", out.as_bytes())).unwrap();
        succeed(dir, &format!("install --pool worker --trust trust.json --loader {loader} -o {out}"));
    }
    let upgrade = json(dir, "diff first second --json");
    assert_eq!(verdict(&upgrade, "worker").as_deref(), Some("act"), "a new loader is no reboot");
    let items = upgrade["pools"][0]["outcomes"][0]["items"].as_array().unwrap();
    let what: Vec<_> = items.iter().map(|item| item["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["/usr/local/bin/nodebpf-diag", "/usr/local/bin/nodebpf-loader"]);
    // The other binary alone is nothing to act upon.
    fs::copy(dir.join("first/99-worker-nodebpf-loader.yaml"), dir.join("second/99-worker-nodebpf-loader.yaml"))
        .unwrap();
    assert_eq!(verdict(&json(dir, "diff first second --json"), "worker").as_deref(), Some("none"));
    succeed(dir, "install --pool worker --trust trust.json --loader two -o second");
    assert_eq!(verdict(&json(dir, "diff first second --policy none --json"), "worker").as_deref(), Some("reboot"));
    // Everything at once: the policy restarts a unit that is gone.
    let gone = stdout(&succeed(dir, "diff first empty"));
    assert!(gone.contains("the restart fails, the node goes back and is degraded"), "{gone}");
}

#[test]
fn a_policy_on_the_new_side_is_found_and_its_order_explained() {
    let directory = project();
    let dir = directory.path();
    compile(dir, 3, "worker", "old");
    compile(dir, 4, "worker", "new");
    let policy = "apiVersion: operator.openshift.io/v1\nkind: MachineConfiguration\nmetadata: {name: cluster}\nspec:\n  \
                  nodeDisruptionPolicy:\n    files:\n      - path: /etc/nodebpf\n        actions: [{type: None}]\n";
    fs::write(dir.join("new/machineconfiguration.yaml"), policy).unwrap();
    let report = json(dir, "diff old new --json");
    assert_eq!(verdict(&report, "worker").as_deref(), Some("none"));
    assert!(report["notes"][1].as_str().unwrap().contains("observedGeneration"), "{report}");
    fs::write(dir.join("elsewhere.yaml"), policy.replace("type: None", "type: Reboot")).unwrap();
    let report = json(dir, "diff old new --policy elsewhere.yaml --json");
    assert_eq!(verdict(&report, "worker").as_deref(), Some("reboot"));
}

/// Fenced blocks of a document: what follows the fence, and the lines.
fn blocks(path: &str) -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(crate_dir().parent().unwrap().join(path)).unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(info) if !open => {
                found.push((info.to_owned(), Vec::new()));
                open = true;
            }
            Some(_) => open = false,
            None if open => found.last_mut().unwrap().1.push(line.to_owned()),
            None => {}
        }
    }
    found
}

/// Commands of the console blocks of a document.
fn commands(path: &str) -> Vec<String> {
    let blocks = blocks(path).into_iter().filter(|(info, _)| info == "console");
    blocks.flat_map(|(_, lines)| lines).filter_map(|line| Some(line.strip_prefix("$ ")?.to_owned())).collect()
}

/// Runs a command of a guide. Of a pipe its last part, with `journal` as input.
fn run(dir: &Path, command_line: &str) -> String {
    let own = command_line.rsplit(" | ").next().unwrap();
    let args: Vec<&str> = own.strip_prefix("nodebpf ").unwrap().split(' ').collect();
    let input = fs::File::open(dir.join("journal")).unwrap();
    let output = command(dir, &args).stdin(input).output().unwrap();
    assert!(output.status.success(), "{command_line}: {:?}\n{}{}", output.status, stdout(&output), stderr(&output));
    stdout(&output)
}

#[test]
fn the_guide_on_changes_is_true() {
    let directory = project();
    let dir = directory.path();
    let guide = "docs/guides/changes.md";
    let statement = locked(dir);
    compile(dir, 3, "worker", "old");
    compile(dir, 4, "worker", "new");
    for empty in ["without", "empty"] {
        fs::create_dir(dir.join(empty)).unwrap();
    }
    fs::write(dir.join("loader"), executable(62, None, b"loader")).unwrap();
    fs::write(dir.join("nodebpf-diag"), binary("nodebpf-diag", b"diag")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o installed");
    fs::write(dir.join("journal"), line("w1", &[("netops-frag", "attached", 3, &statement)])).unwrap();
    let node = r#"{"items":[{"metadata":{"name":"w1","labels":{"node-role.kubernetes.io/worker":""}}}]}"#;
    fs::write(dir.join("nodes.json"), node).unwrap();
    let yaml: Vec<_> = blocks(guide).into_iter().filter(|(info, _)| info.starts_with("yaml")).collect();
    assert_eq!(yaml.len(), 1);
    fs::write(dir.join("disruption.yaml"), yaml[0].1.join("\n")).unwrap();

    let mut count = 0;
    for command_line in commands(guide) {
        let out = run(dir, &command_line);
        count += 1;
        if command_line == "nodebpf diff old without" {
            assert!(out.contains("removed") && out.contains("restart nodebpf-apply.service"), "{out}");
        }
        if command_line == "nodebpf diff installed empty" {
            assert!(out.contains("the restart fails"), "{out}");
        }
    }
    assert!(count >= 12, "{count}");
    // The policy of the guide lets everything of ours go without a step that could fail.
    let gone = json(dir, "diff installed empty --policy disruption.yaml --json");
    assert_eq!(verdict(&gone, "worker").as_deref(), Some("none"), "{gone}");
    assert_eq!(gone["pools"][0]["outcomes"][0]["warnings"], serde_json::json!([]));
    // Every path that the rules name is one of the MCO, and the emergency table names only commands of the loader.
    let kargs = fs::read_to_string(dir.join("old/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    fs::create_dir(dir.join("off")).unwrap();
    fs::write(dir.join("off/a.yaml"), kargs.replace("spec:\n", "spec:\n  kernelArguments: [nodebpf=off]\n")).unwrap();
    assert_eq!(verdict(&json(dir, "diff old off --json"), "worker").as_deref(), Some("reboot"), "nodebpf=off reboots");
    assert_eq!(verdict(&json(dir, "diff off old --json"), "worker").as_deref(), Some("reboot"), "and again");
}

#[test]
fn the_guide_on_canaries_is_true() {
    let directory = project();
    let dir = directory.path();
    let guide = "docs/guides/canary.md";
    compile(dir, 3, "worker", "live");
    fs::write(dir.join("bpf.yaml"), manifest(4, 504)).unwrap();
    fs::create_dir(dir.join("keys")).unwrap();
    fs::copy(dir.join("key.pem"), dir.join("keys/private.pem")).unwrap();
    fs::write(dir.join("journal"), line("c1", &[("netops-frag", "attached", 4, &"1".repeat(64))])).unwrap();
    let mut seen = Vec::new();
    for command_line in commands(guide) {
        let words: Vec<&str> = command_line.split(' ').collect();
        match words[..] {
            ["cp", "-r", from, to] => copy(dir, from, to),
            ["rm", file] => fs::remove_file(dir.join(file)).unwrap(),
            ["oc", "apply", "--server-side", "--field-manager=nodebpf", "-f", path] => {
                assert!(dir.join(path).is_dir(), "{command_line}");
            }
            ["oc", "delete", "machineconfig", name] => {
                assert!(dir.join(format!("canary/{name}.yaml")).exists(), "{command_line}");
                assert!(!dir.join(format!("done/{name}.yaml")).exists(), "{command_line}");
            }
            ["oc", "adm", ..] | ["rolled_out", ..] => {}
            _ if command_line.starts_with("before=\"$(oc get machineconfigpool ") => {}
            ["nodebpf", ..] => seen.push((command_line.clone(), run(dir, &command_line))),
            _ => panic!("{command_line}"),
        }
    }
    let said = |command_line: &str| &seen.iter().find(|(seen, _)| seen == command_line).unwrap().1;
    let pools = |text: &str| ["canary", "worker"].map(|pool| text.contains(&format!("\npool {pool}\n")));
    assert_eq!(pools(said("nodebpf diff live canary")), [true, false]);
    assert_eq!(pools(said("nodebpf diff canary promoted")), [false, true]);
    assert_eq!(said("nodebpf diff promoted done"), "");
    assert_eq!(pools(said("nodebpf diff canary live")), [true, false]);
    // Both pools must be in the list, and that alone is nothing to warn of.
    let check = ["check", "bpf.yaml", "--policy", "policy.yaml", "--strict"];
    assert_eq!(nodebpf(dir, &check).status.code(), Some(0), "{}", stderr(&nodebpf(dir, &check)));
    let yaml: Vec<_> = blocks(guide).into_iter().filter(|(info, _)| info == "yaml").collect();
    let pool: Value = serde_saphyr::from_str(&yaml[0].1.join("\n")).unwrap();
    assert_eq!(
        pool.pointer("/spec/machineConfigSelector/matchExpressions/0/values"),
        Some(&serde_json::json!(["worker", "canary"]))
    );
}

/// A bug patch from its first revision to its end, as far as the compiler and the operator go.
#[test]
fn the_life_of_a_bug_patch() {
    let directory = project();
    let dir = directory.path();
    fs::create_dir(dir.join("nothing")).unwrap();
    let patch = |revision: u32, kernel: &str, expires: &str| {
        manifest(revision, 510).replace("intent: feature", "intent: bug-patch").replace(
            "  programs:",
            &format!("  appliesTo: {{kernel: \"{kernel}\"}}\n  expires: {expires}\n  programs:"),
        )
    };
    for (revision, kernel, expires, out) in [
        (1, ">=5.14.0-427", "2027-03-31T00:00:00Z", "shipped"),
        (2, ">=5.14.0-427 <5.14.0-570.30.1", "2027-06-30T00:00:00Z", "narrowed"),
    ] {
        fs::write(dir.join("bpf.yaml"), patch(revision, kernel, expires)).unwrap();
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool worker --at 2026-11-22T00:00:00Z -o {out}"));
    }
    let shipped = json(dir, "diff nothing shipped --json");
    assert_eq!(shipped["streams"][0]["attachments"][0]["class"], "new");
    let narrowed = stdout(&succeed(dir, "diff shipped narrowed"));
    for line in [
        "~ stream: kernels: >=5.14.0-427 -> >=5.14.0-427 <5.14.0-570.30.1",
        "~ stream: expires: 2027-03-31T00:00:00Z -> 2027-06-30T00:00:00Z",
    ] {
        assert!(narrowed.contains(line), "{narrowed}");
    }
    // The nodes got the fixed kernel: the patch is done, and that is right by the lock.
    fs::write(
        dir.join("bpf.yaml"),
        patch(2, ">=5.14.0-427 <5.14.0-570.30.1", "2027-06-30T00:00:00Z").replace("[canary, worker]", "[worker]"),
    )
    .unwrap();
    succeed(dir, "lock bpf.yaml --policy policy.yaml --at 2026-11-22T00:00:00Z -o bpf.lock.yaml");
    let lock = fs::read_to_string(dir.join("bpf.lock.yaml")).unwrap();
    let at = lock.find("statement: ").unwrap() + "statement: ".len();
    let statement: String = lock[at..].trim_start_matches('\'').chars().take(64).collect();
    let journal = [
        line("fixed", &[("netops-frag", "notApplicable", 2, &statement)]),
        line("waiting", &[("netops-frag", "attached", 2, &statement)]),
    ];
    fs::write(dir.join("journal"), journal.concat()).unwrap();
    succeed(dir, "fleet journal --lock bpf.lock.yaml --pool worker");
    let removed = json(dir, "diff narrowed nothing --json");
    assert_eq!(removed["streams"][0]["kind"], "removed");
    assert_eq!(removed["streams"][0]["attachments"][0]["class"], "removed");
    assert_eq!(verdict(&removed, "worker").as_deref(), Some("act"), "gone without a reboot");
}
