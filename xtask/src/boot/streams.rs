//! The streams of the boot test, made by the commands that a user types.
//!
//! In:  `tests/boot/streams/`, the binaries of [`crate::dist`]. Out: a root with what a node has at its first boot, and
//! bundles that come later, sound and damaged.
//! May fail with: what the commands say.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{dist::Dist, files, run, setup::children, vm::ignition};

/// Streams that a node has at its first boot.
const FIRST: [&str; 7] = ["early", "uplink", "bond", "open", "guard", "patch", "fixed"];

/// Revisions of `bt-churn` that nodes accept, and damaged ones.
const GOOD: u32 = 15;
const BAD: u32 = 5;

/// What the boot test needs.
pub(crate) struct Streams {
    /// A node's files, laid by Ignition.
    pub(crate) root: PathBuf,
    /// Bundles by name.
    pub(crate) bundles: PathBuf,
    /// A trust file that requires a stream.
    pub(crate) required: PathBuf,
}

/// Compiles, signs, lays.
pub(crate) fn compile(dist: &Dist, work: &Path) -> Result<Streams> {
    files::empty_folder(work)?;
    for file in children(&run::root().join("tests/boot/streams")) {
        fs::copy(&file, work.join(file.file_name().context("invariant: listed")?))?;
    }
    for object in ["xdp_pass.bpf.o", "hooks.bpf.o"] {
        fs::copy(run::root().join("bpf/prebuilt").join(object), work.join(object))?;
    }
    let nodebpf =
        |line: &str| run::capture(Command::new(&dist.compiler).args(line.split(' ')).current_dir(work)).map(drop);
    nodebpf("keygen -o keys")?;
    nodebpf("trust build policy.yaml -o trust.json")?;
    nodebpf("trust build policy-required.yaml -o required.json")?;
    let loader = dist.loader.display();
    nodebpf(&format!("install --pool worker --trust trust.json --loader {loader} -o out --format ignition"))?;
    let bundles = work.join("bundles");
    fs::create_dir(&bundles)?;
    for name in FIRST {
        nodebpf(&format!("compile {name}.yaml --key keys/private.pem -o out --format ignition,tree"))?;
        copy(work, &format!("bt-{name}"), &bundles.join(format!("{name}.bundle")))?;
    }
    for name in ["open", "guard"] {
        damage(&bundles.join(format!("{name}.bundle")), &bundles.join(format!("{name}-bad.bundle")))?;
    }
    let churn = fs::read_to_string(work.join("churn.yaml"))?;
    for revision in 1..=GOOD {
        files::write(&work.join("churn-now.yaml"), churn.replace("REVISION", &revision.to_string()))?;
        nodebpf("compile churn-now.yaml --key keys/private.pem -o churn --format tree")?;
        let from = work.join("churn/tree/worker/rootfs/etc/nodebpf/bundles/bt-churn.bundle");
        fs::copy(from, bundles.join(format!("churn-{revision}.bundle")))?;
    }
    for n in 1..=BAD {
        damage(&bundles.join(format!("churn-{n}.bundle")), &bundles.join(format!("churn-bad{n}.bundle")))?;
    }
    let root = work.join("root");
    let configs = children(&work.join("out"));
    let configs = configs.iter().filter(|file| file.extension().is_some_and(|end| end == "ign"));
    let configs = configs.map(|file| ignition::config_of(file)).collect::<Result<Vec<_>>>()?;
    ignition::lay(&configs, &root)?;
    Ok(Streams { root, bundles, required: work.join("required.json") })
}

fn copy(work: &Path, stream: &str, to: &Path) -> Result<()> {
    let from = work.join(format!("out/tree/worker/rootfs/etc/nodebpf/bundles/{stream}.bundle"));
    fs::copy(&from, to).with_context(|| format!("copying `{}`", from.display())).map(drop)
}

/// One bit of the object at its end is another one.
fn damage(from: &Path, to: &Path) -> Result<()> {
    let mut bytes = files::read(from)?;
    let at = bytes.iter().rposition(|byte| *byte != 0).context("a bundle has bytes")?;
    bytes[at] ^= 1;
    files::write(to, bytes)
}
