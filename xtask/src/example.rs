//! The shipped example, made by the commands that a user types, and laid into a node's root by the real Ignition.
//!
//! In:  `examples/drop-frag-needed`, the two binaries of [`dist`].
//! Out: `target/example/` with keys, trust file and MachineConfigs; a root folder for a guest.
//! May fail with: what the commands say.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{dist::Dist, files, run, setup::children, vm::ignition};

const EXAMPLE: &str = "examples/drop-frag-needed";
const INPUTS: [&str; 3] = ["bpf.yaml", "policy.yaml", "drop_frag_needed.bpf.o"];

/// Where the example is compiled: beside nothing else, so that keys never lie in the source tree.
fn work() -> PathBuf {
    run::root().join("target/example")
}

/// Runs the README's commands, calling `before` with each.
pub(crate) fn compile(dist: &Dist, before: &dyn Fn(&str)) -> Result<PathBuf> {
    let work = work();
    files::empty_folder(&work)?;
    for input in INPUTS {
        let from = run::root().join(EXAMPLE).join(input);
        std::fs::copy(&from, work.join(input)).with_context(|| format!("copying `{}`", from.display()))?;
    }
    for line in [
        "keygen -o keys",
        "trust build policy.yaml -o trust.json",
        "compile bpf.yaml --key keys/private.pem -o out",
        "install --pool worker --trust trust.json -o out",
    ] {
        before(line);
        run::check(Command::new(&dist.compiler).args(line.split(' ')).current_dir(&work))?;
    }
    Ok(work.join("out"))
}

/// Lays the MachineConfigs in `folder` into `root`, as a node's first boot does.
pub(crate) fn lay(folder: &Path, root: &Path) -> Result<()> {
    // What is not named 99-… is for the cluster, not for nodes.
    let for_nodes = |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("99-"));
    let files = children(folder).into_iter().filter(for_nodes);
    let configs = files.map(|file| ignition::config_of(&file)).collect::<Result<Vec<_>>>()?;
    ignition::lay(&configs, root).with_context(|| format!("laying `{}`", folder.display()))
}
