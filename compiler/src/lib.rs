//! nodebpf: compiles `bpf.yaml` manifests into signed `MachineConfig`s.
//!
//! The pipeline, one public function per arrow: [`manifest::parse()`] -> [`resolve::resolve`] -> [`check::check`] ->
//! [`plan::plan`] -> [`lower`] -> [`emit`], with [`sign`] over the statement. Every step is pure; only [`cli`] touches
//! files, clock, environment and random numbers.

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod describe;
pub mod diag;
pub mod diff;
pub mod emit;
pub mod fleet;
pub mod init;
pub mod inspect;
pub mod lock;
pub mod lower;
pub mod manifest;
pub mod mco;
pub mod object;
pub mod plan;
pub mod platform;
pub mod policy;
pub mod recover;
pub mod relocate;
pub mod resolve;
pub mod schema;
pub mod set;
pub mod sign;
pub mod source;
pub mod suggest;
pub mod table;
pub mod yaml;
