//! Whether one trust file follows another: what a node asks before it believes a newer one.
//!
//! In: two files whose chains were checked. Out: which is newer. Fails with [`TrustError`]: the two do not belong to
//! one history, or the step between them lacks root signatures.
//!
//! Pure. A chain is only checked against the roots that it brings along; what it must follow is what the node knows.

use std::cmp::Ordering;

use super::{Trust, TrustDocument, TrustError};

impl Trust {
    /// How this file stands to `known`: the same version, a newer one that follows from it, or an older one from which
    /// it follows.
    pub fn stands_to(&self, known: &Self) -> Result<Ordering, TrustError> {
        if self.document.version < known.document.version {
            return known.follows(&self.document).map(|()| Ordering::Less);
        }
        self.follows(&known.document)?;
        Ok(self.document.version.cmp(&known.document.version))
    }

    /// Whether this chain goes on from `known`: has that very version, or a next one that `known`'s roots have signed.
    fn follows(&self, known: &TrustDocument) -> Result<(), TrustError> {
        for envelope in &self.chain {
            let (document, message) = envelope.open()?;
            if document.version < known.version {
                continue;
            }
            if document.version == known.version {
                // What comes behind it in the chain was checked against it when the chain was read.
                return if document == *known { Ok(()) } else { Err(TrustError::Fork(known.version)) };
            }
            return envelope.follows(&document, &message, known);
        }
        // Not reached by `stands_to`, which asks the newer one.
        Err(TrustError::Empty)
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
