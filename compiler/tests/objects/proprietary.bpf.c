// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs that the kernel takes under a GPL-compatible licence only, for the compiler's tests. Never loaded.

#pragma clang diagnostic ignored "-Wunused-parameter"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

static __attribute__((noinline)) int tell(int value)
{
    return bpf_printk("%d", value);
}

SEC("xdp")
int printing(struct xdp_md *ctx)
{
    return tell(ctx->data) > 0 ? XDP_PASS : XDP_DROP;
}

SEC("lsm/file_open")
int opening(void *ctx)
{
    return 0;
}

SEC("xdp")
int silent(struct xdp_md *ctx)
{
    return bpf_get_smp_processor_id() ? XDP_PASS : XDP_DROP;
}

char _license[] SEC("license") = "Proprietary";
