//! BTF shape: whether two types, each in the BTF of its own object, are the same.
//!
//! In: raw BTF as the kernel gives it back, so it is sound; still nothing here panics on other bytes.
//! Out: the description of a type: names, sizes, members and their offsets. Pointers are followed by name only.

/// Depth of nested types. A map value is no tree.
const MAX_DEPTH: usize = 32;
/// Bytes of one description: a type that needs more is different from everything.
const MAX_BYTES: usize = 64 * 1024;

/// The types of one BTF.
#[derive(Debug)]
pub struct Types<'a> {
    strings: &'a [u8],
    /// From the type's first word on; id 1 is the first.
    types: Vec<&'a [u8]>,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at * 4..at * 4 + 4)?.try_into().ok()?))
}

/// Words after the three of every type, by kind: linux `include/uapi/linux/btf.h`.
fn more_words(kind: u32, count: usize) -> usize {
    match kind {
        1 | 14 | 17 => 1,             // INT, VAR, DECL_TAG
        3 => 3,                       // ARRAY
        4 | 5 | 15 | 19 => count * 3, // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => count * 2,          // ENUM, FUNC_PROTO
        _ => 0,
    }
}

impl<'a> Types<'a> {
    /// Finds the types. What is damaged ends the list.
    pub fn of(bytes: &'a [u8]) -> Self {
        let header = |at| word(bytes, at).map_or(usize::MAX, |word| word as usize);
        let part = |at: usize, len: usize| {
            let start = header(1).checked_add(header(at))?;
            bytes.get(start..start.checked_add(header(len))?)
        };
        let mut rest = part(2, 3).unwrap_or_default();
        let mut types = Vec::new();
        while let Some(info) = word(rest, 1) {
            types.push(rest);
            let len = 12 + 4 * more_words(info >> 24 & 31, (info & 0xffff) as usize);
            rest = rest.get(len..).unwrap_or_default();
        }
        Self { strings: part(4, 5).unwrap_or_default(), types }
    }

    /// The description of a type; `None` if it has none.
    pub fn shape(&self, id: u32) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.describe(id, MAX_DEPTH, &mut out).map(|()| out)
    }

    fn name(&self, at: u32, out: &mut Vec<u8>) -> Option<()> {
        let text = self.strings.get(at as usize..)?;
        out.extend_from_slice(text.split(|&byte| byte == 0).next()?);
        out.push(0);
        Some(())
    }

    fn describe(&self, id: u32, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let depth = depth.checked_sub(1).filter(|_| out.len() <= MAX_BYTES)?;
        if id == 0 {
            out.push(0); // void
            return Some(());
        }
        let of = self.types.get(id as usize - 1)?;
        let (name, info, size) = (word(of, 0)?, word(of, 1)?, word(of, 2)?);
        let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
        match kind {
            // A name for a type, or const, volatile, restrict, a tag: the type itself counts.
            8..=11 | 18 => return self.describe(size, depth, out),
            _ => {}
        }
        out.push(kind.to_le_bytes()[0]);
        self.name(name, out)?;
        match kind {
            2 => return Some(()), // a pointer in a map: what it leads to is not in the map
            3 => {
                out.extend_from_slice(&word(of, 5)?.to_le_bytes());
                return self.describe(word(of, 3)?, depth, out);
            }
            _ => out.extend_from_slice(&size.to_le_bytes()),
        }
        if kind == 1 {
            out.extend_from_slice(&word(of, 3)?.to_le_bytes());
        }
        for at in (3..3 + count * 3).step_by(3).take_while(|_| matches!(kind, 4 | 5)) {
            self.name(word(of, at)?, out)?;
            out.extend_from_slice(&word(of, at + 2)?.to_le_bytes());
            self.describe(word(of, at + 1)?, depth, out)?;
        }
        // Values of an enumeration are no part of the memory's shape; 0 is the id of void.
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with these types (words) and strings.
    fn btf(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let sizes = [types.len(), types.len(), strings.len()].map(|len| u32::try_from(len).unwrap());
        let words = [0x1_eb9f, 24, 0, sizes[0], sizes[1], sizes[2]];
        let header = words.iter().flat_map(|word| word.to_ne_bytes());
        header.chain(types.iter().copied()).chain(strings.iter().copied()).collect()
    }

    #[test]
    fn types_are_equal_by_name_size_and_members() {
        let strings = b"\0int\0pair\0a\0b\0alias\0";
        let int = |bits: u32| [1, 1 << 24, bits / 8, bits];
        let alias = [14, 8 << 24, 1];
        // struct pair { int a; int b; }, its second member by its name or by another one.
        let pair = |second: u32| [5, 4 << 24 | 2, 8, 10, 1, 0, second, 2, 32];
        let of = |second, bits| btf(&[&int(bits)[..], &alias, &pair(second)].concat(), strings);
        let (same, other_name, other_size) = (of(12, 32), of(10, 32), of(12, 64));
        let shape = |bytes: &[u8], id| Types::of(bytes).shape(id);
        assert!(shape(&same, 3).is_some());
        assert_eq!(shape(&same, 3), shape(&of(12, 32), 3));
        assert_eq!(shape(&same, 1), shape(&same, 2), "an alias is what it stands for");
        assert_ne!(shape(&same, 3), shape(&other_name, 3));
        assert_ne!(shape(&same, 3), shape(&other_size, 3));
        assert_eq!(shape(&same, 4), None);
    }

    #[test]
    fn damaged_bytes_are_no_panic() {
        // struct loop { struct loop x; struct loop y; }: what a kernel would refuse.
        let bytes = btf(&[1, 4 << 24 | 2, 8, 1, 1, 0, 1, 1, 0], b"\0x\0");
        assert_eq!(Types::of(&bytes).shape(1), None);
        for len in 0..bytes.len() {
            let _ = Types::of(&bytes[..len]).shape(1);
        }
    }
}
