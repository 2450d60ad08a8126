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
};

/// How long a run waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(30);

/// Held while the node is looked at and changed.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held for its lock")] fs::File);

/// Serialises runs, with a limit.
pub fn take(paths: &Paths) -> Result<RunLock, CannotRun> {
    let path = paths.run().join("lock");
    let open = || -> io::Result<fs::File> {
        fs::create_dir_all(paths.run())?;
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
        if started.elapsed() > LOCK_WAIT {
            let message = format!("another run has held {} for {} seconds", path.display(), LOCK_WAIT.as_secs());
            return Err(CannotRun { exit: Exit::Locked, reason: Reason { code: Code::Locked, message } });
        }
        thread::sleep(Duration::from_millis(50));
    }
}
