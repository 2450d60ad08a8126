// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: a dispatcher of another version than ours, as libxdp 1.2 (DISPATCHER_VERSION 1) and libxdp 1.6 (3) would
// leave it on an interface, with two programs.
//
// Written from xdp-tools lib/libxdp/protocol.org and headers/xdp/prog_dispatcher.h (facts, no code), and not with our own
// header, so that a mistake there does not hide here.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct xdp_dispatcher_conf {
#if DISPATCHER_VERSION == 1
    __u8 num_progs_enabled;
#else
    __u8 magic;
    __u8 dispatcher_version;
    __u8 num_progs_enabled;
    __u8 is_xdp_frags;
#endif
    __u32 chain_call_actions[10];
    __u32 run_prios[10];
#if DISPATCHER_VERSION != 1
    __u32 program_flags[10];
    __u8 is_xdp_devbound;
#endif
};

#if DISPATCHER_VERSION == 1
_Static_assert(sizeof(struct xdp_dispatcher_conf) == 84, "version 1");
#else
_Static_assert(sizeof(struct xdp_dispatcher_conf) == 128, "version 3");
#endif

__uint(dispatcher_version, DISPATCHER_VERSION) SEC("xdp_metadata");

static volatile const struct xdp_dispatcher_conf conf = {
#if DISPATCHER_VERSION != 1
    .magic = 236,
    .dispatcher_version = DISPATCHER_VERSION,
    .program_flags = {1 << 5},
#endif
    .num_progs_enabled = 2,
    .chain_call_actions = {1U << 31 | 1 << XDP_PASS, 1U << 31 | 1 << XDP_PASS | 1 << XDP_TX},
    .run_prios = {40, 60},
};

#define SLOT(name)                                                                                \
    __noinline int name(struct xdp_md *ctx)                                                       \
    {                                                                                             \
        int verdict = 31;                                                                         \
                                                                                                  \
        barrier_var(verdict);                                                                     \
        if (!ctx)                                                                                 \
            return XDP_ABORTED;                                                                   \
        return verdict;                                                                           \
    }

SLOT(prog0)
SLOT(prog1)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
    int verdict;

    if (conf.num_progs_enabled < 1)
        return XDP_PASS;
    verdict = prog0(ctx);
    if (!(1U << (verdict & 31) & conf.chain_call_actions[0]))
        return verdict;
    if (conf.num_progs_enabled < 2)
        return XDP_PASS;
    verdict = prog1(ctx);
    if (!(1U << (verdict & 31) & conf.chain_call_actions[1]))
        return verdict;
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
