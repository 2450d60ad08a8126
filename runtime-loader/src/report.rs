//! Report: what the loader says, as JSON for tools, as a table for people, as lines for the journal.

use nodeplan::sorted::SortedMap;
use std::{env, fmt::Write, io, path::Path, ptr};

use nodeplan::{
    hook::Attachment,
    json,
    limits::STATEMENT_MAX_BYTES,
    name::{IfName, ProgramName, StreamName},
    plan::NodePlan,
    report::{AttachmentReport, Code, REPORT_VERSION, Reason, Report, StreamReport, StreamState, TrustReport},
};

use crate::{
    converge::{attachment_on, attachments_on},
    kernel::{Call, Kernel},
    links,
    paths::Paths,
    read, scene,
    select::Interfaces,
    show,
    state::{self, Version},
    stream::{Goal, Scope, Stream},
    verify::Node,
    xdp::{
        chain::{Observed, Refused},
        observe::{self, Programs},
    },
};

/// Interfaces and what is attached to them, at one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    interfaces: Interfaces,
    /// What XDP does, in the order of the interfaces.
    xdp: Vec<Observed>,
}

impl Snapshot {
    /// Looks at the kernel.
    fn take(kernel: &Kernel, interfaces: Interfaces) -> Call<Self> {
        let mut programs = Programs::new();
        let mut xdp = Vec::new();
        for interface in &interfaces.all {
            match observe::observe(kernel, interface, &mut programs) {
                Ok(observed) => xdp.push(observed),
                // The program was there a moment ago: replaced or taken off meanwhile.
                Err(error) if error.errno == libc::ENOENT => xdp.push(Observed::Empty),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { interfaces, xdp })
    }

    fn attachments(&self, kernel: &Kernel, plan: &NodePlan, dir: &Path, version: &Version) -> Vec<AttachmentReport> {
        let mut reports = Vec::new();
        let id = |program: &ProgramName| version.programs.get(program).map(|program| program.id);
        let report = |program: &ProgramName, attachment: &Attachment, attached: bool| AttachmentReport {
            hook: attachment.hook(),
            place: Some(attachment.place()),
            program: program.clone(),
            program_id: id(program).filter(|_| attached),
            interface: None,
            ifindex: None,
            mode: None,
            frags: None,
            priority: attachment.priority(),
            attached,
        };
        for program in &plan.programs {
            for attachment in &program.attach {
                let Attachment::Xdp(xdp) = attachment else { continue };
                for (interface, observed) in self.interfaces.all.iter().zip(&self.xdp) {
                    let attached = id(&program.name).is_some_and(|id| observed.programs().contains(&id));
                    if !attached && !self.interfaces.selects(&xdp.interfaces, interface) {
                        continue;
                    }
                    // It runs there once, whatever else of it runs elsewhere.
                    let by = attachment_on(plan, &program.name, &self.interfaces, interface);
                    if !by.is_some_and(|by| ptr::eq(by, xdp)) {
                        continue;
                    }
                    reports.push(AttachmentReport {
                        interface: IfName::try_from(interface.name.as_str()).ok(),
                        ifindex: Some(interface.ifindex),
                        mode: Some(xdp.mode),
                        frags: Some(observed.takes_frags()).filter(|_| xdp.frags && attached),
                        ..report(&program.name, attachment, attached)
                    });
                }
            }
        }
        for wanted in links::running(plan, &self.interfaces) {
            if let links::Place::Cgroup(at) = wanted.place
                && !links::cgroup_dir(at.path.as_str()).exists()
            {
                continue;
            }
            // Once more if it fails; what cannot be looked at is not known to run.
            let look = || links::alive(kernel, dir, &wanted);
            let link = look().or_else(|_| look()).ok().flatten();
            let attached = link.is_some_and(|link| Some(link.prog_id) == id(wanted.program));
            let mut one = report(wanted.program, wanted.attachment, attached);
            if let links::Place::Tcx { tc, interface, ifindex, .. } = wanted.place {
                let selected = || self.interfaces.selected(&tc.interfaces).any(|one| one.ifindex == ifindex);
                if !attached && !selected() {
                    continue;
                }
                one.interface = IfName::try_from(interface).ok();
                one.ifindex = Some(ifindex);
            }
            reports.push(one);
        }
        reports
    }

    /// Who keeps us from seeing what XDP of a plan runs on an interface, or has taken it.
    fn hidden(&self, plan: &NodePlan) -> Option<&Refused> {
        let places = self.interfaces.all.iter().zip(&self.xdp);
        let mut held = places.filter_map(|(interface, observed)| match observed {
            Observed::Held(refused) => Some((interface, refused)),
            _ => None,
        });
        let here = |one| !attachments_on(plan, &self.interfaces, one).is_empty();
        held.find(|(interface, _)| here(interface)).map(|(_, refused)| refused)
    }

    /// What of a plan waits for something that the node does not have now.
    fn absent(&self, plan: &NodePlan) -> Option<Reason> {
        let mut interfaces = self.interfaces.absent(plan);
        interfaces.sort_unstable();
        interfaces.dedup();
        if !interfaces.is_empty() {
            let message = format!("no interface matches {}", interfaces.join(", "));
            return Some(Reason { code: Code::InterfaceAbsent, message });
        }
        if let Some((_, why)) = self.interfaces.untold(plan).first() {
            return Some(Reason { code: Code::InterfaceAbsent, message: why.clone() });
        }
        for attachment in plan.attachments() {
            if let Attachment::Cgroup(at) = attachment
                && !links::cgroup_dir(at.path.as_str()).exists()
            {
                return Some(Reason { code: Code::CgroupAbsent, message: format!("there is no cgroup {}", at.path) });
            }
        }
        None
    }
}

/// The report of a run.
pub fn build(kernel: &Kernel, node: &Node, trust: TrustReport, streams: &SortedMap<StreamName, Stream>) -> Report {
    // Once more if it fails: by now streams run, and a report without places would say less than is known.
    let take = || scene::take(kernel, streams).and_then(|interfaces| Snapshot::take(kernel, interfaces));
    let snapshot = take().or_else(|_| take()).unwrap_or_else(|error| {
        log(4, &format!("{} places are not reported: {error}", Code::Kernel.as_str()));
        Snapshot::default()
    });
    let streams = streams.iter().map(|(name, stream)| stream_report(kernel, &snapshot, name, stream)).collect();
    Report {
        report_version: REPORT_VERSION,
        loader: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: node.kernel.clone(),
        trust,
        problems: Vec::new(),
        streams,
    }
}

fn stream_report(kernel: &Kernel, snapshot: &Snapshot, name: &StreamName, stream: &Stream) -> StreamReport {
    let mut report = StreamReport::new(name.clone(), stream.state, stream.reason.clone());
    // What runs is shown; what would run only if nothing does.
    let runs = match &stream.goal {
        Goal::Run(target) => Some((target.statement, &target.plan, Some(&target.version))),
        Goal::Keep => {
            stream.before.iter().find_map(|version| Some((version.committed?, version.plan.as_ref()?, Some(version))))
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
            report.attachments = snapshot.attachments(kernel, plan, &version.dir, version);
        }
        let looked = !snapshot.interfaces.all.is_empty(); // every network namespace has `lo`
        if report.state == StreamState::Attached
            && looked
            && let Some(reason) = snapshot.absent(plan)
        {
            report.state = StreamState::Pending;
            report.reason = Some(reason);
        }
    }
    report
}

/// Writes the report where `status` finds it.
pub fn write(paths: &Paths, report: &Report) -> io::Result<()> {
    read::write_atomically(&paths.report(), &json::to_bytes(report))
}

/// Takes over what the last report says of streams that this one is not about. Those of `scope` that it does not know are
/// not on this node any more.
pub fn keep_others(paths: &Paths, scope: &Scope, report: &mut Report) {
    // One that cannot be read says nothing; the next run about all streams writes it anew.
    let Ok(Some(last)) = last(paths) else { return };
    let asked = |one: &StreamReport| matches!(scope, Scope::Only(names) if names.contains(&one.stream));
    let known = |one: &StreamReport| asked(one) || report.streams.iter().any(|new| new.stream == one.stream);
    let others: Vec<StreamReport> = last.streams.into_iter().filter(|one| !known(one)).collect();
    report.streams.extend(others);
    report.streams.sort_unstable_by(|a, b| a.stream.cmp(&b.stream));
}

/// The last run's report. `None`: no run since boot.
pub fn last(paths: &Paths) -> Result<Option<Report>, String> {
    let bytes = match read::read(&paths.report(), STATEMENT_MAX_BYTES * 64) {
        Ok(bytes) => bytes,
        Err(read::ReadError::Missing) => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", paths.report().display())),
    };
    json::parse(&bytes, bytes.len()).map(Some).map_err(|error| error.to_string())
}

/// The last run's report, with what is attached now and the counters. `None`: no run since boot.
pub fn refresh(kernel: &Kernel, paths: &Paths) -> Result<Option<Report>, String> {
    let Some(mut report) = last(paths)? else { return Ok(None) };
    let running = state::running(kernel, paths).map_err(|error| error.to_string())?;
    let mut plans = Vec::new();
    for versions in running.values() {
        plans.extend(versions.iter().filter_map(|version| version.plan.clone()));
    }
    let snapshot = Interfaces::take(kernel, &plans)
        .and_then(|interfaces| Snapshot::take(kernel, interfaces))
        .map_err(|error| error.to_string())?;
    for one in &mut report.streams {
        let versions = running.get(&one.stream).map_or(&[][..], Vec::as_slice);
        let Some((version, plan)) = versions.iter().find_map(|version| Some((version, version.plan.as_ref()?))) else {
            // Pins without a record: what runs there is not known, and not known to be gone.
            if versions.is_empty() {
                one.attachments.clear();
                lost(one, None);
            }
            continue;
        };
        one.attachments = snapshot.attachments(kernel, plan, &version.dir, version);
        lost(one, snapshot.hidden(plan));
        for (map, said) in &plan.maps {
            if let Some(counter) = &said.counter {
                match state::counter(kernel, &version.dir, map.as_str()) {
                    Ok(value) => {
                        one.counters.insert(counter.clone(), value);
                    }
                    // One stream's pins may go while it is looked at; the others' counters are there.
                    Err(error) => log(4, &format!("counter `{counter}` of {}: {error}", one.stream)),
                }
            }
        }
    }
    Ok(Some(report))
}

/// The last run said `attached`: if that is not so any more, the state must not say it.
fn lost(one: &mut StreamReport, hidden: Option<&Refused>) {
    let all = !one.attachments.is_empty() && one.attachments.iter().all(|place| place.attached);
    if one.state == StreamState::Attached && !all {
        one.state = StreamState::Degraded;
        let message = match hidden {
            // It may run still, below what is in hardware; and `apply` would be refused.
            Some(refused) => format!("it is not seen to run any more: {}", refused.message),
            None => "others have removed it since the last run; nodebpf-loader apply brings it back".to_owned(),
        };
        one.reason = Some(Reason { code: Code::Lost, message });
    }
}

/// Whether a stream of which something is refused, failed or expired has something that runs all the same.
fn runs_on(one: &StreamReport) -> bool {
    let runs = one.attachments.iter().any(|place| place.attached);
    runs && !matches!(one.state, StreamState::Attached | StreamState::Pending | StreamState::Degraded)
}

/// The report as a table for people.
pub fn table(report: &Report) -> String {
    let heads = ["STREAM", "REV", "STATE", "PLACE", "INTERFACE", "MODE", "PRIO", "PROGRAM", "ID"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for one in &report.streams {
        let revision = one.revision.map_or("-".to_owned(), |revision| revision.to_string());
        let mut row = ["-"; 9].map(str::to_owned).to_vec();
        row[0] = one.stream.to_string();
        row[1] = revision;
        one.state.as_str().clone_into(&mut row[2]);
        if runs_on(one) {
            row[2].push_str(", runs");
        }
        if one.attachments.is_empty() {
            rows.push(row);
            continue;
        }
        for place in &one.attachments {
            let mut row = row.clone();
            row[3] = place.place.clone().unwrap_or_else(|| place.hook.to_string());
            if let Some(interface) = &place.interface {
                row[4] = interface.to_string();
            }
            if let Some(mode) = place.mode {
                mode.as_str().clone_into(&mut row[5]);
            }
            if let Some(priority) = place.priority {
                row[6] = priority.to_string();
            }
            row[7] = place.program.to_string();
            if let Some(id) = place.program_id {
                row[8] = id.to_string();
            }
            rows.push(row);
        }
    }
    let mut out = show::align(&rows);
    for one in &report.streams {
        if let Some(reason) = &one.reason {
            let _ = writeln!(out, "{}: {} {}", one.stream, reason.code.as_str(), reason.message);
        }
        if runs_on(one)
            && let Some(revision) = one.revision
        {
            let _ = writeln!(out, "{}: revision {revision} keeps running", one.stream);
        }
        for (counter, value) in &one.counters {
            let _ = writeln!(out, "{}: {counter} {value}", one.stream);
        }
    }
    for problem in &report.problems {
        let _ = writeln!(out, "node: {} {}", problem.code.as_str(), problem.message);
    }
    if let (Some(version), Some(anchor)) = (report.trust.version, report.trust.anchor) {
        let _ = writeln!(out, "trust: version {version}, {}", anchor.as_str());
    }
    if let Some(reason) = &report.trust.reason {
        let _ = writeln!(out, "trust: {} {}", reason.code.as_str(), reason.message);
    }
    out
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
        let mut last = None;
        for place in one.attachments.iter().filter(|place| place.attached) {
            let hook = place.hook.as_str();
            line.push_str(if last == Some(hook) { "," } else { " " });
            if last != Some(hook) {
                line.push_str(hook);
                line.push('=');
            }
            last = Some(hook);
            match (&place.interface, place.place.as_deref().and_then(|text| text.get(hook.len() + 1..))) {
                (Some(interface), _) => line.push_str(interface.as_str()),
                (None, Some(at)) => line.push_str(&at.replace(' ', ":")),
                (None, None) => {}
            }
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

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
