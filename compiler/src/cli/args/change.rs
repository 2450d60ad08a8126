//! Arguments of commands about change: `diff`, `fleet`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use nodeplan::{name::PoolName, time::Timestamp};

use super::{TargetArgs, pool, read::duration, timestamp};

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 the input has errors or, with --exit-code, differs,\n2 wrong usage, 3 I/O"
)]
pub struct DiffArgs {
    /// Compiled output before: directory or file
    pub old: PathBuf,

    /// Compiled output after
    pub new: PathBuf,

    /// File with the disruption policy, or none [default:
    /// one in NEW or OLD, or that of install]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub ocp: TargetArgs,

    /// mcd (default), or ocl: nodes with images that the cluster builds
    #[arg(long, value_enum, default_value_t = DiffTarget::Mcd, hide_possible_values = true, hide_default_value = true)]
    pub target: DiffTarget,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print Markdown, for a pull request
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// Exit with 1 if anything differs
    #[arg(long)]
    pub exit_code: bool,
}

/// How changes reach nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffTarget {
    /// By the machine config daemon.
    Mcd,
    /// In images that the cluster builds.
    Ocl,
}

/// Arguments of `fleet`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all nodes are as they should be, 1 not or the input has errors,\n2 wrong usage, 3 I/O"
)]
pub struct FleetArgs {
    /// Journal lines of many nodes, or `-` for stdin
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Compare with this lock file
    #[arg(long, value_name = "FILE")]
    pub lock: Option<PathBuf>,

    /// All nodes are of this pool
    #[arg(long, value_name = "POOL", value_parser = pool, conflicts_with = "nodes")]
    pub pool: Option<PoolName>,

    /// All nodes with their pools: oc get nodes -o json
    #[arg(long, value_name = "FILE")]
    pub nodes: Option<PathBuf>,

    /// A node whose newest report is older is not right: 15m, 36h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_age: Option<u64>,

    /// Judge age at this time, not now
    #[arg(long, value_name = "TIME", value_parser = timestamp, requires = "max_age")]
    pub at: Option<Timestamp>,

    /// Which way lines of journalctl's short forms run; else their times tell
    #[arg(long, value_enum, value_name = "ORDER")]
    pub order: Option<OrderArg>,

    /// Take this state for right, too: pending, held; repeatable
    #[arg(long, value_enum, value_name = "STATE", hide_possible_values = true)]
    pub accept: Vec<AcceptArg>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Orders of `--order`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OrderArg {
    /// As journalctl prints them.
    OldestFirst,
    /// As journalctl -r prints them.
    NewestFirst,
}

/// States of `--accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcceptArg {
    /// Something it is to be attached to is absent.
    Pending,
    /// Held back by hand.
    Held,
}
