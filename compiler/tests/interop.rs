//! Other people's tools on our files: openssl, tar, gzip, systemd. A tool that is not there is a failure that
//! names its package.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use nodeplan::bundle::{self, Unverified};
use support::{MANIFEST, node_files, project, succeed};

/// Tools, and the Debian packages that have them; `cargo xtask setup` installs these.
const PACKAGES: [(&str, &str); 7] = [
    ("openssl", "openssl"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("systemd-analyze", "systemd"),
    ("ignition-validate", "ignition"),
    ("/usr/bin/python3", "python3-yaml python3-ruamel.yaml"),
    ("kubectl", "kubernetes-client"),
];

/// Runs a tool. One that is not there fails the test: what was not tried must not look as if it held.
fn tool(directory: &Path, words: &[&str]) -> Output {
    let name = words[0];
    Command::new(name).args(&words[1..]).current_dir(directory).env("LC_ALL", "C").output().unwrap_or_else(|error| {
        let package = PACKAGES.iter().find(|(tool, _)| *tool == name).map_or(name, |(_, package)| *package);
        panic!("{name}: {error}; type `cargo xtask setup`, or: apt-get install {package}")
    })
}

/// Both streams of a tool that must succeed.
fn told(directory: &Path, line: &str) -> String {
    let output = tool(directory, &line.split(' ').collect::<Vec<_>>());
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    text
}

fn compiled(directory: &Path) -> Vec<u8> {
    succeed(directory, "keygen -o keys");
    succeed(directory, "compile bpf.yaml --key keys/private.pem --pool worker -o out");
    let config = fs::read(directory.join("out/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
    node_files(&config).remove(0).1
}

#[test]
fn openssl_reads_our_keys_and_checks_our_signatures() {
    let directory = project();
    let dir = directory.path();
    let bundle = compiled(dir);
    let parts = Unverified::decode(&bundle).unwrap().parts();
    let (id, signature) = parts.signatures.iter().next().unwrap();
    fs::write(dir.join("pae"), bundle::to_sign(&parts.statement)).unwrap();
    fs::write(dir.join("sig"), signature).unwrap();
    let text = told(dir, "openssl dgst -sha256 -verify keys/public.pem -signature sig pae");
    assert!(text.contains("Verified OK"), "{text}");
    let text = told(dir, "openssl ec -in keys/private.pem -noout -text");
    assert!(text.contains("prime256v1"), "{text}");
    told(dir, "openssl ec -in keys/private.pem -pubout -out again.pem");
    assert_eq!(fs::read(dir.join("again.pem")).unwrap(), fs::read(dir.join("keys/public.pem")).unwrap());
    told(dir, "openssl pkey -pubin -in keys/public.pem -outform DER -out key.der");
    let text = told(dir, "openssl dgst -sha256 -r key.der");
    assert!(text.starts_with(&id.to_string()), "a key id is the SHA-256 of the key's DER: {text}");
}

#[test]
fn keys_of_openssl_are_taken() {
    let directory = project();
    let dir = directory.path();
    told(dir, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem");
    told(dir, "openssl ec -in key.pem -pubout -out public.pem");
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem --policy policy.yaml -o out");
    succeed(dir, "verify --trust trust.json out/99-worker-nodebpf-stream-netops-frag.yaml");
    told(dir, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem");
    let text = support::fail(dir, "compile bpf.yaml --key p384.pem -o no", 1);
    assert!(text.contains("NB0602") && text.contains("not ECDSA P-256"), "{text}");
    told(dir, "openssl ecparam -name prime256v1 -genkey -noout -out sec1.pem");
    let text = support::fail(dir, "compile bpf.yaml --key sec1.pem -o no", 1);
    assert!(text.contains("NB0602") && text.contains("EC PRIVATE KEY"), "{text}");
    told(dir, "openssl pkcs8 -topk8 -nocrypt -in sec1.pem -out converted.pem");
    succeed(dir, "compile bpf.yaml --key converted.pem -o converted");
}

#[test]
fn tar_lists_a_bundle() {
    let directory = project();
    let bundle = compiled(directory.path());
    fs::write(directory.path().join("x.bundle"), &bundle).unwrap();
    let text = told(directory.path(), "tar tvf x.bundle");
    let names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert_eq!(names[0], "statement.json");
    assert!(names[1].starts_with("signatures/") && names[2].starts_with("objects/"), "{text}");
    assert_eq!(names.len(), 3, "{text}");
}

#[test]
fn gzip_reads_our_compression() {
    let directory = project();
    let gz = nodebpf::lower::ignition::gzip(b"hello");
    fs::write(directory.path().join("x.gz"), gz).unwrap();
    let text = told(directory.path(), "gzip -dc x.gz");
    assert_eq!(text, "hello");
}

/// What plain apply makes of our objects, counted as the API server counts it: what NB0502 says.
#[test]
fn kubectl_writes_the_annotation_that_we_count() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, &support::noise(300_000))).unwrap();
    let warned = succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out");
    let warned = support::stderr(&warned);
    told(dir, "kubectl version --client");
    let (api, created) = support::api::serve();
    // For the discovery that it keeps.
    fs::create_dir(dir.join("home")).unwrap();
    let home = format!("HOME={}", dir.join("home").display());
    let mut sizes = Vec::new();
    for name in ["99-worker-nodebpf-loader", "99-worker-nodebpf-units"] {
        let line = format!("env {home} kubectl --server {api} apply --validate=false -f out/{name}.yaml");
        told(dir, &line);
        let object = created.recv().unwrap();
        assert_eq!(object["metadata"]["name"], name);
        let annotations = object["metadata"]["annotations"].as_object().unwrap();
        sizes.push(annotations.iter().map(|(key, value)| key.len() + value.as_str().unwrap().len()).sum::<usize>());
    }
    assert!(sizes[1] < 256 * 1024, "{sizes:?}");
    let said = format!("`99-worker-nodebpf-loader` has {} bytes in its annotations", sizes[0]);
    assert!(warned.contains(&said) && warned.matches("NB0502").count() == 1, "{said}: {warned}");
}

/// The real systemd judges our units in a root of their own, with the system's own targets.
#[test]
fn systemd_accepts_our_units() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out");
    let config: serde_json::Value =
        serde_saphyr::from_slice(&fs::read(dir.join("out/99-worker-nodebpf-units.yaml")).unwrap()).unwrap();
    let units = config.pointer("/spec/config/systemd/units").unwrap().as_array().unwrap();
    assert_eq!(units.len(), 6);
    let root = dir.join("root");
    let place = root.join("etc/systemd/system");
    fs::create_dir_all(&place).unwrap();
    for unit in units {
        let (name, text) = (unit["name"].as_str().unwrap(), unit["contents"].as_str().unwrap());
        assert_eq!(unit.get("enabled").is_some(), text.contains("[Install]"), "{name}: `enabled` needs [Install]");
        fs::write(place.join(name), text).unwrap();
    }
    for program in
        ["usr/local/bin/nodebpf-loader", "usr/bin/mkdir", "usr/bin/rm", "usr/bin/udevadm", "usr/sbin/restorecon"]
    {
        let path = root.join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let library = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&library).unwrap();
    for target in ["basic", "sysinit", "shutdown", "kubelet-dependencies", "network-pre", "local-fs", "time-set"] {
        fs::write(library.join(format!("{target}.target")), "[Unit]\nDescription=x\n").unwrap();
    }
    for slice in ["system.slice", "-.slice", "-.mount"] {
        fs::write(library.join(slice), "[Unit]\nDescription=x\n").unwrap();
    }
    let names: Vec<_> = units.iter().map(|unit| unit["name"].as_str().unwrap()).collect();
    let line = format!("systemd-analyze verify --man=no --root={} {}", root.display(), names.join(" "));
    let text = told(dir, &line);
    assert!(!text.contains("nodebpf"), "systemd complains: {text}");

    // The judge is awake: a unit that is wrong is refused.
    let bad = fs::read_to_string(place.join("nodebpf.service")).unwrap().replace("Type=oneshot", "Type=sometimes");
    fs::write(place.join("nodebpf.service"), bad).unwrap();
    let output = tool(dir, &line.split(' ').collect::<Vec<_>>());
    assert!(String::from_utf8_lossy(&output.stderr).contains("sometimes"), "systemd did not look");
}

/// Warnings count: `ignition-validate` must say nothing.
#[test]
fn ignition_accepts_our_configs() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out --format ignition");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o out --format ignition");
    for entry in fs::read_dir(dir.join("out")).unwrap().map(Result::unwrap) {
        let text = told(dir, &format!("ignition-validate {}", entry.path().display()));
        assert_eq!(text, "", "{}", entry.path().display());
        let (config, warnings) = ignition_config::Config::parse_slice(&fs::read(entry.path()).unwrap()).unwrap();
        assert!(matches!(config, ignition_config::Config::V3_2(_)) && warnings.is_empty(), "{warnings:?}");
    }
    // The judge is awake.
    fs::write(dir.join("bad.ign"), r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"etc/x"}]}}"#)
        .unwrap();
    assert!(!tool(dir, &["ignition-validate", "bad.ign"]).status.success(), "ignition-validate did not look");
}

/// Reads a YAML file by both versions, and fails on a value that JSON does not have, such as a time.
const READ_TWICE: &str = r"
import json, sys, yaml
from ruamel.yaml import YAML
for name in sys.argv[1:]:
    text = open(name, encoding='utf-8').read()
    one = list(yaml.safe_load_all(text))
    two = list(YAML(typ='safe', pure=True).load_all(text))
    for document in (one, two):
        print(json.dumps(document, sort_keys=True))
";

/// `PyYAML` reads YAML 1.1, as Kubernetes tools do; ruamel.yaml reads 1.2. Both must find what was meant.
#[test]
fn both_versions_of_yaml_read_equal_documents() {
    let directory = project();
    let dir = directory.path();
    // Values that one version or the other would take for something else.
    let manifest = MANIFEST
        .replace("OCPBUGS-12345", "\"0644\"")
        .replace("  audience:", "  expires: 2027-03-31T00:00:00Z\n  audience:")
        .replace("pools: [worker, edge]", "pools: [\"no\", \"12\", y]");
    fs::write(dir.join("odd.yaml"), manifest).unwrap();
    succeed(dir, "compile odd.yaml --key key.pem -o out");
    succeed(dir, "compile bpf.yaml --key key.pem -o out");
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"x")).unwrap();
    succeed(dir, "install --pool no --trust trust.json --loader loader --no-diag -o out");
    fs::write(dir.join("both.yaml"), succeed(dir, "compile bpf.yaml --key key.pem").stdout).unwrap();
    let written = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = written.chain([dir.join("both.yaml")]).map(|path| path.display().to_string()).collect();
    assert_eq!(files.len(), 3 + 2 + 4 + 1);
    let mut words = vec!["/usr/bin/python3", "-c", READ_TWICE];
    words.extend(files.iter().map(String::as_str));
    let output = tool(dir, &words);
    assert!(output.status.success(), "{}\nneeds: apt-get install {}", support::stderr(&output), PACKAGES[5].1);
    let text = support::stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 * files.len());
    for (file, pair) in files.iter().zip(lines.chunks(2)) {
        assert_eq!(pair[0], pair[1], "{file}");
        let ours: Vec<serde_json::Value> = serde_saphyr::from_slice_multiple(&fs::read(file).unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(pair[0]).unwrap(), ours, "{file}");
    }
    let odd = fs::read_to_string(dir.join("out/99-no-nodebpf-stream-netops-frag.yaml")).unwrap();
    for line in ["role: 'no'", "reference: '0644'", "expires: '2027-03-31T00:00:00Z'", "revision: '3'"] {
        assert!(odd.contains(line), "{line} is not in\n{odd}");
    }
    // The judges are awake: unquoted, these differ.
    fs::write(dir.join("bad.yaml"), "a: 0o17\nb: 012\nc: no\n").unwrap();
    let output = tool(dir, &["/usr/bin/python3", "-c", READ_TWICE, "bad.yaml"]);
    let text = support::stdout(&output);
    let lines: Vec<_> = text.lines().collect();
    assert_ne!(lines[0], lines[1], "the two parsers are one");
}
