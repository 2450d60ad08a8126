//! Keys in files: PKCS#8 PEM for private keys, SPKI PEM for public ones, as openssl writes and reads them.
//!
//! In:   bytes of files, or 32 random bytes. Out: [`FileKey`], [`PublicKey`].
//! May fail with: [`KeyFileError`], which callers report as NB0206 or NB0602.

use nodeplan::key::PublicKey;
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{DecodePrivateKey, Document, EncodePrivateKey, EncodePublicKey, LineEnding},
};

use super::Signer;

/// Id of the key in `tests/keys`, which is public: everybody can sign with it.
pub const TEST_KEY_ID: &str = "332ca3e476bf1993e355eb2d8eca3213371e7f1a88335f02ca225597e31860e7";

/// Why a file holds no key that nodebpf can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// No PEM.
    #[error("is not PEM text")]
    NotPem,
    /// PEM with another label.
    #[error("holds a `{found}`, not a `{want}`")]
    Label {
        /// Label found.
        found: String,
        /// Label wanted.
        want: &'static str,
    },
    /// The right label, but another kind of key.
    #[error("holds a key that is not ECDSA P-256")]
    NotP256,
    /// What nodes would refuse.
    #[error("cannot be used: {0}")]
    Key(#[from] nodeplan::key::KeyError),
}

/// A private key from a file.
pub struct FileKey {
    secret: SecretKey,
    public: PublicKey,
}

fn pem(bytes: &[u8], want: &'static str) -> Result<Document, KeyFileError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyFileError::NotPem)?;
    let (label, document) = Document::from_pem(text).map_err(|_| KeyFileError::NotPem)?;
    if label != want {
        return Err(KeyFileError::Label { found: label.chars().take(40).collect(), want });
    }
    Ok(document)
}

/// Reads a public key.
pub fn public_from_pem(bytes: &[u8]) -> Result<PublicKey, KeyFileError> {
    let document = pem(bytes, "PUBLIC KEY")?;
    Ok(PublicKey::from_spki_der(document.as_bytes())?)
}

/// Writes a public key as openssl does.
pub fn public_to_pem(key: &PublicKey) -> String {
    let document = Document::try_from(key.to_spki_der()).expect("invariant: 91 bytes are a DER document");
    document.to_pem("PUBLIC KEY", LineEnding::LF).expect("invariant: a known label and a small document encode")
}

impl FileKey {
    /// From 32 random bytes; `None` for the about 2^-32 of them that are no scalar of P-256.
    pub fn from_random(bytes: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(bytes).ok().map(Self::new)
    }

    /// Reads a private key.
    pub fn from_pem(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let document = pem(bytes, "PRIVATE KEY")?;
        SecretKey::from_pkcs8_der(document.as_bytes()).map(Self::new).map_err(|_| KeyFileError::NotP256)
    }

    fn new(secret: SecretKey) -> Self {
        let der = secret.public_key().to_public_key_der().expect("invariant: a P-256 key encodes");
        let public = PublicKey::from_spki_der(der.as_bytes()).expect("invariant: RustCrypto writes openssl's form");
        Self { secret, public }
    }

    /// Writes the key, without password.
    pub fn to_pem(&self) -> String {
        self.secret.to_pkcs8_pem(LineEnding::LF).expect("invariant: a P-256 key encodes").to_string()
    }
}

impl Signer for FileKey {
    fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        // RFC 6979: the nonce comes from key and message, so equal input gives equal bytes.
        let signature: Signature = SigningKey::from(&self.secret).sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}
