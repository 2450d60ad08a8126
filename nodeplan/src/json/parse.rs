//! Bytes → [`Value`]: RFC 8259 without fractions and exponents, because no wire type has any.

use super::{JsonError, Value};
use crate::text;

/// Deepest nesting; wire types need 12.
const MAX_DEPTH: usize = 32;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, JsonError>;

pub(super) fn parse(bytes: &[u8]) -> Parsed<Value> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| JsonError::Syntax { at: error.valid_up_to(), why: "not UTF-8" })?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.skip_space();
    if parser.at == text.len() { Ok(value) } else { parser.wrong("the value has ended") }
}

impl Parser<'_> {
    fn wrong<T>(&self, why: &'static str) -> Parsed<T> {
        Err(JsonError::Syntax { at: self.at, why })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Takes `byte` if it comes next, behind white space.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let comes = self.peek() == Some(byte);
        self.at += usize::from(comes);
        comes
    }

    fn value(&mut self, depth: usize) -> Parsed<Value> {
        self.skip_space();
        if depth > MAX_DEPTH {
            return self.wrong("nested too deep");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.integer(),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Parsed<Value> {
        for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
            if self.text[self.at..].starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.wrong("a value must stand here")
    }

    fn integer(&mut self) -> Parsed<Value> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let digits = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let fraction = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if fraction || (self.at - digits > 1 && self.text.as_bytes()[digits] == b'0') {
            return self.wrong("numbers are integers without leading zeros");
        }
        match self.text[start..self.at].parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => self.wrong("a number must fit 64 bits"),
        }
    }

    fn list(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::List(items));
            }
            if !self.takes(b',') {
                return self.wrong("`,` or `]` must stand here");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut fields: Vec<(String, Value)> = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            if !self.takes(b':') {
                return self.wrong("`:` must stand here");
            }
            fields.push((key, self.value(depth + 1)?));
            if self.takes(b'}') {
                let names = fields.iter().map(|(name, _)| &**name).collect();
                return match text::twice(names) {
                    Some(key) => Err(JsonError::DuplicateKey(key.to_owned())),
                    None => Ok(Value::Object(fields)),
                };
            }
            if !self.takes(b',') {
                return self.wrong("`,` or `}` must stand here");
            }
        }
    }

    fn string(&mut self) -> Parsed<String> {
        if self.peek() != Some(b'"') {
            return self.wrong("`\"` must stand here");
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(|c: char| c == '"' || c == '\\' || c < ' ').unwrap_or(rest.len());
            out.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return self.wrong("a string must end, and escape control characters"),
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let letter = self.text.as_bytes().get(self.at + 1).copied();
        if letter == Some(b'u') {
            return self.unicode();
        }
        let plain = [
            (b'"', '"'),
            (b'\\', '\\'),
            (b'/', '/'),
            (b'b', '\u{8}'),
            (b'f', '\u{c}'),
            (b'n', '\n'),
            (b'r', '\r'),
            (b't', '\t'),
        ];
        match plain.iter().find(|(byte, _)| Some(*byte) == letter) {
            Some((_, c)) => {
                self.at += 2;
                Ok(*c)
            }
            None => self.wrong("no such escape"),
        }
    }

    /// `\uXXXX`, or two of them that make a surrogate pair.
    fn unicode(&mut self) -> Parsed<char> {
        let high = self.unit()?;
        let point = if (0xd800..0xdc00).contains(&high) {
            let low = self.unit()?;
            if !(0xdc00..0xe000).contains(&low) {
                return self.wrong("half a surrogate pair");
            }
            0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
        } else {
            high
        };
        match char::from_u32(point) {
            Some(c) => Ok(c),
            None => self.wrong("half a surrogate pair"),
        }
    }

    fn unit(&mut self) -> Parsed<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 6).filter(|unit| unit.starts_with(b"\\u"));
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let unit = digits.and_then(|unit| unit[2..].iter().try_fold(0, |sum, byte| Some(sum << 4 | digit(byte)?)));
        match unit {
            Some(unit) => {
                self.at += 6;
                Ok(unit)
            }
            None => self.wrong("`\\u` must have four hexadecimal digits"),
        }
    }
}
