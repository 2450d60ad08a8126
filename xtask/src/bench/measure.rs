//! Measure a command: wall time of whole processes, and the peak of their memory.
//!
//! In:  something that makes the command. Out: [`Figures`]. May fail with: a command that fails.
//!
//! Memory is read from `/proc/PID/status` while the process runs, in runs of its own, so that reading does not disturb
//! the clock. What `wait4` says is no use here: it counts what the child held of our memory before it became another
//! program.

use std::{
    fs,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::run;

/// What a command took.
pub(super) struct Figures {
    /// Median.
    pub(super) milliseconds: f64,
    pub(super) fastest: f64,
    pub(super) slowest: f64,
    /// The largest peak seen.
    pub(super) mebibytes: f64,
}

/// Runs for memory: reading while it runs can miss the last moment, so the largest of some counts.
const MEMORY_RUNS: usize = 5;

/// Runs the command that `make` makes `runs` times and a few times more.
pub(super) fn figures(runs: usize, make: &dyn Fn() -> Command) -> Result<Figures> {
    ensure!(runs > 0, "`--runs` must be at least 1");
    // Once unmeasured: files come into the page cache, and a failure shows with its words.
    run::capture(&mut make())?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let mut command = quiet(make());
        let started = Instant::now();
        ensure!(command.status()?.success(), "{command:?} failed");
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let mut peak = 0;
    for _ in 0..MEMORY_RUNS {
        peak = peak.max(peak_kib(quiet(make()))?);
    }
    Ok(Figures {
        milliseconds: times[times.len() / 2],
        fastest: times[0],
        slowest: times[times.len() - 1],
        mebibytes: f64::from(peak) / 1024.0,
    })
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn peak_kib(mut command: Command) -> Result<u32> {
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        peak = peak.max(high_water(&text));
    }
    Ok(peak)
}

fn high_water(status: &str) -> u32 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_holds_memory_is_seen_to() {
        let mut command = Command::new("sh");
        command.args(["-c", "x=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 0.1; : \"$x\""]);
        assert!(peak_kib(quiet(command)).unwrap() > 6000);
        assert_eq!(high_water("Name:\tx\nVmHWM:\t    1234 kB\n"), 1234);
    }
}
