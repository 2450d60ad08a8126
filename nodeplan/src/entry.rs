//! Entries of config maps: raw key and value bytes in hexadecimal, already in the byte order of the target.

use serde::Serialize;

use crate::digest::{from_hex, to_hex};
use crate::json;

/// Bytes written as lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct HexBytes(Vec<u8>);

/// Text that is not hexadecimal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("map bytes must be an even number of lower-case hexadecimal digits, at least two")]
pub struct HexError;

impl HexBytes {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for HexBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&str> for HexBytes {
    type Error = HexError;

    fn try_from(text: &str) -> Result<Self, HexError> {
        from_hex(text).filter(|bytes| !bytes.is_empty()).map(Self).ok_or(HexError)
    }
}

impl From<HexBytes> for String {
    fn from(bytes: HexBytes) -> Self {
        to_hex(&bytes.0)
    }
}

/// One entry of a config map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MapEntry {
    /// Key, as long as the map's `key_size`.
    pub key: HexBytes,
    /// Value, as long as the map's `value_size`.
    pub value: HexBytes,
}

json::decode_text!(HexBytes);
json::decode_struct!(MapEntry { key: "key", value: "value" });
