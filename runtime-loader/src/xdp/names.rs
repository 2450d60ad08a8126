//! Full names of programs: the kernel keeps 15 bytes, BTF has them all.
//!
//! libxdp shows and sorts by the full name (`xdp_program__fill_from_fd`), so an order computed from the short one
//! could differ from libxdp's.

use nodeplan::limits::KERNEL_OBJ_NAME_BYTES;

const BTF_KIND_FUNC: u32 = 12;
const HEADER_BYTES: usize = 24;

/// The name of the one BTF function that `short` is the beginning of; `short` itself if it is not cut or not unique.
pub fn full_name(short: &str, btf: &[u8]) -> String {
    if short.len() < KERNEL_OBJ_NAME_BYTES {
        return short.to_owned();
    }
    let mut found = functions(btf).unwrap_or_default().into_iter().filter(|name| name.starts_with(short));
    match (found.next(), found.next()) {
        (Some(name), None) => name,
        _ => short.to_owned(),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Names of all functions in raw BTF: linux `Documentation/bpf/btf.rst`, "BTF Type and String Encoding".
fn functions(btf: &[u8]) -> Option<Vec<String>> {
    let header = word(btf, 4)? as usize;
    let types = header.max(HEADER_BYTES).checked_add(word(btf, 8)? as usize)?;
    let strings = header.checked_add(word(btf, 16)? as usize)?;
    let end = types.checked_add(word(btf, 12)? as usize)?;
    let mut names = Vec::new();
    let mut at = types;
    while at < end {
        let (name, info) = (word(btf, at)? as usize, word(btf, at + 4)?);
        let (kind, count) = (info >> 24 & 31, (info & 0xffff) as usize);
        at += 12 + extra_bytes(kind, count)?;
        if kind == BTF_KIND_FUNC {
            let text = btf.get(strings.checked_add(name)?..)?;
            let text = &text[..text.iter().position(|&byte| byte == 0)?];
            names.push(String::from_utf8_lossy(text).into_owned());
        }
    }
    Some(names)
}

/// Bytes behind the 12 that every type has.
fn extra_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        1 | 14 | 17 => 4,              // INT, VAR, DECL_TAG
        2 | 7..=12 | 16 | 18 => 0,     // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG
        3 => 12,                       // ARRAY
        4 | 5 | 15 | 19 => 12 * count, // STRUCT, UNION, DATASEC, ENUM64
        6 | 13 => 8 * count,           // ENUM, FUNC_PROTO
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_name_is_completed_from_btf() {
        let object = include_bytes!("../../../bpf/prebuilt/xdp_dispatcher.bpf.o");
        let btf = aya_obj::Object::parse(object).unwrap().btf.unwrap().to_bytes();
        let names = functions(&btf).unwrap();
        assert!(names.iter().any(|name| name == "xdp_dispatcher") && names.iter().any(|name| name == "prog9"));
        let example = include_bytes!("../../../examples/drop-frag-needed/drop_frag_needed.bpf.o");
        let btf = aya_obj::Object::parse(example).unwrap().btf.unwrap().to_bytes();
        assert_eq!(full_name("drop_frag_neede", &btf), "drop_frag_needed");
        assert_eq!(full_name("drop_frag", &btf), "drop_frag", "a name that was not cut stays");
        assert_eq!(full_name("some_other_name", &btf), "some_other_name");
        for len in 0..btf.len() {
            let _ = full_name("drop_frag_neede", &btf[..len]);
        }
    }
}
