// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: one small program for each hook. Each counts in its place of `hits`; some refuse what `deny` names.

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define EPERM 1
// Of linux/bpf.h since 6.6.
#define TCX_NEXT -1
#define TCX_DROP 2
#define AF_INET 2

// What is refused: a UDP port for connect4, a raw protocol for LSM, every packet for TC; 0 refuses nothing.
volatile const __u32 deny = 0;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 32);
} hits SEC(".maps");

static __always_inline void hit(__u32 place)
{
    __u64 *count = bpf_map_lookup_elem(&hits, &place);

    if (count)
        __sync_fetch_and_add(count, 1);
}

SEC("classifier")
int tc_hook(struct __sk_buff *skb)
{
    (void)skb;
    hit(0);
    return deny ? TCX_DROP : TCX_NEXT;
}

SEC("classifier")
int tc_other(struct __sk_buff *skb)
{
    (void)skb;
    hit(20);
    return TCX_NEXT;
}

SEC("cgroup/connect4")
int cg_connect4(struct bpf_sock_addr *ctx)
{
    hit(1);
    return !(deny && ctx->user_port == bpf_htons(deny));
}

SEC("cgroup_skb/egress")
int cg_egress(struct __sk_buff *skb)
{
    (void)skb;
    hit(2);
    return 1;
}

SEC("cgroup_skb/ingress")
int cg_ingress(struct __sk_buff *skb)
{
    (void)skb;
    hit(3);
    return 1;
}

SEC("cgroup/sock_create")
int cg_sock(struct bpf_sock *sock)
{
    (void)sock;
    hit(4);
    return 1;
}

SEC("cgroup/bind4")
int cg_bind4(struct bpf_sock_addr *ctx)
{
    (void)ctx;
    hit(5);
    return 1;
}

SEC("cgroup/sysctl")
int cg_sysctl(struct bpf_sysctl *ctx)
{
    (void)ctx;
    hit(6);
    return 1;
}

SEC("cgroup/setsockopt")
int cg_setsockopt(struct bpf_sockopt *ctx)
{
    (void)ctx;
    hit(7);
    return 1;
}

SEC("sockops")
int cg_sockops(struct bpf_sock_ops *ctx)
{
    (void)ctx;
    hit(8);
    return 1;
}

SEC("tracepoint/sched/sched_process_exec")
int tp_exec(void *ctx)
{
    (void)ctx;
    hit(9);
    return 0;
}

SEC("raw_tp/sched_process_exec")
int raw_exec(void *ctx)
{
    (void)ctx;
    hit(10);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int btf_exec(void *ctx)
{
    (void)ctx;
    hit(11);
    return 0;
}

SEC("kprobe/hrtimer_nanosleep")
int kp_sleep(void *ctx)
{
    (void)ctx;
    hit(12);
    return 0;
}

SEC("kretprobe/hrtimer_nanosleep")
int krp_sleep(void *ctx)
{
    (void)ctx;
    hit(13);
    return 0;
}

SEC("fentry/hrtimer_nanosleep")
int fe_sleep(void *ctx)
{
    (void)ctx;
    hit(14);
    return 0;
}

SEC("fexit/hrtimer_nanosleep")
int fx_sleep(void *ctx)
{
    (void)ctx;
    hit(15);
    return 0;
}

// int socket_create(int family, int type, int protocol, int kern)
SEC("lsm/socket_create")
int lsm_socket(__u64 *ctx)
{
    hit(16);
    return deny && (int)ctx[0] == AF_INET && (__u32)ctx[2] == deny ? -EPERM : 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
