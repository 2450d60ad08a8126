//! Single values: from a number, a truth value or text to bytes in the node's order.
//!
//! In:   a [`Scalar`] and the C type it must fit. Out: exactly as many bytes as the type has.
//! May fail with: a [`Misfit`], which [`super::values`] reports.
//!
//! Nodes are little-endian (`x86_64`, aarch64). `__be16`, `__be32` and `__be64` are in network order.

use std::net::{Ipv4Addr, Ipv6Addr};

use nodeplan::digest::{from_hex, to_hex};

use crate::{
    diag::{one_of, shown},
    object::shape::{Form, Shape},
    suggest::nearest,
    yaml::types::Scalar,
};

/// Why a value does not fit, and what to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Behind the value, such as "is not a number".
    pub(super) message: String,
    /// A thing to type.
    pub(super) help: String,
}

impl Misfit {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// The bytes of one value.
pub(super) fn to_bytes(scalar: &Scalar, shape: &Shape) -> Result<Vec<u8>, Misfit> {
    let size = shape.size as usize;
    match (&shape.form, scalar) {
        (Form::Int { signed } | Form::Enum { signed, .. }, Scalar::Int(number)) => number_bytes(*number, size, *signed),
        // `char` is signed on x86_64 and not on aarch64; either reading of a byte fits.
        (Form::Char, Scalar::Int(number)) if *number < 0 => number_bytes(*number, size, true),
        (Form::Char, Scalar::Int(number)) => number_bytes(*number, size, false),
        (Form::Network, Scalar::Int(number)) => {
            number_bytes(*number, size, false).map(|bytes| bytes.into_iter().rev().collect())
        }
        (Form::Network, Scalar::Text(text)) if size == 4 && !text.starts_with("0x") => ipv4(text),
        (Form::Network, Scalar::Text(text)) => hex_bytes(text, size),
        (Form::Bool, Scalar::Bool(value)) => Ok(vec![u8::from(*value)]),
        (Form::Enum { signed, values }, Scalar::Text(text)) => match values.iter().find(|(name, _)| name == text) {
            Some((_, value)) => number_bytes(*value, size, *signed),
            None => Err(no_such_name(text, values)),
        },
        (Form::Ipv6, Scalar::Text(text)) if text.starts_with("0x") => hex_bytes(text, size),
        (Form::Ipv6, Scalar::Text(text)) => ipv6(text),
        (Form::Array { .. }, Scalar::Text(text)) if shape.is_text() => c_string(text, size),
        (Form::Array { .. }, Scalar::Text(text)) => array_text(text, shape),
        // A struct of one member, such as `struct in_addr`, is written like the member.
        (Form::Struct(fields), scalar)
            if !is_hex(scalar) && fields.len() == 1 && fields[0].shape.size == shape.size =>
        {
            to_bytes(scalar, &fields[0].shape)
        }
        (Form::Struct(_) | Form::Opaque { .. }, Scalar::Text(text)) if text.starts_with("0x") => hex_bytes(text, size),
        _ => Err(wrong_kind(shape)),
    }
}

fn is_hex(scalar: &Scalar) -> bool {
    matches!(scalar, Scalar::Text(text) if text.starts_with("0x"))
}

/// Addresses and bytes, for an array that is no C string.
fn array_text(text: &str, shape: &Shape) -> Result<Vec<u8>, Misfit> {
    let size = shape.size as usize;
    let network = matches!(&shape.form, Form::Array { element, .. } if element.form == Form::Network);
    match size {
        _ if text.starts_with("0x") && (shape.is_bytes() || network) => hex_bytes(text, size),
        4 if shape.is_bytes() => ipv4(text),
        6 if shape.is_bytes() => mac(text),
        16 if shape.is_bytes() || network => ipv6(text),
        _ => Err(wrong_kind(shape)),
    }
}

/// For a value of another kind than the type takes.
pub(super) fn wrong_kind(shape: &Shape) -> Misfit {
    let size = shape.size as usize;
    let number = "write a number without quotes, such as `1` or `0x10`";
    match &shape.form {
        Form::Int { .. } | Form::Char => Misfit::new("is not a number", number),
        Form::Network if size == 4 => Misfit::new("is not an IPv4 address", "write an address such as `10.0.0.1`"),
        Form::Network => Misfit::new("is not a number", "write a number without quotes; nodebpf swaps its bytes"),
        Form::Bool => Misfit::new("is not a truth value", "write `true` or `false`"),
        Form::Enum { values, .. } => Misfit::new("is not one of its names", names_help(values)),
        Form::Ipv6 => Misfit::new("is not an IPv6 address", IPV6_HELP),
        Form::Array { .. } if shape.is_text() => {
            Misfit::new("is not text", "write text, in quotes if it looks like something else")
        }
        Form::Array { element, count } => match size {
            4 if shape.is_bytes() => Misfit::new("is not an IPv4 address, list or bytes", bytes_help("10.0.0.1", size)),
            6 if shape.is_bytes() => {
                Misfit::new("is not a MAC address, list or bytes", bytes_help("52:54:00:12:34:56", size))
            }
            16 if shape.is_bytes() => {
                Misfit::new("is not an IPv6 address, list or bytes", bytes_help("2001:db8::1", size))
            }
            _ if shape.is_bytes() => Misfit::new("is not a text of bytes", hex_help(size)),
            _ => Misfit::new(
                "is not a list",
                format!("write a list of {count} items, each for {}: `[…, …]`", shown(&element.c_type)),
            ),
        },
        Form::Struct(fields) => {
            let members: Vec<_> = fields.iter().take(4).map(|field| format!("{}: …", field.name)).collect();
            let more = if fields.len() > 4 { ", …" } else { "" };
            Misfit::new("is not a map of members", format!("write its members: `{{{}{more}}}`", members.join(", ")))
        }
        Form::Opaque { why } if why.is_empty() => Misfit::new("is not a text of bytes", hex_help(size)),
        Form::Opaque { why } => Misfit::new(format!("must be bytes: {why}"), hex_help(size)),
    }
}

fn bytes_help(example: &str, size: usize) -> String {
    format!("write it like `{example}`, or {}", hex_help(size).trim_start_matches("write "))
}

fn hex_help(size: usize) -> String {
    let example = to_hex(&vec![0; size.min(8)]);
    let more = if size > 8 { "…" } else { "" };
    format!("write {size} bytes in the order of memory, in quotes: \"0x{example}{more}\"")
}

fn names_help(values: &[(String, i128)]) -> String {
    let known = one_of(values.iter().take(8).map(|(name, _)| name.as_str()));
    if values.len() > 8 { format!("its names are {known} and others") } else { format!("write {known}") }
}

fn no_such_name(text: &str, values: &[(String, i128)]) -> Misfit {
    let help = match nearest(text, values.iter().map(|(name, _)| name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => names_help(values),
    };
    Misfit::new("is not one of its names", help)
}

/// Little-endian bytes of a number that fits.
pub(super) fn number_bytes(number: i128, size: usize, signed: bool) -> Result<Vec<u8>, Misfit> {
    let bits = u32::try_from(size * 8).unwrap_or(64).clamp(1, 64);
    let (low, high) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    if !(low..=high).contains(&number) {
        return Err(Misfit::new(
            format!("is out of range; allowed are {low} to {high}"),
            "correct it, or use a wider type in the C source",
        ));
    }
    Ok(number.to_le_bytes()[..size.min(16)].to_vec())
}

fn hex_bytes(text: &str, size: usize) -> Result<Vec<u8>, Misfit> {
    let bytes = text.strip_prefix("0x").and_then(|digits| from_hex(&digits.to_lowercase()));
    match bytes {
        Some(bytes) if bytes.len() == size => Ok(bytes),
        Some(bytes) => Err(Misfit::new(format!("has {} bytes; {size} are needed", bytes.len()), hex_help(size))),
        None if text.len() % 2 == 1 && text[2..].bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            Err(Misfit::new("has half a byte: an odd number of digits", hex_help(size)))
        }
        None => Err(Misfit::new("is not hexadecimal", hex_help(size))),
    }
}

fn ipv4(text: &str) -> Result<Vec<u8>, Misfit> {
    let address = text.parse::<Ipv4Addr>().map(|address| address.octets().to_vec());
    address.map_err(|_| Misfit::new("is not an IPv4 address", "write an address such as `10.0.0.1`"))
}

const IPV6_HELP: &str = "write an address such as `2001:db8::1`; an IPv4 address is mapped as `::ffff:10.0.0.1`";

fn ipv6(text: &str) -> Result<Vec<u8>, Misfit> {
    let address = text.parse::<Ipv6Addr>().map(|address| address.octets().to_vec());
    address.map_err(|_| Misfit::new("is not an IPv6 address", IPV6_HELP))
}

fn mac(text: &str) -> Result<Vec<u8>, Misfit> {
    // People paste what their switch shows.
    let address = nodeplan::selector::MacAddress::try_from(text.to_lowercase().replace('-', ":").as_str());
    let address = address.map(|address| address.bytes().to_vec());
    address.map_err(|_| Misfit::new("is not a MAC address", bytes_help("52:54:00:12:34:56", 6)))
}

/// Text with a NUL behind it and zeros up to the end.
fn c_string(text: &str, size: usize) -> Result<Vec<u8>, Misfit> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.contains(&0) {
        return Err(Misfit::new("has a NUL inside", "remove it: in C the text ends there"));
    }
    if bytes.len() >= size {
        let room = size.saturating_sub(1);
        return Err(Misfit::new(
            format!("has {} bytes; {room} fit before the closing NUL", bytes.len()),
            "shorten it, or use a longer array in the C source",
        ));
    }
    bytes.resize(size, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(form: Form, size: u32) -> Shape {
        Shape { size, form, c_type: "type".to_owned() }
    }

    fn array(form: Form, size: u32, count: u32) -> Shape {
        let element = Box::new(shape(form, size));
        shape(Form::Array { element, count }, size * count)
    }

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn values_become_bytes() {
        let (signed, unsigned) = (Form::Int { signed: true }, Form::Int { signed: false });
        let opaque = || Form::Opaque { why: String::new() };
        let bytes = |count| array(Form::Int { signed: false }, 1, count);
        let colours = Form::Enum { signed: false, values: vec![("RED".to_owned(), 1), ("BLUE".to_owned(), 0x200)] };
        let six = |last: u8| [vec![0x20, 1, 0x0d, 0xb8], vec![0; 11], vec![last]].concat();
        let cases: Vec<(&str, Scalar, Shape, Option<Vec<u8>>)> = vec![
            ("byte", Scalar::Int(255), shape(unsigned.clone(), 1), Some(vec![255])),
            ("byte too large", Scalar::Int(256), shape(unsigned.clone(), 1), None),
            ("negative", Scalar::Int(-1), shape(unsigned.clone(), 4), None),
            ("signed", Scalar::Int(-2), shape(signed.clone(), 2), Some(vec![0xfe, 0xff])),
            ("signed too small", Scalar::Int(-129), shape(signed, 1), None),
            ("u64", Scalar::Int(i128::from(u64::MAX)), shape(unsigned.clone(), 8), Some(vec![255; 8])),
            ("number in quotes", text("1"), shape(unsigned.clone(), 4), None),
            ("bool for number", Scalar::Bool(true), shape(unsigned, 4), None),
            ("address", text("10.0.0.1"), shape(Form::Network, 4), Some(vec![10, 0, 0, 1])),
            ("address as bytes", text("0x0a000001"), shape(Form::Network, 4), Some(vec![10, 0, 0, 1])),
            ("address as number", Scalar::Int(0x0a00_0001), shape(Form::Network, 4), Some(vec![10, 0, 0, 1])),
            ("no address", text("10.0.0.256"), shape(Form::Network, 4), None),
            ("address with zeros", text("010.0.0.1"), shape(Form::Network, 4), None),
            ("port", Scalar::Int(443), shape(Form::Network, 2), Some(vec![1, 0xbb])),
            ("port too large", Scalar::Int(65536), shape(Form::Network, 2), None),
            ("bool", Scalar::Bool(true), shape(Form::Bool, 1), Some(vec![1])),
            ("bool as number", Scalar::Int(1), shape(Form::Bool, 1), None),
            ("bytes", text("0xDEADbeef00"), shape(opaque(), 5), Some(vec![0xde, 0xad, 0xbe, 0xef, 0])),
            ("bytes short", text("0xdead"), shape(opaque(), 5), None),
            ("bytes odd", text("0xdea"), shape(opaque(), 2), None),
            ("bytes without 0x", text("dead"), shape(opaque(), 2), None),
            ("bytes as number", Scalar::Int(1), shape(opaque(), 2), None),
            ("name", text("BLUE"), shape(colours.clone(), 4), Some(vec![0, 2, 0, 0])),
            ("name unknown", text("GREEN"), shape(colours.clone(), 4), None),
            ("name as number", Scalar::Int(3), shape(colours, 4), Some(vec![3, 0, 0, 0])),
            ("text", text("eth0"), array(Form::Char, 1, 6), Some(b"eth0\0\0".to_vec())),
            ("text that just fits", text("eth00"), array(Form::Char, 1, 6), Some(b"eth00\0".to_vec())),
            ("text without room for NUL", text("eth000"), array(Form::Char, 1, 6), None),
            ("text is counted in bytes", text("ääää"), array(Form::Char, 1, 8), None),
            ("text like hexadecimal is text", text("0x41"), array(Form::Char, 1, 6), Some(b"0x41\0\0".to_vec())),
            ("IPv4 in bytes", text("10.0.0.1"), bytes(4), Some(vec![10, 0, 0, 1])),
            ("MAC", text("52-54-00-12-34-5F"), bytes(6), Some(vec![0x52, 0x54, 0, 0x12, 0x34, 0x5f])),
            ("MAC short", text("52:54:00:12:34"), bytes(6), None),
            ("IPv6 in bytes", text("2001:db8::1"), bytes(16), Some(six(1))),
            ("IPv6 in words", text("2001:db8::2"), array(Form::Network, 4, 4), Some(six(2))),
            ("IPv6 in machine words", text("2001:db8::2"), array(Form::Int { signed: false }, 4, 4), None),
            ("in6_addr", text("2001:db8::3"), shape(Form::Ipv6, 16), Some(six(3))),
            ("in6_addr wants IPv6", text("10.0.0.1"), shape(Form::Ipv6, 16), None),
        ];
        for (name, scalar, shape, want) in cases {
            assert_eq!(to_bytes(&scalar, &shape).ok(), want, "case: {name}");
        }
    }
}
