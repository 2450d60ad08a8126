//! Running other programs: one place that prints what runs and turns a failure into a readable error.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};

/// Root of the workspace.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: xtask lies in the workspace").to_owned()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Builds a program of the workspace in the development profile, as `cargo test --workspace` does; where it lies.
///
/// Features of dependencies come from all that one call builds: a package alone has fewer, and everything below it would
/// be compiled again. So the whole workspace is named, and one small test, for whose sake cargo counts what tests add.
pub(crate) fn build(program: &str) -> Result<PathBuf> {
    check(cargo().args(["build", "--quiet", "--workspace", "--bin", program, "--test", "workspace"]))?;
    Ok(root().join("target/debug").join(program))
}

/// Runs `command`, its output on our terminal; an error names the command line and its exit status.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let line = format!("{command:?}");
    let status = command.status().with_context(|| format!("starting {line}"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs `command` and returns its standard output; an error carries its standard error.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    let line = format!("{command:?}");
    let output = command.output().with_context(|| format!("starting {line}"))?;
    if !output.status.success() {
        bail!("{line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}
