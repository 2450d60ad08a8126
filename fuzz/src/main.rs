//! Fuzzing with stock Rust: damaged manifests, objects and bundles for the code that reads them.
//!
//! In:   a target, a seed, a number of seconds. Out: a line of figures; a file for each input that made it fail.
//! May fail with: a panic, an overflow or a breach of an invariant in the code under test; exit code 1.
//!
//! There is no coverage feedback: that needs a nightly compiler. Input `n` is a function of the seed and `n` alone, made
//! of the sound files of this repository, so that every input can be made again: `nodebpf-fuzz TARGET --seed S --only N`.
//! A crash that ends the process (stack overflow, out of memory) is found by its parent, which reads `n` from a file.

#![forbid(unsafe_code)]

mod mutate;
mod run;
mod targets;

use std::{path::PathBuf, process::ExitCode};

use targets::Target;

/// What to do.
pub(crate) struct Options {
    pub(crate) target: Target,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
    /// Make and try this one input.
    pub(crate) only: Option<u64>,
    /// Try the content of this file instead.
    pub(crate) file: Option<PathBuf>,
    /// Where crashes go.
    pub(crate) crashes: PathBuf,
    /// This is the process that does the work.
    pub(crate) worker: bool,
    /// First input of a worker.
    pub(crate) from: u64,
}

const USAGE: &str = "usage: nodebpf-fuzz manifest|object|bundle [--seconds 60] [--seed 1] [--only N] [--file FILE] \
                     [--crashes DIR]";

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) => run::run(&options),
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let target = args.next().as_deref().and_then(Target::of).ok_or("no such target")?;
    let mut options = Options {
        target,
        seconds: 60,
        seed: 1,
        only: None,
        file: None,
        crashes: PathBuf::from("target/fuzz-crashes"),
        worker: false,
        from: 0,
    };
    while let Some(name) = args.next() {
        if name == "--worker" {
            options.worker = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("`{name}` needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("`{name} {value}`: {error}"));
        match name.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--only" => options.only = Some(number()?),
            "--from" => options.from = number()?,
            "--file" => options.file = Some(PathBuf::from(value)),
            "--crashes" => options.crashes = PathBuf::from(value),
            _ => return Err(format!("no option `{name}`")),
        }
    }
    Ok(options)
}
