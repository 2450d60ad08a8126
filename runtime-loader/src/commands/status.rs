//! `status`: what runs, and why not more.

use nodeplan::{json, report::Exit};

use super::print;
use crate::{apply, kernel::Kernel, paths::Paths, prometheus, report};

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// People.
    Table,
    /// Tools.
    Json,
    /// Prometheus.
    Prometheus,
}

/// Prints the last run's report with what is attached now and the counters.
pub fn run(kernel: &Kernel, paths: &Paths, form: Form) -> Exit {
    if let Err(cannot) = apply::require_kernel(kernel) {
        report::log(3, &cannot.to_string());
        return cannot.exit;
    }
    match report::refresh(kernel, paths) {
        Ok(Some(report)) if form == Form::Prometheus => print(&prometheus::text(&report)),
        Ok(Some(report)) if form == Form::Json => {
            let mut bytes = json::to_bytes(&report);
            bytes.push(b'\n');
            print(&String::from_utf8_lossy(&bytes))
        }
        Ok(Some(report)) => print(&report::table(&report)),
        Ok(None) => {
            report::log(4, "no run since boot; start one with nodebpf-loader apply");
            Exit::CannotRun
        }
        Err(message) => {
            report::log(3, &message);
            Exit::CannotRun
        }
    }
}
