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
    report::{Code, Reason, Report, StreamState},
    sorted::SortedMap,
    statement::Accepted,
};

use crate::{
    kernel::{Call, Kernel},
    maps,
    object::{Loaded, Rehearsal},
    paths,
    show::Row,
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
        let (dir, plan) = (paths::staged_pins(stream, 0), Some(Rc::clone(plan)));
        Ok(Version { committed: None, dir, programs, plan, forbidden: None })
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
                let mut row = Row::default();
                row.text("stream", name.as_str());
                row.text("program", program.name.as_str());
                let said = self.said(name, &program.name);
                let verdict = match &said {
                    Some(Ok(_)) => "accepted",
                    Some(Err(_)) => "refused",
                    None if version.is_some_and(|version| version.committed.is_some()) => "unchanged",
                    None => "notLoaded",
                };
                row.text("verdict", verdict);
                match said {
                    Some(Ok(said)) => verifier::statistics(&said, &mut row),
                    Some(Err(why)) => row.text("why", &why),
                    None => {}
                }
                let loaded = version.and_then(|version| version.programs.get(&program.name));
                if let Some(bytes) = loaded.and_then(|loaded| memory(kernel, loaded.fd.as_fd()).ok()) {
                    row.number("mapBytes", bytes);
                }
                self.programs.borrow_mut().push(row.done());
            }
        }
    }

    /// What is shown: for people, a state that nothing has yet as one that would be.
    pub fn shown(self, report: &Report, as_json: bool) -> Value {
        let reason = |row: &mut Row, reason: &Reason| {
            row.text("code", reason.code.as_str());
            row.text("reason", &reason.message);
        };
        let mut streams = Vec::new();
        for one in &report.streams {
            let mut row = Row::default();
            row.text("stream", one.stream.as_str());
            row.text("state", if as_json { one.state.as_str() } else { would_be(one.state) });
            if let Some(why) = &one.reason {
                reason(&mut row, why);
            }
            streams.push(row.done());
        }
        let mut problems = Vec::new();
        for problem in report.problems.iter().chain(&report.trust.reason) {
            let mut row = Row::default();
            reason(&mut row, problem);
            problems.push(row.done());
        }
        let mut page = Row::default();
        page.text("kernel", &report.kernel);
        page.put("streams", Value::List(streams));
        page.put("programs", Value::List(self.programs.into_inner()));
        // For people an empty list would say that nothing is wrong, below a program that is refused.
        if as_json || !problems.is_empty() {
            page.put("problems", Value::List(problems));
        }
        page.done()
    }
}

/// The state that a run would come to.
fn would_be(state: StreamState) -> &'static str {
    match state {
        StreamState::Attached => "would be attached",
        StreamState::Removed => "would be removed",
        // Said of the bundle, the node or the attempt, which was made.
        _ => state.as_str(),
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

#[cfg(test)]
mod tests {
    use nodeplan::json;

    use super::*;
    use crate::show;

    #[test]
    fn what_is_not_attached_is_not_said_to_be() {
        let text = r#"{"reportVersion":"1.1","loader":"0","kernel":"6","trust":{"version":1},"problems":[],"streams":[
            {"stream":"a","state":"attached"},{"stream":"b","state":"removed"},{"stream":"c","state":"failed"}]}"#;
        let mut report: Report = json::parse(text.as_bytes(), text.len()).unwrap();
        let page = |report: &Report| {
            let mut out = String::new();
            show::page(&mut out, &DryRun::default().shown(report, false));
            out
        };
        let people = page(&report);
        for line in ["a       would be attached", "b       would be removed", "c       failed"] {
            assert!(people.lines().any(|found| found == line), "{people}");
        }
        assert!(!people.contains("problems"), "{people}");
        let mut tools = String::new();
        show::json(&mut tools, &DryRun::default().shown(&report, true));
        assert!(
            tools.contains(r#"{"stream":"a","state":"attached"}"#) && tools.contains(r#""problems":[]"#),
            "{tools}"
        );
        report.problems.push(Reason { code: Code::Read, message: "why".to_owned() });
        assert!(page(&report).contains("problems:\n"), "{}", page(&report));
    }
}
