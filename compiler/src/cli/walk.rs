//! Walking a directory, and reading what lies in the tree of an image.
//!
//! In:   a directory. Out: the paths below it. May fail with: I/O.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    io,
    verify::{FILE_MAX_BYTES, shown_path},
};
use crate::{lower::tree::Node, sign::image};

/// What lies below a directory.
#[derive(Default)]
pub(super) struct Walked {
    /// Regular files.
    pub(super) files: Vec<PathBuf>,
    /// Symbolic links.
    pub(super) links: Vec<PathBuf>,
    /// How many of other kinds.
    pub(super) others: usize,
}

/// All below `directory`, sorted; links are not followed, `.git` is not looked into.
pub(super) fn walk(directory: &Path, walked: &mut Walked) -> anyhow::Result<()> {
    let context = || format!("reading `{}`", directory.display());
    let entries = fs::read_dir(directory).with_context(context)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(context)?;
    paths.sort();
    for path in paths {
        let kind = fs::symlink_metadata(&path).with_context(|| format!("reading `{}`", path.display()))?.file_type();
        if kind.is_dir() {
            if path.file_name().is_some_and(|name| name != ".git") {
                walk(&path, walked)?;
            }
        } else if kind.is_file() {
            walked.files.push(path);
        } else if kind.is_symlink() {
            walked.links.push(path);
        } else {
            walked.others += 1;
        }
    }
    Ok(())
}

/// Something in the tree of an image, read.
pub(super) fn entry(path: &Path, place: String, is_link: bool) -> anyhow::Result<image::Entry> {
    let node = if is_link {
        let target = fs::read_link(path).with_context(|| format!("reading link `{}`", path.display()))?;
        Node::Link { target: target.to_string_lossy().into_owned() }
    } else {
        Node::File { mode: mode(path)?, bytes: io::read_file(path, FILE_MAX_BYTES)? }
    };
    Ok(image::Entry { path: place, shown: shown_path(path), node })
}

#[cfg(unix)]
fn mode(path: &Path) -> anyhow::Result<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).with_context(|| format!("reading `{}`", path.display()))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> anyhow::Result<u32> {
    Ok(image::NO_MODE)
}
