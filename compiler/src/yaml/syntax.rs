//! Syntax: why a text is not YAML, in words for people who write manifests.
//!
//! In:   a text that the YAML crate refused. Out: what is wrong and what to type. Cannot fail: without words of ours, the
//! crate's own are shown.

use serde_saphyr::granit_parser::{ErrorKind, Parser};

/// What is wrong, and what to type.
pub(super) struct Words {
    pub(super) what: &'static str,
    pub(super) help: &'static str,
}

impl Words {
    /// Whether they are about a tab.
    pub(super) fn is_tab(&self) -> bool {
        self.what == TABS.what
    }
}

const TABS: Words =
    Words { what: "a tab stands where YAML wants spaces", help: "indent with spaces: YAML allows no tabs there" };
const QUOTE: Words = Words { what: "a quote is not closed", help: "close it, on the same line" };
const ESCAPE: Words = Words {
    what: "a `\\` in double quotes is followed by something that it cannot escape",
    help: "write it in single quotes, where `\\` is itself, or double it: `\\\\`",
};
const INDENTATION: Words = Words {
    what: "a line is not indented like its neighbours",
    help: "give all keys of a map, and all `-` of a list, the same number of spaces",
};
const COLON: Words = Words {
    what: "a `:` stands where no key can be",
    help: "look at the line before for a bracket or quote that is not closed; a value with `: ` in it needs quotes",
};
const BRACKET: Words = Words { what: "a bracket is not closed", help: "close `[` with `]` and `{` with `}`" };
const FLOW: Words = Words {
    what: "an item between brackets is not followed by `,` or the closing bracket",
    help: "write `[a, b]` and `{key: value, key: value}`",
};

/// The first thing that is wrong with `text`.
pub(super) fn words(text: &str) -> Option<Words> {
    let error = Parser::new_from_str(text).find_map(Result::err)?;
    Some(match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => TABS,
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => QUOTE,
        ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => ESCAPE,
        ErrorKind::InvalidTrailingSingleQuotedScalar | ErrorKind::InvalidTrailingDoubleQuotedScalar => Words {
            what: "something follows a closing quote",
            help: "put all of the value into the quotes; in single quotes, a quote is written twice: `''`",
        },
        ErrorKind::InvalidIndentation
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::InvalidFlowScalarIndent
        | ErrorKind::InvalidBlockScalarIndent
        | ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::BlockSequenceEntryNotAllowed => INDENTATION,
        ErrorKind::InvalidColonPlacement
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidSimpleKey => COLON,
        ErrorKind::SimpleKeyExpected => {
            Words { what: "a key has no `:` behind it", help: "write `key: value`, with a space behind the colon" }
        }
        ErrorKind::InvalidMappingValueWhitespace => {
            Words { what: "no space follows a `:`", help: "write `key: value`" }
        }
        ErrorKind::InvalidBlockEntryWhitespace => Words { what: "no space follows a `-`", help: "write `- item`" },
        ErrorKind::BlockEntryInFlowCollection | ErrorKind::PlainScalarStartsWithDashFlowIndicator => {
            Words { what: "a `-` stands between brackets", help: "write `[a, b]`, without `-`" }
        }
        ErrorKind::UnclosedFlowCollection { .. } | ErrorKind::UnexpectedEof => BRACKET,
        ErrorKind::MisplacedFlowCollectionEnd | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            Words { what: "a bracket closes nothing, or another kind of bracket", ..BRACKET }
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => FLOW,
        ErrorKind::CommentNotSeparated | ErrorKind::CommentInterceptedScalar => Words {
            what: "a comment stands where the value goes on",
            help: "put a space before `#`, or the value into quotes",
        },
        ErrorKind::UnexpectedCharacter { .. } => Words {
            what: "a value begins with a character that means something in YAML",
            help: "put the value into quotes: `\"…\"`",
        },
        ErrorKind::UnknownAnchor => Words {
            what: "`*` refers to an anchor `&` that is not there",
            help: "put a value that begins with `*` into quotes",
        },
        ErrorKind::MissingAnchorOrAliasName => Words {
            what: "a value begins with `*` or `&`, which YAML takes for an alias or anchor",
            help: "put it into quotes: `\"*\"`",
        },
        ErrorKind::DirectiveDisallowed
        | ErrorKind::MissingDirectiveName
        | ErrorKind::InvalidDirectiveName
        | ErrorKind::ExpectedDocumentStart => Words {
            what: "something stands outside of the document",
            help: "begin at the start of the line with `apiVersion:`; a value that begins with `%` needs quotes",
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_their_words() {
        for (text, want) in [
            ("a:\n\tb: 1\n", "tab"),
            ("a: \"x\nb: 1\n", "quote"),
            ("a: \"\\d\"\n", "escape"),
            ("a: 'x' y\n", "closing quote"),
            ("a:\n   b: 1\n  c: 2\n", "indented"),
            ("a: [1, 2\n", "bracket"),
            ("a: 1]\nb: [}\n", "bracket"),
            ("a: {b: 1 c: 2}\n", "item between"),
            ("a: b: c\n", ":"),
            ("a: @b\n", "character"),
            ("a: *b\n", "anchor"),
            ("a: *\n", "alias"),
            ("a: [- b]\n", "brackets"),
        ] {
            let found = words(text).unwrap_or_else(|| panic!("no words for {text:?}"));
            assert!(found.what.contains(want), "{text:?}: {}", found.what);
        }
        assert!(words("a: 1\n").is_none());
    }
}
