//! Every test, in the order in which it is cheapest to fail.
//!
//! In:  this tree. Out: what each step says, its time, and a closing line.
//! May fail with: the first step that fails; it is named.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, Result};

use crate::{boot, bpf, dist, fuzz, generate, run, setup, vm};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what boots a kernel: the guest tests and the real systemd
    #[arg(long)]
    no_vm: bool,

    /// Leave out the minute of fuzzing
    #[arg(long)]
    no_fuzz: bool,
}

type Step = (&'static str, fn() -> Result<()>);

const FAST: [Step; 5] = [
    ("format", || cargo("fmt --all --check")),
    ("lints", || cargo("clippy --quiet --workspace --all-targets -- --deny warnings")),
    ("unit and system tests", || cargo("test --quiet --workspace")),
    ("BPF objects", bpf::up_to_date),
    ("generated files", generate::check),
];

const FUZZ: [Step; 1] = [("fuzzing", fuzz::a_minute)];

const SLOW: [Step; 3] = [
    ("binaries that ship", || dist::run(&dist::Args {})),
    ("real kernels", vm::all),
    ("a real systemd", || boot::run(&boot::Args::as_built())),
];

/// Runs all steps.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::everything()?;
    let started = Instant::now();
    let slow = if args.no_vm { &[][..] } else { &SLOW };
    let fuzz = if args.no_fuzz { &[][..] } else { &FUZZ };
    for (name, step) in FAST.iter().chain(fuzz).chain(slow) {
        println!("\n== {name}");
        let began = Instant::now();
        step().with_context(|| format!("step `{name}` failed"))?;
        println!("== {name}: {:.0} s", began.elapsed().as_secs_f32());
    }
    let left_out = [(args.no_fuzz, &FUZZ[..]), (args.no_vm, &SLOW[..])];
    for (name, _) in left_out.iter().filter(|(out, _)| *out).flat_map(|(_, steps)| *steps) {
        println!("\nnot run: {name}");
    }
    println!("\nall steps passed in {:.0} s", started.elapsed().as_secs_f32());
    Ok(())
}

fn cargo(words: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run::check(Command::new(cargo).args(words.split(' ')).current_dir(run::root()))
}
