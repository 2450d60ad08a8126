// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: a program that drops only through a tail call, so that a call that is not taken is seen.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __type(key, __u32);
    __type(value, __u32);
    __uint(max_entries, 4);
} calls SEC(".maps");

SEC("xdp")
int tail_entry(struct xdp_md *ctx)
{
    bpf_tail_call(ctx, &calls, 2);
    return XDP_PASS;
}

SEC("xdp")
int tail_target(struct xdp_md *ctx)
{
    (void)ctx;
    return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
