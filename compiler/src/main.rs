//! The binary `nodebpf`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodebpf::cli::main()
}
