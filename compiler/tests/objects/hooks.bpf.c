// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// A program for each group of hooks, tail calls and buffers, for the compiler's tests. Never loaded.
//
// Built like bpf/programs: clang-19 --no-default-config -g -O2 -target bpfel -mcpu=v3 -ffile-compilation-dir=.
// -idirafter /usr/include/x86_64-linux-gnu -c hooks.bpf.c -o hooks.bpf.o && llvm-strip-19 -g hooks.bpf.o

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
    __uint(max_entries, 4);
} stages SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 64 * 1024);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
} samples SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __type(key, __u64);
    __type(value, __u64);
    __uint(max_entries, 1024);
} flows SEC(".maps");

SEC("classifier")
int mark(struct __sk_buff *ctx)
{
    bpf_tail_call(ctx, &stages, 0);
    return -1;
}

SEC("classifier")
int mark_more(struct __sk_buff *ctx)
{
    __u64 key = ctx->ifindex;

    bpf_map_update_elem(&flows, &key, &key, BPF_ANY);
    return -1;
}

SEC("cgroup/connect4")
int connect(struct bpf_sock_addr *ctx)
{
    return 1;
}

SEC("cgroup_skb/egress")
int count_egress(struct __sk_buff *ctx)
{
    return 1;
}

SEC("tracepoint/sched/sched_switch")
int on_switch(void *ctx)
{
    __u64 *slot = bpf_ringbuf_reserve(&events, 8, 0);

    if (slot)
        bpf_ringbuf_submit(slot, 0);
    return 0;
}

SEC("raw_tracepoint/sys_enter")
int on_enter(void *ctx)
{
    __u64 now = bpf_ktime_get_ns();

    bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &now, sizeof(now));
    return 0;
}

SEC("tp_btf/sched_process_exec")
int on_exec(void *ctx)
{
    return 0;
}

SEC("kprobe/tcp_connect")
int on_connect(void *ctx)
{
    return 0;
}

SEC("kretprobe/tcp_connect")
int after_connect(void *ctx)
{
    return 0;
}

SEC("fentry/tcp_retransmit_skb")
int on_retransmit(void *ctx)
{
    return 0;
}

SEC("fexit/tcp_retransmit_skb")
int after_retransmit(void *ctx)
{
    return 0;
}

SEC("lsm/file_open")
int guard_open(void *ctx)
{
    return 0;
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
