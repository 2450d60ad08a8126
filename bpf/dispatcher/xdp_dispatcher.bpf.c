// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// XDP dispatcher: runs up to ten XDP programs on one interface, one after the other.
//
// In:   a packet; `conf`, which the loader writes before the load and freezes.
// Out:  the verdict of the first program whose verdict ends the chain, else XDP_PASS.
// May fail with: nothing at run time. A slot whose program is gone answers 31 and the chain goes on.
//
// A program takes a slot by being loaded as BPF_PROG_TYPE_EXT in place of that slot's function. So
// the functions are global, keep their prototype in BTF, and are never inlined. The kernel reads
// `conf` as constants and drops the code of all slots that are not in use: a dispatcher is built for
// exactly its programs, and replaced when they change.
//
// One object for every version of the protocol and for multi-buffer packets: the loader writes the
// configuration in the version's layout and size, the version into the BTF, and the flag
// BPF_F_XDP_HAS_FRAGS (kernel 5.18) with the load.
//
// Never add a map, .data or .bss: libxdp takes a program with more than one map for a foreign one.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "nodebpf_dispatch.h"

// The version stands in the BTF type, as the length of an array. This is how libxdp looks it up in
// dispatchers whose configuration has no magic byte.
__uint(dispatcher_version, NODEBPF_DISPATCH_VERSION) SEC(NODEBPF_DISPATCH_METADATA);

// As committed: no program, everything passes.
static volatile const struct nodebpf_dispatch_conf conf = {
    .magic = NODEBPF_DISPATCH_MAGIC,
    .dispatcher_version = NODEBPF_DISPATCH_VERSION,
};

// 31, but the compiler must not know: it would fold the test of a verdict that will be another one.
static __always_inline int empty_slot(void)
{
    int verdict = NODEBPF_DISPATCH_EMPTY;

    barrier_var(verdict);
    return verdict;
}

// The call changes nothing. It marks the slot as one that may change the packet, without which
// kernels from 6.12.y and 6.13 on refuse programs there that do.
#define SLOT(name)                                                                                \
    __noinline int name(struct xdp_md *ctx)                                                       \
    {                                                                                             \
        bpf_xdp_adjust_tail(ctx, 0);                                                              \
        return empty_slot();                                                                      \
    }

SLOT(prog0)
SLOT(prog1)
SLOT(prog2)
SLOT(prog3)
SLOT(prog4)
SLOT(prog5)
SLOT(prog6)
SLOT(prog7)
SLOT(prog8)
SLOT(prog9)

// A function that no chain runs: loaders probe with it whether this kernel can replace functions.
SLOT(compat_test)

// Unlike a plain shift, defined for every verdict that a program can return.
#define CONTINUES(slot, verdict) ((conf.chain_call_actions[slot] >> ((verdict) & 31)) & 1)

#define RUN(slot)                                                                                 \
    do {                                                                                          \
        if (programs <= (slot))                                                                   \
            return XDP_PASS;                                                                      \
        verdict = prog##slot(ctx);                                                                \
        if (!CONTINUES(slot, verdict))                                                            \
            return verdict;                                                                       \
    } while (0)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
    // Version 1 has the number of programs where the magic is in later ones.
    const __u8 first = conf.magic;
    const __u8 programs = first == NODEBPF_DISPATCH_MAGIC ? conf.num_progs_enabled : first;
    int verdict;

    RUN(0);
    RUN(1);
    RUN(2);
    RUN(3);
    RUN(4);
    RUN(5);
    RUN(6);
    RUN(7);
    RUN(8);
    RUN(9);

    // Never so; the call keeps compat_test in the program, where a loader looks for it.
    if (programs > NODEBPF_DISPATCH_SLOTS)
        return compat_test(ctx);
    return XDP_PASS;
}

// For probes: whether XDP, its flags and the replacing of a whole program work here.
SEC("xdp")
int xdp_pass(struct xdp_md *ctx __attribute__((unused)))
{
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
