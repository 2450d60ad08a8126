//! `nodebpf verify` as the gate of a GitOps repository.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "verify/installation.rs"]
mod installation;
mod support;

use std::{fs, path::Path};

use nodeplan::bundle::Unverified;
use support::{MANIFEST, fail, node_files, project, stderr, stdout, succeed};

const CONFIG: &str = "99-worker-nodebpf-stream-netops-frag.yaml";

/// A repository: compiled streams, an installation and things that are none of ours.
fn repository() -> tempfile::TempDir {
    let directory = project();
    let dir = directory.path();
    let manifest = MANIFEST.replace("  pools", "  expires: 2027-03-31T00:00:00Z\n  pools");
    fs::write(dir.join("bpf.yaml"), manifest).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem -o repo/pools");
    succeed(dir, "compile bpf.yaml --key key.pem --pool edge --format ignition -o repo/images");
    fs::write(dir.join("loader"), support::executable(62, None, b"x")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o repo/install");
    let bundle = node_files(&fs::read(dir.join("repo/pools").join(CONFIG)).unwrap()).remove(0).1;
    fs::write(dir.join("repo/netops-frag.bundle"), bundle).unwrap();
    let other = "spec: {config: {storage: {files: [{path: /etc/cron.d/nodebpf/x}, {path: etc}]}}}";
    fs::write(dir.join("repo/other.yaml"), other).unwrap();
    fs::write(dir.join("repo/README.md"), "# text").unwrap();
    fs::write(dir.join("repo/chart.yaml"), "{{- if .Values.x }}\n").unwrap();
    fs::create_dir_all(dir.join("repo/.git")).unwrap();
    fs::write(dir.join("repo/.git/x.bundle"), "not looked at").unwrap();
    directory
}

fn put(directory: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(directory.join("repo").join(name), bytes).unwrap();
}

#[test]
fn a_directory_is_gone_through() {
    let directory = repository();
    let output = succeed(directory.path(), "verify --trust trust.json repo");
    let text = stdout(&output);
    let names: Vec<_> = text.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "repo/images/99-edge-nodebpf-stream-netops-frag.ign",
            "repo/install/99-worker-nodebpf-loader.yaml",
            "repo/install/99-worker-nodebpf-trust.yaml",
            "repo/install/99-worker-nodebpf-units.yaml",
            "repo/netops-frag.bundle",
            "repo/pools/99-edge-nodebpf-stream-netops-frag.yaml",
            "repo/pools/99-worker-nodebpf-stream-netops-frag.yaml",
        ]
    );
    // README, chart, a MachineConfig of others, and the disruption policy.
    assert_eq!(stderr(&output), "bundles verified: 4, refused: 0; pieces of the installation: 3; other files: 4\n");
    let again = succeed(directory.path(), "verify --trust trust.json repo");
    assert_eq!(stdout(&again), text);
}

#[test]
fn json_says_the_same() {
    let directory = repository();
    let dir = directory.path();
    put(dir, "other.bundle", "damaged");
    let output = support::nodebpf(dir, &["verify", "--trust", "trust.json", "repo", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verified"].as_array().unwrap().len(), 4);
    let first = &report["verified"][0];
    assert_eq!((&first["stream"], &first["revision"]), (&"netops-frag".into(), &3.into()));
    assert_eq!((&first["owner"], &first["expires"]), (&"netops".into(), &"2027-03-31T00:00:00Z".into()));
    assert_eq!(first["signers"].as_array().unwrap().len(), 1);
    assert_eq!(report["refused"][0]["code"], "NB1101");
    assert_eq!(report["refused"][0]["file"], "repo/other.bundle");
    assert_eq!(report["skipped"], 4);
}

#[test]
fn one_bad_file_fails_the_gate() {
    let directory = repository();
    let dir = directory.path();
    let config = fs::read_to_string(dir.join("repo/pools").join(CONFIG)).unwrap();
    let bundle = fs::read(dir.join("repo/netops-frag.bundle")).unwrap();
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {}",
        config.replace("sha512-", "sha512-0").trim_end().replace('\n', "\n  ")
    );
    let mut extra = Unverified::decode(&bundle).unwrap().parts();
    extra.objects.insert(nodeplan::digest::Sha256Digest::of(b"more"), b"more".to_vec());
    let mut missing = extra.clone();
    missing.objects = nodeplan::sorted::SortedMap::new();
    let trust = fs::read_to_string(dir.join("repo/install/99-worker-nodebpf-trust.yaml")).unwrap();
    let loader = fs::read_to_string(dir.join("repo/install/99-worker-nodebpf-loader.yaml")).unwrap();
    let unsigned = succeed(dir, "compile bpf.yaml --unsigned --pool worker").stdout;
    let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
        ("a digest", "x.yaml", config.replace("sha512-", "sha512-0").into(), "verification hash"),
        ("gzip", "x.yaml", config.replace("base64,H4s", "base64,H4t").into(), "is not gzip"),
        ("base64", "x.yaml", config.replace("base64,H4s", "base64,H4-").into(), "is not base64"),
        ("a config in a list", "x.yaml", list.into(), "verification hash"),
        ("another stream's file", "x.yaml", config.replace("netops-frag.bundle", "netops-x.bundle").into(), "NB1111"),
        ("no bundle's name", "x.yaml", config.replace("netops-frag.bundle", "x.bundle.bak").into(), "is not named"),
        ("a path in disguise", "x.yaml", config.replace("/etc/nodebpf", "/etc/./nodebpf").into(), "another spelling"),
        (
            "another path in disguise",
            "x.yaml",
            config.replace("/etc/nodebpf", "/etc/x/..//nodebpf").into(),
            "another spelling",
        ),
        ("appended", "x.yaml", config.replace("mode: 420", "mode: 420\n        append: [{}]").into(), "is appended to"),
        ("not YAML", "x.yaml", format!("{config}\n\t[").into(), "neither"),
        ("an extra member", "netops-frag.bundle", extra.encode(), "does not belong there"),
        ("a missing member", "netops-frag.bundle", missing.encode(), "is missing"),
        ("a bundle by another name", "x.txt", bundle[..2048].to_vec(), "NB1101"),
        ("a trust file", "x.yaml", trust.replace("sha512-", "sha512-0").into(), "trust.json"),
        ("no signature", "x.yaml", unsigned, "NB1102"),
        ("not YAML, of the installation", "x.yaml", format!("{loader}  bad: [\n").into(), "neither"),
        ("not YAML, by its name", "99-worker-nodebpf-x.yaml", b"a: [".to_vec(), "neither"),
        ("emptied", "99-worker-nodebpf-x.yaml", Vec::new(), "is empty"),
    ];
    for (name, file, bytes, want) in cases {
        let before = fs::read(dir.join("repo").join(file)).ok();
        put(dir, file, bytes);
        let output = support::nodebpf(dir, &["verify", "--trust", "trust.json", "repo"]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "case {name}: {text}");
        assert!(text.contains(want) && text.contains("refused: 1"), "case {name}: {text}");
        match before {
            Some(before) => put(dir, file, before),
            None => fs::remove_file(dir.join("repo").join(file)).unwrap(),
        }
    }
    succeed(dir, "verify --trust trust.json repo");
}

/// Labels, annotations and the pool are what a reviewer reads; nodes read none of them.
#[test]
fn what_an_object_says_is_held_against_what_it_carries() {
    let directory = repository();
    let dir = directory.path();
    let read = |path: &str| fs::read_to_string(dir.join("repo").join(path)).unwrap();
    let stream = read(&format!("pools/{CONFIG}"));
    let [loader, trust, units] =
        ["loader", "trust", "units"].map(|what| read(&format!("install/99-worker-nodebpf-{what}.yaml")));
    let digest = |text: &str, key: &str| {
        let (_, rest) = text.split_once(&format!("{key}-sha256: ")).unwrap();
        rest.lines().next().unwrap().trim_matches(['\'', '"']).to_owned()
    };
    let zeros = "0".repeat(64);
    let no_elf = {
        let (head, payload) = loader.split_once("base64,").unwrap();
        let end = payload.find(['\'', '"', '\n']).unwrap();
        let gz = nodebpf::lower::ignition::gzip(b"#!/bin/sh\n");
        use base64ct::Encoding as _;
        format!("{head}base64,{}{}", base64ct::Base64::encode_string(&gz), &payload[end..])
    };
    let other_rules = {
        let policy = fs::read_to_string(dir.join("policy.yaml")).unwrap();
        fs::write(dir.join("other.yaml"), policy.replace("version: ", "version: 9")).unwrap();
        succeed(dir, "trust build other.yaml -o other.json");
        succeed(dir, "install --pool worker --trust other.json --loader loader --no-diag -o other");
        fs::read_to_string(dir.join("other/99-worker-nodebpf-trust.yaml")).unwrap()
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("a revision", stream.replace("/revision: '3'", "/revision: '7'"), "NB0633"),
        ("an owner", stream.replace("/owner: netops", "/owner: others"), "NB0633"),
        ("a digest", stream.replace(&digest(&stream, "bundle"), &zeros), "NB0633"),
        ("what nothing says", stream.replace("/revision: '3'", "/revisions: '3'"), "NB0633"),
        ("a pool", stream.replace("/role: worker", "/role: master"), "NB0501"),
        ("a loader's digest", loader.replace(&digest(&loader, "loader"), &zeros), "NB0633"),
        ("a loader that is a script", no_elf, "verification hash"),
        ("a trust file's digest", trust.replace(&digest(&trust, "trust"), &zeros), "NB0633"),
        ("a trust file elsewhere", trust.replace("/etc/nodebpf/trust.json", "/usr/bin/x"), "NB0512"),
        ("other rules", other_rules, "NB0634"),
        ("a unit", units.replace("Type=oneshot", "Type=simple"), "NB0634"),
        ("a unit that is off", units.replace("enabled: true", "enabled: false"), "NB0634"),
    ];
    let originals = [&stream, &loader, &trust, &units];
    for (name, text, code) in cases {
        assert!(!originals.contains(&&text), "case {name}: nothing was changed");
        fs::write(dir.join("x.yaml"), &text).unwrap();
        let output = support::nodebpf(dir, &["verify", "--strict", "--trust", "trust.json", "x.yaml"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "case {name}: {said}");
        assert!(said.contains(code), "case {name}: {said}");
    }
    succeed(dir, "verify --strict --trust trust.json repo/install");
}

#[test]
fn expiry_is_told_before_it_comes() {
    let directory = repository();
    let dir = directory.path();
    let bundle = "repo/netops-frag.bundle";
    for (args, want) in [
        ("", None),
        (" --at 2027-03-01T00:00:00Z", None),
        (" --at 2027-03-01T00:00:00Z --warn-before 14d", None),
        (" --at 2027-03-20T00:00:00Z --warn-before 14d", Some("NB0630")),
        (" --at 2027-03-20T00:00:00Z --warn-before 2w", Some("NB0630")),
        (" --at 2027-03-30T23:00:00Z --warn-before 1h", Some("NB0630")),
        (" --at 2027-03-30T22:59:59Z --warn-before 1h", None),
        (" --at 2027-03-31T00:00:00Z", Some("NB0631")),
        (" --at 2030-03-31T00:00:00Z --warn-before 14d", Some("NB0631")),
    ] {
        let text = stderr(&succeed(dir, &format!("verify --trust trust.json {bundle}{args}")));
        assert_eq!(text.is_empty(), want.is_none(), "case {args}: {text}");
        assert!(text.contains(want.unwrap_or_default()), "case {args}: {text}");
        let exit = i32::from(want.is_some());
        let args = format!("verify --trust trust.json {bundle}{args} --strict");
        assert_eq!(support::nodebpf(dir, &args.split(' ').collect::<Vec<_>>()).status.code(), Some(exit), "{args}");
    }
    fail(dir, &format!("verify --trust trust.json {bundle} --warn-before 14"), 2);
    fail(dir, &format!("verify --trust trust.json {bundle} --at yesterday"), 2);
}

#[test]
fn nothing_to_verify_is_not_a_pass() {
    let directory = repository();
    let dir = directory.path();
    fs::create_dir_all(dir.join("empty/deep")).unwrap();
    fs::write(dir.join("empty/deep/readme.txt"), "x").unwrap();
    let text = fail(dir, "verify --trust trust.json repo empty", 1);
    assert!(text.contains("NB0632") && text.contains("`empty` has nothing of nodebpf (1 other files)"), "{text}");
    fail(dir, "verify --trust trust.json no/such/directory", 3);
}

#[test]
fn floors_and_revocation_reach_the_gate() {
    let directory = repository();
    let dir = directory.path();
    let statement = stdout(&succeed(dir, "verify --trust trust.json repo/netops-frag.bundle"));
    let statement = statement.split("statement=").nth(1).unwrap().split(' ').next().unwrap();
    let key = "332ca3e476bf1993e355eb2d8eca3213371e7f1a88335f02ca225597e31860e7";
    for (name, rule, code) in [
        ("floor", "floors: {netops-frag: 4}", "NB1108"),
        ("bundle", &*format!("revokedBundles: [{statement}]"), "NB1107"),
        ("key", &*format!("revokedKeys: [{key}]"), "NB1107"),
    ] {
        let policy = support::POLICY.replace("  owners", &format!("  {rule}\n  owners"));
        fs::write(dir.join("next.yaml"), policy).unwrap();
        succeed(dir, &format!("trust build next.yaml -o {name}.json"));
        let text = fail(dir, &format!("verify --trust {name}.json repo"), 1);
        assert!(text.contains(code) && text.contains("verified: 0, refused: 4"), "case {rule}: {text}");
    }
}
