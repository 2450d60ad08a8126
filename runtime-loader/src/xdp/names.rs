//! Full names of programs: the kernel keeps 15 bytes, BTF has them all.
//!
//! libxdp shows and sorts by the full name (`xdp_program__fill_from_fd`), so an order computed from the short one
//! could differ from libxdp's.

use nodeplan::limits::KERNEL_OBJ_NAME_BYTES;

use crate::object::Btf;

/// The name of the one BTF function that `short` is the beginning of; `short` itself if it is not cut or not unique.
pub fn full_name(short: &str, btf: Vec<u8>) -> String {
    let btf = if short.len() < KERNEL_OBJ_NAME_BYTES { None } else { Btf::parse(btf) };
    let mut found = btf.iter().flat_map(Btf::functions).filter(|name| name.starts_with(short));
    match (found.next(), found.next()) {
        (Some(name), None) => name.to_owned(),
        _ => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_name_is_completed_from_btf() {
        let object = include_bytes!("../../../bpf/prebuilt/xdp_dispatcher.bpf.o");
        let btf = aya_obj::Object::parse(object).unwrap().btf.unwrap().to_bytes();
        assert_eq!(full_name("xdp_dispatcher_", btf), "xdp_dispatcher_");
        let example = include_bytes!("../../../examples/drop-frag-needed/drop_frag_needed.bpf.o");
        let btf = aya_obj::Object::parse(example).unwrap().btf.unwrap().to_bytes();
        assert_eq!(full_name("drop_frag_neede", btf.clone()), "drop_frag_needed");
        assert_eq!(full_name("drop_frag", btf.clone()), "drop_frag", "a name that was not cut stays");
        assert_eq!(full_name("some_other_name", btf.clone()), "some_other_name");
        for len in 0..btf.len() {
            let _ = full_name("drop_frag_neede", btf[..len].to_vec());
        }
    }
}
