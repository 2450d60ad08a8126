//! Writing files: all or none, never half.
//!
//! In:   a directory and files. Out: the files, flushed to disk, or an error and the directory as it was. Who kills it in
//! the moment in which the names change finds some of the new files, each whole. A link at a file's place stays one: what it
//! leads to is written.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    fs::{self, File, OpenOptions},
    hash::BuildHasher as _,
    io::Write as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use anyhow::{Context as _, bail};

use crate::{
    emit::{OutputFile, delivery::Written},
    lower::tree::Node,
};

/// What was made so far; dropping it before [`Undo::keep`] takes everything back.
#[derive(Default)]
struct Undo {
    /// New directories, outermost first.
    directories: Vec<PathBuf>,
    /// Temporary files and files that were not there before.
    files: Vec<PathBuf>,
    /// Replaced files: (copy of the old one, its place).
    replaced: Vec<(PathBuf, PathBuf)>,
}

impl Undo {
    fn keep(mut self) {
        self.replaced.drain(..).for_each(|(copy, _)| drop(fs::remove_file(copy)));
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // Best effort: the error that led here is the one to report.
        for (copy, place) in self.replaced.drain(..).rev() {
            let _ = fs::rename(copy, place);
        }
        for file in self.files.drain(..) {
            let _ = fs::remove_file(file);
        }
        for directory in self.directories.drain(..).rev() {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Writes all of `files` into `directory`, which is made if it is missing. Existing files are replaced atomically.
pub(super) fn all_or_none(directory: &Path, files: &[OutputFile]) -> anyhow::Result<()> {
    let things = files.iter().map(|file| (file.name.as_str(), Thing::Data(&file.bytes))).collect::<Vec<_>>();
    all(directory, &things)
}

/// Writes files and trees, all or none.
pub(super) fn delivery(directory: &Path, written: &Written) -> anyhow::Result<()> {
    let files = written.files.iter().map(|file| (file.name.as_str(), Thing::Data(&file.bytes)));
    let entries = written.entries.iter().map(|entry| {
        let thing = match &entry.node {
            Node::File { mode, bytes } => Thing::Exact(bytes, *mode),
            Node::Link { target } => Thing::Link(target),
        };
        (entry.path.as_str(), thing)
    });
    all(directory, &files.chain(entries).collect::<Vec<_>>())
}

/// What is put at a place.
#[derive(Clone, Copy)]
enum Thing<'a> {
    /// A file with the mode that the user's umask gives.
    Data(&'a [u8]),
    /// A file with exactly this mode.
    Exact(&'a [u8], u32),
    /// A symbolic link.
    Link(&'a str),
}

fn all(directory: &Path, things: &[(&str, Thing)]) -> anyhow::Result<()> {
    let mut undo = Undo::default();
    make_directory(directory, &mut undo)?;
    let (mut pending, mut folders) = (Vec::new(), BTreeSet::from([directory.to_path_buf()]));
    for (name, thing) in things {
        let mut place = directory.join(name);
        if matches!(thing, Thing::Data(_)) && place.is_symlink() {
            place = fs::canonicalize(&place).with_context(|| format!("following the link `{}`", place.display()))?;
        }
        if place.is_dir() {
            bail!("`{}` is a directory, and a file is to be written there; move it away", place.display());
        }
        let folder = place.parent().unwrap_or(directory);
        if folders.insert(folder.to_path_buf()) && matches!(thing, Thing::Exact(..) | Thing::Link(_)) {
            make_directory(folder, &mut undo)?;
        }
        let temporary = folder.join(temporary_name(&file_name(&place), "new"));
        match thing {
            Thing::Data(bytes) => write_new(&temporary, bytes, 0o666, &mut undo)?,
            Thing::Exact(bytes, mode) => {
                write_new(&temporary, bytes, *mode, &mut undo)?;
                set_mode(&temporary, *mode)?;
            }
            Thing::Link(target) => link_new(&temporary, target, &mut undo)?,
        }
        pending.push((temporary, place));
    }
    for (temporary, place) in pending {
        let context = || format!("writing `{}`", place.display());
        if place.symlink_metadata().is_ok() {
            let copy = place.with_file_name(temporary_name(&file_name(&place), "old"));
            fs::hard_link(&place, &copy).with_context(context)?;
            undo.replaced.push((copy, place.clone()));
        }
        fs::rename(&temporary, &place).with_context(context)?;
        undo.files.retain(|file| *file != temporary);
        if !undo.replaced.iter().any(|(_, replaced)| *replaced == place) {
            undo.files.push(place);
        }
    }
    for folder in &folders {
        sync_directory(folder)?;
    }
    undo.keep();
    Ok(())
}

/// What a tree says of a mode must hold whatever the umask: an image is built of it.
fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
        .with_context(|| format!("setting the mode of `{}`", path.display()))?;
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
}

#[cfg(unix)]
fn link_new(path: &Path, target: &str, undo: &mut Undo) -> anyhow::Result<()> {
    std::os::unix::fs::symlink(target, path).with_context(|| format!("making link `{}`", path.display()))?;
    undo.files.push(path.to_path_buf());
    Ok(())
}

#[cfg(not(unix))]
fn link_new(path: &Path, _target: &str, _undo: &mut Undo) -> anyhow::Result<()> {
    anyhow::bail!("making link `{}`: a tree needs a system with symbolic links", path.display())
}

/// Replaces or makes one file.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    all_or_none(directory, &[OutputFile { name: file_name(path), bytes: bytes.to_vec() }])
}

/// Makes files that must not exist yet, each with its permission bits: key pairs.
pub(super) fn new_files(directory: &Path, files: &[(&str, &[u8], u32)]) -> anyhow::Result<()> {
    let mut undo = Undo::default();
    make_directory(directory, &mut undo)?;
    let mut pending = Vec::new();
    for (name, bytes, mode) in files {
        let temporary = directory.join(temporary_name(name, "new"));
        write_new(&temporary, bytes, *mode, &mut undo)?;
        pending.push((temporary, directory.join(name)));
    }
    for (temporary, place) in pending {
        // A link, not a rename: it fails where a file is.
        fs::hard_link(&temporary, &place).with_context(|| format!("making `{}`", place.display()))?;
        undo.files.push(place);
    }
    sync_directory(directory)?;
    undo.files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".nodebpf-")));
    let temporaries = std::mem::take(&mut undo.files);
    undo.keep();
    for file in &temporaries {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Another one in each process: numbers of processes come again, in containers at once, and what a killed run left must
/// not be in the way.
fn temporary_name(name: &str, suffix: &str) -> String {
    static RUN: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    format!(".nodebpf-{name}.{:016x}.{suffix}", *RUN)
}

fn make_directory(directory: &Path, undo: &mut Undo) -> anyhow::Result<()> {
    if directory.is_file() {
        bail!("`{}` is a file; `-o` wants a directory", directory.display());
    }
    let missing: Vec<_> = directory
        .ancestors()
        .take_while(|ancestor| *ancestor != Path::new("") && ancestor.symlink_metadata().is_err())
        .collect();
    for ancestor in missing.into_iter().rev() {
        fs::create_dir(ancestor).with_context(|| format!("making directory `{}`", ancestor.display()))?;
        undo.directories.push(ancestor.to_path_buf());
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32, undo: &mut Undo) -> anyhow::Result<()> {
    let context = || format!("writing `{}`", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).with_context(context)?;
    undo.files.push(path.to_path_buf());
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(context)
}

fn sync_directory(directory: &Path) -> anyhow::Result<()> {
    if cfg!(unix) {
        File::open(directory)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("flushing `{}`", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> OutputFile {
        OutputFile { name: name.to_owned(), bytes: bytes.to_vec() }
    }

    fn listing(directory: &Path) -> Vec<(String, Vec<u8>)> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (file_name(&path), if path.is_dir() { vec![] } else { fs::read(&path).unwrap() }))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_written_and_replaced() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("a/b");
        all_or_none(&out, &[file("x", b"1"), file("y", b"2")]).unwrap();
        all_or_none(&out, &[file("y", b"3"), file("z", b"4")]).unwrap();
        let want = [("x", b"1"), ("y", b"3"), ("z", b"4")].map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
        assert_eq!(listing(&out), want);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_by_files_and_replaced_by_trees() {
        let root = tempfile::tempdir().unwrap();
        let (out, real) = (root.path().join("out"), root.path().join("real"));
        fs::create_dir(&out).unwrap();
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink("../real", out.join("x")).unwrap();
        all_or_none(&out, &[file("x", b"new")]).unwrap();
        assert!(out.join("x").is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert_eq!(listing(root.path()).len(), 2, "no temporary file is left");
        all(&out, &[("x", Thing::Exact(b"tree", 0o644))]).unwrap();
        assert_eq!((out.join("x").is_symlink(), fs::read(&real).unwrap()), (false, b"new".to_vec()));
        std::os::unix::fs::symlink("nowhere", out.join("y")).unwrap();
        assert!(all_or_none(&out, &[file("x", b"1"), file("y", b"2")]).is_err());
        assert_eq!(fs::read(out.join("x")).unwrap(), b"tree");
    }

    #[test]
    fn names_of_temporary_files_do_not_come_again() {
        let name = temporary_name("x", "new");
        assert!(!name.contains(&format!(".{}.", std::process::id())), "{name}");
        assert_eq!(name, temporary_name("x", "new"), "one of a process is known to its undo");
    }

    /// The last file cannot be put in place: a directory is there.
    #[test]
    fn after_a_failure_everything_is_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("old"), b"kept").unwrap();
        fs::create_dir(root.path().join("taken")).unwrap();
        let before = listing(root.path());
        let files = [file("new", b"1"), file("old", b"2"), file("taken", b"3")];
        assert!(all_or_none(root.path(), &files).is_err());
        assert_eq!(listing(root.path()), before);
    }

    #[test]
    fn a_directory_that_was_made_in_vain_is_removed() {
        let root = tempfile::tempdir().unwrap();
        assert!(all_or_none(&root.path().join("a/b"), &[file("no/such", b"1")]).is_err());
        assert_eq!(listing(root.path()), []);
    }

    #[test]
    fn new_files_never_replace() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("public"), b"kept").unwrap();
        let before = listing(root.path());
        assert!(new_files(root.path(), &[("private", b"1", 0o600), ("public", b"2", 0o644)]).is_err());
        assert_eq!(listing(root.path()), before);
        new_files(root.path(), &[("private", b"1", 0o600)]).unwrap();
        assert_eq!(listing(root.path()).len(), 2);
    }
}
