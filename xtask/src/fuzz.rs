//! Fuzzing: the targets of `fuzz/`, side by side, each for the same time.
//!
//! In:  a time, a seed, perhaps one target or one input. Out: what the targets say; crashes below `target/fuzz-crashes/`.
//! May fail with: a target that found something; its last lines say how to repeat it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
};

use anyhow::{Context as _, Result, bail};

use crate::run;

/// All targets.
const TARGETS: [&str; 3] = ["manifest", "object", "bundle"];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u64,

    /// Equal seeds make equal inputs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Only this target: manifest, object or bundle
    #[arg(long, value_name = "NAME")]
    target: Option<String>,

    /// Try this file instead, with all its panics to see
    #[arg(long, value_name = "FILE", requires = "target")]
    file: Option<PathBuf>,
}

/// What every run of all tests does.
pub(crate) fn a_minute() -> Result<()> {
    run(&Args { seconds: 60, seed: 1, target: None, file: None })
}

/// Fuzzes.
pub(crate) fn run(args: &Args) -> Result<()> {
    // The development profile: it checks for overflows, catches panics, and everything below it is built already.
    let program = run::build("nodebpf-fuzz")?;
    let chosen = |target: &&str| args.target.as_ref().is_none_or(|name| name == target);
    let targets: Vec<_> = TARGETS.into_iter().filter(chosen).collect();
    if targets.is_empty() {
        bail!("there is no such target; there are {}", TARGETS.join(", "));
    }
    let children = targets.iter().map(|target| start(&program, target, args)).collect::<Result<Vec<_>>>()?;
    let mut failed = Vec::new();
    for (target, mut child) in targets.iter().zip(children) {
        if !child.wait().context("waiting for a target")?.success() {
            failed.push(*target);
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("fuzzing found something in: {}", failed.join(", ")) }
}

fn start(program: &Path, target: &str, args: &Args) -> Result<Child> {
    let mut command = Command::new(program);
    command.arg(target).args(["--seconds", &args.seconds.to_string(), "--seed", &args.seed.to_string()]);
    command.arg("--crashes").arg(run::root().join("target/fuzz-crashes")).current_dir(run::root());
    if let Some(file) = &args.file {
        command.arg("--file").arg(std::path::absolute(file)?);
    }
    command.spawn().context("starting a target")
}
