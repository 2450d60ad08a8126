// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Constructs that concern a whole object, for the compiler's tests. Never loaded.

#pragma clang diagnostic ignored "-Wunused-parameter"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

int target(struct xdp_md *ctx);

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __array(values, int(void *));
} filled SEC(".maps") = {.values = {(void *)&target}};

struct {
    __uint(type, 33); // BPF_MAP_TYPE_ARENA
    __uint(map_flags, 1 << 10);
    __uint(max_entries, 1);
} pages SEC(".maps");

__u32 stray SEC("mydata") = 1;

SEC("xdp")
int target(struct xdp_md *ctx)
{
    bpf_tail_call(ctx, &filled, 0);
    return stray ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "GPL";
