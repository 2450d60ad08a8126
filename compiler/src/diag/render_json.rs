//! Diagnostics for programs: one JSON object per line and finding.
//!
//! In: [`Diagnostics`] and the texts they point into. Out: JSON Lines for stderr, all of them. Cannot fail.
//!
//! The form is public: `schema/message-v1.schema.json` describes it, and fields are only ever added.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Diagnostic, Diagnostics, Label};
use crate::source::SourceMap;

/// One line that nodebpf writes to stderr with `--message-format json`. Fields may be added later.
#[derive(JsonSchema, Serialize)]
pub struct Line<'a> {
    /// `error`: nothing is written. `warning`: the output is the same without it. `note`: worth knowing.
    #[schemars(extend("enum" = ["error", "warning", "note"]))]
    severity: &'static str,
    /// What it is about; `nodebpf explain CODE` says more. Absent for problems of files and usage.
    #[schemars(regex(pattern = "^NB[0-9]{4}$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// One fact, with the values found and allowed.
    message: &'a str,
    /// The place it is about; absent for what has no place in a file, such as an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<Place<'a>>,
    /// Other places, such as the other party of a conflict, perhaps in other files.
    secondary: Vec<Place<'a>>,
    /// Facts that explain.
    notes: &'a [String],
    /// Things to type.
    help: &'a [String],
}

/// A place in a file. Lines and columns count from 1, columns in characters; the end is excluded.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'a> {
    /// The file as it was named on the command line; `<stdin>` for `-`.
    file: &'a str,
    /// Line of the first character.
    #[schemars(range(min = 1))]
    line: usize,
    /// Column of the first character.
    #[schemars(range(min = 1))]
    column: usize,
    /// Line behind the last character.
    #[schemars(range(min = 1))]
    end_line: usize,
    /// Column behind the last character.
    #[schemars(range(min = 1))]
    end_column: usize,
    /// What to say about the place; may be empty.
    text: &'a str,
}

/// All findings.
pub fn render(diagnostics: &Diagnostics, sources: &SourceMap) -> String {
    diagnostics.sorted().into_iter().map(|item| line(item, sources)).collect()
}

fn line(item: &Diagnostic, sources: &SourceMap) -> String {
    text(&Line {
        severity: item.severity.as_str(),
        code: Some(item.code.as_str()),
        message: &item.message,
        primary: item.primary.as_ref().map(|label| place(label, sources)),
        secondary: item.secondary.iter().map(|label| place(label, sources)).collect(),
        notes: &item.notes,
        help: &item.helps,
    })
}

fn text(line: &Line<'_>) -> String {
    serde_json::to_string(line).expect("invariant: plain structs of text serialise") + "\n"
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

/// A problem of files, usage or the system, which has no code and no place.
pub fn plain_error(message: &str) -> String {
    text(&Line { severity: "error", code: None, message, primary: None, secondary: Vec::new(), notes: &[], help: &[] })
}
