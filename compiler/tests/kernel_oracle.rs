//! The running kernel as judge of our rules for BTF: it takes what we take.
//!
//! Needs a C compiler, and a kernel that lets us load BTF, which asks for root; without that a line with `SKIPPED` says
//! so.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

use nodebpf::object::{self, kernel_rules};
use support::{crate_dir, noise};

/// For each blob what the kernel says; nothing of those that were taken.
fn load(blobs: &[Vec<u8>]) -> Vec<Option<String>> {
    let directory = tempfile::tempdir().unwrap();
    let tool = directory.path().join("btf_load");
    let built = Command::new("cc").arg("-o").arg(&tool).arg(crate_dir().join("tests/btf_load.c")).status();
    assert!(built.expect("apt-get install gcc").success());
    let mut child = Command::new(&tool).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let all: Vec<u8> = blobs
        .iter()
        .flat_map(|blob| u32::try_from(blob.len()).unwrap().to_ne_bytes().into_iter().chain(blob.iter().copied()))
        .collect();
    let writer = std::thread::spawn(move || input.write_all(&all).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| (!line.starts_with("0 ")).then(|| line.to_owned()))
        .collect()
}

/// BTF as a loader completes it, with one word changed to a number that is likely to mean something.
fn mutants(blob: &[u8]) -> Vec<Vec<u8>> {
    let words = blob.len() / 4;
    let numbers = noise(words * 4);
    (0..words * 2)
        .map(|at| {
            let mut bad = blob.to_vec();
            let (place, choice) = (at / 2 * 4, numbers[at * 2]);
            let old = u32::from_le_bytes(bad[place..place + 4].try_into().unwrap());
            let new = match choice % 6 {
                0 => u32::from(numbers[at * 2 + 1] % 64),
                1 => old ^ 1 << (numbers[at * 2 + 1] % 32),
                2 => old.wrapping_add(1),
                3 => old.wrapping_sub(1),
                4 => 0,
                _ => old ^ 0x0100_0000,
            };
            bad[place..place + 4].copy_from_slice(&new.to_le_bytes());
            bad
        })
        .collect()
}

/// Why this kernel cannot judge; `None` if it can.
fn hindrance() -> Option<String> {
    // An `int`, which every kernel with BTF takes: linux `include/uapi/linux/btf.h`.
    let header =
        [&0xeb9f_u16.to_le_bytes()[..], &[1, 0], &[24u32, 0, 16, 16, 5].map(u32::to_le_bytes).concat()].concat();
    let int = [1u32, 1 << 24, 4, 32].map(u32::to_le_bytes).concat();
    let said = load(&[[&header[..], &int, b"\0int\0"].concat()]).pop().flatten()?;
    Some(format!("the kernel takes no BTF from this user: errno {said}"))
}

#[test]
fn what_we_take_the_kernel_takes() {
    if let Some(why) = hindrance() {
        // Directly, so that it shows although the test is counted as passed.
        let _ = writeln!(std::io::stderr(), "SKIPPED: what_we_take_the_kernel_takes: {why}");
        return;
    }
    let mut seen: BTreeMap<(bool, bool), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for name in ["odd", "mixed", "core_local", "core_kernel", "proprietary"] {
        let bytes = fs::read(crate_dir().join(format!("tests/objects/{name}.bpf.o"))).unwrap();
        let facts = object::read(&bytes).unwrap();
        let fits = |program: &&object::ProgramFacts| program.constructs.is_empty();
        let wanted = facts.programs.iter().filter(fits).filter(|program| {
            program.kind.as_ref().is_ok_and(|section| matches!(section.usage, object::section::Usage::Hook(..)))
        });
        let lowered = object::lower::lower(&bytes, &wanted.map(|program| program.name.as_str()).collect()).unwrap();
        let mut reader = aya_obj::Object::parse(&lowered).unwrap();
        let features = aya_obj::btf::BtfFeatures::new(true, true, true, true, true, true, true, true);
        let blob = reader.fixup_and_sanitize_btf(&features).unwrap().unwrap().to_bytes();
        let mut blobs = mutants(&blob);
        blobs.push(blob);
        for (blob, said) in blobs.iter().zip(load(&blobs)) {
            let ours = kernel_rules::check(blob);
            *seen.entry((ours.is_ok(), said.is_none())).or_default() += 1;
            match (&ours, said) {
                (Ok(()), Some(said)) => wrong.push(format!("{name}: taken, kernel: {said}")),
                (Err(why), None) => wrong.push(format!("{name}: refused, kernel takes it: {why}")),
                _ => {}
            }
        }
    }
    println!("(we take, kernel takes): {seen:?}");
    wrong.iter().take(40).for_each(|line| println!("{line}"));
    assert!(seen[&(true, true)] > 500 && seen[&(false, false)] > 500);
    assert_eq!(seen.get(&(true, false)), None, "the kernel refuses what we take");
}
