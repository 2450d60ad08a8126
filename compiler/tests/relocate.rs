//! CO-RE: our answers, and those of another reader.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeMap, fs};

use aya_obj::btf::Btf;
use nodebpf::{
    object::parts::Parts,
    relocate::{self, Kernel, lookup::Answer},
};
use support::{crate_dir, kernel_btf};

fn object(name: &str) -> Vec<u8> {
    fs::read(crate_dir().join(format!("tests/objects/{name}.bpf.o"))).unwrap()
}

fn lacks(object: &[u8], program: &str) -> Vec<String> {
    let blob = kernel_btf();
    let kernel = Kernel::parse("kernel.btf".to_owned(), &blob).unwrap();
    let parts = Parts::read(object).unwrap();
    let lacks = relocate::lacks(&parts, program, &kernel);
    lacks.iter().map(|lack| format!("{} {} {}", lack.what, lack.why, lack.perhaps_unreachable)).collect()
}

#[test]
fn what_is_missing_is_named() {
    let local = object("core_local");
    assert_eq!(lacks(&local, "complete"), [""; 0]);
    let mut found = lacks(&local, "incomplete");
    found.sort();
    assert_eq!(
        found,
        [
            "enum mood BORED is not there false",
            "struct nowhere.field is not there false",
            "struct task.many[6].depth is not there false",
            "struct task.missing is not there false",
        ]
    );
    assert_eq!(lacks(&local, "careful"), ["struct task___old.old_pid is not there true"]);
    assert_eq!(lacks(&object("core_ambiguous"), "ambiguous"), ["struct twice.value has several meanings false"]);
}

#[test]
fn the_line_of_c_is_told() {
    let (local, blob) = (object("core_local"), kernel_btf());
    let kernel = Kernel::parse("kernel.btf".to_owned(), &blob).unwrap();
    let lacks = relocate::lacks(&Parts::read(&local).unwrap(), "incomplete", &kernel);
    let line = lacks[0].line.as_ref().unwrap();
    assert!(line.file.ends_with("core_local.bpf.c"), "{line:?}");
    assert!(line.text.starts_with("return task->missing + nowhere->field"), "{line:?}");
    let source = fs::read_to_string(crate_dir().join("tests/objects/core_local.bpf.c")).unwrap();
    assert_eq!(source.lines().nth(line.number as usize - 1).unwrap().trim(), line.text);
}

/// As libbpf 1.1 says when it is given both files; aya-obj 0.3 does not find the enum.
#[test]
fn an_enum_may_become_wider() {
    let (local, blob) = (object("core_local"), kernel_btf());
    let kernel = Kernel::parse("kernel.btf".to_owned(), &blob).unwrap();
    let answers = relocate::answers(&Parts::read(&local).unwrap(), "widened", &kernel);
    assert_eq!(answers, [("widened".to_owned(), 8, Answer::Value(1))]);
}

/// The number that aya-obj writes into each instruction must be ours; where we have none, it must make the call
/// impossible.
#[test]
fn answers_are_those_of_aya() {
    const POISON: i32 = 0x0bad_2310;
    let (local, blob) = (object("core_local"), kernel_btf());
    let mut other = aya_obj::Object::parse(&local).unwrap();
    other.relocate_btf(&Btf::parse(&blob, object::Endianness::Little).unwrap()).unwrap();
    let kernel = Kernel::parse("kernel.btf".to_owned(), &blob).unwrap();
    let parts = Parts::read(&local).unwrap();
    let mut kinds = BTreeMap::new();
    for program in ["complete", "incomplete", "careful"] {
        let function = &other.functions[&other.programs[program].function_key()];
        for (name, offset, answer) in relocate::answers(&parts, program, &kernel) {
            let at = (offset as usize - function.section_offset) / 8;
            let insn = function.instructions[at];
            let case = format!("{name} instruction {at}: {answer:?}");
            let class = insn.code & 7;
            *kinds.entry(insn.code).or_insert(0) += 1;
            match answer {
                Answer::Missing => assert_eq!((insn.code, insn.imm), (0x85, POISON), "{case}"),
                Answer::Ambiguous => panic!("{case}"),
                // A 64-bit load has its upper half in the next slot.
                Answer::Value(value) if insn.code == 0x18 => {
                    let high = function.instructions[at + 1].imm;
                    assert_eq!([insn.imm.cast_unsigned(), high.cast_unsigned()], halves(value), "{case}");
                }
                Answer::Value(value) if matches!(class, 4 | 7) => {
                    assert_eq!(i64::from(insn.imm), value.cast_signed(), "{case}");
                }
                Answer::Value(value) => assert_eq!(u64::from(insn.off.cast_unsigned()), value, "{case}"),
            }
        }
    }
    assert!(kinds.len() >= 3 && kinds.values().sum::<u32>() > 30, "too little was compared: {kinds:?}");
}

fn halves(value: u64) -> [u32; 2] {
    [value, value >> 32].map(|half| u32::try_from(half & u64::from(u32::MAX)).unwrap())
}

#[test]
fn damaged_kernels_do_not_panic() {
    let (local, blob) = (object("core_local"), kernel_btf());
    let parts = Parts::read(&local).unwrap();
    let mut read = 0;
    for at in 0..blob.len() {
        let mut bad = blob.clone();
        bad[at] ^= if at % 2 == 0 { 0xff } else { 0x01 };
        if let Ok(kernel) = Kernel::parse("bad".to_owned(), &bad) {
            read += 1;
            for program in ["complete", "incomplete", "careful"] {
                let _ = relocate::lacks(&parts, program, &kernel);
            }
        }
    }
    assert!(read > 0);
    for length in 0..blob.len() {
        assert!(Kernel::parse("short".to_owned(), &blob[..length]).is_err());
    }
}
