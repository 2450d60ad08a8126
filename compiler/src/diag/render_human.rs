//! Diagnostics for people: rustc's look, or one line each.
//!
//! In: [`Diagnostics`] and the texts they point into. Out: text for stderr. Cannot fail.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Label, Severity};
use crate::source::{FileId, SourceMap};

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
    for file in files(item) {
        group = group.element(snippet(item, file, sources));
    }
    for note in &item.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &item.helps {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

/// Files with labels, the primary label's first.
fn files(item: &Diagnostic) -> Vec<FileId> {
    let mut files = Vec::new();
    for label in item.primary.iter().chain(&item.secondary) {
        if !files.contains(&label.span.file) {
            files.push(label.span.file);
        }
    }
    files
}

fn snippet<'a>(
    item: &'a Diagnostic,
    file: FileId,
    sources: &'a SourceMap,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let annotation = |kind: AnnotationKind, label: &'a Label| {
        let range = label.span.start as usize..label.span.end as usize;
        let text = (!label.text.is_empty()).then_some(label.text.as_str());
        kind.span(range).label(text)
    };
    let in_file = |label: &&Label| label.span.file == file;
    Snippet::source(sources.text(file))
        .path(sources.name(file))
        .annotations(item.primary.iter().filter(in_file).map(|label| annotation(AnnotationKind::Primary, label)))
        .annotations(item.secondary.iter().filter(in_file).map(|label| annotation(AnnotationKind::Context, label)))
}
