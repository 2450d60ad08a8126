// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Maps that no node would take, for the compiler's tests. Never loaded.
//
// Built like bpf/programs: clang-19 --no-default-config -g -O2 -target bpfel -mcpu=v3 -ffile-compilation-dir=.
// -idirafter /usr/include/x86_64-linux-gnu -c badmaps.bpf.c -o badmaps.bpf.o && llvm-strip-19 -g badmaps.bpf.o

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct inner {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u32);
    __uint(max_entries, 1);
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
    __uint(key_size, 4);
    __uint(value_size, 4);
    __uint(max_entries, 4);
    __array(values, struct inner);
} nested SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(key_size, 8);
    __type(value, __u8);
    __uint(max_entries, 16);
} preallocated SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u32);
} sizeless SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 5000);
} uneven SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
    __type(key, __u64);
    __type(value, __u64[64]);
    __uint(max_entries, 1 << 20);
} huge SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SOCKHASH);
    __type(key, __u64);
    __type(value, __u64);
    __uint(max_entries, 64);
} sockets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u64);
} per_socket SEC(".maps");

SEC("xdp")
int filter(struct xdp_md *ctx)
{
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
