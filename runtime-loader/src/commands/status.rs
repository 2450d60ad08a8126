//! `status`: what runs, and why not more. `status --prometheus`: the same as metrics.

use std::fmt::Display;

use nodeplan::{
    json,
    report::{Exit, Report, StreamReport, StreamState},
};

use super::print;
use crate::{
    apply,
    held::{Hold, Holds},
    kernel::Kernel,
    paths::Paths,
    prometheus, report,
    show::cat,
};

/// Prints the last run's report with what is attached now and the counters: a table, or for tools.
pub fn run(kernel: &Kernel, paths: &Paths, as_json: bool) -> Exit {
    match now(kernel, paths) {
        Ok(report) if as_json => {
            let mut bytes = json::to_bytes(&report);
            bytes.push(b'\n');
            print(&String::from_utf8_lossy(&bytes))
        }
        Ok(report) => print(&(report::table(&report) + &waiting(&Holds::read(paths).0, &report))),
        Err(exit) => exit,
    }
}

/// Holds on every stream, and on streams that are not there yet: a line each.
fn waiting(holds: &Holds, report: &Report) -> String {
    let mut lines = String::new();
    let mut line = |which: &str, hold: &Hold, when: &str| {
        let detach = if hold.detach { " and detached" } else { "" };
        lines.push_str(&cat(&[which, "held", detach, when, ", ", &hold.words, "\n"]));
    };
    if let Some(hold) = holds.every() {
        line("every stream is ", &hold, "");
    }
    for (name, hold) in holds.named() {
        let gone = |one: &StreamReport| one.state == StreamState::Removed && one.attachments.is_empty();
        if report.streams.iter().all(|one| one.stream != *name || gone(one)) {
            line(&cat(&[name.as_str(), ": not on this node; "]), hold, " for when it comes");
        }
    }
    lines
}

/// Prints it for Prometheus.
pub fn metrics(kernel: &Kernel, paths: &Paths) -> Exit {
    match now(kernel, paths) {
        Ok(report) => print(&prometheus::text(&report)),
        Err(exit) => exit,
    }
}

/// The report, or the exit after it was said why there is none.
fn now(kernel: &Kernel, paths: &Paths) -> Result<Report, Exit> {
    apply::require_kernel(kernel).map_err(|cannot| fail(&cannot))?;
    match report::refresh(kernel, paths) {
        Ok(Some(report)) => Ok(report),
        Ok(None) => {
            report::log(4, "no run since boot; start one with nodebpf-loader apply");
            Err(Exit::CannotRun)
        }
        Err(message) => Err(fail(&message)),
    }
}

/// Says why there is nothing to print.
pub fn fail(error: &dyn Display) -> Exit {
    report::log(3, &error.to_string());
    Exit::CannotRun
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use nodeplan::{name::StreamName, sorted::SortedSet, time::Timestamp};

    use super::*;
    use crate::held;

    #[test]
    fn holds_on_what_is_not_there_are_listed() {
        let dir: PathBuf = std::env::temp_dir().join(format!("nodebpf-waiting-{}", std::process::id()));
        let paths = Paths::new(&dir);
        let hold = |name: &str, detach| {
            let names: SortedSet<StreamName> = [StreamName::try_from(name).unwrap()].into();
            held::hold(&paths, &names, detach, ("root", Timestamp::from_unix_seconds(0), "why"));
        };
        hold("here", false);
        hold("nope", false);
        hold("off", true);
        hold("went", false);
        hold("went-runs", false);
        let text = r#"{"reportVersion":"1.1","loader":"0","kernel":"6","trust":{},"problems":[],
            "streams":[{"stream":"here","state":"held"},{"stream":"went","state":"removed"},{"stream":"went-runs",
            "state":"removed","attachments":[{"hook":"lsm","program":"p","attached":true}]}]}"#;
        let report: Report = json::parse(text.as_bytes(), text.len()).unwrap();
        assert_eq!(
            waiting(&Holds::read(&paths).0, &report),
            "nope: not on this node; held for when it comes, by root at 1970-01-01T00:00:00Z: why\n\
             off: not on this node; held and detached for when it comes, by root at 1970-01-01T00:00:00Z: why\n\
             went: not on this node; held for when it comes, by root at 1970-01-01T00:00:00Z: why\n"
        );
        let none = Report { streams: Vec::new(), ..report };
        held::release(&paths, &SortedSet::default());
        for (line, all, says) in [
            ("", None, ""),
            ("nodebpf=off", None, "every stream is held, by the kernel argument nodebpf=off\n"),
            ("", Some(false), "every stream is held, by root at 1970-01-01T00:00:00Z: why\n"),
            ("nodebpf=off", Some(true), "every stream is held and detached, by root at 1970-01-01T00:00:00Z: why\n"),
        ] {
            fs::create_dir_all(dir.join("proc")).unwrap();
            fs::write(dir.join("proc/cmdline"), line).unwrap();
            if let Some(detach) = all {
                let by = ("root", Timestamp::from_unix_seconds(0), "why");
                held::hold(&paths, &SortedSet::default(), detach, by);
            }
            assert_eq!(waiting(&Holds::read(&paths).0, &none), says, "{line} {all:?}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
