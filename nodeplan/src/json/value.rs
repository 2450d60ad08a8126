//! [`Value`], and how wire types are read from it.
//!
//! The loader carries a copy of the generic parts for every wire type, so they are as small as can be: a value is
//! borrowed, not consumed (no code that drops what is left of it), success is an `Option`, and the error is noted once,
//! in the [`Problem`] that everything shares. A structure looks at its fields one by one and for gaps only at the end.

use std::fmt::Display;

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

/// A type that can be read from JSON. An implementation gives one of the first two, the other one follows from it.
pub trait Decode: Sized {
    /// Reads it.
    fn decode(value: Value) -> Result<Self, JsonError> {
        decode_ref(&value)
    }

    /// Reads it, or notes what is wrong. `None` only with a problem noted.
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        Self::decode(value.clone()).map_err(|error| problem.note(error)).ok()
    }

    /// What an absent field means; `None`: it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// Reads a borrowed value.
pub(super) fn decode_ref<T: Decode>(value: &Value) -> Result<T, JsonError> {
    let mut problem = Problem::default();
    T::read(value, &mut problem).ok_or_else(|| problem.into_error())
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

/// The first thing that is wrong with a value, and the place that is read now.
#[derive(Debug, Default)]
pub struct Problem {
    error: Option<JsonError>,
    /// Keys down to the place, each with `: ` behind it. Whoever reads something leaves it as it was.
    place: String,
}

/// The fields of an object, and where they are.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    fields: &'a [(String, Value)],
    /// Length of the object's place.
    place_len: usize,
}

// Nothing here depends on the type that is read, but for `take`.
impl Problem {
    /// Notes an error, unless there is one already.
    #[inline(never)]
    pub fn note(&mut self, error: JsonError) {
        if self.error.is_none() {
            self.error = Some(match error {
                JsonError::Shape(text) => JsonError::Shape(format!("{}{text}", self.place)),
                other => other,
            });
        }
    }

    /// Notes an error that is said in words.
    #[inline(never)]
    pub(crate) fn say(&mut self, words: std::fmt::Arguments<'_>) {
        self.note(JsonError::Shape(words.to_string()));
    }

    /// A text that its type refused.
    #[inline(never)]
    pub(crate) fn text_refused(&mut self, text: &str, error: &dyn Display) {
        self.note(JsonError::text(text, error));
    }

    /// A value that its type refused.
    #[inline(never)]
    pub(crate) fn value_refused(&mut self, error: &dyn Display) {
        self.note(JsonError::value(error));
    }

    fn into_error(self) -> JsonError {
        // Whoever returns nothing has said why; an empty text is not reached.
        self.error.unwrap_or_else(|| JsonError::Shape(String::new()))
    }

    /// What is read next is below `key`; returns what [`Problem::leave`] wants.
    #[inline(never)]
    pub(crate) fn below(&mut self, key: &str) -> usize {
        let outside = self.place.len();
        self.place.push_str(key);
        self.place.push_str(": ");
        outside
    }

    /// Back to a place further out.
    #[inline(never)]
    pub(crate) fn leave(&mut self, place_len: usize) {
        self.place.truncate(place_len);
    }

    /// The string.
    #[inline(never)]
    pub(crate) fn text<'a>(&mut self, value: &'a Value) -> Option<&'a str> {
        match value {
            Value::Text(text) => Some(text),
            other => self.instead(other, "a string"),
        }
    }

    /// The number.
    #[inline(never)]
    pub(crate) fn integer(&mut self, value: &Value) -> Option<i64> {
        match value {
            Value::Integer(number) => Some(*number),
            other => self.instead(other, "a number"),
        }
    }

    /// The items of a list.
    #[inline(never)]
    pub(crate) fn list<'a>(&mut self, value: &'a Value) -> Option<&'a [Value]> {
        match value {
            Value::List(items) => Some(items),
            other => self.instead(other, "a list"),
        }
    }

    /// The fields of an object.
    #[inline(never)]
    pub(crate) fn object<'a>(&mut self, value: &'a Value) -> Option<&'a [(String, Value)]> {
        match value {
            Value::Object(fields) => Some(fields),
            other => self.instead(other, "an object"),
        }
    }

    fn instead<T>(&mut self, found: &Value, wanted: &str) -> Option<T> {
        self.note(found.instead_of(wanted));
        None
    }

    /// The one key of an object, as a value, and what stands under it: how a variant with content is written.
    #[inline(never)]
    pub(crate) fn variant<'a>(&mut self, value: &'a Value) -> Option<(Value, &'a Value)> {
        let Some([(key, content)]) = self.object(value) else {
            self.say(format_args!("an object must have exactly one key here"));
            return None;
        };
        Some((Value::Text(key.clone()), content))
    }

    /// The fields of an object that has no others than `names`.
    #[inline(never)]
    pub(crate) fn fields<'a>(&mut self, value: &'a Value, names: &[&str]) -> Option<Fields<'a>> {
        let fields = self.object(value)?;
        match fields.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            Some((key, _)) => {
                self.say(format_args!("unknown field `{key}`"));
                None
            }
            None => Some(Fields { fields, place_len: self.place.len() }),
        }
    }

    /// The number of the word in a closed set.
    #[inline(never)]
    pub(crate) fn word(&mut self, value: &Value, words: &[&str]) -> Option<usize> {
        let text = self.text(value)?;
        let at = words.iter().position(|word| *word == text);
        if at.is_none() {
            self.say(format_args!("unknown word `{text}`"));
        }
        at
    }

    /// Reads one field. There are some sixty copies of this.
    #[inline(never)]
    pub(crate) fn take<T: Decode>(&mut self, fields: &Fields<'_>, name: &str) -> Option<T> {
        match self.enter(fields, name, T::absent().is_none()) {
            Some(value) => T::read(value, self),
            None => T::absent(),
        }
    }

    /// Goes to a field. `None`: it is absent, which is noted if it must be there.
    #[inline(never)]
    fn enter<'a>(&mut self, object: &Fields<'a>, name: &str, required: bool) -> Option<&'a Value> {
        self.leave(object.place_len);
        let found = object.fields.iter().find(|(key, _)| key == name);
        if found.is_some() {
            self.below(name);
        } else if required {
            self.say(format_args!("missing field `{name}`"));
        }
        found.map(|(_, value)| value)
    }

    /// All fields are read.
    #[inline(never)]
    pub(crate) fn close(&mut self, object: &Fields<'_>) {
        self.leave(object.place_len);
    }
}

impl JsonError {
    /// A text that its type refused.
    #[inline(never)]
    pub(crate) fn text(text: &str, error: &dyn Display) -> Self {
        Self::Shape(format!("`{text}`: {error}"))
    }

    /// A value that its type refused.
    #[inline(never)]
    pub(crate) fn value(error: &dyn Display) -> Self {
        Self::Shape(error.to_string())
    }
}

impl Decode for Value {
    fn read(value: &Value, _problem: &mut Problem) -> Option<Self> {
        Some(value.clone())
    }
}

impl Decode for bool {
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(*value),
            other => problem.instead(other, "a boolean"),
        }
    }

    fn absent() -> Option<Self> {
        Some(false)
    }
}

impl Decode for String {
    #[inline(never)]
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        problem.text(value).map(str::to_owned)
    }
}

impl<T: Decode> Decode for Option<T> {
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        T::read(value, problem).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Decode> Decode for Vec<T> {
    #[inline(never)]
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        // A plain loop: collecting results in place costs 3 KB of code for each type.
        let mut list = Self::new();
        for item in problem.list(value)? {
            list.push(T::read(item, problem)?);
        }
        Some(list)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

/// Reads a structure: `decode_struct!(Type { field: "name in JSON", other: "otherName" or DEFAULT, … })`.
macro_rules! decode_struct {
    ($type:ident { $($field:ident: $name:literal $(or $default:expr)?),* $(,)? }) => {
        impl $crate::json::Decode for $type {
            #[inline(never)]
            fn read(value: &$crate::json::Value, problem: &mut $crate::json::Problem) -> Option<Self> {
                let fields = problem.fields(value, &[$($name),*])?;
                $(
                    let $field = problem.take(&fields, $name)?;
                    $(let $field = Option::unwrap_or($field, $default);)?
                )*
                problem.close(&fields);
                Some(Self { $($field),* })
            }
        }
    };
}

/// Reads types that are checked by `TryFrom<&str>`.
macro_rules! decode_text {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::json::Decode for $type {
            #[inline(never)]
            fn read(value: &$crate::json::Value, problem: &mut $crate::json::Problem) -> Option<Self> {
                let text = problem.text(value)?;
                Self::try_from(text).map_err(|error| problem.text_refused(text, &error)).ok()
            }
        }
    )*};
}

/// Reads types that are checked by `TryFrom<i64>`.
macro_rules! decode_number {
    ($($type:ty),* $(,)?) => {$(
        impl $crate::json::Decode for $type {
            #[inline(never)]
            fn read(value: &$crate::json::Value, problem: &mut $crate::json::Problem) -> Option<Self> {
                let number = problem.integer(value)?;
                Self::try_from(number).map_err(|error| problem.value_refused(&error)).ok()
            }
        }
    )*};
}

/// Reads a closed set of words: `decode_words!(Type { "word": Variant, … })`.
macro_rules! decode_words {
    ($type:ident { $($word:literal: $variant:ident),* $(,)? }) => {
        impl $crate::json::Decode for $type {
            fn read(value: &$crate::json::Value, problem: &mut $crate::json::Problem) -> Option<Self> {
                let at = problem.word(value, &[$($word),*])?;
                [$(Self::$variant),*].get(at).copied()
            }
        }
    };
}

pub(crate) use {decode_number, decode_struct, decode_text, decode_words};

decode_number!(u8, u16, u32, u64, usize, i64);
