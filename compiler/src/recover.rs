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
    check,
    diag::{Diagnostic, Diagnostics, Severity},
    manifest,
    resolve::{self, Files, Resolved},
    source::{FileId, SourceMap, Span},
    yaml::{Key, Node},
};
use gaps::Gaps;

/// Most rounds over one manifest. Each phase tells all that it finds, so that there are about as many as phases.
const MAX_ROUNDS: usize = 8;

/// Takes a manifest to where `phases` ends, in as many rounds as it needs; `phases` gets the files and whether nothing was
/// taken out, and reports what it finds. `None` if no part of the manifest can be judged to the end.
pub fn judge<T>(
    name: &str,
    bytes: &[u8],
    files: &dyn Files,
    sources: &mut SourceMap,
    diags: &mut Diagnostics,
    mut phases: impl FnMut(&Resolved, bool, &mut Diagnostics) -> Option<T>,
) -> Option<(T, Recovery)> {
    let before = diags.error_count();
    let (file, node) = manifest::tree(name, bytes, sources, diags);
    let mut recovery = Recovery::new(file, node?, diags.error_count() == before);
    for _ in 0..MAX_ROUNDS {
        let mut found = Diagnostics::default();
        for orphan in recovery.take_orphans() {
            let list = manifest::decode_attachments(&orphan, sources, &mut found);
            if let Some(list) = list {
                check::attachments(&list, &mut found);
            }
        }
        let resolved = manifest::decode(recovery.node(), file, sources, &mut found)
            .and_then(|manifest| resolve::resolve(manifest, files, &mut found));
        let end = resolved.and_then(|resolved| phases(&resolved, recovery.is_whole(), &mut found));
        let marks = recovery.marks(&found);
        diags.extend(recovery.fresh(found));
        if let Some(end) = end {
            return Some((end, recovery));
        }
        if !recovery.prune(&marks) {
            break;
        }
    }
    None
}

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
    fn new(file: FileId, mut node: Node, sound: bool) -> Self {
        if !sound {
            prune::without_duplicates(&mut node);
        }
        Self { file, node, sound, gaps: Gaps::default(), said: BTreeSet::new(), orphans: Vec::new() }
    }

    /// The text that the document is.
    #[cfg(test)]
    fn file(&self) -> FileId {
        self.file
    }

    /// What is left of the document.
    fn node(&self) -> &Node {
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
    fn take_orphans(&mut self) -> Vec<(Key, Node)> {
        std::mem::take(&mut self.orphans)
    }

    /// The reports of a round that are neither follow-up errors of a gap nor known.
    fn fresh(&mut self, found: Diagnostics) -> Diagnostics {
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
    fn marks(&self, found: &Diagnostics) -> Vec<u32> {
        let mut marks: Vec<u32> = found.iter().filter_map(|item| self.mark(item)).collect();
        marks.sort_unstable();
        marks
    }

    /// Takes out what `marks` point at; `false` if there is nothing to take out.
    fn prune(&mut self, marks: &[u32]) -> bool {
        prune::prune(&mut self.node, marks, self.file, &mut self.gaps, &mut self.orphans)
    }

    fn mark(&self, item: &Diagnostic) -> Option<u32> {
        let span = item.primary.as_ref()?.span;
        (item.severity == Severity::Error && span.file == self.file).then_some(span.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Code;

    const MANIFEST: &str = "\
apiVersion: nodebpf.io/v1alpha1
kind: BpfManifest
metadata: {name: netops-a, owner: netops, revision: 3}
spec:
  intent: bug-patch
  reference: OCPBUGS-1
  pools: [worker, edge]
  expires: 2027-03-31T00:00:00Z
  appliesTo: {kernel: \">=5\", ocp: \">=4.16\"}
  programs:
    - name: first
      object: first.bpf.o
      globals: {limit: 1, other: 2}
      attach:
        - xdp: {interfaces: [{name: ens5}], priority: 500}
        - tc: {interfaces: [{name: ens5}], direction: ingress, priority: 500, verdicts: [next]}
    - name: second
      object: {amd64: a.o, arm64: b.o}
      attach: [{lsm: {hook: file_open}}]
  maps:
    node_ips: {entries: [{key: 10.0.0.1, value: 1}]}
    events: {consumer: agent}
";

    fn start(text: &str) -> (SourceMap, Recovery) {
        let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
        let (file, node) = manifest::tree("bpf.yaml", text.as_bytes(), &mut sources, &mut diags);
        (sources, Recovery::new(file, node.unwrap(), !diags.has_errors()))
    }

    fn decode(recovery: &Recovery, sources: &SourceMap) -> Option<manifest::raw::Manifest> {
        let mut diags = Diagnostics::default();
        let manifest = manifest::decode(recovery.node(), recovery.file(), sources, &mut diags);
        manifest.filter(|_| !diags.has_errors())
    }

    /// An error at any byte, or at any two of them, takes out something and leaves a manifest that decodes.
    #[test]
    fn an_error_anywhere_leaves_a_manifest() {
        let length = u32::try_from(MANIFEST.len()).unwrap();
        for at in 0..length {
            let (sources, mut recovery) = start(MANIFEST);
            recovery.prune(&[at]);
            assert!(decode(&recovery, &sources).is_some(), "at {at}");
            let other = (at * 7919 + 13) % length;
            recovery.prune(&[at.min(other), at.max(other)]);
            assert!(decode(&recovery, &sources).is_some(), "at {at} and {other}");
        }
    }

    /// Each round takes something out, so that the rounds end.
    #[test]
    fn rounds_end() {
        let marks: Vec<u32> = (0..u32::try_from(MANIFEST.len()).unwrap()).collect();
        let (sources, mut recovery) = start(MANIFEST);
        assert!(recovery.prune(&marks));
        assert!(!recovery.prune(&marks), "nothing is left to be taken out");
        let manifest = decode(&recovery, &sources).unwrap();
        assert!(manifest.spec.programs.value.is_empty() && !recovery.has_identity());
    }

    /// What is taken out is the smallest part that can be judged for itself.
    #[test]
    fn neighbours_stay() {
        let place = |words: &str| u32::try_from(MANIFEST.find(words).unwrap()).unwrap();
        let (sources, mut recovery) = start(MANIFEST);
        let mut marks = ["edge", "limit", "direction", "10.0.0.1", "a.o", "OCPBUGS", "\">=5"].map(place);
        marks.sort_unstable();
        assert!(recovery.prune(&marks));
        let spec = decode(&recovery, &sources).unwrap().spec;
        let [program] = spec.programs.value.as_slice() else { panic!("{:?}", spec.programs) };
        assert_eq!(program.attach.as_ref().unwrap().value.len(), 1);
        assert_eq!(program.globals.as_ref().unwrap().0.len(), 1);
        assert_eq!(spec.maps.unwrap().0.len(), 1);
        assert_eq!(spec.pools.value.len(), 1);
        assert!(spec.reference.is_none() && spec.applies_to.unwrap().ocp.is_some());
        assert_eq!(recovery.take_orphans().len(), 1, "the attachments of `second`");
    }

    /// Follow-up errors of a gap are left out; the same words about something that stays are not.
    #[test]
    fn gaps_explain_what_follows_from_them() {
        let (_, mut recovery) = start(MANIFEST);
        let here = |start| Span { file: recovery.file(), start, end: start + 1 };
        let report = |code, start| Diagnostic::error(code, "x").at(here(start), "");
        let found = [report(Code::NoReference, 1), report(Code::NoExpiry, 2), report(Code::UnknownPool, 3)];
        let all = |items: &[Diagnostic]| {
            let mut diags = Diagnostics::default();
            diags.extend(items.iter().cloned());
            diags
        };
        let at = u32::try_from(MANIFEST.find("OCPBUGS").unwrap()).unwrap();
        let span = Span::nowhere(recovery.file());
        let nowhere = Diagnostic::error(Code::UnknownOwner, "x").at(span, "");
        recovery.prune(&[at]);
        let mut found = found.to_vec();
        found.push(nowhere);
        let codes: Vec<_> = recovery.fresh(all(&found)).iter().map(|item| item.code.as_str()).collect();
        assert_eq!(codes, ["NB0387", "NB0391"]);
        assert_eq!(recovery.fresh(all(&found)).iter().count(), 0, "each is said once");
    }
}
