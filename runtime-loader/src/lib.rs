//! The node's side of nodebpf: verify signed bundles, attach their programs, say what runs.
//!
//! Pipeline, one file a step: [`read`] → [`verify`] (and gate) → [`stream`] (decide, pure) → `load` in [`apply`] →
//! [`converge`] (attach) → [`report`]. [`xdp`] speaks libxdp's protocol, [`kernel`] is every call to the kernel.
//!
//! A library only so that the guest tests can drive it with injected faults; `nodebpf-loader` is the product.

#![deny(unsafe_code)]

pub mod apply;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod converge;
pub mod dry;
pub mod gate;
pub mod held;
pub mod inventory;
pub mod journal;
pub mod judge;
pub mod kernel;
pub mod links;
pub mod load;
pub mod lock;
pub mod maps;
pub mod memory;
pub mod object;
pub mod paths;
pub mod program;
pub mod prometheus;
pub mod read;
pub mod report;
pub mod scene;
pub mod select;
pub mod selftest;
pub mod show;
pub mod state;
pub mod stream;
pub mod trust_chain;
pub mod verifier;
pub mod verify;
pub mod xdp;
