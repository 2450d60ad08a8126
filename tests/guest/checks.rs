//! The tests, by subject. Each file has its `TESTS`; `ALL` in `main.rs` names the files.

pub(crate) mod above;
pub(crate) mod af_xdp;
pub(crate) mod bonds;
pub(crate) mod chain;
pub(crate) mod crash;
pub(crate) mod diag;
pub(crate) mod events;
pub(crate) mod example;
pub(crate) mod freplace;
pub(crate) mod held;
pub(crate) mod hook_faults;
mod hook_streams;
pub(crate) mod hook_xdp;
pub(crate) mod hooks;
pub(crate) mod hostile;
pub(crate) mod kernel;
pub(crate) mod lasting;
pub(crate) mod leaving;
pub(crate) mod life;
pub(crate) mod maps;
pub(crate) mod memory;
pub(crate) mod moves;
pub(crate) mod never_neither;
pub(crate) mod objects;
pub(crate) mod packets;
pub(crate) mod pairs;
pub(crate) mod rehearsal;
pub(crate) mod room;
pub(crate) mod stale;
pub(crate) mod tcx;
pub(crate) mod together;
pub(crate) mod truth;
pub(crate) mod versions;

pub(crate) use hook_streams::every_hook;
