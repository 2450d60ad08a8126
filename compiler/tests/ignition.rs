//! The real Ignition lays what we write into a folder, as a node's first boot does: right bytes, modes and units.
//!
//! It is Debian's package `ignition`, whose program is meant for an initramfs and lies outside PATH. Two of its stages
//! run: `fetch`, which reads the configs, and `files`, which writes. What differs from a node: there is no `SELinux`
//! policy, so a program that does nothing stands in for `setfiles`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};
use support::{node_files, project, succeed};

const IGNITION: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

/// Ignition gives files to root; whoever is not root is it in a user namespace.
fn as_root(program: &str) -> Command {
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg(program);
    command
}

/// Lays `configs`, later ones over earlier ones, below `work/root`; the log of a stage that fails.
fn lay(configs: &[Value], work: &Path) -> Result<(), String> {
    use base64ct::Encoding as _;
    assert!(Path::new(IGNITION).exists(), "no Ignition; type `cargo xtask setup`, or: apt-get install ignition");
    let root = work.join("root");
    fs::create_dir_all(root.join("etc/selinux")).unwrap();
    fs::write(root.join("etc/selinux/config"), "SELINUX=disabled\nSELINUXTYPE=targeted\n").unwrap();
    fs::create_dir(work.join("bin")).unwrap();
    symlink("/bin/true", work.join("bin/setfiles")).unwrap();
    let source = |config: &Value| {
        let text = base64ct::Base64::encode_string(config.to_string().as_bytes());
        json!({ "source": format!("data:;base64,{text}") })
    };
    let merge: Vec<_> = configs.iter().map(source).collect();
    let parent = json!({ "ignition": { "version": "3.2.0", "config": { "merge": merge } } });
    fs::write(work.join("parent.ign"), parent.to_string()).unwrap();
    let path = format!("{}:{}", work.join("bin").display(), std::env::var("PATH").unwrap());
    for stage in ["fetch", "files"] {
        let output = as_root(IGNITION)
            .args(["--platform", "file", "--stage", stage, "--log-to-stdout", "--root"])
            .arg(&root)
            .arg("--config-cache")
            .arg(work.join("cache.json"))
            .arg("--state-file")
            .arg(work.join("state.json"))
            .arg("--neednet")
            .arg(work.join("neednet"))
            .env("IGNITION_CONFIG_FILE", work.join("parent.ign"))
            .env("PATH", &path)
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(format!("stage {stage}: {}", String::from_utf8_lossy(&output.stdout)));
        }
    }
    Ok(())
}

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
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o out");
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o ign --format ignition");
    let mut paths: Vec<_> = fs::read_dir(dir.join("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
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
