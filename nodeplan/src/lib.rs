//! The wire contract of nodebpf: everything that `nodebpf` writes and `nodebpf-loader` reads, and back.
//!
//! - [`plan`]: the [`plan::NodePlan`], what one stream wants of one node.
//! - [`statement`]: the in-toto Statement that carries a plan and the digests of its objects.
//! - [`bundle`]: the archive that carries statement, signatures and objects; [`bundle::Unverified`] becomes
//!   [`bundle::Verified`] only through a [`trust::Trust`].
//! - [`trust`]: who may sign for which streams, and the chain of versions a node walks.
//! - [`report`]: what the loader says about a node, its exit codes and its error codes.
//!
//! Pure: no files, no clock, no environment, no randomness. Bytes come in, bytes go out.
//!
//! # Invariants
//!
//! 1. A signature is checked over exact bytes before any of them is parsed as JSON.
//! 2. A bundle is refused unless its bytes equal its own canonical re-encoding: no bit is outside the check.
//! 3. Unknown fields, duplicate keys, extra members and missing members are refused.
//! 4. Equal values encode to equal bytes on every machine.

#![forbid(unsafe_code)]

pub mod applies;
pub mod archive;
pub mod base64;
pub mod bundle;
pub mod digest;
pub mod dsse;
pub mod entry;
pub mod event;
pub mod glob;
pub mod hook;
pub mod json;
pub mod key;
pub mod limits;
pub mod map_memory;
pub mod memory;
pub mod name;
pub mod note;
pub mod plan;
pub mod priority;
pub mod report;
pub mod selector;
pub mod sorted;
pub mod statement;
pub mod text;
pub mod time;
pub mod trust;
pub mod xdp;
