// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests of CO-RE, never attached: all thirteen kinds of records, with and without an answer in core_kernel.bpf.c.
// What the oracle of the tests does not know, only with MATCHES: whether types match, arrays
// without length, and what another size means.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define __core __attribute__((preserve_access_index))

enum state {
    STATE_NEW,
    STATE_BELOW = -1,
    STATE_GONE,
};

enum large {
    LARGE_ONE = 0x700000000ULL,
    LARGE_THREE = 0x300000000ULL,
};

struct part {
    __u16 number;
    int deep;
} __core;

typedef struct {
    __u32 second;
} __core named_by_typedef;

union either {
    __u64 longer;
    __u8 bytes[8];
} __core;

struct thing {
    struct thing *next;
    __u32 grown;
    int shrunk;
    __u32 mode: 9;
    int level: 5;
    __u32 inside;
    struct part parts[3];
    __u32 table[4];
    enum state state;
    named_by_typedef pair;
    union either either;
    __u32 qualified;
    __u32 gone;
    __u8 open[];
} __core;

struct thing___old {
    __u32 gone;
    struct part parts[3];
} __core;

struct nowhere {
    int field;
} __core;

typedef int (*callback)(struct thing *, __u32);

#ifdef MATCHES
struct exact {
    __u32 a;
    struct thing *thing;
} __core;

struct exact___other {
    __u64 a;
} __core;

struct exact___more {
    __u32 a;
    __u32 b;
} __core;

struct thing___forward;

struct exact___forward {
    struct thing___forward *thing;
} __core;

typedef int (*callback___other)(struct thing *);

enum state___less {
    STATE_NEW___less = 77,
};

volatile __u32 results[12];

SEC("xdp")
int core_matches(struct xdp_md *ctx)
{
    (void)ctx;
    results[0] = bpf_core_type_matches(struct exact);
    results[1] = bpf_core_type_matches(struct exact___other);
    results[2] = bpf_core_type_matches(struct exact___more);
    results[3] = bpf_core_type_matches(struct exact___forward);
    results[4] = bpf_core_type_matches(callback);
    results[5] = bpf_core_type_matches(callback___other);
    results[6] = bpf_core_type_matches(union either);
    results[7] = bpf_core_type_matches(enum state);
    results[8] = bpf_core_type_matches(enum state___less);
    results[9] = bpf_core_type_matches(named_by_typedef);
    results[10] = bpf_core_type_matches(struct nowhere);
    results[11] = bpf_core_type_matches(struct part);
    return XDP_PASS;
}

SEC("xdp")
int core_open(struct xdp_md *ctx)
{
    struct thing *thing = (void *)(long)ctx->data;

    return thing->open[7];
}

SEC("xdp")
int core_resized(struct xdp_md *ctx)
{
    struct thing *thing = (void *)(long)ctx->data;

    return thing->shrunk; // another size, with a sign: cannot be
}
#else
SEC("xdp")
int core_fields(struct xdp_md *ctx)
{
    struct thing *thing = (void *)(long)ctx->data;
    __u64 sum = 0;

    sum += (__u64)thing->next->next;
    sum += thing->grown;
    sum += thing->inside;
    sum += thing->parts[2].number + thing->parts[1].deep;
    sum += thing->table[3];
    sum += thing->state + thing->qualified;
    sum += thing->pair.second + thing->either.longer + thing->either.bytes[3];
    sum += thing[2].grown;
    thing->qualified = sum;
    return sum;
}

SEC("xdp")
int core_absent(struct xdp_md *ctx)
{
    struct thing *thing = (void *)(long)ctx->data;
    struct nowhere *nowhere = (void *)(long)ctx->data;
    __u64 sum = 0;

    if (bpf_core_field_exists(thing->gone))
        sum += thing->gone;
    sum += thing->gone;
    sum += nowhere->field;
    sum += bpf_core_field_size(nowhere->field);
    sum += bpf_core_enum_value(enum state, STATE_GONE);
    sum += bpf_core_enum_value(enum large, LARGE_THREE);
    return sum;
}

SEC("xdp")
int core_questions(struct xdp_md *ctx)
{
    struct thing *thing = (void *)(long)ctx->data;
    struct thing___old *old = (void *)thing;
    __u64 sum = 0;

    sum += bpf_core_field_exists(thing->mode) + bpf_core_field_exists(old->gone);
    sum += bpf_core_field_size(thing->shrunk) + bpf_core_field_size(thing->parts);
    sum += bpf_core_field_size(old->parts[1]);
    sum += bpf_core_field_offset(thing->table);
    sum += BPF_CORE_READ_BITFIELD(thing, mode);
    sum += BPF_CORE_READ_BITFIELD(thing, level);
    sum += BPF_CORE_READ_BITFIELD_PROBED(thing, mode);
    sum += bpf_core_type_id_local(struct thing) + bpf_core_type_id_kernel(struct thing);
    sum += bpf_core_type_exists(struct thing) + bpf_core_type_exists(struct nowhere);
    sum += bpf_core_type_exists(callback) + bpf_core_type_exists(named_by_typedef);
    sum += bpf_core_type_size(struct thing) + bpf_core_type_size(union either);
    sum += bpf_core_enum_value_exists(enum state, STATE_NEW);
    sum += bpf_core_enum_value_exists(enum state, STATE_GONE);
    sum += bpf_core_enum_value(enum state, STATE_NEW) + bpf_core_enum_value(enum state, STATE_BELOW);
    sum += bpf_core_enum_value(enum large, LARGE_ONE);
    return sum;
}
#endif

char _license[] SEC("license") = "GPL";
