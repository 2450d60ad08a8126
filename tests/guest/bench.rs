//! How long one run of the loader that ships takes, and how much memory, beside xdp-loader's on the same kernel.
//!
//! In:  `/bench/pass0.bpf.o` to `pass9.bpf.o`, the loader in `/usr/local/bin`, xdp-loader.
//! Out: `BENCH who micros=N kib=N` for each measured run, and how many calls of the kernel a run makes.
//! May fail with: a run that did not do its work: each is looked at.
//!
//! Each command is started by a process of its own ([`measure`]), which is small, so that what the kernel says of its
//! memory is the command's own.
//!
//! The emulator keeps what it translated by address. Where each run has new addresses it translates every run anew, which
//! is most of the time and nothing that a processor does: so addresses are fixed here, for all commands alike, and the
//! comparison is made once more with new ones (`WHO-moved`).

use std::{
    ffi::OsString,
    fs,
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{digest::Sha256Digest, plan::NodePlan, report::Exit};

use crate::{
    net::Pair,
    node::{Node, ROOT, Snapshot, chain, run as run_words, said, xdp_loader},
    sandbox, sys,
};

/// First word that makes this program measure a command.
pub(crate) const MEASURE: &str = "--measure";

const LOADER: &str = "/usr/local/bin/nodebpf-loader";
const STREAM: &str = "bench";
const PROGRAMS: usize = 10;
/// Measured rounds, after one that only warms up.
const ROUNDS: usize = 9;

/// Runs a command and prints `micros=N kib=N`.
pub(crate) fn measure(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = words.next() else { return ExitCode::from(2) };
    let started = Instant::now();
    let status = Command::new(program).args(words).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let micros = started.elapsed().as_micros();
    println!("micros={micros} kib={}", sys::peak_of_children());
    ExitCode::from(u8::from(!status.is_ok_and(|status| status.success())))
}

/// Measures everything.
pub(crate) fn run() -> ExitCode {
    match sandbox::enter().and_then(|()| rounds()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measured(who: &str, words: &str, round: usize) -> Result<()> {
    let ran = run_words("/proc/self/exe", &format!("{MEASURE} {words}"))?;
    ensure!(ran.status.success(), "{words}: {}", said(&ran));
    // The first round warms up.
    if round > 0 {
        println!("BENCH {who} {}", String::from_utf8_lossy(&ran.stdout).trim());
    }
    Ok(())
}

fn apply(who: &str, round: usize) -> Result<()> {
    measured(who, &format!("{LOADER} --root {ROOT} apply"), round)
}

fn objects() -> Vec<String> {
    (0..PROGRAMS).map(|n| format!("/bench/pass{n}.bpf.o")).collect()
}

/// One bundle with all programs, for one interface; objects are cut to `size`, behind which there is only noise.
fn ship_ten(node: &Node, size: usize) -> Result<()> {
    let mut objects = objects().iter().map(fs::read).collect::<Result<Vec<_>, _>>().context("reading the objects")?;
    for object in &mut objects {
        object.truncate(size);
    }
    let programs = objects.iter().enumerate().map(|(n, object)| {
        let attach = format!(
            r#"{{"xdp":{{"interfaces":[{{"name":"near0"}}],"mode":"native","priority":{},"proceedOn":["pass"]}}}}"#,
            500 + n
        );
        program(&format!("xdp_pas{n}_a"), object, &attach)
    });
    let programs = programs.collect::<Vec<_>>().join(",");
    ship(node, &programs, objects)
}

/// One program that needs the kernel's types.
fn ship_core(node: &Node) -> Result<()> {
    let object = fs::read("/objects/core_task.bpf.o").context("reading the object")?;
    let programs = program("core_task", &object, r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#);
    ship(node, &programs, vec![object])
}

fn program(name: &str, object: &[u8], attach: &str) -> String {
    let sha256 = Sha256Digest::of(object);
    format!(r#"{{"name":"{name}","object":{{"sha256":"{sha256}","sourceSha256":"{sha256}"}},"attach":[{attach}]}}"#)
}

fn ship(node: &Node, programs: &str, objects: Vec<Vec<u8>>) -> Result<()> {
    let text = format!(
        r#"{{"planVersion":"1.1","stream":"{STREAM}","owner":"tests","revision":1,"intent":"feature","pools":["worker"],
        "appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{programs}]}}"#
    );
    let plan = NodePlan::parse(text.as_bytes()).map_err(|error| anyhow!("the plan of the bench: {error}"))?;
    node.ship_plan(&plan, objects).map(drop)
}

/// Whether programs start at new addresses each time: Documentation/admin-guide/sysctl/kernel.rst, `randomize_va_space`.
fn move_addresses(moved: bool) -> Result<()> {
    fs::write("/proc/sys/kernel/randomize_va_space", if moved { "2" } else { "0" })
        .context("setting randomize_va_space")
}

fn rounds() -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.trust(crate::checks::every_hook)?;
    let empty = Snapshot::take_settled()?;
    let clear = || -> Result<()> {
        Node::remove(STREAM)?;
        node.apply_expecting(Exit::Done)?;
        empty.expect_again()
    };
    let load = format!("xdp-loader load -m native near0 {}", objects().join(" "));
    // Both take turns, so that a machine that is busy for a while is so for both.
    for (moved, suffix) in [(true, "-moved"), (false, "")] {
        move_addresses(moved)?;
        for round in 0..=ROUNDS {
            ship_ten(&node, usize::MAX)?;
            apply(&format!("nodebpf-loader{suffix}"), round)?;
            ensure!(chain("near0")?.len() == PROGRAMS, "nodebpf-loader attached {:?}", chain("near0")?);
            apply(&format!("nodebpf-loader-again{suffix}"), round)?;
            clear().context("after nodebpf-loader")?;
            measured(&format!("xdp-loader{suffix}"), &load, round)?;
            ensure!(chain("near0")?.len() == PROGRAMS, "xdp-loader attached {:?}", chain("near0")?);
            xdp_loader("unload --all near0")?;
            empty.expect_again().context("after xdp-loader")?;
        }
    }
    // The same programs in objects without the noise behind them: what the size of objects takes.
    let size = usize::try_from(fs::metadata("/objects/xdp_pass.bpf.o").context("reading the object")?.len())?;
    for round in 0..=ROUNDS {
        ship_ten(&node, size)?;
        apply("nodebpf-loader-small", round)?;
        ensure!(chain("near0")?.len() == PROGRAMS, "nodebpf-loader attached {:?}", chain("near0")?);
        apply("nodebpf-loader-small-again", round)?;
        clear().context("after small objects")?;
    }
    for round in 0..=ROUNDS {
        ship_core(&node)?;
        let before = Snapshot::take_settled()?.programs();
        apply("nodebpf-loader-btf", round)?;
        ensure!(Snapshot::take_settled()?.programs() == before + 1, "the program with the kernel's types does not run");
        apply("nodebpf-loader-one-again", round)?;
        clear().context("after the program with the kernel's types")?;
    }
    ship_ten(&node, usize::MAX)?;
    let kernel = Kernel::new();
    let (_, exit) = node.apply_with(&kernel)?;
    ensure!(exit == Exit::Done, "{exit:?}");
    println!("calls of the kernel in one such run of the loader, as its fault tests count them: {}", kernel.calls());
    // What is added to every run: starting a process, and the memory of the one that starts it.
    (1..=ROUNDS).try_for_each(|round| measured("nothing", "/bin/true", round))?;
    clear()
}
