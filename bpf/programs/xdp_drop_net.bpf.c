// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: drops IPv4 packets from the networks in `nets` and passes everything else.
//
// The longest prefix decides: value 1 drops, value 0 is a hole in a wider network. Untagged only.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// The kernel demands the prefix length first: linux kernel/bpf/lpm_trie.c.
struct net {
    __u32 prefixlen;
    __be32 address;
};

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct net);
    __type(value, __u8);
    __uint(max_entries, 64);
} nets SEC(".maps");

SEC("xdp")
int xdp_drop_net(struct xdp_md *ctx)
{
    void *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = (void *)(long)ctx->data;
    struct iphdr *ip = (void *)(eth + 1);
    struct net from = { .prefixlen = 32 };
    __u8 *drop;

    if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
        return XDP_PASS;
    from.address = ip->saddr;
    drop = bpf_map_lookup_elem(&nets, &from);
    return drop && *drop ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
