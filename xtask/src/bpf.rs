//! Stub.

use anyhow::{Result, bail};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the task.
pub(crate) fn run(_args: &Args) -> Result<()> {
    bail!("not written yet")
}
