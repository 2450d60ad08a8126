//! Arguments of the commands that start from manifests: `init`, `check`, `sign`, `lock`, `compile`.
//!
//! In:   what follows their names. Out: one struct each. Fails with usage errors.

use std::path::PathBuf;

use clap::Args;
use nodeplan::{name::PoolName, time::Timestamp};

use super::{BtfArgs, EXIT_CODES, FormatArg, PolicyArgs, TargetArgs, pool, timestamp};

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
