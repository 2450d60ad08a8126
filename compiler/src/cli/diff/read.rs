//! One side of a comparison, from a file or a directory.
//!
//! In:   a path. Out: [`Side`].
//! May fail with: NB0540 (something that should be compared cannot be read or is not what would be applied), I/O.
//!
//! What is left out here would read like "nothing changes". So whatever could be an object and cannot be read is an error,
//! and so is a directory in which nothing is compiled output, unless it is empty.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    cli::{
        io,
        verify::{FILE_MAX_BYTES, is_carrier},
    },
    diag::{Code, Diagnostic, Diagnostics, visible},
    diff::{kustomization, side::Side},
    sign::carrier,
};

/// Reads a side.
pub(super) fn side(path: &Path, diags: &mut Diagnostics) -> anyhow::Result<Side> {
    let mut walk = Walk { root: path.to_owned(), side: Side::default(), files: 0, found: 0, diags };
    if path.is_dir() {
        let before = walk.diags.error_count();
        walk.directory(path)?;
        if walk.found == 0 && walk.files > 0 && walk.diags.error_count() == before {
            let why = format!("has {} files, and none of them is compiled output", walk.files);
            walk.refuse(path, &why, "name the directory with the compiled MachineConfigs, or an empty one");
        }
    } else {
        let bytes = io::read_file(path, FILE_MAX_BYTES)?;
        walk.add(path, &bytes, true);
    }
    Ok(walk.side)
}

struct Walk<'a> {
    root: PathBuf,
    side: Side,
    /// Files seen, but for hidden ones.
    files: usize,
    /// Files with something of ours, and lists of such files.
    found: usize,
    diags: &'a mut Diagnostics,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &Path) -> anyhow::Result<()> {
        let context = || format!("reading `{}`", directory.display());
        let entries = fs::read_dir(directory).with_context(context)?;
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(context)?;
        paths.sort();
        let is_list = |path: &PathBuf| kustomization::NAMES.iter().any(|name| path.file_name() == Some(name.as_ref()));
        if let Some(list) = paths.iter().find(|path| is_list(path)).cloned() {
            if paths.iter().filter(|path| is_list(path)).count() > 1 {
                self.refuse(&list, "has another kustomization beside it", "keep one of them");
            }
            paths.retain(|path| !is_list(path));
            return self.kustomization(&list, &paths);
        }
        for path in &paths {
            if path.file_name().is_none_or(|name| name != ".git") {
                self.entry(path)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> anyhow::Result<()> {
        let kind = fs::symlink_metadata(path).with_context(|| format!("reading `{}`", path.display()))?.file_type();
        if kind.is_dir() {
            return self.directory(path);
        }
        if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            self.files += 1;
        }
        if kind.is_symlink() {
            // Units are enabled by links in trees for images; what a link leads to is no object there.
            if is_carrier(path) || path.is_dir() || begins_as_bundle(path) {
                self.refuse(path, "is a link, and links are not followed", "put the file itself there");
            } else {
                let target = fs::read_link(path).with_context(|| format!("reading `{}`", path.display()))?;
                self.image(path, target.as_os_str().as_encoded_bytes());
            }
        } else if kind.is_file() {
            let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= FILE_MAX_BYTES as u64);
            if is_carrier(path) || small {
                let bytes = io::read_file(path, FILE_MAX_BYTES)?;
                let bundle = carrier::is_archive(&bytes) || path.extension().is_some_and(|end| end == "bundle");
                if bundle || (is_carrier(path) && !self.image(path, &bytes)) {
                    self.add(path, &bytes, false);
                } else if !is_carrier(path) {
                    self.image(path, &bytes);
                }
            }
        }
        Ok(())
    }

    /// What kustomize would apply, if that can be told; `beside` are the other entries of the directory.
    fn kustomization(&mut self, list: &Path, beside: &[PathBuf]) -> anyhow::Result<()> {
        let render = "kubectl kustomize DIR > new.yaml, and compare that";
        self.files += 1;
        if fs::symlink_metadata(list).is_ok_and(|metadata| metadata.is_symlink()) {
            self.refuse(list, "is a link, and links are not followed", "put the file itself there");
            return Ok(());
        }
        let listed = match kustomization::listed(&io::read_file(list, FILE_MAX_BYTES)?) {
            Ok(listed) => listed,
            Err(why) => {
                self.refuse(list, &why, render);
                return Ok(());
            }
        };
        self.found += 1;
        let directory = list.parent().unwrap_or(Path::new(""));
        for name in &listed {
            let path = directory.join(name);
            if !path.exists() {
                self.refuse(list, &format!("lists `{}`, which is not there", visible(name)), render);
            } else if path.is_dir() && !kustomization::NAMES.iter().any(|name| path.join(name).exists()) {
                self.refuse(list, &format!("lists `{}`, which has no kustomization.yaml", visible(name)), render);
            } else if path.is_dir() || is_carrier(&path) {
                self.entry(&path)?;
            } else {
                self.refuse(list, &format!("lists `{}`, which is no YAML or JSON by its name", visible(name)), render);
            }
        }
        let left_out = beside.iter().filter(|path| is_left_out(path, &listed)).count();
        if left_out > 0 {
            let name = visible(&list.display().to_string());
            self.side
                .notes
                .push(format!("`{name}` does not list {left_out} of the files beside it: they are not judged"));
        }
        Ok(())
    }

    /// Whether something is in the tree of an image; then it is taken.
    fn image(&mut self, path: &Path, content: &[u8]) -> bool {
        let taken = self.side.add_to_image(path.strip_prefix(&self.root).unwrap_or(path), content);
        self.found += usize::from(taken);
        taken
    }

    fn add(&mut self, path: &Path, bytes: &[u8], named: bool) {
        let relative = path.strip_prefix(&self.root).ok().filter(|relative| *relative != Path::new(""));
        match self.side.add(relative.unwrap_or(path), bytes, named) {
            Ok(found) => self.found += usize::from(found),
            Err(why) => {
                let help = "give compiled output: directories, MachineConfigs, Ignition configs or bundles";
                self.refuse(path, &why, help);
            }
        }
    }

    fn refuse(&mut self, path: &Path, why: &str, help: &str) {
        let name = visible(&path.display().to_string());
        self.diags.push(
            Diagnostic::error(Code::NotComparable, format!("`{name}` {why}"))
                .note("nothing is said of what cannot be read")
                .help(help),
        );
    }
}

/// Whether something that could be an object is not applied.
fn is_left_out(path: &Path, listed: &BTreeSet<String>) -> bool {
    let named = path.file_name().is_some_and(|name| listed.iter().any(|other| name == other.as_str()));
    !named && (is_carrier(path) || (path.is_dir() && path.file_name().is_some_and(|name| name != ".git")))
}

fn begins_as_bundle(path: &Path) -> bool {
    path.is_file() && io::read_file(path, FILE_MAX_BYTES).is_ok_and(|bytes| carrier::is_archive(&bytes))
}
