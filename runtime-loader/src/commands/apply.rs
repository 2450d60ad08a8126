//! `apply`: one run of the pipeline.

use std::time::SystemTime;

use nodeplan::{report::Exit, time::Timestamp};

use crate::{
    apply::{self, CannotRun},
    commands::show,
    dry::DryRun,
    journal,
    kernel::Kernel,
    paths::Paths,
    report,
    verify::{self, Node},
};

/// Runs once. With `boot` the exit is 0 whatever became of single streams.
pub fn run(kernel: &Kernel, paths: &Paths, boot: bool) -> Exit {
    match this_node(paths).and_then(|node| apply::apply(kernel, paths, &node)) {
        Ok((report, exit)) => {
            report::log_streams(&report);
            journal::summary(&report);
            if boot { Exit::Done } else { exit }
        }
        Err(cannot) => {
            report::log(3, &cannot.to_string());
            cannot.exit
        }
    }
}

/// Loads and verifies all that a run would, and attaches nothing. The exit is that of the run, as far as it can be told.
pub fn dry_run(kernel: &Kernel, paths: &Paths, as_json: bool) -> Exit {
    let dry = DryRun::default();
    match this_node(paths).and_then(|node| apply::run(kernel, paths, &node, Some(&dry))) {
        Ok((report, exit)) => exit.max(show(&dry.shown(&report), as_json)),
        Err(cannot) => {
            report::log(3, &cannot.to_string());
            cannot.exit
        }
    }
}

/// What this node is. A clock before 1970 counts as 1970: nothing expires by it.
pub fn this_node(paths: &Paths) -> Result<Node, CannotRun> {
    // Without it every stream for some kernels would count as not for this one, and be detached.
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_err(|error| apply::cannot_run(format!("/proc/sys/kernel/osrelease: {error}")))?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Node {
        kernel: kernel.trim().to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
        // Without it streams for some releases are not for this node.
        ocp: std::fs::read_to_string(paths.os_release()).ok().and_then(|text| verify::ocp_release(&text)),
        now: Timestamp::from_unix_seconds(since.as_secs()),
    })
}
