// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: makes a kernel one that cannot replace functions of programs, as sandboxes and old kernels
// are. Every load of an extension fails with EPERM while this is attached.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define EPERM 1

SEC("lsm/bpf")
int deny_ext(__u64 *ctx)
{
    int command = (int)ctx[0];
    union bpf_attr *attr = (void *)ctx[1];

    return command == BPF_PROG_LOAD && attr->prog_type == BPF_PROG_TYPE_EXT ? -EPERM : 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
