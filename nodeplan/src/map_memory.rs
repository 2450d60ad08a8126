//! The memory that a map takes: one estimate for the compiler, the loader and owners' limits.
//!
//! In: what a map's definition says, and how many CPUs a node has. Out: bytes; they saturate. Cannot fail.
//!
//! Keys and values at full size, whether they are allocated at once or as they are used, without what the kernel adds to
//! each entry (linux `kernel/bpf/hashtab.c`, `struct htab_elem`, 48 bytes).

/// Bytes of a page of an arena: `kernel/bpf/arena.c`; on `x86_64`, and on aarch64 with RHEL's default kernel.
const PAGE_BYTES: u64 = 4096;

/// Whether each CPU has values of its own: hash 5, array 6, LRU hash 10, cgroup storage 21 of `enum bpf_map_type`, linux
/// `include/uapi/linux/bpf.h`.
pub fn is_per_cpu(kind: u32) -> bool {
    matches!(kind, 5 | 6 | 10 | 21)
}

/// Memory of a map of type `kind` on a node with `cpus` CPUs.
///
/// Per-CPU values are rounded up to 8 bytes and count once for each CPU (`kernel/bpf/arraymap.c`, `array_map_alloc`). The
/// size of a ring buffer (27) and a user ring buffer (31) is in bytes (`kernel/bpf/ringbuf.c`), that of an arena (33) in
/// pages.
pub fn bytes(kind: u32, key_size: u32, value_size: u32, max_entries: u32, cpus: usize) -> u64 {
    let value = u64::from(value_size);
    let entry = match kind {
        27 | 31 => 1,
        33 => PAGE_BYTES,
        _ if is_per_cpu(kind) => value.next_multiple_of(8).saturating_mul(cpus as u64).saturating_add(key_size.into()),
        _ => value + u64::from(key_size),
    };
    u64::from(max_entries).saturating_mul(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_counts_as_the_kernel_takes_it() {
        for (name, kind, key, value, entries, cpus, want) in [
            ("hash", 1, 4, 8, 10, 3, 120),
            ("array", 2, 4, 1, 10, 3, 50),
            ("percpu_hash", 5, 4, 8, 10, 3, 280),
            ("percpu_array, rounded up", 6, 4, 1, 10, 3, 280),
            ("lru_percpu_hash", 10, 4, 8, 10, 1, 120),
            ("percpu_cgroup_storage", 21, 16, 8, 1, 2, 32),
            ("ringbuf", 27, 0, 0, 4096, 3, 4096),
            ("user_ringbuf", 31, 0, 0, 8192, 3, 8192),
            ("arena", 33, 0, 0, 10, 3, 40960),
            ("the largest", 6, u32::MAX, u32::MAX, u32::MAX, usize::MAX, u64::MAX),
        ] {
            assert_eq!(bytes(kind, key, value, entries, cpus), want, "case: {name}");
        }
    }
}
