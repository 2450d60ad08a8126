//! Decode: a tree to raw types, collecting every problem.
//!
//! In:   a [`Node`] and the place it hangs at. Out: a raw type whose values have the right YAML types and nothing more.
//! May fail with: NB0108 (unknown key), NB0109 (not built yet), NB0110 (wrong type), NB0111 (missing key),
//! NB0112 (unknown word).
//!
//! Raw types are written with `record!`, which makes struct, decoder and JSON Schema of one list of fields.

use std::collections::BTreeMap;

use super::{Key, Node, Value};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    source::{SourceMap, Span},
    suggest::nearest,
};

/// What decoding needs besides the tree.
pub struct Decoder<'a> {
    /// Texts, to quote what was written.
    pub sources: &'a SourceMap,
    /// Where problems go.
    pub diags: &'a mut Diagnostics,
}

/// What a value belongs to, for messages.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The key above the value.
    pub key: &'a str,
    /// Where to point if something is missing.
    pub span: Span,
}

impl Place<'_> {
    /// The key in back-ticks, or "the manifest" and the like for a whole document.
    pub(super) fn name(self) -> String {
        if self.key.starts_with("the ") { self.key.to_owned() } else { format!("`{}`", shown(self.key)) }
    }
}

/// A raw type.
pub trait Decode: Sized {
    /// The value of `node`; `None` if a problem was reported.
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self>;

    /// What an absent key stands for; `None`, reported, if it must not be absent.
    fn absent(key: &str, parent: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        d.diags.push(
            Diagnostic::error(Code::MissingKey, format!("{} has no `{key}`", parent.name()))
                .at(parent.span, format_args!("needs `{key}`"))
                .help(format!("add `{key}: …`")),
        );
        None
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(node: &Node, place: Place<'_>, d: &mut Decoder<'_>) -> Option<Self> {
        T::decode(node, place, d).map(Some)
    }

    fn absent(_: &str, _: Place<'_>, _: &mut Decoder<'_>) -> Option<Self> {
        Some(None)
    }
}

impl Decoder<'_> {
    /// Reports a value of another type than `want`, such as "a list of names".
    pub fn wrong_type(&mut self, node: &Node, place: Place<'_>, want: &str, help: Option<String>) {
        let kind = node.value.kind();
        // An absent value has no text to point at.
        let span = if node.span.start == node.span.end { place.span } else { node.span };
        self.diags.push(
            Diagnostic::error(Code::WrongType, format!("{} must be {want}, but has {kind}", place.name()))
                .at(span, kind)
                .maybe_help(help),
        );
    }

    /// The text of a node as it was written.
    pub fn written(&self, node: &Node) -> &str {
        self.sources.slice(node.span)
    }
}

/// The fields of one map, taken out one by one by `record!`.
pub struct Fields<'n, 'p> {
    place: Place<'p>,
    entries: BTreeMap<&'n str, (&'n Key, &'n Node)>,
    excused: Vec<&'n str>,
    all_excused: bool,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// Looks at all keys of a map; reports keys that are neither in `known` nor in `later`.
    pub fn open(
        node: &'n Node,
        place: Place<'p>,
        known: &[&'n str],
        later: &[&str],
        d: &mut Decoder<'_>,
    ) -> Option<Self> {
        let Value::Map(written) = &node.value else {
            let keys = one_of(known.iter().copied());
            let help = map_of(node, known, d);
            d.wrong_type(node, place, &format!("a map with {keys}"), help);
            return None;
        };
        // The key above, or for list items and the document the first key.
        let span = if place.span.start == place.span.end {
            written.first().map_or(place.span, |(key, _)| key.span)
        } else {
            place.span
        };
        let mut fields = Self {
            place: Place { key: place.key, span },
            entries: BTreeMap::new(),
            excused: Vec::new(),
            all_excused: false,
        };
        for (key, value) in written {
            if known.contains(&key.text.as_str()) {
                fields.entries.entry(&key.text).or_insert((key, value));
            } else if later.contains(&key.text.as_str()) {
                fields.all_excused = true;
                d.diags.push(not_built(&key.text, key.span));
            } else {
                let near = nearest(&key.text, known.iter().copied());
                fields.excused.extend(near);
                d.diags.push(unknown_key(key, place, near, known));
            }
        }
        Some(fields)
    }

    /// Decodes one field. A missing field is not reported if a wrong key explains it.
    pub fn take<T: Decode>(&self, key: &'static str, d: &mut Decoder<'_>) -> Option<T> {
        if let Some((key, node)) = self.entries.get(key) {
            return T::decode(node, Place { key: &key.text, span: key.span }, d);
        }
        if self.all_excused || self.excused.contains(&key) {
            let mut unheard = Diagnostics::default();
            return T::absent(key, self.place, &mut Decoder { sources: d.sources, diags: &mut unheard });
        }
        T::absent(key, self.place, d)
    }
}

/// Keys that a lone text stands for: `interfaces: [eth0]` means `{name: eth0}`.
const KEYS_OF_TEXT: &[&str] = &["name", "function", "hook", "path", "counter"];

/// The map that was meant by a text.
fn map_of(node: &Node, known: &[&str], d: &Decoder<'_>) -> Option<String> {
    let Value::Text(text) = &node.value else { return None };
    if known.contains(&text.as_str()) {
        return Some(format!("write `{{{text}: …}}`"));
    }
    let first = known.first().filter(|first| KEYS_OF_TEXT.contains(first))?;
    Some(format!("write `{{{first}: {}}}`", shown(d.written(node))))
}

/// Keys that others have for ours, ours, and why.
const OTHER_KEYS: &[(&str, &str, &str)] = &[("tcx", "tc", "It attaches by TCX")];

fn unknown_key(key: &Key, parent: Place<'_>, near: Option<&str>, known: &[&str]) -> Diagnostic {
    let message = format!("`{}` is not a key of {}", shown(&key.text), parent.name());
    let diagnostic = Diagnostic::error(Code::UnknownKey, message).at(key.span, "unknown key");
    let other = OTHER_KEYS.iter().find(|(name, meant, _)| *name == key.text && known.contains(meant));
    match (other, near) {
        (Some((_, meant, why)), _) => diagnostic.help(format!("did you mean `{meant}`? {why}")),
        (None, Some(near)) => diagnostic.help(format!("did you mean `{near}`?")),
        (None, None) => diagnostic.help(format!("keys allowed here: {}", one_of(known.iter().copied()))),
    }
}

/// For keys and words that design and documentation name and this version does not have.
pub fn not_built(what: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::NotBuiltYet, format!("`{}` is not built yet", shown(what)))
        .at(span, "planned, but not in this version")
        .note("nodebpf refuses what it cannot do; it never leaves something out silently")
        .help("remove it")
}

/// Makes a raw type of a list of fields: struct, [`Decode`] and JSON Schema.
///
/// `"later"` keys are refused as not built yet; all other keys as unknown.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty = $key:literal,)*
        }
        later [$($later:literal),* $(,)?]
    ) => {
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$field_meta])* #[schemars(rename = $key)] pub $field: $type,)*
        }

        impl $crate::yaml::decode::Decode for $name {
            fn decode(
                node: &$crate::yaml::Node,
                place: $crate::yaml::decode::Place<'_>,
                d: &mut $crate::yaml::decode::Decoder<'_>,
            ) -> Option<Self> {
                let fields = $crate::yaml::decode::Fields::open(node, place, &[$($key),*], &[$($later),*], d)?;
                // All fields first, so that all their problems are reported. There may be none.
                let _ = &fields;
                $(let $field = fields.take($key, d);)*
                Some(Self { $($field: $field?,)* })
            }
        }
    };
}
pub(crate) use record;
