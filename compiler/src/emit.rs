//! Emit: lowered values to bytes of files.
//!
//! In:   [`MachineConfig`]s. Out: names and bytes; equal input gives equal bytes.
//! May fail with: NB0421, NB0502 (warnings), NB0503 (too large).

use std::collections::BTreeMap;

use nodeplan::name::PoolName;
use serde::Serialize;

use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    lower::machineconfig::MachineConfig,
};

/// Largest MachineConfig that plain `oc apply` takes, in bytes.
///
/// The object goes into an annotation; Kubernetes allows 256 KiB for all of them: apimachinery
/// `pkg/api/validation/objectmeta.go`, `TotalAnnotationSizeLimitB`.
pub const PLAIN_APPLY_MAX_BYTES: usize = 256 * 1024;

/// Largest MachineConfig that nodebpf writes, in bytes.
///
/// A pool's rendered MachineConfig holds all files of all its `MachineConfig`s (about 424 KiB before anybody adds one)
/// and must fit etcd's 1.5 MiB request limit (`--max-request-bytes`).
pub const MACHINE_CONFIG_MAX_BYTES: usize = 1024 * 1024;

/// From here on the MachineConfigs of a pool are worth a look, in bytes: half of what the request limit leaves beside
/// the platform's own 424 KiB or so.
pub const POOL_SUM_WARN_BYTES: usize = 512 * 1024;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// MachineConfig in YAML, for `oc apply` and GitOps.
    MachineConfig,
    /// Ignition 3.2.0 in JSON, for images and first boots.
    Ignition,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Name without directory.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// The file of `config`; problems of size are reported.
pub fn emit(config: &MachineConfig, format: Format, diags: &mut Diagnostics) -> OutputFile {
    match format {
        Format::MachineConfig => {
            let bytes = to_yaml(config);
            check_size(config.name(), bytes.len(), diags);
            OutputFile { name: format!("{}.yaml", config.name()), bytes }
        }
        Format::Ignition => OutputFile { name: format!("{}.ign", config.name()), bytes: to_json(config.config()) },
    }
}

/// Warns of pools whose files are large together; `sizes` has the bytes of all files of a run by pool.
pub fn check_sums(sizes: &BTreeMap<PoolName, usize>, diags: &mut Diagnostics) {
    for (pool, size) in sizes.iter().filter(|(_, size)| **size > POOL_SUM_WARN_BYTES) {
        let message =
            format!("the MachineConfigs of pool `{pool}` have {size} bytes together, over {POOL_SUM_WARN_BYTES}");
        diags.push(
            Diagnostic::warning(Code::PoolTooLarge, message)
                .note(
                    "etcd: the rendered MachineConfig of a pool must fit 1.5 MiB, with about 424 KiB of the platform's",
                )
                .help("strip objects with `llvm-strip -g`, share objects within a stream, or use fewer pools"),
        );
    }
}

fn check_size(name: &str, size: usize, diags: &mut Diagnostics) {
    if size > MACHINE_CONFIG_MAX_BYTES {
        let message = format!("MachineConfig `{name}` has {size} bytes; {MACHINE_CONFIG_MAX_BYTES} are allowed");
        diags.push(
            Diagnostic::error(Code::MachineConfigTooLarge, message)
                .note("etcd: a pool's rendered MachineConfig must fit 1.5 MiB, with everybody's files in it")
                .help("strip objects with `llvm-strip -g`, or split the stream"),
        );
    } else if size > PLAIN_APPLY_MAX_BYTES {
        let message =
            format!("MachineConfig `{name}` has {size} bytes; plain `oc apply` stops at {PLAIN_APPLY_MAX_BYTES}");
        diags.push(
            Diagnostic::warning(Code::LargeMachineConfig, message)
                .note("Kubernetes: the whole object goes into an annotation, which has 256 KiB")
                .help("apply it with `oc apply --server-side`; in Argo CD set `ServerSideApply=true`"),
        );
    }
}

/// A value with sorted keys and without nulls, whatever crate made it.
#[derive(Serialize)]
#[serde(untagged)]
enum Tree {
    Scalar(serde_json::Value),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

fn tree(value: serde_json::Value) -> Tree {
    use serde_json::Value;
    match value {
        Value::Array(items) => Tree::List(items.into_iter().map(tree).collect()),
        Value::Object(entries) => Tree::Map(
            entries.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, tree(value))).collect(),
        ),
        scalar => Tree::Scalar(scalar),
    }
}

fn normal(value: &impl Serialize) -> Tree {
    tree(serde_json::to_value(value).expect("invariant: output types have string keys"))
}

fn to_yaml(value: &impl Serialize) -> Vec<u8> {
    serde_yaml::to_string(&normal(value)).expect("invariant: output types have string keys").into_bytes()
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&normal(value)).expect("invariant: output types have string keys");
    bytes.push(b'\n');
    bytes
}
