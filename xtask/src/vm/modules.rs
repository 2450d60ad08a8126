//! Choose kernel modules with what they depend on, and unpack them.
//!
//! In:  an unpacked kernel tree, names of modules.
//! Out: a folder with `lib/modules/<release>/`, plain `.ko` files and the indexes that `modprobe` reads.
//! May fail with: `depmod` failing, a module that cannot be unpacked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result};

use super::boot_image::Packing;
use crate::{
    files, run,
    setup::{Tool, path_of},
};

/// Indexes that the kernel's build made; `depmod` makes the others.
const BUILD_INDEXES: [&str; 3] = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];

/// Copies the modules called `names` with their dependencies from `tree` to `root`.
pub(super) fn select(tree: &Path, release: &str, names: &[&str], root: &Path) -> Result<()> {
    depmod(tree, release)?;
    let from = tree.join("lib/modules").join(release);
    let to = root.join("lib/modules").join(release);
    let dependencies = String::from_utf8(files::read(&from.join("modules.dep"))?).context("reading modules.dep")?;
    for module in closure(&dependencies, names) {
        let packed = files::read(&from.join(&module))?;
        let (plain, bytes) = unpack(&module, packed)?;
        let file = to.join(plain);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        files::write(&file, bytes)?;
    }
    fs::create_dir_all(&to)?;
    for index in BUILD_INDEXES {
        if from.join(index).exists() {
            fs::copy(from.join(index), to.join(index))?;
        }
    }
    depmod(root, release)
}

fn depmod(root: &Path, release: &str) -> Result<()> {
    run::capture(Command::new(path_of(Tool::Kmod)?).arg("-b").arg(root).arg(release)).map(drop)
}

/// The files of the modules called `names`, and of all that they need.
///
/// `modules.dep` has a line `FILE: FILE…` for each module, its dependencies resolved to the end.
fn closure(dependencies: &str, names: &[&str]) -> BTreeSet<String> {
    let lines: BTreeMap<String, &str> =
        dependencies.lines().filter_map(|line| line.split_once(':').map(|_| (name_of(line), line))).collect();
    let wanted = names.iter().filter_map(|name| lines.get(&name.replace('-', "_")));
    wanted.flat_map(|line| line.split([':', ' ']).filter(|file| !file.is_empty()).map(str::to_owned)).collect()
}

/// `kernel/drivers/net/veth.ko.xz: …` is `veth`; the kernel takes `-` and `_` for the same.
fn name_of(line: &str) -> String {
    let file = line.split(':').next().unwrap_or_default();
    let base = file.rsplit('/').next().unwrap_or_default();
    base.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// Name and bytes of a module without its packing.
fn unpack(module: &str, bytes: Vec<u8>) -> Result<(&str, Vec<u8>)> {
    let plain = module.find(".ko").map_or(module, |at| &module[..at + ".ko".len()]);
    match Packing::of(&bytes) {
        None => Ok((plain, bytes)),
        Some(packing) => {
            let unpacked = packing.unpack(&bytes);
            Ok((plain, unpacked.with_context(|| format!("unpacking module `{module}` ({packing:?})"))?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "\
kernel/net/openvswitch/openvswitch.ko.xz: kernel/net/nf_nat.ko.xz kernel/lib/libcrc32c.ko.xz
kernel/net/nf_nat.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/lib/libcrc32c.ko.xz:
kernel/net/8021q/8021q.ko:
kernel/drivers/net/some-driver.ko.zst:
";

    #[test]
    fn modules_come_with_what_they_need() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (
                "dependencies",
                &["openvswitch"],
                &["kernel/lib/libcrc32c.ko.xz", "kernel/net/nf_nat.ko.xz", "kernel/net/openvswitch/openvswitch.ko.xz"],
            ),
            ("none", &["8021q"], &["kernel/net/8021q/8021q.ko"]),
            ("dash and underscore", &["some_driver"], &["kernel/drivers/net/some-driver.ko.zst"]),
            ("absent", &["veth"], &[]),
        ];
        for (name, names, want) in cases {
            let got: Vec<String> = closure(DEPENDENCIES, names).into_iter().collect();
            assert_eq!(&got, want, "case: {name}");
        }
    }

    #[test]
    fn plain_modules_keep_their_bytes() {
        assert_eq!(unpack("a/b.ko", b"\x7fELF".to_vec()).unwrap(), ("a/b.ko", b"\x7fELF".to_vec()));
        assert!(unpack("a/b.ko.xz", b"\xfd7zXZ\0 damaged".to_vec()).is_err());
    }
}
