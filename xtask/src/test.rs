//! Every test, in the order in which it is cheapest to fail.
//!
//! In:  this tree. Out: what each step says, its time, and a closing line.
//! May fail with: the first step that fails; it is named.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{bpf, dist, fuzz, generate, run, setup, vm};

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

const SLOW: [Step; 2] =
    [("binaries that ship", || dist::run(&dist::Args {})), ("real kernels and a real systemd", guests)];

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

/// The guest tests on all kernels, and the boot test beside them: guests wait, for grace periods and for time to pass, a
/// fifth of their lives, and the boot test's clock counts instructions, so that it cares for nobody's load.
fn guests() -> Result<()> {
    thread::scope(|scope| {
        let systemd = scope.spawn(|| beside("systemd", "boot --no-build"));
        let kernels = vm::all().context("real kernels");
        let systemd = systemd.join().map_err(|_| anyhow!("the boot test panicked"))?.context("a real systemd");
        match (kernels, systemd) {
            (Err(one), Err(other)) => Err(anyhow!("{one:#}; and {other:#}")),
            (one, other) => one.and(other),
        }
    })
}

/// Runs another task of ours, each of its lines behind `name`.
fn beside(name: &str, words: &str) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    // Not by its name, under which somebody may have built another one since.
    let mut command = Command::new("/proc/self/exe");
    command.args(words.split(' ')).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("starting `{words}`"))?;
    // Else the pipe never ends.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        println!("{name} | {}", String::from_utf8_lossy(&line.context("reading what it says")?));
    }
    let status = child.wait().with_context(|| format!("waiting for `{words}`"))?;
    ensure!(status.success(), "`cargo xtask {words}`: {status}; its lines begin with `{name} |`");
    Ok(())
}

fn cargo(words: &str) -> Result<()> {
    run::check(run::cargo().args(words.split(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Here "ourselves" are the tests, which list themselves.
    #[test]
    fn what_runs_beside_fails_with_its_name() {
        beside("tests", "--list").unwrap();
        let error = beside("tests", "--no-such-option").unwrap_err().to_string();
        assert!(error.contains("`tests |`"), "{error}");
    }
}
