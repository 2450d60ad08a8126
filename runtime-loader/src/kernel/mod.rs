//! Everything the loader asks of the kernel: bpf(2), rtnetlink, and the BPF file system.
//!
//! In: plain values and file descriptors. Out: plain values and owned file descriptors.
//! Every call can fail with [`CallError`], which names the call and keeps the errno.
//!
//! No policy here: what to call, in which order and what to undo is [`crate::converge`]'s business.
//! With the feature `faults`, the n-th call through one [`Kernel`] fails with EIO: the seam for fault injection.

mod attr;
mod bpf;
mod bpffs;
mod driver;
mod filters;
mod interfaces;
mod links;
mod netlink;
mod objects;
mod process;
mod routes;

use std::{fmt, io};

pub use bpf::{Kind, LoadError, MapInfo, MapSpec, ProgInfo, ProgSpec, XdpLinks};
pub use bpffs::{BPFFS, DirLock};
pub use filters::Filter;
pub use interfaces::{Interface, SwapError, XdpAttached, XdpState};
pub use links::{LinkInfo, List, Neighbour, PerfEvent, Position};
pub use objects::{LinkDetail, Listed};
pub use process::{allow_open_files, exec, read_link};
pub use routes::DefaultRoute;

/// Handle to the running kernel.
#[derive(Debug, Default)]
pub struct Kernel {
    #[cfg(feature = "faults")]
    faults: faults::Faults,
}

/// A kernel call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// Name of the call, as the kernel spells it.
    pub call: &'static str,
    /// What it was about: a path, a program, an interface; may be empty.
    pub what: String,
    /// Error number.
    pub errno: i32,
}

impl CallError {
    fn last(call: &'static str, what: impl Into<String>) -> Self {
        Self::of(call, what, &io::Error::last_os_error())
    }

    fn of(call: &'static str, what: impl Into<String>, error: &io::Error) -> Self {
        Self { call, what: what.into(), errno: error.raw_os_error().unwrap_or(libc::EIO) }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.call)?;
        if !self.what.is_empty() {
            write!(f, " {}", self.what)?;
        }
        write!(f, ": {}", io::Error::from_raw_os_error(self.errno))
    }
}

/// Result of a kernel call.
pub type Call<T> = Result<T, CallError>;

impl Kernel {
    /// The running kernel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every call passes here first.
    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same signature as with fault injection")]
    #[inline]
    fn enter(&self, _call: &'static str) -> Call<()> {
        Ok(())
    }
}

#[cfg(feature = "faults")]
pub mod faults {
    //! Fault injection: one call of a run fails, or two, or something happens to the node just before one.

    use std::cell::Cell;

    use super::{Call, CallError, Kernel};

    /// Counts calls and fails some of them.
    #[derive(Debug, Default)]
    pub(super) struct Faults {
        calls: Cell<usize>,
        fail_at: [Option<usize>; 2],
        killed_at: Option<usize>,
        happens: Option<(usize, fn())>,
    }

    impl Kernel {
        /// The running kernel, but call number `n` (from 0) fails with EIO and does nothing.
        pub fn failing_at(n: usize) -> Self {
            Self { faults: Faults { calls: Cell::new(0), fail_at: [Some(n), None], ..Faults::default() } }
        }

        /// The same, and the call `k` calls later fails as well: a fault in the undo of a fault.
        pub fn failing_twice(n: usize, k: usize) -> Self {
            Self { faults: Faults { calls: Cell::new(0), fail_at: [Some(n), Some(n + k)], ..Faults::default() } }
        }

        /// The same for call number `n` and all later ones: what they did not do is what a killed loader leaves.
        pub fn killed_at(n: usize) -> Self {
            Self { faults: Faults { killed_at: Some(n), ..Faults::default() } }
        }

        /// The running kernel, but just before call number `n` something happens.
        pub fn disturbed_at(n: usize, happens: fn()) -> Self {
            Self { faults: Faults { happens: Some((n, happens)), ..Faults::default() } }
        }

        /// Calls made so far.
        pub fn calls(&self) -> usize {
            self.faults.calls.get()
        }

        pub(super) fn enter(&self, call: &'static str) -> Call<()> {
            let n = self.faults.calls.replace(self.faults.calls.get() + 1);
            if let Some((at, happens)) = self.faults.happens
                && at == n
            {
                happens();
            }
            if self.faults.fail_at.contains(&Some(n)) || self.faults.killed_at.is_some_and(|at| at <= n) {
                return Err(CallError { call, what: format!("(injected at call {n})"), errno: libc::EIO });
            }
            Ok(())
        }
    }
}
