//! Directories and names in the BPF file system, and the lock that libxdp uses there.
#![expect(unsafe_code, reason = "statfs(2) and flock(2)")]

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{Call, CallError, Kernel};
use crate::read;

/// Where the BPF file system is mounted: by systemd on every node.
pub const BPFFS: &str = "/sys/fs/bpf";

/// `BPF_FS_MAGIC`, linux `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// How long to wait for other users of libxdp: they hold the lock for milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// An exclusive lock on a directory, held until dropped.
#[derive(Debug)]
pub struct DirLock(#[expect(dead_code, reason = "held for its lock")] File);

fn call(name: &'static str, path: &Path, result: io::Result<()>) -> Call<()> {
    result.map_err(|error| CallError::of(name, path.display().to_string(), &error))
}

/// Removes a directory and what is in it. bpffs has pins and directories, no links to follow.
fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(path)
}

impl Kernel {
    /// Whether `path` is a BPF file system.
    pub fn is_bpffs(&self, path: &Path) -> Call<bool> {
        self.enter("statfs")?;
        let name = CString::new(path.as_os_str().as_bytes()).expect("invariant: our paths have no NUL");
        // SAFETY: `statfs` is plain data for which zero is a value; the kernel fills it.
        let (result, info) = unsafe {
            let mut info: libc::statfs = std::mem::zeroed();
            (libc::statfs(name.as_ptr(), &raw mut info), info)
        };
        if result != 0 {
            return Err(CallError::last("statfs", path.display().to_string()));
        }
        Ok(u32::try_from(info.f_type & 0xffff_ffff).is_ok_and(|magic| magic == BPF_FS_MAGIC))
    }

    /// Makes a directory with mode 0700, and its parents; one that is there is fine.
    pub fn make_dir(&self, path: &Path) -> Call<()> {
        self.enter("mkdir")?;
        call("mkdir", path, read::make_dirs(path, 0o700))
    }

    /// Renames a directory or pin.
    pub fn rename(&self, from: &Path, to: &Path) -> Call<()> {
        self.enter("rename")?;
        call("rename", from, fs::rename(from, to))
    }

    /// Removes a pin; one that is gone is fine.
    pub fn unpin(&self, path: &Path) -> Call<()> {
        self.enter("unlink")?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => call("unlink", path, result),
        }
    }

    /// Removes a directory and everything below it; one that is gone is fine.
    pub fn remove_dir(&self, path: &Path) -> Call<()> {
        self.enter("rmdir")?;
        match remove_tree(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => call("rmdir", path, result),
        }
    }

    /// Names in a directory, sorted; none if it does not exist.
    pub fn names(&self, path: &Path) -> Call<Vec<String>> {
        self.enter("readdir")?;
        match read::names(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            result => result.map_err(|error| CallError::of("readdir", path.display().to_string(), &error)),
        }
    }

    /// Waits for the exclusive lock on `path`, which is made if absent: libxdp's protocol section "Locking and pinning".
    pub fn lock_dir(&self, path: &Path) -> Call<DirLock> {
        self.make_dir(path)?;
        self.enter("flock")?;
        let what = path.display().to_string();
        let dir = File::open(path).map_err(|error| CallError::of("open", what.clone(), &error))?;
        let started = Instant::now();
        loop {
            // SAFETY: a system call on a descriptor that `dir` owns.
            if unsafe { libc::flock(dir.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(DirLock(dir));
            }
            let error = CallError::last("flock", what.clone());
            let waiting = matches!(error.errno, libc::EINTR | libc::EWOULDBLOCK);
            if !waiting || started.elapsed() > LOCK_WAIT {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
