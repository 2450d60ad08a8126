//! Lower: bundles, trust files and the loader to files and units of a MachineConfig.
//!
//! In:   bytes and names. Out: [`machineconfig::MachineConfig`]s, trees, typed values all the way.
//! May fail with: NB0501 (pool not permitted), NB0504 (loader), NB0512 (what the operator would refuse), NB0520.
//!
//! Pure. Ignition 3.2.0 throughout: every machine config operator from 4.7 on takes it.

pub mod disruption;
pub mod ignition;
pub mod install;
pub mod kustomize;
pub mod machineconfig;
pub mod support;
pub mod tree;
pub mod unit;

use std::collections::BTreeMap;

use nodeplan::{
    digest::Sha256Digest,
    key::KeyId,
    name::PoolName,
    plan::{Intent, NodePlan},
};

use crate::{
    check::Checked,
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
};
use ignition::{NodeFile, Packed};
use machineconfig::{About, MachineConfig};

/// Where the loader looks for bundles.
pub const BUNDLE_DIRECTORY: &str = "/etc/nodebpf/bundles";

/// Whether the loader would look at a file of this path as at a bundle.
pub fn is_bundle(path: &str) -> bool {
    path.strip_prefix(BUNDLE_DIRECTORY).is_some_and(|rest| rest.starts_with('/'))
}

/// Mode of data files, `rw-r--r--`.
pub const DATA_MODE: u32 = 0o644;

/// The pools to write for: those of `--pool`, or all of the manifest. Sorted, each once.
pub fn pools(checked: &Checked, wanted: &[PoolName], diags: &mut Diagnostics) -> Vec<PoolName> {
    let mut pools: Vec<PoolName> = if wanted.is_empty() { checked.pools().cloned().collect() } else { wanted.to_vec() };
    pools.sort();
    pools.dedup();
    for pool in &pools {
        if !checked.pools().any(|permitted| permitted == pool) {
            let permitted = one_of(checked.pools().map(PoolName::as_str));
            let place = checked.pools.first().map_or(checked.stream.span, |pool| pool.span);
            diags.push(
                Diagnostic::error(
                    Code::PoolNotPermitted,
                    format!("`--pool {}` is not in `pools`", shown(pool.as_str())),
                )
                .at(place, format_args!("permits {permitted}"))
                .help("add the pool to `spec.pools`, by review"),
            );
        }
    }
    pools
}

/// The one MachineConfig of a stream for one pool: exactly one file, the bundle.
pub fn stream(pool: &PoolName, plan: &NodePlan, statement: &[u8], signers: &[KeyId], bundle: &[u8]) -> MachineConfig {
    let file = NodeFile {
        path: format!("{BUNDLE_DIRECTORY}/{}.bundle", plan.stream),
        mode: DATA_MODE,
        content: Packed::usual(bundle),
    };
    let name = format!("99-{pool}-nodebpf-stream-{}", plan.stream);
    MachineConfig::new(name, pool, about(plan, statement, signers, bundle), &[file], &[])
}

/// What the object of a stream says about it.
pub fn about(plan: &NodePlan, statement: &[u8], signers: &[KeyId], bundle: &[u8]) -> About {
    let mut annotations = BTreeMap::from([
        ("bundle-sha256", Sha256Digest::of(bundle).to_string()),
        ("revision", plan.revision.to_string()),
        ("signers", signers.iter().map(KeyId::to_string).collect::<Vec<_>>().join(",")),
        ("statement-sha256", Sha256Digest::of(statement).to_string()),
    ]);
    annotations.extend(plan.reference.as_ref().map(|reference| ("reference", reference.clone())));
    annotations.extend(plan.expires.map(|expires| ("expires", expires.to_string())));
    let labels = BTreeMap::from([
        ("intent", intent(plan.intent).to_owned()),
        ("owner", plan.owner.to_string()),
        ("stream", plan.stream.to_string()),
    ]);
    About { labels, annotations }
}

/// The manifest's word.
fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::BugPatch => "bug-patch",
        Intent::Feature => "feature",
        Intent::Observability => "observability",
        Intent::Security => "security",
    }
}
