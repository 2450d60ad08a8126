//! What lies in the directory that is written to: what would be replaced unseen, or would go on living beside what is new.
//!
//! In:   the directory and what is to be written. Out: nothing but diagnostics.
//! May fail with: NB0520 (a kustomization that must stay), NB0521 (objects of an earlier run), I/O.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context as _;
use nodeplan::name::PoolName;

use super::{io, session::Session};
use crate::{
    emit::{OutputFile, delivery::Written},
    lower::{install, kustomize},
    yaml::parse::TEXT_MAX_BYTES,
};

/// Reports a kustomization in `directory` that must not be replaced, by whichever of its names.
pub(super) fn kustomization(directory: &Path, written: &Written, session: &mut Session) -> anyhow::Result<()> {
    if written.files.iter().all(|file| file.name != kustomize::FILE_NAME) {
        return Ok(());
    }
    for name in kustomize::NAMES {
        if let Some(found) = io::read_if_present(&directory.join(name), TEXT_MAX_BYTES)? {
            let directory = directory.display().to_string();
            session.diags.extend(kustomize::refuse(name, &found, &written.files, &directory));
        }
    }
    Ok(())
}

/// Reports parts of an installation in `directory` that an earlier `install` for the same pools has left.
pub(super) fn installation(
    directory: &Path,
    pools: &[PoolName],
    files: &[OutputFile],
    session: &mut Session,
) -> anyhow::Result<()> {
    let context = || format!("reading `{}`", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        entries => entries.with_context(context)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.with_context(context)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    session.diags.extend(install::stale(&names, pools, files, &directory.display().to_string()));
    Ok(())
}
