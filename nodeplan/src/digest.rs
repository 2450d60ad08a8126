//! SHA-256 digests as a type: 64 lower-case hexadecimal digits in text, 32 bytes inside.

use std::fmt;

use serde::Serialize;

use crate::json;
use sha2::{Digest, Sha256};

/// SHA-256 of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Sha256Digest([u8; 32]);

/// Text that is not a digest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest must be 64 lower-case hexadecimal digits, not `{0}`")]
pub struct DigestError(String);

impl Sha256Digest {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Bytes of lower-case hexadecimal digits; `None` for anything else (upper case included: one value, one text).
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let mut out = Vec::new();
    for pair in bytes.chunks_exact(2) {
        out.push(digit(pair[0])? << 4 | digit(pair[1])?);
    }
    Some(out)
}

impl TryFrom<&str> for Sha256Digest {
    type Error = DigestError;

    fn try_from(text: &str) -> Result<Self, DigestError> {
        from_hex(text)
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| DigestError(text.to_owned()))
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        Self::try_from(text.as_str())
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

json::decode_text!(Sha256Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_string_has_the_published_digest() {
        assert_eq!(
            Sha256Digest::of(b"").to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs() {
        assert_eq!(from_hex("0aff"), Some(vec![0x0a, 0xff]));
        assert_eq!(Sha256Digest::of(b"").as_bytes()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert!(format!("{:?}", Sha256Digest::of(b"")).starts_with("sha256:e3b0c442"));
        assert_eq!(from_hex(""), Some(vec![]));
        for bad in ["0", "0af", "0AFF", "0g", "0x0a"] {
            assert_eq!(from_hex(bad), None, "case: {bad}");
        }
    }

    #[test]
    fn only_one_text_stands_for_a_digest() {
        let text = Sha256Digest::of(b"x").to_string();
        assert_eq!(Sha256Digest::try_from(text.as_str()).unwrap().to_string(), text);
        for (name, bad) in [
            ("upper case", text.to_uppercase()),
            ("one digit short", text[1..].to_owned()),
            ("two digits more", format!("{text}00")),
            ("not hexadecimal", format!("g{}", &text[1..])),
        ] {
            assert!(Sha256Digest::try_from(bad.as_str()).is_err(), "case: {name}");
        }
    }
}
