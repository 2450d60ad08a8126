//! Emit: lowered values to bytes of files.
//!
//! In:   [`MachineConfig`]s. Out: names and bytes; equal input gives equal bytes.
//! May fail with: NB0502 (a warning), NB0503 (too large), NB0512 (what a cluster would refuse),
//! NB0513 (a warning: much for one pool).

pub mod delivery;
mod yaml;

use std::collections::BTreeMap;

use nodeplan::name::PoolName;
use serde::{Serialize, Serializer};

use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    lower::{machineconfig::MachineConfig, support},
    source::Span,
};

/// Most that the annotations of an object may have, in bytes, keys and values: apimachinery
/// `pkg/api/validation/objectmeta.go`, `TotalAnnotationSizeLimitB`. Plain `oc apply` puts the whole object into one.
pub const PLAIN_APPLY_MAX_BYTES: usize = 256 * 1024;

/// Largest MachineConfig that nodebpf writes, in bytes.
///
/// A pool's rendered MachineConfig holds all files of all its `MachineConfig`s (about 424 KiB before anybody adds one)
/// and must fit etcd's 1.5 MiB request limit (`--max-request-bytes`).
pub const MACHINE_CONFIG_MAX_BYTES: usize = 1024 * 1024;

/// What all files of one run may add to one pool before it is worth a warning, in bytes: half of what is left beside the
/// 424 KiB of a bare cluster (434,229 bytes in hypershift issue 1843) in etcd's 1.5 MiB.
pub const POOL_SUM_MAX_BYTES: usize = 512 * 1024;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// MachineConfig in YAML, for `oc apply` and the installers' `openshift/` directory.
    MachineConfig,
    /// Ignition 3.2.0 in JSON, for images and first boots.
    Ignition,
    /// MachineConfigs and a `kustomization.yaml` over them, for GitOps.
    Kustomize,
    /// An overlay of the root file system and a Containerfile, for images of nodes.
    Tree,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFile {
    /// Name without directory.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// The file of `config` as MachineConfig; problems of size, and what a cluster would refuse, are reported at `place`.
pub fn machine_config(config: &MachineConfig, place: Option<Span>, diags: &mut Diagnostics) -> OutputFile {
    look_at(config, place, diags);
    let bytes = to_yaml(config);
    check_size(config, bytes.len(), diags);
    OutputFile { name: format!("{}.yaml", config.name()), bytes }
}

/// The file of `config` as Ignition; what nodes would refuse is reported at `place`.
pub fn ignition(config: &MachineConfig, place: Option<Span>, diags: &mut Diagnostics) -> OutputFile {
    look_at(config, place, diags);
    OutputFile { name: format!("{}.ign", config.name()), bytes: to_json(config.config()) }
}

fn look_at(config: &MachineConfig, place: Option<Span>, diags: &mut Diagnostics) {
    let document = without_nulls(serde_json::to_value(config).expect("invariant: output types have string keys"));
    support::check(config.name(), &document, place, diags);
}

fn check_size(config: &MachineConfig, size: usize, diags: &mut Diagnostics) {
    let (name, applied) = (config.name(), annotations_after_apply(config));
    if size > MACHINE_CONFIG_MAX_BYTES {
        let message = format!("MachineConfig `{name}` has {size} bytes; {MACHINE_CONFIG_MAX_BYTES} are allowed");
        diags.push(
            Diagnostic::error(Code::MachineConfigTooLarge, message)
                .note("etcd: a pool's rendered MachineConfig must fit 1.5 MiB, with everybody's files in it")
                .help("strip objects with `llvm-strip -g`, split the stream, or bake the files into the image"),
        );
    } else if applied > PLAIN_APPLY_MAX_BYTES {
        let message = format!(
            "MachineConfig `{name}` has {applied} bytes in its annotations after a plain `oc apply`; {PLAIN_APPLY_MAX_BYTES} are allowed"
        );
        diags.push(
            Diagnostic::warning(Code::LargeMachineConfig, message)
                .note("Kubernetes: the whole object goes into an annotation, and all of them together may have 256 KiB")
                .help("apply it with `oc apply --server-side`; in Argo CD set `ServerSideApply=true`"),
        );
    }
}

/// How many bytes the annotations of `config` have after a plain `oc apply`: its own, and the object as compact JSON with
/// a line end, as Go writes it (kubectl `pkg/util/apply.go`, `GetModifiedConfiguration`).
fn annotations_after_apply(config: &MachineConfig) -> usize {
    const KEY: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let document = without_nulls(serde_json::to_value(config).expect("invariant: output types have string keys"));
    let json = document.to_string();
    // Go writes these as six bytes each: encoding/json, `SetEscapeHTML`.
    let escaped = json.bytes().filter(|byte| matches!(byte, b'<' | b'>' | b'&')).count() * 5;
    let own = config.annotations().iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
    KEY.len() + json.len() + escaped + 1 + own
}

/// How much each pool gets in one run, all manifests together.
#[derive(Clone, Debug, Default)]
pub struct PoolSums(BTreeMap<PoolName, Vec<(String, usize)>>);

impl PoolSums {
    /// Counts a file of a pool.
    pub fn add(&mut self, pool: &PoolName, file: &OutputFile) {
        self.0.entry(pool.clone()).or_default().push((file.name.clone(), file.bytes.len()));
    }

    /// Warns of pools that get much.
    pub fn report(&self, diags: &mut Diagnostics) {
        for (pool, files) in &self.0 {
            let sum: usize = files.iter().map(|(_, size)| size).sum();
            if sum <= POOL_SUM_MAX_BYTES {
                continue;
            }
            let largest = files.iter().max_by_key(|(_, size)| size);
            let message =
                format!("pool `{pool}` gets {sum} bytes in {} files; {POOL_SUM_MAX_BYTES} are advised", files.len());
            diags.push(
                Diagnostic::warning(Code::PoolSum, message)
                    .note("etcd: one object holds all files of a pool, about 424 KiB before anybody adds one; it takes 1.5 MiB")
                    .note(format!("largest: {}", largest.map_or_else(String::new, |(name, size)| format!("`{name}`, {size} bytes"))))
                    .help("strip objects with `llvm-strip -g`, or bake the files into the image of the pool"),
            );
        }
    }
}

/// A value with its keys in our order and without nulls, whatever crate made it.
enum Tree {
    Scalar(serde_json::Value),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Scalar(scalar) => scalar.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => serializer.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

/// Keys that a reviewer wants first and last, the payload last of all; what stands between them is sorted by name.
const FIRST: [&str; 7] = ["apiVersion", "kind", "metadata", "name", "path", "labels", "annotations"];
const LAST: [&str; 4] = ["systemd", "storage", "contents", "source"];

fn rank(key: &str) -> usize {
    let first = FIRST.iter().position(|first| *first == key);
    let last = LAST.iter().position(|last| *last == key).map(|at| FIRST.len() + 1 + at);
    first.or(last).unwrap_or(FIRST.len())
}

fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Object(entries) => {
            let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(entries.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        scalar => scalar,
    }
}

fn tree(value: serde_json::Value) -> Tree {
    use serde_json::Value;
    match value {
        Value::Array(items) => Tree::List(items.into_iter().map(tree).collect()),
        Value::Object(entries) => {
            let mut entries: Vec<(String, Tree)> = entries.into_iter().map(|(key, value)| (key, tree(value))).collect();
            entries.sort_by(|(a, _), (b, _)| (rank(a), a).cmp(&(rank(b), b)));
            Tree::Map(entries)
        }
        scalar => Tree::Scalar(scalar),
    }
}

fn normal(value: &impl Serialize) -> Tree {
    tree(without_nulls(serde_json::to_value(value).expect("invariant: output types have string keys")))
}

/// YAML that reads the same under YAML 1.1 and 1.2, keys in our order, nulls left out.
///
/// # Panics
///
/// If `value` has keys that are not text.
pub fn to_yaml(value: &impl Serialize) -> Vec<u8> {
    yaml::document(&normal(value)).into_bytes()
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(&normal(value)).expect("invariant: output types have string keys");
    bytes.push(b'\n');
    bytes
}
