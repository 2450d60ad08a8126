// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: passes every packet and counts it in `packets`.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} packets SEC(".maps");

SEC("xdp")
int xdp_pass_a(struct xdp_md *ctx __attribute__((unused)))
{
    __u32 key = 0;
    __u64 *count = bpf_map_lookup_elem(&packets, &key);

    if (count)
        *count += 1;
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
