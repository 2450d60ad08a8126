//! Ship: the bytes of each object that go into the bundle.
//!
//! In:   [`Resolved`], checked programs. Out: objects by digest; the programs refer to them.
//! May fail with: NB0205 (a loader would not read what ships).

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::{
    digest::Sha256Digest,
    plan::{ObjectRef, Objects},
    sorted::SortedMap,
};

use super::Program;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    object::lower,
    resolve::{ObjectFile, Resolved},
};

/// Lowers every object for the programs that use it.
pub(super) fn ship(
    resolved: &Resolved,
    programs: &mut [Program],
    diags: &mut Diagnostics,
) -> SortedMap<Sha256Digest, Vec<u8>> {
    let mut references = BTreeMap::new();
    let mut shipped = SortedMap::new();
    for object in resolved.all_objects() {
        let wanted = wanted(resolved, programs, object);
        match lower::lower(&object.bytes, &wanted) {
            Ok(bytes) => {
                let sha256 = Sha256Digest::of(&bytes);
                references.insert(object.sha256, ObjectRef { sha256, source_sha256: object.sha256 });
                shipped.insert(sha256, bytes.into_owned());
            }
            Err(error) => diags.push(
                Diagnostic::error(Code::NotAnObject, format!("object `{}` cannot be used", shown(&object.path)))
                    .at(object.span, "")
                    .note(error.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>())
                    .help("compile with `clang -g -O2 -target bpfel -c`, and strip with `llvm-strip -g` only"),
            ),
        }
    }
    for (index, program) in programs.iter_mut().enumerate() {
        let find = |digest: &Sha256Digest| references.get(digest).cloned();
        let by_architecture = &resolved.architectures[index];
        let objects = if by_architecture.is_empty() {
            find(&resolved.program_objects[index]).map(Objects::One)
        } else {
            let all = by_architecture.iter().map(|(one, digest)| Some((one.value, find(digest)?)));
            all.collect::<Option<SortedMap<_, _>>>().map(Objects::PerArchitecture)
        };
        // An object that is missing here was reported.
        if let Some(objects) = objects {
            program.objects = objects;
        }
    }
    shipped
}

/// Programs that use `object`, for any architecture.
fn wanted<'a>(resolved: &Resolved, programs: &'a [Program], object: &ObjectFile) -> BTreeSet<&'a str> {
    let uses = |index: usize| {
        resolved.program_objects[index] == object.sha256
            || resolved.architectures[index].iter().any(|(_, digest)| *digest == object.sha256)
    };
    let used = programs.iter().enumerate().filter(|(index, _)| uses(*index));
    used.map(|(_, program)| program.name.value.as_str()).collect()
}
