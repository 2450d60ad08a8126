//! Diagnostics: what is wrong, where, what is allowed and what to type.
//!
//! In: findings of all phases. Out: [`Diagnostics`], to be rendered by [`render_human`] or [`render_json`].
//! Cannot fail. No phase prints; only `cli` does.

mod code;
pub mod pages;
pub mod render_human;
pub mod render_json;

use std::fmt;

pub use code::Code;

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is written.
    Error,
    /// Output is the same without it; `--strict` makes it an error.
    Warning,
    /// Worth knowing, and nothing can be done about it; `--strict` leaves it.
    Note,
}

impl Severity {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A code of the compiler, or one that the loader would report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnyCode {
    /// Ours.
    Compiler(Code),
    /// Of the node.
    Loader(nodeplan::report::Code),
}

impl AnyCode {
    /// The code, such as `NB0402`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compiler(code) => code.as_str(),
            Self::Loader(code) => code.as_str(),
        }
    }
}

impl From<Code> for AnyCode {
    fn from(code: Code) -> Self {
        Self::Compiler(code)
    }
}

impl From<nodeplan::report::Code> for AnyCode {
    fn from(code: nodeplan::report::Code) -> Self {
        Self::Loader(code)
    }
}

/// A place and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words, or nothing.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code.
    pub code: AnyCode,
    /// How bad it is.
    pub severity: Severity,
    /// One fact, lower case, no full stop, with the values found and allowed.
    pub message: String,
    /// The place it is about; none for what has no place in a text, such as an option.
    pub primary: Option<Label>,
    /// Other places, such as the other party of a conflict.
    pub secondary: Vec<Label>,
    /// Facts that explain.
    pub notes: Vec<String>,
    /// Things to type.
    pub helps: Vec<String>,
}

impl Diagnostic {
    fn new(severity: Severity, code: AnyCode, message: &dyn fmt::Display) -> Self {
        Self {
            code,
            severity,
            message: message.to_string(),
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            helps: Vec::new(),
        }
    }

    /// An error.
    pub fn error(code: impl Into<AnyCode>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Error, code.into(), &message)
    }

    /// A warning.
    pub fn warning(code: impl Into<AnyCode>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Warning, code.into(), &message)
    }

    /// Something worth knowing.
    pub fn note_only(code: impl Into<AnyCode>, message: impl fmt::Display) -> Self {
        Self::new(Severity::Note, code.into(), &message)
    }

    /// Points at the value it is about.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl fmt::Display) -> Self {
        self.primary = Some(Label { span, text: text.to_string() });
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl fmt::Display) -> Self {
        self.secondary.push(Label { span, text: text.to_string() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl fmt::Display) -> Self {
        self.notes.push(text.to_string());
        self
    }

    /// Adds a thing to type.
    #[must_use]
    pub fn help(mut self, text: impl fmt::Display) -> Self {
        self.helps.push(text.to_string());
        self
    }

    /// Adds a thing to type if there is one.
    #[must_use]
    pub fn maybe_help(self, text: Option<impl fmt::Display>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, items: T) {
        self.items.extend(items);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Findings of a run, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// All findings, in the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// Whether a later phase must not start.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// Number of errors.
    pub fn error_count(&self) -> usize {
        self.items.iter().filter(|item| item.severity == Severity::Error).count()
    }

    /// Makes all warnings errors.
    pub fn make_strict(&mut self) {
        for item in self.items.iter_mut().filter(|item| item.severity == Severity::Warning) {
            item.severity = Severity::Error;
        }
    }

    /// All findings in source order; those without a place come first.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_key(|item| item.primary.as_ref().map(|label| label.span));
        items
    }
}

/// `text` fit for a message: characters that cannot be seen or turn others around escaped, cut after 60 characters.
pub fn shown(text: &str) -> String {
    shown_up_to(text, 60)
}

/// Like [`shown`], for texts that may be longer than a value.
pub fn shown_up_to(text: &str, max_chars: usize) -> String {
    let mut out: String = text.chars().take(max_chars).flat_map(escape).collect();
    if text.chars().nth(max_chars).is_some() {
        out.push('…');
    }
    out
}

/// `text` fit for a terminal, whole: like [`shown`], and never cut.
pub fn visible(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

fn escape(c: char) -> Vec<char> {
    // Zero-width and joining characters, and those that reverse text: a message must show what is there.
    let unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || unseen { c.escape_default().collect() } else { vec![c] }
}

/// Words as `` `a`, `b` or `c` ``.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{}`", shown(word))).collect();
    match words.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
