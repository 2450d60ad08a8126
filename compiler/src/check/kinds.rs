//! Check of kinds: whether the kernel can load each program for all that it is wanted for.
//!
//! In:   checked programs and their objects. Out: reports only.
//! May fail with: NB0359 (one program for two places), NB0361 (a kind that cannot be told).
//!
//! A program is loaded once, for one kind: its type, and for some hooks also the function or attach type. Source: linux
//! `include/uapi/linux/bpf.h`, `BPF_PROG_LOAD` (`expected_attach_type`, `attach_btf_id`).

use nodeplan::{digest::Sha256Digest, hook::Attachment, hook::Hook};

use super::{Program, place::Place};
use crate::{
    diag::{Code, Diagnostic, Diagnostics},
    resolve::Resolved,
};

/// What a program is loaded for: hook, and what of the place the kernel wants to know at load.
fn kind(place: &Place) -> (Hook, &str) {
    let target = match &place.attachment {
        Attachment::Fentry(at) | Attachment::Fexit(at) => at.function.as_str(),
        Attachment::Lsm(at) => at.hook.as_str(),
        Attachment::BtfTracepoint(at) => at.name.as_str(),
        Attachment::Cgroup(at) => at.attach_type.as_str(),
        Attachment::Xdp(_)
        | Attachment::Tc(_)
        | Attachment::Tracepoint(_)
        | Attachment::RawTracepoint(_)
        | Attachment::Kprobe(_)
        | Attachment::Kretprobe(_) => "",
    };
    (place.attachment.hook(), target)
}

fn in_words((hook, target): (Hook, &str)) -> String {
    format!("{hook} {target}").trim_end().to_owned()
}

/// All places of one program are of one kind.
pub(super) fn of_program(program: &Program, diags: &mut Diagnostics) {
    let Some(first) = program.attach.first() else { return };
    // The same place twice is reported elsewhere, another hook too.
    let other = program.attach.iter().find(|place| {
        let ((hook, target), (first_hook, first_target)) = (kind(place), kind(first));
        hook == first_hook && target != first_target
    });
    let Some(other) = other else { return };
    let (one, two) = (in_words(kind(first)), in_words(kind(other)));
    let message = format!("program `{}` cannot be loaded for {one} and for {two}", program.name.value);
    diags.push(
        Diagnostic::error(Code::TwoKinds, message)
            .at(other.span, "another place here")
            .also(first.span, "first here")
            .note("kernel: BPF_PROG_LOAD takes one attach type, and one function or hook by its BTF id")
            .help("make it two programs in the C source that call one function, one for each place"),
    );
}

/// A program that only tail calls reach is of the kind of the attached programs of its object: that must be one.
pub(super) fn of_called(resolved: &Resolved, programs: &[Program], diags: &mut Diagnostics) {
    let objects = &resolved.program_objects;
    let maps = resolved.manifest.spec.maps.iter().flat_map(|maps| &maps.0);
    let slots: Vec<_> = maps.filter_map(|(_, map)| map.slots.as_ref()).flat_map(|slots| &slots.0).collect();
    let is_called = |program: &Program| {
        // One that nothing reaches is reported elsewhere.
        program.attach.is_empty() && slots.iter().any(|(_, name)| name.value == program.name.value.as_str())
    };
    for (called, object) in programs.iter().zip(objects).filter(|(program, _)| is_called(program)) {
        let mut places = places(programs, objects, object);
        let Some((first, place)) = places.next() else {
            diags.push(nobody(called, resolved, object));
            continue;
        };
        let Some((other, other_place)) = places.find(|(_, other)| kind(other) != kind(place)) else { continue };
        let message = format!("it cannot be told what kind of program `{}` is", called.name.value);
        diags.push(
            Diagnostic::error(Code::KindUnknown, message)
                .at(called.name.span, "only tail calls reach it, and programs of its object are of several kinds")
                .also(place.span, format_args!("`{}` is for {}", first.name.value, in_words(kind(place))))
                .also(other_place.span, format_args!("`{}` is for {}", other.name.value, in_words(kind(other_place))))
                .note("kernel: a tail call goes to a program of the caller's own kind")
                .help("build the programs that call each other into an object of their own"),
        );
    }
}

/// Attached programs of `object`, with each of their places.
fn places<'a>(
    programs: &'a [Program],
    objects: &'a [Sha256Digest],
    object: &'a Sha256Digest,
) -> impl Iterator<Item = (&'a Program, &'a Place)> {
    let same = programs.iter().zip(objects).filter(move |(_, other)| *other == object);
    same.flat_map(|(program, _)| program.attach.iter().map(move |place| (program, place)))
}

fn nobody(called: &Program, resolved: &Resolved, object: &Sha256Digest) -> Diagnostic {
    let message = format!("it cannot be told what kind of program `{}` is", called.name.value);
    let path = resolved.objects.get(object).map_or("", |file| &file.path);
    Diagnostic::error(Code::KindUnknown, message)
        .at(called.name.span, "only tail calls reach it, and no program of its object is attached")
        .note("a program in a slot is loaded as what the attached programs of its object are")
        .help(format!("attach a program of `{}` that calls it, or remove it", crate::diag::shown(path)))
}
