//! Where things stand on a node. `--root` puts another directory before all of them, for tests and images; the BPF
//! file system is the kernel's and has one place.

use std::path::{Path, PathBuf};

use nodeplan::{digest::Sha256Digest, name::StreamName};

use crate::kernel::BPFFS;

/// Files the loader reads and writes.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// Below `root`; `/` on a node.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Shipped by a `MachineConfig`, never written by the loader.
    pub fn trust(&self) -> PathBuf {
        self.root.join("etc/nodebpf/trust.json")
    }

    /// Baked into the image: an anchor, not an override.
    pub fn image_trust(&self) -> PathBuf {
        self.root.join("usr/lib/nodebpf/trust.json")
    }

    /// The newest trust file that was accepted here.
    pub fn pinned_trust(&self) -> PathBuf {
        self.root.join("var/lib/nodebpf/trust.json")
    }

    /// What the node remembers of streams and of the time.
    pub fn memory(&self) -> PathBuf {
        self.root.join("var/lib/nodebpf/memory.json")
    }

    /// Statements that were last accepted here, by stream.
    pub fn accepted(&self) -> PathBuf {
        self.root.join("var/lib/nodebpf/accepted.json")
    }

    /// Shipped by `MachineConfig`s, never written by the loader.
    pub fn bundles(&self) -> PathBuf {
        self.root.join("etc/nodebpf/bundles")
    }

    /// The bundle of a stream.
    pub fn bundle(&self, stream: &StreamName) -> PathBuf {
        self.bundles().join(format!("{stream}.bundle"))
    }

    /// What this node is.
    pub fn os_release(&self) -> PathBuf {
        self.root.join("etc/os-release")
    }

    /// The kernel command line.
    pub fn cmdline(&self) -> PathBuf {
        self.root.join("proc/cmdline")
    }

    /// The same where `/var` has no room: until the next boot.
    pub fn held_until_boot(&self) -> PathBuf {
        self.run().join("held")
    }

    /// Which streams are held, one file each: survives a reboot.
    pub fn held(&self) -> PathBuf {
        self.root.join("var/lib/nodebpf/held")
    }

    /// Volatile state.
    pub fn run(&self) -> PathBuf {
        self.root.join("run/nodebpf")
    }

    /// Touched by whoever wants a run, such as the udev rule; the path unit waits for it.
    pub fn dirty(&self) -> PathBuf {
        self.run().join("dirty")
    }

    /// The last run's report.
    pub fn report(&self) -> PathBuf {
        self.run().join("report.json")
    }

    /// The statement of a stream that runs.
    pub fn record(&self, stream: &StreamName) -> PathBuf {
        self.run().join("streams").join(format!("{stream}.json"))
    }

    /// The statement of the version that is about to run, until its pins are in place.
    pub fn next_record(&self, stream: &StreamName) -> PathBuf {
        self.run().join("streams").join(format!("{stream}.json.next"))
    }

    /// The whole verifier log of a program that was refused.
    pub fn verifier_log(&self, stream: &StreamName, program: &str) -> PathBuf {
        self.run().join("verifier").join(format!("{stream}-{program}.log"))
    }
}

/// Root of our pins.
pub fn pins() -> PathBuf {
    PathBuf::from(BPFFS).join("nodebpf")
}

/// Pins of all versions of one stream.
pub fn stream_pins(stream: &StreamName) -> PathBuf {
    pins().join(stream.as_str())
}

/// Pins of one version of one stream. The statement's digest is the identity of what runs: tags do not see globals
/// and map entries.
pub fn version_pins(stream: &StreamName, statement: Sha256Digest) -> PathBuf {
    stream_pins(stream).join(statement.to_string())
}

/// Pins of a version that is not committed yet. Versions that crashed runs left there keep their own: what is attached
/// of them is known by these pins.
pub fn staged_pins(stream: &StreamName, number: usize) -> PathBuf {
    stream_pins(stream).join(format!("staged{number}"))
}
