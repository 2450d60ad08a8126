//! Read: files from disk, bounded, once, and only safe ones; and the files of our own, written whole or not at all.
//!
//! In: a path and a limit. Out: bytes. A path is walked directory by directory, none of them by a link, and everything
//! is asked of the open descriptor: regular, owned by root (or by us), not writable by group and others, as is the
//! directory it lies in, and not larger than the limit. Fails with [`ReadError`].
//!
//! Walked by hand and not by `openat2(RESOLVE_NO_SYMLINKS)`: the one way that works under every kernel and seccomp
//! filter is also the only one that needs tests.

use std::{
    ffi::CString,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd},
        unix::{
            ffi::OsStrExt,
            fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        },
    },
    path::{Component, Path},
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
    let mut bytes = Vec::new();
    read_into(path, max_bytes, &mut bytes)?;
    Ok(bytes)
}

/// The same into a buffer that was used before: memory of files that nobody believes is taken once, and not freed.
pub fn read_into(path: &Path, max_bytes: usize, bytes: &mut Vec<u8>) -> Result<(), ReadError> {
    bytes.clear();
    let (dir, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
    let dir = walk(dir)?;
    check(&dir, true)?;
    // O_NONBLOCK: opening a pipe must not wait for its writer.
    let file = open_at(&dir, name.as_bytes(), libc::O_RDONLY | libc::O_NONBLOCK)?;
    check(&file, false)?;
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(bytes).map_err(ReadError::Io)?;
    if bytes.len() > max_bytes {
        return Err(ReadError::TooLarge(max_bytes));
    }
    Ok(())
}

/// Names in a directory, sorted.
pub fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Names in a directory that is reached without a link and that nobody but root could have filled, sorted.
pub fn list(path: &Path) -> Result<Vec<String>, ReadError> {
    let dir = walk(path)?;
    check(&dir, true)?;
    // The directory that was checked, whatever has taken its path meanwhile.
    names(Path::new(&format!("/proc/self/fd/{}", dir.as_raw_fd()))).map_err(ReadError::Io)
}

/// Opens a directory without following a link on the way.
fn walk(path: &Path) -> Result<File, ReadError> {
    let start = if path.is_absolute() { "/" } else { "." };
    let mut dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(start).map_err(ReadError::Io)?;
    for component in path.components() {
        if matches!(component, Component::RootDir | Component::CurDir) {
            continue;
        }
        dir = open_at(&dir, component.as_os_str().as_bytes(), libc::O_PATH | libc::O_DIRECTORY)?;
    }
    Ok(dir)
}

/// Opens what has this name in a directory, unless it is a link.
#[expect(unsafe_code, reason = "openat(2)")]
fn open_at(dir: &File, name: &[u8], flags: libc::c_int) -> Result<File, ReadError> {
    let name = CString::new(name).map_err(|_| ReadError::Missing)?;
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the descriptor is open and the name ends with NUL.
    let fd = unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags) };
    if fd >= 0 {
        // SAFETY: just opened, and ours alone.
        return Ok(unsafe { File::from_raw_fd(fd) });
    }
    let error = io::Error::last_os_error();
    Err(match error.raw_os_error() {
        Some(libc::ENOENT) => ReadError::Missing,
        Some(libc::ELOOP) => ReadError::Unsafe("is a symbolic link"),
        // What a link to a directory is, too, for who does not follow it.
        Some(libc::ENOTDIR) => ReadError::Unsafe("is below a symbolic link, or what is no directory"),
        _ => ReadError::Io(error),
    })
}

/// Whether nobody but root could have put this there.
fn check(file: &File, is_dir: bool) -> Result<(), ReadError> {
    let metadata = file.metadata().map_err(ReadError::Io)?;
    let others = metadata.mode() & 0o022 != 0;
    let strange = metadata.uid() != 0 && metadata.uid() != effective_uid();
    Err(ReadError::Unsafe(match is_dir {
        true if strange => "is in a directory that does not belong to root",
        true if others => "is in a directory that group or others may write",
        false if !metadata.is_file() => "is not a regular file",
        false if strange => "does not belong to root",
        false if others => "is writable by group or others",
        _ => return Ok(()),
    }))
}

/// The user the loader runs as.
pub fn effective_uid() -> u32 {
    #[expect(unsafe_code, reason = "geteuid(2)")]
    // SAFETY: no arguments, cannot fail.
    unsafe {
        libc::geteuid()
    }
}

/// Makes a directory of our own and those above it. What others may write would be refused when it is read, so the umask
/// has no say in that.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    make_dirs(dir, 0o755)
}

/// Makes a directory and those above it that are missing. The one of the standard library compares paths part by part.
pub fn make_dirs(dir: &Path, mode: u32) -> io::Result<()> {
    let make = || match DirBuilder::new().mode(mode).create(dir) {
        Err(_) if dir.is_dir() => Ok(()),
        result => result,
    };
    match (make(), dir.parent()) {
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            make_dirs(above, mode)?;
            make()
        }
        (result, _) => result,
    }
}

/// Writes a file of our own so that readers see the old one or the new one, also after the power was cut.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    make_dir(dir)?;
    let temporary = path.with_extension("new");
    let write = || {
        let flags = libc::O_NOFOLLOW;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(&temporary)?;
        // Whatever the umask: a file that others may write would be refused when it is read.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(bytes)?;
        // Else a crash could leave the new name with none of the bytes.
        file.sync_all()
    };
    let result = write();
    result.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        // The write already failed; what is left is a file that the next write truncates.
        let _ = fs::remove_file(&temporary);
    })?;
    // The file is there; that its name outlives a power cut is more than a full disk can take back.
    let _ = File::open(dir).and_then(|dir| dir.sync_all());
    Ok(())
}

/// Writes what the node remembers. What could not be read is kept beside it. What is wrong if it cannot be written.
pub fn replace(path: &Path, bytes: &[u8], damaged: bool) -> Option<Reason> {
    if damaged {
        // For who looks into it; nothing depends on it.
        let _ = fs::rename(path, path.with_extension("damaged"));
    }
    let error = write_atomically(path, bytes).err()?;
    Some(Reason { code: Code::MemoryNotKept, message: format!("{}: {error}", path.display()) })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use super::*;

    /// A directory of this test's own, which is safe whatever the umask.
    fn directory(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("nodebpf-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        DirBuilder::new().mode(0o755).create(&dir).unwrap();
        dir
    }

    fn write(path: &Path, mode: u32) {
        fs::write(path, b"0123456789").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn unsafe_files_are_refused() {
        let dir = directory("read");
        let sound = dir.join("sound");
        write(&sound, 0o644);
        assert_eq!(read(&sound, 10).unwrap(), b"0123456789");
        assert!(matches!(read(&sound, 9), Err(ReadError::TooLarge(9))));
        symlink(&sound, dir.join("link")).unwrap();
        assert!(matches!(read(&dir.join("link"), 10), Err(ReadError::Unsafe(_))));
        assert!(matches!(read(&dir, 10), Err(ReadError::Unsafe(_))));
        assert!(matches!(read(&dir.join("absent"), 10), Err(ReadError::Missing)));
        assert!(matches!(read(&dir.join("absent/file"), 10), Err(ReadError::Missing)));
        for mode in [0o664, 0o646] {
            write(&sound, mode);
            assert!(matches!(read(&sound, 10), Err(ReadError::Unsafe(_))), "mode {mode:o}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn no_link_is_followed_on_the_way() {
        let dir = directory("walk");
        DirBuilder::new().mode(0o755).recursive(true).create(dir.join("real/below")).unwrap();
        write(&dir.join("real/below/file"), 0o644);
        symlink("real", dir.join("link")).unwrap();
        assert_eq!(read(&dir.join("real/below/file"), 10).unwrap(), b"0123456789");
        assert_eq!(list(&dir.join("real/below")).unwrap(), ["file"]);
        for path in ["link/below/file", "real/below/file/more"] {
            assert!(matches!(read(&dir.join(path), 10), Err(ReadError::Unsafe(_))), "case: {path}");
        }
        assert!(matches!(list(&dir.join("link")), Err(ReadError::Unsafe(_))));
        for mode in [0o775, 0o757] {
            fs::set_permissions(dir.join("real/below"), Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&dir.join("real/below/file"), 10), Err(ReadError::Unsafe(_))), "mode {mode:o}");
            assert!(matches!(list(&dir.join("real/below")), Err(ReadError::Unsafe(_))), "mode {mode:o}");
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let dir = directory("write");
        let file = dir.join("state/file.json");
        assert_eq!(replace(&file, b"one", false), None);
        assert_eq!(read(&file, 10).unwrap(), b"one");
        // A torn write of a run that died: its leftover changes nothing, and does not stand in the way.
        fs::write(dir.join("state/file.new"), b"tw").unwrap();
        assert_eq!(read(&file, 10).unwrap(), b"one");
        assert_eq!(replace(&file, b"two", false), None);
        assert_eq!(fs::read_dir(dir.join("state")).unwrap().count(), 1, "something is left");
        // Nobody is led elsewhere by a planted link, and nothing is written through it.
        symlink(dir.join("elsewhere"), dir.join("state/file.new")).unwrap();
        assert!(replace(&file, b"three", false).is_some_and(|reason| reason.code == Code::MemoryNotKept));
        assert!(!dir.join("elsewhere").exists());
        assert_eq!(read(&file, 10).unwrap(), b"two");
        assert_eq!(replace(&file, b"four", true), None);
        assert_eq!(read(&dir.join("state/file.damaged"), 10).unwrap(), b"two");
        fs::remove_dir_all(&dir).unwrap();
    }
}
