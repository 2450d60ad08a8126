//! Recover: a document without its broken parts, so that the rest is judged in the same run.
//!
//! In:   the tree of a manifest, and what was found wrong with it. Out: a smaller tree, and a filter for reports.
//! Cannot fail. Nothing is made of what is left but reports.
//!
//! A phase that finds an error keeps the next phases from running: they trust what is before them. So each broken part is
//! taken out (an attachment, a map, a variable, a key), what must not be absent gets a stand-in, and the phases run
//! again. What they say then about the gaps ("the stream has no reference") is not the user's mistake: [`Recovery::fresh`]
//! leaves it out, and everything that was said before.

mod gaps;
mod prune;

use std::collections::BTreeSet;

use crate::{
    diag::{Diagnostic, Diagnostics, Severity},
    source::{FileId, Span},
    yaml::{Key, Node},
};
use gaps::Gaps;

/// A document that is judged in rounds.
#[derive(Debug)]
pub struct Recovery {
    file: FileId,
    node: Node,
    sound: bool,
    gaps: Gaps,
    said: BTreeSet<(&'static str, Option<Span>)>,
    orphans: prune::Entries,
}

impl Recovery {
    /// Starts with the tree of the whole document. `sound` is false if the text itself has problems that were told.
    pub fn new(file: FileId, mut node: Node, sound: bool) -> Self {
        if !sound {
            prune::without_duplicates(&mut node);
        }
        Self { file, node, sound, gaps: Gaps::default(), said: BTreeSet::new(), orphans: Vec::new() }
    }

    /// The text that the document is.
    pub fn file(&self) -> FileId {
        self.file
    }

    /// What is left of the document.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Whether nothing was taken out.
    pub fn is_whole(&self) -> bool {
        self.sound && self.gaps.is_empty()
    }

    /// Whether name, owner and pools are those of the document.
    pub fn has_identity(&self) -> bool {
        !self.gaps.identity()
    }

    /// Attachments of programs that were taken out, with their keys; each once.
    pub fn take_orphans(&mut self) -> Vec<(Key, Node)> {
        std::mem::take(&mut self.orphans)
    }

    /// The reports of a round that are neither follow-up errors of a gap nor known.
    pub fn fresh(&mut self, found: Diagnostics) -> Diagnostics {
        let key = |item: &Diagnostic| (item.code.as_str(), item.primary.as_ref().map(|label| label.span));
        let known = |item: &Diagnostic| self.gaps.explain(item) || self.said.contains(&key(item));
        let fresh: Vec<_> = found.into_iter().filter(|item| !known(item)).collect();
        self.said.extend(fresh.iter().map(key));
        let mut out = Diagnostics::default();
        out.extend(fresh);
        out
    }

    /// Whether a report about several documents is there only because something is missing in this one.
    pub fn explains(&self, item: &Diagnostic) -> bool {
        let here = item.primary.iter().chain(&item.secondary).any(|label| label.span.file == self.file);
        here && self.gaps.explain(item)
    }

    /// Where the errors of a round point, rising.
    pub fn marks(&self, found: &Diagnostics) -> Vec<u32> {
        let mut marks: Vec<u32> = found.iter().filter_map(|item| self.mark(item)).collect();
        marks.sort_unstable();
        marks
    }

    /// Takes out what `marks` point at; `false` if there is nothing to take out.
    pub fn prune(&mut self, marks: &[u32]) -> bool {
        prune::prune(&mut self.node, marks, self.file, &mut self.gaps, &mut self.orphans)
    }

    fn mark(&self, item: &Diagnostic) -> Option<u32> {
        let span = item.primary.as_ref()?.span;
        (item.severity == Severity::Error && span.file == self.file).then_some(span.start)
    }
}
