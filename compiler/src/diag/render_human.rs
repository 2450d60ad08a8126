//! Diagnostics for people: rustc's look, or one line each.
//!
//! In: [`Diagnostics`] and the texts they point into. Out: text for stderr. Cannot fail.

use std::fmt::Write as _;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Label, Severity};
use crate::source::{SourceMap, Span};

/// Findings shown before "… and N more".
pub const MAX_SHOWN: usize = 20;

/// All findings with snippets; `color` adds terminal colours.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = limited(diagnostics, |item| renderer.render(&[group(item, sources)]) + "\n", "\n");
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// All findings, one line each: `file:line:column: severity[CODE]: message`.
pub fn render_short(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    limited(diagnostics, |item| short_line(item, sources), "")
}

fn limited(diagnostics: &Diagnostics, render: impl Fn(&Diagnostic) -> String, between: &str) -> String {
    let items = diagnostics.sorted();
    let mut out = items.iter().take(MAX_SHOWN).map(|item| render(item)).collect::<Vec<_>>().join(between);
    if items.len() > MAX_SHOWN {
        let _ = writeln!(out, "{between}… and {} more", items.len() - MAX_SHOWN);
    }
    out
}

fn short_line(item: &Diagnostic, sources: &SourceMap) -> String {
    let place = item.primary.as_ref().map_or_else(String::new, |label| {
        let at = sources.line_column(label.span.file, label.span.start);
        format!("{}:{}:{}: ", sources.name(label.span.file), at.line, at.column)
    });
    format!("{place}{}[{}]: {}\n", item.severity.as_str(), item.code.as_str(), item.message)
}

fn group<'a>(item: &'a Diagnostic, sources: &'a SourceMap) -> Group<'a> {
    let level = match item.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let mut group = Group::with_title(level.primary_title(item.message.as_str()).id(item.code.as_str()));
    for labels in snippets(item, sources) {
        group = group.element(snippet(&labels, sources));
    }
    for note in &item.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &item.helps {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// Labels farther apart on one line are shown in two snippets, in bytes: one would show all that is between them.
const NEAR_BYTES: u32 = 100;

type Shown<'a> = (AnnotationKind, &'a Label);

/// Labels that are shown together, the primary one's first: those of one file, unless they are far apart on one line.
fn snippets<'a>(item: &'a Diagnostic, sources: &SourceMap) -> Vec<Vec<Shown<'a>>> {
    let mut snippets: Vec<Vec<Shown<'_>>> = Vec::new();
    let primary = item.primary.iter().map(|label| (AnnotationKind::Primary, label));
    for label in primary.chain(item.secondary.iter().map(|label| (AnnotationKind::Context, label))) {
        let fits = |other: &Shown<'_>| fits(label.1.span, other.1.span, sources);
        match snippets.iter_mut().find(|snippet| snippet.iter().all(fits)) {
            Some(snippet) => snippet.push(label),
            None => snippets.push(vec![label]),
        }
    }
    snippets
}

fn fits(one: Span, other: Span, sources: &SourceMap) -> bool {
    let (first, last) = if one.start <= other.start { (one, other) } else { (other, one) };
    let between = Span { file: first.file, start: first.end.min(last.start), end: last.start };
    let far = last.start.saturating_sub(first.end) > NEAR_BYTES;
    one.file == other.file && (!far || sources.slice(between).contains('\n'))
}

fn snippet<'a>(labels: &[Shown<'a>], sources: &'a SourceMap) -> Snippet<'a, Annotation<'a>> {
    let file = labels.first().expect("invariant: a snippet has labels").1.span.file;
    let annotation = |(kind, label): &Shown<'a>| {
        let range = label.span.start as usize..label.span.end as usize;
        kind.span(range).label((!label.text.is_empty()).then_some(label.text.as_str()))
    };
    Snippet::source(sources.text(file)).path(sources.name(file)).annotations(labels.iter().map(annotation))
}
