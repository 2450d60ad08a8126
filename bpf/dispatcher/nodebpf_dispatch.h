// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// What an XDP dispatcher and its loader agree on: the libxdp multi-dispatcher protocol, version 2, and
// what versions 1 and 3 have elsewhere.
//
// Other loaders on the node (xdp-loader, anything over libxdp 1.3 and later) read the same bytes,
// so names may change here, offsets and numbers may not. The loader's Rust side of this layout is
// compared with the BTF of the built object.
//
// Version 1 (libxdp 1.2 and older) is 84 bytes: the number of programs at offset 0, no magic, no
// version, no flags; the two arrays that it has stand where they stand here. Version 3 (libxdp 1.6) is
// 128 bytes: version 2, and at offset 124 whether the dispatcher is bound to a device. The loader writes
// the layout of the version that is in use on the interface.
//
// Source: xdp-tools lib/libxdp/protocol.org and headers/xdp/prog_dispatcher.h (facts, no code).

#ifndef NODEBPF_DISPATCH_H
#define NODEBPF_DISPATCH_H

#include <linux/types.h>

// Slots, and so the most programs that share one interface.
#define NODEBPF_DISPATCH_SLOTS 10

// First byte of the configuration: tells versions 2 and later from version 1.
#define NODEBPF_DISPATCH_MAGIC 236

// Second byte of the configuration, and `dispatcher_version` in the section below.
#define NODEBPF_DISPATCH_VERSION 2

// Section whose one variable carries the version in its BTF type.
#define NODEBPF_DISPATCH_METADATA "xdp_metadata"

// Verdict of a slot that no program fills; no XDP action has this number.
#define NODEBPF_DISPATCH_EMPTY 31

// The whole `.rodata` of a dispatcher of version 2. Host byte order; slots from num_progs_enabled on are zero.
struct nodebpf_dispatch_conf {
    __u8 magic;              // NODEBPF_DISPATCH_MAGIC
    __u8 dispatcher_version; // NODEBPF_DISPATCH_VERSION
    __u8 num_progs_enabled;  // 0..=NODEBPF_DISPATCH_SLOTS
    __u8 is_xdp_frags;       // 1: the dispatcher and all its programs accept multi-buffer packets
    // Bit n set: verdict n of this slot goes on to the next one.
    // Bit NODEBPF_DISPATCH_EMPTY is set in every slot in use.
    __u32 chain_call_actions[NODEBPF_DISPATCH_SLOTS];
    __u32 run_prios[NODEBPF_DISPATCH_SLOTS];     // rising; read by loaders, not by the dispatcher
    __u32 program_flags[NODEBPF_DISPATCH_SLOTS]; // BPF_F_XDP_HAS_FRAGS, where the program asked for it
};

#define NODEBPF_DISPATCH_AT(field, offset)                                                        \
    _Static_assert(__builtin_offsetof(struct nodebpf_dispatch_conf, field) == (offset),          \
                   "libxdp protocol v2: offset of " #field)

_Static_assert(sizeof(struct nodebpf_dispatch_conf) == 124, "libxdp protocol v2: size of the configuration");
NODEBPF_DISPATCH_AT(magic, 0);
NODEBPF_DISPATCH_AT(dispatcher_version, 1);
NODEBPF_DISPATCH_AT(num_progs_enabled, 2);
NODEBPF_DISPATCH_AT(is_xdp_frags, 3);
NODEBPF_DISPATCH_AT(chain_call_actions, 4);
NODEBPF_DISPATCH_AT(run_prios, 44);
NODEBPF_DISPATCH_AT(program_flags, 84);

#endif
