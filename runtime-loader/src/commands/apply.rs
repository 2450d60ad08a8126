//! `apply`: one run of the pipeline.

use nodeplan::report::Exit;

use crate::{
    apply::{self, CannotRun},
    clock::Reading,
    kernel::Kernel,
    memory,
    paths::Paths,
    report,
    verify::{self, Node},
};

/// Runs once. With `boot` the exit is 0 whatever became of single streams.
pub fn run(kernel: &Kernel, paths: &Paths, boot: bool) -> Exit {
    match this_node(paths).and_then(|node| apply::apply(kernel, paths, &node)) {
        Ok((report, exit)) => {
            report::log_streams(&report);
            if boot { Exit::Done } else { exit }
        }
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
