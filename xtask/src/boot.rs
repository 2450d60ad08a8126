//! Boot a real systemd with our units among stand-ins of the platform's, and look at what becomes of them.
//!
//! In:  a Debian root file system (made once), Debian's kernel 6.12, the compiler, the loader that ships, `tests/boot/`.
//! Out: a table of checks on the terminal; `console.log` and `report.log` of each boot below `target/vm/run/boot/`.
//! May fail with: a failed check, a guest that ended early, a tool that is missing.
//!
//! The files come as they come to a node: compiled by the commands that a user types, laid by the real Ignition, enabled
//! by the presets that it writes, on a first boot. Further boots of the same root, each on a core of its own, begin on a
//! node that is broken. The root file system is an initramfs: no disk, nothing to clean up.

mod masks;
mod plan;
mod root;
mod streams;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    dist, files, generate, run,
    setup::{self, Tool},
    vm::{self, Choice, Kernel, Overlay, at_once::at_once, guest_report::GuestReport, initramfs, qemu},
};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Take the binaries in target/dist as they are
    #[arg(long)]
    no_build: bool,

    /// Run the checks whose names have one of these parts, separated by commas
    #[arg(long)]
    filter: Option<String>,
}

/// Longest life of the guest, whatever else the machine does.
const LIMIT: Duration = Duration::from_mins(40);

/// A root file system in memory, a network card that udev finds as it finds those of nodes, and a clock that counts
/// instructions: time limits of units mean the same on a busy machine, and nobody waits for a guest that sleeps.
const MACHINE: &[&str] = &[
    "-m",
    "2048",
    "-netdev",
    "user,id=net,restrict=on",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
    "-icount",
    "shift=0,sleep=off",
    "-rtc",
    "clock=vm",
];

/// What costs an emulated processor much and no check looks at: with programs at the same addresses each time, QEMU
/// translates the libraries once and not for every process, which is a quarter of the run. And all that systemd says
/// before the journal runs, ordering cycles too: the kernel drops lines beyond ten in five seconds.
const WORDS: &str = "mitigations=off audit=0 nokaslr norandmaps printk.devkmsg=on";

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::need(&[Tool::Mmdebstrap, Tool::Bsdtar, Tool::Ignition])?;
    vm::tools(false)?;
    let (loader, diag) = if args.no_build {
        let dist::Dist { loader, diag, .. } = dist::built();
        (loader, diag)
    } else {
        (dist::loader()?, dist::diag()?)
    };
    // Not the release build: the files are the same, and it is there.
    let dist = dist::Dist { loader, diag, compiler: generate::build_compiler()? };
    let kernel = vm::kernels(&[Choice::named("6.12")?], false)?.remove(0);
    let base = root::obtain()?;
    let _lock = files::lock("boot-test")?;
    let work = run::root().join("target/boot-test");
    let streams = streams::compile(&dist, &work)?;
    let folder = vm::run_folder("boot");
    files::empty_folder(&folder)?;
    let archive = folder.join("initramfs.cpio");
    let boots = plan::boots(args.filter.as_deref())?;
    join(&base, &kernel, &overlay(&streams, &boots), &archive)?;
    println!("booting a systemd on {} ({})", kernel.name, kernel.release);
    let width = boots.iter().map(|boot| boot.name.len()).max().unwrap_or_default();
    let results = at_once(&boots, |boot| {
        // A line at a time, with its boot: two speak at once.
        let say = |text: &str| text.lines().for_each(|line| println!("{:width$} | {line}", boot.name));
        one(boot, &kernel, &archive, &folder.join(&boot.name), &say)
    });
    // It is large, and made anew for each run.
    fs::remove_file(&archive)?;
    let problems: Vec<String> = results
        .iter()
        .zip(&boots)
        .filter_map(|(result, boot)| Some(format!("{}: {:#}", boot.name, result.as_ref().err()?)))
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    println!("{} checks passed in {} boots", boots.iter().map(|boot| boot.checks.len()).sum::<usize>(), boots.len());
    Ok(())
}

/// Boots once; an error if not all of its checks ran and passed.
fn one(boot: &plan::Boot, kernel: &Kernel, archive: &Path, folder: &Path, say: &dyn Fn(&str)) -> Result<()> {
    fs::create_dir_all(folder)?;
    let words = format!("{WORDS} {}", boot.words);
    let machine = qemu::Machine {
        image: &kernel.image,
        archive,
        processors: 1,
        options: MACHINE,
        words: words.trim_end(),
        limit: LIMIT,
    };
    let mut clock = Instant::now();
    let booted = qemu::run(&machine, folder, &mut |line| {
        say(&format!("  {line}"));
        if line.starts_with("PASS ") || line.starts_with("FAIL ") {
            say(&format!("  | {:.1} s since the one before", clock.elapsed().as_secs_f32()));
            clock = Instant::now();
        }
    })?;
    let up = booted.up.map_or_else(|| "never up".to_owned(), |up| format!("up after {:.1} s", up.as_secs_f32()));
    let work = booted.work.map_or_else(String::new, |work| format!(", {:.0} s of a core", work.as_secs_f32()));
    say(&format!("{up}, {:.1} s in all{work}", booted.elapsed.as_secs_f32()));
    if let Some(trouble) = &booted.trouble {
        say(&format!("the last lines of its console, `{}`:\n{}", booted.console.display(), booted.console_tail()));
        bail!("{trouble}");
    }
    let report = GuestReport::parse(booted.lines.iter().map(String::as_str));
    let counts = report.counts();
    ensure!(report.problems.is_empty(), "{}", report.problems.join("; "));
    ensure!(
        counts.failed == 0,
        "{} checks failed; the report is `{}`",
        counts.failed,
        folder.join("report.log").display()
    );
    ensure!(counts.passed == boot.checks.len(), "{} of {} checks ran", counts.passed, boot.checks.len());
    Ok(())
}

/// What the guests have beyond Debian's packages.
fn overlay(streams: &streams::Streams, boots: &[plan::Boot]) -> Overlay {
    let overlay = masks::over(Overlay::new())
        .with(run::root().join("tests/boot/root"), "")
        .with(&streams.bundles, "/bt/streams")
        .with(&streams.required, "/bt/trust-required.json")
        .with(&streams.root, "");
    let files = boots.iter().flat_map(|boot| boot.checks.iter().chain(&boot.faults).map(|file| (&boot.place, file)));
    files.fold(overlay, |overlay, (place, (name, path))| overlay.with(path, &format!("{place}/{name}")))
}

/// Writes the two archives one after the other: the kernel unpacks both, the second over the first.
fn join(base: &Path, kernel: &Kernel, overlay: &Overlay, to: &PathBuf) -> Result<()> {
    fs::copy(base, to).with_context(|| format!("copying `{}`", base.display()))?;
    let context = || format!("writing `{}`", to.display());
    let mut file = fs::OpenOptions::new().append(true).open(to).with_context(context)?;
    let length = file.metadata().with_context(context)?.len();
    // Archives start at multiples of four bytes.
    let padding = usize::try_from(length.next_multiple_of(512) - length)?;
    file.write_all(&vec![0; padding]).with_context(context)?;
    file.write_all(&initramfs::over(kernel, overlay)?).with_context(context)
}
