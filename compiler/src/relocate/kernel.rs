//! Kernel: the types of one kernel, found by name.
//!
//! In:   content of a node's `/sys/kernel/btf/vmlinux`. Out: [`Kernel`]. May fail with: [`BtfError`].

use std::collections::HashMap;

use nodeplan::applies::Architecture;

use crate::object::{
    btf::{BtfError, TypeId},
    types::{Type, Types, kind},
};

/// A kernel's types.
#[derive(Debug)]
pub struct Kernel<'a> {
    /// How people call it: the file's name.
    pub name: String,
    /// Its types.
    pub types: Types<'a>,
    /// Ids by name without flavour, rising.
    by_name: HashMap<&'a str, Vec<TypeId>>,
}

impl<'a> Kernel<'a> {
    /// Reads a BTF blob.
    pub fn parse(name: String, blob: &'a [u8]) -> Result<Self, BtfError> {
        let types = Types::parse(blob)?;
        let mut by_name: HashMap<&str, Vec<TypeId>> = HashMap::with_capacity(types.last() as usize / 2);
        for (id, found) in types.iter().filter(|(_, found)| found.name != 0) {
            by_name.entry(essential(types.string(found.name))).or_default().push(id);
        }
        if types.last() == 0 {
            return Err(BtfError("it has no types"));
        }
        Ok(Self { name, types, by_name })
    }

    /// All types whose name without flavour is that of `name`.
    pub fn named(&self, name: &str) -> &[TypeId] {
        self.by_name.get(essential(name)).map_or(&[], Vec::as_slice)
    }

    /// Names of all types of a kind.
    pub fn names(&self, wanted: u8) -> impl Iterator<Item = &'a str> {
        let types = &self.types;
        types.iter().filter(move |(_, found)| found.kind() == wanted).map(|(_, found)| types.string(found.name))
    }

    fn has(&self, name: &str, wanted: u8) -> bool {
        self.named(name).iter().any(|id| self.types.get(*id).kind() == wanted && self.types.name(*id) == name)
    }

    /// Whether it has a function `name` that is not inlined everywhere.
    pub fn has_function(&self, name: &str) -> bool {
        self.has(name, kind::FUNC)
    }

    /// Whether BPF programs can be attached to the security hook `name`: linux `kernel/bpf/bpf_lsm.c`.
    pub fn has_lsm_hook(&self, name: &str) -> bool {
        self.has_function(&format!("bpf_lsm_{name}"))
    }

    /// The architecture that it was built for, by a register that only `struct pt_regs` of that one has: linux
    /// `arch/x86/include/asm/ptrace.h` and `arch/arm64/include/asm/ptrace.h`. `None` if its types do not tell.
    pub fn architecture(&self) -> Option<Architecture> {
        let mut structures = self.named("pt_regs").iter().map(|id| self.types.get(*id));
        let registers = structures.find(Type::is_composite)?;
        registers.members().find_map(|member| match self.types.string(member.name) {
            "orig_ax" => Some(Architecture::Amd64),
            "orig_x0" => Some(Architecture::Arm64),
            _ => None,
        })
    }

    /// Whether it has the tracepoint `name` with typed arguments: linux `include/trace/bpf_probe.h`.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.has(&format!("btf_trace_{name}"), kind::TYPEDEF)
    }
}

/// A name without its flavour: `task_struct___old` means `task_struct`. Source: libbpf `src/relo_core.c`,
/// `bpf_core_essential_name_len`: three underscores that neither begin the name nor stand beside a fourth.
pub fn essential(name: &str) -> &str {
    let bytes = name.as_bytes();
    let is_flavour = |at: usize| {
        bytes[at..].starts_with(b"___") && bytes[at - 1] != b'_' && bytes.get(at + 3).is_some_and(|next| *next != b'_')
    };
    match (1..bytes.len()).rev().find(|at| is_flavour(*at)) {
        Some(at) => &name[..at],
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF with `unsigned long` and one structure that has one member of it.
    fn btf(structure: &str, member: &str) -> Vec<u8> {
        let strings = format!("\0long\0{structure}\0{member}\0");
        let name = |text: &str| u32::try_from(strings.find(text).unwrap()).unwrap();
        let types = [name("long"), 1 << 24, 8, 64, name(structure), 4 << 24 | 1, 8, name(member), 1, 0];
        let (length, size) = (4 * types.len(), strings.len());
        let header = [0x0001_eb9f, 24, 0, length, length, size].map(|word| u32::try_from(word).unwrap());
        let words = header.iter().chain(&types).flat_map(|word| word.to_le_bytes());
        words.chain(strings.bytes()).collect()
    }

    #[test]
    fn registers_tell_the_architecture() {
        for (structure, member, want) in [
            ("pt_regs", "orig_ax", Some(Architecture::Amd64)),
            ("pt_regs", "orig_x0", Some(Architecture::Arm64)),
            ("pt_regs", "gprs", None),
            ("user_regs", "orig_ax", None),
        ] {
            let blob = btf(structure, member);
            let kernel = Kernel::parse("kernel".to_owned(), &blob).unwrap();
            assert_eq!(kernel.architecture(), want, "case: {structure}.{member}");
        }
    }

    #[test]
    fn flavours_are_cut_off() {
        for (name, wanted) in [
            ("task_struct", "task_struct"),
            ("task_struct___old", "task_struct"),
            ("a___b___c", "a___b"),
            ("___x", "___x"),
            ("a____b", "a____b"),
            ("a___", "a___"),
            ("", ""),
        ] {
            assert_eq!(essential(name), wanted, "case: {name}");
        }
    }
}
