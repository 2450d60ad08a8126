//! Read: files from disk, bounded, once, and only safe ones.
//!
//! In: a path and a limit. Out: bytes. A file is opened without following a link and everything is asked of the open
//! descriptor: regular, owned by root (or by us), not writable by group and others, not larger than the limit.
//! Fails with [`ReadError`].

use std::{
    fmt,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use nodeplan::report::{Code, Reason};

/// Why a file was not read.
#[derive(Debug)]
pub enum ReadError {
    /// Not there.
    Missing,
    /// The system said no.
    Io(io::Error),
    /// Others could have written it.
    Unsafe(&'static str),
    /// More bytes than allowed.
    TooLarge(usize),
}

impl ReadError {
    /// For the report.
    pub fn reason(&self, path: &Path) -> Reason {
        let code = match self {
            Self::Missing | Self::Io(_) | Self::TooLarge(_) => Code::Read,
            Self::Unsafe(_) => Code::UnsafeFile,
        };
        Reason { code, message: format!("{}: {self}", path.display()) }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::Io(error) => error.fmt(f),
            Self::Unsafe(why) => f.write_str(why),
            Self::TooLarge(max) => write!(f, "has more than {max} bytes"),
        }
    }
}

/// Reads a file that decides what runs in the kernel.
pub fn read(path: &Path, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(ReadError::Unsafe("is a symbolic link")),
        Err(error) => return Err(ReadError::Io(error)),
    };
    let metadata = file.metadata().map_err(ReadError::Io)?;
    if !metadata.is_file() {
        return Err(ReadError::Unsafe("is not a regular file"));
    }
    if metadata.uid() != 0 && metadata.uid() != effective_uid() {
        return Err(ReadError::Unsafe("does not belong to root"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(ReadError::Unsafe("is writable by group or others"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(ReadError::Io)?;
    if bytes.len() > max_bytes {
        return Err(ReadError::TooLarge(max_bytes));
    }
    Ok(bytes)
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// The user the loader runs as.
pub fn effective_uid() -> u32 {
    #[expect(unsafe_code, reason = "geteuid(2)")]
    // SAFETY: no arguments, cannot fail.
    unsafe {
        libc::geteuid()
    }
}

/// Writes a file of our own so that readers see the old one or the new one, also after a power failure.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        // Whatever the umask: a file that others may write would be refused when it is read.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    let result = write();
    result.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // The write already failed; what is left is a file that the next write truncates.
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn unsafe_files_are_refused() {
        let dir = std::env::temp_dir().join(format!("nodebpf-read-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let sound = dir.join("sound");
        fs::write(&sound, b"0123456789").unwrap();
        fs::set_permissions(&sound, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&sound, 10).unwrap(), b"0123456789");
        assert!(matches!(read(&sound, 9), Err(ReadError::TooLarge(9))));
        symlink(&sound, dir.join("link")).unwrap();
        assert!(matches!(read(&dir.join("link"), 10), Err(ReadError::Unsafe(_))));
        assert!(matches!(read(&dir, 10), Err(ReadError::Unsafe(_))));
        assert!(matches!(read(&dir.join("absent"), 10), Err(ReadError::Missing)));
        for mode in [0o664, 0o646] {
            fs::set_permissions(&sound, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&sound, 10), Err(ReadError::Unsafe(_))), "mode {mode:o}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
