//! YAML with places: from text to a tree, from a tree to raw types.
//!
//! [`parse`] is the only user of the YAML crate; [`decode`] is the only way from a tree to a raw type. The two are
//! separate so that all problems of a text are found in one run: a serde derive stops at the first.

pub mod decode;
mod explain;
pub mod parse;
pub mod schema;
mod syntax;
mod tags;
pub(crate) mod typed;
pub mod types;

use crate::source::Span;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Of scalars, the text as written. Of lists and maps, their start.
    pub span: Span,
    /// The value.
    pub value: Value,
}

/// A value, typed by the YAML 1.2 core schema.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, decimal, `0x` or `0o`.
    Int(i128),
    /// Any other number.
    Float,
    /// Text, quoted or plain.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in written order; keys may stand twice until [`decode`] has looked.
    Map(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its place.
    pub span: Span,
    /// Its text.
    pub text: String,
}

impl Value {
    /// What it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "no value",
            Self::Bool(_) => "a truth value",
            Self::Int(_) | Self::Float => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}
