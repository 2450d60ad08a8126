// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Maps that ask libbpf for a pin, for the compiler's tests. Never loaded.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 128);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 128);
    __uint(pinning, LIBBPF_PIN_NONE);
} own SEC(".maps");

SEC("xdp")
int remember(struct xdp_md *ctx)
{
    __u32 key = ctx->ingress_ifindex;
    __u64 one = 1;

    bpf_map_update_elem(&flows, &key, &one, BPF_ANY);
    bpf_map_update_elem(&own, &key, &one, BPF_ANY);
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
