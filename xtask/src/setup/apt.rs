//! Debian packages: install them, or unpack one privately where installing would harm.
//!
//! In:  package names; the package lists of the machine.
//! Out: packages installed, or unpacked below `target/tools/`.
//! May fail with: no apt-get, no right to install, an install that would remove other packages.
//!
//! Nothing that a user installed is ever removed or replaced by an older version: `--no-remove`, no `--allow-…`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::find_program;
use crate::{files, run};

/// Installs `packages`, refreshing the package lists first.
///
/// `unpackable` may be unpacked below `target/tools/` instead, when installing it would remove something.
pub(super) fn install(packages: &[&str], unpackable: &[&str]) -> Result<()> {
    let line = format!("apt-get update && apt-get install -y --no-install-recommends {}", packages.join(" "));
    if find_program("apt-get").is_none() {
        bail!("no apt-get here; install what these Debian packages hold: {}", packages.join(" "));
    }
    let Some(prefix) = privilege() else {
        bail!("no right to install packages; type this as root: {line}");
    };
    eprintln!("installing: {}", packages.join(" "));
    run::check(&mut apt_get(&prefix, &["update"])).with_context(|| format!("by hand, as root: {line}"))?;
    let (install, unpack) = split(packages, unpackable)?;
    for package in unpack {
        eprintln!("`{package}` would remove installed packages: unpacking it below target/tools/ instead");
        unpack_privately(package)?;
    }
    if install.is_empty() {
        return Ok(());
    }
    let mut words = vec!["install", "-y", "--no-install-recommends", "--no-remove"];
    words.extend(install);
    run::check(&mut apt_get(&prefix, &words)).with_context(|| format!("installing; by hand, as root: {line}"))
}

/// Refreshes the package lists, as far as this user may.
pub(crate) fn update() -> Result<()> {
    let Some(prefix) = privilege() else {
        bail!("no right to refresh the package lists; type as root: apt-get update")
    };
    run::check(&mut apt_get(&prefix, &["update"]))
}

/// Downloads packages into `folder`, which holds nothing else, and returns the files.
///
/// Needs no privilege. Stale lists are refreshed once.
pub(crate) fn download(packages: &[&str], folder: &Path) -> Result<Vec<PathBuf>> {
    let fetch = || run::capture(plain_apt_get(&["download"]).args(packages).current_dir(folder));
    if fetch().is_err() {
        update()?;
        fetch().with_context(|| format!("by hand: apt-get download {}", packages.join(" ")))?;
    }
    let files = super::children(folder);
    ensure!(files.len() == packages.len(), "apt-get download left {} files of {}", files.len(), packages.len());
    Ok(files)
}

/// Unpacks a package file into `folder`, running none of its scripts.
pub(crate) fn unpack(deb: &Path, folder: &Path) -> Result<()> {
    run::check(Command::new("dpkg-deb").arg("-x").arg(deb).arg(folder))
}

/// Folder of a privately unpacked package, whether it is there or not.
pub(super) fn private_root(package: &str) -> PathBuf {
    run::root().join("target/tools").join(package)
}

/// Parts `packages` into those to install and those to unpack. An error names what would be removed.
fn split<'a>(packages: &[&'a str], unpackable: &[&str]) -> Result<(Vec<&'a str>, Vec<&'a str>)> {
    if actions("Remv", packages)?.is_empty() {
        return Ok((packages.to_vec(), Vec::new()));
    }
    let (unpack, install): (Vec<&str>, Vec<&str>) = packages.iter().partition(|name| unpackable.contains(name));
    let removed = if install.is_empty() { Vec::new() } else { actions("Remv", &install)? };
    if !removed.is_empty() {
        bail!(
            "installing would remove {}; if that is all right, type as root: \
             apt-get install --no-install-recommends {}",
            removed.join(" "),
            install.join(" ")
        );
    }
    Ok((install, unpack))
}

/// What a simulated install would do: the packages of the lines that start with `action`.
fn actions(action: &str, packages: &[&str]) -> Result<Vec<String>> {
    let mut command = plain_apt_get(&["--simulate", "install", "--no-install-recommends"]);
    let output = run::capture(command.args(packages))?;
    Ok(parse_actions(&String::from_utf8_lossy(&output.stdout), action))
}

fn parse_actions(simulation: &str, action: &str) -> Vec<String> {
    let words = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some(action)).then(|| words.next().map(str::to_owned)).flatten()
    };
    simulation.lines().filter_map(words).collect()
}

/// Unpacks `package` and what it needs beyond the installed packages, whole or not at all.
fn unpack_privately(package: &str) -> Result<()> {
    let root = private_root(package);
    let work = root.with_extension("unfinished");
    let debs = work.with_extension("debs");
    for folder in [&work, &debs] {
        files::empty_folder(folder)?;
    }
    let names = actions("Inst", &[package])?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for deb in download(&names, &debs)? {
        unpack(&deb, &work)?;
    }
    files::remove_folder(&debs)?;
    files::replace_folder(&work, &root)
}

/// What to put before a command that needs root: nothing for root, `sudo -n` where it asks no password.
fn privilege() -> Option<Vec<OsString>> {
    if files::is_root() {
        return Some(Vec::new());
    }
    let mut probe = Command::new("sudo");
    probe.args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null());
    let works = probe.status().is_ok_and(|status| status.success());
    works.then(|| ["sudo", "-n"].map(OsString::from).to_vec())
}

fn apt_get(prefix: &[OsString], arguments: &[&str]) -> Command {
    let mut words = prefix.to_vec();
    // Nobody is there to answer questions; a lock held by another apt is waited for.
    words.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"].map(OsString::from));
    words.extend(["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"].map(OsString::from));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn plain_apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Downloading as root into a folder of root: the sandbox user of apt has no business there.
    command.args(["-q", "-o", "APT::Sandbox::User=root"]).args(arguments).stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIMULATION: &str = "\
Reading package lists...
Remv qemu-utils [1:10.0.2]
Inst libfdt1 (1.6.1-4 Debian:12 [amd64])
Inst qemu-system-x86 [1:7.1] (1:7.2 Debian:12 [amd64])
Conf libfdt1 (1.6.1-4 Debian:12 [amd64])
";

    #[test]
    fn a_simulation_tells_what_comes_and_what_goes() {
        assert_eq!(parse_actions(SIMULATION, "Remv"), ["qemu-utils"]);
        assert_eq!(parse_actions(SIMULATION, "Inst"), ["libfdt1", "qemu-system-x86"]);
        assert_eq!(parse_actions("", "Inst"), Vec::<String>::new());
    }
}
