// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs of several hooks that meet each other, for the compiler's tests. Never loaded.
//
// Built like bpf/programs: clang-19 --no-default-config -g -O2 -target bpfel -mcpu=v3 -ffile-compilation-dir=.
// -idirafter /usr/include/x86_64-linux-gnu -c chain.bpf.c -o chain.bpf.o && llvm-strip-19 -g chain.bpf.o

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1024);
} flows SEC(".maps");

SEC("xdp")
int guard(struct xdp_md *ctx)
{
    __u32 key = 0;

    return bpf_map_lookup_elem(&flows, &key) ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int meter(struct xdp_md *ctx)
{
    return XDP_PASS;
}

SEC("xdp.frags")
int jumbo(struct xdp_md *ctx)
{
    return XDP_PASS;
}

SEC("classifier")
int taste(struct __sk_buff *skb)
{
    return -1; // TCX_NEXT
}

SEC("classifier")
int steer(struct __sk_buff *skb)
{
    return 0; // TCX_PASS
}

SEC("classifier")
int cil_spy(struct __sk_buff *skb)
{
    return -1;
}

SEC("cgroup/connect4")
int dial(struct bpf_sock_addr *ctx)
{
    return 1;
}

SEC("cgroup_skb/egress")
int leave(struct __sk_buff *skb)
{
    return 1;
}

char _license[] SEC("license") = "GPL";
