//! Platform: what each OpenShift release offers, and whether a stream fits the releases it is for.
//!
//! In:   a plan, the places it came from, the releases of `--ocp`. Out: reports.
//! May fail with: NB0505 to NB0511.
//!
//! [`table`] is the only place with facts about releases; [`check()`] judges by it, [`target`] reads `--ocp`.

mod check;
pub mod table;
pub mod target;

pub use check::{check, check_releases, outside};
