//! One run: its texts, its findings and how they are printed.
//!
//! In:   diagnostics of all phases. Out: text on stderr and the exit code.

use std::io::{IsTerminal as _, Write as _};

use super::{
    Exit,
    args::{Color, MessageFormat},
};
use crate::{
    diag::{Diagnostics, render_human, render_json},
    source::SourceMap,
};

/// A use of options that only shows once the input was read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub(super) String);

/// State of a run.
pub(super) struct Session {
    /// Texts that diagnostics point into.
    pub(super) sources: SourceMap,
    /// Findings so far.
    pub(super) diags: Diagnostics,
    color: bool,
    format: MessageFormat,
}

impl Session {
    pub(super) fn new(color: Color, format: MessageFormat) -> Self {
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set and not empty.
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
            }
        };
        Self { sources: SourceMap::default(), diags: Diagnostics::default(), color, format }
    }

    /// Whether to go on: no errors, and with `strict` no warnings.
    pub(super) fn sound(&mut self, strict: bool) -> bool {
        if strict {
            self.diags.make_strict();
        }
        !self.diags.has_errors()
    }

    /// Exit code of a run that ended without I/O problem.
    pub(super) fn exit(&self) -> Exit {
        if self.diags.has_errors() { Exit::Errors } else { Exit::Done }
    }

    /// Says something at once, on stderr: what is about to be signed, what was done.
    pub(super) fn say(&self, line: &str) {
        let text = match self.format {
            MessageFormat::Json => render_json::plain_info(line),
            MessageFormat::Human | MessageFormat::Short => format!("{line}\n"),
        };
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    /// Prints all findings and, if the run broke off, why.
    pub(super) fn finish(self, result: anyhow::Result<Exit>) -> Exit {
        let mut text = match self.format {
            MessageFormat::Human => render_human::render(&self.diags, &self.sources, self.color),
            MessageFormat::Short => render_human::render_short(&self.diags, &self.sources),
            MessageFormat::Json => render_json::render(&self.diags, &self.sources),
        };
        let exit = result.unwrap_or_else(|error| {
            let message = format!("{error:#}");
            let line = match self.format {
                MessageFormat::Json => render_json::plain_error(&message),
                MessageFormat::Human | MessageFormat::Short => format!("error: {message}\n"),
            };
            text.push_str(&line);
            if error.is::<WrongUsage>() { Exit::Usage } else { Exit::Io }
        });
        let _ = std::io::stderr().write_all(text.as_bytes());
        exit
    }
}
