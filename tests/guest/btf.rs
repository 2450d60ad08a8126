//! The smallest BTF that a replaceable XDP program needs: `int NAME(struct xdp_md *ctx)`, global.
//!
//! In:  the name of the function.
//! Out: bytes for `BPF_BTF_LOAD`, and the id of the function in them.
//! Cannot fail. Pure. Format: linux `Documentation/bpf/btf.rst`.

/// Id of the function: types are numbered from 1 in the order below.
pub(crate) const FUNCTION_ID: u32 = 5;

const KIND_INT: u32 = 1;
const KIND_POINTER: u32 = 2;
const KIND_STRUCT: u32 = 4;
const KIND_FUNCTION: u32 = 12;
const KIND_PROTOTYPE: u32 = 13;

const LINKAGE_GLOBAL: u32 = 1;
const INT_SIGNED_32_BITS: u32 = 1 << 24 | 32;

/// Strings, each at a place of its own.
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let place = u32::try_from(self.0.len()).expect("invariant: a few short names");
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        place
    }
}

/// BTF with one function.
pub(crate) fn of_xdp_function(name: &str) -> Vec<u8> {
    let mut strings = Strings(vec![0]);
    let info = |kind: u32, count: u32| kind << 24 | count;
    let (int, context, data, argument, function) =
        (strings.add("int"), strings.add("xdp_md"), strings.add("data"), strings.add("ctx"), strings.add(name));
    let types: [&[u32]; 5] = [
        // 1: int, 4 bytes
        &[int, info(KIND_INT, 0), 4, INT_SIGNED_32_BITS],
        // 2: struct xdp_md { int data; }, 4 bytes
        &[context, info(KIND_STRUCT, 1), 4, data, 1, 0],
        // 3: struct xdp_md *
        &[0, info(KIND_POINTER, 0), 2],
        // 4: int (struct xdp_md *ctx)
        &[0, info(KIND_PROTOTYPE, 1), 1, argument, 3],
        // 5: the function
        &[function, info(KIND_FUNCTION, LINKAGE_GLOBAL), 4],
    ];
    let types: Vec<u8> = types.concat().iter().flat_map(|word| word.to_ne_bytes()).collect();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("invariant: a few short types");
    // magic, version 1, flags 0; header of 24 bytes; place and length of types and of strings
    let mut out = Vec::from(0xeb9f_u16.to_ne_bytes());
    out.extend([1, 0]);
    for word in [24, 0, length(&types), length(&types), length(&strings.0)] {
        out.extend(word.to_ne_bytes());
    }
    out.extend(types);
    out.extend(strings.0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_the_header_are_those_of_the_parts() {
        let btf = of_xdp_function("f");
        let word = |at: usize| u32::from_ne_bytes(btf[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(word(4), 24);
        assert_eq!(24 + word(12) + word(20), btf.len());
        assert_eq!(word(16), word(12), "strings follow the types");
        assert!(btf.ends_with(b"\0f\0"));
    }
}
