//! The trust file: who may sign for which streams, hooks and priorities on the nodes that hold it.
//!
//! `trust.json` is a chain of DSSE envelopes, oldest first, each with one [`TrustDocument`]. A document with root keys
//! must be signed by a threshold of them and by a threshold of its predecessor's: a node that knows version `n` can
//! walk to `n+5` by itself. The newest document rules.

use crate::sorted::{SortedMap, SortedSet};
use base64ct::{Base64, Encoding};
use serde::Serialize;

use crate::{
    digest::Sha256Digest,
    dsse,
    hook::{Attachment, Hook},
    json::{self, Decode, JsonError},
    key::{KeyId, PublicKey},
    limits,
    name::{Audience, IfGlob, OwnerName, ProgramName, StreamGlob, StreamName},
    plan::{FailurePolicy, FormatVersion, NodePlan, Revision},
    priority::{Band, Priority},
    selector::{Overlap as Meets, Selector, Target},
};

/// The highest trust format that this build writes and reads.
pub const TRUST_FORMAT: FormatVersion = FormatVersion { major: 1, minor: 1 };

/// XDP with a band; [`TrustDocument::lowest_format`] tells who needs more.
const TRUST_FORMAT_1_0: FormatVersion = FormatVersion { major: 1, minor: 0 };

/// Seconds that a node's kubelet waits for required streams, unless the document says another number.
pub const HOLD_SECONDS: u16 = 300;

/// Most seconds that it may wait: a node that comes up an hour late has not been lost.
pub const HOLD_SECONDS_MAX: u16 = 3600;

/// Keys of which a number must have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySet {
    /// Public keys, each once.
    pub keys: Vec<PublicKey>,
    /// Distinct keys that must have signed; from 1 to the number of keys.
    pub threshold: usize,
}

/// What one owner may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerTrust {
    /// Who signs for the owner.
    pub signers: KeySet,
    /// Stream names that belong to the owner.
    pub streams: Vec<StreamGlob>,
    /// Hooks the owner may use; an absent hook is forbidden.
    pub hooks: SortedMap<Hook, HookRule>,
    /// Whether the owner's streams may hold back kubelet.
    #[serde(skip_serializing_if = "is_false")]
    pub may_close: bool,
    /// Bounds of the owner's streams.
    #[serde(skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_hold_default(value: &u16) -> bool {
    *value == HOLD_SECONDS
}

/// What an owner may do on one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRule {
    /// Priorities that belong to the owner; on hooks that have priorities, and only there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<Band>,
}

/// Bounds of each stream of an owner. What is absent is bounded by nodebpf's own limits only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Most programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programs: Option<u32>,
    /// Most memory of all maps, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_bytes: Option<u64>,
}

impl Limits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One version of the trust of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustDocument {
    /// Version of this structure.
    pub format: FormatVersion,
    /// Rises with every change.
    pub version: u64,
    /// What these nodes are; bundles name one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Audience>,
    /// Who may write the next version. Absent: whoever may write the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<KeySet>,
    /// Owners by name.
    pub owners: SortedMap<OwnerName, OwnerTrust>,
    /// Interfaces that no stream may name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved_interfaces: Vec<IfGlob>,
    /// Streams for which kubelet waits on nodes that have their bundle. Each belongs to an owner that may close.
    #[serde(skip_serializing_if = "SortedSet::is_empty")]
    pub required_streams: SortedSet<StreamName>,
    /// Most seconds that it waits for them; from 1 to [`HOLD_SECONDS_MAX`].
    #[serde(skip_serializing_if = "is_hold_default")]
    pub hold_seconds: u16,
    /// Revisions below these are refused.
    #[serde(skip_serializing_if = "SortedMap::is_empty")]
    pub floors: SortedMap<StreamName, Revision>,
    /// Keys that count no more, wherever they are listed.
    #[serde(skip_serializing_if = "SortedSet::is_empty")]
    pub revoked_keys: SortedSet<KeyId>,
    /// Statements that are refused, by SHA-256.
    #[serde(skip_serializing_if = "SortedSet::is_empty")]
    pub revoked_bundles: SortedSet<Sha256Digest>,
}

/// Where a trust document's authority comes from; shown by `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Anchor {
    /// Signed by root keys that its chain began with.
    RootSigned,
    /// No root keys: as good as the channel it came by.
    CoDelivered,
}

/// A trust document whose chain was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    document: TrustDocument,
    anchor: Anchor,
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
    /// The same content in another spelling: no bit of the file is outside the check.
    #[error("the file differs from its canonical encoding; write it with `nodebpf trust build`")]
    NotCanonical,
    /// A rule about the document's content.
    #[error("{0}")]
    Document(#[from] DocumentError),
}

/// What is wrong inside a trust document.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A threshold that cannot be met or asks for nothing.
    #[error("the threshold of {whose} is {threshold}, with {keys} distinct keys; it must be from 1 to their number")]
    Threshold {
        /// Owner, or the roots.
        whose: String,
        /// Threshold found.
        threshold: usize,
        /// Distinct keys.
        keys: usize,
    },
    /// A key that stands twice in a set.
    #[error("{whose} lists key {key} twice")]
    KeyTwice {
        /// Owner, or the roots.
        whose: String,
        /// The key.
        key: KeyId,
    },
    /// Two owners could claim one stream.
    #[error("streams `{a}` of {owner_a} and `{b}` of {owner_b} overlap")]
    Overlap {
        /// Owner.
        owner_a: OwnerName,
        /// Glob.
        a: String,
        /// Other owner.
        owner_b: OwnerName,
        /// Its glob.
        b: String,
    },
    /// A band where there are no priorities, or none where there are.
    #[error("owner {owner}: hook {hook} {}", if hook.has_priority() { "needs a band" } else { "has no priorities and takes no band" })]
    Band {
        /// Owner.
        owner: OwnerName,
        /// Hook.
        hook: Hook,
    },
    /// A required stream that is nobody's.
    #[error("required stream `{0}` belongs to no owner")]
    RequiredStranger(StreamName),
    /// A required stream of an owner that may not hold back kubelet.
    #[error("stream `{stream}` is required, but its owner {owner} may not hold back kubelet (`mayClose`)")]
    RequiredOpen {
        /// Stream.
        stream: StreamName,
        /// Its owner.
        owner: OwnerName,
    },
    /// A wait that is none, or without end.
    #[error("`holdSeconds` is {0}; it must be from 1 to {HOLD_SECONDS_MAX}")]
    HoldSeconds(u16),
    /// More than the format it says can express.
    #[error("format is {found}, but the document needs {needed}")]
    FormatTooLow {
        /// Format found.
        found: FormatVersion,
        /// Lowest format that has all of it.
        needed: FormatVersion,
    },
}

#[derive(Serialize)]
struct WireChain {
    chain: Vec<Envelope>,
}

/// One DSSE envelope: a trust document's exact bytes and signatures over them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, Serialize)]
struct EnvelopeSignature {
    keyid: KeyId,
    sig: String,
}

impl KeySet {
    fn check(&self, whose: &str) -> Result<(), DocumentError> {
        let mut seen = SortedSet::new();
        for key in &self.keys {
            if !seen.insert(key.id()) {
                return Err(DocumentError::KeyTwice { whose: whose.to_owned(), key: key.id() });
            }
        }
        if self.threshold == 0 || self.threshold > self.keys.len() {
            return Err(DocumentError::Threshold {
                whose: whose.to_owned(),
                threshold: self.threshold,
                keys: self.keys.len(),
            });
        }
        Ok(())
    }
}

impl TrustDocument {
    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), DocumentError> {
        if let Some(roots) = &self.roots {
            roots.check("the roots")?;
        }
        for (name, owner) in &self.owners {
            owner.signers.check(&format!("owner {name}"))?;
            for (hook, rule) in &owner.hooks {
                if hook.has_priority() != rule.band.is_some() {
                    return Err(DocumentError::Band { owner: name.clone(), hook: *hook });
                }
            }
        }
        for stream in &self.required_streams {
            let (owner, rules) =
                self.owner_of(stream).ok_or_else(|| DocumentError::RequiredStranger(stream.clone()))?;
            if !rules.may_close {
                return Err(DocumentError::RequiredOpen { stream: stream.clone(), owner: owner.clone() });
            }
        }
        if !(1..=HOLD_SECONDS_MAX).contains(&self.hold_seconds) {
            return Err(DocumentError::HoldSeconds(self.hold_seconds));
        }
        let needed = self.lowest_format();
        if !self.format.reads(needed) {
            return Err(DocumentError::FormatTooLow { found: self.format, needed });
        }
        for (owner_a, a) in &self.owners {
            for (owner_b, b) in self.owners.iter().filter(|(name, _)| *name > owner_a) {
                for (a, b) in a.streams.iter().flat_map(|a| b.streams.iter().map(move |b| (a, b))) {
                    if crate::glob::overlap(a.as_str(), b.as_str()) {
                        return Err(DocumentError::Overlap {
                            owner_a: owner_a.clone(),
                            a: a.to_string(),
                            owner_b: owner_b.clone(),
                            b: b.to_string(),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// The owner to whom `stream` belongs, and what it may do. Globs of two owners never meet.
    pub fn owner_of(&self, stream: &StreamName) -> Option<(&OwnerName, &OwnerTrust)> {
        self.owners.iter().find(|(_, owner)| owner.streams.iter().any(|glob| glob.matches(stream)))
    }

    /// The lowest format that has everything this document says.
    pub fn lowest_format(&self) -> FormatVersion {
        let old = |owner: &OwnerTrust| {
            owner.hooks.keys().all(|hook| *hook == Hook::Xdp) && !owner.may_close && owner.limits.is_empty()
        };
        let first = self.reserved_interfaces.is_empty()
            && self.required_streams.is_empty()
            && self.hold_seconds == HOLD_SECONDS
            && self.owners.values().all(old);
        if first { TRUST_FORMAT_1_0 } else { TRUST_FORMAT }
    }

    /// Exact payload bytes of this document.
    pub fn encode(&self) -> Vec<u8> {
        json::to_bytes(self)
    }

    /// The key `id` of any owner, unless revoked.
    pub fn signing_key(&self, id: KeyId) -> Option<&PublicKey> {
        if self.revoked_keys.contains(&id) {
            return None;
        }
        self.owners.values().flat_map(|owner| &owner.signers.keys).find(|key| key.id() == id)
    }

    /// Whether `plan`, signed by `signers`, may run on a node that holds this document.
    pub fn authorize(&self, plan: &NodePlan, signers: &SortedSet<KeyId>) -> Result<(), PolicyRefusal> {
        let owner = self.owners.get(&plan.owner).ok_or_else(|| PolicyRefusal::Owner(plan.owner.clone()))?;
        let valid = owner
            .signers
            .keys
            .iter()
            .filter(|key| signers.contains(&key.id()) && !self.revoked_keys.contains(&key.id()))
            .count();
        if valid < owner.signers.threshold {
            let threshold = owner.signers.threshold;
            return Err(PolicyRefusal::Signers { owner: plan.owner.clone(), valid, threshold });
        }
        if !owner.streams.iter().any(|glob| glob.matches(&plan.stream)) {
            return Err(PolicyRefusal::Stream { owner: plan.owner.clone(), stream: plan.stream.clone() });
        }
        if plan.failure_policy == FailurePolicy::Closed && !owner.may_close {
            return Err(PolicyRefusal::Closed(plan.owner.clone()));
        }
        if let Some(max) = owner.limits.programs.filter(|max| plan.programs.len() > *max as usize) {
            return Err(PolicyRefusal::Programs { owner: plan.owner.clone(), count: plan.programs.len(), max });
        }
        for program in &plan.programs {
            for attachment in &program.attach {
                self.authorize_attachment(&plan.owner, owner, &program.name, attachment)?;
            }
        }
        self.check_audience(plan)
    }

    fn authorize_attachment(
        &self,
        name: &OwnerName,
        owner: &OwnerTrust,
        program: &ProgramName,
        attachment: &Attachment,
    ) -> Result<(), PolicyRefusal> {
        let hook = attachment.hook();
        let Some(rule) = owner.hooks.get(&hook) else {
            return Err(PolicyRefusal::Hook { owner: name.clone(), hook });
        };
        if let (Some(priority), Some(band)) = (attachment.priority(), rule.band)
            && !band.contains(priority)
        {
            return Err(PolicyRefusal::Band { program: program.clone(), priority, owner: name.clone(), band });
        }
        for selector in attachment.interfaces() {
            if let Some(reserved) = self.reserved(selector) {
                let (selector, reserved) = (selector.to_string(), reserved.clone());
                return Err(PolicyRefusal::Reserved { program: program.clone(), selector, reserved });
            }
        }
        Ok(())
    }

    /// The reserved interfaces that `selector` names. Other selectors than names are judged on the node, where their
    /// interfaces are known.
    fn reserved(&self, selector: &Selector) -> Option<&IfGlob> {
        let Target::Name(_) = &selector.target else { return None };
        self.reserved_interfaces
            .iter()
            .find(|reserved| selector.overlap(&Selector::name((*reserved).clone())) == Meets::Perhaps)
    }

    fn check_audience(&self, plan: &NodePlan) -> Result<(), PolicyRefusal> {
        let meets = plan.audience.iter().any(|audience| self.audiences.contains(audience));
        if meets || (plan.audience.is_empty() && self.audiences.is_empty()) {
            return Ok(());
        }
        let list = |items: &[Audience]| match items {
            [] => "none".to_owned(),
            items => crate::text::join(&mut items.iter().map(Audience::as_str), ", "),
        };
        Err(PolicyRefusal::Audience { bundle: list(&plan.audience), node: list(&self.audiences) })
    }
}

/// Which rule of the trust document a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// Nobody of that name.
    #[error("owner `{0}` is not in the trust file")]
    Owner(OwnerName),
    /// Too few of the owner's keys have signed.
    #[error("{valid} keys of owner `{owner}` have signed; {threshold} are needed")]
    Signers {
        /// Owner.
        owner: OwnerName,
        /// Found.
        valid: usize,
        /// Needed.
        threshold: usize,
    },
    /// A stream name of somebody else.
    #[error("stream `{stream}` does not belong to owner `{owner}`")]
    Stream {
        /// Owner.
        owner: OwnerName,
        /// Stream.
        stream: StreamName,
    },
    /// A hook that the owner may not use.
    #[error("owner `{owner}` may not use hook `{hook}`")]
    Hook {
        /// Owner.
        owner: OwnerName,
        /// Hook.
        hook: Hook,
    },
    /// An interface that nobody may use.
    #[error("program `{program}` selects `{selector}`, and `{reserved}` is reserved")]
    Reserved {
        /// Program.
        program: ProgramName,
        /// Its selector.
        selector: String,
        /// Reserved names.
        reserved: IfGlob,
    },
    /// Kubelet may not be held back.
    #[error("owner `{0}` may not use `failurePolicy: closed`")]
    Closed(OwnerName),
    /// Too many programs.
    #[error("the stream has {count} programs; owner `{owner}` may have {max}")]
    Programs {
        /// Owner.
        owner: OwnerName,
        /// Found.
        count: usize,
        /// Allowed.
        max: u32,
    },
    /// A priority of somebody else.
    #[error("program `{program}` has priority {priority}; owner `{owner}` has {band}")]
    Band {
        /// Program.
        program: ProgramName,
        /// Found.
        priority: Priority,
        /// Owner.
        owner: OwnerName,
        /// Allowed.
        band: Band,
    },
    /// Meant for other nodes.
    #[error("the bundle is for audience {bundle}; this node's audience is {node}")]
    Audience {
        /// Of the bundle.
        bundle: String,
        /// Of the node.
        node: String,
    },
}

impl Envelope {
    /// Envelope of `document` with signatures over its PAE ([`Envelope::to_sign`]), sorted by key id.
    pub fn new(document: &TrustDocument, signatures: &SortedMap<KeyId, Vec<u8>>) -> Self {
        let signatures = signatures
            .iter()
            .map(|(keyid, sig)| EnvelopeSignature { keyid: *keyid, sig: Base64::encode_string(sig) })
            .collect();
        Self {
            payload_type: dsse::TRUST_TYPE.to_owned(),
            payload: Base64::encode_string(&document.encode()),
            signatures,
        }
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
                let bytes = Base64::decode_vec(&signature.sig).map_err(|_| TrustError::Base64)?;
                Ok((signature.keyid, bytes))
            })
            .collect()
    }

    /// This envelope with a signature of `key`, instead of one that it had of that key.
    #[must_use]
    pub fn with_signature(mut self, key: KeyId, signature: &[u8]) -> Self {
        self.signatures.retain(|old| old.keyid != key);
        self.signatures.push(EnvelopeSignature { keyid: key, sig: Base64::encode_string(signature) });
        self.signatures.sort_by_key(|signature| signature.keyid);
        self
    }

    /// The document inside and the bytes that its root keys sign. Nothing is believed: for tools that show or sign.
    pub fn open(&self) -> Result<(TrustDocument, Vec<u8>), TrustError> {
        if self.payload_type != dsse::TRUST_TYPE {
            return Err(TrustError::PayloadType(self.payload_type.clone()));
        }
        let payload = Base64::decode_vec(&self.payload).map_err(|_| TrustError::Base64)?;
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

    fn count_valid(&self, message: &[u8], keys: &KeySet) -> Result<usize, TrustError> {
        let mut valid = SortedSet::new();
        for signature in &self.signatures {
            let bytes = Base64::decode_vec(&signature.sig).map_err(|_| TrustError::Base64)?;
            let key = keys.keys.iter().find(|key| key.id() == signature.keyid);
            if key.is_some_and(|key| key.verify(message, &bytes).is_ok()) {
                valid.insert(signature.keyid);
            }
        }
        Ok(valid.len())
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
                if previous.roots.is_some() && document.roots.is_none() {
                    return Err(TrustError::RootsDropped(document.version));
                }
            }
            for judge in newest.iter().chain([&document]) {
                let Some(roots) = &judge.roots else { continue };
                let valid = envelope.count_valid(&message, roots)?;
                if valid < roots.threshold {
                    let (version, of) = (document.version, judge.version);
                    return Err(TrustError::Threshold { version, of, valid, threshold: roots.threshold });
                }
            }
            newest = Some(document);
        }
        let document = newest.ok_or(TrustError::Empty)?;
        if encode_chain(wire.chain) != bytes {
            return Err(TrustError::NotCanonical);
        }
        let anchor = if document.roots.is_some() { Anchor::RootSigned } else { Anchor::CoDelivered };
        Ok(Self { document, anchor })
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

json::decode_struct!(KeySet { keys: "keys", threshold: "threshold" });
json::decode_struct!(OwnerTrust {
    signers: "signers",
    streams: "streams",
    hooks: "hooks",
    may_close: "mayClose",
    limits: "limits",
});
json::decode_struct!(HookRule { band: "band" });

impl Decode for Limits {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        let fields = problem.fields(value, &["programs", "mapBytes"])?;
        Some(Self { programs: problem.take(fields, "programs")?, map_bytes: problem.take(fields, "mapBytes")? })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}
json::decode_words!(Anchor { "rootSigned": RootSigned, "coDelivered": CoDelivered });
json::decode_struct!(WireChain { chain: "chain" });
json::decode_struct!(Envelope { payload_type: "payloadType", payload: "payload", signatures: "signatures" });
json::decode_struct!(EnvelopeSignature { keyid: "keyid", sig: "sig" });
json::decode_struct!(TrustDocument {
    format: "format",
    version: "version",
    audiences: "audiences",
    roots: "roots",
    owners: "owners",
    reserved_interfaces: "reservedInterfaces",
    required_streams: "requiredStreams",
    hold_seconds: "holdSeconds" or HOLD_SECONDS,
    floors: "floors",
    revoked_keys: "revokedKeys",
    revoked_bundles: "revokedBundles",
});

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
