//! The demonstration: compile and sign the example, boot it on a real kernel, watch it drop.
//!
//! In:  nothing but this tree. Out: what each command says, and what the guest saw.
//! May fail with: a command, a boot, a packet that went the wrong way.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::{
    dist, example, run,
    setup::{self, Tool},
    vm::{self, Boot, Choice, Overlay},
};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Boot Debian's kernel of this line: 6.12 or 6.1
    #[arg(long, value_name = "NAME", default_value = "6.12")]
    kernel: String,
}

/// Runs the demonstration.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::need(&[Tool::Cc, Tool::MuslTarget, Tool::RustSrc, Tool::Ignition])?;
    vm::tools(false)?;
    println!("1. Build the compiler and the loader (once)");
    let dist = dist::build()?;
    let guest = vm::build_guest()?;
    let started = Instant::now();
    println!("\n2. Keys, trust, and the example, compiled and signed");
    let out = example::compile(&dist, &|line| println!("   $ nodebpf {line}"))?;
    println!("\n3. Debian's real Ignition lays the MachineConfigs into an empty root");
    let root = run::root().join("target/example/root");
    example::lay(&out, &root)?;
    println!("\n4. Boot it, run the unit's ExecStart, send packets through a veth pair");
    let choice = Choice::named(&args.kernel)?;
    let overlay = Overlay::new().with(&guest, vm::GUEST_PATH).with(&root, "/nodes/example");
    for kernel in vm::kernels(&[choice], false)? {
        println!("   kernel {}, under software emulation", kernel.release);
        let script = format!("exec {} --filter example-drops", vm::GUEST_PATH);
        let limit = Duration::from_mins(3);
        let boot = Boot { kernel: &kernel, overlay: &overlay, script: &script, limit, counted: false };
        let booted = vm::boot(&boot, &mut |line| println!("   {line}"))?;
        ensure!(booted.status == Some(0), "the demonstration failed; the console is {}", booted.console.display());
    }
    println!(
        "\nDone in {:.0} s after the build. The files are in target/example/out.",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}
