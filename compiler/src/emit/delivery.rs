//! Delivery: what one run hands over, on every road that was asked for.
//!
//! In:   MachineConfigs, trees and documents of all pools; formats. Out: files and entries of trees, none twice.
//! May fail with: what [`super::machine_config`] reports.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::name::PoolName;

use super::{Format, OutputFile, PoolSums, ignition, machine_config};
use crate::{
    diag::Diagnostics,
    lower::{kustomize, machineconfig::MachineConfig, tree},
    source::Span,
};

/// Folder of the trees, with a folder for each pool in it.
const TREES: &str = "tree";

/// The formats of one run; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats(BTreeSet<Format>);

impl Formats {
    /// Each once; [`Format::MachineConfig`] if there is none.
    pub fn new(formats: impl IntoIterator<Item = Format>) -> Self {
        let formats: BTreeSet<_> = formats.into_iter().collect();
        Self(if formats.is_empty() { BTreeSet::from([Format::MachineConfig]) } else { formats })
    }

    /// Whether it is one of them.
    pub fn has(&self, format: Format) -> bool {
        self.0.contains(&format)
    }

    /// The format, if it is the only one.
    pub fn only(&self) -> Option<Format> {
        self.0.first().copied().filter(|_| self.0.len() == 1)
    }

    /// Whether objects for a cluster are among them.
    pub fn has_objects(&self) -> bool {
        self.has(Format::MachineConfig) || self.has(Format::Kustomize)
    }
}

/// What one run hands over.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    configs: Vec<(PoolName, MachineConfig, Option<Span>)>,
    documents: Vec<OutputFile>,
    trees: BTreeMap<PoolName, BTreeMap<String, tree::Node>>,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files directly in the directory.
    pub files: Vec<OutputFile>,
    /// Entries of trees, paths below the directory.
    pub entries: Vec<tree::Entry>,
}

impl Delivery {
    /// Adds a MachineConfig; problems of it are reported at `place`.
    pub fn config(&mut self, pool: &PoolName, config: MachineConfig, place: Option<Span>) {
        self.configs.push((pool.clone(), config, place));
    }

    /// Adds a document for clusters that is no MachineConfig.
    pub fn document(&mut self, document: OutputFile) {
        self.documents.push(document);
    }

    /// Adds what the image of a pool has. Equal paths have equal content: the Containerfile comes with each.
    pub fn tree(&mut self, pool: &PoolName, entries: Vec<tree::Entry>) {
        let tree = self.trees.entry(pool.clone()).or_default();
        tree.extend(entries.into_iter().map(|entry| (entry.path, entry.node)));
    }

    /// Everything in these formats.
    pub fn emit(self, formats: &Formats, diags: &mut Diagnostics) -> Written {
        let (mut written, mut sums) = (Written::default(), PoolSums::default());
        if formats.has_objects() {
            let mut files = self.documents;
            for (pool, config, place) in &self.configs {
                let file = machine_config(config, *place, diags);
                sums.add(pool, &file);
                files.push(file);
            }
            if formats.has(Format::Kustomize) {
                files.push(kustomize::kustomization(&files));
            }
            written.files.extend(files);
        }
        if formats.has(Format::Ignition) {
            // What would be refused was said above.
            let mut known = Diagnostics::default();
            let diags = if formats.has_objects() { &mut known } else { &mut *diags };
            for (pool, config, place) in &self.configs {
                let file = ignition(config, *place, diags);
                if !formats.has_objects() {
                    sums.add(pool, &file);
                }
                written.files.push(file);
            }
        }
        sums.report(diags);
        if formats.has(Format::Tree) {
            for (pool, entries) in self.trees {
                let below = |(path, node)| tree::Entry { path: format!("{TREES}/{pool}/{path}"), node };
                written.entries.extend(entries.into_iter().map(below));
            }
        }
        written
    }
}
