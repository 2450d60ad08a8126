//! Rules of the workspace: who may depend on whom, how big the loader's tree may grow, which licences come in.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Crates in the loader's tree, itself included: each one runs as root before kubelet.
const LOADER_CRATES_MAX: usize = 60;

fn metadata() -> Metadata {
    MetadataCommand::new().other_options(vec!["--locked".to_owned()]).exec().unwrap()
}

/// Workspace crates and the workspace crates they depend on, tests and build scripts aside.
fn inner_dependencies(metadata: &Metadata) -> BTreeMap<&str, BTreeSet<&str>> {
    let names: BTreeSet<&str> = metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
    let inner = |package: &&Package| {
        let inner: BTreeSet<&str> =
            package.dependencies.iter().filter_map(|dependency| names.get(dependency.name.as_str()).copied()).collect();
        (names.get(package.name.as_str()).copied().unwrap(), inner)
    };
    metadata.workspace_packages().iter().map(inner).collect()
}

#[test]
fn both_sides_know_the_contract_and_not_each_other() {
    let metadata = metadata();
    let inner = inner_dependencies(&metadata);
    assert_eq!(inner["nodeplan"], BTreeSet::new(), "the contract stands alone");
    assert_eq!(inner["nodebpf"], BTreeSet::from(["nodeplan"]), "the compiler knows the contract only");
    assert_eq!(inner["nodebpf-loader"], BTreeSet::from(["nodeplan"]), "the loader knows the contract only");
}

/// Everything that is linked into a crate of the workspace with default features.
fn tree<'a>(metadata: &'a Metadata, name: &str) -> BTreeSet<&'a str> {
    let resolve = metadata.resolve.as_ref().unwrap();
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal =
                node.deps.iter().filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            (&node.id, normal.map(|dep| &dep.pkg).collect())
        })
        .collect();
    let root = metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == name).unwrap();
    let (mut seen, mut open) = (BTreeSet::new(), vec![&root.id]);
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            open.extend(&edges[id]);
        }
    }
    seen.into_iter().map(|id| metadata[id].name.as_str()).collect()
}

#[test]
fn the_loader_stays_small() {
    let metadata = metadata();
    let tree = tree(&metadata, "nodebpf-loader");
    assert!(tree.len() <= LOADER_CRATES_MAX, "{} crates: {tree:?}", tree.len());
    for banned in ["anyhow", "clap", "tokio", "serde_yaml", "yaml_serde", "serde-saphyr", "handlebars", "aya"] {
        assert!(!tree.contains(banned), "the loader must not contain {banned}");
    }
}

#[test]
fn nobody_brings_an_async_runtime() {
    let metadata = metadata();
    for name in ["nodebpf", "nodebpf-loader", "xtask"] {
        let tree = tree(&metadata, name);
        assert!(tree.iter().all(|one| !["tokio", "async-std", "smol"].contains(one)), "{name}");
    }
}

#[test]
fn licences_are_on_the_list_of_deny_toml() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deny.toml")).unwrap();
    let list = text.split("allow = [").nth(1).unwrap().split(']').next().unwrap();
    let allowed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    assert!(allowed.contains("MIT"));
    // One term of an `OR` is enough; every term of an `AND` is needed.
    let fits = |expression: &str| {
        let expression = expression.replace(['(', ')'], "").replace('/', " OR ");
        expression.split(" AND ").all(|part| part.split(" OR ").any(|term| allowed.contains(term.trim())))
    };
    for package in metadata().packages {
        let licence = package.license.unwrap_or_default();
        assert!(fits(&licence), "{} has licence `{licence}`", package.name);
    }
}

#[test]
fn every_crate_opts_into_the_lints() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{}", package.name);
    }
}
