// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: a timer that counts and starts itself again, so that one that was cancelled is seen.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#define CLOCK_MONOTONIC 1
#define PERIOD_NS 10000000

struct state {
    struct bpf_timer timer;
    __u64 started;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, struct state);
    __uint(max_entries, 1);
} timers SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} fired SEC(".maps");

static int fire(void *map, __u32 *key, struct bpf_timer *timer)
{
    __u32 zero = 0;
    __u64 *count = bpf_map_lookup_elem(&fired, &zero);

    (void)map;
    (void)key;
    if (count)
        __sync_fetch_and_add(count, 1);
    bpf_timer_start(timer, PERIOD_NS, 0);
    return 0;
}

SEC("cgroup/connect4")
int start_timer(struct bpf_sock_addr *ctx)
{
    __u32 zero = 0;
    struct state *state = bpf_map_lookup_elem(&timers, &zero);

    (void)ctx;
    if (!state || state->started)
        return 1;
    state->started = 1;
    bpf_timer_init(&state->timer, &timers, CLOCK_MONOTONIC);
    bpf_timer_set_callback(&state->timer, fire);
    bpf_timer_start(&state->timer, PERIOD_NS, 0);
    return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
