// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// A variable without size, or with NO_PROGRAM a map and nothing else, for the compiler's tests. Never loaded.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#ifdef NO_PROGRAM

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} events SEC(".maps");

#else

struct none {};

volatile int grid[2][3];
struct none nothing;

SEC("xdp")
int look(struct xdp_md *ctx)
{
    return grid[ctx->rx_queue_index & 1][0] + (long)&nothing ? XDP_PASS : XDP_DROP;
}

#endif

char _license[] SEC("license") = "Dual BSD/GPL";
