//! Namespaces and limits of this process, links in /proc, and another program in its place.
#![expect(unsafe_code, reason = "setns(2), unshare(2), prlimit(2), readlink(2), execve(2)")]

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsRawFd, BorrowedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    ptr,
};

use super::{Call, CallError, Kernel};

impl Kernel {
    /// Moves this process into a network namespace.
    pub fn enter_network(&self, namespace: BorrowedFd<'_>) -> Call<()> {
        self.enter("setns")?;
        // SAFETY: no pointers; the descriptor is open.
        let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
        if result == 0 { Ok(()) } else { Err(CallError::last("setns", "")) }
    }

    /// Gives this process a network of its own.
    pub fn private_network(&self) -> Call<()> {
        self.enter("unshare")?;
        // SAFETY: no pointers.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
        if result == 0 { Ok(()) } else { Err(CallError::last("unshare", "CLONE_NEWNET")) }
    }
}

/// Lets this process open as many files as it may. A dispatcher takes three or four, and those of all interfaces are staged
/// before the first swap; by default 1,024 may be open and 524,288 if one asks. What is refused is seen when they run out.
pub fn allow_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `struct rlimit`, and reads one. Not setrlimit(3): musl's brings along code for threads.
    unsafe {
        if libc::prlimit(0, libc::RLIMIT_NOFILE, ptr::null(), &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::prlimit(0, libc::RLIMIT_NOFILE, &raw const limit, ptr::null_mut());
        }
    }
}

/// Where a symbolic link leads, into a buffer of the caller: there are tens of thousands of them, and memory is never
/// freed. `path` gets a closing NUL for the call. Empty if it cannot be read.
pub fn read_link<'b>(path: &mut Vec<u8>, buffer: &'b mut [u8; 64]) -> &'b [u8] {
    path.push(0);
    // SAFETY: `path` ends with NUL, and the kernel writes at most the buffer's length.
    let len = unsafe { libc::readlink(path.as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    path.pop();
    buffer.get(..usize::try_from(len).unwrap_or_default()).unwrap_or_default()
}

/// Goes on as another program with these arguments; returns why it could not. Words that this process was given have no
/// NUL, and are all that is passed on.
pub fn exec(program: &Path, args: &[OsString]) -> CallError {
    let words = [program.as_os_str()].into_iter().chain(args.iter().map(OsString::as_os_str));
    let words: Vec<Vec<u8>> = words.map(|word: &OsStr| [word.as_bytes(), b"\0"].concat()).collect();
    let mut argv: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr().cast()).collect();
    argv.push(ptr::null());
    // SAFETY: the words end with NUL and outlive the call, their list ends with a null pointer.
    unsafe { libc::execv(argv[0], argv.as_ptr()) };
    CallError::last("execve", program.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_files_as_may_be_open() {
        let limit = || {
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: the kernel writes one `struct rlimit`.
            assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
            limit
        };
        // By one only: other tests run beside this one.
        let less = libc::rlimit { rlim_cur: limit().rlim_max - 1, ..limit() };
        // SAFETY: the kernel reads one `struct rlimit`.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const less) }, 0);
        assert_ne!(limit().rlim_cur, limit().rlim_max);
        allow_open_files();
        assert_eq!(limit().rlim_cur, limit().rlim_max);
    }
}
