//! A trust file whose newest version still lacks root signatures: `trust.json.pending`.
//!
//! In:   bytes of such a file. Out: what it lacks; with enough signatures, the bytes of the trust file.
//! May fail with: [`TrustError`].
//!
//! Nodes and all other commands read complete files only. A version that waits lies beside the trust file, so that
//! nothing that ships `trust.json` can ship half a ceremony.

use nodeplan::{
    key::{KeyId, PublicKey},
    sorted::SortedMap,
    trust::{Envelope, KeySet, Trust, TrustDocument, TrustError, decode_chain, encode_chain},
};

/// What is appended to the name of a trust file.
pub const SUFFIX: &str = ".pending";

/// A chain of complete versions, and one more.
#[derive(Clone, Debug)]
pub struct Pending {
    complete: Vec<Envelope>,
    previous: Option<TrustDocument>,
    newest: Envelope,
    document: TrustDocument,
    message: Vec<u8>,
}

/// One set of root keys that judges the newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Version whose roots these are.
    pub version: u64,
    /// Signatures needed.
    pub threshold: usize,
    /// Keys whose signatures are good.
    pub signed: Vec<KeyId>,
    /// Keys that have not signed.
    pub missing: Vec<KeyId>,
}

impl Standing {
    /// Whether enough have signed.
    pub fn is_met(&self) -> bool {
        self.signed.len() >= self.threshold
    }
}

impl Pending {
    /// Reads a chain whose newest version may lack signatures. All before it must be complete.
    pub fn read(bytes: &[u8]) -> Result<Self, TrustError> {
        let mut complete = decode_chain(bytes)?;
        let newest = complete.pop().ok_or(TrustError::Empty)?;
        Self::new(complete, newest)
    }

    /// `newest` after `complete`.
    pub fn new(complete: Vec<Envelope>, newest: Envelope) -> Result<Self, TrustError> {
        let previous = if complete.is_empty() {
            None
        } else {
            Some(Trust::parse(&encode_chain(complete.clone()))?.document().clone())
        };
        let (document, message) = newest.open()?;
        if let Some(previous) = previous.as_ref().filter(|previous| previous.version >= document.version) {
            return Err(TrustError::Order { previous: previous.version, next: document.version });
        }
        Ok(Self { complete, previous, newest, document, message })
    }

    /// The version that waits.
    pub fn document(&self) -> &TrustDocument {
        &self.document
    }

    /// The version before it.
    pub fn previous(&self) -> Option<&TrustDocument> {
        self.previous.as_ref()
    }

    /// Bytes of the trust file without the version that waits; `None` if it is the first.
    pub fn before(&self) -> Option<Vec<u8>> {
        (!self.complete.is_empty()).then(|| encode_chain(self.complete.clone()))
    }

    /// Bytes that root keys sign.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    fn sets(&self) -> impl Iterator<Item = (u64, &KeySet)> {
        let old = self.previous.as_ref().and_then(|previous| Some((previous.version, previous.roots.as_ref()?)));
        let new = self.document.roots.as_ref().map(|roots| (self.document.version, roots));
        old.into_iter().chain(new)
    }

    /// How far each set of root keys is: that of the version before, and its own.
    pub fn standing(&self) -> Vec<Standing> {
        let signatures = self.newest.signatures().unwrap_or_default();
        let good = |key: &&PublicKey| {
            signatures.get(&key.id()).is_some_and(|signature| key.verify(&self.message, signature).is_ok())
        };
        let standing = |(version, set): (u64, &KeySet)| {
            let (signed, missing): (Vec<_>, Vec<_>) = set.keys.iter().partition(good);
            let ids = |keys: Vec<&PublicKey>| keys.into_iter().map(PublicKey::id).collect();
            Standing { version, threshold: set.threshold, signed: ids(signed), missing: ids(missing) }
        };
        self.sets().map(standing).collect()
    }

    /// The root key `id`, of either set.
    pub fn root(&self, id: KeyId) -> Option<&PublicKey> {
        self.sets().flat_map(|(_, set)| &set.keys).find(|key| key.id() == id)
    }

    /// Signatures by root keys that are good.
    pub fn signatures(&self) -> SortedMap<KeyId, Vec<u8>> {
        let all = self.newest.signatures().unwrap_or_default();
        all.into_iter().filter(|(id, _)| self.has_signed(*id)).collect()
    }

    /// Whether `key` has signed.
    pub fn has_signed(&self, id: KeyId) -> bool {
        self.standing().iter().any(|standing| standing.signed.contains(&id))
    }

    /// With one more signature.
    #[must_use]
    pub fn with_signature(self, key: KeyId, signature: &[u8]) -> Self {
        Self { newest: self.newest.with_signature(key, signature), ..self }
    }

    /// Whether all sets are met.
    pub fn is_complete(&self) -> bool {
        self.standing().iter().all(Standing::is_met)
    }

    /// Bytes of the file: a trust file, if [`Pending::is_complete`].
    pub fn encode(&self) -> Vec<u8> {
        let mut chain = self.complete.clone();
        chain.push(self.newest.clone());
        encode_chain(chain)
    }
}
