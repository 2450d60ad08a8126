//! Keys and values of maps: from what a person writes to bytes in the node's order.
//!
//! In:   a scalar and the C type it must fit. Out: exactly as many bytes as the type has.
//! May fail with: NB0319.
//!
//! Nodes are little-endian (`x86_64`, aarch64). `__be16`, `__be32` and `__be64` are in network order.

use std::net::Ipv4Addr;

use nodeplan::digest::{from_hex, to_hex};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    object::map::{ScalarType, Shape},
    source::Spanned,
    yaml::types::{Literal, Scalar},
};

/// Why a scalar does not fit, and what to write.
struct Misfit {
    message: String,
    help: String,
}

/// The bytes of `scalar`; `what` is "key" or "value".
pub(super) fn encode(scalar: &Spanned<Literal>, shape: &Shape, what: &str, diags: &mut Diagnostics) -> Option<Vec<u8>> {
    let bytes = match &scalar.value {
        Literal::Scalar(scalar) => to_bytes(scalar, shape),
        Literal::List(_) | Literal::Struct(_) => Err(wrong_kind(shape.scalar, shape.size as usize)),
    };
    match bytes {
        Ok(bytes) => Some(bytes),
        Err(misfit) => {
            let message = format!("{what} {} {}", written(&scalar.value), misfit.message);
            diags.push(
                Diagnostic::error(Code::EntryMismatch, message)
                    .at(scalar.span, format_args!("must fit {}", shown(&shape.c_type)))
                    .help(misfit.help),
            );
            None
        }
    }
}

fn written(literal: &Literal) -> String {
    match literal {
        Literal::Scalar(Scalar::Int(number)) => format!("`{number}`"),
        Literal::Scalar(Scalar::Bool(value)) => format!("`{value}`"),
        Literal::Scalar(Scalar::Text(text)) => format!("`{}`", shown(text)),
        Literal::List(_) => "list".to_owned(),
        Literal::Struct(_) => "map".to_owned(),
    }
}

fn to_bytes(scalar: &Scalar, shape: &Shape) -> Result<Vec<u8>, Misfit> {
    let size = shape.size as usize;
    match (shape.scalar, scalar) {
        (ScalarType::Int { signed }, Scalar::Int(number)) => number_bytes(*number, size, signed),
        (ScalarType::Network, Scalar::Int(number)) => {
            number_bytes(*number, size, false).map(|bytes| bytes.into_iter().rev().collect())
        }
        (ScalarType::Network, Scalar::Text(text)) if size == 4 && !text.starts_with("0x") => {
            text.parse::<Ipv4Addr>().map(|address| address.octets().to_vec()).map_err(|_| Misfit {
                message: "is not an IPv4 address".to_owned(),
                help: "write an address such as `10.0.0.1`".to_owned(),
            })
        }
        (ScalarType::Bool, Scalar::Bool(value)) => Ok(vec![u8::from(*value)]),
        (ScalarType::Bytes | ScalarType::Network, Scalar::Text(text)) => hex_bytes(text, size),
        (scalar, _) => Err(wrong_kind(scalar, size)),
    }
}

fn wrong_kind(wanted: ScalarType, size: usize) -> Misfit {
    let (message, help) = match wanted {
        ScalarType::Int { .. } => {
            ("is not a number", "write a number without quotes, such as `1` or `0x10`".to_owned())
        }
        ScalarType::Network if size == 4 => {
            ("is not an IPv4 address", "write an address such as `10.0.0.1`".to_owned())
        }
        ScalarType::Network => ("is not a number", "write a number without quotes; nodebpf swaps its bytes".to_owned()),
        ScalarType::Bool => ("is not a truth value", "write `true` or `false`".to_owned()),
        ScalarType::Bytes => ("is not a text of bytes", hex_help(size)),
    };
    Misfit { message: message.to_owned(), help }
}

fn hex_help(size: usize) -> String {
    let example = to_hex(&vec![0; size.min(8)]);
    let more = if size > 8 { "…" } else { "" };
    format!("write {size} bytes in the order of memory, in quotes: \"0x{example}{more}\"")
}

/// Little-endian bytes of a number that fits.
fn number_bytes(number: i128, size: usize, signed: bool) -> Result<Vec<u8>, Misfit> {
    let bits = u32::try_from(size * 8).unwrap_or(64).min(64);
    let (low, high) =
        if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    if !(low..=high).contains(&number) {
        return Err(Misfit {
            message: format!("is out of range; allowed are {low} to {high}"),
            help: "correct it, or use a wider type in the C source".to_owned(),
        });
    }
    Ok(number.to_le_bytes()[..size.min(16)].to_vec())
}

fn hex_bytes(text: &str, size: usize) -> Result<Vec<u8>, Misfit> {
    let bytes = text.strip_prefix("0x").and_then(|digits| from_hex(&digits.to_lowercase()));
    match bytes {
        Some(bytes) if bytes.len() == size => Ok(bytes),
        Some(bytes) => {
            Err(Misfit { message: format!("has {} bytes; {size} are needed", bytes.len()), help: hex_help(size) })
        }
        None => Err(Misfit { message: "is not hexadecimal".to_owned(), help: hex_help(size) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(scalar: ScalarType, size: u32) -> Shape {
        Shape { size, scalar, c_type: String::new() }
    }

    #[test]
    fn values_become_bytes() {
        let int = |signed| ScalarType::Int { signed };
        let text = |text: &str| Scalar::Text(text.to_owned());
        let cases: Vec<(&str, Scalar, Shape, Option<Vec<u8>>)> = vec![
            ("u8", Scalar::Int(255), shape(int(false), 1), Some(vec![255])),
            ("u8 too large", Scalar::Int(256), shape(int(false), 1), None),
            ("u8 negative", Scalar::Int(-1), shape(int(false), 1), None),
            ("i8", Scalar::Int(-128), shape(int(true), 1), Some(vec![0x80])),
            ("i8 too small", Scalar::Int(-129), shape(int(true), 1), None),
            ("u32", Scalar::Int(0x0102_0304), shape(int(false), 4), Some(vec![4, 3, 2, 1])),
            ("u64 max", Scalar::Int(u64::MAX.into()), shape(int(false), 8), Some(vec![255; 8])),
            ("u64 too large", Scalar::Int(i128::from(u64::MAX) + 1), shape(int(false), 8), None),
            ("i64 min", Scalar::Int(i64::MIN.into()), shape(int(true), 8), Some(vec![0, 0, 0, 0, 0, 0, 0, 0x80])),
            ("number as text", text("1"), shape(int(false), 4), None),
            ("number as bytes", text("0x00000001"), shape(int(false), 4), None),
            ("address", text("10.0.0.1"), shape(ScalarType::Network, 4), Some(vec![10, 0, 0, 1])),
            ("address as bytes", text("0x0a000001"), shape(ScalarType::Network, 4), Some(vec![10, 0, 0, 1])),
            ("address as number", Scalar::Int(0x0a00_0001), shape(ScalarType::Network, 4), Some(vec![10, 0, 0, 1])),
            ("no address", text("10.0.0.256"), shape(ScalarType::Network, 4), None),
            ("address with zeros", text("010.0.0.1"), shape(ScalarType::Network, 4), None),
            ("port", Scalar::Int(443), shape(ScalarType::Network, 2), Some(vec![1, 0xbb])),
            ("port too large", Scalar::Int(65536), shape(ScalarType::Network, 2), None),
            ("bool", Scalar::Bool(true), shape(ScalarType::Bool, 1), Some(vec![1])),
            ("bool as number", Scalar::Int(1), shape(ScalarType::Bool, 1), None),
            ("bytes", text("0xDEADbeef00"), shape(ScalarType::Bytes, 5), Some(vec![0xde, 0xad, 0xbe, 0xef, 0])),
            ("bytes short", text("0xdead"), shape(ScalarType::Bytes, 5), None),
            ("bytes odd", text("0xdea"), shape(ScalarType::Bytes, 2), None),
            ("bytes without 0x", text("dead"), shape(ScalarType::Bytes, 2), None),
            ("bytes as number", Scalar::Int(1), shape(ScalarType::Bytes, 2), None),
        ];
        for (name, scalar, shape, want) in cases {
            assert_eq!(to_bytes(&scalar, &shape).ok(), want, "case: {name}");
        }
    }
}
