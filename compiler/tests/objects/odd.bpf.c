// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs and maps that manifests can get wrong, for the compiler's tests. Never loaded.
//
// Built like bpf/programs: clang-19 --no-default-config -g -O2 -target bpfel -mcpu=v3 -ffile-compilation-dir=.
// -idirafter /usr/include/x86_64-linux-gnu -c odd.bpf.c -o odd.bpf.o && llvm-strip-19 -g odd.bpf.o

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct wide {
    __u8 bytes[64];
};

struct mac {
    __u8 bytes[6];
};

// Also in drop_frag_needed.bpf.o.
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} dropped SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, struct wide);
    __uint(max_entries, 4096);
} wides SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, struct mac);
    __type(value, _Bool);
    __uint(max_entries, 2);
} macs SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __s16);
    __uint(max_entries, 4);
} levels SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __be16);
    __type(value, __u32);
    __uint(max_entries, 16);
} ports SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 16);
} recent SEC(".maps");

#define USE(map) bpf_map_lookup_elem(&map, &key)

SEC("xdp")
int first(struct xdp_md *ctx)
{
    __u64 key = 0;

    return USE(dropped) && USE(wides) && USE(macs) && USE(levels) && USE(ports) && USE(recent) ? XDP_PASS : XDP_DROP;
}

SEC("xdp.frags")
int second(struct xdp_md *ctx)
{
    return XDP_PASS;
}

SEC("xdp")
long returns_long(struct xdp_md *ctx)
{
    return XDP_PASS;
}

SEC("xdp")
int takes_skb(struct __sk_buff *ctx)
{
    return XDP_PASS;
}

// More than a dispatcher holds.
#define SLOT(name)                                                                                                     \
    SEC("xdp") int name(struct xdp_md *ctx)                                                                            \
    {                                                                                                                  \
        return XDP_PASS;                                                                                               \
    }
SLOT(slot0)
SLOT(slot1)
SLOT(slot2)
SLOT(slot3)
SLOT(slot4)
SLOT(slot5)
SLOT(slot6)
SLOT(slot7)
SLOT(slot8)
SLOT(slot9)
SLOT(slot10)

SEC("classifier")
int for_tc(struct __sk_buff *ctx)
{
    return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
