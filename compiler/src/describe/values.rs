//! Values in words: from bytes in the node's order to what a manifest would say, the reverse of [`crate::check`]'s reader
//! of values.
//!
//! In:   bytes and the C type they have. Out: text, such as `10.0.0.1`, `443` or `{port: 443, on: true}`. Cannot fail: bytes
//! that are no value of the type (a truth value of 7, padding that is not zero) are shown as bytes.
//!
//! Different bytes of one type have different texts: what a signer reads stands for one content only.

use std::net::{Ipv4Addr, Ipv6Addr};

use nodeplan::digest::to_hex;

use crate::object::shape::{Field, Form, Shape};

/// `bytes` as a manifest writes a value of `shape`; bytes in hexadecimal, where it has no other form.
pub fn written(bytes: &[u8], shape: &Shape) -> String {
    value(bytes, shape).unwrap_or_else(|| hex(bytes))
}

/// The key of an `lpm_trie` (linux `struct bpf_lpm_trie_key`): a network, if it is one of IPv4 or IPv6.
pub fn network(bytes: &[u8]) -> Option<String> {
    let (length, address) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    (length as usize <= address.len() * 8).then_some(())?;
    Some(match address.len() {
        4 => format!("{}/{length}", ipv4(address)?),
        16 => format!("{}/{length}", ipv6(address)?),
        _ => return None,
    })
}

fn hex(bytes: &[u8]) -> String {
    format!("0x{}", to_hex(bytes))
}

fn value(bytes: &[u8], shape: &Shape) -> Option<String> {
    if bytes.len() != shape.size as usize {
        return None;
    }
    match &shape.form {
        Form::Int { signed } => Some(number(bytes, *signed)?.to_string()),
        Form::Char => Some(number(bytes, false)?.to_string()),
        Form::Network if bytes.len() == 4 => ipv4(bytes),
        Form::Network => {
            let swapped: Vec<u8> = bytes.iter().rev().copied().collect();
            Some(number(&swapped, false)?.to_string())
        }
        Form::Bool => match bytes {
            [0] => Some("false".to_owned()),
            [1] => Some("true".to_owned()),
            _ => None,
        },
        Form::Enum { signed, values } => {
            let number = number(bytes, *signed)?;
            // Several names may have one value; the first stands for all.
            let name = values.iter().find(|(_, value)| *value == number).map(|(name, _)| name.clone());
            Some(name.unwrap_or_else(|| number.to_string()))
        }
        Form::Ipv6 => ipv6(bytes),
        Form::Array { .. } if shape.is_text() => text(bytes),
        Form::Array { .. } if shape.is_bytes() => match bytes.len() {
            4 => ipv4(bytes),
            6 => Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")),
            16 => ipv6(bytes),
            _ => None,
        },
        Form::Array { element, .. } if element.form == Form::Network && bytes.len() == 16 => ipv6(bytes),
        Form::Array { element, .. } => {
            let items = bytes.chunks_exact((element.size as usize).max(1)).map(|item| written(item, element));
            Some(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
        }
        Form::Struct(fields) => structure(bytes, fields),
        Form::Opaque { .. } => None,
    }
}

fn structure(bytes: &[u8], fields: &[Field]) -> Option<String> {
    let mut hidden = bytes.to_vec();
    let mut members = Vec::new();
    for field in fields {
        let range = field.offset as usize..field.offset.checked_add(field.shape.size)? as usize;
        let own = bytes.get(range.clone())?;
        if field.is_padding() && own.iter().all(|byte| *byte == 0) {
            continue;
        }
        hidden.get_mut(range)?.fill(0);
        members.push((field, written(own, &field.shape)));
    }
    // Between members: nobody could see it.
    if hidden.iter().any(|byte| *byte != 0) {
        return None;
    }
    match (fields, members.as_slice()) {
        ([only], [(_, value)]) if only.shape.size as usize == bytes.len() => Some(value.clone()),
        (_, members) => {
            let members = members.iter().map(|(field, value)| format!("{}: {value}", field.name));
            Some(format!("{{{}}}", members.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Little-endian, of at most 64 bits.
fn number(bytes: &[u8], signed: bool) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    let negative = signed && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

fn ipv4(bytes: &[u8]) -> Option<String> {
    Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string())
}

fn ipv6(bytes: &[u8]) -> Option<String> {
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string())
}

/// Text up to a NUL that only zeros follow, in quotes.
fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at(end);
    if rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let text: String = std::str::from_utf8(text).ok()?.chars().flat_map(char::escape_debug).collect();
    Some(format!("\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(form: Form, size: u32) -> Shape {
        Shape { size, form, c_type: String::new() }
    }

    fn array(form: Form, size: u32, count: u32) -> Shape {
        shape(Form::Array { element: Box::new(shape(form, size)), count }, size * count)
    }

    fn field(name: &str, offset: u32, shape: Shape) -> Field {
        Field { name: name.to_owned(), offset, shape }
    }

    #[test]
    fn bytes_become_what_a_manifest_writes() {
        let (unsigned, signed) = (Form::Int { signed: false }, Form::Int { signed: true });
        let colours = Form::Enum { signed: false, values: vec![("RED".to_owned(), 1)] };
        let pair = || {
            let fields = vec![
                field("port", 0, shape(Form::Network, 2)),
                field("pad", 2, shape(unsigned.clone(), 1)),
                field("on", 3, shape(Form::Bool, 1)),
            ];
            shape(Form::Struct(fields), 4)
        };
        let gap = shape(Form::Struct(vec![field("a", 0, shape(unsigned.clone(), 1))]), 4);
        let one = shape(Form::Struct(vec![field("s_addr", 0, shape(Form::Network, 4))]), 4);
        let six = [vec![0x20, 1, 0x0d, 0xb8], vec![0; 11], vec![1]].concat();
        let cases: Vec<(&str, Vec<u8>, Shape, &str)> = vec![
            ("u32", vec![0x61, 0x1e, 0, 0], shape(unsigned.clone(), 4), "7777"),
            ("u64", vec![255; 8], shape(unsigned.clone(), 8), "18446744073709551615"),
            ("signed", vec![0xfe, 0xff], shape(signed, 2), "-2"),
            ("char", vec![65], shape(Form::Char, 1), "65"),
            ("port", vec![1, 0xbb], shape(Form::Network, 2), "443"),
            ("address", vec![10, 0, 0, 1], shape(Form::Network, 4), "10.0.0.1"),
            ("true", vec![1], shape(Form::Bool, 1), "true"),
            ("no truth value", vec![7], shape(Form::Bool, 1), "0x07"),
            ("name", vec![1, 0, 0, 0], shape(colours.clone(), 4), "RED"),
            ("no name", vec![2, 0, 0, 0], shape(colours, 4), "2"),
            ("text", b"eth0\0\0".to_vec(), array(Form::Char, 1, 6), "\"eth0\""),
            ("text with a tail", b"eth\0x\0".to_vec(), array(Form::Char, 1, 6), "0x657468007800"),
            ("text without end", b"eth000".to_vec(), array(Form::Char, 1, 6), "0x657468303030"),
            ("IPv4 in bytes", vec![10, 0, 0, 2], array(unsigned.clone(), 1, 4), "10.0.0.2"),
            ("MAC", vec![0x52, 0x54, 0, 1, 2, 3], array(unsigned.clone(), 1, 6), "52:54:00:01:02:03"),
            ("bytes", vec![1, 2, 3], array(unsigned.clone(), 1, 3), "0x010203"),
            ("IPv6 in bytes", six.clone(), array(unsigned.clone(), 1, 16), "2001:db8::1"),
            ("IPv6 in words", six.clone(), array(Form::Network, 4, 4), "2001:db8::1"),
            ("in6_addr", six, shape(Form::Ipv6, 16), "2001:db8::1"),
            ("list", vec![1, 0, 2, 0], array(unsigned.clone(), 2, 2), "[1, 2]"),
            ("in_addr", vec![10, 0, 0, 3], one, "10.0.0.3"),
            ("struct", vec![1, 0xbb, 0, 1], pair(), "{port: 443, on: true}"),
            ("struct with padding", vec![1, 0xbb, 9, 0], pair(), "{port: 443, pad: 9, on: false}"),
            ("struct with a gap", vec![5, 0, 0, 0], gap.clone(), "{a: 5}"),
            ("something in the gap", vec![5, 0, 1, 0], gap, "0x05000100"),
            ("another size", vec![5], shape(Form::Network, 4), "0x05"),
            ("opaque", vec![5, 6], Shape::bytes(2), "0x0506"),
        ];
        for (name, bytes, shape, want) in cases {
            assert_eq!(written(&bytes, &shape), want, "case: {name}");
        }
    }

    #[test]
    fn keys_of_tries_are_networks() {
        assert_eq!(network(&[8, 0, 0, 0, 10, 0, 0, 0]).as_deref(), Some("10.0.0.0/8"));
        let six = [vec![32, 0, 0, 0, 0x20, 1, 0x0d, 0xb8], vec![0; 12]].concat();
        assert_eq!(network(&six).as_deref(), Some("2001:db8::/32"));
        for odd in [vec![33, 0, 0, 0, 10, 0, 0, 0], vec![8, 0, 0, 0, 1, 2], vec![1]] {
            assert_eq!(network(&odd), None, "{odd:?}");
        }
    }
}
