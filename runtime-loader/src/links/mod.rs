//! Links: every hook but XDP. One kind of thing, a pinned `bpf_link`, for all of them.
//!
//! [`wanted`] says which links a plan wants on this node (pure), [`order`] where one goes among others (pure),
//! [`advance`] makes them so, [`retire`] removes those that are not wanted any more.
//!
//! A link is known by its pin: `/sys/fs/bpf/nodebpf/<stream>/<statement>/links/<place>_<program>`. The same name below
//! the version that ran before is the same place: where the kernel can, the new program takes it over in one step and
//! the link gets a second pin; elsewhere the new program is attached beside the old one, which leaves with its
//! version's pins. Both ways there is no moment with neither, and until those pins go everything can be taken back.

pub mod order;
mod place;
mod run;
mod wanted;

pub use place::{cgroup_dir, create, tracefs_id};
pub use run::{advance, alive, detach_former, rehearse, retire};
pub use wanted::{Place, Wanted, add, running, wanted};

/// `BPF_TCX_INGRESS`, linux `include/uapi/linux/bpf.h`.
pub const TCX_INGRESS: u32 = 46;
/// `BPF_TCX_EGRESS`.
pub const TCX_EGRESS: u32 = 47;

/// Root of the unified hierarchy, on every node with cgroup v2.
pub const CGROUPS: &str = "/sys/fs/cgroup";
