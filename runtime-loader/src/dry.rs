//! Dry run: what `apply --dry-run` notes while programs are loaded, and how it is shown.
//!
//! In: what the verifier said, the streams at the end. Out: a row for each program of each stream.
//! Nothing is pinned: programs and maps go with the descriptors of the run.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
};

use nodeplan::{
    json::Value,
    name::{ProgramName, StreamName},
    report::{Code, Reason, Report},
    sorted::SortedMap,
    statement::Accepted,
};

use crate::{
    kernel::{Call, Kernel},
    maps,
    object::{Loaded, Rehearsal},
    paths,
    show::{number, object, text},
    state::{Program, Version},
    stream::{Goal, Stream},
    verifier,
};

/// Notes of a dry run.
#[derive(Debug, Default)]
pub struct DryRun {
    said: Rehearsal,
    /// Streams, and where in `said` what belongs to one begins.
    begins: RefCell<Vec<(usize, StreamName)>>,
    programs: RefCell<Vec<Value>>,
}

impl DryRun {
    /// What the verifier says from here on is about this stream.
    pub fn begin(&self, stream: &StreamName) -> &Rehearsal {
        self.begins.borrow_mut().push((self.said.borrow().len(), stream.clone()));
        &self.said
    }

    /// A version that nobody can find: without pins.
    pub fn hold(
        &self,
        kernel: &Kernel,
        stream: &StreamName,
        loaded: Vec<Loaded>,
        plan: &Rc<Accepted>,
    ) -> Result<Version, Reason> {
        let mut programs = SortedMap::new();
        for (name, fd) in loaded.into_iter().flat_map(|object| object.programs) {
            let info = kernel.prog_info(fd.as_fd());
            let info = info.map_err(|error| Reason { code: Code::Kernel, message: error.to_string() })?;
            programs.insert(name, Program { id: info.id, fd: Rc::new(fd) });
        }
        Ok(Version { statement: None, dir: paths::staged_pins(stream, 0), programs, plan: Some(Rc::clone(plan)) })
    }

    fn said(&self, stream: &StreamName, program: &ProgramName) -> Option<Result<String, String>> {
        let begins = self.begins.borrow();
        let of = |at: usize| begins.iter().rev().find(|(begin, _)| *begin <= at).map(|(_, name)| name);
        let said = self.said.borrow();
        let mut about = said.iter().enumerate().filter(|(at, (name, _))| name == program && of(*at) == Some(stream));
        about.next_back().map(|(_, (_, said))| said.clone())
    }

    /// Makes the rows. The streams still hold their programs.
    pub fn finish(&self, kernel: &Kernel, streams: &SortedMap<StreamName, Stream>) {
        for (name, stream) in streams {
            let version = match &stream.goal {
                Goal::Run(target) => Some(&target.version),
                _ => None,
            };
            let Some((_, plan)) = &stream.shown else { continue };
            for program in &plan.programs {
                let mut row = vec![("stream", text(name.as_str())), ("program", text(program.name.as_str()))];
                match self.said(name, &program.name) {
                    Some(Ok(said)) => {
                        row.push(("verdict", text("accepted")));
                        row.extend(verifier::statistics(&said));
                    }
                    Some(Err(why)) => row.extend([("verdict", text("refused")), ("why", text(&why))]),
                    None if version.is_some_and(|version| version.statement.is_some()) => {
                        row.push(("verdict", text("unchanged")));
                    }
                    None => row.push(("verdict", text("notLoaded"))),
                }
                let loaded = version.and_then(|version| version.programs.get(&program.name));
                if let Some(bytes) = loaded.and_then(|loaded| memory(kernel, loaded.fd.as_fd()).ok()) {
                    row.push(("mapBytes", number(bytes)));
                }
                self.programs.borrow_mut().push(object(row));
            }
        }
    }

    /// What is shown.
    pub fn shown(self, report: &Report) -> Value {
        let mut streams = Vec::new();
        for one in &report.streams {
            let mut row = vec![("stream", text(one.stream.as_str())), ("state", text(one.state.as_str()))];
            if let Some(reason) = &one.reason {
                row.extend([("code", text(reason.code.as_str())), ("reason", text(&reason.message))]);
            }
            streams.push(object(row));
        }
        let mut problems = Vec::new();
        for problem in report.problems.iter().chain(&report.trust.reason) {
            problems.push(object(vec![("code", text(problem.code.as_str())), ("message", text(&problem.message))]));
        }
        object(vec![
            ("kernel", text(&report.kernel)),
            ("streams", Value::List(streams)),
            ("programs", Value::List(self.programs.into_inner())),
            ("problems", Value::List(problems)),
        ])
    }
}

/// Bytes of the maps that a program uses.
fn memory(kernel: &Kernel, program: BorrowedFd<'_>) -> Call<u64> {
    let mut bytes = 0u64;
    for id in kernel.prog_info(program)?.map_ids {
        bytes = bytes.saturating_add(maps::memory(&kernel.map_info(kernel.map_by_id(id)?.as_fd())?));
    }
    Ok(bytes)
}
