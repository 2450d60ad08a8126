// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// For tests: reads a field of the kernel's own types, whose place only the kernel's BTF knows, and compares it with what a
// helper says.

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

// What it needs of the kernel's type; the place is put in when it is loaded.
struct task_struct {
    int tgid;
} __attribute__((preserve_access_index));

// 0: how often both say the same, 1: how often they differ.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __type(key, __u32);
    __type(value, __u64);
    __uint(max_entries, 2);
} compared SEC(".maps");

SEC("raw_tracepoint/sched_process_exec")
int core_task(void *ctx)
{
    struct task_struct *task = (void *)bpf_get_current_task();
    __u32 differs = BPF_CORE_READ(task, tgid) != (int)(bpf_get_current_pid_tgid() >> 32);
    __u64 *count = bpf_map_lookup_elem(&compared, &differs);

    (void)ctx;
    if (count)
        __sync_fetch_and_add(count, 1);
    return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
