//! The real Ignition lays what we write into a folder, as a node's first boot does: right bytes, modes and units.
//!
//! It is Debian's package `ignition`, whose program is meant for an initramfs and lies outside PATH. Two of its stages
//! run: `fetch`, which reads the configs, and `files`, which writes. What differs from a node: there is no `SELinux`
//! policy, so a program that does nothing stands in for `setfiles`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};
use support::{ignition::lay, node_files, project, succeed};

fn config_of(path: &Path) -> Value {
    let document: Value = serde_saphyr::from_slice(&fs::read(path).unwrap()).unwrap();
    document.pointer("/spec/config").unwrap_or(&document).clone()
}

#[test]
fn ignition_lays_the_right_bytes_modes_and_units() {
    let directory = project();
    let dir = directory.path();
    fs::write(dir.join("loader"), support::executable(62, None, &support::noise(3000))).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o ign --format ignition");
    let mut paths: Vec<_> = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The policy of the cluster is no MachineConfig.
    paths.retain(|path| !path.ends_with(nodebpf::lower::disruption::FILE_NAME));
    paths.push(dir.join("ign/99-worker-nodebpf-stream-netops-frag.ign"));
    let configs: Vec<_> = paths.iter().map(|path| config_of(path)).collect();
    lay(&configs, dir).unwrap();

    let root = dir.join("root");
    let file = |path: &str| {
        let path = root.join(path);
        (fs::metadata(&path).unwrap().permissions().mode() & 0o7777, fs::read(path).unwrap())
    };
    assert_eq!(file("usr/local/bin/nodebpf-loader"), (0o755, fs::read(dir.join("loader")).unwrap()));
    assert_eq!(file("etc/nodebpf/trust.json"), (0o644, fs::read(dir.join("trust.json")).unwrap()));
    let bundle = node_files(&fs::read(paths.last().unwrap()).unwrap()).remove(0).1;
    assert_eq!(file("etc/nodebpf/bundles/netops-frag.bundle"), (0o644, bundle));
    let mut enabled = 0;
    for unit in configs.iter().filter_map(|config| config.pointer("/systemd/units")?.as_array()).flatten() {
        let name = unit["name"].as_str().unwrap();
        assert_eq!(file(&format!("etc/systemd/system/{name}")).1, unit["contents"].as_str().unwrap().as_bytes());
        enabled += usize::from(unit.get("enabled") == Some(&json!(true)));
    }
    let (_, preset) = file("etc/systemd/system-preset/20-ignition.preset");
    assert_eq!(String::from_utf8(preset).unwrap().matches("enable nodebpf").count(), enabled);
    assert!(enabled > 0, "no unit is enabled");
}

/// `verification.hash` is over the uncompressed bytes, and Ignition compares it: the operator never would.
#[test]
fn ignition_refuses_a_changed_file() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o out");
    let mut config = config_of(&dir.join("out/99-worker-nodebpf-stream-netops-frag.yaml"));
    let hash = config.pointer_mut("/storage/files/0/contents/verification/hash").unwrap();
    *hash = format!("sha512-{}", "0".repeat(128)).into();
    let log = lay(&[config], dir).unwrap_err();
    assert!(log.contains("hash verification failed"), "{log}");
}
