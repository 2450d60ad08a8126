//! Bench: how long the compiler takes as a whole process, and how much memory; or the loader, in a guest.
//!
//! In:  the compiler as it ships; inputs made below `target/bench/`. Out: a table. No figure fails anything.
//! May fail with: what the compiler says.
//!
//! The yardstick is butane, which embeds files in MachineConfigs without reading them. If a `butane` is on PATH, or named
//! with `--butane`, it embeds the same files in the same run; otherwise its recorded figures are shown, and said to be.

mod guest;
mod inputs;
mod measure;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{files, run, setup};
use measure::{Figures, figures};

/// butane 0.29.0, ten objects of 17 KB, on a machine of this class: milliseconds and MiB. Recorded, not measured here.
const BUTANE_RECORDED: (f64, f64) = (57.0, 14.0);

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs of each command; the median is shown
    #[arg(long, value_name = "N", default_value_t = 21)]
    runs: usize,

    /// The butane to compare with [default: the one on PATH]
    #[arg(long, value_name = "FILE")]
    butane: Option<PathBuf>,

    /// Measure the loader that ships against xdp-loader instead, on this
    /// kernel in a guest: 6.12 or 6.1
    #[arg(long, value_name = "KERNEL", num_args = 0..=1, default_missing_value = "6.12")]
    guest: Option<String>,

    /// With --guest: count instructions instead of time, which a busy
    /// machine does not change
    #[arg(long, requires = "guest")]
    counted: bool,
}

/// Builds, measures and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(kernel) = &args.guest {
        return guest::run(kernel, args.counted);
    }
    let compiler = build()?;
    let work = run::root().join("target/bench");
    files::empty_folder(&work)?;
    println!("{} runs of each command, median; peak memory is VmHWM of the process\n", args.runs);

    let embed = work.join("embed");
    inputs::ten_objects(&embed)?;
    let ours = figures(args.runs, &|| {
        let mut command = Command::new(&compiler);
        command.args(["compile", "bpf.yaml", "--key", "key.pem", "-o", "out"]).current_dir(&embed);
        command
    })?;
    show("ten 17 KB objects: check, compile, sign", &ours);
    compare_with_butane(args, &embed, &ours)?;

    let many = work.join("many");
    let manifests = inputs::thousand_manifests(&many)?;
    let mut commands = vec![("check", 5.min(args.runs))];
    if has(&compiler, "lock") {
        commands.push(("lock", 5.min(args.runs)));
    }
    for (name, runs) in commands {
        let figures = figures(runs, &|| {
            let mut command = Command::new(&compiler);
            command.arg(name).args(&manifests).args(["--policy", "policy.yaml"]).current_dir(&many);
            command
        })?;
        show(&format!("1,000 manifests of 10 attachments: {name}"), &figures);
        println!("  {:.2} of the 2 seconds aimed for", figures.milliseconds / 2000.0);
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--quiet", "--release", "--package", "nodebpf"];
    run::check(Command::new(cargo).args(build).current_dir(run::root()))?;
    Ok(run::root().join("target/release/nodebpf"))
}

fn has(compiler: &Path, subcommand: &str) -> bool {
    let output = Command::new(compiler).args([subcommand, "--help"]).output();
    output.is_ok_and(|output| output.status.success())
}

fn show(what: &str, figures: &Figures) {
    println!("{what}");
    println!(
        "  {:.1} ms ({:.1} to {:.1}), {:.1} MiB",
        figures.milliseconds, figures.fastest, figures.slowest, figures.mebibytes
    );
}

fn compare_with_butane(args: &Args, folder: &Path, ours: &Figures) -> Result<()> {
    let Some(butane) = args.butane.clone().or_else(|| setup::find_program("butane")) else {
        let (milliseconds, mebibytes) = BUTANE_RECORDED;
        println!("  no butane here; recorded of 0.29.0 elsewhere: {milliseconds} ms, {mebibytes} MiB");
        println!("  against the record: {:.2} of the time", ours.milliseconds / milliseconds);
        return Ok(());
    };
    let version = run::capture(Command::new(&butane).arg("--version")).context("asking butane for its version")?;
    let figures = figures(args.runs, &|| {
        let mut command = Command::new(&butane);
        command.args(["--strict", "--files-dir", ".", "butane.bu", "-o", "butane.yaml"]).current_dir(folder);
        command
    })?;
    show(&format!("the same files by {}", String::from_utf8_lossy(&version.stdout).trim()), &figures);
    println!(
        "  ours in this run: {:.2} of its time, {:.2} of its memory",
        ours.milliseconds / figures.milliseconds,
        ours.mebibytes / figures.mebibytes
    );
    Ok(())
}
