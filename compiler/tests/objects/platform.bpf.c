// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs that some OpenShift releases cannot run, or nobody knows. Never loaded.
//
// Built like odd.bpf.c.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct pt_regs;

// RHEL's kernels do not let a kprobe change what a function returns.
SEC("kprobe/__x64_sys_mount")
int fail_it(struct pt_regs *ctx)
{
    bpf_override_return(ctx, -1);
    return 0;
}

SEC("classifier")
int pass_it(struct __sk_buff *skb)
{
    return skb->len ? -1 : 0;
}

SEC("lsm/file_open")
int guard_it(unsigned long long *ctx)
{
    return ctx[0] ? 0 : -1;
}

char _license[] SEC("license") = "GPL";
