//! What the machine config operator does on a node when one of our files changes: restart one service, no drain, no
//! reboot.
//!
//! In:   the units of `install`. Out: the object for `MachineConfiguration/cluster` with our own list entries. Cannot fail.
//!
//! The lists are keyed by path and name, so that server-side apply merges them with the entries of others. The object
//! must be there before the MachineConfigs: openshift/api `operator/v1/types_machineconfiguration.go`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    ignition::NodeUnit,
    install::udev_path,
    unit::{DIAG_PATH, LOADER_PATH},
};

/// Name of the document's file: the first of a directory, as `oc apply -f DIRECTORY` goes through it.
pub const FILE_NAME: &str = "00-nodebpf-machineconfiguration.yaml";

/// Comment above the document.
pub const COMMENT: &str = "# Before all else of this directory, and server-side: the object belongs to the cluster, these entries to nodebpf.\n";

/// Everything of streams and of the trust file.
const DIRECTORY: &str = "/etc/nodebpf";

/// What is restarted.
pub const APPLY: &str = "nodebpf-apply.service";

/// The singleton, with nothing but our entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineConfiguration {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Metadata {
    annotations: BTreeMap<&'static str, &'static str>,
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_disruption_policy: Policy,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Policy {
    files: Vec<FilePolicy>,
    units: Vec<UnitPolicy>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FilePolicy {
    path: String,
    actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct UnitPolicy {
    name: String,
    actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Action {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<Restart>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restart {
    service_name: String,
}

/// Our entries.
pub fn machine_configuration(units: &[NodeUnit]) -> MachineConfiguration {
    let files = [DIRECTORY, LOADER_PATH, &udev_path()];
    let file = |path: &str| FilePolicy { path: path.to_owned(), actions: restart(APPLY) };
    // Nothing that runs has it open, and whoever types a command gets the new one.
    let diag = FilePolicy { path: DIAG_PATH.to_owned(), actions: vec![Action { kind: "None", restart: None }] };
    let unit = |unit: &NodeUnit| UnitPolicy { name: unit.name.to_owned(), actions: actions(unit.name) };
    MachineConfiguration {
        api_version: "operator.openshift.io/v1",
        kind: "MachineConfiguration",
        metadata: Metadata {
            annotations: BTreeMap::from([
                // Never to be removed with us: it is the cluster's. First of its application: without it the
                // MachineConfigs drain and reboot nodes.
                ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false,ServerSideApply=true"),
                ("argocd.argoproj.io/sync-wave", "-1"),
            ]),
            name: "cluster",
        },
        spec: Spec {
            node_disruption_policy: Policy {
                files: files.into_iter().map(file).chain([diag]).collect(),
                units: units.iter().map(unit).collect(),
            },
        },
    }
}

/// What a changed unit needs. Units that run once per boot are only read again.
fn actions(unit: &str) -> Vec<Action> {
    match unit {
        "nodebpf-early.service" | "nodebpf-gate.service" | "nodebpf.service" => vec![reload()],
        other => restart(other),
    }
}

fn reload() -> Action {
    Action { kind: "DaemonReload", restart: None }
}

/// The operator runs the actions of files before those of units: without a reload first, an old unit would be started.
fn restart(unit: &str) -> Vec<Action> {
    vec![reload(), Action { kind: "Restart", restart: Some(Restart { service_name: unit.to_owned() }) }]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::lower::unit::{Carrier, units};

    fn policy() -> Value {
        let units = units(Carrier::MachineConfig).unwrap();
        serde_json::to_value(machine_configuration(&units)).unwrap()["spec"]["nodeDisruptionPolicy"].clone()
    }

    #[test]
    fn systemd_reads_units_again_before_anything_starts() {
        let policy = policy();
        let lists = ["files", "units"].map(|list| policy[list].as_array().unwrap().clone());
        for entry in lists.iter().flatten() {
            let kinds: Vec<_> = entry["actions"].as_array().unwrap().iter().map(|action| &action["type"]).collect();
            let alone = kinds == ["None"] && entry["path"] == DIAG_PATH;
            assert!(alone || kinds == ["DaemonReload"] || kinds == ["DaemonReload", "Restart"], "{entry}");
        }
        assert_eq!((lists[0].len(), lists[1].len()), (4, 6));
    }

    /// The object is the cluster's: Argo CD must merge into it, before the MachineConfigs, and never remove it.
    #[test]
    fn argo_cd_keeps_the_singleton() {
        let units = units(Carrier::MachineConfig).unwrap();
        let object = serde_json::to_value(machine_configuration(&units)).unwrap();
        let annotation = |name: &str| object["metadata"]["annotations"][format!("argocd.argoproj.io/{name}")].as_str();
        let options: Vec<_> = annotation("sync-options").unwrap().split(',').collect();
        assert_eq!(options, ["Prune=false", "Delete=false", "ServerSideApply=true"]);
        assert!(annotation("sync-wave").unwrap().parse::<i32>().unwrap() < 0, "MachineConfigs are in wave 0");
        assert_eq!(object["metadata"]["name"], "cluster");
    }

    #[test]
    fn nothing_that_kubelet_waits_for_is_restarted() {
        let text = policy().to_string();
        let restarted: Vec<_> =
            text.split("\"serviceName\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(restarted.iter().all(|name| name.starts_with("nodebpf-apply.")), "{restarted:?}");
    }

    /// One file that no entry covers would turn the whole update into a reboot.
    #[test]
    fn everything_that_we_write_is_covered() {
        let policy = policy();
        let paths: Vec<_> =
            policy["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
        let covers = |path: &str| paths.iter().any(|entry| path == *entry || path.starts_with(&format!("{entry}/")));
        for path in
            [LOADER_PATH, DIAG_PATH, &udev_path(), crate::lower::install::TRUST_PATH, crate::lower::BUNDLE_DIRECTORY]
        {
            assert!(covers(path), "{path}");
        }
    }
}
