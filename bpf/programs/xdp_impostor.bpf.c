// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: no dispatcher, but called like one. Its map holds one value for each possible CPU, which the kernel hands
// out all at once: a loader that believes the name and asks for one value has the others written behind its buffer.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct value {
    __u64 words[512];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_RDONLY_PROG);
    __type(key, __u32);
    __type(value, struct value);
} values SEC(".maps");

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
    __u32 zero = 0;
    struct value *value = bpf_map_lookup_elem(&values, &zero);

    (void)ctx;
    return value && value->words[0] == 1 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
