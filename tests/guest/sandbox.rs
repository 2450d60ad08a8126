//! A process of its own for each test, apart from what other tests left behind.
//!
//! In:  a process that runs nothing yet.
//! Out: the same process with an empty network (only `lo`, up), an empty bpffs, and empty `/run`, `/tmp` and `/var`.
//! May fail with: the errno of `unshare` or `mount`.
//!
//! The rest of the root file system is shared with all tests: write below `/etc` only after [`use_root`] or a
//! mount. Programs and links that are not pinned go with the process, pins go with its mount namespace.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    net,
    sys::{self, Fs},
};

/// Folders that each test finds empty.
const EMPTY: [&str; 3] = ["/run", "/tmp", "/var"];

/// File systems that belong to a namespace (sysfs shows its network) or that a test must find empty (bpffs).
const MOUNTS: [(Fs, &str); 6] = [
    (Fs::Sysfs, "/sys"),
    (Fs::Bpf, "/sys/fs/bpf"),
    (Fs::Cgroup2, "/sys/fs/cgroup"),
    (Fs::Securityfs, "/sys/kernel/security"),
    (Fs::Debugfs, "/sys/kernel/debug"),
    (Fs::Tracefs, "/sys/kernel/tracing"),
];

/// Takes this process apart from the others.
pub(crate) fn enter() -> Result<()> {
    sys::unshare_network_and_mounts()?;
    for path in EMPTY {
        sys::mount(Fs::Tmpfs, path)?;
    }
    for folder in ["/var/lib", "/var/log"] {
        fs::create_dir(folder).with_context(|| format!("making {folder}"))?;
    }
    for (kind, path) in MOUNTS {
        sys::mount(kind, path)?;
    }
    net::up("lo")
}

/// Puts `etc` and `usr/local` of a laid root, such as `/nodes/plain`, where a node has them.
pub(crate) fn use_root(root: &str) -> Result<()> {
    for folder in ["etc", "usr/local"] {
        let from = format!("{root}/{folder}");
        if Path::new(&from).exists() {
            sys::bind(&from, &format!("/{folder}"))?;
        }
    }
    Ok(())
}
