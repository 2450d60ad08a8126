//! Keys of LPM tries: networks as `10.0.0.0/8`.
//!
//! In:   a literal and the map's key type. Out: the key's bytes: prefix length in the machine's order, address in
//! network order. May fail with: NB0319.
//!
//! Source: linux `kernel/bpf/lpm_trie.c`: the key is `struct bpf_lpm_trie_key`, data is compared from its first bit on.

use std::net::IpAddr;

use super::{
    scalars::Misfit,
    values::{self, Subject},
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    object::shape::{Form, Shape},
    source::Spanned,
    yaml::types::{Literal, Scalar},
};

/// Bytes of the prefix length in front of the data.
const PREFIX_BYTES: usize = 4;

/// The bytes of a key: a network, or whatever else fits the key's type.
pub(super) fn key(literal: &Spanned<Literal>, shape: &Shape, diags: &mut Diagnostics) -> Option<Vec<u8>> {
    let subject = Subject { what: "key", name: "", code: Code::EntryMismatch };
    let bytes = match &literal.value {
        Literal::Scalar(Scalar::Text(text)) if !text.starts_with("0x") => match network(text, shape.size as usize) {
            Ok(bytes) => bytes,
            Err(misfit) => {
                refuse(literal, shape, &misfit, diags);
                return None;
            }
        },
        _ => values::encode(literal, shape, subject, diags)?,
    };
    match sound(&bytes) {
        Ok(()) => Some(bytes),
        Err(misfit) => {
            refuse(literal, shape, &misfit, diags);
            None
        }
    }
}

/// Whether a type can be the key of an LPM trie: a `__u32` in front, data behind.
pub(super) fn fits(shape: &Shape) -> bool {
    let first = match &shape.form {
        Form::Struct(fields) => fields.first().is_some_and(|field| field.offset == 0 && field.shape.size == 4),
        // `__uint(key_size, 8)`: nothing is known, nothing is wrong.
        Form::Opaque { .. } => true,
        Form::Int { .. }
        | Form::Char
        | Form::Network
        | Form::Bool
        | Form::Enum { .. }
        | Form::Array { .. }
        | Form::Ipv6 => false,
    };
    first && shape.size as usize > PREFIX_BYTES
}

fn refuse(literal: &Spanned<Literal>, shape: &Shape, misfit: &Misfit, diags: &mut Diagnostics) {
    let message = match &literal.value {
        Literal::Scalar(scalar) => format!("key {} {}", values::written(scalar), misfit.message),
        Literal::List(_) | Literal::Struct(_) => format!("key {}", misfit.message),
    };
    diags.push(
        Diagnostic::error(Code::EntryMismatch, message)
            .at(literal.span, format_args!("must fit {}", shown(&shape.c_type)))
            .help(&misfit.help),
    );
}

fn network(text: &str, size: usize) -> Result<Vec<u8>, Misfit> {
    let data = size.saturating_sub(PREFIX_BYTES);
    let example = if data == 16 { "2001:db8::/32" } else { "10.0.0.0/8" };
    let no_network = || Misfit::new("is not a network", format!("write it like `{example}`"));
    let Some((address, length)) = text.split_once('/') else {
        let whole = if data == 16 { 128 } else { 32 };
        let help = match text.parse::<IpAddr>() {
            Ok(_) => format!("write `{text}/{whole}` for this one address"),
            Err(_) => format!("write it like `{example}`"),
        };
        return Err(Misfit::new("is not a network: it has no `/` and length", help));
    };
    let address: IpAddr = address.parse().map_err(|_| no_network())?;
    let octets = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if octets.len() != data {
        return Err(Misfit::new(
            format!("has an address of {} bytes; the map's key has {data}", octets.len()),
            match data {
                4 | 16 => format!("write it like `{example}`"),
                _ => "write the key as a map of its members, or as bytes: \"0x…\"".to_owned(),
            },
        ));
    }
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let bits: u32 = length.parse().ok().filter(|_| plain).ok_or_else(no_network)?;
    Ok([bits.to_le_bytes().to_vec(), octets].concat())
}

/// Length within the address, no bit set behind it.
fn sound(key: &[u8]) -> Result<(), Misfit> {
    let Some((length, data)) = key.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Misfit::new(
            "has no room for a prefix length",
            "declare the key as a struct: __u32, then the address",
        ));
    };
    let (bits, max) = (u32::from_le_bytes(*length), data.len() * 8);
    let Some(bits) = usize::try_from(bits).ok().filter(|bits| *bits <= max) else {
        return Err(Misfit::new(
            format!("has a prefix of {bits} bits; the address has {max}"),
            format!("write a length from 0 to {max}"),
        ));
    };
    let mask = |at: usize| match bits.saturating_sub(at * 8) {
        0 => 0,
        rest @ 1..8 => 0xff_u8 << (8 - rest),
        _ => 0xff,
    };
    let network: Vec<_> = data.iter().enumerate().map(|(at, byte)| byte & mask(at)).collect();
    if network == data {
        return Ok(());
    }
    let help = match network.len() {
        4 | 16 => format!("write `{}/{bits}`", address(&network)),
        _ => "clear the bits behind the prefix".to_owned(),
    };
    Err(Misfit::new(format!("has bits set behind its prefix of {bits}"), help))
}

fn address(bytes: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return IpAddr::from(octets).to_string();
    }
    <[u8; 16]>::try_from(bytes).map(|octets| IpAddr::from(octets).to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_become_keys() {
        let v6 = |first: [u8; 4], bits: u8| Some([vec![bits, 0, 0, 0], first.to_vec(), vec![0; 12]].concat());
        for (text, size, want) in [
            ("10.0.0.0/8", 8, Some(vec![8, 0, 0, 0, 10, 0, 0, 0])),
            ("0.0.0.0/0", 8, Some(vec![0; 8])),
            ("10.1.2.3/32", 8, Some(vec![32, 0, 0, 0, 10, 1, 2, 3])),
            ("10.128.0.0/9", 8, Some(vec![9, 0, 0, 0, 10, 128, 0, 0])),
            ("2001:db8::/32", 20, v6([0x20, 1, 0x0d, 0xb8], 32)),
            ("::/0", 20, v6([0; 4], 0)),
            ("10.0.0.1/8", 8, None),
            ("10.192.0.0/9", 8, None),
            ("10.0.0.0/33", 8, None),
            ("10.0.0.0/+8", 8, None),
            ("10.0.0.0/", 8, None),
            ("10.0.0.0", 8, None),
            ("10.0.0.0/8", 20, None),
            ("2001:db8::/32", 8, None),
            ("10.0.0.0/99999999999", 8, None),
        ] {
            let found = network(text, size).ok().filter(|bytes| sound(bytes).is_ok());
            assert_eq!(found, want, "case: {text} {size}");
        }
    }
}
