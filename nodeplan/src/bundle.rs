//! The bundle: one file with a statement, the signatures over it and the objects it names.
//!
//! In: bytes of a file. Out: [`Verified`], the only way to a plan and its objects.
//! Order of the archive: `statement.json`, `signatures/<key id>.sig` by key id, `objects/<sha256>.o` by digest.
//!
//! Nothing but the archive itself is parsed before a signature by a trusted key was found good over the exact
//! statement bytes.

use std::rc::Rc;

use crate::{
    archive::{self, ArchiveError, Member},
    digest::Sha256Digest,
    dsse,
    key::KeyId,
    limits,
    plan::{NodePlan, PlanError, Revision},
    report::Code,
    sorted::{SortedMap, SortedSet},
    statement::{self, Accepted, StatementError},
    trust::{PolicyRefusal, TrustDocument},
};

const STATEMENT_MEMBER: &str = "statement.json";

/// What a bundle is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Exact statement bytes.
    pub statement: Vec<u8>,
    /// DER signatures over [`to_sign`] of the statement.
    pub signatures: SortedMap<KeyId, Vec<u8>>,
    /// Objects by digest.
    pub objects: SortedMap<Sha256Digest, Vec<u8>>,
}

/// The bytes that a signature of a bundle covers: the DSSE PAE of the exact statement bytes.
pub fn to_sign(statement: &[u8]) -> Vec<u8> {
    dsse::pae(dsse::STATEMENT_TYPE, statement)
}

impl Parts {
    /// The one encoding of these parts.
    pub fn encode(&self) -> Vec<u8> {
        let signatures: Vec<_> =
            self.signatures.iter().map(|(id, sig)| (format!("signatures/{id}.sig"), sig)).collect();
        let objects: Vec<_> =
            self.objects.iter().map(|(digest, object)| (statement::object_member(digest), object)).collect();
        let mut members = vec![Member { name: STATEMENT_MEMBER, bytes: &self.statement }];
        members.extend(signatures.iter().chain(&objects).map(|(name, bytes)| Member { name, bytes }));
        archive::encode(&members)
    }
}

/// A bundle that was taken apart and not believed: it borrows from the file, and copies nothing that nobody has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified<'a> {
    statement: &'a [u8],
    /// By key id.
    signatures: Vec<(KeyId, &'a [u8])>,
    /// By digest.
    objects: Vec<(Sha256Digest, &'a [u8])>,
}

/// The same after its signatures, digests and rights were checked.
#[derive(Debug)]
pub struct Checked<'a> {
    plan: Accepted,
    statement_digest: Sha256Digest,
    signers: SortedSet<KeyId>,
    objects: Vec<(Sha256Digest, &'a [u8])>,
}

/// A bundle whose signatures, digests and rights were checked, with bytes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    plan: Rc<Accepted>,
    statement_digest: Sha256Digest,
    signers: SortedSet<KeyId>,
    objects: SortedMap<Sha256Digest, Vec<u8>>,
}

/// Why a bundle is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Larger than any sound bundle.
    #[error("has {len} bytes; {max} are allowed")]
    TooLarge {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The archive.
    #[error("the archive {0}")]
    Archive(#[from] ArchiveError),
    /// A member that does not belong there, stands twice or out of order.
    #[error("member `{0}` does not belong there")]
    Member(String),
    /// A part is missing.
    #[error("member `{0}` is missing")]
    Missing(String),
    /// A part is larger than allowed.
    #[error("member `{name}` has {len} bytes; {max} are allowed")]
    MemberTooLarge {
        /// Member.
        name: String,
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// An object's bytes are not those of its name.
    #[error("member `objects/{name}.o` has digest {found}")]
    Digest {
        /// Digest in the name.
        name: Sha256Digest,
        /// Digest of the bytes.
        found: Sha256Digest,
    },
    /// A signature of a key we know that does not fit.
    #[error("the signature of key {0} does not verify")]
    Signature(KeyId),
    /// No signature of any key we know.
    #[error("no signature by a key of the trust file ({0} by others)")]
    NoSigner(usize),
    /// The statement.
    #[error("the statement: {0}")]
    Statement(#[from] StatementError),
    /// The rights of its owner.
    #[error("{0}")]
    Policy(#[from] PolicyRefusal),
    /// This very statement was revoked.
    #[error("statement {0} is revoked")]
    Revoked(Sha256Digest),
    /// Without a key that was revoked, too few have signed.
    #[error("key {0} has signed and is revoked; without it too few have")]
    RevokedKey(KeyId),
    /// Older than the trust file allows.
    #[error("revision {found} is below the floor {floor}")]
    BelowFloor {
        /// Revision found.
        found: Revision,
        /// Lowest allowed.
        floor: Revision,
    },
}

impl Refusal {
    /// The error code under which the loader reports it.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. }
            | Self::Archive(_)
            | Self::Member(_)
            | Self::Missing(_)
            | Self::MemberTooLarge { .. }
            | Self::Digest { .. } => Code::BundleDamaged,
            Self::Signature(_) | Self::NoSigner(_) => Code::Signature,
            Self::Statement(StatementError::Plan(PlanError::Version { .. })) => Code::PlanTooNew,
            Self::Statement(_) => Code::Statement,
            Self::Policy(PolicyRefusal::Audience { .. }) => Code::Audience,
            Self::Policy(_) => Code::Policy,
            Self::Revoked(_) | Self::RevokedKey(_) => Code::Revoked,
            Self::BelowFloor { .. } => Code::BelowFloor,
        }
    }
}

fn sized<'a>(member: &Member<'a>, max: usize) -> Result<&'a [u8], Refusal> {
    if member.bytes.len() > max {
        return Err(Refusal::MemberTooLarge { name: member.name.to_owned(), len: member.bytes.len(), max });
    }
    Ok(member.bytes)
}

impl<'a> Unverified<'a> {
    /// Takes a bundle apart. Refuses anything but the canonical encoding of [`Parts`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::BUNDLE_MAX_BYTES {
            return Err(Refusal::TooLarge { len: bytes.len(), max: limits::BUNDLE_MAX_BYTES });
        }
        let members = archive::decode(bytes, limits::BUNDLE_MAX_MEMBERS)?;
        let (first, rest) = members.split_first().ok_or_else(|| Refusal::Missing(STATEMENT_MEMBER.to_owned()))?;
        if first.name != STATEMENT_MEMBER {
            return Err(Refusal::Member(first.name.to_owned()));
        }
        let statement = sized(first, limits::STATEMENT_MAX_BYTES)?;
        let (mut signatures, mut objects) = (Vec::new(), Vec::new());
        for member in rest {
            // Each once, and sorted, or the same parts would have two encodings.
            let sorted;
            if let Some(id) = stem(member.name, "signatures/", ".sig").and_then(|stem| KeyId::try_from(stem).ok()) {
                sorted = objects.is_empty() && signatures.last().is_none_or(|(last, _)| *last < id);
                signatures.push((id, sized(member, limits::SIGNATURE_MAX_BYTES)?));
            } else if let Some(name) =
                stem(member.name, "objects/", ".o").and_then(|stem| Sha256Digest::try_from(stem).ok())
            {
                sorted = objects.last().is_none_or(|(last, _)| *last < name);
                objects.push((name, sized(member, limits::OBJECT_MAX_BYTES)?));
            } else {
                return Err(Refusal::Member(member.name.to_owned()));
            }
            if !sorted {
                return Err(Refusal::Member("signatures/ and objects/ must be sorted, each once".to_owned()));
            }
        }
        Ok(Self { statement, signatures, objects })
    }

    /// Exact statement bytes.
    pub fn statement(&self) -> &'a [u8] {
        self.statement
    }

    /// A copy of the parts, for tools that show a bundle without believing it.
    pub fn parts(&self) -> Parts {
        Parts {
            statement: self.statement.to_owned(),
            signatures: self.signatures.iter().map(|(id, bytes)| (*id, (*bytes).to_owned())).collect(),
            objects: self.objects.iter().map(|(name, bytes)| (*name, (*bytes).to_owned())).collect(),
        }
    }

    /// The plan that the statement holds, its objects compared with the members. No signature is looked at: for tools
    /// that sign, or show what others have signed.
    pub fn inspect(&self) -> Result<Accepted, Refusal> {
        let plan = Accepted::parse(self.statement.to_owned())?;
        check_objects(&plan, &self.objects)?;
        Ok(plan)
    }

    /// Checks, and keeps what it found.
    pub fn verify(self, trust: &TrustDocument) -> Result<Verified, Refusal> {
        Ok(self.check(trust)?.keep())
    }

    /// Checks signatures, whether the statement is revoked, then the statement, digests and rights, in this order.
    pub fn check(self, trust: &TrustDocument) -> Result<Checked<'a>, Refusal> {
        let Self { statement, signatures, objects } = self;
        let message = to_sign(statement);
        let mut signers = SortedSet::new();
        for (id, signature) in &signatures {
            if let Some(key) = trust.signing_key(*id) {
                key.verify(&message, signature).map_err(|_| Refusal::Signature(*id))?;
                signers.insert(*id);
            }
        }
        // Not checked: its key may not be listed any more. Who puts a false one here could as well take the bundle away.
        let revoked = signatures.iter().map(|(id, _)| id).find(|id| trust.revoked_keys.contains(id));
        let statement_digest = Sha256Digest::of(statement);
        // Also of a key that is not listed any more: who revokes a statement may drop its key with it.
        if trust.revoked_bundles.contains(&statement_digest) {
            return Err(Refusal::Revoked(statement_digest));
        }
        if signers.is_empty() {
            return Err(revoked.map_or(Refusal::NoSigner(signatures.len()), |id| Refusal::RevokedKey(*id)));
        }
        let plan = Accepted::parse(statement.to_owned())?;
        check_objects(&plan, &objects)?;
        trust.authorize(&plan, &signers).map_err(|refusal| match (&refusal, revoked) {
            (PolicyRefusal::Signers { .. }, Some(id)) => Refusal::RevokedKey(*id),
            _ => Refusal::Policy(refusal),
        })?;
        check_floor(trust, &plan)?;
        Ok(Checked { plan, statement_digest, signers, objects })
    }
}

/// Whether `trust` has decided against a statement that was accepted under a former version of it: revoked, below the
/// floor, for another audience. Without its plan only the first can be told. Who had signed it is not looked at.
pub fn check_accepted(trust: &TrustDocument, statement: Sha256Digest, plan: Option<&NodePlan>) -> Result<(), Refusal> {
    if trust.revoked_bundles.contains(&statement) {
        return Err(Refusal::Revoked(statement));
    }
    let Some(plan) = plan else { return Ok(()) };
    trust.check_audience(plan)?;
    check_floor(trust, plan)
}

fn check_floor(trust: &TrustDocument, plan: &NodePlan) -> Result<(), Refusal> {
    match trust.floors.get(&plan.stream) {
        Some(&floor) if plan.revision < floor => Err(Refusal::BelowFloor { found: plan.revision, floor }),
        _ => Ok(()),
    }
}

impl Checked<'_> {
    /// What the stream wants.
    pub fn plan(&self) -> &Accepted {
        &self.plan
    }

    /// Copies what it borrows.
    pub fn keep(self) -> Verified {
        let objects = self.objects.into_iter().map(|(name, bytes)| (name, bytes.to_owned())).collect();
        let Self { plan, statement_digest, signers, .. } = self;
        Verified { plan: Rc::new(plan), statement_digest, signers, objects }
    }
}

fn stem<'a>(name: &'a str, prefix: &str, suffix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_suffix(suffix)
}

/// Members, subjects and the plan's objects are one set, and every object has the digest it is named by.
fn check_objects(plan: &NodePlan, objects: &[(Sha256Digest, &[u8])]) -> Result<(), Refusal> {
    let wanted = plan.objects();
    if let Some(missing) = wanted.iter().find(|digest| objects.iter().all(|(name, _)| name != *digest)) {
        return Err(Refusal::Missing(statement::object_member(missing)));
    }
    if let Some((extra, _)) = objects.iter().find(|(name, _)| !wanted.contains(name)) {
        return Err(Refusal::Member(statement::object_member(extra)));
    }
    for (name, bytes) in objects {
        let found = Sha256Digest::of(bytes);
        if found != *name {
            return Err(Refusal::Digest { name: *name, found });
        }
    }
    Ok(())
}

impl Verified {
    /// What the stream wants.
    pub fn plan(&self) -> &Rc<Accepted> {
        &self.plan
    }

    /// SHA-256 of the statement: the identity of what runs, whoever signed it.
    pub fn statement_digest(&self) -> Sha256Digest {
        self.statement_digest
    }

    /// Trusted keys whose signatures were good.
    pub fn signers(&self) -> &SortedSet<KeyId> {
        &self.signers
    }

    /// Bytes of an object of the plan.
    pub fn object(&self, digest: &Sha256Digest) -> &[u8] {
        self.objects.get(digest).expect("invariant: verify refuses a bundle that lacks an object of its plan")
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
pub(crate) mod tests;
