//! The chain of trust documents: the next version, signed by old and new roots.
//!
//! In:   the new document, the file it replaces, root keys. Out: bytes of `trust.json`.
//! May fail with: NB0605 (old file), NB0607 (root keys), NB0608 (version), NB0609 (no roots; a warning).

use nodeplan::{
    key::KeyId,
    sorted::SortedSet,
    trust::{Envelope, KeySet, Trust, TrustDocument, decode_chain, encode_chain},
};

use super::{Signer, pending::Pending, signatures};
use crate::diag::{Code, Diagnostic, Diagnostics};

/// Bytes of the trust file that follows `old` with `document`; `None` if an error was reported.
pub fn extend(
    document: &TrustDocument,
    old: Option<&[u8]>,
    root_keys: &[&dyn Signer],
    diags: &mut Diagnostics,
) -> Option<Vec<u8>> {
    let chain = longer(document, old, root_keys, true, diags)?;
    let bytes = encode_chain(chain);
    if let Err(error) = Trust::parse(&bytes) {
        diags.push(Diagnostic::error(Code::BadTrust, format!("the new trust file would be refused: {error}")));
        return None;
    }
    Some(bytes)
}

/// Like [`extend`], for a version that may lack signatures of root keys.
pub fn begin(
    document: &TrustDocument,
    old: Option<&[u8]>,
    root_keys: &[&dyn Signer],
    diags: &mut Diagnostics,
) -> Option<Pending> {
    let mut chain = longer(document, old, root_keys, false, diags)?;
    let newest = chain.pop()?;
    Pending::new(chain, newest)
        .map_err(|error| {
            diags.push(Diagnostic::error(Code::BadTrust, format!("the new trust file would be refused: {error}")));
        })
        .ok()
}

/// The chain of `old` and `document`, signed by `root_keys`; by enough of them, if `all` must have signed.
fn longer(
    document: &TrustDocument,
    old: Option<&[u8]>,
    root_keys: &[&dyn Signer],
    all: bool,
    diags: &mut Diagnostics,
) -> Option<Vec<Envelope>> {
    let before = diags.error_count();
    let old = match old {
        Some(bytes) => Some((read_old(bytes, diags)?, bytes)),
        None => None,
    };
    if let Some((trust, bytes)) = &old {
        if trust.document() == document {
            // Nothing changed: the file stays as it is, signatures included.
            co_delivered(document, diags);
            return decode_chain(bytes).ok();
        }
        check_version(document, trust.document(), diags);
    }
    // Without roots there is no chain to go on with; what was published counts all the same.
    let old = old.filter(|(trust, _)| trust.document().roots.is_some());
    let previous = old.as_ref().map(|(trust, _)| trust.document());
    check_roots(document, previous, root_keys, all, diags);
    if diags.error_count() > before {
        return None;
    }
    let mut chain = match &old {
        Some((_, bytes)) => decode_chain(bytes).unwrap_or_default(),
        None => Vec::new(),
    };
    chain.push(Envelope::new(document, &signatures(&Envelope::to_sign(document), root_keys)));
    Some(chain)
}

fn read_old(bytes: &[u8], diags: &mut Diagnostics) -> Option<Trust> {
    Trust::parse(bytes)
        .map_err(|error| {
            diags.push(
                Diagnostic::error(Code::BadTrust, format!("the file to be replaced is not a trust file: {error}"))
                    .note("it may be the only copy of the chain, so it is not overwritten")
                    .help("restore it, or move it away to begin a new chain"),
            );
        })
        .ok()
}

/// A node refuses other content at a version that it knows, with root keys and without.
fn check_version(document: &TrustDocument, previous: &TrustDocument, diags: &mut Diagnostics) {
    if document.version > previous.version {
        return;
    }
    let message = format!("version {} does not rise above version {} of the file", document.version, previous.version);
    diags.push(
        Diagnostic::error(Code::VersionOrder, message)
            .note("nodes that know a version refuse an older one, and other content at the same one (NB1113)")
            .help(format!("write `version: {}` in the policy", previous.version.saturating_add(1)))
            .help("or remove the file, if no node ever got it"),
    );
}

fn check_roots(
    document: &TrustDocument,
    previous: Option<&TrustDocument>,
    root_keys: &[&dyn Signer],
    all: bool,
    diags: &mut Diagnostics,
) {
    let ids: SortedSet<KeyId> = root_keys.iter().map(|key| key.public().id()).collect();
    let old_roots = previous.and_then(|previous| previous.roots.as_ref());
    let sets = || old_roots.into_iter().chain(&document.roots);
    for id in &ids {
        if !sets().any(|set| set.keys.iter().any(|key| key.id() == *id)) {
            diags.push(
                Diagnostic::error(Code::RootKeys, format!("key {id} is not one of the root keys"))
                    .help("list its public key in the policy under `spec.roots.keys`, or leave out its `--root-key`"),
            );
        }
    }
    if previous.is_some() && document.roots.is_none() {
        diags.push(
            Diagnostic::error(Code::RootKeys, "the policy has no `roots`, but the trust file has")
                .note("root keys cannot be given up once a chain has them; nodes would refuse the file")
                .help("add `roots` to the policy"),
        );
    }
    let new = document.roots.as_ref().map(|set| (set, document.version));
    let old = old_roots.zip(previous.map(|previous| previous.version));
    for (set, version) in old.into_iter().chain(new).filter(|_| all) {
        enough(set, version, &ids, diags);
    }
    if previous.is_none() {
        co_delivered(document, diags);
    }
}

fn co_delivered(document: &TrustDocument, diags: &mut Diagnostics) {
    if document.roots.is_none() {
        diags.push(
            Diagnostic::warning(Code::CoDelivered, "the policy has no root keys")
                .note("nodes trust the file as far as the channel it came by (co-delivered): who writes it, rules")
                .help("add `roots: {keys: [root.pem]}` to the policy and sign with `--root-key`"),
        );
    }
}

fn enough(set: &KeySet, version: u64, ids: &SortedSet<KeyId>, diags: &mut Diagnostics) {
    let valid = set.keys.iter().filter(|key| ids.contains(&key.id())).count();
    if valid < set.threshold {
        let message = format!("{valid} of the root keys of version {version} are given; {} must sign", set.threshold);
        diags.push(
            Diagnostic::error(Code::RootKeys, message)
                .help("give `--root-key FILE` for each private root key, those of the old version too")
                .help("or `--pending`, and let their holders run `nodebpf trust sign` one after another"),
        );
    }
}
