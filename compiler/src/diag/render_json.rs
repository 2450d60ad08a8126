//! Diagnostics for programs: one JSON object per line and finding.
//!
//! In: [`Diagnostics`] and the texts they point into. Out: JSON Lines for stderr. Cannot fail.

use serde::Serialize;

use super::{Diagnostic, Diagnostics, Label};
use crate::source::SourceMap;

#[derive(Serialize)]
struct Line<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<Place<'a>>,
    secondary: Vec<Place<'a>>,
    notes: &'a [String],
    help: &'a [String],
}

/// Lines and columns count from 1, columns in characters; the end is excluded.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    text: &'a str,
}

/// All findings.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    diagnostics.sorted().into_iter().map(|item| line(item, sources)).collect()
}

fn line(item: &Diagnostic, sources: &SourceMap) -> String {
    let line = Line {
        severity: item.severity.as_str(),
        code: item.code.as_str(),
        message: &item.message,
        primary: item.primary.as_ref().map(|label| place(label, sources)),
        secondary: item.secondary.iter().map(|label| place(label, sources)).collect(),
        notes: &item.notes,
        help: &item.helps,
    };
    serde_json::to_string(&line).expect("invariant: plain structs of text serialise") + "\n"
}

fn place<'a>(label: &'a Label, sources: &'a SourceMap) -> Place<'a> {
    let start = sources.line_column(label.span.file, label.span.start);
    let end = sources.line_column(label.span.file, label.span.end);
    Place {
        file: sources.name(label.span.file),
        line: start.line,
        column: start.column,
        end_line: end.line,
        end_column: end.column,
        text: &label.text,
    }
}

/// Something said on the way, which is no problem.
pub fn plain_info(message: &str) -> String {
    serde_json::json!({ "severity": "info", "message": message }).to_string() + "\n"
}

/// A problem of files or the system, which has no code and no place.
pub fn plain_error(message: &str) -> String {
    serde_json::json!({ "severity": "error", "message": message }).to_string() + "\n"
}
