//! Report: what the loader says, as JSON for tools, as a table for people, as lines for the journal.

use nodeplan::sorted::SortedMap;
use std::{env, fmt::Write, io};

use nodeplan::{
    json,
    limits::STATEMENT_MAX_BYTES,
    name::{IfName, StreamName},
    plan::NodePlan,
    report::{AttachmentReport, Code, REPORT_VERSION, Reason, Report, StreamReport, StreamState, TrustReport},
    text,
};

use crate::{
    converge,
    kernel::{Call, Interface, Kernel},
    paths::Paths,
    read,
    state::{self, Version},
    stream::{Goal, Stream},
    verify::Node,
    xdp::{
        chain::Observed,
        observe::{self, Programs},
    },
};

/// Interfaces and what is attached to them, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    interfaces: Vec<(Interface, Observed)>,
}

impl Snapshot {
    /// Looks at the kernel.
    pub fn take(kernel: &Kernel) -> Call<Self> {
        let mut programs = Programs::new();
        let mut interfaces = Vec::new();
        for interface in kernel.interfaces()? {
            match observe::observe(kernel, &interface, &mut programs) {
                Ok(observed) => interfaces.push((interface, observed)),
                // The program was there a moment ago: replaced or taken off meanwhile.
                Err(error) if error.errno == libc::ENOENT => interfaces.push((interface, Observed::Empty)),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { interfaces })
    }

    fn attachments(&self, plan: &NodePlan, version: Option<&Version>) -> Vec<AttachmentReport> {
        let mut reports = Vec::new();
        for (program, xdp) in converge::attachments(plan) {
            let id = version.and_then(|version| version.programs.get(program)).map(|program| program.id);
            for (interface, observed) in self.interfaces.iter().filter(|(one, _)| converge::selects(xdp, &one.name)) {
                let Ok(name) = IfName::try_from(interface.name.as_str()) else { continue };
                let attached = match observed {
                    Observed::Dispatcher(there) => there.members.iter().any(|member| Some(member.prog_id) == id),
                    Observed::Empty | Observed::Held(_) => false,
                };
                reports.push(AttachmentReport {
                    hook: "xdp".to_owned(),
                    program: program.clone(),
                    program_id: id.filter(|_| attached),
                    interface: name,
                    ifindex: interface.ifindex,
                    mode: xdp.mode,
                    priority: xdp.priority,
                    attached,
                });
            }
        }
        reports
    }

    /// Selectors of a plan that mean no interface of the node.
    fn absent(&self, plan: &NodePlan) -> Vec<String> {
        let mut absent: Vec<String> = converge::attachments(plan)
            .flat_map(|(_, xdp)| &xdp.interfaces)
            .filter(|selector| {
                !self.interfaces.iter().any(|(interface, _)| converge::selector_means(selector, &interface.name))
            })
            .map(|selector| format!("`{selector}`"))
            .collect();
        absent.sort_unstable();
        absent.dedup();
        absent
    }
}

/// The report of a run.
pub fn build(kernel: &Kernel, node: &Node, trust: TrustReport, streams: &SortedMap<StreamName, Stream>) -> Report {
    // Once more if it fails: by now streams run, and a report without places would say less than is known.
    let snapshot = Snapshot::take(kernel).or_else(|_| Snapshot::take(kernel)).unwrap_or_else(|error| {
        log(4, &format!("{} places are not reported: {error}", Code::Kernel.as_str()));
        Snapshot::default()
    });
    let streams = streams.iter().map(|(name, stream)| stream_report(&snapshot, name, stream)).collect();
    Report {
        report_version: REPORT_VERSION,
        loader: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: node.kernel.clone(),
        trust,
        problems: Vec::new(),
        streams,
    }
}

fn stream_report(snapshot: &Snapshot, name: &StreamName, stream: &Stream) -> StreamReport {
    let mut report = StreamReport {
        stream: name.clone(),
        state: stream.state,
        reason: stream.reason.clone(),
        owner: None,
        revision: None,
        intent: None,
        statement: None,
        attachments: Vec::new(),
        counters: SortedMap::new(),
    };
    // What runs is shown; what would run only if nothing does.
    let runs = match &stream.goal {
        Goal::Run(target) => Some((target.statement, &target.plan, Some(&target.version))),
        Goal::Keep => {
            stream.before.iter().find_map(|version| Some((version.statement?, version.plan.as_ref()?, Some(version))))
        }
        Goal::Load(_) | Goal::End => None,
    };
    let shown = runs.or_else(|| stream.shown.as_ref().map(|(statement, plan)| (*statement, plan, None)));
    if let Some((statement, plan, version)) = shown {
        report.owner = Some(plan.owner.clone());
        report.revision = Some(plan.revision);
        report.intent = Some(plan.intent);
        report.statement = Some(statement);
        if let Some(version) = version {
            report.attachments = snapshot.attachments(plan, Some(version));
        }
        let absent = snapshot.absent(plan);
        let looked = !snapshot.interfaces.is_empty(); // every network namespace has `lo`
        if report.state == StreamState::Attached && looked && !absent.is_empty() {
            report.state = StreamState::Pending;
            let message = format!("no interface matches {}", text::join(&mut absent.iter().map(String::as_str), ", "));
            report.reason = Some(Reason { code: Code::InterfaceAbsent, message });
        }
    }
    report
}

/// Writes the report where `status` finds it.
pub fn write(paths: &Paths, report: &Report) -> io::Result<()> {
    read::write_atomically(&paths.report(), &json::to_bytes(report))
}

/// The last run's report, with what is attached now and the counters. `None`: no run since boot.
pub fn refresh(kernel: &Kernel, paths: &Paths) -> Result<Option<Report>, String> {
    let bytes = match read::read(&paths.report(), STATEMENT_MAX_BYTES * 64) {
        Ok(bytes) => bytes,
        Err(read::ReadError::Missing) => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", paths.report().display())),
    };
    let mut report: Report = json::parse(&bytes, bytes.len()).map_err(|error| error.to_string())?;
    let running = state::running(kernel, paths).map_err(|error| error.to_string())?;
    let snapshot = Snapshot::take(kernel).map_err(|error| error.to_string())?;
    for one in &mut report.streams {
        let versions = running.get(&one.stream).map_or(&[][..], Vec::as_slice);
        let Some((version, plan)) = versions.iter().find_map(|version| Some((version, version.plan.as_ref()?))) else {
            one.attachments.clear();
            lost(one);
            continue;
        };
        one.attachments = snapshot.attachments(plan, Some(version));
        lost(one);
        for (map, said) in &plan.maps {
            if let Some(counter) = &said.counter {
                let value = state::counter(kernel, &version.dir, map.as_str()).map_err(|error| error.to_string())?;
                one.counters.insert(counter.clone(), value);
            }
        }
    }
    Ok(Some(report))
}

/// The last run said `attached`: if that is not so any more, the state must not say it.
fn lost(one: &mut StreamReport) {
    let all = !one.attachments.is_empty() && one.attachments.iter().all(|place| place.attached);
    if one.state == StreamState::Attached && !all {
        one.state = StreamState::Degraded;
        let message = "others have removed it since the last run; nodebpf-loader apply brings it back".to_owned();
        one.reason = Some(Reason { code: Code::Lost, message });
    }
}

/// The report as a table for people.
pub fn table(report: &Report) -> String {
    let heads = ["STREAM", "REV", "STATE", "HOOK", "INTERFACE", "MODE", "PRIO", "PROGRAM", "ID"];
    let mut rows = vec![heads.map(str::to_owned)];
    for one in &report.streams {
        let revision = one.revision.map_or("-".to_owned(), |revision| revision.to_string());
        let mut row = ["-"; 9].map(str::to_owned);
        row[0] = one.stream.to_string();
        row[1] = revision;
        one.state.as_str().clone_into(&mut row[2]);
        if one.attachments.is_empty() {
            rows.push(row);
            continue;
        }
        for place in &one.attachments {
            let mut row = row.clone();
            row[3].clone_from(&place.hook);
            row[4] = place.interface.to_string();
            place.mode.as_str().clone_into(&mut row[5]);
            row[6] = place.priority.to_string();
            row[7] = place.program.to_string();
            if let Some(id) = place.program_id {
                row[8] = id.to_string();
            }
            rows.push(row);
        }
    }
    let mut out = align(&rows);
    for one in &report.streams {
        if let Some(reason) = &one.reason {
            let _ = writeln!(out, "{}: {} {}", one.stream, reason.code.as_str(), reason.message);
        }
        for (counter, value) in &one.counters {
            let _ = writeln!(out, "{}: {counter} {value}", one.stream);
        }
    }
    for problem in &report.problems {
        let _ = writeln!(out, "node: {} {}", problem.code.as_str(), problem.message);
    }
    if let Some(reason) = &report.trust.reason {
        let _ = writeln!(out, "trust: {} {}", reason.code.as_str(), reason.message);
    }
    out
}

fn align(rows: &[[String; 9]]) -> String {
    let mut widths = [0; 9];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// One line for the journal, or for the terminal: with the priority prefix of sd-daemon(3) only where it is read.
pub fn log(priority: u8, message: &str) {
    // Nothing can be done about a closed standard error.
    let _ = if env::var_os("JOURNAL_STREAM").is_some() {
        writeln_stderr(&format!("<{priority}>{message}"))
    } else {
        writeln_stderr(&format!("nodebpf-loader: {message}"))
    };
}

fn writeln_stderr(line: &str) -> io::Result<()> {
    use io::Write as _;
    writeln!(io::stderr().lock(), "{line}")
}

/// One line per stream for the journal.
pub fn log_streams(report: &Report) {
    for one in &report.streams {
        let mut line = format!("stream={} state={}", one.stream, one.state.as_str());
        if let Some(revision) = one.revision {
            let _ = write!(line, " revision={revision}");
        }
        let mut places = one.attachments.iter().filter(|place| place.attached).map(|place| place.interface.as_str());
        let places = text::join(&mut places, ",");
        if !places.is_empty() {
            let _ = write!(line, " xdp={places}");
        }
        if let Some(reason) = &one.reason {
            let message = reason.message.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(line, " code={} reason=\"{message}\"", reason.code.as_str());
        }
        let priority = match one.state {
            StreamState::Refused | StreamState::Failed | StreamState::Degraded => 3,
            StreamState::Pending => 5,
            _ => 6,
        };
        log(priority, &line);
    }
}

/// What a verifier log says is wrong: its last lines that are neither statistics nor instructions nor source.
pub fn last_useful_lines(log: &str) -> String {
    let statistics = ["processed ", "verification time", "stack depth", "peak_states"];
    let useful = |line: &&str| !line.trim().is_empty() && !statistics.iter().any(|word| line.starts_with(word));
    let says = |line: &&str| !line.starts_with(|c: char| c.is_ascii_digit() || c == ';');
    let mut lines: Vec<&str> = log.lines().rev().filter(useful).take(2).take_while(says).collect();
    lines.reverse();
    match &lines[..] {
        [] => "the verifier gave no reason".to_owned(),
        lines => text::join(&mut lines.iter().copied(), "; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_neither_statistics_nor_an_instruction() {
        let log = "0: (61) r1 = *(u32 *)(r1 +0)\ninvalid access to packet, off=14 size=1\n\
                   R1 offset is outside of the packet\nprocessed 2 insns\n\n";
        let want = "invalid access to packet, off=14 size=1; R1 offset is outside of the packet";
        assert_eq!(last_useful_lines(log), want);
        assert_eq!(last_useful_lines("1: (95) exit\nR0 !read_ok\n"), "R0 !read_ok");
        assert_eq!(last_useful_lines(""), "the verifier gave no reason");
    }
}
