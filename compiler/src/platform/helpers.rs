//! Helpers that a program calls, read from its instructions.
//!
//! In:   an object that was read before, name of a program. Out: whether it calls a helper. Cannot fail: what cannot be
//! found calls nothing.

use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, read::elf::ElfFile64};

/// `bpf_override_return`: linux `include/uapi/linux/bpf.h`.
pub(super) const OVERRIDE_RETURN: i32 = 58;

const INSTRUCTION_BYTES: usize = 8;

/// `BPF_JMP | BPF_CALL` with source register 0, which means a helper: linux `Documentation/bpf/standardization`.
const CALL: u8 = 0x85;

/// Whether `program` itself calls `helper`; functions that it calls are not looked at.
pub(super) fn calls(object: &[u8], program: &str, helper: i32) -> bool {
    body(object, program).is_some_and(|body| body.chunks_exact(INSTRUCTION_BYTES).any(|one| is_call(one, helper)))
}

fn is_call(instruction: &[u8], helper: i32) -> bool {
    match instruction {
        [CALL, registers, _, _, immediate @ ..] => registers >> 4 == 0 && immediate == helper.to_le_bytes(),
        _ => false,
    }
}

fn body<'a>(object: &'a [u8], program: &str) -> Option<&'a [u8]> {
    let file = ElfFile64::<Endianness>::parse(object).ok()?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(program))?;
    let data = file.section_by_index(symbol.section_index()?).ok()?.data().ok()?;
    let start = usize::try_from(symbol.address()).ok()?;
    data.get(start..start.checked_add(usize::try_from(symbol.size()).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_told_apart() {
        let read = |path: &str| std::fs::read(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let object = read("../examples/drop-frag-needed/drop_frag_needed.bpf.o");
        assert!(calls(&object, "drop_frag_needed", 1), "bpf_map_lookup_elem");
        assert!(!calls(&object, "drop_frag_needed", OVERRIDE_RETURN));
        assert!(!calls(&object, "no_such_program", 1));
        let object = read("tests/objects/platform.bpf.o");
        assert!(calls(&object, "fail_it", OVERRIDE_RETURN));
    }
}
