//! Load: versions that are to run and do not yet, into the kernel. Nothing of them is attached.
//!
//! In: a believed bundle. Out: its programs and maps, pinned as the stream's uncommitted version; a stream that fails.
//! May fail with: NB1105 (map memory), NB1203 (a feature), NB1204, NB1401 (the verifier), NB1402, NB1403.

use std::{os::fd::AsFd, rc::Rc};

use nodeplan::{
    applies::Architecture,
    bundle::Verified,
    digest::Sha256Digest,
    name::StreamName,
    plan::Program,
    report::{Code, Reason},
    statement::Accepted,
    trust::Trust,
};

use crate::{
    dry::DryRun,
    kernel::{Kernel, Kind},
    maps,
    object::{Image, KernelBtf, Loaded, ObjectError, Request},
    paths::{self, Paths},
    program, read,
    state::{self, Version},
    stream::{Goal, Stream, Target},
    verifier,
    xdp::dispatcher::Dispatcher,
};

/// What loading takes, for all streams of a run.
#[derive(Debug)]
pub struct Load<'a> {
    kernel: &'a Kernel,
    kernel_btf: &'a KernelBtf,
    paths: &'a Paths,
    here: Option<Architecture>,
    /// What extensions are loaded against: once, and only if there is one.
    template: Option<Dispatcher>,
    /// What a dry run notes.
    dry: Option<&'a DryRun>,
}

impl<'a> Load<'a> {
    /// For a machine of this architecture; `None`: one that no bundle can be for.
    pub fn new(
        kernel: &'a Kernel,
        kernel_btf: &'a KernelBtf,
        paths: &'a Paths,
        here: Option<Architecture>,
        dry: Option<&'a DryRun>,
    ) -> Self {
        Self { kernel, kernel_btf, paths, here, template: None, dry }
    }

    /// Loads a stream that is to be loaded. One that cannot be fails.
    pub fn load(&mut self, name: &StreamName, stream: &mut Stream, trust: Option<&Trust>) {
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
                .map_err(|error| Reason { code: error.code(), message: format!("dispatcher: {error}") })?;
            self.template = Some(loaded);
        }
        let template = self.template.as_ref();
        for (_, kind) in &mut kinds {
            if let Some(template) = template.filter(|_| kind.prog_type == Kind::EXTENSION) {
                *kind = template.target();
            }
        }
        // Variables are the object's: the compiler sees to it that its programs agree on them.
        let mut globals = Vec::new();
        for program in programs {
            for (name, value) in &program.globals {
                globals.push((name.as_str(), value.as_bytes()));
            }
        }
        let kept = |map: &str| {
            for version in &stream.before {
                // What was no state is not to become one.
                let is_state = |plan: &Rc<Accepted>| maps::said(&plan.maps, map).is_some_and(|said| said.persist);
                if !version.plan.as_ref().is_none_or(is_state) {
                    return Ok(None);
                }
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
    for object in loaded {
        for (_, fd) in &object.maps {
            let info = kernel.map_info(fd.as_fd());
            let info = info.map_err(|error| Reason { code: Code::Kernel, message: error.to_string() })?;
            bytes = bytes.saturating_add(maps::memory(&info));
        }
    }
    if bytes > max {
        let message = format!("its maps take {bytes} bytes here; its owner may take {max}");
        return Err(Reason { code: Code::Policy, message });
    }
    Ok(())
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
    let code = error.code();
    let (ObjectError::Program { program, error: refused }, Code::Verifier) = (error, code) else {
        return Reason { code, message: error.to_string() };
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
    Reason { code, message }
}
