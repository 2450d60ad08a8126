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

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Spec {
    config: Config,
}

impl MachineConfig {
    /// A MachineConfig for one pool.
    pub fn new(
        name: String,
        pool: &PoolName,
        annotations: BTreeMap<String, String>,
        files: &[NodeFile],
        units: &[NodeUnit],
    ) -> Self {
        let labels = BTreeMap::from([(ROLE_LABEL.to_owned(), pool.to_string())]);
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

    /// The Ignition config inside.
    pub fn config(&self) -> &Config {
        &self.spec.config
    }
}
