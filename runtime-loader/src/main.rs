//! `nodebpf-loader`: verifies node plans at boot and attaches their eBPF programs.

mod arena;

use std::process::ExitCode;

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(nodebpf_loader::cli::run(&args).code())
}
