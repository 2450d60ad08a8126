//! [`Value`], and how wire types are read from it.
//!
//! A structure takes its fields out of an object one by one and looks for errors once, at the end: with a check behind
//! each field, the code that drops the fields before it was two thirds of what decoding cost the loader.

use super::JsonError;

/// A JSON value. Keys of an object are unique, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer of 64 bits with sign.
    Integer(i64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object.
    Object(Vec<(String, Value)>),
}

/// A type that can be read from JSON.
pub trait Decode: Sized {
    /// Reads it.
    fn decode(value: Value) -> Result<Self, JsonError>;

    /// What an absent field means; `None`: it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The error that says what must stand here instead.
    fn instead_of(&self, wanted: &str) -> JsonError {
        JsonError::Shape(format!("{} stands where {wanted} must", self.kind()))
    }

    /// The string.
    #[inline(never)]
    pub fn into_text(self) -> Result<String, JsonError> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other.instead_of("a string")),
        }
    }

    /// The number.
    #[inline(never)]
    pub fn into_integer(self) -> Result<i64, JsonError> {
        match self {
            Self::Integer(number) => Ok(number),
            other => Err(other.instead_of("a number")),
        }
    }

    #[inline(never)]
    fn into_list(self) -> Result<Vec<Self>, JsonError> {
        match self {
            Self::List(items) => Ok(items),
            other => Err(other.instead_of("a list")),
        }
    }

    #[inline(never)]
    pub(crate) fn into_object(self) -> Result<Vec<(String, Self)>, JsonError> {
        match self {
            Self::Object(fields) => Ok(fields),
            other => Err(other.instead_of("an object")),
        }
    }

    /// The one key and value of an object: how a variant with content is written.
    pub fn into_variant(self) -> Result<(String, Self), JsonError> {
        match <[_; 1]>::try_from(self.into_object()?) {
            Ok([variant]) => Ok(variant),
            Err(_) => Err(JsonError::Shape("an object must have exactly one key here".to_owned())),
        }
    }

    /// The field `key` of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

/// The fields of an object, while they are taken out. The first error is kept until [`Fields::close`].
#[derive(Debug)]
pub struct Fields {
    fields: Vec<(String, Value)>,
    error: Option<JsonError>,
}

impl Fields {
    /// The fields of `value`.
    pub fn open(value: Value) -> Self {
        match value.into_object() {
            Ok(fields) => Self { fields, error: None },
            Err(error) => Self { fields: Vec::new(), error: Some(error) },
        }
    }

    /// Takes the field `name` out. `None` only if [`Fields::close`] will fail.
    // What does not depend on the type is in functions of its own, never inlined: there are sixty copies of this.
    #[inline(never)]
    pub fn take<T: Decode>(&mut self, name: &'static str) -> Option<T> {
        let Some(value) = self.take_value(name) else {
            let absent = T::absent();
            if absent.is_none() {
                self.missing(name);
            }
            return absent;
        };
        match T::decode(value) {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(name, error);
                None
            }
        }
    }

    #[inline(never)]
    fn take_value(&mut self, name: &str) -> Option<Value> {
        let at = self.fields.iter().position(|(key, _)| key == name)?;
        Some(self.fields.swap_remove(at).1)
    }

    #[inline(never)]
    fn missing(&mut self, name: &str) {
        self.keep(JsonError::Shape(format!("missing field `{name}`")));
    }

    #[inline(never)]
    fn fail(&mut self, name: &str, error: JsonError) {
        self.keep(error.below(name));
    }

    fn keep(&mut self, error: JsonError) {
        if self.error.is_none() {
            self.error = Some(error);
        }
    }

    /// Ends: nothing may be left, and everything was as it should be.
    pub fn close(mut self) -> Result<(), JsonError> {
        if let Some((key, _)) = self.fields.first() {
            let error = JsonError::Shape(format!("unknown field `{key}`"));
            self.keep(error);
        }
        self.error.map_or(Ok(()), Err)
    }
}

impl JsonError {
    /// A text that its type refused.
    #[inline(never)]
    pub(crate) fn text(text: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Shape(format!("`{text}`: {error}"))
    }

    /// A value that its type refused.
    #[inline(never)]
    pub(crate) fn value(error: &dyn std::fmt::Display) -> Self {
        Self::Shape(error.to_string())
    }

    /// A word that is not in a closed set.
    #[inline(never)]
    pub(crate) fn word(word: &str) -> Self {
        Self::Shape(format!("unknown word `{word}`"))
    }

    /// The same error, one level further out.
    #[inline(never)]
    pub(crate) fn below(self, field: &str) -> Self {
        match self {
            Self::Shape(text) => Self::Shape(format!("{field}: {text}")),
            other => other,
        }
    }
}

impl Decode for Value {
    fn decode(value: Value) -> Result<Self, JsonError> {
        Ok(value)
    }
}

impl Decode for bool {
    fn decode(value: Value) -> Result<Self, JsonError> {
        match value {
            Value::Bool(value) => Ok(value),
            other => Err(other.instead_of("a boolean")),
        }
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl Decode for String {
    fn decode(value: Value) -> Result<Self, JsonError> {
        value.into_text()
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(value: Value) -> Result<Self, JsonError> {
        T::decode(value).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    #[inline(never)]
    fn decode(value: Value) -> Result<Self, JsonError> {
        let items = value.into_list()?;
        // A plain loop: collecting results in place costs 3 KB of code for each type.
        let mut list = Self::with_capacity(items.len());
        for item in items {
            list.push(T::decode(item)?);
        }
        Ok(list)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

/// Reads a structure: `decode_struct!(Type { field: "name in JSON", … })`.
macro_rules! decode_struct {
    ($type:ident { $($field:ident: $name:literal),* $(,)? }) => {
        impl $crate::json::Decode for $type {
            #[inline(never)]
            fn decode(value: $crate::json::Value) -> Result<Self, $crate::json::JsonError> {
                let mut fields = $crate::json::Fields::open(value);
                $(let $field = fields.take($name);)*
                let end = fields.close();
                match ($($field,)* end) {
                    ($(Some($field),)* Ok(())) => Ok(Self { $($field),* }),
                    (.., Err(error)) => Err(error),
                    _ => Err($crate::json::JsonError::Shape(String::new())), // not reached: close fails first
                }
            }
        }
    };
}

/// Reads types that are checked by `TryFrom<String>`.
macro_rules! decode_text {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::json::Decode for $type {
            fn decode(value: $crate::json::Value) -> Result<Self, $crate::json::JsonError> {
                let text = value.into_text()?;
                Self::try_from(text.as_str()).map_err(|error| $crate::json::JsonError::text(&text, &error))
            }
        }
    )*};
}

/// Reads types that are checked by `TryFrom<i64>`.
macro_rules! decode_number {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::json::Decode for $type {
            fn decode(value: $crate::json::Value) -> Result<Self, $crate::json::JsonError> {
                Self::try_from(value.into_integer()?)
                    .map_err(|error| $crate::json::JsonError::value(&error))
            }
        }
    )*};
}

/// Reads a closed set of words: `decode_words!(Type { "word": Variant, … })`.
macro_rules! decode_words {
    ($type:ident { $($word:literal: $variant:ident),* $(,)? }) => {
        impl $crate::json::Decode for $type {
            fn decode(value: $crate::json::Value) -> Result<Self, $crate::json::JsonError> {
                let text = value.into_text()?;
                let words = [$(($word, Self::$variant)),*];
                let found = words.iter().find(|(word, _)| *word == text);
                found.map(|(_, variant)| *variant).ok_or_else(|| $crate::json::JsonError::word(&text))
            }
        }
    };
}

pub(crate) use {decode_number, decode_struct, decode_text, decode_words};

decode_number!(u8, u32, u64, usize, i64);
