// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs whose sections leave open what they are for, and one that only tail calls reach, for the compiler's tests.
// Never loaded.
//
// Built like hooks.bpf.c.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
    __uint(max_entries, 4);
} steps SEC(".maps");

SEC("fentry")
int enter(unsigned long long *ctx)
{
    return ctx[0] != 0;
}

SEC("lsm")
int decide(unsigned long long *ctx)
{
    return ctx[0] ? 0 : -1;
}

SEC("tp_btf")
int trace(unsigned long long *ctx)
{
    return ctx[0] != 0;
}

SEC("cgroup/skb")
int meter(struct __sk_buff *skb)
{
    bpf_tail_call(skb, &steps, 0);
    return skb->len != 0;
}

SEC("cgroup/skb")
int meter_more(struct __sk_buff *skb)
{
    return skb->len != 0;
}

char _license[] SEC("license") = "GPL";
