//! `nodebpf-diag`: looks at the eBPF of a node and changes nothing. Not part of a boot.

mod arena;

use std::process::ExitCode;

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(nodebpf_loader::cli::diag::run(&args).code())
}
