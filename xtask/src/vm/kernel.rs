//! Kernels: get one from Debian or from RPMs, and make it ready to boot.
//!
//! In:  a [`Choice`]; the package archive, on the first use only.
//! Out: a [`Kernel`] below `target/vm/kernels/`: an image, and the modules of [`MODULES`] unpacked.
//! May fail with: an unknown name, a download that fails, an RPM without a kernel.
//!
//! Nothing is installed. A folder is made under another name and renamed when it is whole, so what is there
//! is complete; it is named by what it was made from, so it is never stale.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{boot_image, modules};
use crate::{
    files, run,
    setup::{self, apt},
};

/// Modules that a guest may need; those that a kernel has built in, or lacks, are passed over.
///
/// They lie in the guest with their dependencies and are loaded on demand, as on a node.
pub(crate) const MODULES: &[&str] = &[
    "8021q",
    "act_bpf",
    "bonding",
    "bridge",
    "cls_bpf",
    "dummy",
    "macvlan",
    "openvswitch",
    "sch_ingress",
    "tun",
    "veth",
    "virtio_net",
    "vrf",
];

/// Raised when the way in which a kernel is prepared changes.
const LAYOUT: u32 = 1;

/// Debian kernels that are known by a short name.
const DEBIAN: &[(&str, &str)] = &[("6.12", "linux-image-6.12-cloud-amd64"), ("6.1", "linux-image-cloud-amd64")];

/// A kernel that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// One of [`DEBIAN`].
    Debian { name: &'static str, package: &'static str },
    /// RPMs that together hold one kernel: kernel-core, kernel-modules-core, kernel-modules.
    Rpms { release: String, files: Vec<PathBuf> },
}

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// Short name for tables: `6.12`, or the release of an RPM.
    pub(crate) name: String,
    /// What `uname -r` will say.
    pub(crate) release: String,
    /// What QEMU starts.
    pub(crate) image: PathBuf,
    /// A folder that holds `lib/modules/<release>`.
    pub(crate) modules: PathBuf,
}

/// What a finished folder says about itself.
#[derive(Serialize, Deserialize)]
struct About {
    release: String,
}

const ABOUT: &str = "kernel.json";
const IMAGE: &str = "image";

impl Choice {
    /// The kernel with this short name.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let known: Vec<&str> = DEBIAN.iter().map(|(name, _)| *name).collect();
        let row = DEBIAN.iter().find(|(known, _)| *known == name);
        let (name, package) =
            row.with_context(|| format!("kernel `{name}` is not known; known: {}", known.join(", ")))?;
        Ok(Self::Debian { name, package })
    }

    /// All kernels with a short name, the newest first.
    pub(crate) fn all() -> Vec<Self> {
        DEBIAN.iter().map(|(name, package)| Self::Debian { name, package }).collect()
    }

    /// Sorts RPMs into kernels, by the release that is in them.
    pub(crate) fn of_rpms(rpms: &[PathBuf]) -> Result<Vec<Self>> {
        let mut kernels: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for rpm in rpms {
            ensure!(rpm.is_file(), "`{}` is not a file", rpm.display());
            let list = run::capture(Command::new("bsdtar").arg("-tf").arg(rpm))?;
            let list = String::from_utf8_lossy(&list.stdout).into_owned();
            let Some(release) = release_in(&list) else {
                bail!("`{}` holds no lib/modules/<release>; kernel-core and kernel-modules-core do", rpm.display());
            };
            kernels.entry(release.to_owned()).or_default().push(rpm.clone());
        }
        Ok(kernels.into_iter().map(|(release, files)| Self::Rpms { release, files }).collect())
    }

    fn name(&self) -> String {
        match self {
            Self::Debian { name, .. } => (*name).to_owned(),
            Self::Rpms { release, .. } => release.clone(),
        }
    }

    /// Everything that a prepared kernel depends on.
    fn key(&self) -> Result<String> {
        let mut text = format!("layout {LAYOUT}\nmodules {MODULES:?}\n");
        match self {
            Self::Debian { package, .. } => text.push_str(package),
            Self::Rpms { files, .. } => {
                for file in files {
                    text.push_str(&files::digest(file)?);
                }
            }
        }
        Ok(files::digest_of(&text)[..12].to_owned())
    }
}

/// Gets a kernel ready; with `refresh`, Debian is asked for the newest again.
pub(crate) fn obtain(choice: &Choice, refresh: bool) -> Result<Kernel> {
    let _lock = files::lock(&format!("kernel-{}", choice.name()))?;
    let home = run::root().join("target/vm/kernels");
    let folder = home.join(format!("{}-{}", choice.name(), choice.key()?));
    if refresh && matches!(choice, Choice::Debian { .. }) {
        files::remove_folder(&folder)?;
    }
    if !folder.exists() {
        let work = home.join(format!("{}.unfinished", choice.name()));
        files::empty_folder(&work)?;
        let made = make(choice, &work);
        if made.is_ok() {
            files::replace_folder(&work, &folder)?;
        }
        files::remove_folder(&work)?;
        made.with_context(|| format!("preparing kernel `{}`", choice.name()))?;
    }
    let about: About = serde_json::from_slice(&files::read(&folder.join(ABOUT))?)
        .with_context(|| format!("reading `{ABOUT}` in `{}`; remove that folder and try again", folder.display()))?;
    Ok(Kernel { name: choice.name(), release: about.release, image: folder.join(IMAGE), modules: folder.join("root") })
}

/// Fills `work` with a prepared kernel.
fn make(choice: &Choice, work: &Path) -> Result<()> {
    let tree = work.join("tree");
    fs::create_dir_all(&tree)?;
    match choice {
        Choice::Debian { name, package } => unpack_debian(name, package, work, &tree)?,
        Choice::Rpms { files, .. } => {
            for file in files {
                run::check(Command::new("bsdtar").arg("-xf").arg(file).arg("-C").arg(&tree))?;
            }
        }
    }
    // Newer systems keep modules below /usr/lib only; depmod and the guest look in /lib.
    if !tree.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", tree.join("lib"))?;
    }
    let (release, vmlinuz) = find_image(&tree)?;
    let packed = files::read(&vmlinuz)?;
    // Without CONFIG_PVH QEMU cannot start the ELF file.
    let elf = if has_pvh(&tree, &release) { boot_image::vmlinux(&packed) } else { None };
    if elf.is_none() {
        eprintln!("kernel {release}: no directly bootable image inside; booting the packed one, which takes longer");
    }
    files::write(&work.join(IMAGE), elf.unwrap_or(packed))?;
    modules::select(&tree, &release, MODULES, &work.join("root"))?;
    files::write(&work.join(ABOUT), serde_json::to_vec(&About { release })?)?;
    files::remove_folder(&tree)
}

/// Downloads the package behind a metapackage and unpacks it into `tree`.
fn unpack_debian(name: &str, package: &str, work: &Path, tree: &Path) -> Result<()> {
    let versioned = match depends(package) {
        Ok(found) => found,
        Err(_) => apt::update().and_then(|()| depends(package))?,
    };
    let is_wanted = versioned
        .strip_prefix("linux-image-")
        .is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', '-', '+'])));
    ensure!(is_wanted, "`{package}` is `{versioned}` on this machine, not {name}; Debian 12 has {name}");
    eprintln!("downloading {versioned}");
    let folder = work.join("download");
    fs::create_dir_all(&folder)?;
    for deb in apt::download(&[&versioned], &folder)? {
        apt::unpack(&deb, tree)?;
    }
    files::remove_folder(&folder)
}

/// The kernel package that a metapackage depends on.
fn depends(package: &str) -> Result<String> {
    let output = run::capture(Command::new("apt-cache").args(["depends", package]))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let rest = found.with_context(|| format!("`{package}` depends on no linux-image package"))?;
    Ok(format!("linux-image-{rest}"))
}

/// The release that an archive listing is about: the folder below `lib/modules/`.
fn release_in(list: &str) -> Option<&str> {
    list.lines().find_map(|line| {
        let (_, rest) = line.split_once("lib/modules/")?;
        let release = rest.split('/').next()?;
        (!release.is_empty()).then_some(release)
    })
}

/// Release and packed image of the kernel in an unpacked tree.
fn find_image(tree: &Path) -> Result<(String, PathBuf)> {
    let mut found = Vec::new();
    for folder in setup::children(&tree.join("lib/modules")) {
        let Some(release) = folder.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let places = [folder.join("vmlinuz"), tree.join("boot").join(format!("vmlinuz-{release}"))];
        if let Some(image) = places.into_iter().find(|place| place.is_file()) {
            found.push((release, image));
        }
    }
    match found.len() {
        0 => bail!("no vmlinuz in it; of the RPMs of a kernel, kernel-core has it"),
        1 => Ok(found.remove(0)),
        count => bail!("{count} kernels in it; one at a time must be given"),
    }
}

fn has_pvh(tree: &Path, release: &str) -> bool {
    let places =
        [tree.join("boot").join(format!("config-{release}")), tree.join("lib/modules").join(release).join("config")];
    places.iter().filter_map(|place| fs::read_to_string(place).ok()).any(|text| text.contains("CONFIG_PVH=y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_known_by_short_names() {
        assert!(matches!(Choice::named("6.1"), Ok(Choice::Debian { name: "6.1", .. })));
        let error = Choice::named("6.13").unwrap_err().to_string();
        assert_eq!(error, "kernel `6.13` is not known; known: 6.12, 6.1");
    }

    #[test]
    fn the_release_is_read_off_an_archive_listing() {
        let cases = [
            ("rpm", "./lib/modules/5.14.0-503.el9.x86_64/vmlinuz\n", Some("5.14.0-503.el9.x86_64")),
            ("usr", "./usr/lib/modules/6.12.0/kernel/a.ko\n", Some("6.12.0")),
            ("folder first", "./lib/modules/\n./lib/modules/6.1/x\n", Some("6.1")),
            ("nothing", "./usr/share/doc/kernel\n", None),
        ];
        for (name, list, want) in cases {
            assert_eq!(release_in(list), want, "case: {name}");
        }
    }
}
