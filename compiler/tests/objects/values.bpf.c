// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Global variables and maps of every kind that manifests give values to, for the compiler's tests. Never loaded.
//
// Built like bpf/programs: clang-19 --no-default-config -g -O2 -target bpfel -mcpu=v3 -ffile-compilation-dir=.
// -idirafter /usr/include/x86_64-linux-gnu -c values.bpf.c -o values.bpf.o && llvm-strip-19 -g values.bpf.o

#include <linux/bpf.h>
#include <linux/in6.h>

#include <bpf/bpf_helpers.h>

enum level {
    LEVEL_OFF,
    LEVEL_DROP = 3,
};

struct limits {
    __u16 ports[2];
    __u8 level;
    __u8 pad;
    __be32 gateway;
};

struct flags {
    __u32 on : 1;
    __u32 rest : 31;
};

union either {
    __u32 word;
    __u8 bytes[4];
};

struct network {
    __u32 prefixlen;
    __be32 address;
};

struct network6 {
    __u32 prefixlen;
    struct in6_addr address;
};

// Set by manifests.
const volatile __u32 mtu_floor = 1280;
const volatile __s16 offset = -1;
const volatile _Bool enabled = 1;
const volatile char device[16] = "eth0";
const volatile enum level level = LEVEL_DROP;
const volatile __be32 gateway;
const volatile __be16 port;
const volatile __u8 peer_mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };
const volatile struct in6_addr peer;
const volatile struct limits limits_of[2];
const volatile struct flags flags;
const volatile union either either;
const volatile __u64 table[1024];
const volatile __u32 tuned SEC(".rodata.tuning") = 7;
__u64 seen;
__u32 rate = 100;
const __u32 folded = 5;

#define MAP(name, kind, key_type, value_type, size)                                                                    \
    struct {                                                                                                           \
        __uint(type, BPF_MAP_TYPE_##kind);                                                                             \
        __type(key, key_type);                                                                                         \
        __type(value, value_type);                                                                                     \
        __uint(max_entries, size);                                                                                     \
    } name SEC(".maps")

MAP(by_name, HASH, char[16], struct limits, 8);
MAP(by_mac, HASH, __u8[6], enum level, 8);
MAP(by_peer, HASH, struct in6_addr, _Bool, 8);
MAP(settings, ARRAY, __u32, struct limits, 2);
MAP(lru, LRU_HASH, __u32, __u64, 16);
MAP(counts, PERCPU_ARRAY, __u32, __u64, 4);

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __type(key, struct network);
    __type(value, __u8);
    __uint(max_entries, 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
} networks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __type(key, struct network6);
    __type(value, __u8);
    __uint(max_entries, 16);
    __uint(map_flags, BPF_F_NO_PREALLOC);
} networks6 SEC(".maps");

#define USE(map) bpf_map_lookup_elem(&map, &key)

SEC("xdp")
int filter(struct xdp_md *ctx)
{
    static const volatile __u32 hidden = 3;
    char key[32] = {};

    seen += mtu_floor + offset + enabled + device[0] + level + gateway + port + peer_mac[0] + tuned + hidden;
    seen += peer.in6_u.u6_addr8[0] + limits_of[0].level + flags.on + either.word + table[0] + folded + rate;
    return USE(by_name) && USE(by_mac) && USE(by_peer) && USE(settings) && USE(lru) && USE(counts) && USE(networks) &&
                   USE(networks6) ?
               XDP_PASS :
               XDP_DROP;
}

SEC("xdp")
int watch(struct xdp_md *ctx)
{
    seen += mtu_floor;
    return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
