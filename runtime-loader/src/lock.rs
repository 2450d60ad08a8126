//! Lock: runs one after another.
//!
//! In: the paths. Out: [`RunLock`], held while the node is looked at and changed. May fail with: NB1501 after half a
//! minute, NB1502.

use std::{
    fs, io,
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    thread,
    time::{Duration, Instant},
};

use nodeplan::report::{Code, Exit, Reason};

use crate::{
    apply::{CannotRun, cannot_run},
    paths::Paths,
    read,
};

/// How long a run waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Held while the node is looked at and changed.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held for its lock")] fs::File);

/// Serialises runs, with a limit.
pub fn take(paths: &Paths) -> Result<RunLock, CannotRun> {
    take_within(paths, LOCK_WAIT)
}

/// The same for a run that was asked for. The other one may have looked before that: without the lock the request stands.
pub fn take_or_ask_again(paths: &Paths) -> Result<RunLock, CannotRun> {
    asking_again(paths, LOCK_WAIT)
}

fn asking_again(paths: &Paths, wait: Duration) -> Result<RunLock, CannotRun> {
    take_within(paths, wait).inspect_err(|_| ask_again(paths))
}

/// Asks for a run.
pub fn ask_again(paths: &Paths) {
    let _ = fs::File::create(paths.dirty());
}

fn take_within(paths: &Paths, wait: Duration) -> Result<RunLock, CannotRun> {
    let path = paths.run().join("lock");
    let open = || -> io::Result<fs::File> {
        read::make_dir(&paths.run())?;
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        // Whoever can open it can hold it.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        Ok(file)
    };
    let file = open().map_err(|error| cannot_run(format!("{}: {error}", path.display())))?;
    let started = Instant::now();
    loop {
        #[expect(unsafe_code, reason = "flock(2)")]
        // SAFETY: a system call on a descriptor that `file` owns.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(RunLock(file));
        }
        if started.elapsed() >= wait {
            let message = format!("another run has held {} for {} seconds", path.display(), wait.as_secs());
            return Err(CannotRun { exit: Exit::Locked, reason: Reason { code: Code::Locked, message } });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Else nobody could read the report of a first run that somebody made with another umask.
    #[test]
    fn the_first_run_lets_nobody_write_beside_it() {
        // A umask is the whole process's.
        if let Some(root) = std::env::var_os("NODEBPF_TEST_UMASK") {
            drop(take(&Paths::new(root.as_ref())).unwrap());
            return;
        }
        let root = std::env::temp_dir().join(format!("nodebpf-umask-{}", std::process::id()));
        let paths = Paths::new(&root);
        let made = std::process::Command::new("sh")
            .args(["-c", "umask 002 && exec \"$0\" the_first_run_lets_nobody_write_beside_it"])
            .arg(std::env::current_exe().unwrap())
            .env("NODEBPF_TEST_UMASK", &root)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        assert_eq!(fs::metadata(paths.run()).unwrap().permissions().mode() & 0o022, 0);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_request_that_finds_the_lock_taken_stands() {
        let root = std::env::temp_dir().join(format!("nodebpf-lock-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let paths = Paths::new(&root);
        let held = take(&paths).unwrap();
        let refused = asking_again(&paths, Duration::ZERO).unwrap_err();
        assert_eq!((refused.exit, refused.reason.code), (Exit::Locked, Code::Locked));
        assert!(paths.dirty().exists(), "the path unit starts another run by it");
        fs::remove_file(paths.dirty()).unwrap();
        drop(held);
        let held = asking_again(&paths, Duration::ZERO).unwrap();
        assert!(!paths.dirty().exists(), "nothing is left to be asked for");
        // A dry run was not asked for by anybody who waits for it.
        assert!(take_within(&paths, Duration::ZERO).is_err());
        assert!(!paths.dirty().exists());
        drop(held);
        fs::remove_dir_all(&root).unwrap();
    }
}
