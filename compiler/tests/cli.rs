//! The command line as users meet it: exit codes, streams, files.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "cli/install.rs"]
mod install;
mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Stdio};

use nodeplan::{bundle::Unverified, trust::Trust};
use support::{
    MANIFEST, POLICY, command, copy_case, crate_dir, fail, node_files, nodebpf, project, stderr, stdout, succeed,
    workdir,
};

const COMMANDS: [&str; 16] = [
    "",
    "keygen",
    "trust",
    "trust build",
    "check",
    "compile",
    "install",
    "verify",
    "explain",
    "sign",
    "trust sign",
    "trust add-key",
    "trust revoke",
    "trust floor",
    "trust rotate-root",
    "trust show",
];

fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn help_fits_a_terminal_and_names_the_exit_codes() {
    let directory = project();
    for command in COMMANDS {
        let output = succeed(directory.path(), format!("{command} --help").trim());
        let text = stdout(&output);
        assert!(text.lines().next().unwrap().len() <= 60, "{command}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
        assert!(text.ends_with("Exit codes: 0 done, 1 the input has errors, 2 wrong usage, 3 I/O\n"), "{command}");
    }
}

#[test]
fn wrong_usage_exits_2() {
    let directory = project();
    for args in [
        "frobnicate",
        "compile",
        "compile bpf.yaml --nope",
        "compile bpf.yaml --key key.pem --pool Worker",
        "compile bpf.yaml --key key.pem --unsigned",
        "compile bpf.yaml -o out",
        "check bpf.yaml --policy a --trust b",
        "install --trust trust.json -o out",
        "explain",
        "explain NB9999",
        "compile bpf.yaml --key key.pem --format ignition",
    ] {
        let text = fail(directory.path(), args, 2);
        assert!(!text.is_empty(), "{args} says nothing");
    }
    assert!(!directory.path().join("out").exists());
}

#[test]
fn io_problems_exit_3_and_name_the_path() {
    let directory = project();
    fs::write(directory.path().join("taken"), "").unwrap();
    for (args, want) in [
        ("check no/such.yaml", "reading `no/such.yaml`: No such file"),
        ("check .", "reading `.`"),
        ("compile bpf.yaml --key no.pem -o out", "reading `no.pem`: does not exist"),
        ("compile bpf.yaml --key . -o out", "reading `.`: is not a regular file"),
        ("compile bpf.yaml --key key.pem -o taken", "taken"),
        ("verify --trust no.json bpf.yaml", "reading `no.json`: does not exist"),
        ("trust build policy.yaml -o taken/trust.json", "taken"),
    ] {
        let text = fail(directory.path(), args, 3);
        assert!(text.contains(want), "{args}: {text}");
    }
    assert!(!directory.path().join("out").exists());
}

#[test]
fn keygen_makes_private_files_and_never_overwrites() {
    let directory = project();
    let id = stdout(&succeed(directory.path(), "keygen -o deep/keys"));
    let keys = directory.path().join("deep/keys");
    assert_eq!(listing(&keys), ["private.pem", "public.pem"]);
    let mode = |name: &str| fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("private.pem"), 0o600);
    assert_eq!(mode("public.pem") & 0o600, 0o600);
    let public = nodebpf::sign::key::public_from_pem(&fs::read(keys.join("public.pem")).unwrap()).unwrap();
    assert_eq!(id, format!("{}\n", public.id()));

    let before = fs::read(keys.join("private.pem")).unwrap();
    fail(directory.path(), "keygen -o deep/keys", 3);
    fs::remove_file(keys.join("public.pem")).unwrap();
    fail(directory.path(), "keygen -o deep/keys", 3);
    assert_eq!(fs::read(keys.join("private.pem")).unwrap(), before);
    assert_eq!(listing(&keys), ["private.pem"], "nothing half-written is left");
    let other = stdout(&succeed(directory.path(), "keygen -o other"));
    assert_ne!(id, other, "two keys are equal");
}

#[test]
fn the_thin_path() {
    let directory = project();
    let dir = directory.path();
    fs::write(dir.join("loader"), support::executable(62, None, b"loader")).unwrap();
    fs::write(dir.join("nodebpf-diag"), support::binary("nodebpf-diag", b"diag")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem --policy policy.yaml -o out");
    succeed(dir, "compile bpf.yaml --key key.pem --trust trust.json -o ign --format ignition --pool edge");
    succeed(dir, "install --pool worker --pool edge --trust trust.json --loader loader -o out");
    assert_eq!(
        listing(&dir.join("out")),
        [
            "00-nodebpf-machineconfiguration.yaml",
            "99-edge-nodebpf-diag.yaml",
            "99-edge-nodebpf-loader.yaml",
            "99-edge-nodebpf-stream-netops-frag.yaml",
            "99-edge-nodebpf-trust.yaml",
            "99-edge-nodebpf-units.yaml",
            "99-worker-nodebpf-diag.yaml",
            "99-worker-nodebpf-loader.yaml",
            "99-worker-nodebpf-stream-netops-frag.yaml",
            "99-worker-nodebpf-trust.yaml",
            "99-worker-nodebpf-units.yaml"
        ]
    );
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let files = node_files(&read("out/99-worker-nodebpf-stream-netops-frag.yaml"));
    assert_eq!(files.len(), 1, "a stream writes one file");
    assert_eq!(files[0].0, "/etc/nodebpf/bundles/netops-frag.bundle");
    assert_eq!(files, node_files(&read("out/99-edge-nodebpf-stream-netops-frag.yaml")), "pools get the same bundle");
    assert_eq!(files, node_files(&read("ign/99-edge-nodebpf-stream-netops-frag.ign")), "formats carry the same");
    let trust_file = &node_files(&read("out/99-worker-nodebpf-trust.yaml"))[0];
    assert_eq!(*trust_file, ("/etc/nodebpf/trust.json".to_owned(), read("trust.json")));
    let loader = node_files(&read("out/99-worker-nodebpf-loader.yaml"));
    assert_eq!(loader, [("/usr/local/bin/nodebpf-loader".to_owned(), read("loader"))]);
    let diag = node_files(&read("out/99-worker-nodebpf-diag.yaml"));
    assert_eq!(diag, [("/usr/local/bin/nodebpf-diag".to_owned(), read("nodebpf-diag"))]);

    let trust = Trust::parse(&read("trust.json")).unwrap();
    let verified = Unverified::decode(&files[0].1).unwrap().verify(trust.document()).unwrap();
    let plan = verified.plan();
    assert_eq!((plan.stream.as_str(), plan.revision.get()), ("netops-frag", 3));
    let object = plan.programs[0].object.all()[0].sha256;
    assert_eq!(verified.object(&object), read("drop_frag_needed.bpf.o"));
    let keys: Vec<_> = plan.maps.values().flat_map(|map| &map.entries).map(|entry| entry.key.as_bytes()).collect();
    assert_eq!(keys, [[10, 0, 0, 1], [10, 0, 0, 2]], "entries are sorted");

    fs::write(dir.join("netops-frag.bundle"), &files[0].1).unwrap();
    let output = succeed(
        dir,
        "verify --trust trust.json netops-frag.bundle out/99-worker-nodebpf-stream-netops-frag.yaml \
         ign/99-edge-nodebpf-stream-netops-frag.ign",
    );
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 3);
    assert!(
        text.lines().all(|line| line.contains(": stream=netops-frag revision=3 owner=netops statement=")),
        "{text}"
    );
}

#[test]
fn equal_input_gives_equal_bytes_wherever_it_lies() {
    let (one, two) = (project(), project());
    fs::create_dir(two.path().join("elsewhere")).unwrap();
    succeed(one.path(), "compile bpf.yaml --key key.pem -o out");
    let manifest = two.path().join("bpf.yaml");
    let output =
        command(&two.path().join("elsewhere"), &["compile", manifest.to_str().unwrap(), "--key", "../key.pem"])
            .args(["-o", "a/b/out"])
            .envs([("TZ", "Asia/Tokyo"), ("LC_ALL", "de_DE.UTF-8"), ("HOSTNAME", "other")])
            .output()
            .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let out = two.path().join("elsewhere/a/b/out");
    assert_eq!(listing(&one.path().join("out")), listing(&out));
    for name in listing(&out) {
        assert_eq!(fs::read(one.path().join("out").join(&name)).unwrap(), fs::read(out.join(&name)).unwrap(), "{name}");
    }
}

#[test]
fn the_order_of_keys_in_a_manifest_does_not_matter() {
    let directory = project();
    let swapped = MANIFEST.replace("pools: [worker, edge]", "pools: [edge, worker]").replace(
        "{key: 10.0.0.2, value: 1}, {key: 10.0.0.1, value: 1}",
        "{value: 1, key: 10.0.0.1}, {key: 10.0.0.2, value: 1}",
    );
    assert_ne!(swapped, MANIFEST);
    fs::write(directory.path().join("swapped.yaml"), swapped).unwrap();
    let a = succeed(directory.path(), "compile bpf.yaml --key key.pem").stdout;
    let b = succeed(directory.path(), "compile swapped.yaml --key key.pem").stdout;
    assert_eq!(a, b);
}

#[test]
fn several_keys_sign_side_by_side() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "keygen -o second");
    fs::write(
        dir.join("policy.yaml"),
        POLICY.replace("keys: [public.pem]", "keys: [public.pem, second/public.pem]\n      threshold: 2"),
    )
    .unwrap();
    let text = fail(dir, "compile bpf.yaml --key key.pem --policy policy.yaml -o out", 1);
    assert!(text.contains("NB0606") && text.contains("1 keys of owner `netops` have signed; 2 are needed"), "{text}");
    succeed(dir, "compile bpf.yaml --key key.pem --key second/private.pem --policy policy.yaml -o out");
    succeed(dir, "trust build policy.yaml -o trust.json");
    let text = stdout(&succeed(dir, "verify --trust trust.json out/99-worker-nodebpf-stream-netops-frag.yaml"));
    assert_eq!(text.split("signers=").nth(1).unwrap().split(',').count(), 2);
}

#[test]
fn what_nodes_would_refuse_is_not_written() {
    let directory = project();
    let dir = directory.path();
    let config = succeed(dir, "compile bpf.yaml --key key.pem --pool edge").stdout;
    let config: serde_json::Value = serde_saphyr::from_slice(&config).unwrap();
    let digest = config.pointer("/metadata/annotations/nodebpf.io~1statement-sha256").unwrap().as_str().unwrap();
    fs::write(dir.join("policy.yaml"), POLICY.replace("  owners", &format!("  revokedBundles: [{digest}]\n  owners")))
        .unwrap();
    let text = fail(dir, "compile bpf.yaml --key key.pem --policy policy.yaml -o out", 1);
    assert!(text.contains("NB1107"), "{text}");
    assert!(!dir.join("out").exists());
}

#[test]
fn a_failure_leaves_no_file_and_errors_write_none() {
    let directory = project();
    let dir = directory.path();
    fs::create_dir_all(dir.join("out/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    fail(dir, "compile bpf.yaml --key key.pem -o out", 3);
    assert_eq!(listing(&dir.join("out")), ["99-worker-nodebpf-stream-netops-frag.yaml"]);
    fail(dir, "compile bpf.yaml --key key.pem --strict -o strict", 1);
    fail(dir, "compile bpf.yaml --key key.pem --pool other -o pool", 1);
    succeed(dir, "compile bpf.yaml --check -o check");
    for made in ["strict", "pool", "check"] {
        assert!(!dir.join(made).exists(), "{made} was made");
    }
}

#[test]
fn stdin_and_stdout_carry_manifest_and_documents() {
    let directory = project();
    let mut child = command(directory.path(), &["compile", "-", "--key", "key.pem"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), MANIFEST.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let documents = serde_saphyr::from_multiple::<serde_json::Value>(&stdout(&output)).unwrap();
    let names: Vec<_> = documents.iter().map(|document| document["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["99-edge-nodebpf-stream-netops-frag", "99-worker-nodebpf-stream-netops-frag"]);
    for document in &documents {
        assert_eq!(document["metadata"]["labels"]["nodebpf.io/stream"], "netops-frag");
        assert_eq!(document.pointer("/spec/config/storage/files/0/mode").unwrap(), 420);
        assert_eq!(document.pointer("/spec/config/storage/files/0/overwrite").unwrap(), true);
        assert!(!document.to_string().contains("null"), "{document}");
    }
}

#[test]
fn a_closed_pipe_is_not_a_crash() {
    let directory = project();
    for args in [&["explain", "--all"][..], &["schema"], &["compile", "bpf.yaml", "--key", "key.pem"], &["--help"]] {
        let mut child = command(directory.path(), args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn message_formats() {
    let directory = project();
    fs::write(directory.path().join("bpf.yaml"), MANIFEST.replace("510", "5100").replace("revision: 3", "revision: 0"))
        .unwrap();
    let short = fail(directory.path(), "check bpf.yaml --message-format short", 1);
    assert_eq!(
        short,
        "bpf.yaml:3:56: error[NB0302]: `revision` must be from 1 to 4294967295, not 0\n\
         bpf.yaml:12:63: error[NB0302]: a priority must be from 0 to 1000, not 5100\n"
    );
    let json = fail(directory.path(), "--message-format json check bpf.yaml", 1);
    let lines: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["code"], "NB0302");
    assert_eq!(lines[0]["primary"]["line"], 3);
    assert_eq!(lines[1]["primary"]["endColumn"], 67);
    let io: serde_json::Value =
        serde_json::from_str(&fail(directory.path(), "check no.yaml --message-format json", 3)).unwrap();
    assert_eq!(io["severity"], "error");
}

#[test]
fn colours_only_when_asked_for() {
    let directory = project();
    fs::write(directory.path().join("bpf.yaml"), "").unwrap();
    let escape = |args: &str| fail(directory.path(), args, 1).contains('\x1b');
    assert!(!escape("check bpf.yaml"), "stderr is no terminal");
    assert!(escape("check bpf.yaml --color always"));
    assert!(!escape("check bpf.yaml --color never"));
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let directory = project();
    let evil = MANIFEST
        .replace("netops-frag", "\"net\\e[31mops\\a\"")
        .replace("revision: 3", "revision: 3, \"\\e]0;x\\a\": 1");
    fs::write(directory.path().join("bpf.yaml"), evil).unwrap();
    for format in ["human", "short", "json"] {
        let text = fail(directory.path(), &format!("check bpf.yaml --message-format {format}"), 1);
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{format}: {text:?}");
    }
}

#[test]
fn verify_refuses_what_a_node_refuses() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem -o out");
    let config = fs::read(dir.join("out/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    let bundle = node_files(&config).remove(0).1;
    let mut flipped = bundle.clone();
    let last = flipped.iter().rposition(|&byte| byte != 0).unwrap();
    flipped[last] ^= 1;
    fs::write(dir.join("netops-frag.bundle"), flipped).unwrap();
    fs::write(dir.join("other.bundle"), &bundle).unwrap();
    fs::write(dir.join("cut.bundle"), &bundle[..bundle.len() / 2]).unwrap();
    fs::write(dir.join("empty.bundle"), "").unwrap();
    let text = String::from_utf8(config).unwrap();
    fs::write(dir.join("hash.yaml"), text.replace("sha512-", "sha512-0")).unwrap();
    fs::write(dir.join("gzip.yaml"), text.replace("base64,H4s", "base64,H4t")).unwrap();
    fs::write(dir.join("none.yaml"), text.replace("/etc/nodebpf/bundles", "/etc/other")).unwrap();
    fs::write(dir.join("stranger.yaml"), POLICY.replace("public.pem", "second/public.pem")).unwrap();
    succeed(dir, "keygen -o second");
    succeed(dir, "trust build stranger.yaml -o stranger.json");
    fs::write(dir.join("raised.yaml"), POLICY.replace("  owners", "  floors: {netops-frag: 4}\n  owners")).unwrap();
    succeed(dir, "trust build raised.yaml -o raised.json");
    for (args, code) in [
        ("--trust trust.json netops-frag.bundle", "NB1101"),
        ("--trust trust.json cut.bundle", "NB1101"),
        ("--trust trust.json empty.bundle", "NB1101"),
        ("--trust trust.json other.bundle", "NB1111"),
        ("--trust trust.json hash.yaml", "NB1101"),
        ("--trust trust.json gzip.yaml", "NB1101"),
        ("--trust trust.json none.yaml", "NB1101"),
        ("--trust trust.json key.pem", "NB1101"),
        ("--trust stranger.json out/99-worker-nodebpf-stream-netops-frag.yaml", "NB1102"),
        ("--trust raised.json out/99-worker-nodebpf-stream-netops-frag.yaml", "NB1108"),
        ("--trust policy.yaml other.bundle", "NB0605"),
    ] {
        let text = fail(dir, &format!("verify {args}"), 1);
        assert!(text.contains(&format!("[{code}]")), "{args}: {text}");
    }
}

#[test]
fn a_chain_of_trust_grows() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "keygen -o a");
    succeed(dir, "keygen -o b");
    let policy = |version: u64, root: &str| {
        POLICY.replace("version: 1", &format!("version: {version}\n  roots: {{keys: [{root}/public.pem]}}"))
    };
    let build = |text: &str, keys: &str| {
        fs::write(dir.join("policy.yaml"), text).unwrap();
        format!("trust build policy.yaml -o trust.json{keys}")
    };
    let version = || Trust::parse(&fs::read(dir.join("trust.json")).unwrap()).unwrap().document().version;
    succeed(dir, &build(&policy(1, "a"), " --root-key a/private.pem"));
    let first = fs::read(dir.join("trust.json")).unwrap();
    succeed(dir, &build(&policy(1, "a"), " --root-key a/private.pem"));
    assert_eq!(fs::read(dir.join("trust.json")).unwrap(), first, "nothing changed, so nothing is written");
    succeed(dir, &build(&policy(2, "a"), " --root-key a/private.pem"));
    let text = fail(dir, &build(&policy(3, "b"), " --root-key b/private.pem"), 1);
    assert!(text.contains("0 of the root keys of version 2 are given"), "{text}");
    let text = fail(dir, &build(&policy(3, "b"), " --root-key a/private.pem"), 1);
    assert!(text.contains("0 of the root keys of version 3 are given"), "{text}");
    assert_eq!(version(), 2);
    succeed(dir, &build(&policy(3, "b"), " --root-key a/private.pem --root-key b/private.pem"));
    assert_eq!(version(), 3);
    let chain: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("trust.json")).unwrap()).unwrap();
    assert_eq!(chain["chain"].as_array().unwrap().len(), 3);
    let text = fail(dir, &build(&policy(4, "b"), " --root-key a/private.pem --root-key b/private.pem"), 1);
    assert!(text.contains("is not one of the root keys"), "{text}");
    fs::write(dir.join("trust.json"), "{}").unwrap();
    let text = fail(dir, &build(&policy(4, "b"), " --root-key b/private.pem"), 1);
    assert!(text.contains("NB0605"), "{text}");
    assert_eq!(fs::read(dir.join("trust.json")).unwrap(), b"{}");
}

#[test]
fn links_out_of_the_manifests_directory_are_refused() {
    let (directory, outside) = (project(), project());
    fs::remove_file(directory.path().join("drop_frag_needed.bpf.o")).unwrap();
    std::os::unix::fs::symlink(
        outside.path().join("drop_frag_needed.bpf.o"),
        directory.path().join("drop_frag_needed.bpf.o"),
    )
    .unwrap();
    let text = fail(directory.path(), "check bpf.yaml", 1);
    assert!(text.contains("NB0202") && text.contains("leads out of the directory through a link"), "{text}");
}

#[test]
fn explain_prints_pages() {
    let directory = project();
    let page = stdout(&succeed(directory.path(), "explain nb0402"));
    assert!(page.starts_with("## NB0402: two programs have the same priority\n"), "{page}");
    let all = stdout(&succeed(directory.path(), "explain --all"));
    assert!(all.contains(&page) && all.starts_with("# Errors\n"));
}

#[test]
fn man_pages_and_schema_are_made_of_the_program() {
    let directory = project();
    succeed(directory.path(), "man man");
    let pages = listing(&directory.path().join("man"));
    assert!(
        pages.contains(&"nodebpf.1".to_owned()) && pages.contains(&"nodebpf-trust-build.1".to_owned()),
        "{pages:?}"
    );
    let schema: serde_json::Value = serde_json::from_slice(&succeed(directory.path(), "schema").stdout).unwrap();
    assert_eq!(schema["properties"]["kind"]["$ref"], "#/$defs/Kind");
    assert_eq!(schema["$defs"]["Spec"]["required"], serde_json::json!(["intent", "pools", "programs"]));
    assert!(!schema.to_string().contains("null"), "keys without value are refused, so the schema must not allow them");
    fn described(at: &str, value: &serde_json::Value) {
        for (name, property) in value["properties"].as_object().into_iter().flatten() {
            assert!(property.get("description").is_some(), "{at}.{name} has no description");
        }
    }
    let policy: serde_json::Value = serde_json::from_slice(&succeed(directory.path(), "schema policy").stdout).unwrap();
    assert_eq!(policy["title"], "BpfPolicy");
    for schema in [schema, policy] {
        described("", &schema);
        schema["$defs"].as_object().unwrap().iter().for_each(|(name, value)| described(name, value));
    }
}

#[test]
fn nodebpf_without_colour_and_terminal_says_the_same_twice() {
    let directory = project();
    let once = nodebpf(directory.path(), &["compile", "bpf.yaml", "--key", "key.pem"]);
    let twice = nodebpf(directory.path(), &["compile", "bpf.yaml", "--key", "key.pem"]);
    assert_eq!((once.stdout, once.stderr), (twice.stdout, twice.stderr));
}

#[test]
fn inspect_shows_an_object_and_a_bundle() {
    let directory = project();
    let object = stdout(&succeed(directory.path(), "inspect mixed.bpf.o --cpus 4 --btf kernel.btf"));
    for line in [
        "on_demand     ?xdp                           xdp               xdp ",
        "connecting    cgroup/connect4                cgroup_sock_addr  cgroup connect4 ",
        "packets  percpu_array  __u32  __u64  4        144",
        "limit   .rodata  __u32  4",
        "filter        it is a netfilter program",
        "entering      lacks 1 (fentry tcp_connect)",
        "probing       holds; not checked: kprobe tcp_connect",
    ] {
        assert!(object.contains(line), "{line}\n---\n{object}");
    }
    succeed(directory.path(), "compile bpf.yaml --key key.pem --pool worker -o out");
    let json = stdout(&succeed(directory.path(), "inspect --json out/99-worker-nodebpf-stream-netops-frag.yaml"));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let bundle = &json["files"][0]["bundles"][0];
    assert_eq!((&bundle["stream"], &bundle["revision"]), (&"netops-frag".into(), &3.into()));
    assert_eq!(bundle["signatures"].as_array().map(Vec::len), Some(1));
    assert_eq!(bundle["programs"][0]["places"][0]["priority"], 510);
    assert_eq!(bundle["objects"][0]["programs"][0]["name"], "drop_frag_needed");
    assert_eq!(bundle["maps"][1]["kind"], "config");
}

#[test]
fn kernels_may_be_gzipped_and_several() {
    use std::io::Write as _;
    let directory = project();
    let plain = std::fs::read(directory.path().join("kernel.btf")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(&plain).unwrap();
    std::fs::write(directory.path().join("packed.btf.gz"), gz.finish().unwrap()).unwrap();
    let table = stdout(&succeed(directory.path(), "check bpf.yaml --btf kernel.btf --btf packed.btf.gz"));
    assert_eq!(
        table,
        "PROGRAM           kernel.btf  packed.btf.gz\n\
         drop_frag_needed  holds       holds\n"
    );
}

/// `-` is stdout, not a file; what is no lock stays as it was.
#[test]
fn a_lock_goes_to_stdout_and_never_over_an_input() {
    let directory = workdir();
    copy_case(&crate_dir().join("tests/cases/err/NB0431-pools-changed"), directory.path());
    let lock =
        |args: &[&str]| nodebpf(directory.path(), &[&["lock", "a.yaml", "--policy", "policy.yaml"], args].concat());
    let output = lock(&["-o", "-"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("kind: BpfLock"), "{}", stdout(&output));
    assert!(!directory.path().join("-").exists());
    assert_eq!(lock(&["-o", "-", "--check"]).status.code(), Some(2));
    for input in ["a.yaml", "b.yaml", "policy.yaml", "key.pem"] {
        let before = fs::read(directory.path().join(input)).unwrap();
        let output = lock(&["-o", input]);
        assert_eq!(output.status.code(), Some(1), "{input}: {}", stderr(&output));
        assert!(stderr(&output).contains("NB0430"), "{input}: {}", stderr(&output));
        assert_eq!(fs::read(directory.path().join(input)).unwrap(), before, "{input}");
    }
}

/// Of several manifests, `--pool` takes those that have the pool; one of them must.
#[test]
fn manifests_without_the_pool_are_left_out() {
    let directory = workdir();
    let dir = directory.path();
    copy_case(&crate_dir().join("tests/cases/err/NB0431-pools-changed"), dir);
    let text = fs::read_to_string(dir.join("b.yaml")).unwrap();
    assert!(text.contains("pools: [worker]"), "{text}");
    fs::write(dir.join("b.yaml"), text.replace("pools: [worker]", "pools: [infra, worker-edge]")).unwrap();
    for (pools, want, out) in [
        ("--pool worker", &["99-worker-nodebpf-stream-netops-a.yaml"][..], "one"),
        (
            "--pool worker --pool infra",
            &["99-infra-nodebpf-stream-netops-b.yaml", "99-worker-nodebpf-stream-netops-a.yaml"],
            "two",
        ),
    ] {
        succeed(dir, &format!("compile a.yaml b.yaml --key key.pem {pools} -o {out}"));
        let mut names: Vec<_> = fs::read_dir(dir.join(out))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, want, "{pools}");
    }
    let text = fail(dir, "compile a.yaml b.yaml --key key.pem --pool worker --pool gpu -o none", 1);
    assert!(text.contains("NB0501") && text.contains("`--pool gpu` is in no manifest"), "{text}");
    assert!(!dir.join("none").exists());
}

#[test]
fn small_things_are_said_in_words() {
    let directory = project();
    let dir = directory.path();
    let made = succeed(dir, "keygen -o keys");
    assert_eq!(stdout(&made).trim().len(), 64, "data: the id alone");
    let text = stderr(&made);
    assert!(text.contains("keys/private.pem") && text.contains("keys/public.pem") && text.contains("key id"), "{text}");
    let text = fail(dir, "compile bpf.yaml --key key.pem -o bpf.yaml", 3);
    assert!(text.contains("`bpf.yaml` is a file; `-o` wants a directory"), "{text}");
    fs::write(dir.join("x.bundle"), b"").unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    for command in ["inspect x.bundle", "verify --trust trust.json x.bundle", "sign x.bundle --key key.pem"] {
        let text = fail(dir, command, 1);
        assert!(text.contains("is empty"), "{command}: {text}");
    }
    let long = format!("{}.bpf.o", "n".repeat(100));
    fs::copy(dir.join("drop_frag_needed.bpf.o"), dir.join(&long)).unwrap();
    assert!(stdout(&succeed(dir, &format!("inspect {long}"))).contains(&format!("object {long}")));
    assert_eq!(succeed(dir, "explain 402").stdout, succeed(dir, "explain NB0402").stdout);
}
