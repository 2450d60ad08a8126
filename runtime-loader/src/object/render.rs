//! Render: bytes of a map as values, by their BTF types.
//!
//! In: BTF, a type, bytes. Out: a [`Value`]; hexadecimal text where the type is unknown or does not fit the bytes.
//! Cannot fail.

use nodeplan::{digest::to_hex, json::Value};

use super::btf::{ARRAY, Btf, ENUM, ENUM64, INT, STRUCT};
use crate::show::{number, text};

/// Structures in structures. A map value is no tree.
const MAX_DEPTH: usize = 16;

/// Bytes as hexadecimal text.
pub(crate) fn hex(bytes: &[u8]) -> Value {
    let mut out = "0x".to_owned();
    out.push_str(&to_hex(bytes));
    Value::Text(out)
}

impl Btf {
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
                let mut items = Vec::new();
                for index in 0..count {
                    let at = index.checked_mul(size)?;
                    items.push(self.typed(item, bytes.get(at..at.checked_add(size)?)?, depth)?);
                }
                Some(Value::List(items))
            }
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
}
