//! A GitOps directory: a `kustomization.yaml` over the MachineConfigs beside it.
//!
//! In:   names of files, and the `kustomization.yaml` that is there. Out: the new one.
//! May fail with: NB0520 (it lists other files).

use std::{borrow::Cow, collections::BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    diag::{Code, Diagnostic, shown},
    emit::{OutputFile, to_yaml},
};

/// The file that makes a directory one of kustomize.
pub const FILE_NAME: &str = "kustomization.yaml";

/// Names by which kustomize finds it. With two of them in a directory it fails.
pub const NAMES: [&str; 3] = [FILE_NAME, "kustomization.yml", "Kustomization"];

const API_VERSION: &str = "kustomize.config.k8s.io/v1beta1";
const KIND: &str = "Kustomization";

const COMMENT: &str = "# From nodebpf. One directory for each run: put them together in a kustomization of your own.\n";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization<'a> {
    api_version: &'static str,
    kind: &'static str,
    resources: Vec<&'a str>,
    sort_options: SortOptions,
}

/// kustomize's own order puts `MachineConfiguration`, the disruption policy, behind every MachineConfig; first come, first
/// out keeps ours. Since kustomize 5.0, which `oc` has since 4.14.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SortOptions {
    order: Cow<'static, str>,
}

/// What is there. Keys that are not ours are lost if it is replaced, so they count as foreign.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Found {
    api_version: String,
    kind: String,
    resources: Vec<String>,
    sort_options: Option<SortOptions>,
}

const FIFO: &str = "fifo";

/// The kustomization over `files`.
pub fn kustomization(files: &[OutputFile]) -> OutputFile {
    let mut resources: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    resources.sort_unstable();
    let value = Kustomization {
        api_version: API_VERSION,
        kind: KIND,
        resources,
        sort_options: SortOptions { order: Cow::Borrowed(FIFO) },
    };
    OutputFile { name: FILE_NAME.to_owned(), bytes: [COMMENT.as_bytes(), &to_yaml(&value)].concat() }
}

/// Why `found`, which is in the directory under one of the [`NAMES`], must not be replaced by one over `files`.
pub fn refuse(name: &str, found: &[u8], files: &[OutputFile], directory: &str) -> Option<Diagnostic> {
    let ours: BTreeSet<_> = files.iter().map(|file| file.name.as_str()).collect();
    let what = match serde_saphyr::from_slice::<Found>(found) {
        _ if name != FILE_NAME => format!("would be beside `{FILE_NAME}`, and kustomize takes one of them"),
        Ok(found) if found.api_version != API_VERSION || found.kind != KIND => {
            format!("is a `{}` of `{}`", shown(&found.kind), shown(&found.api_version))
        }
        Ok(Found { sort_options: Some(SortOptions { order }), .. }) if order != FIFO => {
            format!("has another order than `{FIFO}`")
        }
        Ok(found) => {
            let other = found.resources.iter().find(|name| !ours.contains(name.as_str()))?;
            format!("lists `{}`, which this run does not write", shown(other))
        }
        Err(_) => "has more in it than a list of files".to_owned(),
    };
    let path = format!("{}/{name}", directory.trim_end_matches('/'));
    Some(
        Diagnostic::error(Code::OtherKustomization, format!("`{}` {what}", shown(&path)))
            .note("what it lists would leave the cluster")
            .help("write into a directory of its own, and name both in `resources` of a kustomization above them")
            .help(format!("or remove `{}` if that is meant", shown(&path))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> OutputFile {
        OutputFile { name: name.to_owned(), bytes: Vec::new() }
    }

    #[test]
    fn only_what_would_lose_nothing_is_replaced() {
        let files = [file("b.yaml"), file("a.yaml")];
        let own = kustomization(&files);
        let own_text = String::from_utf8(own.bytes.clone()).unwrap();
        assert!(
            own_text.ends_with("kind: Kustomization\nresources:\n- a.yaml\n- b.yaml\nsortOptions:\n  order: fifo\n"),
            "{own_text}"
        );
        let cases: &[(&str, Vec<u8>, bool)] = &[
            ("the same", own.bytes.clone(), false),
            ("of before the order", own_text.replace("sortOptions:\n  order: fifo\n", "").into(), false),
            ("another order", own_text.replace("fifo", "legacy").into(), true),
            ("less", kustomization(&files[..1]).bytes, false),
            ("more", kustomization(&[file("a.yaml"), file("c.yaml")]).bytes, true),
            ("patches", format!("{own_text}patches: []\n").into(), true),
            ("no YAML", b"{".to_vec(), true),
            ("another kind", own_text.replace(KIND, "Component").into(), true),
            ("another version", own_text.replace("v1beta1", "v1").into(), true),
        ];
        for (name, found, refused) in cases {
            assert_eq!(refuse(FILE_NAME, found, &files, "out").is_some(), *refused, "case: {name}");
            assert!(refuse("Kustomization", found, &files, "out").is_some(), "case: {name}");
        }
    }
}
