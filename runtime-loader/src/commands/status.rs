//! `status`: what runs, and why not more. `status --prometheus`: the same as metrics.

use std::fmt::Display;

use nodeplan::{
    json,
    report::{Exit, Report},
};

use super::print;
use crate::{apply, kernel::Kernel, paths::Paths, prometheus, report};

/// Prints the last run's report with what is attached now and the counters: a table, or for tools.
pub fn run(kernel: &Kernel, paths: &Paths, as_json: bool) -> Exit {
    match now(kernel, paths) {
        Ok(report) if as_json => {
            let mut bytes = json::to_bytes(&report);
            bytes.push(b'\n');
            print(&String::from_utf8_lossy(&bytes))
        }
        Ok(report) => print(&report::table(&report)),
        Err(exit) => exit,
    }
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
