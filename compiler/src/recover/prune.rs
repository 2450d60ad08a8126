//! Prune: takes broken parts out of the tree of a manifest, and fills what must not be absent.
//!
//! In:   a tree, and where errors point. Out: the tree without the smallest parts that hold them. Cannot fail.
//!
//! A part is what can be judged for itself: a key of `spec`, an item of a list, an attachment, a variable, a map. A
//! program goes as a whole only with its name or its object.

use super::gaps::{Gap, Gaps, STAND_IN};
use crate::{
    source::{FileId, Span},
    suggest::nearest,
    yaml::{Key, Node, Value},
};

pub(super) type Entries = Vec<(Key, Node)>;

/// Keeps the first of keys that stand twice.
pub(super) fn without_duplicates(node: &mut Node) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(without_duplicates),
        Value::Map(entries) => {
            let mut seen = std::collections::BTreeSet::new();
            entries.retain(|(key, _)| seen.insert(key.text.clone()));
            for (_, value) in entries {
                without_duplicates(value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float | Value::Text(_) => {}
    }
}

/// Takes out what `marks`, which rise, point at; `false` if nothing was.
pub(super) fn prune(root: &mut Node, marks: &[u32], file: FileId, gaps: &mut Gaps, orphans: &mut Entries) -> bool {
    let mut pruner = Pruner { marks, file, gaps, orphans, changed: false };
    let Value::Map(entries) = &mut root.value else { return false };
    pruner.document(entries);
    pruner.changed
}

struct Pruner<'a> {
    marks: &'a [u32],
    file: FileId,
    gaps: &'a mut Gaps,
    orphans: &'a mut Entries,
    changed: bool,
}

impl Pruner<'_> {
    fn document(&mut self, entries: &mut Entries) {
        self.retain(entries, |_| Gap::Value, |key| !matches!(key, "metadata" | "spec"));
        self.fill(entries, "apiVersion", Gap::Value, text("nodebpf.io/v1alpha1"));
        self.fill(entries, "kind", Gap::Value, text("BpfManifest"));
        if let Some(metadata) = self.map(entries, "metadata", Gap::Identity) {
            let gap = |key: &str| if key == "revision" { Gap::Value } else { Gap::Identity };
            self.retain(metadata, gap, |_| true);
            self.fill(metadata, "name", Gap::Identity, text(STAND_IN));
            self.fill(metadata, "owner", Gap::Identity, text(STAND_IN));
            // No floor is above it.
            self.fill(metadata, "revision", Gap::Value, Value::Int(u32::MAX.into()));
        }
        if let Some(spec) = self.map(entries, "spec", Gap::Program) {
            self.spec(spec);
        }
    }

    fn spec(&mut self, spec: &mut Entries) {
        // A key that was misspelt is a gap, too: where it was meant to be.
        let gap = |key: &str| match nearest(key, ["reference", "expires", "appliesTo", "maps"]) {
            Some("reference") => Gap::Reference,
            Some("expires") => Gap::Expires,
            Some("appliesTo") => Gap::AppliesTo,
            Some("maps") => Gap::Map,
            _ => Gap::Value,
        };
        self.retain(spec, gap, |key| !matches!(key, "pools" | "audience" | "appliesTo" | "programs" | "maps"));
        for (key, gap) in [("pools", Gap::Identity), ("audience", Gap::Value)] {
            self.items(spec, key, gap, |pruner, item| !pruner.inside(item));
        }
        self.entries(spec, "appliesTo", Gap::AppliesTo);
        self.items(spec, "programs", Gap::Program, Self::program);
        self.entries(spec, "maps", Gap::Map);
        // The least that asks for nothing else.
        self.fill(spec, "intent", Gap::Value, text("feature"));
        self.fill(spec, "pools", Gap::Identity, Value::List(vec![self.node(text(STAND_IN))]));
        self.fill(spec, "programs", Gap::Program, Value::List(Vec::new()));
    }

    /// Whether a program stays.
    fn program(&mut self, item: &mut Node) -> bool {
        let Value::Map(keys) = &mut item.value else { return !self.inside(item) };
        let broken = |pruner: &Self, name: &str| {
            let found = keys.iter().find(|(key, _)| key.text == name);
            found.is_none_or(|(key, value)| pruner.touched(key, value))
        };
        let (name, object) = (broken(self, "name"), broken(self, "object"));
        if name || object {
            let attach = keys.iter().position(|(key, _)| key.text == "attach");
            self.orphans.extend(attach.map(|at| keys.swap_remove(at)));
            return false;
        }
        let gap = |key: &str| if nearest(key, ["attach"]).is_some() { Gap::Attachment } else { Gap::Value };
        self.retain(keys, gap, |key| !matches!(key, "attach" | "globals"));
        self.items(keys, "attach", Gap::Attachment, |pruner, item| !pruner.inside(item));
        self.entries(keys, "globals", Gap::Global);
        true
    }

    /// Takes out the entries that are marked, of those that `plain` takes.
    fn retain(&mut self, entries: &mut Entries, gap: impl Fn(&str) -> Gap, plain: impl Fn(&str) -> bool) {
        entries.retain(|(key, value)| {
            let goes = plain(&key.text) && self.touched(key, value);
            if goes {
                self.gap(gap(&key.text));
            }
            !goes
        });
    }

    /// The map below `key`; a stand-in if there is none.
    fn map<'t>(&mut self, entries: &'t mut Entries, key: &str, gap: Gap) -> Option<&'t mut Entries> {
        let is_map = |value: &Node| matches!(value.value, Value::Map(_));
        if entries.iter().any(|(other, value)| other.text == key && !is_map(value)) {
            entries.retain(|(other, _)| other.text != key);
            self.gap(gap);
        }
        self.fill(entries, key, gap, Value::Map(Vec::new()));
        let (_, value) = entries.iter_mut().find(|(other, _)| other.text == key)?;
        match &mut value.value {
            Value::Map(inner) => Some(inner),
            _ => None,
        }
    }

    /// Takes marked entries out of the map below `key`, and the key with a mark of its own or nothing left.
    fn entries(&mut self, entries: &mut Entries, key: &str, gap: Gap) {
        let mut retain = |pruner: &mut Self, value: &mut Node| {
            let Value::Map(inner) = &mut value.value else { return !pruner.inside(value) };
            let before = inner.len();
            pruner.retain(inner, |_| gap, |_| true);
            before == inner.len() || !inner.is_empty()
        };
        self.below(entries, key, gap, &mut retain);
    }

    /// The same for the items of a list; `keep` says which stay.
    fn items(&mut self, entries: &mut Entries, key: &str, gap: Gap, keep: impl Fn(&mut Self, &mut Node) -> bool) {
        let mut retain = |pruner: &mut Self, value: &mut Node| {
            let Value::List(items) = &mut value.value else { return !pruner.inside(value) };
            let before = items.len();
            items.retain_mut(|item| keep(pruner, item));
            if items.len() < before {
                pruner.gap(gap);
            }
            before == items.len() || !items.is_empty()
        };
        self.below(entries, key, gap, &mut retain);
    }

    fn below(
        &mut self,
        entries: &mut Entries,
        key: &str,
        gap: Gap,
        retain: &mut dyn FnMut(&mut Self, &mut Node) -> bool,
    ) {
        entries.retain_mut(|(other, value)| {
            if other.text != key {
                return true;
            }
            let stays = !self.hits(other.span) && retain(self, value);
            if !stays {
                self.gap(gap);
            }
            stays
        });
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.add(gap);
        self.changed = true;
    }

    fn fill(&mut self, entries: &mut Entries, key: &str, gap: Gap, value: Value) {
        if entries.iter().any(|(other, _)| other.text == key) {
            return;
        }
        let value = self.node(value);
        entries.push((Key { span: value.span, text: key.to_owned() }, value));
        self.gap(gap);
    }

    fn node(&self, value: Value) -> Node {
        Node { span: Span::nowhere(self.file), value }
    }

    fn touched(&self, key: &Key, value: &Node) -> bool {
        self.hits(key.span) || self.inside(value)
    }

    fn inside(&self, node: &Node) -> bool {
        let below = match &node.value {
            Value::List(items) => items.iter().any(|item| self.inside(item)),
            Value::Map(entries) => entries.iter().any(|(key, value)| self.touched(key, value)),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float | Value::Text(_) => false,
        };
        below || self.hits(node.span)
    }

    fn hits(&self, span: Span) -> bool {
        let next = self.marks.partition_point(|mark| *mark < span.start);
        self.marks.get(next).is_some_and(|mark| *mark == span.start || *mark < span.end)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
