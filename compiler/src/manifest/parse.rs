//! Parse: text to raw manifest.
//!
//! In:   bytes of a `bpf.yaml` and its name. Out: [`Manifest`], with places into `sources`.
//! May fail with: `NB01xx`.
//!
//! [`parse`] takes both steps, from text to tree and from tree to types; who goes on behind an error
//! ([`crate::recover`]) takes them one by one.

use super::raw::{Attach, Manifest};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    source::{FileId, SourceMap, Span},
    suggest::nearest,
    yaml::{
        self, Key, Node, Value,
        decode::{Decode, Decoder, Place},
        types::List,
    },
};

/// With what `init` marks values that it had to guess.
const MARK: &str = "EDIT";

/// Parses a manifest; `None` if an error was reported.
pub fn parse(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> Option<Manifest> {
    decode_document(name, bytes, "the manifest", sources, diags)
}

/// Parses a text to a tree, which may be there in spite of errors: then keys stand twice.
pub fn tree(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> (FileId, Option<Node>) {
    let (file, node) = yaml::parse::parse(name, bytes, sources, diags);
    let node = node.filter(|node| is_kind(node, "the manifest", diags));
    if node.is_some() {
        marks(file, sources, diags);
    }
    (file, node)
}

/// Reports what `init` marked behind a value for people to decide, once for all.
fn marks(file: FileId, sources: &SourceMap, diags: &mut Diagnostics) {
    let mark = format!("# {MARK}");
    let mut found = Vec::new();
    let mut start = 0;
    for line in sources.text(file).split_inclusive('\n') {
        // A line that is a comment as a whole is an offer of `init`, not a value.
        if let Some(at) = line.find(&mark).filter(|_| !line.trim_start().starts_with('#')) {
            found.push(start + at);
        }
        start += line.len();
    }
    let Some(first) = found.first().and_then(|at| u32::try_from(*at).ok()) else { return };
    let more = if found.len() > 1 { format!("; there are {} of them", found.len()) } else { String::new() };
    let end = first + u32::try_from(mark.len()).unwrap_or_default();
    diags.push(
        Diagnostic::warning(Code::LeftMark, format!("a mark of `nodebpf init` is left{more}"))
            .at(Span { file, start: first, end }, "nobody has decided this yet")
            .help("look at the value, correct it, and remove the comment"),
    );
}

/// Whether a document says that it is what is wanted, or almost; everything else about another kind of document would be
/// a consequence.
fn is_kind(node: &Node, what: &str, diags: &mut Diagnostics) -> bool {
    let Value::Map(entries) = &node.value else { return true };
    let Some((_, kind)) = entries.iter().find(|(key, _)| key.text == "kind") else { return true };
    let Value::Text(found) = &kind.value else { return true };
    let (wanted, options) = match what {
        "the policy" => ("BpfPolicy", "write `kind: BpfPolicy`, or name the policy with `--policy`"),
        _ => ("BpfManifest", "write `kind: BpfManifest`, or name a manifest"),
    };
    if nearest(found, [wanted]).is_some() {
        return true;
    }
    let (message, help) = match (wanted, found.as_str()) {
        ("BpfManifest", "BpfPolicy") => ("this is a policy, not a manifest".to_owned(), "give it with `--policy`"),
        ("BpfPolicy", "BpfManifest") => (
            "this is a manifest, not a policy".to_owned(),
            "give it without `--policy`; a policy has `kind: BpfPolicy`",
        ),
        _ => (format!("`kind` must be `{wanted}`, not `{}`", shown(found)), options),
    };
    diags.push(Diagnostic::error(Code::UnknownWord, message).at(kind.span, "another kind").help(help));
    false
}

/// The manifest of a tree; `None` if an error was reported.
pub fn decode(node: &Node, file: FileId, sources: &SourceMap, diags: &mut Diagnostics) -> Option<Manifest> {
    decode_tree(node, file, "the manifest", sources, diags)
}

/// Parses one document of any kind; `what` is its name in messages.
pub(crate) fn decode_document<T: Decode>(
    name: &str,
    bytes: &[u8],
    what: &str,
    sources: &mut SourceMap,
    diags: &mut Diagnostics,
) -> Option<T> {
    // Problems of other documents are no reason to give up this one.
    let before = diags.error_count();
    let (file, node) = yaml::parse::parse(name, bytes, sources, diags);
    let node = node.filter(|node| is_kind(node, what, diags))?;
    let document = decode_tree(&node, file, what, sources, diags);
    // Duplicate keys were reported, but leave a tree that decodes.
    document.filter(|_| diags.error_count() == before)
}

fn decode_tree<T: Decode>(
    node: &Node,
    file: FileId,
    what: &str,
    sources: &SourceMap,
    diags: &mut Diagnostics,
) -> Option<T> {
    let before = diags.error_count();
    let start = Span { file, start: 0, end: 0 };
    let document = T::decode(node, Place { key: what, span: start }, &mut Decoder { sources, diags });
    document.filter(|_| diags.error_count() == before)
}

/// The attachments of a program, alone; `None` if an error was reported.
pub fn decode_attachments(
    (key, node): &(Key, Node),
    sources: &SourceMap,
    diags: &mut Diagnostics,
) -> Option<List<Attach>> {
    Decode::decode(node, Place { key: &key.text, span: key.span }, &mut Decoder { sources, diags })
}
