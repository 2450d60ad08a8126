//! Other people's tools on our files: openssl, tar, gzip, systemd. A tool that is not there is a skip that shows.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output},
};

use nodeplan::bundle::{self, Unverified};
use support::{node_files, project, succeed};

/// Runs a tool; `None`, with a line that the test harness does not swallow, if it is not installed.
fn tool(directory: &Path, line: &str) -> Option<Output> {
    let mut words = line.split(' ');
    let name = words.next().unwrap();
    match Command::new(name).args(words).current_dir(directory).env("LC_ALL", "C").output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: `{name}` is not installed; not run: {line}");
            None
        }
        Err(error) => panic!("{line}: {error}"),
    }
}

/// Both streams of a tool that must succeed.
fn told(directory: &Path, line: &str) -> Option<String> {
    let output = tool(directory, line)?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{line}: {text}");
    Some(text)
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
    let parts = Unverified::decode(&bundle).unwrap().parts().clone();
    let (id, signature) = parts.signatures.iter().next().unwrap();
    fs::write(dir.join("pae"), bundle::to_sign(&parts.statement)).unwrap();
    fs::write(dir.join("sig"), signature).unwrap();
    let Some(text) = told(dir, "openssl dgst -sha256 -verify keys/public.pem -signature sig pae") else { return };
    assert!(text.contains("Verified OK"), "{text}");
    let text = told(dir, "openssl ec -in keys/private.pem -noout -text").unwrap();
    assert!(text.contains("prime256v1"), "{text}");
    told(dir, "openssl ec -in keys/private.pem -pubout -out again.pem").unwrap();
    assert_eq!(fs::read(dir.join("again.pem")).unwrap(), fs::read(dir.join("keys/public.pem")).unwrap());
    told(dir, "openssl pkey -pubin -in keys/public.pem -outform DER -out key.der").unwrap();
    let text = told(dir, "openssl dgst -sha256 -r key.der").unwrap();
    assert!(text.starts_with(&id.to_string()), "a key id is the SHA-256 of the key's DER: {text}");
}

#[test]
fn keys_of_openssl_are_taken() {
    let directory = project();
    let dir = directory.path();
    if told(dir, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem").is_none() {
        return;
    }
    told(dir, "openssl ec -in key.pem -pubout -out public.pem").unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "compile bpf.yaml --key key.pem --policy policy.yaml -o out");
    succeed(dir, "verify --trust trust.json out/99-worker-nodebpf-stream-netops-frag.yaml");
    told(dir, "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.pem").unwrap();
    let text = support::fail(dir, "compile bpf.yaml --key p384.pem -o no", 1);
    assert!(text.contains("NB0602") && text.contains("not ECDSA P-256"), "{text}");
    told(dir, "openssl ecparam -name prime256v1 -genkey -noout -out sec1.pem").unwrap();
    let text = support::fail(dir, "compile bpf.yaml --key sec1.pem -o no", 1);
    assert!(text.contains("NB0602") && text.contains("EC PRIVATE KEY"), "{text}");
    told(dir, "openssl pkcs8 -topk8 -nocrypt -in sec1.pem -out converted.pem").unwrap();
    succeed(dir, "compile bpf.yaml --key converted.pem -o converted");
}

#[test]
fn tar_lists_a_bundle() {
    let directory = project();
    let bundle = compiled(directory.path());
    fs::write(directory.path().join("x.bundle"), &bundle).unwrap();
    let Some(text) = told(directory.path(), "tar tvf x.bundle") else { return };
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
    let Some(text) = told(directory.path(), "gzip -dc x.gz") else { return };
    assert_eq!(text, "hello");
}

/// The real systemd judges our units in a root of their own, with the system's own targets.
#[test]
fn systemd_accepts_our_units() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o out");
    let config: serde_json::Value =
        serde_saphyr::from_slice(&fs::read(dir.join("out/99-worker-nodebpf.yaml")).unwrap()).unwrap();
    let units = config.pointer("/spec/config/systemd/units").unwrap().as_array().unwrap();
    assert_eq!(units.len(), 2);
    let root = dir.join("root");
    let place = root.join("etc/systemd/system");
    fs::create_dir_all(&place).unwrap();
    for unit in units {
        let (name, text) = (unit["name"].as_str().unwrap(), unit["contents"].as_str().unwrap());
        assert_eq!(unit.get("enabled").is_some(), text.contains("[Install]"), "{name}: `enabled` needs [Install]");
        fs::write(place.join(name), text).unwrap();
    }
    for program in ["usr/local/bin/nodebpf-loader", "usr/sbin/restorecon"] {
        let path = root.join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let library = root.join("usr/lib/systemd/system");
    fs::create_dir_all(&library).unwrap();
    for target in ["basic", "sysinit", "shutdown", "kubelet-dependencies"] {
        fs::write(library.join(format!("{target}.target")), "[Unit]\nDescription=x\n").unwrap();
    }
    for slice in ["system.slice", "-.slice", "-.mount"] {
        fs::write(library.join(slice), "[Unit]\nDescription=x\n").unwrap();
    }
    let line =
        format!("systemd-analyze verify --man=no --root={} nodebpf.service nodebpf-apply.service", root.display());
    let Some(text) = told(dir, &line) else { return };
    assert!(!text.contains("nodebpf"), "systemd complains: {text}");

    // The judge is awake: a unit that is wrong is refused.
    let bad = fs::read_to_string(place.join("nodebpf.service")).unwrap().replace("Type=oneshot", "Type=sometimes");
    fs::write(place.join("nodebpf.service"), bad).unwrap();
    let output = tool(dir, &line).unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("sometimes"), "systemd did not look");
}

/// Warnings count: `ignition-validate` must say nothing.
#[test]
fn ignition_accepts_our_configs() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o out --format ignition");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o out --format ignition");
    for entry in fs::read_dir(dir.join("out")).unwrap().map(Result::unwrap) {
        let Some(text) = told(dir, &format!("ignition-validate {}", entry.path().display())) else { return };
        assert_eq!(text, "", "{}", entry.path().display());
        let (config, warnings) = ignition_config::Config::parse_slice(&fs::read(entry.path()).unwrap()).unwrap();
        assert!(matches!(config, ignition_config::Config::V3_2(_)) && warnings.is_empty(), "{warnings:?}");
    }
    // The judge is awake.
    fs::write(dir.join("bad.ign"), r#"{"ignition":{"version":"3.2.0"},"storage":{"files":[{"path":"etc/x"}]}}"#)
        .unwrap();
    assert!(!tool(dir, "ignition-validate bad.ign").unwrap().status.success(), "ignition-validate did not look");
}
