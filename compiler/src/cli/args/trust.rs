//! Arguments of `trust`.
//!
//! In:   what follows `nodebpf trust`. Out: [`TrustCommand`]. Fails with usage errors.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::EXIT_CODES;

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
