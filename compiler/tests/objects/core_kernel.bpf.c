// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// The types of an imaginary kernel, for the compiler's tests of CO-RE: only the BTF of this object is used. Never
// loaded. core_local.bpf.c asks for them.

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct inner {
    long pad;
    int depth;
    char name[16];
};

struct task {
    long state;
    union {
        int pid;
        struct {
            short low;
            short high;
        };
    };
    unsigned int flag_a : 3;
    unsigned int flag_b : 7;
    int wide : 20;
    struct inner *next;
    struct inner nested;
    struct inner many[4];
    int moved_to_long;
    enum mood { CALM = 3, ANGRY = 7 } mood;
};

enum big { BIG = 0x100000001ULL, SMALL = 1 };

// Two types of one name: a loader cannot tell which is meant.
struct twice {
    int first;
    int value;
};

struct twice___other {
    int value;
};

typedef int number_t;

typedef void (*btf_trace_happened)(void *, struct task *);

SEC("xdp")
int bpf_lsm_opened(struct task *task, enum big big, struct twice *twice, struct twice___other *other, number_t number)
{
    return task && big && twice && other && number;
}

SEC("xdp")
int run_task(struct task *task, btf_trace_happened happened)
{
    return task->pid && happened;
}

char _license[] SEC("license") = "GPL";
