//! Render: bytes of a map as values, by their BTF types, in the forms in which a manifest writes them: `10.0.0.1` for
//! `__be32`, an address for 4, 6 or 16 bytes, text for `char`, truth values.
//!
//! In: BTF, a type, bytes. Out: a [`Value`]; hexadecimal text where the type is unknown or does not fit the bytes.
//! Cannot fail.

use std::net::{Ipv4Addr, Ipv6Addr};

use nodeplan::{digest::to_hex, json::Value};

use super::btf::{ARRAY, Btf, ENUM, ENUM64, INT, STRUCT, TYPEDEF, Type};
use crate::show::{digits, number, text};

/// Structures in structures. A map value is no tree.
const MAX_DEPTH: usize = 16;

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> Value {
    let mut out = "0x".to_owned();
    out.push_str(&to_hex(bytes));
    Value::Text(out)
}

/// The key of an `lpm_trie` (linux `struct bpf_lpm_trie_key`): a network of IPv4 or IPv6.
pub(crate) fn network(bytes: &[u8]) -> Option<Value> {
    let (length, address) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let Value::Text(mut out) = address_of(address).filter(|_| length as usize <= address.len() * 8)? else {
        return None;
    };
    out.push('/');
    out.push_str(&digits(length.into()));
    Some(Value::Text(out))
}

/// An address of IPv4 or IPv6, by the number of its bytes.
fn address_of(bytes: &[u8]) -> Option<Value> {
    let out = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string(),
        _ => return None,
    };
    Some(Value::Text(out))
}

/// Bytes that are no text.
fn plain_bytes(bytes: &[u8]) -> Value {
    if bytes.len() != 6 {
        return address_of(bytes).unwrap_or_else(|| hex(bytes));
    }
    let mut out = String::new();
    for byte in bytes {
        if !out.is_empty() {
            out.push(':');
        }
        out.push_str(&to_hex(&[*byte]));
    }
    Value::Text(out)
}

/// Text up to a NUL that only zeros follow.
fn c_text(bytes: &[u8]) -> Option<Value> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (said, rest) = bytes.split_at(end);
    rest.iter().all(|byte| *byte == 0).then_some(())?;
    std::str::from_utf8(said).ok().map(text)
}

impl Btf {
    /// Whether a type has one of the names of numbers in network order.
    fn is_network(&self, id: u32) -> bool {
        let mut at = id;
        for _ in 0..MAX_DEPTH {
            let one = self.get(at);
            if one.kind() == TYPEDEF && matches!(self.text(one.name()), "__be16" | "__be32" | "__be64") {
                return true;
            }
            if one.kind() == INT {
                break;
            }
            at = one.size_or_type();
        }
        false
    }

    /// Whether clang or gcc means `char`: clang does not set the bit.
    fn is_char(&self, one: Type<'_>) -> bool {
        one.word(3) >> 24 & 2 != 0 || self.text(one.name()) == "char"
    }

    /// An array that is no list: text, an address, bytes.
    fn special_array(&self, item: u32, bytes: &[u8]) -> Option<Value> {
        let (_, plain) = self.plain(item);
        match (plain.kind(), plain.size_or_type()) {
            (INT, 1) if plain.word(3) >> 24 & 4 != 0 => None,
            (INT, 1) if self.is_char(plain) => Some(c_text(bytes).unwrap_or_else(|| hex(bytes))),
            (INT, 1) => Some(plain_bytes(bytes)),
            (INT, 4) if bytes.len() == 16 && self.is_network(item) => address_of(bytes),
            _ => None,
        }
    }

    /// The value of type `id` in these bytes.
    pub(crate) fn render(&self, id: u32, bytes: &[u8]) -> Value {
        self.typed(id, bytes, MAX_DEPTH).unwrap_or_else(|| hex(bytes))
    }

    fn typed(&self, id: u32, bytes: &[u8], depth: usize) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        let (_, one) = self.plain(id);
        let size = one.size_or_type() as usize;
        match one.kind() {
            // Word 3: encoding (1 signed, 2 char, 4 bool), offset and bits.
            INT if one.word(3) >> 24 & 4 != 0 => match bytes.get(..size)? {
                [0] => Some(Value::Bool(false)),
                [1] => Some(Value::Bool(true)),
                _ => None,
            },
            INT if self.is_network(id) => {
                let mine = bytes.get(..size)?;
                let mut swapped = mine.to_vec();
                swapped.reverse();
                address_of(mine).or_else(|| integer(&swapped, false))
            }
            INT if one.word(3) & 0xffff == one.size_or_type() * 8 => {
                integer(bytes.get(..size)?, one.word(3) >> 24 & 1 != 0)
            }
            ENUM | ENUM64 => {
                let words = if one.kind() == ENUM { 2 } else { 3 };
                let value = integer(bytes.get(..size)?, one.flag())?;
                for index in 0..one.count() {
                    let mut low = one.item(index, words, 1).to_ne_bytes().to_vec();
                    low.extend(if words == 3 { one.item(index, words, 2) } else { 0 }.to_ne_bytes());
                    if integer(low.get(..size)?, one.flag())? == value {
                        return Some(text(self.text(one.item(index, words, 0))));
                    }
                }
                Some(value)
            }
            ARRAY => {
                let (item, count) = (one.word(3), one.word(5) as usize);
                let size = self.size(item)? as usize;
                if let Some(value) = self.special_array(item, bytes.get(..count.checked_mul(size)?)?) {
                    return Some(value);
                }
                let mut items = Vec::new();
                for index in 0..count {
                    let at = index.checked_mul(size)?;
                    items.push(self.typed(item, bytes.get(at..at.checked_add(size)?)?, depth)?);
                }
                Some(Value::List(items))
            }
            STRUCT if size == 16 && self.text(one.name()) == "in6_addr" => address_of(bytes.get(..size)?),
            STRUCT => {
                let mut fields = Vec::new();
                for index in 0..one.count() {
                    let (name, member, place) = (one.item(index, 3, 0), one.item(index, 3, 1), one.item(index, 3, 2));
                    // With the flag the upper byte is the number of bits of a bit field, 0 for none.
                    let (bits, place) = if one.flag() { (place >> 24, place & 0xff_ffff) } else { (0, place) };
                    let rest = bytes.get(place as usize / 8..)?;
                    let value = if bits == 0 {
                        let size = self.size(member)? as usize;
                        let mine = rest.get(..size)?;
                        self.typed(member, mine, depth).unwrap_or_else(|| hex(mine))
                    } else {
                        number(bit_field(rest, place % 8, bits)?)
                    };
                    fields.push((self.text(name).to_owned(), value));
                }
                Some(Value::Object(fields))
            }
            // Unions, pointers, floating point: nobody knows which member holds, or what for.
            _ => None,
        }
    }
}

fn integer(bytes: &[u8], signed: bool) -> Option<Value> {
    let mut wide = [0; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let value = u64::from_le_bytes(wide);
    let unused = 64u32.checked_sub(8 * u32::try_from(bytes.len()).ok()?).filter(|unused| *unused < 64)?;
    Some(if signed { Value::Integer((value << unused).cast_signed() >> unused) } else { number(value) })
}

/// Bits from `place` on; those of signed fields are shown as they are.
fn bit_field(bytes: &[u8], place: u32, bits: u32) -> Option<u64> {
    let mut wide = [0; 16];
    let len = ((place + bits) as usize).div_ceil(8);
    wide.get_mut(..len)?.copy_from_slice(bytes.get(..len)?);
    let value = u128::from_le_bytes(wide) >> place & ((1 << bits) - 1);
    u64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show;

    /// BTF with these types (words) and names.
    fn btf(types: &[u32], names: &[u8]) -> Btf {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let sizes = [types.len(), types.len(), names.len()].map(|len| u32::try_from(len).unwrap());
        let words = [0x1_eb9f, 24, 0, sizes[0], sizes[1], sizes[2]];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend([&types[..], names].concat());
        Btf::parse(bytes).unwrap()
    }

    #[test]
    fn values_are_shown_by_their_types() {
        // 1 u32, 2 s8, 3 typedef of 1, 4 u32[2], 5 enum { x = 1 }, 6 struct { a: 3; b: 4; c: 2; d: 5 }, 7 pointer,
        // 8 struct with bit fields { a: 3 bits; b: 13 bits }, 9 struct { a: 7 }, 10 u16
        let names = b"\0a\0b\0c\0d\0x\0";
        let types: Vec<u32> = [
            &[0, 1 << 24, 4, 32][..],
            &[0, 1 << 24, 1, 1 << 24 | 8],
            &[1, 8 << 24, 1],
            &[0, 3 << 24, 0, 1, 1, 2],
            &[0, 6 << 24 | 1, 4, 9, 1],
            &[0, 4 << 24 | 4, 20, 1, 3, 0, 3, 4, 32, 5, 2, 96, 7, 5, 128],
            &[0, 2 << 24, 1],
            &[0, 1 << 31 | 4 << 24 | 2, 2, 1, 10, 3 << 24, 3, 10, 13 << 24 | 3],
            &[0, 4 << 24 | 1, 8, 1, 7, 0],
            &[0, 1 << 24, 2, 16],
        ]
        .concat();
        let btf = btf(&types, names);
        let shown = |id, bytes: &[u8]| {
            let mut out = String::new();
            show::json(&mut out, &btf.render(id, bytes));
            out
        };
        let whole =
            [&7u32.to_le_bytes()[..], &1u32.to_le_bytes(), &2u32.to_le_bytes(), &[0xff, 0, 0, 0], &[1, 0, 0, 0]];
        for (id, bytes, want) in [
            (1, &[1, 2, 0, 0][..], "513"),
            (2, &[0xfe], "-2"),
            (3, &[0xff; 4], "4294967295"),
            (4, &[1, 0, 0, 0, 2, 0, 0, 0], "[1,2]"),
            (5, &[1, 0, 0, 0], "\"x\""),
            (5, &[3, 0, 0, 0], "3"),
            (6, &whole.concat(), r#"{"a":7,"b":[1,2],"c":-1,"d":"x"}"#),
            (6, &[1, 2], "\"0x0102\""),
            (7, &[1, 2, 3, 4, 5, 6, 7, 8], "\"0x0102030405060708\""),
            (8, &[0b1111_1010, 0xff], r#"{"a":2,"b":8191}"#),
            (9, &[1, 2, 3, 4, 5, 6, 7, 8], r#"{"a":"0x0102030405060708"}"#),
            (0, &[9], "\"0x09\""),
            (99, &[9], "\"0x09\""),
        ] {
            assert_eq!(shown(id, bytes), want, "type {id}");
        }
    }

    /// As `describe::values` of the compiler does, which reads what a manifest writes.
    #[test]
    fn values_are_shown_as_manifests_write_them() {
        // 1 u8, 2 char, 3 _Bool, 4 u16, 5 u32, 6 __be16 of 4, 7 __be32 of 5, 8 const of 7, 9 u8[4], 10 u8[6], 11 u8[16],
        // 12 u8[3], 13 char[6], 14 __be32[4], 15 struct in6_addr { 11 }, 16 u8[4][2], 17 __be64 of 18, 18 u64, 19 bool[2]
        let names = b"\0char\0__be16\0__be32\0in6_addr\0__be64\0";
        let types: Vec<u32> = [
            &[0, 1 << 24, 1, 8][..],
            &[1, 1 << 24, 1, 8],
            &[0, 1 << 24, 1, 4 << 24 | 8],
            &[0, 1 << 24, 2, 16],
            &[0, 1 << 24, 4, 32],
            &[6, 8 << 24, 4],
            &[13, 8 << 24, 5],
            &[0, 10 << 24, 7],
            &[0, 3 << 24, 0, 1, 5, 4],
            &[0, 3 << 24, 0, 1, 5, 6],
            &[0, 3 << 24, 0, 1, 5, 16],
            &[0, 3 << 24, 0, 1, 5, 3],
            &[0, 3 << 24, 0, 2, 5, 6],
            &[0, 3 << 24, 0, 8, 5, 4],
            &[20, 4 << 24 | 1, 16, 0, 11, 0],
            &[0, 3 << 24, 0, 9, 5, 2],
            &[29, 8 << 24, 18],
            &[0, 1 << 24, 8, 64],
            &[0, 3 << 24, 0, 3, 5, 2],
        ]
        .concat();
        let btf = btf(&types, names);
        let six = [vec![0x20, 1, 0x0d, 0xb8], vec![0; 11], vec![1]].concat();
        for (id, bytes, want) in [
            (2, &b"A"[..], "65"),
            (3, &[1], "true"),
            (3, &[0], "false"),
            (3, &[7], "\"0x07\""),
            (6, &[1, 0xbb], "443"),
            (7, &[10, 0, 0, 1], "\"10.0.0.1\""),
            (8, &[10, 0, 0, 2], "\"10.0.0.2\""),
            (9, &[10, 0, 0, 3], "\"10.0.0.3\""),
            (10, &[0x52, 0x54, 0, 1, 2, 3], "\"52:54:00:01:02:03\""),
            (11, &six, "\"2001:db8::1\""),
            (12, &[1, 2, 3], "\"0x010203\""),
            (13, b"eth0\0\0", "\"eth0\""),
            (13, b"eth\0x\0", "\"0x657468007800\""),
            (13, b"eth000", "\"0x657468303030\""),
            (14, &six, "\"2001:db8::1\""),
            (15, &six, "\"2001:db8::1\""),
            (16, &[10, 0, 0, 1, 10, 0, 0, 2], r#"["10.0.0.1","10.0.0.2"]"#),
            (17, &[0, 0, 0, 0, 0, 0, 0, 9], "9"),
            (19, &[1, 0], "[true,false]"),
            (9, &[1, 2], "\"0x0102\""),
        ] {
            let mut out = String::new();
            show::json(&mut out, &btf.render(id, bytes));
            assert_eq!(out, want, "type {id}");
        }
    }

    #[test]
    fn keys_of_tries_are_networks() {
        let shown = |bytes: &[u8]| match network(bytes) {
            Some(Value::Text(text)) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(shown(&[8, 0, 0, 0, 10, 0, 0, 0]), "10.0.0.0/8");
        let six = [vec![32, 0, 0, 0, 0x20, 1, 0x0d, 0xb8], vec![0; 12]].concat();
        assert_eq!(shown(&six), "2001:db8::/32");
        for odd in [vec![33, 0, 0, 0, 10, 0, 0, 0], vec![8, 0, 0, 0, 1, 2], vec![1]] {
            assert_eq!(network(&odd), None, "{odd:?}");
        }
    }
}
