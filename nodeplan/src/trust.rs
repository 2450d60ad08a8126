//! The trust file: who may sign for which streams, hooks and priorities on the nodes that hold it.
//!
//! This file is one version of it, the [`TrustDocument`], and what must hold inside it. `chain` is the file of all
//! versions and their root signatures, `follow` whether one file goes on from another, `authorize` what a document
//! says about a plan.

mod authorize;
mod chain;
mod follow;

pub use authorize::PolicyRefusal;
pub use chain::{Anchor, Envelope, Trust, TrustError, decode_chain, encode_chain};

use serde::Serialize;

use crate::{
    digest::Sha256Digest,
    hook::Hook,
    json::{self, Decode},
    key::{KeyId, PublicKey},
    name::{Audience, IfGlob, OwnerName, StreamGlob, StreamName},
    plan::{FormatVersion, Revision},
    priority::Band,
    sorted::{SortedMap, SortedSet},
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
    /// Root keys of which too many are revoked: nobody could make the next version.
    #[error("{revoked} of the root keys are revoked, and {threshold} of the others must sign; there are {left}")]
    RootsRevoked {
        /// Root keys that are revoked.
        revoked: usize,
        /// Root keys that are not.
        left: usize,
        /// Signatures needed.
        threshold: usize,
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
            let left = roots.keys.iter().filter(|key| !self.revoked_keys.contains(&key.id())).count();
            if left < roots.threshold {
                let (revoked, threshold) = (roots.keys.len() - left, roots.threshold);
                return Err(DocumentError::RootsRevoked { revoked, left, threshold });
            }
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
        let programs = problem.take(&fields, "programs")?;
        let map_bytes = problem.take(&fields, "mapBytes")?;
        problem.close(&fields);
        Some(Self { programs, map_bytes })
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}
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
mod tests;
