// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests of the object reader, never attached: every way in which an instruction refers to something else.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define __hidden __attribute__((visibility("hidden")))
#define __tag(x) __attribute__((btf_decl_tag(x)))

enum wide {
    WIDE = 0x123456789abULL,
};

enum narrow {
    BELOW = -5,
    ABOVE = 5,
};

struct key {
    __u32 address;
    __u16 port;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __type(key, struct key);
    __type(value, __u64);
    __uint(max_entries, 64);
    __uint(map_flags, BPF_F_NO_PREALLOC);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
    __uint(key_size, 4);
    __uint(value_size, 4);
    __uint(max_entries, 8);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

const volatile __u32 limit = 7;
const volatile enum wide wide = WIDE;
const volatile enum narrow narrow = BELOW;
volatile __u64 counted;
static volatile __u32 hidden_counter;
volatile __u32 started = 3;
volatile __u32 own __attribute__((section(".data.own"))) = 4;
volatile __u32 tagged __tag("shown") = 5;

static __noinline __u32 leaf(__u32 value)
{
    return value + own + tagged;
}

__hidden __noinline __u32 branch(__u32 value)
{
    counted += wide;
    return leaf(value) + leaf(value + (__u32)narrow);
}

__noinline __u32 tree(__u32 value)
{
    hidden_counter += 1;
    return branch(value) * limit;
}

struct bpf_map;

static long each(struct bpf_map *map, struct key *key, __u64 *value, __u32 *sum)
{
    (void)map;
    *sum += key->port + *value + started;
    return 0;
}

SEC("xdp")
int shapes_main(struct xdp_md *ctx)
{
    struct key key = {.address = 1};
    __u32 sum = 0;
    __u64 *value = bpf_map_lookup_elem(&flows, &key);

    if (value)
        *value += tree(ctx->rx_queue_index);
    bpf_for_each_map_elem(&flows, each, &sum, 0);
    bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &sum, sizeof(sum));
    bpf_ringbuf_output(&ring, &sum, sizeof(sum), 0);
    return sum > limit ? XDP_DROP : XDP_PASS;
}

SEC("xdp.frags")
int shapes_second(struct xdp_md *ctx)
{
    return branch(ctx->ingress_ifindex) ? XDP_PASS : XDP_TX;
}

// The same section, so that functions do not all begin at its start.
SEC("xdp.frags")
int shapes_third(struct xdp_md *ctx)
{
    return tree(ctx->ingress_ifindex) ? XDP_PASS : XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
