//! Apply: one run of the pipeline read → verify → gate → plan → attach → report.
//!
//! In: the kernel, the paths, what this node is. Out: a [`Report`] and the exit code.
//! Fails only with [`CannotRun`]: without root, without a BPF file system, or while another run holds the lock.

use nodeplan::sorted::{SortedMap, SortedSet};
use std::{
    fmt, fs, io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use nodeplan::{
    applies::Architecture,
    bundle::Verified,
    digest::Sha256Digest,
    event::Event,
    name::{IfGlob, StreamName},
    plan::Program,
    report::{Code, Exit, Reason, Report},
    trust::Trust,
};

use crate::{
    clock, converge,
    dry::DryRun,
    held::Holds,
    kernel::{BPFFS, CallError, Kernel, Kind},
    links, maps, memory,
    object::{Image, KernelBtf, Loaded, ObjectError, Request},
    paths::{self, Paths},
    program, read, report, scene,
    state::{self, Version},
    stream::{self, Goal, Scope, Stream, Target},
    trust_chain, verifier,
    verify::{self, Node},
    xdp::dispatcher::Dispatcher,
};

/// How long a run waits for another one.
const LOCK_WAIT: Duration = Duration::from_secs(30);

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

/// Checks what every command that touches the kernel needs.
pub fn require_kernel(kernel: &Kernel) -> Result<(), CannotRun> {
    require_root()?;
    match kernel.is_bpffs(Path::new(BPFFS)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(cannot_run(format!("{BPFFS} is not a BPF file system: mount -t bpf bpf {BPFFS}"))),
        Err(error) => Err(cannot_run(error.to_string())),
    }
}

/// One run about all streams.
pub fn apply(kernel: &Kernel, paths: &Paths, node: &Node) -> Result<(Report, Exit), CannotRun> {
    apply_scope(kernel, paths, node, &Scope::All)
}

/// One run about some streams.
pub fn apply_scope(kernel: &Kernel, paths: &Paths, node: &Node, scope: &Scope) -> Result<(Report, Exit), CannotRun> {
    // First of all: whatever comes of this run, what happens from here on asks for the next one, and what cannot run
    // must not be started by it for ever.
    let _ = fs::remove_file(paths.dirty());
    require_kernel(kernel)?;
    let lock = lock(paths).inspect_err(|_| {
        // The other run may have looked before this one was asked for: the request stands.
        let _ = fs::File::create(paths.dirty());
    })?;
    apply_locked(kernel, paths, node, scope, &lock)
}

/// The same, for a command that has the lock.
pub fn apply_locked(
    kernel: &Kernel,
    paths: &Paths,
    node: &Node,
    scope: &Scope,
    _lock: &RunLock,
) -> Result<(Report, Exit), CannotRun> {
    run(kernel, paths, node, scope, None)
}

/// A run that loads and verifies all that is to be loaded, and attaches, pins and writes nothing.
pub fn rehearse(kernel: &Kernel, paths: &Paths, node: &Node, dry: &DryRun) -> Result<(Report, Exit), CannotRun> {
    require_kernel(kernel)?;
    let _lock = lock(paths)?;
    run(kernel, paths, node, &Scope::All, Some(dry))
}

fn run(
    kernel: &Kernel,
    paths: &Paths,
    node: &Node,
    scope: &Scope,
    dry: Option<&DryRun>,
) -> Result<(Report, Exit), CannotRun> {
    let known = trust_chain::known(paths);
    let kept = memory::read(paths);
    let trust = &known.trust;
    let bundles = verify::bundles(paths, trust, &kept, node);
    let all_bundles = bundles.directory_read && *scope == Scope::All;
    let running = state::running(kernel, paths).map_err(|error| cannot_run(error.to_string()))?;
    let mut problems = bundles.strangers.clone();
    let (holds, unread) = Holds::read(paths);
    problems.extend(unread);
    // A damaged trust file is one whether or not there is a bundle to refuse; none at all is fine without bundles.
    problems.extend(trust.as_ref().err().filter(|reason| reason.code != Code::TrustMissing).cloned());
    problems.extend(known.problems.iter().chain(&kept.problem).cloned());
    if dry.is_none() {
        problems.extend(known.keep(paths));
    }
    let mut streams = stream::decide(bundles, running, &holds);
    problems.extend(clock::doubt(node, &streams));
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
    scene::refuse(&interfaces, reserved, &mut streams);
    let kernel_btf = KernelBtf::default();
    let mut loader = Load {
        kernel,
        kernel_btf: &kernel_btf,
        paths,
        here: Architecture::from_machine(&node.machine),
        template: None,
        dry,
    };
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
    let exit = exit_of(&report);
    if dry.is_some() {
        return Ok((report, exit));
    }
    let mut memory = kept.memory.clone();
    memory::learn(&mut memory, &streams, &report, exit == Exit::Done, all_bundles);
    if let Some(problem) = kept.keep(&memory, paths) {
        report::log(3, &format!("{} {}", problem.code.as_str(), problem.message));
        report.problems.push(problem);
    }
    if *scope != Scope::All {
        report::keep_others(paths, &mut report);
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
pub fn exit_of(report: &Report) -> Exit {
    let streams = report.streams.iter().map(|one| one.state.exit(one.reason.as_ref().map(|reason| reason.code)));
    let problems = report.problems.iter().map(|problem| problem.code.exit_of_problem());
    streams.chain(problems).max().unwrap_or(Exit::Done)
}

/// Held while the node is looked at and changed.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "held for its lock")] fs::File);

/// Attaches, and makes pins and records follow.
fn change(
    kernel: &Kernel,
    paths: &Paths,
    kernel_btf: &KernelBtf,
    reserved: &[IfGlob],
    streams: &mut SortedMap<StreamName, Stream>,
) {
    let mut left = converge::converge(kernel, kernel_btf, reserved, streams);
    // Ends: each time a stream fails, and one that failed twice stays as it is.
    while !settle(kernel, paths, streams) {
        // Pins that could not be committed: back to what ran before.
        left.extend(converge::converge(kernel, kernel_btf, reserved, streams));
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

/// Serialises runs, with a limit.
pub fn lock(paths: &Paths) -> Result<RunLock, CannotRun> {
    let path = paths.run().join("lock");
    let open = || -> io::Result<fs::File> {
        fs::create_dir_all(paths.run())?;
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
        // Whoever can open it can hold it.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        Ok(file)
    };
    let file = open().map_err(|error| cannot_run(format!("{}: {error}", path.display())))?;
    let started = Instant::now();
    loop {
        #[expect(unsafe_code, reason = "flock(2)")]
        // SAFETY: a system call on a descriptor that `file` owns.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(RunLock(file));
        }
        if started.elapsed() > LOCK_WAIT {
            let message = format!("another run has held {} for {} seconds", path.display(), LOCK_WAIT.as_secs());
            return Err(CannotRun { exit: Exit::Locked, reason: Reason { code: Code::Locked, message } });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Loads versions that are to run and do not yet. Nothing of them is attached.
struct Load<'a> {
    kernel: &'a Kernel,
    kernel_btf: &'a KernelBtf,
    paths: &'a Paths,
    here: Option<Architecture>,
    /// What extensions are loaded against: once, and only if there is one.
    template: Option<Dispatcher>,
    /// What a dry run notes.
    dry: Option<&'a DryRun>,
}

impl Load<'_> {
    fn load(&mut self, name: &StreamName, stream: &mut Stream, trust: Option<&Trust>) {
        let Goal::Load(verified) = &stream.goal else { return };
        match self.load_one(name, stream, verified, trust) {
            Ok(version) => {
                let (statement, plan) = (verified.statement_digest(), Rc::clone(verified.plan()));
                stream.goal = Goal::Run(Box::new(Target { statement, plan, version }));
            }
            Err(reason) => {
                // Nothing of the version stays; of a new stream not even its directory. One that cannot be removed is
                // uncommitted, so the next run takes it away.
                let first = stream.before.is_empty();
                let staged = state::staged_dir(name, &stream.before);
                if self.dry.is_none() {
                    let _ = self.kernel.remove_dir(&if first { paths::stream_pins(name) } else { staged });
                }
                stream.fail(reason);
            }
        }
    }

    fn load_one(
        &mut self,
        name: &StreamName,
        stream: &Stream,
        verified: &Verified,
        trust: Option<&Trust>,
    ) -> Result<Version, Reason> {
        let plan = verified.plan();
        program::features(self.kernel, plan)?;
        let mut loaded = Vec::new();
        for digest in plan.objects() {
            let here = |one: &&Program| {
                self.here.and_then(|here| one.object.get(here)).is_some_and(|object| object.sha256 == digest)
            };
            let programs: Vec<&Program> = plan.programs.iter().filter(here).collect();
            if !programs.is_empty() {
                loaded.push(self.load_object(name, stream, verified, &digest, &programs)?);
            }
        }
        let max = trust.and_then(|trust| trust.document().owners.get(&plan.owner)?.limits.map_bytes);
        if let Some(max) = max {
            within(self.kernel, &loaded, max)?;
        }
        maps::named_once(&loaded)?;
        if let Some(dry) = self.dry {
            return dry.hold(self.kernel, name, loaded, plan);
        }
        state::stage(self.kernel, state::staged_dir(name, &stream.before), loaded, plan)
            .map_err(|error| Reason { code: Code::Kernel, message: error.to_string() })
    }

    fn load_object(
        &mut self,
        name: &StreamName,
        stream: &Stream,
        verified: &Verified,
        digest: &Sha256Digest,
        programs: &[&Program],
    ) -> Result<Loaded, Reason> {
        let (kernel, btf) = (self.kernel, self.kernel_btf);
        let mut kinds = program::kinds(programs, btf)?;
        if kinds.iter().any(|(_, kind)| kind.prog_type == Kind::EXTENSION) && self.template.is_none() {
            let loaded = Dispatcher::template(kernel, btf)
                .map_err(|error| Reason { code: code_of(&error), message: format!("dispatcher: {error}") })?;
            self.template = Some(loaded);
        }
        let template = self.template.as_ref();
        for (_, kind) in &mut kinds {
            if let Some(template) = template.filter(|_| kind.prog_type == Kind::EXTENSION) {
                *kind = template.target();
            }
        }
        // Variables are the object's: the compiler sees to it that its programs agree on them.
        let globals = programs.iter().flat_map(|program| program.globals.iter());
        let globals: Vec<_> = globals.map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let kept = |map: &str| {
            for version in &stream.before {
                match kernel.open_pin(&version.dir.join("maps").join(map)) {
                    Err(error) if error.errno == libc::ENOENT => {}
                    found => return found.map(Some),
                }
            }
            Ok(None)
        };
        let called = template.map(|_| Kind { attach_type: 0, ..Kind::XDP });
        let request = Request {
            programs: &kinds,
            maps: &verified.plan().maps,
            kept: &kept,
            called,
            xdp_flags: 0,
            rehearsal: self.dry.map(|dry| dry.begin(name)),
        };
        let image = Image::parse(verified.object(digest), &globals);
        let result = image.and_then(|image| image.load(kernel, btf, &request));
        result.map_err(|error| load_reason(kernel, btf, self.paths, template, name, &error))
    }
}

/// Whether the maps take no more than the owner may.
fn within(kernel: &Kernel, loaded: &[Loaded], max: u64) -> Result<(), Reason> {
    let mut bytes = 0u64;
    for fd in loaded.iter().flat_map(|object| &object.maps).map(|(_, fd)| fd) {
        let info = kernel.map_info(fd.as_fd());
        let info = info.map_err(|error| Reason { code: Code::Kernel, message: error.to_string() })?;
        bytes = bytes.saturating_add(maps::memory(&info));
    }
    if bytes > max {
        let message = format!("its maps take {bytes} bytes here; its owner may take {max}");
        return Err(Reason { code: Code::Policy, message });
    }
    Ok(())
}

fn code_of(error: &ObjectError) -> Code {
    match error {
        ObjectError::Elf(_) => Code::Object,
        ObjectError::Call(_) => Code::Kernel,
        ObjectError::Program { .. } => Code::Verifier,
    }
}

/// Tells a kernel that cannot replace functions at all from one that refuses this program.
fn load_reason(
    kernel: &Kernel,
    kernel_btf: &KernelBtf,
    paths: &Paths,
    template: Option<&Dispatcher>,
    stream: &StreamName,
    error: &ObjectError,
) -> Reason {
    let ObjectError::Program { program, error: refused } = error else {
        return Reason { code: code_of(error), message: error.to_string() };
    };
    if let Some(Err(ObjectError::Program { error: probe, .. })) =
        template.map(|template| template.probe_extension(kernel, kernel_btf))
    {
        let message = format!(
            "this kernel cannot replace functions of programs (freplace): even the smallest extension is refused, {}",
            probe.error
        );
        return Reason { code: Code::FeatureMissing, message };
    }
    let log = paths.verifier_log(stream, program);
    let line = verifier::refusal(&refused.log);
    let message = match read::write_atomically(&log, refused.log.as_bytes()) {
        Ok(()) => format!("program `{program}`: {line} ({}; whole log in {})", refused.error, log.display()),
        Err(_) => format!("program `{program}`: {line} ({})", refused.error),
    };
    Reason { code: Code::Verifier, message }
}

/// Makes pins and records say what is attached. Returns whether all could.
fn settle(kernel: &Kernel, paths: &Paths, streams: &mut SortedMap<StreamName, Stream>) -> bool {
    let mut all = true;
    for (name, stream) in streams {
        let forget = |before: &[Version]| state::forget(kernel, paths, name, before);
        let result = match &mut stream.goal {
            Goal::Load(_) | Goal::Keep => Ok(()),
            Goal::End if stream.before.is_empty() => Ok(()),
            // Its programs are detached; forgetting is idempotent, so a second try costs nothing.
            Goal::End => forget(&stream.before).or_else(|_| forget(&stream.before)),
            Goal::Run(target) if target.version.statement.is_none() => state::commit(kernel, paths, name, target),
            Goal::Run(target) => state::keep(paths, name, &target.plan),
        };
        if let Err(error) = result {
            stream.fail(Reason { code: Code::Kernel, message: error.to_string() });
            all = false;
        }
    }
    all
}
