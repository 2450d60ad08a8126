//! Arguments: what can be typed.
//!
//! In:   `argv`. Out: [`Cli`]. Fails with usage errors, which end the process with 2.

mod change;
mod manifest;
mod read;
mod trust;

use std::path::PathBuf;

pub use change::{AcceptArg, DiffArgs, DiffTarget, FleetArgs, OrderArg};
pub use manifest::{CheckArgs, CompileArgs, InitArgs, LockArgs, SignArgs};
pub use read::{ExplainArgs, InspectArgs, SchemaKind, VerifyArgs};
pub use trust::{
    TrustAddKeyArgs, TrustBuildArgs, TrustCommand, TrustFloorArgs, TrustRevokeArgs, TrustRotateRootArgs, TrustShowArgs,
    TrustSignArgs,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use nodeplan::{
    name::{NameError, PoolName},
    time::{Timestamp, TimestampError},
};

use crate::{
    emit::Format,
    platform::target::{Target, TargetError},
};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the input has errors, 2 wrong usage, 3 I/O";

/// Compile eBPF manifests into signed MachineConfigs
#[derive(Debug, Parser)]
#[command(name = "nodebpf", version, term_width = 80, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Cli {
    /// Colours: auto, always or never
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Color::Auto,
        value_name = "WHEN",
        hide_possible_values = true,
        hide_default_value = true,
        display_order = 100
    )]
    pub color: Color,

    /// Problems as human, short or json
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = MessageFormat::Human,
        value_name = "FORM",
        hide_possible_values = true,
        hide_default_value = true,
        display_order = 100
    )]
    pub message_format: MessageFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use terminal colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to print problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// With snippets.
    Human,
    /// One line each.
    Short,
    /// JSON Lines.
    Json,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented manifest to start from
    Init(InitArgs),
    /// Make a key pair for signing
    Keygen(KeygenArgs),
    /// Work with trust files
    #[command(after_help = EXIT_CODES)]
    Trust {
        /// What to do.
        #[command(subcommand)]
        command: TrustCommand,
    },
    /// Report the problems of manifests, write nothing
    Check(CheckArgs),
    /// Sign a manifest's statement, or a bundle
    Sign(SignArgs),
    /// Compile manifests into signed MachineConfigs
    Compile(CompileArgs),
    /// Write down the agreed order of all programs
    Lock(LockArgs),
    /// Make the MachineConfigs that bring loader and trust file
    Install(InstallArgs),
    /// Check bundles as a node would
    Verify(VerifyArgs),
    /// Show what is in objects, bundles and MachineConfigs
    Inspect(InspectArgs),
    /// Show what changes, and what nodes will do
    Diff(DiffArgs),
    /// Show what the nodes of a cluster run
    Fleet(FleetArgs),
    /// Explain an error code
    Explain(ExplainArgs),
    /// Print the JSON Schema of a format
    #[command(after_help = EXIT_CODES)]
    Schema {
        /// manifest (default), policy, lock, trust, node-plan, report or message
        #[arg(value_enum, default_value_t = SchemaKind::Manifest, hide_possible_values = true, hide_default_value = true)]
        kind: SchemaKind,
    },
    /// Write man pages
    #[command(hide = true)]
    Man {
        /// Where to.
        dir: PathBuf,
    },
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct KeygenArgs {
    /// Write private.pem and public.pem here
    #[arg(short, long, value_name = "DIR")]
    pub out_dir: PathBuf,
}

/// By which rules manifests are judged.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Judge the owner's rights by this policy
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Judge the owner's rights by this file
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub trust: Option<PathBuf>,

    /// Judge expiry as of this time, in UTC [default: now, as warnings]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub at: Option<Timestamp>,
}

/// The cluster that manifests are for.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// For these releases: 4.18, 4.16-4.22
    #[arg(long = "ocp", value_name = "RELEASE", value_parser = target)]
    pub ocp: Vec<Target>,
}

/// Kernels to judge programs by.
#[derive(Debug, Args)]
pub struct BtfArgs {
    /// Judge programs by this kernel's types: a node's
    /// /sys/kernel/btf/vmlinux, plain or gzipped; repeatable
    #[arg(long, value_name = "FILE")]
    pub btf: Vec<PathBuf>,
}

/// Arguments of `install`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct InstallArgs {
    /// Write for this pool; repeatable
    #[arg(long = "pool", value_name = "POOL", value_parser = pool, required = true)]
    pub pools: Vec<PoolName>,

    /// Trust file for the nodes
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,

    /// Loader; default: the one beside nodebpf
    #[arg(long, value_name = "FILE")]
    pub loader: Option<PathBuf>,

    /// Binary of the commands that only look; default: the
    /// nodebpf-diag beside the loader
    #[arg(long, value_name = "FILE")]
    pub diag: Option<PathBuf>,

    /// Leave nodebpf-diag out: no inventory, selftest, map
    /// dump and metrics on nodes
    #[arg(long, conflicts_with = "diag")]
    pub no_diag: bool,

    /// Write all files here
    #[arg(short, long, value_name = "DIR")]
    pub out_dir: PathBuf,

    /// machineconfig (default), ignition, kustomize or tree;
    /// several with commas
    #[arg(long = "format", value_name = "FORMAT", value_enum, value_delimiter = ',', hide_possible_values = true)]
    pub formats: Vec<FormatArg>,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Output formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// MachineConfig YAML.
    Machineconfig,
    /// Ignition JSON.
    Ignition,
    /// MachineConfigs under a kustomization.
    Kustomize,
    /// Root file system overlay and Containerfile.
    Tree,
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Machineconfig => Self::MachineConfig,
            FormatArg::Ignition => Self::Ignition,
            FormatArg::Kustomize => Self::Kustomize,
            FormatArg::Tree => Self::Tree,
        }
    }
}

fn timestamp(text: &str) -> Result<Timestamp, TimestampError> {
    Timestamp::try_from(text)
}

fn pool(text: &str) -> Result<PoolName, NameError> {
    PoolName::try_from(text)
}

fn target(text: &str) -> Result<Target, TargetError> {
    Target::try_from(text)
}
