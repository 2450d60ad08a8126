//! Literals: bytes of a variable as a manifest would write them.
//!
//! In:   bytes and their C type. Out: YAML in flow style that gives the same bytes again; nothing if it would be long.

use std::net::{Ipv4Addr, Ipv6Addr};

use nodeplan::digest::to_hex;

use crate::object::shape::{Form, Shape};

/// Longest literal, in characters.
const MAX_CHARS: usize = 90;

/// The bytes as YAML.
pub(super) fn written(bytes: &[u8], shape: &Shape) -> Option<String> {
    (bytes.len() == shape.size as usize && bytes.len() <= 256).then_some(())?;
    write(bytes, shape).filter(|text| text.chars().count() <= MAX_CHARS)
}

fn write(bytes: &[u8], shape: &Shape) -> Option<String> {
    let hex = || Some(format!("\"0x{}\"", to_hex(bytes)));
    match &shape.form {
        Form::Int { signed } => Some(number(bytes, *signed).to_string()),
        Form::Char => Some(number(bytes, false).to_string()),
        Form::Bool => match bytes {
            [0] => Some("false".to_owned()),
            [1] => Some("true".to_owned()),
            _ => None,
        },
        Form::Network => Some(match <[u8; 4]>::try_from(bytes) {
            Ok(octets) => Ipv4Addr::from(octets).to_string(),
            Err(_) => number(&bytes.iter().rev().copied().collect::<Vec<_>>(), false).to_string(),
        }),
        Form::Enum { signed, values } => {
            let number = number(bytes, *signed);
            let named = values.iter().find(|(name, value)| *value == number && is_identifier(name));
            let name = named.map(|(name, _)| name.clone());
            Some(name.unwrap_or_else(|| number.to_string()))
        }
        Form::Ipv6 => Some(format!("\"{}\"", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        Form::Array { .. } if shape.is_text() => {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            let rest_is_zero = bytes.get(end..)?.iter().all(|byte| *byte == 0);
            rest_is_zero.then_some(())?;
            Some(text(std::str::from_utf8(bytes.get(..end)?).ok()?))
        }
        Form::Array { .. } if shape.is_bytes() => match bytes.len() {
            6 => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")),
            _ => hex(),
        },
        Form::Array { element, .. } => {
            let size = usize::try_from(element.size).ok().filter(|size| *size > 0)?;
            let items: Option<Vec<_>> = bytes.chunks_exact(size).map(|item| write(item, element)).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Form::Struct(fields) => {
            let member = |field: &crate::object::shape::Field| {
                let start = field.offset as usize;
                let bytes = bytes.get(start..start.checked_add(field.shape.size as usize)?)?;
                is_identifier(&field.name).then_some(())?;
                Some(format!("{}: {}", field.name, write(bytes, &field.shape)?))
            };
            let members: Option<Vec<_>> = fields.iter().map(member).collect();
            Some(format!("{{{}}}", members?.join(", ")))
        }
        Form::Opaque { .. } => hex(),
    }
}

/// Whether a name may stand in YAML as it is. Names of an object are not trusted.
fn is_identifier(name: &str) -> bool {
    nodeplan::name::GlobalName::try_from(name).is_ok()
}

fn number(bytes: &[u8], signed: bool) -> i128 {
    let negative = signed && bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    for (to, from) in wide.iter_mut().zip(bytes) {
        *to = *from;
    }
    i128::from_le_bytes(wide)
}

/// Text in double quotes.
pub(super) fn text(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
