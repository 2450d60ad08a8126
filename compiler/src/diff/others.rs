//! Others: what changes nodes, and nothing here follows: objects of other kinds; files of images and of Ignition configs,
//! which new nodes get.
//!
//! In:   documents, files. Out: those of them that two sides do not have in common. Cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::diag::visible;

/// Groups whose objects make MachineConfigs, choose nodes for them, or change nodes themselves.
const GROUPS: [&str; 8] = [
    "machineconfiguration.openshift.io",
    "config.openshift.io",
    "performance.openshift.io",
    "tuned.openshift.io",
    "sriovnetwork.openshift.io",
    "nmstate.io",
    "kmm.sigs.x-k8s.io",
    "hypershift.openshift.io",
];

/// A kind of another group that does so, too.
const MIRRORS: &str = "ImageContentSourcePolicy";

/// In whatever else MachineConfigs may be wrapped: config maps, policies, templates.
const MENTIONS: [&str; 2] = ["machineconfiguration.openshift.io/", "/etc/nodebpf/"];

/// A file in the tree of an image.
pub const IMAGE: &str = "ImageFile";

/// A file, unit or other part of an Ignition config.
pub const IGNITION: &str = "Ignition";

const PARTS: [&str; 2] = [IMAGE, IGNITION];

/// Objects by kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others(BTreeMap<(String, String), Vec<Value>>);

impl Others {
    /// Takes a document, if nodes may depend on it.
    pub fn add(&mut self, document: &Value) {
        let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let kind = text("/kind");
        let group = text("/apiVersion").split('/').next().unwrap_or_default();
        let wraps = || {
            let text = document.to_string();
            MENTIONS.iter().any(|mention| text.contains(mention))
        };
        if kind.is_empty() || !(GROUPS.contains(&group) || kind == MIRRORS || wraps()) {
            return;
        }
        let name = [text("/metadata/namespace"), text("/metadata/name")].join("/");
        let mut said = document.clone();
        if let Some(fields) = said.as_object_mut() {
            // What the cluster writes into it.
            fields.remove("status");
            if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels"));
            }
        }
        self.0.entry((kind.to_owned(), name)).or_default().push(said);
    }

    /// Takes a file of an image's tree, or a part of an Ignition config: not an object, and compared by its value.
    pub fn add_part(&mut self, kind: &'static str, name: &str, value: Value) {
        self.0.entry((kind.to_owned(), name.to_owned())).or_default().push(value);
    }

    /// Takes a part that several Ignition configs have alike, such as their version.
    pub fn add_common_part(&mut self, kind: &'static str, name: &str, value: Value) {
        let values = self.0.entry((kind.to_owned(), name.to_owned())).or_default();
        if !values.contains(&value) {
            values.push(value);
        }
    }

    /// Whether there is a file of an image's tree.
    pub fn has_image(&self) -> bool {
        self.0.keys().any(|(kind, _)| kind == IMAGE)
    }

    /// Kinds and names of those that differ. Parts are compared if both sides have such parts: an image beside
    /// MachineConfigs has others by its nature.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let has = |side: &Self, kind: &str| side.0.keys().any(|(of, _)| of == kind);
        let compared = |kind: &str| !PARTS.contains(&kind) || (has(self, kind) && has(other, kind));
        let keys: BTreeSet<_> = self.0.keys().chain(other.0.keys()).filter(|(kind, _)| compared(kind)).collect();
        let differing = keys.into_iter().filter(|key| self.0.get(*key) != other.0.get(*key));
        differing
            .map(|(kind, name)| {
                format!(
                    "{} {}",
                    visible(kind),
                    visible(name.strip_prefix('/').filter(|_| !PARTS.contains(&kind.as_str())).unwrap_or(name))
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn others(documents: &[Value]) -> Others {
        let mut others = Others::default();
        for document in documents {
            others.add(document);
        }
        others
    }

    fn object(version: &str, kind: &str, spec: &str) -> Value {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "resourceVersion": spec}, "spec": spec})
    }

    #[test]
    fn what_changes_nodes_is_named_if_it_differs() {
        for (name, version, kind, want) in [
            ("of the operator", "machineconfiguration.openshift.io/v1", "KubeletConfig", "KubeletConfig x"),
            ("of the cluster's configuration", "config.openshift.io/v1", "Image", "Image x"),
            ("of tuning", "performance.openshift.io/v2", "PerformanceProfile", "PerformanceProfile x"),
            ("of anybody", "apps/v1", "Deployment", ""),
        ] {
            let (old, new) = (others(&[object(version, kind, "a")]), others(&[object(version, kind, "b")]));
            assert_eq!(old.differing(&new).join(" "), want, "case: {name}");
            assert_eq!(old.differing(&Others::default()).join(" "), want, "case: {name}");
            assert!(old.differing(&old).is_empty(), "case: {name}");
        }
        let wrapped = |text: &str| json!({"kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"config": text}});
        let config = "apiVersion: machineconfiguration.openshift.io/v1";
        assert_eq!(others(&[wrapped(config)]).differing(&Others::default()), ["ConfigMap m"]);
        assert!(others(&[wrapped("a: b")]).differing(&Others::default()).is_empty());
        // What the cluster writes into it is no difference.
        let mut listed = object("config.openshift.io/v1", "Image", "a");
        listed["status"] = json!({});
        listed["metadata"]["uid"] = json!("1");
        assert!(others(&[listed]).differing(&others(&[object("config.openshift.io/v1", "Image", "a")])).is_empty());
    }
}
