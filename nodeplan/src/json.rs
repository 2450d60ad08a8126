//! Strict JSON: bounded size and depth, integers only, no duplicate keys, nothing after the value.
//!
//! In: bytes whose signature was checked, or files of our own. Out: a wire type.
//! Fails with [`JsonError`].
//!
//! Two steps: bytes → [`Value`], once for all types, then [`Value`] → type by [`Decode`]. serde's derived code for the
//! same types made the loader 100 KB larger (each type gets a parser of its own, in two forms); and this is stricter: a
//! list is never taken for a structure, null never for absent, and no map has a key twice. Writing is `serde_json`'s.

mod parse;
mod value;

pub use value::{Decode, Problem, Value};
pub(crate) use value::{decode_number, decode_struct, decode_text, decode_words};

/// Why a text is not the JSON that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than allowed.
    #[error("has {len} bytes; {max} are allowed")]
    TooLarge {
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not JSON.
    #[error("is not strict JSON at byte {at}: {why}")]
    Syntax {
        /// Offset of the byte.
        at: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// An object has a key twice.
    #[error("duplicate key `{0}`")]
    DuplicateKey(String),
    /// JSON of another shape.
    #[error("{0}")]
    Shape(String),
}

/// Parses all of `bytes` as one value.
pub fn parse_value(bytes: &[u8], max_bytes: usize) -> Result<Value, JsonError> {
    if bytes.len() > max_bytes {
        return Err(JsonError::TooLarge { len: bytes.len(), max: max_bytes });
    }
    parse::parse(bytes)
}

/// Parses all of `bytes` as one value of a wire type.
pub fn parse<T: Decode>(bytes: &[u8], max_bytes: usize) -> Result<T, JsonError> {
    value::decode_ref(&parse_value(bytes, max_bytes)?)
}

/// Compact JSON of `value`.
pub fn to_bytes<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("invariant: wire types have string keys and serialise without error")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sorted::SortedMap;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Sample {
        map: SortedMap<String, u8>,
        word: Option<Word>,
        list: Vec<i64>,
    }

    decode_struct!(Sample { map: "map", word: "word", list: "list" });

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Word {
        OneWord,
    }

    decode_words!(Word { "oneWord": OneWord });

    #[test]
    fn what_is_refused() {
        for (name, text, want) in [
            ("key twice in a map", r#"{"map":{"a":1,"a":2}}"#, "duplicate key `a`"),
            ("field twice", r#"{"map":{},"map":{}}"#, "duplicate key `map`"),
            ("unknown field", r#"{"map":{},"x":1}"#, "unknown field `x`"),
            ("a required field", r#"{"sample":1}"#, "unknown field `sample`"),
            ("bytes behind the value", r#"{"map":{}} x"#, "byte 11"),
            ("a list for a structure", "[{}]", "a list"),
            ("a number out of range", r#"{"map":{"a":256}}"#, "map: a: out of range"),
            ("null for absent", r#"{"map":{},"word":null}"#, "word: null stands where a string must"),
            ("a fraction", r#"{"map":{"a":1.0}}"#, "integers"),
            ("a leading zero", r#"{"map":{"a":01}}"#, "leading zeros"),
            ("a trailing comma", r#"{"map":{},}"#, "byte 10"),
            ("an unknown word", r#"{"map":{},"word":"two"}"#, "word: unknown word `two`"),
            ("not UTF-8", "{\"\u{0}", "byte 2"),
            ("half a surrogate", r#"{"\ud800":1}"#, "byte"),
            ("nothing", "", "byte 0"),
        ] {
            let error = parse::<Sample>(text.as_bytes(), 100).unwrap_err().to_string();
            assert!(error.contains(want), "case {name}: {error}");
        }
        assert_eq!(parse::<Sample>(b"{\"map\":{}}", 9).unwrap_err(), JsonError::TooLarge { len: 10, max: 9 });
        assert!(parse_value(&[0xff], 10).is_err());
        let deep = "[".repeat(10_000);
        assert!(parse_value(deep.as_bytes(), 20_000).is_err(), "no stack is deep enough");
    }

    /// Nobody has signed them yet: what they cost is [`text::twice`](crate::text::twice)'s test.
    #[test]
    fn one_of_a_hundred_thousand_fields_stands_twice() {
        let fields: Vec<String> = (0..100_000).map(|number| format!("\"{number}\":0")).collect();
        for (more, duplicate) in [("", None), (",\"7\":0", Some("7"))] {
            let text = format!("{{{}{more}}}", fields.join(","));
            let error = parse_value(text.as_bytes(), text.len()).err();
            assert_eq!(error, duplicate.map(|key| JsonError::DuplicateKey(key.to_owned())));
        }
    }

    #[test]
    fn what_is_taken() {
        let text = "{ \"map\" : {\"a\\u00e9\\n\\ud83d\\ude00\": 7} ,\n\"list\": [-1, 9223372036854775807]}";
        let sample: Sample = parse(text.as_bytes(), 1000).unwrap();
        assert_eq!(sample.map.get("a\u{e9}\n\u{1f600}"), Some(&7));
        assert_eq!(sample.list, [-1, i64::MAX]);
        let sample: Sample = parse(br#"{"map":{},"word":"oneWord"}"#, 1000).unwrap();
        assert_eq!(sample.word, Some(Word::OneWord));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_value(&bytes, 64);
        }

        #[test]
        fn what_serde_json_writes_is_read_alike(map in proptest::collection::btree_map(any::<String>(), any::<i64>(), 0..8)) {
            prop_assert_eq!(parse::<SortedMap<String, i64>>(&to_bytes(&map), 1 << 20).unwrap(), map.into_iter().collect());
        }

        #[test]
        fn what_is_taken_serde_json_takes_too(text in r#"[\[\]{}:,0-9a\\" u\-tnrfle]{0,24}"#) {
            if parse_value(text.as_bytes(), 100).is_ok() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
        }
    }
}
