// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Programs of several hooks beside some that nodes cannot take, for the compiler's tests of lowering. Never loaded.

#pragma clang diagnostic ignored "-Wunused-parameter"

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 4);
} packets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __type(key, __u32);
    __type(value, __u32);
    __uint(max_entries, 4);
} jumps SEC(".maps");

const volatile __u32 limit = 1400;
__u64 seen;

extern int LINUX_KERNEL_VERSION __kconfig;
extern const int bpf_prog_active __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

static __attribute__((noinline)) int count(__u32 slot)
{
    __u64 *packet = bpf_map_lookup_elem(&packets, &slot);

    if (packet)
        *packet += 1;
    return slot;
}

// Only programs that are left out call it.
static __attribute__((noinline)) int version(int add)
{
    return LINUX_KERNEL_VERSION + add;
}

SEC("tcx/ingress")
int from_wire(struct __sk_buff *skb)
{
    seen += skb->len > limit;
    return count(0) ? -1 : 0;
}

// In the section of a program that is used.
SEC("tcx/ingress")
int with_version(struct __sk_buff *skb)
{
    return version(skb->len) ? -1 : 0;
}

SEC("tc")
int to_wire(struct __sk_buff *skb)
{
    return count(1) ? -1 : (int)skb->len;
}

SEC("?xdp")
int on_demand(struct xdp_md *ctx)
{
    return count(2) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int jumping(struct xdp_md *ctx)
{
    bpf_tail_call(ctx, &jumps, 0);
    return XDP_PASS;
}

SEC("tp_btf/sched_switch")
int with_kfunc(void *ctx)
{
    bpf_rcu_read_lock();
    bpf_rcu_read_unlock();
    return 0;
}

SEC("raw_tp/sched_switch")
int with_ksym(void *ctx)
{
    return *(volatile int *)&bpf_prog_active;
}

SEC("netfilter")
int filter(void *ctx)
{
    return 1;
}

SEC("cgroup/connect4")
int connecting(struct bpf_sock_addr *ctx)
{
    return ctx->user_port != 0;
}

SEC("tracepoint/sched/sched_switch")
int switching(void *ctx)
{
    return 0;
}

SEC("fentry/tcp_connect")
int entering(void *ctx)
{
    return 0;
}

SEC("lsm.s/bprm_committed_creds")
int securing(void *ctx)
{
    return 0;
}

SEC("kprobe/tcp_connect")
int probing(void *ctx)
{
    return 0;
}

SEC("xdp_mine")
int unknown(struct xdp_md *ctx)
{
    return XDP_PASS;
}

struct {
    __uint(priority, 20);
    __uint(XDP_PASS, 1);
    __uint(XDP_TX, 1);
} _jumping SEC(".xdp_run_config");

char _license[] SEC("license") = "GPL";
