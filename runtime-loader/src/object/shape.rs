//! Shape: whether two types, each in the BTF of its own object, are the same.
//!
//! In: types, and the id of one. Out: its description: names, sizes, members and their offsets. Pointers are followed by
//! name only.

use super::btf::{ARRAY, Btf, INT, PTR};

/// Depth of nested types. A map value is no tree.
const MAX_DEPTH: usize = 32;
/// Bytes of one description: a type that needs more is different from everything.
const MAX_BYTES: usize = 64 * 1024;

/// The description of a type; `None` if it has none.
pub(crate) fn shape(btf: &Btf, id: u32) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    describe(btf, id, MAX_DEPTH, &mut out).map(|()| out)
}

fn describe(btf: &Btf, id: u32, depth: usize, out: &mut Vec<u8>) -> Option<()> {
    let depth = depth.checked_sub(1).filter(|_| out.len() <= MAX_BYTES)?;
    // A name for a type, or const, volatile, restrict, a tag: the type itself counts.
    let (id, of) = btf.plain(id);
    if id == 0 {
        out.push(0); // void
        return Some(());
    }
    btf.ids().contains(&id).then_some(())?;
    let name = |at, out: &mut Vec<u8>| {
        out.extend_from_slice(btf.string(at));
        out.push(0);
    };
    out.push(of.kind().to_le_bytes()[0]);
    name(of.name(), out);
    match of.kind() {
        PTR => return Some(()), // in a map: what it leads to is not in the map
        ARRAY => {
            out.extend_from_slice(&of.word(5).to_le_bytes());
            return describe(btf, of.word(3), depth, out);
        }
        _ => out.extend_from_slice(&of.size_or_type().to_le_bytes()),
    }
    if of.kind() == INT {
        out.extend_from_slice(&of.word(3).to_le_bytes());
    }
    for member in (0..of.count()).take_while(|_| of.is_composite()) {
        name(of.item(member, 3, 0), out);
        out.extend_from_slice(&of.item(member, 3, 2).to_le_bytes());
        describe(btf, of.item(member, 3, 1), depth, out)?;
    }
    // Values of an enumeration are no part of the memory's shape; 0 is the id of void.
    Some(())
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
        let shape = |bytes: &[u8], id| shape(&Btf::parse(bytes.to_vec()).unwrap(), id);
        assert!(shape(&same, 3).is_some());
        assert_eq!(shape(&same, 3), shape(&of(12, 32), 3));
        assert_eq!(shape(&same, 1), shape(&same, 2), "an alias is what it stands for");
        assert_ne!(shape(&same, 3), shape(&other_name, 3));
        assert_ne!(shape(&same, 3), shape(&other_size, 3));
        assert_eq!(shape(&same, 4), None);
    }

    #[test]
    fn a_type_without_end_has_no_description() {
        // struct loop { struct loop x; struct loop y; }, and a name for itself: what a kernel would refuse.
        let bytes = btf(&[1, 4 << 24 | 2, 8, 1, 1, 0, 1, 1, 0, 1, 8 << 24, 2], b"\0x\0");
        let types = Btf::parse(bytes).unwrap();
        assert_eq!(shape(&types, 1), None);
        assert_eq!(shape(&types, 2), Some(vec![0]));
        assert_eq!(shape(&types, 9), None);
    }
}
