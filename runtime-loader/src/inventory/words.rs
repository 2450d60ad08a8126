//! Names of numbers: types of programs, maps, links and places. Pure.
//!
//! Source: linux `include/uapi/linux/bpf.h`, in the order of its enumerations.

use crate::{
    kernel::LinkDetail,
    show::{cat, digits},
};

const PROGRAMS: &str = "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb cgroup_sock \
    lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint cgroup_sock_addr lwt_seg6local lirc_mode2 \
    sk_reuseport flow_dissector cgroup_sysctl raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup \
    syscall netfilter";

const MAPS: &str = "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array \
    lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage \
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage \
    task_storage bloom_filter user_ringbuf cgrp_storage arena";

const LINKS: &str = "unspec raw_tracepoint tracing cgroup iter netns xdp perf_event kprobe_multi struct_ops netfilter tcx \
    uprobe_multi netkit sockmap";

const PLACES: &str = "ingress egress sock_create sock_ops stream_parser stream_verdict device sk_msg bind4 bind6 connect4 \
    connect6 post_bind4 post_bind6 sendmsg4 sendmsg6 lirc_mode2 flow_dissector sysctl recvmsg4 recvmsg6 getsockopt \
    setsockopt tp_btf fentry fexit fmod_ret lsm iter getpeername4 getpeername6 getsockname4 getsockname6 xdp_devmap \
    sock_release xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport sk_reuseport_migrate perf_event kprobe_multi \
    lsm_cgroup struct_ops netfilter tcx_ingress tcx_egress uprobe_multi connect_unix sendmsg_unix recvmsg_unix \
    getpeername_unix getsockname_unix netkit_primary netkit_peer";

const EVENTS: &str = "perf_event uprobe uretprobe kprobe kretprobe tracepoint perf_event";

fn word(list: &str, at: u32) -> String {
    list.split(' ').nth(at as usize).map_or_else(|| show(at), str::to_owned)
}

/// Type of a program.
pub(super) fn program(at: u32) -> String {
    word(PROGRAMS, at)
}

/// Type of a map.
pub(super) fn map(at: u32) -> String {
    word(MAPS, at)
}

/// Type of a link.
pub(super) fn link(at: u32) -> String {
    word(LINKS, at)
}

/// An attach type.
pub(super) fn place(at: u32) -> String {
    word(PLACES, at)
}

/// Attach types of cgroups that programs of this type have; `lsm` has one of its own.
pub(super) fn cgroup_places(prog_type: u32) -> &'static [u32] {
    match prog_type {
        8 => &[0, 1],
        9 => &[2, 12, 13, 34],
        13 => &[3],
        15 => &[6],
        18 => &[8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52, 53],
        23 => &[18],
        25 => &[21, 22],
        29 => &[43],
        _ => &[],
    }
}

/// Where a link leads, as far as it says so itself. `function` names an id of the kernel's BTF.
pub(super) fn target(detail: &LinkDetail, function: &mut dyn FnMut(u32, u32) -> Option<String>) -> String {
    let [a, b, c, ..] = detail.words;
    let (kind, what) = match detail.link_type {
        1 => (word(LINKS, 1), detail.name.clone()),
        // An extension has no attach type; its target is a program.
        2 if a == 0 => ("ext".to_owned(), cat(&["function ", &show(c), " of program ", &show(b)])),
        2 => (place(a), function(b, c).unwrap_or_else(|| cat(&["BTF ", &show(b), " type ", &show(c)]))),
        3 => (cat(&["cgroup ", &place(c)]), cat(&["id ", &digits(u64::from(b) << 32 | u64::from(a))])),
        5 => (place(b), cat(&["netns ", &show(a)])),
        6 => (word(LINKS, 6), cat(&["interface ", &show(a)])),
        7 => (word(EVENTS, a), detail.name.clone()),
        11 | 13 => (place(b), cat(&["interface ", &show(a)])),
        9 => (word(LINKS, 9), cat(&["map ", &show(a)])),
        10 => (word(LINKS, 10), cat(&["family ", &show(a), " hook ", &show(b)])),
        other => (word(LINKS, other), String::new()),
    };
    let space = if what.is_empty() { "" } else { " " };
    cat(&[&kind, space, &what])
}

fn show(number: u32) -> String {
    digits(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_kernels_names() {
        for (got, want) in [
            (program(6), "xdp"),
            (program(28), "ext"),
            (program(32), "netfilter"),
            (program(99), "99"),
            (map(27), "ringbuf"),
            (map(33), "arena"),
            (link(14), "sockmap"),
            (place(10), "connect4"),
            (place(27), "lsm"),
            (place(37), "xdp"),
            (place(46), "tcx_ingress"),
            (place(55), "netkit_peer"),
        ] {
            assert_eq!(got, want);
        }
        // Every attach type of a cgroup has the name that manifests use, where they have one.
        for (_, number) in [("connect4", 10), ("sendmsg6", 15), ("getsockname6", 32), ("sock_release", 34)] {
            assert!((0..=32).any(|of| cgroup_places(of).contains(&number)));
        }
    }

    #[test]
    fn links_say_where_they_lead() {
        let detail = |link_type, words: &[u32], name: &str| {
            let mut all = [0; 12];
            all[..words.len()].copy_from_slice(words);
            LinkDetail { link_type, prog_id: 1, words: all, name: name.to_owned() }
        };
        let mut function = |btf, id| (btf == 1 && id == 7).then(|| "do_it".to_owned());
        for (detail, want) in [
            (detail(1, &[], "sys_enter"), "raw_tracepoint sys_enter"),
            (detail(2, &[24, 1, 7], ""), "fentry do_it"),
            (detail(2, &[27, 3, 9], ""), "lsm BTF 3 type 9"),
            (detail(2, &[0, 55, 8], ""), "ext function 8 of program 55"),
            (detail(3, &[5, 1, 10], ""), "cgroup connect4 id 4294967301"),
            (detail(7, &[3], "tcp_connect"), "kprobe tcp_connect"),
            (detail(7, &[0], ""), "perf_event"),
            (detail(11, &[4, 47], ""), "tcx_egress interface 4"),
            (detail(10, &[2, 3], ""), "netfilter family 2 hook 3"),
        ] {
            assert_eq!(target(&detail, &mut function), want);
        }
    }
}
