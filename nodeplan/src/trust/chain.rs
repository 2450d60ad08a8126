//! Chain: `trust.json` as a file, all versions of a fleet's trust with their root signatures.
//!
//! In: its bytes. Out: [`Trust`], the newest document, its chain checked. Fails with [`TrustError`].
//!
//! `trust.json` is a chain of DSSE envelopes, oldest first, each with one [`TrustDocument`]. A document with root keys
//! must be signed by a threshold of them and by a threshold of its predecessor's: a node that knows version `n` can
//! walk to `n+5` by itself. The newest document rules.

use serde::Serialize;

use super::{DocumentError, KeySet, TRUST_FORMAT, TrustDocument};
use crate::{
    base64, dsse,
    json::{self, Decode, JsonError},
    key::KeyId,
    limits,
    plan::FormatVersion,
    sorted::{SortedMap, SortedSet},
};

/// Where a trust document's authority comes from; shown by `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Anchor {
    /// Signed by root keys that its chain began with.
    RootSigned,
    /// No root keys: as good as the channel it came by.
    CoDelivered,
}

impl Anchor {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootSigned => "rootSigned",
            Self::CoDelivered => "coDelivered",
        }
    }
}

/// A trust document whose chain was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    pub(super) document: TrustDocument,
    anchor: Anchor,
    /// Its versions, oldest first, as they were signed.
    pub(super) chain: Vec<Envelope>,
}

/// Why bytes are not a trust file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not the shape of a trust file.
    #[error("{0}")]
    Json(#[from] json::JsonError),
    /// No document at all.
    #[error("the chain is empty")]
    Empty,
    /// An envelope of something else.
    #[error("`payloadType` is `{0}`; it must be `{want}`", want = dsse::TRUST_TYPE)]
    PayloadType(String),
    /// Payload or signature is not base64.
    #[error("`payload` or `sig` is not standard base64")]
    Base64,
    /// Made for a newer build.
    #[error("format is {0}; this build reads {TRUST_FORMAT}")]
    Format(FormatVersion),
    /// One key id with two signatures.
    #[error("key {0} has signed one version twice")]
    SignedTwice(KeyId),
    /// Versions must rise along the chain.
    #[error("version {next} follows version {previous}; versions must rise")]
    Order {
        /// Version before.
        previous: u64,
        /// Version found.
        next: u64,
    },
    /// Not enough root signatures.
    #[error("version {version} has {valid} valid signatures of the root keys of version {of}; {threshold} are needed")]
    Threshold {
        /// Version that lacks signatures.
        version: u64,
        /// Version whose roots were counted.
        of: u64,
        /// Signatures found.
        valid: usize,
        /// Signatures needed.
        threshold: usize,
    },
    /// Root keys cannot be given up once a chain has them.
    #[error("version {0} drops the root keys of its predecessor")]
    RootsDropped(u64),
    /// Two histories.
    #[error("version {0} has other content than the version {0} that this node knows")]
    Fork(u64),
    /// The same content in another spelling: no bit of the file is outside the check.
    #[error("the file differs from its canonical encoding; write it with `nodebpf trust build`")]
    NotCanonical,
    /// A rule about the document's content.
    #[error("{0}")]
    Document(#[from] DocumentError),
}

#[derive(Serialize)]
struct WireChain {
    chain: Vec<Envelope>,
}

/// One DSSE envelope: a trust document's exact bytes and signatures over them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    pub(super) payload_type: String,
    pub(super) payload: String,
    pub(super) signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct EnvelopeSignature {
    pub(super) keyid: KeyId,
    pub(super) sig: String,
}

impl Envelope {
    /// Envelope of `document` with signatures over its PAE ([`Envelope::to_sign`]), sorted by key id.
    pub fn new(document: &TrustDocument, signatures: &SortedMap<KeyId, Vec<u8>>) -> Self {
        let signatures = signatures
            .iter()
            .map(|(keyid, sig)| EnvelopeSignature { keyid: *keyid, sig: base64::encode(sig) })
            .collect();
        Self { payload_type: dsse::TRUST_TYPE.to_owned(), payload: base64::encode(&document.encode()), signatures }
    }

    /// Bytes that root keys sign for `document`.
    pub fn to_sign(document: &TrustDocument) -> Vec<u8> {
        dsse::pae(dsse::TRUST_TYPE, &document.encode())
    }

    /// Signatures by key id, unchecked.
    pub fn signatures(&self) -> Result<SortedMap<KeyId, Vec<u8>>, TrustError> {
        self.signatures
            .iter()
            .map(|signature| {
                let bytes = base64::decode(&signature.sig).ok_or(TrustError::Base64)?;
                Ok((signature.keyid, bytes))
            })
            .collect()
    }

    /// This envelope with a signature of `key`, instead of one that it had of that key.
    #[must_use]
    pub fn with_signature(mut self, key: KeyId, signature: &[u8]) -> Self {
        self.signatures.retain(|old| old.keyid != key);
        self.signatures.push(EnvelopeSignature { keyid: key, sig: base64::encode(signature) });
        self.signatures.sort_by_key(|signature| signature.keyid);
        self
    }

    /// The document inside and the bytes that its root keys sign. Nothing is believed: for tools that show or sign.
    pub fn open(&self) -> Result<(TrustDocument, Vec<u8>), TrustError> {
        if self.payload_type != dsse::TRUST_TYPE {
            return Err(TrustError::PayloadType(self.payload_type.clone()));
        }
        // Before any is checked: each costs time.
        let mut ids = SortedSet::new();
        if let Some(twice) = self.signatures.iter().find(|signature| !ids.insert(signature.keyid)) {
            return Err(TrustError::SignedTwice(twice.keyid));
        }
        let payload = base64::decode(&self.payload).ok_or(TrustError::Base64)?;
        let value = json::parse_value(&payload, limits::TRUST_MAX_BYTES)?;
        let format = value.get("format").cloned();
        let format = FormatVersion::decode(format.ok_or_else(|| JsonError::Shape("no `format`".to_owned()))?)?;
        if !TRUST_FORMAT.reads(format) {
            return Err(TrustError::Format(format));
        }
        let document = TrustDocument::decode(value)?;
        document.check()?;
        Ok((document, dsse::pae(dsse::TRUST_TYPE, &payload)))
    }

    /// Whether this version, `document`, may come behind `before`: it keeps root keys, and `before`'s have signed it.
    pub(super) fn follows(
        &self,
        document: &TrustDocument,
        message: &[u8],
        before: &TrustDocument,
    ) -> Result<(), TrustError> {
        if before.roots.is_some() && document.roots.is_none() {
            return Err(TrustError::RootsDropped(document.version));
        }
        self.signed_by(document, message, before)
    }

    /// Whether the root keys of `judge`, if it has any, have signed this version, `document`.
    fn signed_by(&self, document: &TrustDocument, message: &[u8], judge: &TrustDocument) -> Result<(), TrustError> {
        let Some(roots) = &judge.roots else { return Ok(()) };
        let valid = self.count_valid(message, roots, &judge.revoked_keys)?;
        if valid < roots.threshold {
            let (version, of) = (document.version, judge.version);
            return Err(TrustError::Threshold { version, of, valid, threshold: roots.threshold });
        }
        Ok(())
    }

    fn count_valid(&self, message: &[u8], keys: &KeySet, revoked: &SortedSet<KeyId>) -> Result<usize, TrustError> {
        let mut valid = 0;
        for signature in &self.signatures {
            let bytes = base64::decode(&signature.sig).ok_or(TrustError::Base64)?;
            let id = signature.keyid;
            let key = keys.keys.iter().find(|key| key.id() == id && !revoked.contains(&id));
            // Each key once: `open` has refused an id that stands twice.
            valid += usize::from(key.is_some_and(|key| key.verify(message, &bytes).is_ok()));
        }
        Ok(valid)
    }
}

/// Bytes of a `trust.json` with `chain`, oldest first.
pub fn encode_chain(chain: Vec<Envelope>) -> Vec<u8> {
    let mut bytes = json::to_bytes(&WireChain { chain });
    bytes.push(b'\n');
    bytes
}

/// The envelopes of a `trust.json`, oldest first, unchecked: what a new version is appended to.
pub fn decode_chain(bytes: &[u8]) -> Result<Vec<Envelope>, TrustError> {
    let wire: WireChain = json::parse(bytes, limits::TRUST_MAX_BYTES)?;
    Ok(wire.chain)
}

impl Trust {
    /// Reads a `trust.json` and checks its chain.
    pub fn parse(bytes: &[u8]) -> Result<Self, TrustError> {
        let wire: WireChain = json::parse(bytes, limits::TRUST_MAX_BYTES)?;
        let mut newest: Option<TrustDocument> = None;
        for envelope in &wire.chain {
            // The payload is parsed before its signature is checked because the first document's keys are inside it;
            // nothing of it is used unless the check below passes.
            let (document, message) = envelope.open()?;
            if let Some(previous) = &newest {
                if document.version <= previous.version {
                    return Err(TrustError::Order { previous: previous.version, next: document.version });
                }
                envelope.follows(&document, &message, previous)?;
            }
            envelope.signed_by(&document, &message, &document)?;
            newest = Some(document);
        }
        let document = newest.ok_or(TrustError::Empty)?;
        let chain = wire.chain.clone();
        if encode_chain(wire.chain) != bytes {
            return Err(TrustError::NotCanonical);
        }
        let anchor = if document.roots.is_some() { Anchor::RootSigned } else { Anchor::CoDelivered };
        Ok(Self { document, anchor, chain })
    }

    /// The newest document.
    pub fn document(&self) -> &TrustDocument {
        &self.document
    }

    /// Where its authority comes from.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }
}

json::decode_words!(Anchor { "rootSigned": RootSigned, "coDelivered": CoDelivered });
json::decode_struct!(WireChain { chain: "chain" });
json::decode_struct!(Envelope { payload_type: "payloadType", payload: "payload", signatures: "signatures" });
json::decode_struct!(EnvelopeSignature { keyid: "keyid", sig: "sig" });
