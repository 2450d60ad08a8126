//! XDP through the libxdp multi-dispatcher protocol, so that programs of ours and of every libxdp user share an
//! interface.
//!
//! Source: xdp-tools `lib/libxdp/protocol.org` and `headers/xdp/prog_dispatcher.h`; what real kernels and xdp-loader
//! do is tested by the guest tests.
//!
//! [`config`] codes the dispatcher's configuration, [`admit`] says who has no room and [`chain`] what is to be done (both
//! pure), [`observe`] reads what is attached, [`dispatcher`] loads our dispatcher and swaps it in, [`stale`] finds what
//! crashes left.

pub mod admit;
pub mod chain;
pub mod config;
pub mod dispatcher;
pub mod names;
pub mod observe;
pub mod stale;

use std::path::PathBuf;

use crate::kernel::BPFFS;

/// libxdp's directory; also what its lock is taken on.
pub fn root() -> PathBuf {
    PathBuf::from(BPFFS).join("xdp")
}

/// Where a dispatcher's components are pinned.
pub fn dispatch_dir(ifindex: u32, dispatcher_id: u32) -> PathBuf {
    root().join(format!("dispatch-{ifindex}-{dispatcher_id}"))
}
