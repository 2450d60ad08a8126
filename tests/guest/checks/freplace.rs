//! Replacing functions of loaded programs, which the XDP dispatcher is built on.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};

use crate::{
    bpf,
    features::Feature,
    harness::{Ctx, Test},
};

pub(crate) const TESTS: &[Test] = &[Test { name: "freplace-replaces", needs: &[Feature::Freplace], run: replaces }];

/// A replacement acts while its link lives and no longer.
fn replaces(_: &mut Ctx) -> Result<()> {
    let verdict = |program: &std::os::fd::OwnedFd| bpf::test_run(program.as_fd(), &[0; 64]);
    let target = bpf::load_xdp("target", bpf::XDP_PASS).context("loading the program")?;
    ensure!(verdict(&target)? == bpf::XDP_PASS, "before: {}", verdict(&target)?);
    let replacement =
        bpf::load_replacement("replacement", bpf::XDP_DROP, target.as_fd()).context("loading the replacement")?;
    ensure!(verdict(&target)? == bpf::XDP_PASS, "loaded, not linked: {}", verdict(&target)?);
    let link = bpf::link_replacement(replacement.as_fd(), target.as_fd()).context("linking")?;
    ensure!(verdict(&target)? == bpf::XDP_DROP, "linked: {}", verdict(&target)?);
    drop(link);
    ensure!(verdict(&target)? == bpf::XDP_PASS, "unlinked: {}", verdict(&target)?);
    Ok(())
}
