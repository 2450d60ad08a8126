//! What a review with fresh eyes found: each was possible once.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::{kernel::Kernel, paths::Paths, report};
use nodeplan::report::{Code, Exit, StreamState};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Snapshot, Stream, chain, run, said, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "entries-of-a-per-cpu-map-are-refused", needs: &[Feature::Freplace], run: per_cpu_entries },
    Test { name: "status-sees-what-others-removed", needs: &[Feature::Freplace], run: lost },
    Test { name: "stray-files-harm-no-stream", needs: &[Feature::Freplace], run: strays },
];

/// The kernel would read one value for each possible CPU out of a buffer with one.
fn per_cpu_entries(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let before = Snapshot::take_settled()?;
    let more = r#","maps":{"packets":{"entries":[{"key":"00000000","value":"0100000000000000"}]}}"#;
    node.ship(&Stream { more, ..Stream::pass("drop", pair.near_name, 510) })?;
    let report = node.apply_expecting(Exit::Failed)?;
    let failed = stream(&report, "drop")?;
    ensure!(failed.reason.as_ref().is_some_and(|reason| reason.code == Code::Object), "{failed:?}");
    before.expect_again()
}

fn lost(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let paths = Paths::new(Path::new("/tmp/node"));
    let status = || report::refresh(&Kernel::new(), &paths).map_err(|error| anyhow!(error))?.context("no report");
    ensure!(stream(&status()?, "drop")?.state == StreamState::Attached, "{:?}", status()?);
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    let gone = status()?;
    let one = stream(&gone, "drop")?;
    ensure!(one.state == StreamState::Degraded, "{one:?}");
    ensure!(one.reason.as_ref().is_some_and(|reason| reason.code == Code::Lost), "{one:?}");
    node.apply_expecting(Exit::Done)?;
    ensure!(stream(&status()?, "drop")?.state == StreamState::Attached, "{:?}", status()?);
    Ok(())
}

/// A pin where a stream's directory would be, and a file that is no bundle: said, and everything else goes on.
fn strays(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    fs::create_dir_all("/sys/fs/bpf/nodebpf")?;
    let words = "prog load /objects/xdp_pass.bpf.o /sys/fs/bpf/nodebpf/stray type xdp";
    let pinned = run("bpftool", words)?;
    ensure!(pinned.status.success(), "{}", said(&pinned));
    fs::write("/tmp/node/etc/nodebpf/bundles/Notes.txt", "not a bundle")?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let report = node.apply_expecting(Exit::Refused)?;
    ensure!(report.problems.len() == 1 && report.problems[0].code == Code::FileName, "{report:?}");
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    ensure!(chain(pair.near_name)?.len() == 1, "{:?}", chain(pair.near_name)?);
    Ok(())
}
