//! A `kustomization.yaml`: which files of a directory are applied.
//!
//! In:   its text. Out: the names that it lists.
//! May fail with: why what kustomize makes of it cannot be known without kustomize.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

pub use crate::lower::kustomize::NAMES;

/// The form that `--format kustomize` writes, and that of one above several such directories.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain {
    api_version: String,
    kind: String,
    resources: Vec<String>,
    /// Objects are the same in any order.
    #[serde(rename = "sortOptions", default)]
    _sort_options: Option<Value>,
}

/// Files and directories beside it that it lists.
pub fn listed(bytes: &[u8]) -> Result<BTreeSet<String>, String> {
    let change =
        || "has more in it than a list of files beside it; what comes out is known to kustomize only".to_owned();
    let plain: Plain = serde_saphyr::from_slice(bytes).map_err(|_| change())?;
    if plain.api_version != "kustomize.config.k8s.io/v1beta1" || plain.kind != "Kustomization" {
        return Err(change());
    }
    let mut names = BTreeSet::new();
    for name in plain.resources {
        if name.contains(['/', '\\', '?', ':']) || name.starts_with('.') || name.is_empty() {
            return Err(change());
        }
        if NAMES.contains(&name.as_str()) || !names.insert(name) {
            return Err("lists itself, or something twice; kustomize refuses it".to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_plain_names_are_read() {
        let head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        for (text, want) in [
            ("resources: [b.yaml, a.yaml]\n", Some("a.yaml b.yaml")),
            ("resources: [a.yaml]\nsortOptions: {order: fifo}\n", Some("a.yaml")),
            ("resources: []\n", Some("")),
            ("resources: [install]\n", Some("install")),
            ("resources: [a.yaml, a.yaml]\n", None),
            ("resources: [../a.yaml]\n", None),
            ("resources: ['https://example.com/a.yaml']\n", None),
            ("resources: [a.yaml]\npatches: []\n", None),
            ("resources: [a.yaml]\nnamePrefix: x-\n", None),
            ("resources: [a.yaml]\nresources: []\n", None),
            ("", None),
        ] {
            let found = listed(format!("{head}{text}").as_bytes()).ok();
            let found = found.map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
            assert_eq!(found.as_deref(), want, "case: {text}");
        }
        assert!(listed(b"kind: Component\napiVersion: v1\nresources: []").is_err());
    }
}
