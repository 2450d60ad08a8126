//! Strict JSON: bounded size, no duplicate keys, nothing after the value.
//!
//! serde refuses duplicate fields of structs by itself; maps need [`unique_map`].
//! Depth is bounded by `serde_json` (128).

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};

/// Why a text is not the JSON that was wanted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than allowed.
    #[error("has {len} bytes; {max} are allowed")]
    TooLarge {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not JSON, or not the wanted shape.
    #[error("{0}")]
    Shape(String),
}

/// Parses all of `bytes` as one value.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], max_bytes: usize) -> Result<T, JsonError> {
    if bytes.len() > max_bytes {
        return Err(JsonError::TooLarge { len: bytes.len(), max: max_bytes });
    }
    serde_json::from_slice(bytes).map_err(|error| JsonError::Shape(error.to_string()))
}

/// Compact JSON of `value`.
pub fn to_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: wire types have string keys and serialise without error")
}

/// For `#[serde(deserialize_with)]`: a map in which a key that stands twice is an error.
pub fn unique_map<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    struct Unique<K, V>(PhantomData<(K, V)>);

    impl<'de, K, V> Visitor<'de> for Unique<K, V>
    where
        K: Deserialize<'de> + Ord + fmt::Display,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = access.next_key::<K>()? {
                if map.contains_key(&key) {
                    return Err(de::Error::custom(format_args!("duplicate key `{key}`")));
                }
                let value = access.next_value()?;
                map.insert(key, value);
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(Unique(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(deserialize_with = "unique_map")]
        map: BTreeMap<String, u8>,
    }

    #[test]
    fn what_is_refused() {
        for (name, text, want) in [
            ("key twice in a map", r#"{"map":{"a":1,"a":2}}"#, "duplicate key `a`"),
            ("field twice", r#"{"map":{},"map":{}}"#, "duplicate field `map`"),
            ("unknown field", r#"{"map":{},"x":1}"#, "unknown field `x`"),
            ("bytes behind the value", r#"{"map":{}} x"#, "trailing characters"),
        ] {
            let error = parse::<Sample>(text.as_bytes(), 100).unwrap_err().to_string();
            assert!(error.contains(want), "case {name}: {error}");
        }
        assert_eq!(parse::<Sample>(b"{\"map\":{}}", 9).unwrap_err(), JsonError::TooLarge { len: 10, max: 9 });
        assert_eq!(parse::<Sample>(br#"{"map":{"a":1}}"#, 100).unwrap().map["a"], 1);
    }
}
