//! `apply`: one run of the pipeline.

use std::{env, time::SystemTime};

use nodeplan::{
    report::{Exit, Report},
    time::Timestamp,
};

use crate::{
    apply::{self, CannotRun},
    clock::Reading,
    commands::show,
    dry::DryRun,
    journal,
    kernel::Kernel,
    memory,
    paths::Paths,
    report,
    stream::Scope,
    verify::{self, Node},
};

/// Who started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starter {
    /// The boot: `--boot`.
    Boot,
    /// A path or timer unit: systemd says so by `TRIGGER_UNIT`, systemd.exec(5).
    Unit,
    /// A person, or the Machine Config Operator, which rolls back if it fails.
    Person,
}

impl Starter {
    /// Who started this run.
    pub fn of(boot: bool) -> Self {
        match (boot, env::var_os("TRIGGER_UNIT")) {
            (true, _) => Self::Boot,
            (false, Some(unit)) if !unit.is_empty() => Self::Unit,
            (false, _) => Self::Person,
        }
    }

    /// Whether the files that a run finds are there to stay if it succeeds. A unit may run in the middle of an update by
    /// the Machine Config Operator, which has files still to write and may yet take all of them back.
    fn lasts(self) -> bool {
        self != Self::Unit
    }

    /// The exit code of a run, or of one that was impossible.
    fn exit(self, outcome: Result<Exit, Exit>) -> Exit {
        match (self, outcome) {
            // Nobody waits for it, and a failed unit would look like a node in trouble.
            (Self::Unit, _) | (Self::Boot, Ok(_)) => Exit::Done,
            (Self::Boot, Err(exit)) | (Self::Person, Ok(exit) | Err(exit)) => exit,
        }
    }
}

/// Runs once.
pub fn run(kernel: &Kernel, paths: &Paths, starter: Starter, scope: &Scope) -> Exit {
    starter
        .exit(told(this_node(paths).and_then(|node| apply::apply_scope(kernel, paths, &node, scope, starter.lasts()))))
}

/// Says what a run came to.
pub fn told(outcome: Result<(Report, Exit), CannotRun>) -> Result<Exit, Exit> {
    match outcome {
        Ok((report, exit)) => {
            report::log_streams(&report);
            journal::summary(&report);
            Ok(exit)
        }
        Err(cannot) => {
            report::log(3, &cannot.to_string());
            Err(cannot.exit)
        }
    }
}

/// Loads and verifies all that a run would, and attaches nothing. The exit is that of the run, as far as it can be told.
pub fn dry_run(kernel: &Kernel, paths: &Paths, as_json: bool) -> Exit {
    let dry = DryRun::default();
    match this_node(paths).and_then(|node| apply::rehearse(kernel, paths, &node, &dry)) {
        Ok((report, exit)) => exit.max(show(&dry.shown(&report, as_json), as_json)),
        Err(cannot) => {
            report::log(3, &cannot.to_string());
            cannot.exit
        }
    }
}

/// What this node is.
pub fn this_node(paths: &Paths) -> Result<Node, CannotRun> {
    // Without it every stream for some kernels would count as not for this one, and be detached.
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_err(|error| apply::cannot_run(format!("/proc/sys/kernel/osrelease: {error}")))?;
    let reading = Reading::take();
    Ok(Node {
        kernel: kernel.trim().to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
        // Without it streams for some releases are not for this node.
        ocp: std::fs::read_to_string(paths.os_release()).ok().and_then(|text| verify::ocp_release(&text)),
        now: reading.certain(memory::read(paths).memory.clock.as_ref()),
        unverified: (!reading.synchronised).then_some(reading.clock),
    })
}

/// The clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_seconds(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_started_a_run_decides_about_its_exit() {
        for (starter, outcome, want) in [
            (Starter::Person, Ok(Exit::Done), Exit::Done),
            (Starter::Person, Ok(Exit::Failed), Exit::Failed),
            (Starter::Person, Err(Exit::Locked), Exit::Locked),
            (Starter::Boot, Ok(Exit::Degraded), Exit::Done),
            (Starter::Boot, Err(Exit::CannotRun), Exit::CannotRun),
            (Starter::Unit, Ok(Exit::Refused), Exit::Done),
            (Starter::Unit, Err(Exit::CannotRun), Exit::Done),
            (Starter::Unit, Err(Exit::Locked), Exit::Done),
        ] {
            assert_eq!(starter.exit(outcome), want, "case: {starter:?} {outcome:?}");
        }
        assert!(Starter::Boot.lasts() && Starter::Person.lasts() && !Starter::Unit.lasts());
    }
}
