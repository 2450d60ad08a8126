//! Parse: text to raw manifest.
//!
//! In:   bytes of a `bpf.yaml` and its name. Out: [`Manifest`], with places into `sources`.
//! May fail with: `NB01xx`.
//!
//! [`parse`] takes both steps, from text to tree and from tree to types; who goes on behind an error
//! ([`crate::recover`]) takes them one by one.

use super::raw::{Attach, Manifest};
use crate::{
    diag::Diagnostics,
    source::{FileId, SourceMap, Span},
    yaml::{
        self, Key, Node,
        decode::{Decode, Decoder, Place},
        types::List,
    },
};

/// Parses a manifest; `None` if an error was reported.
pub fn parse(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> Option<Manifest> {
    decode_document(name, bytes, "the manifest", sources, diags)
}

/// Parses a text to a tree, which may be there in spite of errors: then keys stand twice.
pub fn tree(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> (FileId, Option<Node>) {
    yaml::parse::parse(name, bytes, sources, diags)
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
    let document = decode_tree(&node?, file, what, sources, diags);
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
