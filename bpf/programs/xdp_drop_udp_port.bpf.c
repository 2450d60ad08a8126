// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: drops UDP to the port in `port` and counts it in `dropped`; passes everything else.
//
// The port is in network byte order; 0 drops nothing. Untagged IPv4 only, first fragments only.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Fragment offset in `frag_off`, without the three flag bits.
#define IP_OFFSET_MASK 0x1fff

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __be16);
    __uint(max_entries, 1);
} port SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} dropped SEC(".maps");

// Destination port of a UDP packet, or 0: another packet, or too short to tell.
static __always_inline __be16 udp_port(void *data, void *end)
{
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct udphdr *udp;

    if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
        return 0;
    if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
        return 0;
    if (ip->frag_off & bpf_htons(IP_OFFSET_MASK))
        return 0;
    udp = (void *)ip + ip->ihl * 4;
    if ((void *)(udp + 1) > end)
        return 0;
    return udp->dest;
}

SEC("xdp")
int xdp_drop_udp_port(struct xdp_md *ctx)
{
    __be16 to = udp_port((void *)(long)ctx->data, (void *)(long)ctx->data_end);
    __u32 key = 0;
    __be16 *wanted = bpf_map_lookup_elem(&port, &key);
    __u64 *count;

    if (!to || !wanted || to != *wanted)
        return XDP_PASS;
    count = bpf_map_lookup_elem(&dropped, &key);
    if (count)
        *count += 1;
    return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
