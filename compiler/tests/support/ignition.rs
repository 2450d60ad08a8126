//! The real Ignition, run as on a first boot.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

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
pub(crate) fn lay(configs: &[Value], work: &Path) -> Result<(), String> {
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
