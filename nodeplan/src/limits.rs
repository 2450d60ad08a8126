//! All numeric limits in one place, each with its unit and its source.

/// Longest interface name, in bytes, without the closing NUL.
///
/// `IFNAMSIZ` is 16 including the NUL: linux `include/uapi/linux/if.h`.
pub const IF_NAME_MAX_BYTES: usize = 15;

/// Programs one XDP dispatcher can hold, on one interface, ours and others' together.
///
/// `MAX_DISPATCHER_ACTIONS`: xdp-tools `headers/xdp/prog_dispatcher.h`.
pub const DISPATCHER_SLOTS: usize = 10;

/// Longest stream or owner name, in bytes. Ours: pin paths and MachineConfig names stay short.
pub const STREAM_NAME_MAX_BYTES: usize = 40;

/// Longest pool name, in bytes: a DNS label, RFC 1123 section 2.1.
pub const POOL_NAME_MAX_BYTES: usize = 63;

/// Longest program name, in bytes, without the closing NUL.
///
/// The kernel keeps the first 15 bytes (`BPF_OBJ_NAME_LEN`); the full name stays in BTF, whose names end at
/// `KSYM_NAME_LEN` (128): linux `kernel/bpf/btf.c`, `btf_name_valid_identifier`.
pub const PROGRAM_NAME_MAX_BYTES: usize = 127;

/// Name bytes the kernel keeps of a program or map, without the closing NUL.
///
/// `BPF_OBJ_NAME_LEN` is 16: linux `include/uapi/linux/bpf.h`.
pub const KERNEL_OBJ_NAME_BYTES: usize = 15;

/// Longest map name, in bytes. Ours; the kernel keeps 15 of them.
pub const MAP_NAME_MAX_BYTES: usize = 63;

/// Highest priority. As in bpfman; libxdp itself allows any `u32`.
pub const PRIORITY_MAX: u16 = 1000;

/// Largest statement, in bytes. Ours: bounds what is hashed and parsed.
pub const STATEMENT_MAX_BYTES: usize = 256 * 1024;

/// Largest BPF object, in bytes. Ours.
pub const OBJECT_MAX_BYTES: usize = 1024 * 1024;

/// Largest bundle, in bytes. A rendered MachineConfig must fit etcd's 1.5 MiB request limit, so no sound bundle is
/// larger even uncompressed by much.
pub const BUNDLE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Largest sum of the bundles that one node believes, in bytes. Ours: bounds the memory of a run, which frees nothing.
/// Four of the largest ones; all of a pool must fit etcd's 1.5 MiB.
pub const BUNDLES_MAX_BYTES: usize = 4 * BUNDLE_MAX_BYTES;

/// Largest trust file, in bytes. Ours.
pub const TRUST_MAX_BYTES: usize = 1024 * 1024;

/// Most members of a bundle. Ours.
pub const BUNDLE_MAX_MEMBERS: usize = 256;

/// Longest DER encoding of a P-256 signature, in bytes: two 33-byte integers with their headers.
pub const SIGNATURE_MAX_BYTES: usize = 72;

/// Most programs in one plan. Ours.
pub const PLAN_MAX_PROGRAMS: usize = 64;

/// Most entries of one config map. Ours: they travel in the statement.
pub const MAP_MAX_ENTRIES: usize = 4096;

/// Longest name of a network driver, in bytes, without the closing NUL.
///
/// `ETHTOOL_BUSINFO_LEN` is 32: linux `include/uapi/linux/ethtool.h`, `struct ethtool_drvinfo`.
pub const DRIVER_NAME_MAX_BYTES: usize = 31;

/// Longest name of a kernel function, tracepoint or security hook, in bytes, without the closing NUL.
///
/// `KSYM_NAME_LEN` was 128 before Linux 6.1 and is 512 since: linux `include/linux/kallsyms.h`.
pub const SYMBOL_MAX_BYTES: usize = 127;

/// Longest path of a cgroup, in bytes. Ours; the kernel's is `PATH_MAX`.
pub const CGROUP_PATH_MAX_BYTES: usize = 1023;

/// Most tail-call slots that a plan fills, of one map. Ours.
pub const MAP_MAX_SLOTS: usize = 64;

/// Largest value of a global variable, in bytes. Ours: they travel in the statement.
pub const GLOBAL_MAX_BYTES: usize = 4096;

/// Memory of one map on one CPU, in bytes: [`crate::map_memory`]. Ours: a map is allocated before kubelet runs, and what
/// fits must not depend on the node. Owners' limits count every CPU.
pub const MAP_MAX_MEMORY_BYTES: u64 = 64 * 1024 * 1024;
