//! The YAML crate's errors in our words, with our codes and places.
//!
//! In:   an error of `serde-saphyr`. Out: a [`Diagnostic`]: NB0103, NB0104, NB0105, NB0107 or NB0113.

use serde_saphyr::Error as YamlError;

use super::{
    parse::{MAX_DEPTH, MAX_NODES, first_line, span, span_at},
    syntax,
};
use crate::{
    diag::{Code, Diagnostic, shown},
    source::{FileId, Span},
};

/// The YAML crate's error in our words.
pub(super) fn explain(error: &YamlError, text: &str, file: FileId) -> Diagnostic {
    let place = error_place(error, text, file);
    let budget = || {
        Diagnostic::error(Code::YamlBudget, "the document unfolds to too much")
            .at(place, "the limit was reached here")
            .note(format!("allowed are {MAX_NODES} values with aliases unfolded, {MAX_DEPTH} levels, 1000 aliases"))
    };
    match error.without_snippet() {
        YamlError::MultipleDocuments { .. } => Diagnostic::error(Code::SeveralDocuments, "a second document starts")
            .at(document_start(text, file).unwrap_or(place), "here")
            .help("put each document into a file of its own"),
        YamlError::Eof { .. } => Diagnostic::error(Code::EmptyDocument, "the document is empty")
            .at(place, "")
            .help("start with `apiVersion: nodebpf.io/v1alpha1`"),
        YamlError::Budget { .. }
        | YamlError::AliasReplayLimitExceeded { .. }
        | YamlError::AliasExpansionLimitExceeded { .. }
        | YamlError::AliasReplayStackDepthExceeded { .. }
        | YamlError::AliasReplayCounterOverflow { .. } => budget(),
        YamlError::AliasError { error, locations, .. } => {
            let mut diagnostic = explain(error, text, file);
            if let Some(label) = &mut diagnostic.primary {
                label.span = span(locations.reference_location, text, file);
            }
            diagnostic
        }
        YamlError::MergeKeyNotAllowed { .. } => Diagnostic::error(Code::YamlFeature, "a merge key `<<` is not allowed")
            .at(place, "")
            .help("write the keys out, or use an alias for a whole value"),
        other => {
            let message = other.to_string();
            // The place is shown beside; saying it twice would only differ.
            let first = message.lines().next().unwrap_or_default();
            let first = first.split(" at line ").next().unwrap_or_default();
            if first.contains("nesting") || first.contains("recursion limit") {
                return budget();
            }
            if first.contains("tag") {
                return Diagnostic::error(Code::YamlFeature, "a YAML tag is not allowed")
                    .at(place, "")
                    .note(shown(first))
                    .help("remove the `!…` in front of the value");
            }
            match syntax::words(text) {
                Some(words) => {
                    // The scanner gives up behind the value before, which may be on another line.
                    let place = if words.is_tab() { indenting_tab(error, text, file).unwrap_or(place) } else { place };
                    Diagnostic::error(Code::Yaml, format!("not YAML: {}", words.what)).at(place, "").help(words.help)
                }
                None => Diagnostic::error(Code::Yaml, format!("not YAML: {}", shown(first)))
                    .at(place, "")
                    .help("look a little before the place shown: the reader gave up there"),
            }
        }
    }
}

/// The first tab in an indentation, from the line on where the reader gave up.
fn indenting_tab(error: &YamlError, text: &str, file: FileId) -> Option<Span> {
    let line_index = usize::try_from(error.location()?.line()).ok()?.saturating_sub(1);
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let indentation = line.len() - line.trim_start_matches([' ', '\t']).len();
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if index >= line_index
            && !blank
            && let Some(at) = line[..indentation].find('\t')
        {
            return Some(span_at(file, start + at, start + at + 1));
        }
        start += line.len();
    }
    None
}

/// Place of an error: its bytes, or for errors of the scanner, which have none, its line and column.
fn error_place(error: &YamlError, text: &str, file: FileId) -> Span {
    let Some(location) = error.location() else { return span_at(file, 0, 0) };
    if location.span().byte_len().is_some_and(|length| length > 0) {
        return first_line(span(location, text, file), text);
    }
    let line_index = usize::try_from(location.line()).unwrap_or(usize::MAX).saturating_sub(1);
    let mut start = 0;
    for line in text.split_inclusive('\n').take(line_index) {
        start += line.len();
    }
    let line = text[start..].lines().next().unwrap_or_default();
    let column = usize::try_from(location.column()).unwrap_or(usize::MAX).saturating_sub(1);
    let at = start + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
    span_at(file, at, at)
}

/// Where the second document starts: the crate's own place is inside it.
fn document_start(text: &str, file: FileId) -> Option<Span> {
    let mut at = 0;
    let mut content = false;
    for line in text.split_inclusive('\n') {
        let is_marker = line.trim_end() == "---" || line.starts_with("--- ");
        if is_marker && content {
            return Some(span_at(file, at, at + 3));
        }
        content |= is_marker || (!line.trim().is_empty() && !line.trim_start().starts_with(['#', '%']));
        at += line.len();
    }
    None
}
