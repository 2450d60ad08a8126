//! Every developer task of nodebpf: `cargo xtask <task>`.
//!
//! One module per task. All logic that a Makefile or a CI script would hold is here.

#![forbid(unsafe_code)]

mod bench;
mod boot;
mod bpf;
mod demo;
mod dist;
mod example;
mod files;
mod fuzz;
mod generate;
mod run;
mod setup;
mod test;
mod vm;

use std::process::ExitCode;

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
    /// Write generated files: golden MachineConfigs, schema, error and man pages
    Generate(generate::Args),
    /// Feed damaged manifests, objects and bundles to what reads them
    Fuzz(fuzz::Args),
    /// Measure the compiler on large inputs
    Bench(bench::Args),
    /// Compile the example, boot it, and show the drop
    Demo(demo::Args),
    /// Run every test
    Test(test::Args),
    /// Boot real kernels in QEMU and run the guest tests
    Vm(vm::Args),
    /// Boot a Debian with our units and look at what systemd makes of them
    Boot(boot::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Bpf(args) => bpf::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Generate(args) => generate::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Boot(args) => boot::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
