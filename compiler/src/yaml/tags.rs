//! Tags: every one is refused, those of YAML's own types too.
//!
//! In: a text. Out: whether it has no tag. May fail with: NB0113.
//!
//! The YAML crate reads `!!binary`, `!!str` and `!!int` and forgets them; so its parser's events are looked at first. They
//! are as many as the text has, since aliases stay folded there.

use serde_saphyr::granit_parser::{Event, Parser};

use super::parse::{first_line, span_at};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    source::FileId,
};

/// Most tags that are reported of one text.
const REPORTED_MAX: usize = 20;

/// Reports the tags of `text`; `false` if there is one. Leaves what is no YAML to the parser behind it.
pub(super) fn refuse(text: &str, file: FileId, diags: &mut Diagnostics) -> bool {
    // A tag starts with it.
    if !text.contains('!') {
        return true;
    }
    let before = diags.error_count();
    let events = Parser::new_from_str(text).map_while(Result::ok);
    let tagged = events.filter_map(|(event, span)| match event {
        Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, _, tag) | Event::MappingStart(_, _, tag) => {
            Some((tag?, span))
        }
        _ => None,
    });
    for (tag, span) in tagged.take(REPORTED_MAX) {
        let range = span.byte_range().unwrap_or_default();
        let start = text.floor_char_boundary(range.start);
        let end = text.floor_char_boundary(range.end).max(start);
        let written = format!("{}{}", tag.original_handle(), tag.suffix());
        diags.push(
            Diagnostic::error(Code::YamlFeature, format!("a YAML tag is not allowed: `{}`", shown(&written)))
                .at(first_line(span_at(file, start, end), text), "has a tag")
                .help("remove the `!…` in front of the value"),
        );
    }
    diags.error_count() == before
}
