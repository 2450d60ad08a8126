//! Pieces of an installation, wherever they lie: objects of a cluster, the tree of an image.
//!
//! In:   bytes. Out: [`Piece`], and what is to be said of one. Cannot fail.

use nodeplan::{digest::Sha256Digest, trust::Trust};

use crate::diag::{Code, Diagnostic};

/// What to do about a piece that is not as it should be.
pub(super) const ANEW: &str = "write it anew with `nodebpf install`";

/// A piece of the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `loader`, `diag`, `trust` or `units`.
    pub what: &'static str,
    /// Digest of the file; units have none.
    pub sha256: Option<Sha256Digest>,
}

/// A warning: `name` is of another release or another installation.
pub(super) fn other(name: &str, what: &str, help: &str) -> Diagnostic {
    Diagnostic::warning(Code::OtherInstallation, format!("`{name}`: {what}")).help(help.to_owned())
}

/// A warning, if a trust file is not the one to judge by.
pub(super) fn other_trust(name: &str, found: &[u8], trust: &[u8]) -> Option<Diagnostic> {
    if found == trust {
        return None;
    }
    let version = |bytes| Trust::parse(bytes).map_or(0, |trust| trust.document().version);
    let (theirs, ours) = (version(found), version(trust));
    Some(other(
        name,
        &format!("its trust file (version {theirs}) is not the one of `--trust` (version {ours})"),
        "write it anew with `nodebpf install --trust`, or judge by the file that is in it",
    ))
}
