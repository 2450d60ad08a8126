// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests of CO-RE: the types of a kernel, which differ from those that core.bpf.c was compiled against.

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

enum state {
    STATE_NEW = 3,
    STATE_BELOW = -7,
    STATE_DONE = 9,
};

enum large {
    LARGE_ONE = 0x100000000ULL,
    LARGE_TWO = 0x200000000ULL,
};

struct part {
    __u64 before;
    __u16 number;
    struct {
        int deep;
    };
};

typedef struct {
    __u32 first;
    __u32 second;
} named_by_typedef;

union either {
    __u32 word;
    __u64 longer;
    __u8 bytes[8];
};

struct thing {
    __u64 added;
    struct thing *next;
    __u64 grown; // __u32 there
    signed char shrunk; // int there, signed
    __u32 flags: 3, mode: 9, rest: 20;
    int level: 5;
    struct {
        union {
            __u32 inside;
            __u16 half;
        };
    };
    struct part parts[5];
    __u32 table[6];
    enum state state;
    named_by_typedef pair;
    union either either;
    const volatile __u32 qualified;
    void (*call)(struct thing *, int);
    __u8 open[];
};

typedef int (*callback)(struct thing *, __u32);

struct exact {
    __u32 a;
    struct thing *thing;
    enum state state;
};

// Keep them in BTF.
struct thing thing;
struct exact exact;
callback call;
named_by_typedef pair;
enum state state;
enum large large = LARGE_ONE;
