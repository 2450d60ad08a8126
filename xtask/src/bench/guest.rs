//! Bench in a guest: one `apply` of the loader that ships against one `xdp-loader load`, on the same kernel in one boot.
//!
//! In:  the name of a kernel; the loader as `cargo xtask dist` builds it; ten objects.
//! Out: a table of times and of peak memory, and the ratio. No figure fails anything.
//! May fail with: a build, a boot, a run in the guest that did not do its work.
//!
//! The guest measures (tests/guest/bench.rs) and prints a line for each run.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::inputs;
use crate::{
    dist, run,
    vm::{self, Boot, Choice, Overlay},
};

/// Where the guest looks for the loader that ships.
const LOADER: &str = "/usr/local/bin/nodebpf-loader";

/// What the loader's memory may grow to without and with the kernel's types, in MiB.
const MEBIBYTES: (f64, f64) = (8.0, 32.0);

/// Builds, boots, measures and prints.
pub(super) fn run(kernel: &str, counted: bool) -> Result<()> {
    vm::tools(false)?;
    let objects = run::root().join("target/bench/objects");
    inputs::objects(&objects)?;
    let prebuilt = run::root().join("bpf/prebuilt");
    let overlay = Overlay::new()
        .with(vm::build_guest()?, vm::GUEST_PATH)
        .with(dist::loader()?, LOADER)
        .with(objects, "/bench")
        .with(prebuilt.join("core_task.bpf.o"), "/objects/core_task.bpf.o")
        .with(prebuilt.join("xdp_pass.bpf.o"), "/objects/xdp_pass.bpf.o");
    let script = format!("exec {} --bench", vm::GUEST_PATH);
    for kernel in vm::kernels(&[Choice::named(kernel)?], false)? {
        println!("booting {}", kernel.release);
        let limit = Duration::from_mins(15);
        let boot = Boot { kernel: &kernel, overlay: &overlay, script: &script, limit, counted };
        let booted = vm::boot(&boot, &mut |line| println!("  {line}"))?;
        ensure!(booted.status == Some(0), "the bench failed; the console is {}", booted.console.display());
        show(&booted.lines, &kernel.release)?;
        if counted {
            println!("one processor, four nanoseconds for each instruction: a count, not the time of a machine");
        }
    }
    Ok(())
}

/// One measured run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    milliseconds: f64,
    mebibytes: f64,
}

/// Runs of `who`: `BENCH who micros=N kib=N`.
fn samples(lines: &[String], who: &str) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for line in lines {
        let Some(rest) = line.strip_prefix("BENCH ").and_then(|rest| rest.strip_prefix(who)?.strip_prefix(" micros="))
        else {
            continue;
        };
        let (micros, kib) = rest.split_once(" kib=").with_context(|| format!("reading `{line}`"))?;
        let (micros, kib): (u32, u32) = (micros.parse()?, kib.parse()?);
        samples.push(Sample { milliseconds: f64::from(micros) / 1000.0, mebibytes: f64::from(kib) / 1024.0 });
    }
    ensure!(!samples.is_empty(), "the guest measured nothing of `{who}`");
    Ok(samples)
}

/// Median, fastest, slowest, and the largest memory.
fn figures(samples: &[Sample]) -> (f64, f64, f64, f64) {
    let mut times: Vec<f64> = samples.iter().map(|sample| sample.milliseconds).collect();
    times.sort_by(f64::total_cmp);
    let memory = samples.iter().map(|sample| sample.mebibytes).fold(0.0, f64::max);
    (times[times.len() / 2], times[0], times[times.len() - 1], memory)
}

fn show(lines: &[String], release: &str) -> Result<()> {
    let names = [
        "nodebpf-loader",
        "xdp-loader",
        "nodebpf-loader-again",
        "nodebpf-loader-btf",
        "nodebpf-loader-small",
        "nodebpf-loader-small-again",
        "nodebpf-loader-one-again",
        "nothing",
        "nodebpf-loader-moved",
        "xdp-loader-moved",
        "nodebpf-loader-again-moved",
    ];
    println!("\nkernel {release}; median (fastest to slowest); peak memory of the process");
    let mut medians = Vec::new();
    for (name, what) in names.into_iter().zip([
        "nodebpf-loader apply, ten programs in one signed bundle",
        "xdp-loader load, the same ten objects in one call",
        "nodebpf-loader apply, nothing to be done",
        "nodebpf-loader apply, one program that needs the kernel's types",
        "nodebpf-loader apply, ten programs in objects of 2.5 KB",
        "nodebpf-loader apply, nothing to be done for them",
        "nodebpf-loader apply, nothing to be done for that one program",
        "true of busybox: what starting a program takes",
        "with new addresses in each run: nodebpf-loader apply",
        "with new addresses in each run: xdp-loader load",
        "with new addresses in each run: nodebpf-loader apply, nothing to be done",
    ]) {
        let (median, fastest, slowest, mebibytes) = figures(&samples(lines, name)?);
        println!("{what}");
        println!("  {median:.0} ms ({fastest:.0} to {slowest:.0}), {mebibytes:.1} MiB");
        medians.push((median, mebibytes));
    }
    println!("ours: {:.2} of xdp-loader's time; at most 1.00 is promised", medians[0].0 / medians[1].0);
    println!(
        "with new addresses in each run, which the emulator translates anew: {:.2} of it",
        medians[8].0 / medians[9].0
    );
    println!(
        "memory: {:.2} of the {} MiB promised, {:.2} of the {} MiB promised with the kernel's types",
        medians[0].1 / MEBIBYTES.0,
        MEBIBYTES.0,
        medians[3].1 / MEBIBYTES.1,
        MEBIBYTES.1
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_apart_by_the_whole_name() {
        let lines = [
            "BENCH nodebpf-loader micros=1500 kib=2048",
            "BENCH nodebpf-loader-btf micros=9000 kib=4096",
            "BENCH nodebpf-loader micros=500 kib=1024",
            "BENCH nodebpf-loader micros=1000 kib=1024",
            "noise",
        ]
        .map(str::to_owned);
        assert_eq!(figures(&samples(&lines, "nodebpf-loader").unwrap()), (1.0, 0.5, 1.5, 2.0));
        assert_eq!(samples(&lines, "nodebpf-loader-btf").unwrap().len(), 1);
        assert!(samples(&lines, "xdp-loader").is_err());
        assert!(samples(&["BENCH xdp-loader micros=1".to_owned()], "xdp-loader").is_err());
    }
}
