//! `nodebpf-loader`: verifies node plans at boot and attaches their eBPF programs.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(nodebpf_loader::cli::run(std::env::args_os().skip(1)).code())
}
