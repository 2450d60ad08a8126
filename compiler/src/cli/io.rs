//! Reading files and writing to stdout.
//!
//! In:   paths. Out: bytes, bounded before they are read.
//! May fail with: what the system says, with the path in front.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{
    resolve::{Files, ReadError},
    yaml::parse::TEXT_MAX_BYTES,
};

/// A text to compile: its name for messages, its bytes, and where its files are.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) directory: PathBuf,
}

/// Reads a manifest or policy; `-` is stdin. One byte more than allowed is read, so that the parser can refuse it.
pub(super) fn read_input(path: &Path) -> anyhow::Result<Input> {
    let max = TEXT_MAX_BYTES as u64 + 1;
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(max).read_to_end(&mut bytes).context("reading stdin")?;
        return Ok(Input { name: "<stdin>".to_owned(), bytes, directory: PathBuf::from(".") });
    }
    let context = || format!("reading `{}`", path.display());
    let file = fs::File::open(path).with_context(context)?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes).with_context(context)?;
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok(Input { name: path.display().to_string(), bytes, directory })
}

/// Reads a whole file of at most `max_bytes`.
pub(super) fn read_file(path: &Path, max_bytes: usize) -> anyhow::Result<Vec<u8>> {
    match read_bounded(path, max_bytes) {
        Ok(bytes) => Ok(bytes),
        Err(ReadError::Missing) => bail!("reading `{}`: does not exist", path.display()),
        Err(error) => bail!("reading `{}`: {error}", path.display()),
    }
}

/// Like [`read_file`]; `None` if there is no such file.
pub(super) fn read_if_present(path: &Path, max_bytes: usize) -> anyhow::Result<Option<Vec<u8>>> {
    match read_bounded(path, max_bytes) {
        Err(ReadError::Missing) => Ok(None),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => bail!("reading `{}`: {error}", path.display()),
    }
}

fn read_bounded(path: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    let system = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ReadError::Missing,
        _ => ReadError::System(error.to_string()),
    };
    // Asked before opening: opening a pipe would wait for a writer.
    let metadata = fs::metadata(path).map_err(system)?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile);
    }
    let too_large = |size| ReadError::TooLarge { size, max: max_bytes };
    if metadata.len() > max_bytes as u64 {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(system)?.take(max_bytes as u64 + 1).read_to_end(&mut bytes).map_err(system)?;
    if bytes.len() > max_bytes { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}

/// Files of a directory.
pub(super) struct DiskFiles {
    directory: PathBuf,
    confined: bool,
}

impl DiskFiles {
    /// Files below `directory`, links out of it refused.
    pub(super) fn below(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), confined: true }
    }

    /// Files by paths that start at `directory` and may lead anywhere: public keys of a policy.
    pub(super) fn from(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), confined: false }
    }
}

impl Files for DiskFiles {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let path = self.directory.join(path);
        if self.confined
            && let (Ok(directory), Ok(real)) = (self.directory.canonicalize(), path.canonicalize())
            && !real.starts_with(directory)
        {
            return Err(ReadError::Escapes);
        }
        read_bounded(&path, max_bytes)
    }

    fn beside(&self, path: &str) -> Vec<String> {
        let path = self.directory.join(path);
        let entries = path.parent().and_then(|directory| fs::read_dir(directory).ok());
        let names = entries.into_iter().flatten().take(BESIDE_MAX).flatten().map(|entry| entry.file_name());
        let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        // A directory has no order.
        names.sort();
        names
    }
}

/// Most names that are looked at for "did you mean".
const BESIDE_MAX: usize = 4096;

/// Writes a file that must not be there yet.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let context = || format!("writing `{}`", path.display());
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path).with_context(context)?;
    file.write_all(bytes).with_context(context)
}

/// Writes data to stdout. A reader that closed the pipe has seen enough.
pub(super) fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing to stdout"),
        _ => Ok(()),
    }
}
