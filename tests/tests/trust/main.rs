//! Trust, from the side of a node: attacks on it, rules that it enforces, what it remembers. Through the loader's own
//! steps from files to goals; only the kernel is absent.

#![allow(clippy::unwrap_used, clippy::panic, clippy::unnecessary_wraps, reason = "tests")]

mod chain;
mod former;
mod memory;
mod node;
mod rules;
mod table;
mod threats;
