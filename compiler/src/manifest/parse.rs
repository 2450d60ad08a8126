//! Parse: text to raw manifest.
//!
//! In:   bytes of a `bpf.yaml` and its name. Out: [`Manifest`], with places into `sources`.
//! May fail with: `NB01xx`.

use super::raw::Manifest;
use crate::{
    diag::Diagnostics,
    source::{SourceMap, Span},
    yaml::{
        self,
        decode::{Decode, Decoder, Place},
    },
};

/// Parses a manifest; `None` if an error was reported.
pub fn parse(name: &str, bytes: &[u8], sources: &mut SourceMap, diags: &mut Diagnostics) -> Option<Manifest> {
    decode_document(name, bytes, "the manifest", sources, diags)
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
    let start = Span { file, start: 0, end: 0 };
    let document = T::decode(&node?, Place { key: what, span: start }, &mut Decoder { sources, diags });
    // Duplicate keys were reported, but leave a tree that decodes.
    document.filter(|_| diags.error_count() == before)
}
