//! Lay Ignition configs into a folder with Debian's real Ignition, as a node's first boot does.
//!
//! In:  Ignition configs, spec 3.2.0.
//! Out: the files, links, units and presets that they ask for, below a root folder.
//! May fail with: a config that Ignition refuses (its log is in the error), a MachineConfig without a config.
//!
//! Ignition merges the configs itself: a parent config names each of them by a `data:` URL, as the
//! pointer config of the Machine Config Operator does. Two stages run, `fetch` and `files`.
//!
//! What differs from a node: there is no `SELinux` policy here, so labels are not set. Ignition insists on running
//! `setfiles` with the policy named in `/etc/selinux/config`; it gets a file that names one, and `true` as `setfiles`.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use crate::{
    files,
    setup::{self, Tool, path_of},
};

/// Lines of Ignition's log that an error shows.
const LOG_LINES: usize = 12;

/// Ignition will not relabel without this file.
const SELINUX_CONFIG: &str = "etc/selinux/config";

/// The Ignition config in a file: a MachineConfig's (`.yaml`, `.yml`) or the file itself (any other ending).
pub(crate) fn config_of(file: &Path) -> Result<Value> {
    let bytes = files::read(file)?;
    let is_yaml = file.extension().is_some_and(|end| end == "yaml" || end == "yml");
    if !is_yaml {
        return serde_json::from_slice(&bytes).with_context(|| format!("reading `{}`", file.display()));
    }
    let machine_config: Value =
        serde_yaml::from_slice(&bytes).with_context(|| format!("reading `{}`", file.display()))?;
    match machine_config.pointer("/spec/config") {
        Some(config) => Ok(config.clone()),
        None => bail!("`{}` has no spec.config; a MachineConfig has one", file.display()),
    }
}

/// Lays `configs`, later ones over earlier ones, into the folder `root`, which is made empty first.
pub(crate) fn lay(configs: &[Value], root: &Path) -> Result<()> {
    setup::need(&[Tool::Ignition])?;
    files::empty_folder(root)?;
    let work = root.with_extension("ignition");
    files::empty_folder(&work)?;
    files::write(&work.join("parent.ign"), serde_json::to_vec(&parent(configs))?)?;
    symlink(setup::find_program("true").context("there is no program `true`")?, work.join("setfiles"))?;
    fs::create_dir_all(root.join("etc/selinux"))?;
    files::write(&root.join(SELINUX_CONFIG), "SELINUX=disabled\nSELINUXTYPE=targeted\n")?;
    let laid = stage("fetch", &work, root).and_then(|()| stage("files", &work, root));
    // What was only put there for Ignition goes again; folders that the configs filled stay.
    fs::remove_file(root.join(SELINUX_CONFIG))?;
    for folder in ["etc/selinux", "etc"] {
        let _ = fs::remove_dir(root.join(folder));
    }
    files::remove_folder(&work)?;
    laid
}

/// A config that asks Ignition to merge all of `configs`.
fn parent(configs: &[Value]) -> Value {
    let source = |config: &Value| {
        let text = Base64::encode_string(config.to_string().as_bytes());
        json!({ "source": format!("data:;base64,{text}") })
    };
    let merge: Vec<Value> = configs.iter().map(source).collect();
    json!({ "ignition": { "version": "3.2.0", "config": { "merge": merge } } })
}

fn stage(stage: &str, work: &Path, root: &Path) -> Result<()> {
    let mut path = vec![work.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let output = as_root(&path_of(Tool::Ignition)?)
        .args(["--platform", "file", "--stage", stage, "--log-to-stdout"])
        .arg("--root")
        .arg(root)
        .arg("--config-cache")
        .arg(work.join("cache.json"))
        .arg("--state-file")
        .arg(work.join("state.json"))
        .arg("--neednet")
        .arg(work.join("neednet"))
        .env("IGNITION_CONFIG_FILE", work.join("parent.ign"))
        .env("PATH", std::env::join_paths(path)?)
        .output()
        .context("starting Ignition")?;
    if output.status.success() {
        return Ok(());
    }
    bail!("ignition, stage {stage}: {}\n{}", output.status, log_tail(&String::from_utf8_lossy(&output.stdout)));
}

/// Ignition gives files to root. Whoever is not root is it in a user namespace of his own.
fn as_root(program: &Path) -> Command {
    if files::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.arg("--map-root-user").arg(program);
    command
}

/// The lines of Ignition's log that matter: neither the config that it prints at the end, nor complaints about
/// the absent journal.
fn log_tail(log: &str) -> String {
    let levels = ["INFO", "DEBUG", "NOTICE", "WARNING", "ERR", "CRITICAL", "ALERT", "EMERG"];
    let matters = |line: &&str| levels.iter().any(|level| line.starts_with(level)) && !line.contains("systemd journal");
    let lines: Vec<&str> = log.lines().filter(matters).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_config_carries_the_others_whole() {
        let parent = parent(&[json!({ "a": 1 }), json!({ "b": 2 })]);
        let source = parent.pointer("/ignition/config/merge/1/source").unwrap().as_str().unwrap();
        let text = source.strip_prefix("data:;base64,").unwrap();
        assert_eq!(Base64::decode_vec(text).unwrap(), br#"{"b":2}"#);
        assert_eq!(parent["ignition"]["version"], "3.2.0");
    }

    #[test]
    fn a_log_is_cut_to_what_matters() {
        let log = "INFO     : a\nINFO     : failed to log systemd journal entry: x\nCRITICAL : b\nFull config:\n{\n}\n";
        assert_eq!(log_tail(log), "INFO     : a\nCRITICAL : b");
    }
}
