//! Hostile input: whatever a manifest or policy holds, the compiler answers with diagnostics, never with a panic.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use nodebpf::{
    check,
    diag::{Diagnostics, render_human, render_json},
    manifest, plan, policy, recover,
    resolve::{self, Files, ReadError},
    source::SourceMap,
};
use support::{MANIFEST, POLICY, crate_dir, noise};

struct Fixed(Vec<u8>);

impl Files for Fixed {
    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, ReadError> {
        Ok(self.0.clone())
    }
}

fn object() -> Fixed {
    let root = crate_dir().parent().unwrap();
    Fixed(std::fs::read(root.join("examples/drop-frag-needed/drop_frag_needed.bpf.o")).unwrap())
}

/// The whole of the compiler that sees a manifest, rendered in all formats.
fn compile(text: &[u8], files: &Fixed) -> bool {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let plan = manifest::parse("bpf.yaml", text, &mut sources, &mut diags)
        .and_then(|manifest| resolve::resolve(manifest, files, &mut diags))
        .and_then(|resolved| check::check(&resolved, &mut diags))
        .and_then(|checked| plan::plan(&checked, &mut diags));
    let rendered = [
        render_human::render(&diags, &sources, true),
        render_human::render_short(&diags, &sources),
        render_json::render(&diags, &sources),
    ];
    assert_eq!(plan.is_none(), diags.has_errors(), "no plan and no reason, or both:\n{}", rendered[1]);
    rest(text, files, plan.is_some());
    plan.is_some()
}

/// What is left behind errors is judged without a panic, and never called whole.
fn rest(text: &[u8], files: &Fixed, sound: bool) {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let judged = recover::judge("bpf.yaml", text, files, &mut sources, &mut diags, |resolved, whole, diags| {
        let checked = check::check(resolved, diags)?;
        if whole { plan::plan(&checked, diags).map(drop) } else { Some(()) }
    });
    let short = render_human::render_short(&diags, &sources);
    assert_eq!(judged.is_some_and(|((), recovery)| recovery.is_whole()) && !diags.has_errors(), sound, "{short}");
    assert!(!short.contains("stand-in"), "{short}");
}

/// Deterministic mutations: the same on every run.
fn mutations(text: &str, count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let numbers = noise(count * 8);
    (0..count).map(move |n| {
        let number = |at: usize| usize::from(numbers[n * 8 + at]) << 8 | usize::from(numbers[n * 8 + at + 1]);
        let mut bytes = text.as_bytes().to_vec();
        let at = number(0) % bytes.len();
        let other = number(2) % bytes.len();
        let length = (number(4) % 12).min(bytes.len() - at);
        match number(6) % 6 {
            0 => bytes[at] = numbers[n * 8],
            1 => drop(bytes.drain(at..at + length)),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, b"{}[]:,&*!|>'\"%@`#-? \n\t\0"[number(4) % 23]),
            4 => {
                let piece = bytes[at..at + length].to_vec();
                bytes.splice(other..other, piece);
            }
            _ => bytes.swap(at, other),
        }
        bytes
    })
}

#[test]
fn mutated_manifests_are_answered() {
    let files = object();
    assert!(compile(MANIFEST.as_bytes(), &files), "the unchanged manifest is sound");
    let sound = mutations(MANIFEST, 4000).filter(|text| compile(text, &files)).count();
    assert!(sound > 0 && sound < 4000, "{sound} of 4000 mutations are sound");
}

#[test]
fn mutated_policies_are_answered() {
    let key = Fixed(std::fs::read(crate_dir().parent().unwrap().join("tests/keys/TEST-ONLY-public.pem")).unwrap());
    let parse = |text: &[u8]| {
        let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
        let document = policy::parse("policy.yaml", text, &key, &mut sources, &mut diags);
        assert_eq!(document.is_none(), diags.has_errors(), "{}", render_human::render(&diags, &sources, false));
        document.is_some()
    };
    assert!(parse(POLICY.as_bytes()), "the unchanged policy is sound");
    let sound = mutations(POLICY, 4000).filter(|text| parse(text)).count();
    assert!(sound > 0 && sound < 4000, "{sound} of 4000 mutations are sound");
}

#[test]
fn noise_is_answered() {
    let files = object();
    for size in [1, 10, 100, 1000, 10_000, 100_000] {
        assert!(!compile(&noise(size), &files));
    }
}
