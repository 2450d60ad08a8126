// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Variables of more memory than a machine has (64 GiB), or than a map may take (2 GiB, with TWO_GIB). Never loaded.
//
// Built like hooks.bpf.c.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#ifdef TWO_GIB
char big[1UL << 31];
#else
char big[1UL << 36];
#endif
__u64 small;

SEC("xdp")
int count(struct xdp_md *ctx)
{
    small += big[ctx->ingress_ifindex & 1];
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
