//! Parse: bytes of a file to a tree.
//!
//! In:   bytes and the file's name. Out: [`Node`] of the one document.
//! May fail with: NB0101 (not UTF-8), NB0102 (too large), NB0103 (syntax), NB0104 (empty), NB0105 (several documents),
//! NB0106 (duplicate key), NB0107 (unfolds to too much), NB0113 (merge keys, tags).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, Options};

use super::{Key, Node, Value, explain, tags};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    source::{FileId, SourceMap, Span},
};

/// Largest manifest or policy, in bytes. Ours; the plan made of it has a smaller limit yet.
pub const TEXT_MAX_BYTES: usize = 1024 * 1024;

/// Deepest nesting. A manifest needs 9.
pub(super) const MAX_DEPTH: usize = 32;

/// Most nodes, aliases unfolded: 4096 map entries need about 20 000.
pub(super) const MAX_NODES: usize = 100_000;

/// Adds `bytes` to `sources` under `name` and parses them. The file id is returned even if they are no YAML.
pub fn parse(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> (FileId, Option<Node>) {
    if bytes.len() > TEXT_MAX_BYTES {
        let file = sources.add(name, "");
        let message = format!("`{}` has more than {TEXT_MAX_BYTES} bytes", shown(name));
        diags.push(Diagnostic::error(Code::TextTooLarge, message));
        return (file, None);
    }
    if let Some(problem) = not_text(name, bytes) {
        diags.push(problem);
        return (sources.add(name, ""), None);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let file = sources.add(name, String::from_utf8_lossy(bytes));
            let at = error.valid_up_to();
            let span = span_at(file, at, at);
            diags.push(
                Diagnostic::error(Code::NotUtf8, format!("byte {at} is 0x{:02x}, which is not UTF-8", bytes[at]))
                    .at(span, "text ends here")
                    .help(format!("convert it: `iconv -f {} -t UTF-8 {}`", encoding(bytes), shown(name))),
            );
            return (file, None);
        }
    };
    // A byte order mark is allowed by YAML and would shift all places.
    let file = sources.add(name, text.strip_prefix('\u{feff}').unwrap_or(text));
    let node = parse_text(sources.text(file), file, diags);
    (file, node)
}

fn parse_text(text: &str, file: FileId, diags: &mut Diagnostics) -> Option<Node> {
    if !tags::refuse(text, file, diags) {
        return None;
    }
    let tree = match serde_saphyr::from_str_with_options::<serde_saphyr::Spanned<Tree>>(text, options()) {
        Ok(tree) => tree,
        Err(error) => {
            diags.push(explain::explain(&error, text, file));
            return None;
        }
    };
    let node = node(tree, text, file);
    if node.value == Value::Null {
        diags.push(
            Diagnostic::error(Code::EmptyDocument, "the document is empty")
                .at(span_at(file, 0, 0), "")
                .help("start with `apiVersion: nodebpf.io/v1alpha1`"),
        );
        return None;
    }
    refuse_duplicates(&node, diags);
    Some(node)
}

/// Files that are no text in any encoding.
fn not_text(name: &str, bytes: &[u8]) -> Option<Diagnostic> {
    let name = shown(name);
    if bytes.starts_with(b"\x7fELF") {
        let diagnostic = Diagnostic::error(Code::NotUtf8, format!("`{name}` is an ELF object, not a text"));
        return Some(diagnostic.help(format!(
            "see what is in it: `nodebpf inspect {name}`; or make a manifest for it: `nodebpf init {name}`"
        )));
    }
    // UTF-16 has many of them, and a byte order mark before.
    let at = bytes.iter().position(|byte| *byte == 0).filter(|_| encoding(bytes) != "UTF-16")?;
    Some(
        Diagnostic::error(Code::NotUtf8, format!("`{name}` is not a text: byte {at} is NUL"))
            .help("name a file with a YAML document; `nodebpf init OBJECT` makes a manifest"),
    )
}

/// What a text that is not UTF-8 most likely is, as `iconv` names it.
fn encoding(bytes: &[u8]) -> &'static str {
    // A byte order mark, as Windows' editors write it.
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) { "UTF-16" } else { "ISO-8859-1" }
}

/// The one place where the YAML crate is set up.
fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_aliases: 1000,
            max_anchors: 1000,
            max_recorded_anchor_events: MAX_NODES,
            max_recorded_anchor_bytes: TEXT_MAX_BYTES,
            max_documents: 2,
            max_total_scalar_bytes: 4 * TEXT_MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: MAX_DEPTH,
            max_alias_expansions_per_anchor: 1000,
        },
        // Duplicates come through to be reported with both places.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// What serde sees; becomes a [`Node`] when places are known.
enum Tree {
    Scalar(Value),
    List(Vec<serde_saphyr::Spanned<Tree>>),
    Map(Vec<(serde_saphyr::Spanned<String>, serde_saphyr::Spanned<Tree>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value)))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Float))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<Tree, E> {
        Err(E::custom("binary values are not allowed"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key()? {
            entries.push((key, access.next_value()?));
        }
        if entries.len() > MAX_NODES {
            return Err(A::Error::custom("too many keys"));
        }
        Ok(Tree::Map(entries))
    }
}

fn node(tree: serde_saphyr::Spanned<Tree>, text: &str, file: FileId) -> Node {
    let span = span(tree.defined, text, file);
    let value = match tree.value {
        // The crate reads whole numbers of more than 64 bits as floating ones, and a range could not be told.
        Tree::Scalar(Value::Float) => {
            let written = &text[span.start as usize..span.end as usize];
            written.parse::<i128>().map_or(Value::Float, Value::Int)
        }
        Tree::Scalar(value) => value,
        Tree::List(items) => Value::List(items.into_iter().map(|item| node(item, text, file)).collect()),
        Tree::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key_span = self::span(key.defined, text, file);
                    (Key { span: key_span, text: key.value }, node(value, text, file))
                })
                .collect(),
        ),
    };
    Node { span: first_line(span, text), value }
}

pub(super) fn span_at(file: FileId, start: usize, end: usize) -> Span {
    // Texts are bounded by TEXT_MAX_BYTES.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(start), end: offset(end) }
}

/// Byte range of a location, moved to character boundaries of `text`.
pub(super) fn span(location: Location, text: &str, file: FileId) -> Span {
    let (start, length) = match (location.span().byte_offset(), location.span().byte_len()) {
        (Some(start), Some(length)) => (usize::try_from(start), usize::try_from(length)),
        _ => (Ok(0), Ok(0)),
    };
    let start = text.floor_char_boundary(start.unwrap_or(usize::MAX));
    let end = text.floor_char_boundary(start.saturating_add(length.unwrap_or(0)));
    let written = text[start..end].trim_end();
    span_at(file, start, start + written.len())
}

/// Cuts a place that runs over lines (block text, lists, maps) to its first line.
pub(super) fn first_line(span: Span, text: &str) -> Span {
    let slice = &text[span.start as usize..span.end as usize];
    let length = slice.find('\n').unwrap_or(slice.len());
    span_at(span.file, span.start as usize, span.start as usize + slice[..length].trim_end().len())
}

fn refuse_duplicates(node: &Node, diags: &mut Diagnostics) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| refuse_duplicates(item, diags)),
        Value::Map(entries) => {
            let mut seen = std::collections::BTreeMap::new();
            for (key, value) in entries {
                if let Some(first) = seen.insert(key.text.as_str(), key.span) {
                    diags.push(
                        Diagnostic::error(Code::DuplicateKey, format!("key `{}` stands twice", shown(&key.text)))
                            .at(key.span, "again here")
                            .also(first, "first here")
                            .help("remove one of the two"),
                    );
                }
                refuse_duplicates(value, diags);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float | Value::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (SourceMap, Option<Node>, Diagnostics) {
        let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
        let (_, node) = parse("x.yaml", text.as_bytes(), &mut sources, &mut diags);
        (sources, node, diags)
    }

    fn scalars<'a>(node: &'a Node, out: &mut Vec<&'a Node>) {
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| scalars(item, out)),
            Value::Map(entries) => entries.iter().for_each(|(_, value)| scalars(value, out)),
            _ => out.push(node),
        }
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "a: 'ü x'  # comment\nb: [1, -2, 0x10, true, \"q\", plain word ]\nc:\n  ü: 10.0.0.1\nd: 1.5\n";
        let (sources, node, diags) = tree(text);
        assert!(!diags.has_errors(), "{diags:?}");
        let node = node.unwrap();
        let mut found = Vec::new();
        scalars(&node, &mut found);
        let slices: Vec<_> = found.iter().map(|node| sources.slice(node.span)).collect();
        assert_eq!(slices, ["'ü x'", "1", "-2", "0x10", "true", "\"q\"", "plain word", "10.0.0.1", "1.5"]);
        let values: Vec<_> = found.iter().map(|node| node.value.clone()).collect();
        let t = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            values,
            [
                t("ü x"),
                Value::Int(1),
                Value::Int(-2),
                Value::Int(16),
                Value::Bool(true),
                t("q"),
                t("plain word"),
                t("10.0.0.1"),
                Value::Float
            ]
        );
    }

    #[test]
    fn what_looks_like_a_number_and_is_not() {
        for text in ["x: 0755", "x: 1_000", "x: yes", "x: 1e", "x: 1:30"] {
            let (_, node, diags) = tree(text);
            let mut found = Vec::new();
            let node = node.unwrap_or_else(|| panic!("{text}: {diags:?}"));
            scalars(&node, &mut found);
            assert!(matches!(found[0].value, Value::Text(_)), "case {text}: {:?}", found[0].value);
        }
    }

    #[test]
    fn bad_documents_have_their_codes() {
        let bomb: String = (0..9).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            let item = format!("*a{n}, ");
            format!("{text}a{}: &a{} [{}]\n", n + 1, n + 1, item.repeat(9))
        });
        let deep = "[".repeat(5000);
        let deep_block = (0..200).map(|n| " ".repeat(n) + "a:").collect::<Vec<_>>().join("\n");
        let many = format!("[{}]", "1,".repeat(200_000));
        for (name, text, want) in [
            ("nothing", "", Code::EmptyDocument),
            ("a comment", "# nothing\n", Code::EmptyDocument),
            ("null", "~\n", Code::EmptyDocument),
            ("two documents", "a: 1\n---\nb: 2\n", Code::SeveralDocuments),
            ("key twice", "a: 1\na: 2\n", Code::DuplicateKey),
            ("key twice, deep", "x: [{a: 1, 'a': 2}]\n", Code::DuplicateKey),
            ("not closed", "a: [1, 2\n", Code::Yaml),
            ("tab", "a:\n\tb: 1\n", Code::Yaml),
            ("unknown alias", "a: *b\n", Code::Yaml),
            ("merge", "a: &a {b: 1}\nc: {<<: *a}\n", Code::YamlFeature),
            ("tag", "a: !secret x\n", Code::YamlFeature),
            ("tag for binary", "a: !!binary aGVsbG8=\n", Code::YamlFeature),
            ("tag for text", "a: !!str x\n", Code::YamlFeature),
            ("tag for a number", "a: !!int 1\n", Code::YamlFeature),
            ("tag behind an anchor", "a: &b !!str x\n", Code::YamlFeature),
            ("tag of a key", "!!str a: x\n", Code::YamlFeature),
            ("tag of a list", "a: !!seq [x]\n", Code::YamlFeature),
            ("tag of a map", "a: !!map\n  b: x\n", Code::YamlFeature),
            ("tag of nothing", "a: !!str\n", Code::YamlFeature),
            ("tag without name", "a: ! x\n", Code::YamlFeature),
            ("tag in full", "a: !<tag:yaml.org,2002:str> x\n", Code::YamlFeature),
            ("bomb", &bomb, Code::YamlBudget),
            ("deep flow", &deep, Code::YamlBudget),
            ("deep block", &deep_block, Code::YamlBudget),
            ("many", &many, Code::YamlBudget),
            ("key of keys", "? {a: 1}\n: b\n", Code::Yaml),
        ] {
            let (_, _, diags) = tree(text);
            let codes: Vec<_> = diags.sorted().iter().map(|item| item.code).collect();
            assert_eq!(codes, [want.into()], "case {name}: {diags:?}");
        }
    }

    #[test]
    fn an_exclamation_mark_alone_is_no_tag() {
        for text in ["a: x!\n", "a: '!!str x'\n", "# !!str\na: b # !c\n", "a: |\n  !!str x\n"] {
            let (_, node, diags) = tree(text);
            assert!(node.is_some() && !diags.has_errors(), "case {text}: {diags:?}");
        }
    }

    #[test]
    fn aliases_are_unfolded_and_point_at_their_anchor() {
        let (sources, node, diags) = tree("a: &n [eth0]\nb: *n\n");
        assert!(!diags.has_errors(), "{diags:?}");
        let node = node.unwrap();
        let mut found = Vec::new();
        scalars(&node, &mut found);
        assert_eq!(found.len(), 2);
        assert_eq!(sources.slice(found[1].span), "eth0");
    }

    #[test]
    fn a_byte_order_mark_does_not_shift_places() {
        let (sources, node, _) = tree("\u{feff}a: word\n");
        let node = node.unwrap();
        let mut found = Vec::new();
        scalars(&node, &mut found);
        assert_eq!(sources.slice(found[0].span), "word");
    }
}
