// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: takes packets of several fragments, passes every one, and counts them and their bytes in `seen`.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 2);
} seen SEC(".maps");

static __always_inline void add(__u32 key, __u64 value)
{
    __u64 *sum = bpf_map_lookup_elem(&seen, &key);

    if (sum)
        __sync_fetch_and_add(sum, value);
}

SEC("xdp.frags")
int xdp_pass_frags(struct xdp_md *ctx)
{
    add(0, 1);
    add(1, bpf_xdp_get_buff_len(ctx));
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
