//! Arguments: what can be typed.
//!
//! In:   `argv`. Out: [`Cli`]. Fails with usage errors, which end the process with 2.

use std::path::PathBuf;

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

/// Commands of `trust`.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// Build a trust file from a policy
    Build(TrustBuildArgs),
    /// Add a root signature to the version that waits
    Sign(TrustSignArgs),
    /// Add a key of an owner to the policy
    AddKey(TrustAddKeyArgs),
    /// Revoke a key or a bundle in the policy
    Revoke(TrustRevokeArgs),
    /// Raise the lowest revision of a stream in the policy
    Floor(TrustFloorArgs),
    /// Replace a root key in the policy
    RotateRoot(TrustRotateRootArgs),
    /// Show a trust file and its chain in words
    Show(TrustShowArgs),
}

/// Arguments of `init`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct InitArgs {
    /// Objects whose programs, variables and maps it fills in
    #[arg(value_name = "OBJECT")]
    pub objects: Vec<PathBuf>,

    /// File to write, or `-` for stdout
    #[arg(short, long, value_name = "FILE", default_value = "bpf.yaml")]
    pub out: PathBuf,
}

/// Arguments of `keygen`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct KeygenArgs {
    /// Write private.pem and public.pem here
    #[arg(short, long, value_name = "DIR")]
    pub out_dir: PathBuf,
}

/// Arguments of `trust build`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustBuildArgs {
    /// Policy to read
    pub policy: PathBuf,

    /// Trust file to write, or chain to extend
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,

    /// Sign with this root key; repeatable
    #[arg(long = "root-key", value_name = "FILE")]
    pub root_keys: Vec<PathBuf>,

    /// Let root signatures come later, by `trust sign`
    #[arg(long)]
    pub pending: bool,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `trust sign`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustSignArgs {
    /// Trust file beside which a version waits
    pub trust: PathBuf,

    /// Sign with this root key; repeatable
    #[arg(long = "root-key", value_name = "FILE")]
    pub root_keys: Vec<PathBuf>,

    /// Write the bytes an external signer signs to --out
    #[arg(long, conflicts_with = "root_keys", requires = "out")]
    pub prepare: bool,

    /// Add a signature that an external signer made
    #[arg(long, value_name = "SIG", conflicts_with_all = ["root_keys", "prepare"], requires = "public_key")]
    pub attach: Option<PathBuf>,

    /// Public key of the signature of --attach
    #[arg(long, value_name = "FILE", requires = "attach")]
    pub public_key: Option<PathBuf>,

    /// Write the bytes of --prepare here
    #[arg(short, long, value_name = "FILE", requires = "prepare")]
    pub out: Option<PathBuf>,

    /// Show what would be signed, sign nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `trust add-key`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustAddKeyArgs {
    /// Owner in the policy
    pub owner: String,

    /// Public key to add
    pub key: PathBuf,

    /// Policy to edit [default: policy.yaml]
    #[arg(long, value_name = "FILE", default_value = "policy.yaml", hide_default_value = true)]
    pub policy: PathBuf,
}

/// Arguments of `trust revoke`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustRevokeArgs {
    /// Public key or bundle; key:ID; statement:DIGEST
    pub what: String,

    /// Policy to edit [default: policy.yaml]
    #[arg(long, value_name = "FILE", default_value = "policy.yaml", hide_default_value = true)]
    pub policy: PathBuf,
}

/// Arguments of `trust floor`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustFloorArgs {
    /// Stream
    pub stream: String,

    /// Lowest revision that nodes accept
    pub revision: i64,

    /// Policy to edit [default: policy.yaml]
    #[arg(long, value_name = "FILE", default_value = "policy.yaml", hide_default_value = true)]
    pub policy: PathBuf,
}

/// Arguments of `trust rotate-root`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustRotateRootArgs {
    /// Public root key that goes
    pub old: PathBuf,

    /// Public root key that comes
    pub new: PathBuf,

    /// Policy to edit [default: policy.yaml]
    #[arg(long, value_name = "FILE", default_value = "policy.yaml", hide_default_value = true)]
    pub policy: PathBuf,
}

/// Arguments of `trust show`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct TrustShowArgs {
    /// Trust file
    pub trust: PathBuf,
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

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct CheckArgs {
    /// Manifests to read, or `-` for stdin
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub rules: PolicyArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub target: TargetArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub kernels: BtfArgs,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `sign`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct SignArgs {
    /// Manifest or bundle to sign
    pub subject: PathBuf,

    /// Sign with this private key; repeatable
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,

    /// Write the bytes an external signer signs to --out
    #[arg(long, conflicts_with = "keys", requires = "out")]
    pub prepare: bool,

    /// Add a signature that an external signer made
    #[arg(long, value_name = "SIG", conflicts_with_all = ["keys", "prepare"], requires = "public_key")]
    pub attach: Option<PathBuf>,

    /// Public key of the signature of --attach
    #[arg(long, value_name = "FILE", requires = "attach")]
    pub public_key: Option<PathBuf>,

    /// Signatures; default: beside SUBJECT
    #[arg(long, value_name = "DIR")]
    pub signatures: Option<PathBuf>,

    /// Write bundle or bytes here
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub rules: PolicyArgs,

    /// Show what would be signed, sign nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `lock`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct LockArgs {
    /// All manifests of the cluster
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,

    /// Policy to judge by
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,

    /// Lock file, or `-` for stdout [default: bpf.lock.yaml beside the first manifest]
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Refuse what differs from the lock file, write nothing
    #[arg(long)]
    pub check: bool,

    /// Judge expiry as of this time, in UTC [default: now, as warnings]
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    pub at: Option<Timestamp>,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `compile`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct CompileArgs {
    /// Manifests to read, or `-` for stdin
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,

    /// Sign with this private key; repeatable
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,

    /// Signatures; default: beside MANIFEST
    #[arg(long, value_name = "DIR", conflicts_with = "unsigned")]
    pub signatures: Option<PathBuf>,

    /// Leave out signatures; nodes refuse that
    #[arg(long, conflicts_with = "keys")]
    pub unsigned: bool,

    /// Write all files here [default: stdout]
    #[arg(short, long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    /// Write for this pool only; repeatable
    #[arg(long = "pool", value_name = "POOL", value_parser = pool)]
    pub pools: Vec<PoolName>,

    /// machineconfig (default), ignition, kustomize or tree;
    /// several with commas
    #[arg(long = "format", value_name = "FORMAT", value_enum, value_delimiter = ',', hide_possible_values = true)]
    pub formats: Vec<FormatArg>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub rules: PolicyArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub target: TargetArgs,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's description")]
    pub kernels: BtfArgs,

    /// Refuse what differs from the lock file
    #[arg(long)]
    pub locked: bool,

    /// Lock file [default: bpf.lock.yaml beside the first manifest]
    #[arg(long, value_name = "FILE", requires = "locked")]
    pub lock: Option<PathBuf>,

    /// Report problems, write nothing
    #[arg(short, long)]
    pub check: bool,

    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
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

/// Seconds of `14d`, `36h` or `2w`.
fn duration(text: &str) -> Result<u64, String> {
    let unit = |end: &str, seconds: u64| text.strip_suffix(end)?.parse::<u64>().ok()?.checked_mul(seconds);
    unit("d", 86_400)
        .or_else(|| unit("h", 3600))
        .or_else(|| unit("w", 604_800))
        .ok_or_else(|| "must be a number of hours, days or weeks, such as 36h, 14d or 2w".to_owned())
}

fn pool(text: &str) -> Result<PoolName, NameError> {
    PoolName::try_from(text)
}

fn target(text: &str) -> Result<Target, TargetError> {
    Target::try_from(text)
}
