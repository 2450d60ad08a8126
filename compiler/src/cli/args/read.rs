//! Arguments of the commands that only read: `verify`, `inspect`, `explain`, `schema`.
//!
//! In:   what follows their names. Out: one struct each. Fails with usage errors.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nodeplan::time::Timestamp;

use super::{BtfArgs, EXIT_CODES, timestamp};

/// Arguments of `verify`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// Trust file of the nodes
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,

    /// Bundles, MachineConfigs, Ignition, directories
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Warn of streams that expire within, such as 14d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub warn_before: Option<u64>,

    /// Judge expiry at this time, not now
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub at: Option<Timestamp>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct InspectArgs {
    /// Objects, bundles, MachineConfigs, Ignition files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Count memory of per-CPU maps for this many CPUs
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub cpus: u32,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub kernels: BtfArgs,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct ExplainArgs {
    /// Code such as NB0402
    #[arg(required_unless_present = "all")]
    pub code: Option<String>,

    /// Print all pages, as Markdown
    #[arg(long, conflicts_with = "code")]
    pub all: bool,
}

/// Documents that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// `kind: BpfManifest`.
    Manifest,
    /// `kind: BpfPolicy`.
    Policy,
    /// `kind: BpfLock`.
    Lock,
    /// Payloads of a `trust.json`.
    Trust,
    /// The predicate of a statement.
    NodePlan,
    /// What the loader writes.
    Report,
    /// Lines of `--message-format json`.
    Message,
}

/// Seconds of `15m`, `36h`, `14d` or `2w`.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let unit = |end: &str, seconds: u64| text.strip_suffix(end)?.parse::<u64>().ok()?.checked_mul(seconds);
    unit("d", 86_400)
        .or_else(|| unit("h", 3600))
        .or_else(|| unit("w", 604_800))
        .or_else(|| unit("m", 60))
        .ok_or_else(|| "must be a number of minutes, hours, days or weeks, such as 15m, 36h, 14d or 2w".to_owned())
}
