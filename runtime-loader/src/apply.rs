//! Apply: one run of the pipeline read → verify → gate → plan → attach → report.
//!
//! In: the kernel, the paths, what this node is. Out: a [`Report`] and the exit code.
//! Fails only with [`CannotRun`]: without root, without a BPF file system, or while another run holds the lock.

use std::{fmt, fs, path::Path};

use nodeplan::{
    applies::Architecture,
    event::Event,
    name::{IfGlob, StreamName},
    report::{Code, Exit, Reason, Report, StreamReport},
    sorted::{SortedMap, SortedSet},
};

use crate::{
    converge,
    dry::DryRun,
    judge::{self, Judged},
    kernel::{BPFFS, CallError, Kernel, allow_open_files},
    links,
    load::Load,
    lock::{self, RunLock},
    memory,
    object::KernelBtf,
    paths::{self, Paths},
    read, report, scene,
    select::Interfaces,
    state::{self, Version},
    stream::{Goal, Scope, Stream},
    verify::{self, Node},
};

/// Why a run was impossible.
#[derive(Debug)]
pub struct CannotRun {
    /// For the exit code.
    pub exit: Exit,
    /// For people.
    pub reason: Reason,
}

impl fmt::Display for CannotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reason.code.as_str(), self.reason.message)
    }
}

/// A run that is impossible for the reason given.
pub fn cannot_run(message: String) -> CannotRun {
    CannotRun { exit: Exit::CannotRun, reason: Reason { code: Code::CannotRun, message } }
}

/// Checks for root.
pub fn require_root() -> Result<(), CannotRun> {
    if read::effective_uid() == 0 { Ok(()) } else { Err(cannot_run("this needs root: run it with sudo".to_owned())) }
}

/// Checks what every command that touches the kernel needs, and takes what it may.
pub fn require_kernel(kernel: &Kernel) -> Result<(), CannotRun> {
    require_root()?;
    allow_open_files();
    match kernel.is_bpffs(Path::new(BPFFS)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(cannot_run(format!("{BPFFS} is not a BPF file system: mount -t bpf bpf {BPFFS}"))),
        Err(error) => Err(cannot_run(error.to_string())),
    }
}

/// One run about all streams.
pub fn apply(kernel: &Kernel, paths: &Paths, node: &Node) -> Result<(Report, Exit), CannotRun> {
    apply_scope(kernel, paths, node, &Scope::All, true)
}

/// One run about some streams. `lasts`: nobody is about to take back the files that it finds.
pub fn apply_scope(
    kernel: &Kernel,
    paths: &Paths,
    node: &Node,
    scope: &Scope,
    lasts: bool,
) -> Result<(Report, Exit), CannotRun> {
    // First of all: whatever comes of this run, what happens from here on asks for the next one, and what cannot run
    // must not be started by it for ever.
    let _ = fs::remove_file(paths.dirty());
    require_kernel(kernel)?;
    let _lock = lock::take_or_ask_again(paths)?;
    run(kernel, paths, node, scope, None, lasts)
}

/// The same, for a command that has the lock.
pub fn apply_locked(
    kernel: &Kernel,
    paths: &Paths,
    node: &Node,
    scope: &Scope,
    _lock: &RunLock,
) -> Result<(Report, Exit), CannotRun> {
    run(kernel, paths, node, scope, None, true)
}

/// A run that loads and verifies all that is to be loaded, and attaches, pins and writes nothing.
pub fn rehearse(kernel: &Kernel, paths: &Paths, node: &Node, dry: &DryRun) -> Result<(Report, Exit), CannotRun> {
    require_kernel(kernel)?;
    let _lock = lock::take(paths)?;
    run(kernel, paths, node, &Scope::All, Some(dry), false)
}

fn run(
    kernel: &Kernel,
    paths: &Paths,
    node: &Node,
    scope: &Scope,
    dry: Option<&DryRun>,
    lasts: bool,
) -> Result<(Report, Exit), CannotRun> {
    let running = state::running(kernel, paths).map_err(|error| cannot_run(error.to_string()))?;
    let Judged { known, kept, mut streams, mut problems, complete } = judge::judge(paths, node, running);
    let trust = &known.trust;
    if dry.is_none() {
        problems.extend(known.keep(paths));
    }
    for problem in &problems {
        report::log(3, &format!("{} {}", problem.code.as_str(), problem.message));
    }
    let mut others = SortedSet::new();
    for (name, stream) in &mut streams {
        if !scope.has(name, stream) {
            stream.goal = Goal::Keep;
            others.insert(name.clone());
        }
    }
    let reserved = trust.as_ref().map_or(&[][..], |trust| &trust.document().reserved_interfaces);
    // Before anything is loaded; and again in each round.
    let interfaces = scene::take(kernel, &streams).map_err(|error| cannot_run(error.to_string()))?;
    scene::refuse(kernel, &interfaces, reserved, &mut streams);
    let kernel_btf = KernelBtf::default();
    let here = Architecture::from_machine(&node.machine);
    let mut loader = Load::new(kernel, &kernel_btf, paths, here, dry);
    for (name, stream) in &mut streams {
        loader.load(name, stream, trust.as_ref().ok());
    }
    drop(loader);
    if let Some(dry) = dry {
        converge::rehearse(kernel, &mut streams).map_err(|error| cannot_run(error.to_string()))?;
        dry.finish(kernel, &streams);
    } else {
        change(kernel, paths, &kernel_btf, reserved, &mut streams);
    }
    let mut report = report::build(kernel, node, verify::trust_report(trust), &streams);
    report.problems = problems;
    report.streams.retain(|one| !others.contains(&one.stream));
    let exit = exit_of(&report, &streams);
    if dry.is_some() {
        return Ok((report, exit));
    }
    let mut now = kept.clone();
    memory::learn(&mut now, &streams, &report, lasts && exit == Exit::Done, complete && *scope == Scope::All);
    if let Some(problem) = kept.keep(&now, paths) {
        report::log(3, &format!("{} {}", problem.code.as_str(), problem.message));
        report.problems.push(problem);
    }
    if *scope != Scope::All {
        report::keep_others(paths, scope, &mut report);
    }
    if let Err(error) = report::write(paths, &report) {
        // `gate`, `status` and `fleet` go by it: nobody must take the former one for this run's.
        let message = format!("the report {} cannot be written: {error}", paths.report().display());
        let problem = Reason { code: Code::MemoryNotKept, message };
        report::log(3, &format!("{} {}", problem.code.as_str(), problem.message));
        report.problems.push(problem);
        return Ok((report, exit.max(Exit::CannotRun)));
    }
    Ok((report, exit))
}

/// The highest code that a stream or a problem of the node asks for.
pub fn exit_of(report: &Report, streams: &SortedMap<StreamName, Stream>) -> Exit {
    let withdrawn = |one: &&StreamReport| streams.get(&one.stream).is_some_and(Stream::is_withdrawn);
    let streams = report.streams.iter().filter(|one| !withdrawn(one));
    let streams = streams.map(|one| one.state.exit(one.reason.as_ref().map(|reason| reason.code)));
    let problems = report.problems.iter().map(|problem| problem.code.exit_of_problem());
    streams.chain(problems).max().unwrap_or(Exit::Done)
}

/// Attaches, and makes pins and records follow.
fn change(
    kernel: &Kernel,
    paths: &Paths,
    kernel_btf: &KernelBtf,
    reserved: &[IfGlob],
    streams: &mut SortedMap<StreamName, Stream>,
) {
    let mut seen = Interfaces::default();
    let mut left = converge::converge(kernel, kernel_btf, reserved, streams, &mut seen);
    // Ends: each time a stream fails, and one that failed twice stays as it is.
    while !settle(kernel, paths, streams, left.is_empty()) {
        // Pins that could not be committed: back to what ran before.
        left.extend(converge::converge(kernel, kernel_btf, reserved, streams, &mut seen));
    }
    // The new versions are committed: nothing goes back to the former ones any more.
    for stream in streams.values_mut() {
        let detach = || links::detach_former(kernel, stream);
        if let Err(error) = detach().or_else(|_| detach()) {
            let message = format!("the former version is still attached: {error}");
            stream.state = Event::UndoFails.state();
            stream.reason = Some(Reason { code: Code::Undo, message });
        }
    }
    // By the pins of former versions the next run knows what is left as ours: they stay as long as it does.
    if left.is_empty() {
        left.extend(streams.iter().filter_map(|(name, stream)| prune(kernel, name, stream).err()));
    }
    for leftover in left {
        report::log(4, &format!("{} left behind: {leftover}", Code::Undo.as_str()));
    }
}

/// Removes the pins of versions that a stream has left behind. No packet and no event reaches them: what stays costs
/// memory, and the next run tries again.
fn prune(kernel: &Kernel, name: &StreamName, stream: &Stream) -> Result<(), CallError> {
    let Goal::Run(target) = &stream.goal else { return Ok(()) };
    let prune = || state::prune(kernel, name, target.statement);
    prune().or_else(|_| prune())
}

/// Makes pins and records say what is attached. Returns whether all could. `clean`: nothing is left that the next run has
/// to know as ours.
fn settle(kernel: &Kernel, paths: &Paths, streams: &mut SortedMap<StreamName, Stream>, clean: bool) -> bool {
    // What ends goes last: a stream that others displaced stays if they fail now.
    settle_those(kernel, paths, streams, false) && (!clean || settle_those(kernel, paths, streams, true))
}

/// The same for the streams that end, or for the others.
fn settle_those(kernel: &Kernel, paths: &Paths, streams: &mut SortedMap<StreamName, Stream>, ends: bool) -> bool {
    let mut all = true;
    for (name, stream) in streams {
        let forget = |before: &[Version]| state::forget(kernel, paths, name, before);
        let result = match &mut stream.goal {
            goal if ends != matches!(goal, Goal::End) => Ok(()),
            Goal::Load(_) | Goal::Keep => Ok(()),
            // A run that was killed while it forgot leaves its directory, which goes last.
            Goal::End if stream.before.is_empty() && !paths::stream_pins(name).exists() => Ok(()),
            // Its programs are detached; forgetting is idempotent, so a second try costs nothing.
            Goal::End => forget(&stream.before).or_else(|_| forget(&stream.before)),
            Goal::Run(target) if target.version.committed.is_none() => state::commit(kernel, paths, name, target),
            Goal::Run(target) => state::keep(paths, name, &target.plan),
        };
        let result = result.map_err(|error| Reason { code: Code::Kernel, message: error.to_string() });
        if ends {
            stream.is_lost();
        }
        if let Err(reason) = result {
            stream.fail(reason);
            all = false;
        }
    }
    all
}
