// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// CO-RE relocations of every kind, for the compiler's tests. The types of core_kernel.bpf.c have other layouts, and
// lack some of what is asked for here. Never loaded.

#pragma clang diagnostic ignored "-Wunused-parameter"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define KERNEL __attribute__((preserve_access_index))

struct inner {
    int depth;
    char name[8];
} KERNEL;

struct task {
    int pid;
    short high;
    unsigned int flag_b : 9;
    int wide : 12;
    struct inner *next;
    struct inner nested;
    struct inner many[8];
    int missing;
    int also_missing;
    long moved_to_long;
    enum mood { ANGRY = 1, CALM = 2, BORED = 9 } mood;
} KERNEL;

struct task___old {
    int old_pid;
    int other_pid;
} KERNEL;

struct twice {
    int value;
} KERNEL;

struct nowhere {
    int field;
} KERNEL;

enum big { BIG = 1, SMALL = 2 };

typedef int number_t;
typedef int other_t;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 1);
} out SEC(".maps");

#ifdef AMBIGUOUS
// Several types of that name. A reader may refuse an object for it, so it has one of its own.
SEC("fexit/not_there")
int ambiguous(__u64 *ctx)
{
    struct twice *twice = (void *)ctx[0];

    return twice->value;
}
#else
// All of it is there.
SEC("fentry/run_task")
int complete(__u64 *ctx)
{
    struct task *task = (void *)ctx[0];
    __u64 sum = task->pid + task->high + task->nested.depth + task->many[2].depth + task->next->name[3];

    sum += BPF_CORE_READ_BITFIELD(task, flag_b) + BPF_CORE_READ_BITFIELD(task, wide);
    sum += bpf_core_field_size(task->nested) + bpf_core_field_size(task->moved_to_long);
    sum += bpf_core_field_exists(task->missing) + bpf_core_field_exists(task->pid);
    sum += bpf_core_type_exists(struct nowhere) + bpf_core_type_exists(struct inner) + bpf_core_type_size(struct task);
    sum += bpf_core_type_id_local(struct task) + bpf_core_type_id_kernel(struct inner);
    sum += bpf_core_enum_value_exists(enum mood, CALM) + bpf_core_enum_value_exists(enum mood, BORED);
    sum += bpf_core_enum_value(enum mood, ANGRY);
    sum += bpf_core_type_exists(number_t) + bpf_core_type_exists(other_t);
    return sum;
}

// The kernel's enum has 64 bits; it is the same all the same.
SEC("raw_tp/happened")
int widened(__u64 *ctx)
{
    return bpf_core_enum_value(enum big, SMALL) == ctx[0];
}

// Field, type and value that are not there, and nobody asks.
SEC("lsm/opened")
int incomplete(__u64 *ctx)
{
    struct task *task = (void *)ctx[0];
    struct nowhere *nowhere = (void *)ctx[1];

    return task->missing + nowhere->field + bpf_core_enum_value(enum mood, BORED) + task->many[6].depth;
}

// Asks first.
SEC("tp_btf/happened")
int careful(__u64 *ctx)
{
    struct task *task = (void *)ctx[0];
    struct task___old *old = (void *)task;

    if (bpf_core_field_exists(task->missing))
        return task->missing;
    if (!bpf_core_field_exists(task->pid))
        return old->old_pid;
    return 0;
}
#endif

char _license[] SEC("license") = "GPL";
