//! Every developer task of nodebpf: `cargo xtask <task>`.
//!
//! One module per task. All logic that a Makefile or a CI script would hold is here.

#![forbid(unsafe_code)]

mod bpf;
mod dist;
mod run;
mod setup;
mod vm;

use clap::{Parser, Subcommand};

/// Developer tasks of nodebpf
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing on this machine (Debian packages, Rust target)
    Setup(setup::Args),
    /// Build the BPF objects with the pinned clang, or check the committed ones
    Bpf(bpf::Args),
    /// Build both release binaries into target/dist/ and print their sizes
    Dist(dist::Args),
    /// Boot real kernels in QEMU and run the guest tests
    Vm(vm::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Bpf(args) => bpf::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Vm(args) => vm::run(&args),
    }
}
