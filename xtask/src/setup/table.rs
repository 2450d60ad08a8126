//! What the tasks need on the machine: one row for each tool.
//!
//! In:  nothing.
//! Out: [`TABLE`], in the order of [`Tool`].
//! Cannot fail.
//!
//! To add a tool: a variant, a row, and `setup::need(&[Tool::…])` in the task that uses it.

/// A thing that some task cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// C compiler and linker of the host.
    Cc,
    /// The pinned compiler of the BPF objects.
    Clang,
    /// Strips DWARF from the objects and keeps BTF.
    LlvmStrip,
    /// `bpf_helpers.h` and its neighbours.
    LibbpfHeaders,
    /// `asm/types.h`, which the kernel's uapi headers include.
    KernelHeaders,
    /// The emulator that boots the kernels.
    Qemu,
    /// Shell and small programs of the guest.
    Busybox,
    /// `depmod` for the unpacked kernels.
    Kmod,
    /// The kernel image of 6.12 is packed with zstd.
    Zstd,
    /// Modules of 6.12 are packed with xz.
    Xz,
    /// The kernel image of 6.1 is packed with lz4.
    Lz4,
    /// The real Ignition.
    Ignition,
    /// Shows what the kernel holds.
    Bpftool,
    /// The other speaker of the libxdp protocol.
    XdpTools,
    /// `ip` and `tc`.
    Iproute2,
    /// An independent check of keys and signatures.
    Openssl,
    /// Checks the unit files.
    SystemdAnalyze,
    /// Reader of YAML 1.1.
    PyYaml,
    /// Reader of YAML 1.2.
    RuamelYaml,
    /// Python's package `cryptography`.
    PyCryptography,
    /// Its `kustomize` builds the directories of `--format kustomize`.
    Kubectl,
    /// Runs a program on a terminal of its own.
    Script,
    /// Unpacks RPMs, and turns a tar archive into cpio.
    Bsdtar,
    /// Makes a Debian root file system.
    Mmdebstrap,
    /// Rust's static target.
    MuslTarget,
    MuslTargetAarch64,
    /// Source of the Rust standard library.
    RustSrc,
}

/// What shows that a tool is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Presence {
    /// A program on PATH or in a system folder.
    Program(&'static str),
    /// A file; `*` stands for one path component.
    File(&'static str),
    /// A path below `lib/rustlib` of the active Rust tool chain.
    RustLib(&'static str),
}

/// Who delivers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A Debian package.
    Debian(&'static str),
    /// `rustup target add`.
    RustTarget(&'static str),
    /// `rustup component add`.
    RustComponent(&'static str),
}

/// One row.
pub(crate) struct Row {
    pub(crate) tool: Tool,
    pub(crate) presence: Presence,
    pub(crate) source: Source,
    /// The tasks that ask for it, as a reader types them.
    pub(crate) tasks: &'static str,
    pub(crate) why: &'static str,
}

impl Row {
    /// The package, target or component to ask for.
    pub(crate) fn name(&self) -> &'static str {
        match self.source {
            Source::Debian(name) | Source::RustTarget(name) | Source::RustComponent(name) => name,
        }
    }
}

const fn row(tool: Tool, presence: Presence, source: Source, tasks: &'static str, why: &'static str) -> Row {
    Row { tool, presence, source, tasks, why }
}

use Presence::{File, Program, RustLib};
use Source::{Debian, RustComponent, RustTarget};

/// The static target of the loader and of the guest tests.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// The other machine type that the loader is built for.
pub(crate) const MUSL_AARCH64: &str = "aarch64-unknown-linux-musl";

/// All tools, one row each.
pub(crate) const TABLE: &[Row] = &[
    row(Tool::Cc, Program("cc"), Debian("gcc"), "all", "links Rust programs of the host"),
    row(Tool::Clang, Program("clang-19"), Debian("clang-19"), "bpf", "builds the BPF objects; pinned"),
    row(Tool::LlvmStrip, Program("llvm-strip-19"), Debian("llvm-19"), "bpf", "strips DWARF, keeps BTF"),
    row(Tool::LibbpfHeaders, File("/usr/include/bpf/bpf_helpers.h"), Debian("libbpf-dev"), "bpf", "BPF headers"),
    row(
        Tool::KernelHeaders,
        File("/usr/include/*/asm/types.h"),
        Debian("linux-libc-dev"),
        "bpf",
        "headers of the kernel's user API",
    ),
    row(
        Tool::Qemu,
        Program("qemu-system-x86_64"),
        Debian("qemu-system-x86"),
        "vm, demo",
        "boots the kernels; needs no KVM",
    ),
    row(Tool::Busybox, Program("busybox"), Debian("busybox-static"), "vm, demo", "shell of the guest"),
    row(Tool::Kmod, Program("depmod"), Debian("kmod"), "vm, demo", "orders the modules of a kernel"),
    row(Tool::Zstd, Program("zstd"), Debian("zstd"), "vm, demo", "unpacks kernels and modules"),
    row(Tool::Xz, Program("xz"), Debian("xz-utils"), "vm, demo", "unpacks kernels and modules"),
    row(Tool::Lz4, Program("lz4"), Debian("lz4"), "vm, demo", "unpacks kernels and modules"),
    row(
        Tool::Ignition,
        File("/usr/lib/dracut/modules.d/30ignition/ignition"),
        Debian("ignition"),
        "vm, demo, test",
        "lays compiled configs into a root, as on a node",
    ),
    row(Tool::Bpftool, Program("bpftool"), Debian("bpftool"), "vm, bpf", "shows what the kernel holds"),
    row(Tool::XdpTools, Program("xdp-loader"), Debian("xdp-tools"), "vm, demo", "the libxdp side of the interop tests"),
    row(Tool::Iproute2, Program("ip"), Debian("iproute2"), "vm, demo", "links and addresses in the guest"),
    row(Tool::Openssl, Program("openssl"), Debian("openssl"), "test", "checks keys and signatures independently"),
    row(Tool::SystemdAnalyze, Program("systemd-analyze"), Debian("systemd"), "test", "checks the unit files"),
    row(
        Tool::PyYaml,
        File("/usr/lib/python3/dist-packages/yaml/__init__.py"),
        Debian("python3-yaml"),
        "test",
        "reads our YAML as version 1.1",
    ),
    row(
        Tool::RuamelYaml,
        File("/usr/lib/python3/dist-packages/ruamel/yaml/__init__.py"),
        Debian("python3-ruamel.yaml"),
        "test",
        "reads our YAML as version 1.2",
    ),
    row(
        Tool::PyCryptography,
        File("/usr/lib/python3/dist-packages/cryptography/__init__.py"),
        Debian("python3-cryptography"),
        "test",
        "checks signatures of bundles by the DSSE specification alone",
    ),
    row(Tool::Kubectl, Program("kubectl"), Debian("kubernetes-client"), "test", "builds our kustomize directories"),
    row(Tool::Script, Program("script"), Debian("bsdutils"), "test", "makes a terminal, to see colours"),
    row(
        Tool::Bsdtar,
        Program("bsdtar"),
        Debian("libarchive-tools"),
        "boot, vm --kernel-rpm",
        "unpacks RPMs, writes cpio",
    ),
    row(
        Tool::Mmdebstrap,
        Program("mmdebstrap"),
        Debian("mmdebstrap"),
        "boot",
        "makes the root file system of the boot test",
    ),
    row(Tool::MuslTarget, RustLib(MUSL), RustTarget(MUSL), "dist, vm", "static programs of the node and the guest"),
    row(
        Tool::MuslTargetAarch64,
        RustLib(MUSL_AARCH64),
        RustTarget(MUSL_AARCH64),
        "dist",
        "the loader for aarch64 nodes",
    ),
    row(
        Tool::RustSrc,
        RustLib("src/rust/library"),
        RustComponent("rust-src"),
        "dist",
        "a standard library built for size",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_its_row_at_its_place() {
        for (place, row) in TABLE.iter().enumerate() {
            assert_eq!(row.tool as usize, place, "{:?}", row.tool);
        }
        assert_eq!(TABLE.len(), Tool::RustSrc as usize + 1);
    }
}
