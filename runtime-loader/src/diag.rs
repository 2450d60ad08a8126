//! `nodebpf-diag`: looks at the eBPF of a node and changes nothing. Not part of a boot.

mod arena;

use std::process::ExitCode;

use nodeplan::note::Note;

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

#[used]
#[expect(unsafe_code, reason = "a section of its own; it has bytes and no code")]
#[unsafe(link_section = ".note.nodebpf")]
static NOTE: Note = Note::of("nodebpf-diag");

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    ExitCode::from(nodebpf_loader::cli::diag::run(&args).code())
}
