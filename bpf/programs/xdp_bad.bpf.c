// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: a program that every verifier must refuse. It reads the packet without asking how long
// it is ("invalid access to packet").

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_bad(struct xdp_md *ctx)
{
    const __u8 *data = (void *)(long)ctx->data;

    return data[0] ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
