//! Values that raw types are made of: text, numbers, lists, dictionaries, words.
//!
//! In: nodes. Out: values with places. May fail with the codes of [`super::decode`].

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    Key, Node, Value,
    decode::{Decode, Decoder, Place, not_built},
};
use crate::{
    diag::{Code, Diagnostic, one_of, shown},
    source::{Span, Spanned},
    suggest::nearest,
};

/// Text.
pub type Text = Spanned<String>;

/// A whole number; any size that fits 64 bits, so that out-of-range values reach a message that names the range.
pub type Number = Spanned<i64>;

/// A list.
pub type List<T> = Spanned<Vec<T>>;

/// A map with free keys, in written order.
#[derive(Clone, Debug)]
pub struct Dict<T>(pub Vec<(Text, T)>);

/// A value and the place of the key above it.
#[derive(Clone, Debug)]
pub struct Keyed<T> {
    /// The key.
    pub key: Span,
    /// The value.
    pub value: T,
}

/// One word of a closed set.
#[derive(Clone, Debug)]
pub struct Word<T>(pub Spanned<T>);

/// A closed set of words.
pub trait Words: Copy + 'static {
    /// All words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
    /// Words that are designed and not built.
    const LATER: &'static [&'static str] = &[];
    /// Name of the set in the JSON Schema.
    const NAME: &'static str;
}

/// A scalar whose type the context decides, such as a map key.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A whole number.
    Int(i128),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
}

/// A value whose type the object's BTF decides: a map key, a map value, a global variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A number, a truth value or text.
    Scalar(Scalar),
    /// An array.
    List(Vec<Spanned<Literal>>),
    /// A structure, by member, in written order.
    Struct(Vec<(Text, Spanned<Literal>)>),
}

impl Decode for Text {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            return Some(Spanned::new(text.clone(), node.span));
        }
        let quotable = matches!(node.value, Value::Int(_) | Value::Float | Value::Bool(_));
        let written = shown(d.written(node));
        let help = quotable.then(|| match place.key {
            // Ranges: a bare release would be the next problem.
            "kernel" | "ocp" => format!("write a range, in quotes: `{}: \">={written}\"`", place.key),
            _ => format!("put it in quotes: `\"{written}\"`"),
        });
        d.wrong_type(node, place, "text", help);
        None
    }
}

impl Decode for Number {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        if let Value::Int(number) = node.value
            && let Ok(number) = i64::try_from(number)
        {
            return Some(Spanned::new(number, node.span));
        }
        let help = match &node.value {
            Value::Text(text) if text.parse::<i64>().is_ok() => {
                let number = text.trim_start_matches(['0', '+']);
                Some(format!(
                    "write the number plainly: `{}: {}`",
                    place.key,
                    if number.is_empty() { "0" } else { number }
                ))
            }
            Value::Float => whole(d.written(node)).map(|number| format!("write it without point: `{number}`")),
            _ => None,
        };
        if matches!(node.value, Value::Int(_) | Value::Float) {
            let written = shown(d.written(node));
            let message = format!("{} must be a whole number of at most 64 bits, not `{written}`", place.name());
            let label = match (&node.value, &help) {
                (Value::Int(_), _) => "does not fit 64 bits",
                (_, Some(_)) => "is not written as a whole number",
                _ => "is not a whole number",
            };
            d.diags.push(Diagnostic::error(Code::WrongType, message).at(node.span, label).maybe_help(help));
            return None;
        }
        d.wrong_type(node, place, "a whole number of at most 64 bits", help);
        None
    }
}

/// The whole number that `1.0` or `1e1` stands for.
fn whole(written: &str) -> Option<i64> {
    let number = written.parse::<f64>().ok()?;
    // From 2^53 on a double is not exact. The text of a whole double has no point.
    if number.abs() < 9_007_199_254_740_992.0 { number.to_string().parse().ok() } else { None }
}

impl<T: Decode> Decode for List<T> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        let Value::List(items) = &node.value else {
            let help = matches!(node.value, Value::Text(_) | Value::Int(_))
                .then(|| format!("make it a list: `{}: [{}]`", place.key, shown(d.written(node))));
            d.wrong_type(node, place, "a list", help);
            return None;
        };
        let decoded: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                // Problems of an item point into the item, not at the list's key; a map points at its first key.
                let end = if matches!(item.value, Value::Map(_)) { item.span.start } else { item.span.end };
                let key = format!("{}[{index}]", place.key);
                T::decode(item, Place { key: &key, span: Span { end, ..item.span } }, d)
            })
            .collect();
        // Lists have no text of their own to point at; the key above has.
        Some(Spanned::new(decoded.into_iter().collect::<Option<_>>()?, place.span))
    }
}

impl<T: Decode> Decode for Dict<T> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let (key, example) = (place.key, if place.key == "slots" { "0: PROGRAM" } else { "NAME: …" });
            let help = matches!(node.value, Value::List(_) | Value::Text(_));
            d.wrong_type(node, place, "a map", help.then(|| format!("write `{key}: {{{example}}}`")));
            return None;
        };
        let decode_entry = |(key, value): &(Key, Node)| {
            let name = Spanned::new(key.text.clone(), key.span);
            Some((name, T::decode(value, Place { key: &key.text, span: key.span }, d)?))
        };
        let decoded: Vec<_> = entries.iter().map(decode_entry).collect();
        decoded.into_iter().collect::<Option<_>>().map(Self)
    }
}

impl<T: Decode> Decode for Keyed<T> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        Some(Self { key: place.span, value: T::decode(node, place, d)? })
    }
}

impl<T: Words> Decode for Word<T> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        let words = || T::WORDS.iter().map(|(word, _)| *word);
        let Value::Text(text) = &node.value else {
            d.wrong_type(node, place, &one_of(words()), None);
            return None;
        };
        if let Some((_, value)) = T::WORDS.iter().find(|(word, _)| word == text) {
            return Some(Self(Spanned::new(*value, node.span)));
        }
        if T::LATER.contains(&text.as_str()) {
            d.diags.push(not_built(&format!("{}: {text}", place.key), node.span));
            return None;
        }
        let message = format!("`{}` must be {}, not `{}`", place.key, one_of(words()), shown(text));
        let meant = other_name(text, words()).or_else(|| nearest(text, words()));
        let help = match (meant, words().next()) {
            (Some(word), _) => format!("did you mean `{word}`?"),
            (None, Some(only)) if T::WORDS.len() == 1 => format!("write `{}: {only}`", place.key),
            (None, Some(first)) => format!("write one of them, for example `{first}`"),
            (None, None) => "remove it".to_owned(),
        };
        d.diags.push(Diagnostic::error(Code::UnknownWord, message).at(node.span, "not one of them").help(help));
        None
    }
}

/// Names that others have for our words. Sources: `uname -m`; ip-link(8) on XDP modes; nftables.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("x64", "amd64"),
    ("aarch64", "arm64"),
    ("generic", "skb"),
    ("xdpgeneric", "skb"),
    ("driver", "native"),
    ("drv", "native"),
    ("xdpdrv", "native"),
    ("accept", "pass"),
    ("ok", "pass"),
    ("shot", "drop"),
    ("inet_sock_create", "sock_create"),
    ("inet_sock_release", "sock_release"),
];

/// Prefixes of the kernel's constants: `linux/bpf.h` and `linux/pkt_cls.h`.
const CONSTANTS: &[&str] = &["xdp_", "tc_act_", "tcx_", "bpf_cgroup_", "bpf_"];

/// The word that `text` is another name of, such as `pass` for `XDP_PASS`.
fn other_name<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = text.to_lowercase();
    let bare = CONSTANTS.iter().find_map(|prefix| lower.strip_prefix(prefix)).unwrap_or(&lower);
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == bare).map(|(_, word)| *word);
    let words: Vec<_> = words.collect();
    let exact = words.iter().find(|word| word.eq_ignore_ascii_case(bare));
    exact.or_else(|| words.iter().find(|word| Some(**word) == other)).copied()
}

impl Decode for Spanned<Scalar> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        let scalar = match &node.value {
            Value::Int(number) => Scalar::Int(*number),
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Text(text) => Scalar::Text(text.clone()),
            Value::Null | Value::Float | Value::List(_) | Value::Map(_) => {
                d.wrong_type(node, place, "a whole number, a truth value or text", None);
                return None;
            }
        };
        Some(Self::new(scalar, node.span))
    }
}

impl Decode for Spanned<bool> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(Self::new(value, node.span));
        }
        // YAML 1.1 had more words; 1.2 has two, and a reader of 1.1 must read the same.
        let meant = match &node.value {
            Value::Text(text) => match text.to_lowercase().as_str() {
                "yes" | "y" | "on" | "true" => Some(true),
                "no" | "n" | "off" | "false" => Some(false),
                _ => None,
            },
            Value::Int(number @ (0 | 1)) => Some(*number == 1),
            _ => None,
        };
        let key = place.key;
        let help = meant.map_or_else(
            || format!("write `{key}: true` or `{key}: false`"),
            |value| format!("write `{key}: {value}`"),
        );
        d.wrong_type(node, place, "true or false", Some(help));
        None
    }
}

impl Decode for Spanned<Literal> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        let literal = match &node.value {
            Value::List(items) => {
                // All items first, so that all their problems are reported.
                let items: Vec<_> = items.iter().map(|item| Self::decode(item, place, d)).collect();
                Literal::List(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(members) => {
                let member = |(key, value): &(Key, Node)| {
                    let name = Spanned::new(key.text.clone(), key.span);
                    Some((name, Self::decode(value, Place { key: &key.text, span: key.span }, d)?))
                };
                let members: Vec<_> = members.iter().map(member).collect();
                Literal::Struct(members.into_iter().collect::<Option<_>>()?)
            }
            _ => Literal::Scalar(Spanned::<Scalar>::decode(node, place, d)?.value),
        };
        Some(Self::new(literal, node.span))
    }
}

impl<T: JsonSchema> JsonSchema for Keyed<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Dict<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Dict_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
    }
}

impl<T: Words> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "boolean", "string"] })
    }
}

impl JsonSchema for Literal {
    fn schema_name() -> Cow<'static, str> {
        "Literal".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "boolean", "string", "array", "object"] })
    }
}

#[cfg(test)]
mod tests {
    use super::other_name;

    #[test]
    fn names_of_others_are_known_where_the_word_is_allowed() {
        let (machines, modes, verdicts) = (["amd64", "arm64"], ["native", "skb"], ["pass", "drop", "next"]);
        for (text, words, want) in [
            ("x86_64", machines.as_slice(), Some("amd64")),
            ("aarch64", &machines, Some("arm64")),
            ("generic", &modes, Some("skb")),
            ("drv", &modes, Some("native")),
            ("XDP_PASS", &verdicts, Some("pass")),
            ("TC_ACT_SHOT", &verdicts, Some("drop")),
            ("TCX_NEXT", &verdicts, Some("next")),
            ("BPF_CGROUP_INET_SOCK_CREATE", &["sock_create"], Some("sock_create")),
            ("XDP_TX", &verdicts, None),
            ("generic", &machines, None),
        ] {
            assert_eq!(other_name(text, words.iter().copied()), want, "case: {text}");
        }
    }
}
