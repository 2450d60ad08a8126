//! The root file system of a guest: programs of this machine, modules of the kernel, and what a run adds.
//!
//! In:  installed programs with their libraries, a [`Kernel`], an [`Overlay`].
//! Out: one cpio archive.
//! May fail with: a program that is not installed, files that cannot be read.
//!
//! Made anew for each boot: it takes a fraction of a second, and what is not kept cannot be stale.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{cpio::Archive, kernel::Kernel};
use crate::{
    files, run,
    setup::{self, Tool, path_of},
};

/// Programs of this machine that a guest has, besides busybox.
const PROGRAMS: [Tool; 3] = [Tool::Bpftool, Tool::XdpTools, Tool::Iproute2];

/// More programs of the same packages.
const NEIGHBOURS: [&str; 1] = ["tc"];

/// Objects that xdp-loader loads at run time.
const XDP_OBJECTS: &str = "/usr/lib/*/bpf";

/// Folders that a guest expects to be there.
const FOLDERS: [&str; 13] = [
    "/dev",
    "/etc",
    "/guest",
    "/proc",
    "/root",
    "/run",
    "/sys",
    "/tmp",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/var/lib",
    "/var/log",
    "/objects",
];

const INIT: &str = include_str!("init.sh");

/// What one run adds to the root file system of its guest.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    archive: Archive,
    /// The first file that could not be read; it is told when the guest is to boot.
    problem: Option<anyhow::Error>,
}

impl Overlay {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a file or a whole folder of this machine at `path` of the guest, modes kept; an empty path is its root.
    ///
    /// Read at once, so that what changes afterwards does not matter. Later files replace earlier ones.
    #[must_use]
    pub(crate) fn with(mut self, host: impl AsRef<Path>, path: &str) -> Self {
        if let Err(error) = add(&mut self.archive, host.as_ref(), path.trim_end_matches('/')) {
            self.problem.get_or_insert(error);
        }
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub(crate) fn link(mut self, path: &str, target: &str) -> Self {
        if let Err(error) = self.archive.link(path, target) {
            self.problem.get_or_insert(error);
        }
        self
    }
}

/// An archive with nothing but `overlay` and the modules of `kernel`, for a root file system that is there already.
pub(crate) fn over(kernel: &Kernel, overlay: &Overlay) -> Result<Vec<u8>> {
    if let Some(problem) = &overlay.problem {
        bail!("{problem:#}");
    }
    let mut archive = Archive::default();
    // `/lib` is a link there; a folder of that name would replace it.
    let modules = format!("lib/modules/{}", kernel.release);
    add(&mut archive, &kernel.modules.join(&modules), &format!("/usr/{modules}"))?;
    archive.link("/init", "/usr/lib/systemd/systemd")?;
    archive.extend(&overlay.archive)?;
    archive.encode()
}

/// Makes the archive of one boot; `script` is the shell script that the guest runs.
pub(crate) fn build(kernel: &Kernel, overlay: &Overlay, script: &str) -> Result<Vec<u8>> {
    if let Some(problem) = &overlay.problem {
        bail!("{problem:#}");
    }
    let mut archive = Archive::default();
    for folder in FOLDERS {
        archive.folder(folder)?;
    }
    archive.file("/init", 0o755, INIT.as_bytes().to_vec())?;
    archive.file("/guest/run", 0o755, script.as_bytes().to_vec())?;
    add_programs(&mut archive)?;
    add_busybox(&mut archive)?;
    let modules = format!("/lib/modules/{}", kernel.release);
    add(&mut archive, &kernel.modules.join(&modules[1..]), &modules)?;
    archive.extend(&overlay.archive)?;
    archive.encode()
}

/// Adds the programs with their libraries, and what they open at run time.
fn add_programs(archive: &mut Archive) -> Result<()> {
    let mut programs = PROGRAMS.map(path_of).into_iter().collect::<Result<Vec<PathBuf>>>()?;
    programs.extend(NEIGHBOURS.iter().filter_map(|name| setup::find_program(name)));
    let mut libraries = BTreeSet::new();
    for program in &programs {
        let name = program.file_name().and_then(|name| name.to_str()).context("invariant: a program has a name")?;
        add(archive, program, &format!("/usr/sbin/{name}"))?;
        libraries.extend(libraries_of(program)?);
    }
    for library in libraries {
        add(archive, Path::new(&library), &library)?;
    }
    for folder in setup::glob(XDP_OBJECTS) {
        let path = folder.to_str().context("invariant: a system path is text")?.to_owned();
        add(archive, &folder, &path)?;
    }
    Ok(())
}

/// Adds busybox under the names of all that it can do, where no real program has the name.
fn add_busybox(archive: &mut Archive) -> Result<()> {
    let busybox = path_of(Tool::Busybox)?;
    add(archive, &busybox, "/bin/busybox")?;
    for library in libraries_of(&busybox)? {
        add(archive, Path::new(&library), &library)?;
    }
    let list = run::capture(Command::new(&busybox).arg("--list"))?;
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        if !archive.has(&format!("/usr/sbin/{applet}")) {
            archive.link(&format!("/bin/{applet}"), "busybox")?;
        }
    }
    // The kernel calls this path to load a module on demand.
    archive.link("/sbin/modprobe", "/bin/busybox")
}

/// Shared libraries of a program, loader included; none for a static one.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("starting ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        if complaint.contains("not a dynamic executable") || text.contains("not a dynamic executable") {
            return Ok(Vec::new());
        }
        bail!("ldd {}: {complaint}", program.display());
    }
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("`{}` misses a library: {}", program.display(), line.trim());
    }
    Ok(parse_ldd(&text))
}

/// Paths in the output of ldd: `libz.so.1 => /lib/…/libz.so.1 (0x…)` or `/lib64/ld-linux….so.2 (0x…)`.
fn parse_ldd(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let rest = line.split_once("=>").map_or(line, |(_, rest)| rest).trim();
        let path = rest.split(" (0x").next()?.trim();
        path.starts_with('/').then(|| path.to_owned())
    };
    text.lines().filter_map(path).collect()
}

/// Adds a file or folder of this machine. A link is followed; links inside a folder stay, as Ignition laid them.
fn add(archive: &mut Archive, host: &Path, path: &str) -> Result<()> {
    let meta = fs::metadata(host).with_context(|| format!("reading `{}`", host.display()))?;
    if !meta.is_dir() {
        return archive.file(path, meta.permissions().mode(), files::read(host)?);
    }
    if !path.is_empty() {
        archive.folder(path)?;
    }
    for child in setup::children(host) {
        let name = child.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("`{}` has a name that is not text", child.display()))?;
        let inner = format!("{path}/{name}");
        let meta = fs::symlink_metadata(&child).with_context(|| format!("reading `{}`", child.display()))?;
        if meta.is_symlink() {
            let target = fs::read_link(&child)?;
            archive.link(&inner, target.to_str().context("a link must lead to a path of text")?)?;
        } else {
            add(archive, &child, &inner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_libraries_and_the_loader() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibz.so.1 => /lib/x/libz.so.1 (0x00007f52)\n\t/lib64/ld.so.2 (0x00007f53)\n";
        assert_eq!(parse_ldd(text), ["/lib/x/libz.so.1", "/lib64/ld.so.2"]);
        assert!(parse_ldd("\tstatically linked\n").is_empty());
    }
}
