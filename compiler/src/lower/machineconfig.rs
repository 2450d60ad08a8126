//! MachineConfig: the OpenShift object around an Ignition config.
//!
//! In:   name, pool, annotations, files and units. Out: [`MachineConfig`]. Cannot fail.
//!
//! Source: openshift/api `machineconfiguration/v1/types.go`.

use std::collections::BTreeMap;

use ignition_config::v3_2::Config;
use nodeplan::name::PoolName;
use serde::Serialize;

use super::ignition::{self, NodeFile, NodeUnit};

/// Label by which a pool selects its `MachineConfig`s.
pub const ROLE_LABEL: &str = "machineconfiguration.openshift.io/role";

/// A MachineConfig.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfig {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Metadata {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    name: String,
}

/// What an object says about itself beside its payload. The machine config operator hashes none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What one selects by, such as `oc get mc -l nodebpf.io/owner=netops`; without prefix.
    pub labels: BTreeMap<&'static str, String>,
    /// What one reads; without prefix.
    pub annotations: BTreeMap<&'static str, String>,
}

/// Prefix of our labels and annotations.
pub const PREFIX: &str = "nodebpf.io";

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Spec {
    config: Config,
}

impl MachineConfig {
    /// A MachineConfig for one pool. It also says which compiler made it.
    pub fn new(name: String, pool: &PoolName, about: About, files: &[NodeFile], units: &[NodeUnit]) -> Self {
        let ours = |(key, value): (&'static str, String)| (format!("{PREFIX}/{key}"), value);
        let mut labels: BTreeMap<String, String> = about.labels.into_iter().map(ours).collect();
        labels.insert(ROLE_LABEL.to_owned(), pool.to_string());
        let version = ours(("compiler-version", env!("CARGO_PKG_VERSION").to_owned()));
        let annotations = about.annotations.into_iter().map(ours).chain([version]).collect();
        Self {
            api_version: "machineconfiguration.openshift.io/v1",
            kind: "MachineConfig",
            metadata: Metadata { annotations, labels, name },
            spec: Spec { config: ignition::config(files, units) },
        }
    }

    /// Its name, which is also the name of its file.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its annotations, whole keys.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        &self.metadata.annotations
    }

    /// The Ignition config inside.
    pub fn config(&self) -> &Config {
        &self.spec.config
    }
}
