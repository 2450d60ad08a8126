//! Disruption policies: what a node does for a changed file, unit or SSH key.
//!
//! In:   a `MachineConfiguration`, or nothing. Out: [`Policy`].
//! May fail with: why a document is not one (NB0541).
//!
//! MCO `pkg/apihelpers/apihelpers.go`, `defaultClusterPolicies` and `MergeClusterPolicies`: what users write replaces a
//! default entry of the same path or name and else stands beside it. `pkg/controller/common/helpers.go`,
//! `FindClosestFilePolicyPathMatch`: the longest path that is the file or a directory above it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    diag::visible,
    lower::{disruption, unit},
};

/// One step of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase", tag = "type", content = "service")]
pub enum Action {
    /// Nothing.
    None,
    /// `systemctl daemon-reload`.
    DaemonReload,
    /// `systemctl reload`.
    Reload(String),
    /// `systemctl restart`.
    Restart(String),
    /// Reload of CRI-O and perhaps a drain: the operator's own, for `/etc/containers/registries.conf`.
    Special,
    /// Pods move away, and come back.
    Drain,
    /// Drain and boot.
    Reboot,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("nothing"),
            Self::DaemonReload => f.write_str("daemon-reload"),
            Self::Reload(service) => write!(f, "reload {}", visible(service)),
            Self::Restart(service) => write!(f, "restart {}", visible(service)),
            Self::Special => f.write_str("reload crio.service, perhaps drain"),
            Self::Drain => f.write_str("drain"),
            Self::Reboot => f.write_str("drain and reboot"),
        }
    }
}

/// What is done for one path or unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path of a file or directory, or name of a unit.
    pub of: String,
    /// In the order in which they run.
    pub actions: Vec<Action>,
}

/// A whole policy, the operator's defaults aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Files and directories.
    pub files: Vec<Entry>,
    /// Units.
    pub units: Vec<Entry>,
    /// SSH keys; empty: the default, which is nothing.
    pub ssh: Vec<Action>,
}

const CRIO: &str = "crio.service";

/// The operator's defaults: path, unit to reload or restart, first minor release of OpenShift 4 that has it.
const DEFAULT_FILES: [(&str, &str, u16); 9] = [
    ("/var/lib/kubelet/config.json", "none", 16),
    ("/etc/machine-config-daemon/no-reboot/containers-gpg.pub", "reload", 16),
    ("/etc/containers/policy.json", "reload", 16),
    ("/etc/containers/registries.conf", "special", 16),
    ("/etc/containers/registries.d", "reload", 16),
    ("/etc/crio/policies", "reload", 18),
    ("/etc/nmstate/openshift", "none", 16),
    ("/etc/pki/ca-trust/source/anchors/openshift-config-user-ca-bundle.crt", "trust", 16),
    ("/etc/kubernetes/credential-providers", "kubelet", 22),
];

fn default_actions(word: &str) -> Vec<Action> {
    match word {
        "reload" => vec![Action::Reload(CRIO.to_owned())],
        "special" => vec![Action::Special],
        "trust" => {
            vec![Action::Restart("coreos-update-ca-trust.service".to_owned()), Action::Restart(CRIO.to_owned())]
        }
        "kubelet" => vec![Action::Restart("kubelet.service".to_owned())],
        _ => vec![Action::None],
    }
}

impl Policy {
    /// The policy that goes with `install`: read from what it writes.
    pub fn of_install() -> Self {
        let units = unit::units(unit::Carrier::MachineConfig).expect("invariant: our templates take our values");
        let document = serde_json::to_value(disruption::machine_configuration(&units));
        let document = document.expect("invariant: text and lists are JSON");
        Self::read(&document).and_then(Result::ok).expect("invariant: it is a policy")
    }

    /// Reads `spec.nodeDisruptionPolicy`; `None` for another kind of document.
    pub fn read(document: &Value) -> Option<Result<Self, String>> {
        let is_one = document.get("kind").and_then(Value::as_str) == Some("MachineConfiguration");
        is_one.then(|| Self::parse(document.pointer("/spec/nodeDisruptionPolicy").unwrap_or(&Value::Null)))
    }

    /// Why the operator does not go by a document with a policy: `MCOOperatorKnobsObjectName` is the only one it reads,
    /// and the API server takes no other.
    pub fn refuse_name(document: &Value) -> Result<(), String> {
        match document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default() {
            "cluster" => Ok(()),
            name => {
                Err(format!("has a MachineConfiguration named `{}`; the cluster takes `cluster` only", visible(name)))
            }
        }
    }

    fn parse(policy: &Value) -> Result<Self, String> {
        let list = |key: &str, name: &str| -> Result<Vec<Entry>, String> {
            let items = policy.get(key).map_or(Ok(Vec::new()), |items| {
                items.as_array().cloned().ok_or_else(|| format!("`nodeDisruptionPolicy.{key}` must be a list"))
            })?;
            let entry = |item: &Value| {
                let of = item.get(name).and_then(Value::as_str);
                let of = of.ok_or_else(|| format!("an item of `nodeDisruptionPolicy.{key}` has no `{name}`"))?;
                Ok(Entry { of: of.to_owned(), actions: actions(item)? })
            };
            items.iter().map(entry).collect()
        };
        let ssh = policy.get("sshkey").map_or(Ok(Vec::new()), actions)?;
        Ok(Self { files: list("files", "path")?, units: list("units", "name")?, ssh })
    }

    /// Actions for a file; `None` if no entry covers it.
    pub fn file(&self, path: &str, minor: u16) -> Option<Vec<Action>> {
        let defaults = DEFAULT_FILES
            .iter()
            .filter(|(of, _, since)| *since <= minor && !self.files.iter().any(|entry| entry.of == *of))
            .map(|(of, word, _)| (*of, default_actions(word)));
        let ours = self.files.iter().map(|entry| (entry.of.as_str(), entry.actions.clone()));
        let mut best: Option<(&str, Vec<Action>)> = None;
        for (of, actions) in defaults.chain(ours) {
            if covers(of, path) && best.as_ref().is_none_or(|(so_far, _)| of.len() > so_far.len()) {
                best = Some((of, actions));
            }
        }
        best.map(|(_, actions)| actions)
    }

    /// Actions for a unit; `None` if no entry names it.
    pub fn unit(&self, name: &str) -> Option<Vec<Action>> {
        self.units.iter().find(|entry| entry.of == name).map(|entry| entry.actions.clone())
    }

    /// Actions for SSH keys.
    pub fn ssh(&self) -> Vec<Action> {
        if self.ssh.is_empty() { vec![Action::None] } else { self.ssh.clone() }
    }
}

/// `helpers.go`, `FindClosestFilePolicyPathMatch` and `IsSubdirectory`: whole names only; `/etc/nodebpf` does not cover
/// `/etc/nodebpf-x`, and `/` covers nothing, because a slash is put behind it.
fn covers(of: &str, path: &str) -> bool {
    path == of || clean(path).starts_with(&format!("{}/", clean(of)))
}

/// Go's `filepath.Clean` of an absolute path.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn actions(item: &Value) -> Result<Vec<Action>, String> {
    let items =
        item.get("actions").and_then(Value::as_array).ok_or("an item of `nodeDisruptionPolicy` has no `actions`")?;
    let action = |item: &Value| {
        let word = item.get("type").and_then(Value::as_str).unwrap_or_default();
        let service = |key: &str| {
            let name = item.get(key).and_then(|item| item.get("serviceName")).and_then(Value::as_str);
            name.map(str::to_owned).ok_or_else(|| format!("an action of type {word} needs `{key}.serviceName`"))
        };
        Ok(match word {
            "None" => Action::None,
            "DaemonReload" => Action::DaemonReload,
            "Drain" => Action::Drain,
            "Reboot" => Action::Reboot,
            "Reload" => Action::Reload(service("reload")?),
            "Restart" => Action::Restart(service("restart")?),
            _ => return Err(format!("action type `{}` is none of the operator's", crate::diag::shown(word))),
        })
    };
    items.iter().map(action).collect()
}
