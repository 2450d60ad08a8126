//! Boot real kernels under software emulation, at the same time, and run the guest tests, all of them in one boot for each
//! kernel.
//!
//! In:  names of kernels or RPMs; the guest tests (`tests/guest`); objects and files for the guest.
//! Out: a table of tests and kernels on the terminal; `console.log` of each boot below `target/vm/run/`.
//! May fail with: a failed test, a guest that ended early, anything that [`kernel`], [`initramfs`] or [`qemu`] name.
//!
//! Other tasks boot guests of their own: [`tools`], then [`kernels`], then [`boot`] with an [`Overlay`].

mod at_once;
mod boot_image;
mod cpio;
pub(crate) mod guest_report;
pub(crate) mod ignition;
pub(crate) mod initramfs;
mod kernel;
pub(crate) mod matrix;
mod modules;
pub(crate) mod qemu;
mod summary;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    dist, example, files, run,
    setup::{self, MUSL, Tool},
};
use guest_report::GuestReport;
pub(crate) use initramfs::Overlay;
pub(crate) use kernel::{Choice, Kernel};
pub(crate) use qemu::{Boot, Booted};
use summary::KernelRun;

/// Options.
#[derive(clap::Args, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own on the command line")]
pub(crate) struct Args {
    /// Boot Debian's kernel of this line: 6.12 or 6.1 [default: both]
    #[arg(long = "kernel", value_name = "NAME")]
    kernels: Vec<String>,
    /// Boot the kernel in this RPM; give kernel-core, kernel-modules-core and
    /// kernel-modules of one release together
    #[arg(long = "kernel-rpm", value_name = "FILE")]
    rpms: Vec<PathBuf>,
    /// Run only the tests with this text in their name, or one of several
    /// with commas between them
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Expect these kernels to lack this feature as well, beyond what
    /// tests/guest/features.rs says
    #[arg(long = "lacks", value_name = "FEATURE")]
    lacks: Vec<String>,
    /// Leave out the binaries that ship and the example laid with them, which
    /// take minutes to build; tests of the example fail then
    #[arg(long)]
    lean: bool,
    /// List the tests, boot nothing
    #[arg(long)]
    list: bool,
    /// End a guest after this time [default: 2700]
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Let every kernel try all kernel calls where a test makes each fail in
    /// turn; several kernels share them otherwise
    #[arg(long)]
    full: bool,
    /// Ask Debian for newer kernels
    #[arg(long)]
    refresh: bool,
    /// Give the guest one processor whose clock counts instructions: its
    /// seconds are the same on a busy machine; for comparing, not for races
    #[arg(long)]
    counted: bool,
    /// Write what the tests proved of hooks to tests/guest/matrix.json, from
    /// which docs/loader.md is made
    #[arg(long)]
    write_matrix: bool,
}

/// Longest life of a guest: a machine under load must not fail a suite that would pass.
const LIMIT: Duration = Duration::from_mins(45);

/// The guest tests in the guest.
pub(crate) const GUEST_PATH: &str = "/nodebpf-guest";

/// Runs the guest tests.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::need(&[Tool::Cc, Tool::MuslTarget])?;
    let guest = build_guest()?;
    if args.list {
        return run::check(Command::new(guest).arg("--list"));
    }
    tools(!args.rpms.is_empty())?;
    let overlay = suite_overlay(&guest, args.lean)?;
    let script = script(args)?;
    let kernels = kernels(&choices(args)?, args.refresh)?;
    // By name, which is how a kernel's row is found below.
    let script_of = |kernel: &Kernel| {
        let place = kernels.iter().position(|one| one.name == kernel.name).unwrap_or_default();
        shared(&script, place, kernels.len(), args.full)
    };
    let limit = args.limit.map_or(LIMIT, Duration::from_secs);
    let width = kernels.iter().map(|kernel| kernel.name.len()).max().unwrap_or_default();
    let results = at_once::at_once(&kernels, |kernel| {
        // A line at a time, with its kernel: two guests speak at once.
        let say = |text: &str| text.lines().for_each(|line| println!("{:width$} | {line}", kernel.name));
        say(&format!("booting {}", kernel.release));
        let boot_of = Boot { kernel, overlay: &overlay, script: &script_of(kernel), limit, counted: args.counted };
        let booted = boot(&boot_of, &mut |line| say(&format!("  {line}")))?;
        let up = booted.up.map_or_else(|| "never up".to_owned(), |up| format!("up after {:.1} s", up.as_secs_f32()));
        let work = booted.work.map_or_else(String::new, |work| format!(", {:.0} s of a core", work.as_secs_f32()));
        say(&format!("{up}, {:.1} s in all{work}", booted.elapsed.as_secs_f32()));
        Ok(judge(&booted, &say))
    });
    let reports = results.into_iter().map(|result| result.unwrap_or_else(|error| GuestReport::of_problem(&error)));
    let runs: Vec<KernelRun> = kernels
        .into_iter()
        .zip(reports)
        .map(|(kernel, report)| KernelRun { kernel: kernel.name, release: kernel.release, report })
        .collect();
    finish(&runs)?;
    if runs.len() > 1 && !args.full {
        println!("where each kernel call fails in turn, a kernel tried every second one; `--full` tries all on each");
    }
    if args.write_matrix {
        return matrix::write(&runs);
    }
    // Parts of the tests prove parts; expected lacks make other results.
    if args.filter.is_none() && args.lacks.is_empty() { matrix::compare(&runs) } else { Ok(()) }
}

/// Runs all guest tests on all kernels with a short name.
pub(crate) fn all() -> Result<()> {
    run(&Args::default())
}

/// Installs what booting takes.
pub(crate) fn tools(with_rpms: bool) -> Result<()> {
    setup::need(&[
        Tool::Qemu,
        Tool::Busybox,
        Tool::Kmod,
        Tool::Zstd,
        Tool::Xz,
        Tool::Lz4,
        Tool::Bpftool,
        Tool::XdpTools,
        Tool::Iproute2,
    ])?;
    if with_rpms { setup::need(&[Tool::Bsdtar]) } else { Ok(()) }
}

/// Gets kernels ready to boot.
pub(crate) fn kernels(choices: &[Choice], refresh: bool) -> Result<Vec<Kernel>> {
    choices.iter().map(|choice| kernel::obtain(choice, refresh)).collect()
}

/// Boots one guest; its files stay below `target/vm/run/<kernel>/`.
pub(crate) fn boot(boot: &Boot, on_line: &mut dyn FnMut(&str)) -> Result<Booted> {
    let _lock = files::lock(&format!("boot-{}", boot.kernel.name))?;
    qemu::boot(boot, &run::root().join("target/vm/run").join(&boot.kernel.name), on_line)
}

/// Builds the guest tests as one static program.
pub(crate) fn build_guest() -> Result<PathBuf> {
    let target = run::root().join("target");
    let mut cargo = run::cargo();
    cargo
        // The whole workspace, whose features its build scripts and macros were built with already.
        .args(["build", "--quiet", "--workspace", "--bin", "nodebpf-guest", "--target", MUSL, "--target-dir"])
        .arg(&target)
        // Small and fast enough for an emulated processor; places of panics are kept.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    run::check(&mut cargo)?;
    Ok(target.join(MUSL).join("debug/nodebpf-guest"))
}

/// What the guest tests find in their guest: themselves, the committed objects in `/objects`, and in `/nodes/<name>`
/// what Ignition lays from the configs in `tests/guest/nodes/<name>/`.
///
/// More is added here: `.with(HOST_PATH, GUEST_PATH)` takes files and whole folders.
fn suite_overlay(guest: &Path, lean: bool) -> Result<Overlay> {
    let _lock = files::lock("nodes")?;
    let mut overlay = Overlay::new().with(guest, GUEST_PATH);
    for folder in [vec![run::root().join("bpf/prebuilt")], setup::children(&run::root().join("examples"))].concat() {
        for object in setup::children(&folder) {
            if let Some(name) =
                object.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".bpf.o"))
            {
                overlay = overlay.with(&object, &format!("/objects/{name}"));
            }
        }
    }
    for node in setup::children(&run::root().join("tests/guest/nodes")) {
        let name =
            node.file_name().and_then(|name| name.to_str()).context("a node's folder must have a name of text")?;
        let configs = setup::children(&node);
        let configs = configs.iter().map(|file| ignition::config_of(file)).collect::<Result<Vec<_>>>()?;
        let root = run::root().join("target/vm/nodes").join(name);
        ignition::lay(&configs, &root).with_context(|| format!("laying `{}`", node.display()))?;
        overlay = overlay.with(root, &format!("/nodes/{name}"));
    }
    if lean {
        return Ok(overlay);
    }
    // With the binaries that ship, by the commands that a user types.
    let example = run::root().join("target/vm/nodes/example");
    example::lay(&example::compile(&dist::build()?, &|_| ())?, &example)?;
    Ok(overlay.with(example, "/nodes/example"))
}

fn choices(args: &Args) -> Result<Vec<Choice>> {
    let mut choices = args.kernels.iter().map(|name| Choice::named(name)).collect::<Result<Vec<Choice>>>()?;
    choices.extend(Choice::of_rpms(&args.rpms)?);
    Ok(if choices.is_empty() { Choice::all() } else { choices })
}

/// Programs lie at the same addresses each time: QEMU keeps what it translated by address, and would translate every
/// start of `ip`, xdp-loader and a killed loader anew.
const SAME_ADDRESSES: &str = "echo 0 >/proc/sys/kernel/randomize_va_space";

/// The command line of the tests, as a shell script. Words that would need quotes are refused.
fn script(args: &Args) -> Result<String> {
    let mut words = vec!["exec".to_owned(), GUEST_PATH.to_owned()];
    let options =
        args.filter.iter().map(|text| ("--filter", text)).chain(args.lacks.iter().map(|text| ("--lacks", text)));
    for (option, text) in options {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,".contains(&byte);
        ensure!(text.bytes().all(plain), "{option} `{text}`: only letters, digits, `-`, `_`, `.` and `,`");
        words.extend([option.to_owned(), text.clone()]);
    }
    Ok(format!("{SAME_ADDRESSES}\n{}", words.join(" ")))
}

/// The script for the kernel at this place among so many: two take every second round each where a test has many equal
/// ones, further ones the same as those.
fn shared(script: &str, place: usize, kernels: usize, full: bool) -> String {
    if full || kernels < 2 { script.to_owned() } else { format!("{script} --share {}/2", place % 2) }
}

/// Folder of the files of a boot.
pub(crate) fn run_folder(name: &str) -> PathBuf {
    run::root().join("target/vm/run").join(name)
}

/// Turns a boot into a report; what went wrong outside of the tests becomes a problem of the report.
fn judge(booted: &Booted, say: &dyn Fn(&str)) -> GuestReport {
    let mut report = GuestReport::parse(booted.lines.iter().map(String::as_str));
    if let Some(trouble) = &booted.trouble {
        say(&format!("the last lines of its console, `{}`:\n{}", booted.console.display(), booted.console_tail()));
        report.problems.push(trouble.clone());
    }
    if booted.status.is_some_and(|status| status != 0) && report.counts().failed == 0 {
        report.problems.push(format!("the tests ended with status {:?}, though none failed", booted.status));
    }
    report
}

fn finish(runs: &[KernelRun]) -> Result<()> {
    let totals = summary::totals(runs);
    println!("\n{}\n{}", summary::render(runs), summary::slowest(runs));
    println!("{} passed, {} failed", totals.passed, totals.failed);
    if totals.failed > 0 {
        bail!("{} failed; consoles are below target/vm/run/", totals.failed);
    }
    ensure!(totals.passed > 0, "no test passed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_share_rounds_unless_alone_or_told() {
        let of = |kernels, full| (0..kernels).map(|place| shared("run", place, kernels, full)).collect::<Vec<_>>();
        assert_eq!(of(2, false), ["run --share 0/2", "run --share 1/2"]);
        assert_eq!(of(3, false)[2], "run --share 0/2");
        assert_eq!(of(2, true), ["run", "run"]);
        assert_eq!(of(1, false), ["run"]);
    }
}
