//! The manifest as written: `kind: BpfManifest`.

mod parse;
pub mod raw;

pub(crate) use parse::decode_document;
pub use parse::{decode, decode_attachments, parse, tree};

/// The one `apiVersion` of this version.
pub const API_VERSION: &str = "nodebpf.io/v1alpha1";
