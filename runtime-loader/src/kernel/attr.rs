//! Arguments of bpf(2), one structure per command, laid out as in linux `include/uapi/linux/bpf.h`, `union bpf_attr`.
//!
//! All fields are integers without padding between them, so every byte the kernel reads is initialised. The kernel
//! takes a shorter structure than its own and reads the rest as zero.

pub(super) const MAP_CREATE: libc::c_int = 0;
pub(super) const MAP_LOOKUP_ELEM: libc::c_int = 1;
pub(super) const MAP_UPDATE_ELEM: libc::c_int = 2;
pub(super) const MAP_GET_NEXT_KEY: libc::c_int = 4;
pub(super) const PROG_LOAD: libc::c_int = 5;
pub(super) const OBJ_PIN: libc::c_int = 6;
pub(super) const OBJ_GET: libc::c_int = 7;
pub(super) const PROG_GET_FD_BY_ID: libc::c_int = 13;
pub(super) const MAP_GET_FD_BY_ID: libc::c_int = 14;
pub(super) const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
pub(super) const PROG_QUERY: libc::c_int = 16;
pub(super) const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
pub(super) const BTF_LOAD: libc::c_int = 18;
pub(super) const BTF_GET_FD_BY_ID: libc::c_int = 19;
pub(super) const MAP_FREEZE: libc::c_int = 22;
pub(super) const LINK_CREATE: libc::c_int = 28;
pub(super) const LINK_UPDATE: libc::c_int = 29;

/// `enum bpf_link_type`.
pub(super) const LINK_TYPE_TRACING: u32 = 2;
pub(super) const LINK_TYPE_CGROUP: u32 = 3;
pub(super) const LINK_TYPE_XDP: u32 = 6;
pub(super) const LINK_TYPE_TCX: u32 = 11;

#[repr(C)]
#[derive(Default)]
pub(super) struct MapCreate {
    pub map_type: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub inner_map_fd: u32,
    pub numa_node: u32,
    pub map_name: [u8; 16],
    pub map_ifindex: u32,
    pub btf_fd: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub map_extra: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct MapElem {
    pub map_fd: u32,
    pub pad: u32,
    pub key: u64,
    pub value: u64,
    pub flags: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgLoad {
    pub prog_type: u32,
    pub insn_cnt: u32,
    pub insns: u64,
    pub license: u64,
    pub log_level: u32,
    pub log_size: u32,
    pub log_buf: u64,
    pub kern_version: u32,
    pub prog_flags: u32,
    pub prog_name: [u8; 16],
    pub prog_ifindex: u32,
    pub expected_attach_type: u32,
    pub prog_btf_fd: u32,
    pub func_info_rec_size: u32,
    pub func_info: u64,
    pub func_info_cnt: u32,
    pub line_info_rec_size: u32,
    pub line_info: u64,
    pub line_info_cnt: u32,
    pub attach_btf_id: u32,
    pub attach_prog_fd: u32,
    pub core_relo_cnt: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct Obj {
    pub pathname: u64,
    pub bpf_fd: u32,
    pub file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ById {
    pub id: u32,
    pub next_id: u32,
    pub open_flags: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct InfoByFd {
    pub bpf_fd: u32,
    pub info_len: u32,
    pub info: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct BtfLoad {
    pub btf: u64,
    pub btf_log_buf: u64,
    pub btf_size: u32,
    pub btf_log_size: u32,
    pub btf_log_level: u32,
    pub pad: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct OneFd {
    pub fd: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct LinkCreate {
    pub prog_fd: u32,
    pub target_fd: u32,
    pub attach_type: u32,
    pub flags: u32,
    /// A union: `target_btf_id` of extensions, the descriptor or id of a neighbour in a list.
    pub target: u32,
    pub pad: u32,
    pub expected_revision: u64,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct LinkUpdate {
    pub link_fd: u32,
    pub new_prog_fd: u32,
    pub flags: u32,
    pub old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct RawTracepoint {
    pub name: u64,
    pub prog_fd: u32,
    pub pad: u32,
}

#[repr(C)]
#[derive(Default)]
pub(super) struct ProgQuery {
    pub target: u32,
    pub attach_type: u32,
    pub query_flags: u32,
    pub attach_flags: u32,
    pub prog_ids: u64,
    pub count: u32,
    pub pad: u32,
    pub prog_attach_flags: u64,
    pub link_ids: u64,
    pub link_attach_flags: u64,
    pub revision: u64,
}

/// `struct perf_event_attr` up to `config2` (`PERF_ATTR_SIZE_VER1`), linux `include/uapi/linux/perf_event.h`.
#[repr(C)]
#[derive(Default)]
pub(super) struct PerfEvent {
    pub kind: u32,
    pub size: u32,
    pub config: u64,
    pub sample_period: u64,
    pub sample_type: u64,
    pub read_format: u64,
    pub flags: u64,
    pub wakeup_events: u32,
    pub bp_type: u32,
    pub config1: u64,
    pub config2: u64,
}

/// `struct bpf_prog_info` up to `btf_id`.
#[repr(C)]
#[derive(Default)]
pub(super) struct ProgInfo {
    pub prog_type: u32,
    pub id: u32,
    pub tag: [u8; 8],
    pub jited_prog_len: u32,
    pub xlated_prog_len: u32,
    pub jited_prog_insns: u64,
    pub xlated_prog_insns: u64,
    pub load_time: u64,
    pub created_by_uid: u32,
    pub nr_map_ids: u32,
    pub map_ids: u64,
    pub name: [u8; 16],
    pub ifindex: u32,
    pub gpl_compatible: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub nr_jited_ksyms: u32,
    pub nr_jited_func_lens: u32,
    pub jited_ksyms: u64,
    pub jited_func_lens: u64,
    pub btf_id: u32,
    pub func_info_rec_size: u32,
}

/// `struct bpf_map_info` up to `map_extra`.
#[repr(C)]
#[derive(Default)]
pub(super) struct MapInfo {
    pub map_type: u32,
    pub id: u32,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub map_flags: u32,
    pub name: [u8; 16],
    pub ifindex: u32,
    pub btf_vmlinux_value_type_id: u32,
    pub netns_dev: u64,
    pub netns_ino: u64,
    pub btf_id: u32,
    pub btf_key_type_id: u32,
    pub btf_value_type_id: u32,
    pub btf_vmlinux_id: u32,
    pub map_extra: u64,
}

/// `struct bpf_btf_info` up to `id`.
#[repr(C)]
#[derive(Default)]
pub(super) struct BtfInfo {
    pub btf: u64,
    pub btf_size: u32,
    pub id: u32,
}

/// `struct bpf_link_info` up to its union, and the first words of that: `xdp.ifindex`, or for tracing links
/// `attach_type`, `target_obj_id`, `target_btf_id`; for TCX links `ifindex`, `attach_type`; for cgroup links the two
/// halves of `cgroup_id`, `attach_type`.
#[repr(C)]
#[derive(Default)]
pub(super) struct LinkInfo {
    pub link_type: u32,
    pub id: u32,
    pub prog_id: u32,
    pub pad: u32,
    pub word0: u32,
    pub target_obj_id: u32,
    pub target_btf_id: u32,
    pub pad1: u32,
}
