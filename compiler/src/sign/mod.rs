//! Sign: statements and trust documents.
//!
//! In:   exact bytes and [`Signer`]s. Out: signatures by key id, bundles, chains of trust documents.
//! May fail with: `NB06xx`.

pub mod carrier;
pub mod chain;
pub mod claims;
pub mod edit;
pub mod image;
pub mod key;
pub mod pending;
pub mod piece;
pub mod store;

use nodeplan::sorted::SortedMap;

use nodeplan::{
    bundle::{self, Parts},
    digest::Sha256Digest,
    key::{KeyId, PublicKey},
};

/// Something that signs: a key in a file; later also PKCS#11 and key management services.
pub trait Signer {
    /// The key that checks.
    fn public(&self) -> &PublicKey;

    /// DER signature over `message`. Equal messages give equal signatures.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// The bundle of `statement` and `objects`, signed by all of `signers`.
pub fn bundle(statement: &[u8], objects: &SortedMap<Sha256Digest, Vec<u8>>, signers: &[&dyn Signer]) -> Parts {
    let message = bundle::to_sign(statement);
    Parts { statement: statement.to_vec(), signatures: signatures(&message, signers), objects: objects.clone() }
}

pub(crate) fn signatures(message: &[u8], signers: &[&dyn Signer]) -> SortedMap<KeyId, Vec<u8>> {
    signers.iter().map(|signer| (signer.public().id(), signer.sign(message))).collect()
}
