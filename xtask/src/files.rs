//! Small things about files that the standard library lacks.
//!
//! In:  paths below `target/`.
//! Out: folders that are whole or absent.
//! May fail with: whatever the file system says, with the path in it.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{ErrorKind, Read as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::run;

/// Makes `folder` exist and be empty.
pub(crate) fn empty_folder(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("making `{}`", folder.display()))
}

/// Puts the finished folder `new` in the place of `old`: a reader sees a whole one or none.
pub(crate) fn replace_folder(new: &Path, old: &Path) -> Result<()> {
    remove_folder(old)?;
    fs::rename(new, old).with_context(|| format!("renaming `{}` to `{}`", new.display(), old.display()))
}

/// Removes `folder` with everything in it; an absent one is fine.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Takes the lock `name` for as long as the result lives: two runs at once must not make the same thing.
pub(crate) fn lock(name: &str) -> Result<File> {
    let folder = run::root().join("target/locks");
    fs::create_dir_all(&folder).with_context(|| format!("making `{}`", folder.display()))?;
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("opening `{}`", path.display()))?;
    file.lock().with_context(|| format!("locking `{}`", path.display()))?;
    Ok(file)
}

/// Reads a file; the error has its path.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading `{}`", path.display()))
}

/// Writes a file; the error has its path.
pub(crate) fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing `{}`", path.display()))
}

/// SHA-256 of a file, in hex.
pub(crate) fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("reading `{}`", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).with_context(|| format!("reading `{}`", path.display()))? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// SHA-256 of some text, in hex.
pub(crate) fn digest_of(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the effective user is root: /proc tells it without a foreign call.
pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)).is_some_and(|effective| effective == "0")
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    use super::*;

    #[test]
    fn one_name_is_held_once_and_two_names_at_the_same_time() {
        let (holders, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let _lock = lock("test-of-locks").unwrap();
                    most.fetch_max(holders.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    holders.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        let _one = lock("test-of-locks").unwrap();
        let _other = lock("test-of-locks-too").unwrap();
    }
}
