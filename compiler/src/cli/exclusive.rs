//! Changing a file that others may change at the same time: one after another, and never over what was not read.
//!
//! In:   the path of a file that is read, changed and written back. Out: a hold on its directory.
//! May fail with: NB0625 (somebody else holds it, or has changed the file), and I/O.
//!
//! Two means, since each has a gap. A lock (flock(2)) makes two runs of nodebpf wait for each other, but some file systems
//! have none, and editors do not take it. So the file is compared with what was read as well, right before it is replaced.
//! The directory is locked and not the file: a file that is replaced by renaming is another one afterwards.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nodeplan::limits;

use super::{io, session::Session, write};
use crate::diag::{Code, Diagnostic, shown};

/// How often the lock is asked for, and how long between: five seconds. Edits take milliseconds.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Nobody else who asks changes files of the directory as long as this lives.
pub(super) struct Exclusive {
    path: PathBuf,
    _directory: Option<File>,
}

impl Exclusive {
    /// Waits until nobody else changes files beside `path`; `None` after a report.
    pub(super) fn take(path: &Path, session: &mut Session) -> Option<Self> {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // A directory that is not there yet, or cannot be opened here, is the business of whoever reads or writes in it.
        let Ok(file) = File::open(directory) else {
            return Some(Self { path: path.to_path_buf(), _directory: None });
        };
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Some(Self { path: path.to_path_buf(), _directory: Some(file) }),
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                // No locks on this file system: what is left is the comparison.
                Err(TryLockError::Error(_)) => return Some(Self { path: path.to_path_buf(), _directory: None }),
            }
        }
        let message = format!("somebody else is changing files beside `{}`", shown(&path.display().to_string()));
        session.diags.push(
            Diagnostic::error(Code::ChangedMeanwhile, message)
                .note(format!("another process holds a lock on `{}`", shown(&directory.display().to_string())))
                .help("wait until it has ended, and run the command again"),
        );
        None
    }

    /// Replaces the file by `new`, if it still is `old` (`None`: is not there); `false` after a report.
    pub(super) fn replace(&self, old: Option<&[u8]>, new: &[u8], session: &mut Session) -> anyhow::Result<bool> {
        let now = io::read_if_present(&self.path, limits::BUNDLE_MAX_BYTES)?;
        if now.as_deref() != old {
            let message = format!("`{}` was changed meanwhile", shown(&self.path.display().to_string()));
            session.diags.push(
                Diagnostic::error(Code::ChangedMeanwhile, message)
                    .note("it is not what this command has read; the other change would be lost, so nothing is written")
                    .help("run the command again"),
            );
            return Ok(false);
        }
        write::replace(&self.path, new)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;
    use crate::cli::args::{Color, MessageFormat};

    fn session() -> Session {
        Session::new(Color::Never, MessageFormat::Human)
    }

    #[test]
    fn what_was_not_read_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        let mut session = session();
        let hold = Exclusive::take(&path, &mut session).unwrap();
        assert!(hold.replace(None, b"1", &mut session).unwrap());
        assert!(hold.replace(Some(b"1"), b"2", &mut session).unwrap());
        assert!(!session.diags.has_errors());
        for old in [None, Some(b"1".as_slice())] {
            assert!(!hold.replace(old, b"3", &mut session).unwrap(), "{old:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"2");
        assert!(session.diags.iter().all(|item| item.code.as_str() == "NB0625"));
    }

    #[test]
    fn a_hold_ends_when_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("policy.yaml");
        let mut session = session();
        drop(Exclusive::take(&path, &mut session).unwrap());
        assert!(Exclusive::take(&path, &mut session).is_some());
    }
}
