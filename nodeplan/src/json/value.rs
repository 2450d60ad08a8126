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

/// The first thing that is wrong with a value, while it is read.
#[derive(Debug, Default)]
pub struct Problem(Option<JsonError>);

// Nothing here depends on the type that is read, but for `take`.
impl Problem {
    /// Notes an error, unless there is one already.
    #[inline(never)]
    pub fn note(&mut self, error: JsonError) {
        if self.0.is_none() {
            self.0 = Some(error);
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
        self.0.unwrap_or_else(|| JsonError::Shape(String::new()))
    }

    /// The error happened below `field`.
    #[inline(never)]
    pub(crate) fn below(&mut self, field: &str) {
        self.0 = self.0.take().map(|error| error.below(field));
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
    pub(crate) fn fields<'a>(&mut self, value: &'a Value, names: &[&str]) -> Option<&'a [(String, Value)]> {
        let fields = self.object(value)?;
        match fields.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            Some((key, _)) => {
                self.say(format_args!("unknown field `{key}`"));
                None
            }
            None => Some(fields),
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
    pub(crate) fn take<T: Decode>(&mut self, fields: &[(String, Value)], name: &str) -> Option<T> {
        match self.field(fields, name) {
            Field::Found(value) => {
                let read = T::read(value, self);
                if read.is_none() {
                    self.below(name);
                }
                read
            }
            Field::Absent => {
                let absent = T::absent();
                if absent.is_none() {
                    self.missing(name);
                }
                absent
            }
            Field::TooLate => None,
        }
    }

    #[inline(never)]
    fn field<'a>(&self, fields: &'a [(String, Value)], name: &str) -> Field<'a> {
        match fields.iter().find(|(key, _)| key == name) {
            _ if self.0.is_some() => Field::TooLate,
            Some((_, value)) => Field::Found(value),
            None => Field::Absent,
        }
    }

    #[inline(never)]
    fn missing(&mut self, name: &str) {
        self.say(format_args!("missing field `{name}`"));
    }
}

/// What a structure finds of a field.
enum Field<'a> {
    /// It is there.
    Found(&'a Value),
    /// It is not.
    Absent,
    /// Something else was wrong before.
    TooLate,
}

/// The fields of an object, while they are taken out. The first error is kept until [`Fields::close`].
#[derive(Debug)]
pub struct Fields {
    fields: Vec<(String, Value)>,
    problem: Problem,
}

impl Fields {
    /// The fields of `value`.
    pub fn open(value: Value) -> Self {
        let (mut fields, mut problem) = (Vec::new(), Problem::default());
        match value.into_object() {
            Ok(found) => fields = found,
            Err(error) => problem.note(error),
        }
        Self { fields, problem }
    }

    /// Takes the field `name` out. `None` only if [`Fields::close`] will fail.
    pub fn take<T: Decode>(&mut self, name: &'static str) -> Option<T> {
        let taken = self.problem.take(&self.fields, name);
        self.fields.retain(|(key, _)| key != name);
        taken
    }

    /// Ends: nothing may be left, and everything was as it should be.
    pub fn close(mut self) -> Result<(), JsonError> {
        if let Some((key, _)) = self.fields.first() {
            self.problem.say(format_args!("unknown field `{key}`"));
        }
        self.problem.0.map_or(Ok(()), Err)
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
                $(let $field = problem.take(fields, $name)$(.map(|given: Option<_>| given.unwrap_or($default)))?;)*
                match ($($field,)*) {
                    ($(Some($field),)*) => Some(Self { $($field),* }),
                    _ => None,
                }
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
