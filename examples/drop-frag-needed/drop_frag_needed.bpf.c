// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Drops ICMPv4 "fragmentation needed" that other nodes of the cluster send.
//
// Why: on Azure, nodes sent each other frag-needed messages about a smaller MTU than the path has.
// The receiver cached the wrong path MTU and connections between the two nodes stalled. The MTU
// between nodes is known, so no node needs such a message from another; routers outside may well
// send a true one, so only the addresses of nodes are filtered. Red Hat BZ 1825219; OpenShift shipped
// the same rule as an iptables DaemonSet in cluster-network-operator pull request 1059.
//
// In:   a packet; `node_ips`, the IPv4 addresses of the nodes (config map, filled by the manifest).
// Out:  XDP_DROP for frag-needed from such an address, XDP_PASS for everything else.
// Counts frag-needed only: `dropped` from nodes, `passed` from everybody else.
//
// Not looked into, so passed: frames with two VLAN tags, tunnels, IPv6.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// RFC 792. Not from <linux/icmp.h>, which includes C library headers.
#define ICMP_DEST_UNREACH 3
#define ICMP_FRAG_NEEDED 4

struct icmp_header {
    __u8 type;
    __u8 code;
    __be16 checksum;
    __be16 unused;
    __be16 next_hop_mtu;
};

struct vlan_header {
    __be16 tag;
    __be16 proto;
};

// Fragment offset in `frag_off`, without the three flag bits.
#define IP_OFFSET_MASK 0x1fff

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __be32);
    __type(value, __u8);
    __uint(max_entries, 4096);
} node_ips SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} dropped SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} passed SEC(".maps");

static __always_inline void count(void *counter)
{
    __u32 key = 0;
    __u64 *packets = bpf_map_lookup_elem(counter, &key);

    if (packets)
        *packets += 1;
}

// The IPv4 header below at most one VLAN tag, or NULL: not IPv4, or too short to tell.
static __always_inline struct iphdr *ipv4_header(void *data, void *end)
{
    struct ethhdr *eth = data;
    void *network = eth + 1;
    __be16 proto;

    if (network > end)
        return NULL;
    proto = eth->h_proto;
    if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
        struct vlan_header *vlan = network;

        network = vlan + 1;
        if (network > end)
            return NULL;
        proto = vlan->proto;
    }
    if (proto != bpf_htons(ETH_P_IP) || network + sizeof(struct iphdr) > end)
        return NULL;
    return network;
}

static __always_inline int is_frag_needed(struct iphdr *ip, void *end)
{
    struct icmp_header *icmp = (void *)ip + ip->ihl * 4;

    if (ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_ICMP)
        return 0;
    // Only the first fragment starts with an ICMP header.
    if (ip->frag_off & bpf_htons(IP_OFFSET_MASK))
        return 0;
    if ((void *)(icmp + 1) > end)
        return 0;
    return icmp->type == ICMP_DEST_UNREACH && icmp->code == ICMP_FRAG_NEEDED;
}

SEC("xdp")
int drop_frag_needed(struct xdp_md *ctx)
{
    void *end = (void *)(long)ctx->data_end;
    struct iphdr *ip = ipv4_header((void *)(long)ctx->data, end);
    __be32 source;

    if (!ip || !is_frag_needed(ip, end))
        return XDP_PASS;
    source = ip->saddr;
    if (!bpf_map_lookup_elem(&node_ips, &source)) {
        count(&passed);
        return XDP_PASS;
    }
    count(&dropped);
    return XDP_DROP;
}

char _license[] SEC("license") = "Dual BSD/GPL";
