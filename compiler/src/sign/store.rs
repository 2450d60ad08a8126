//! Signatures beside a manifest: `signatures/<stream>/<statement digest>/<key id>.sig`, and the statement itself.
//!
//! In:   files of such a folder, the statement, who may sign. Out: signatures that count; earlier statements.
//! May fail with: NB0610 (does not verify), NB0611 (stray file; a warning), NB0612 (key that does not count; a warning).
//!
//! Pure: `cli` reads the folders. Nothing here is believed because of its name: a signature is checked before it is
//! used, a statement is what its digest says.

use base64ct::{Base64, Encoding};
use nodeplan::{
    bundle,
    digest::Sha256Digest,
    key::{KeyId, PublicKey},
    name::OwnerName,
    sorted::SortedMap,
    statement::Accepted,
    trust::TrustDocument,
};
use p256::ecdsa::Signature;

use crate::diag::{Code, Diagnostic, Diagnostics};

/// File with a copy of what was signed.
pub const STATEMENT_FILE: &str = "statement.json";

/// Folder of signatures, beside a manifest.
pub const FOLDER: &str = "signatures";

/// A file of a folder of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Path as messages show it.
    pub path: String,
    /// Name without folders.
    pub name: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Name of the file with the signature of `key`.
pub fn file_name(key: KeyId) -> String {
    format!("{key}.sig")
}

/// The signatures of `files` over `statement` that count for `owner`. All others are reported.
pub fn load(
    files: &[StoredFile],
    statement: &[u8],
    owner: &OwnerName,
    rules: &TrustDocument,
    diags: &mut Diagnostics,
) -> SortedMap<KeyId, Vec<u8>> {
    let message = bundle::to_sign(statement);
    let mut found = SortedMap::new();
    for file in files {
        let path = shown_path(&file.path);
        if file.name == STATEMENT_FILE {
            if file.bytes != statement {
                diags.push(stray(format!("`{path}` is not the statement that its folder is named by")));
            }
            continue;
        }
        let Some(id) = key_of(&file.name) else {
            diags.push(stray(format!("`{path}` is neither a signature nor the statement")));
            continue;
        };
        match owners_key(rules, owner, id) {
            Err(why) => diags.push(
                Diagnostic::warning(Code::ForeignSignature, format!("`{path}` does not count: {why}"))
                    .note("it is left out of the bundle"),
            ),
            Ok(key) if key.verify(&message, &file.bytes).is_err() => diags.push(
                Diagnostic::error(Code::BadSignature, format!("`{path}` does not verify"))
                    .note("it was made over other bytes, or damaged; nodes would refuse the bundle because of it")
                    .help("let its signer run `nodebpf sign` again, or remove the file"),
            ),
            Ok(_) => drop(found.insert(id, file.bytes.clone())),
        }
    }
    found
}

fn stray(message: String) -> Diagnostic {
    Diagnostic::warning(Code::StrayFile, message)
        .note("a folder of signatures holds `<key id>.sig` files and `statement.json`; it is left out of the bundle")
        .help("remove it")
}

/// A path for messages, whole: what matters is its end.
fn shown_path(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// The key id in the name of a signature file.
pub fn key_of(name: &str) -> Option<KeyId> {
    KeyId::try_from(name.strip_suffix(".sig")?).ok()
}

/// The key `id` of `owner`, if it may sign for it; otherwise why not.
pub fn owners_key<'a>(rules: &'a TrustDocument, owner: &OwnerName, id: KeyId) -> Result<&'a PublicKey, String> {
    if rules.revoked_keys.contains(&id) {
        return Err("its key is revoked".to_owned());
    }
    let keys = rules.owners.get(owner).map(|owner| owner.signers.keys.as_slice()).unwrap_or_default();
    keys.iter().find(|key| key.id() == id).ok_or_else(|| format!("its key is not one of owner `{owner}`"))
}

/// The report of a key that may not sign for `owner`; `None` if it may.
pub fn refused(rules: &TrustDocument, owner: &OwnerName, id: KeyId) -> Option<Diagnostic> {
    let why = owners_key(rules, owner, id).err()?;
    let diagnostic = Diagnostic::error(Code::NotOwnersKey, format!("key {id} may not sign: {why}"));
    let diagnostic = still_to_sign(rules, owner, |_| false)
        .fold(diagnostic, |diagnostic, id| diagnostic.note(format!("key {id} may sign")));
    Some(diagnostic.help("sign with a key that the policy lists for the owner"))
}

/// Keys of `owner` that may sign and are not among `signed`.
pub fn still_to_sign<'a>(
    rules: &'a TrustDocument,
    owner: &OwnerName,
    signed: impl Fn(KeyId) -> bool + 'a,
) -> impl Iterator<Item = KeyId> + 'a {
    let keys = rules.owners.get(owner).map(|owner| owner.signers.keys.as_slice()).unwrap_or_default();
    keys.iter().map(PublicKey::id).filter(move |id| !rules.revoked_keys.contains(id) && !signed(*id))
}

/// A statement that was signed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// What it says.
    pub accepted: Accepted,
    /// Whether a signature beside it verifies with a key that was asked about.
    pub checked: bool,
}

/// The statement of a folder named `digest`; `None`, with a report, for a folder without a sound one.
pub fn earlier(
    digest: Sha256Digest,
    files: &[StoredFile],
    keys: &[&PublicKey],
    diags: &mut Diagnostics,
) -> Option<Earlier> {
    let file = files.iter().find(|file| file.name == STATEMENT_FILE)?;
    let path = shown_path(&file.path);
    if Sha256Digest::of(&file.bytes) != digest {
        diags.push(stray(format!("`{path}` is not the statement that its folder is named by")));
        return None;
    }
    let accepted = Accepted::parse(file.bytes.clone())
        .map_err(|error| diags.push(stray(format!("`{path}` is not a statement of this release: {error}"))))
        .ok()?;
    let message = bundle::to_sign(&file.bytes);
    let checked = files.iter().any(|file| {
        let key = key_of(&file.name).and_then(|id| keys.iter().find(|key| key.id() == id));
        key.is_some_and(|key| key.verify(&message, &file.bytes).is_ok())
    });
    Some(Earlier { accepted, checked })
}

/// What to compare a new statement with: the highest revision of those with a checked signature; if there are none, the
/// highest of all.
pub fn last(earlier: &[Earlier]) -> Option<&Earlier> {
    earlier.iter().max_by_key(|earlier| (earlier.checked, earlier.accepted.revision, earlier.accepted.digest()))
}

/// The signature in `bytes`, in DER, if `key` made it over `message`. Forms: DER (openssl, PKCS#11 providers), 64 bytes
/// r and s (some key management services), base64 of either (cosign), and a sigstore bundle that holds one (cosign).
pub fn read_signature(bytes: &[u8], key: &PublicKey, message: &[u8]) -> Result<Vec<u8>, ReadSignatureError> {
    let mut forms = vec![bytes.to_vec()];
    let mut base64 = |text: &str| {
        let text: String = text.split_ascii_whitespace().collect();
        forms.extend(Base64::decode_vec(&text));
    };
    if let Ok(bundle) = serde_json::from_slice::<serde_json::Value>(bytes) {
        // sigstore bundle 0.3 of `sign-blob` and of `attest-blob`.
        for place in ["/messageSignature/signature", "/dsseEnvelope/signatures/0/sig"] {
            bundle.pointer(place).and_then(serde_json::Value::as_str).into_iter().for_each(&mut base64);
        }
    } else if let Ok(text) = std::str::from_utf8(bytes) {
        base64(text);
    }
    let der: Vec<Vec<u8>> = forms.iter().filter_map(|form| to_der(form)).collect();
    if der.is_empty() {
        return Err(ReadSignatureError::Form);
    }
    der.into_iter().find(|der| key.verify(message, der).is_ok()).ok_or(ReadSignatureError::Verify)
}

/// Why bytes are not the signature wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadSignatureError {
    /// In none of the forms.
    Form,
    /// Of another key, over other bytes, or damaged.
    Verify,
}

fn to_der(bytes: &[u8]) -> Option<Vec<u8>> {
    let signature = Signature::from_der(bytes).or_else(|_| Signature::from_slice(bytes)).ok()?;
    Some(signature.to_der().as_bytes().to_vec())
}
