//! Check of programs against their objects and hooks.
//!
//! In:   [`Resolved`]. Out: checked programs, in written order.
//! May fail with: NB0301, NB0302, NB0305, NB0306, NB0310 (lists, names, priorities), NB0311 (not in the object),
//! NB0207 (constructs), NB0313 (licence), NB0314 (BTF); what does not fit a hook: [`super::fit`] and [`super::kinds`].

use std::collections::BTreeSet;

use nodeplan::{
    limits,
    name::ProgramName,
    plan::{ObjectRef, Objects},
    selector::{Overlap, Selector},
};

use super::{Program, all, attach, fit, globals, kinds, name, not_empty, place::Place, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    resolve::{ObjectFile, Resolved},
    source::{Span, Spanned},
    suggest::nearest,
};

pub(super) fn check(resolved: &Resolved, diags: &mut Diagnostics) -> Option<Vec<Program>> {
    let list = &resolved.manifest.spec.programs;
    let sound = not_empty(list, "programs", diags);
    if !not_too_many(list.value.len(), limits::PLAN_MAX_PROGRAMS, "programs", list.span, diags) {
        // Problems of single programs would bury it.
        return None;
    }
    unique(
        list.value.iter().map(|program| (&program.name.value, program.name.span)),
        |name| format!("program `{}`", shown(name)),
        diags,
    );
    let mut judged = BTreeSet::new();
    let programs = all(list.value.iter().zip(&resolved.program_objects).map(|(raw, digest)| {
        let object = &resolved.objects[digest];
        if judged.insert(*digest) {
            check_object(object, diags);
        }
        check_program(raw, object, diags)
    }));
    programs.filter(|_| sound)
}

pub(crate) fn not_too_many(count: usize, max: usize, key: &str, span: Span, diags: &mut Diagnostics) -> bool {
    if count > max {
        let message = format!("`{key}` has {count} items; {max} are allowed");
        diags.push(Diagnostic::error(Code::TooMany, message).at(span, "too many"));
    }
    count <= max
}

fn check_object(object: &ObjectFile, diags: &mut Diagnostics) {
    let path = shown(&object.path);
    if object.facts.licence.as_deref().is_none_or(str::is_empty) {
        diags.push(
            Diagnostic::error(Code::NoLicence, format!("object `{path}` has no licence"))
                .at(object.span, "")
                .note("kernel: many helpers may be called by programs under a GPL-compatible licence only")
                .help("add to the C source: char _license[] SEC(\"license\") = \"GPL\";"),
        );
    }
    for construct in &object.facts.constructs {
        diags.push(fit::refused(construct, &path, object.span));
    }
    if !object.facts.has_btf {
        diags.push(
            Diagnostic::error(Code::NoBtf, format!("object `{path}` has no BTF"))
                .at(object.span, "")
                .note("kernel: a program is put behind a dispatcher by its BTF")
                .help("compile with `-g`, and strip with `llvm-strip -g`, which keeps BTF"),
        );
    }
}

fn check_program(raw: &raw::Program, object: &ObjectFile, diags: &mut Diagnostics) -> Option<Program> {
    let name = name::<ProgramName>(&raw.name, "program", diags);
    let sound = raw.attach.as_ref().is_none_or(|attach| not_empty(attach, "attach", diags));
    let facts =
        name.as_ref().and_then(|name| object.facts.programs.iter().find(|program| program.name == name.value.as_str()));
    if let (Some(name), None) = (&name, facts) {
        diags.push(not_in_object(name, object));
    }
    let attach: Vec<_> = match &raw.attach {
        Some(list) => list.value.iter().map(|item| attach::check(item, list.span, diags)).collect(),
        None => Vec::new(),
    };
    if let (Some(name), Some(facts)) = (&name, facts) {
        let hooks = raw.attach.iter().flat_map(|list| &list.value).flat_map(raw::Attach::named);
        let wanted = fit::Wanted {
            name,
            hooks: hooks.map(|attach| (attach.value.hook(), attach.key)).collect(),
            places: &attach,
        };
        fit::check(facts, &wanted, object, diags);
    }
    let attach = all(attach);
    let globals = globals::check(raw, object, diags);
    let helpers = facts.map(|facts| facts.helpers.keys().copied().collect()).unwrap_or_default();
    let reference = ObjectRef { sha256: object.sha256, source_sha256: object.sha256 };
    let program = Program {
        name: name?,
        objects: Objects::One(reference),
        helpers,
        frags: facts.is_some_and(|facts| facts.section.starts_with("xdp.frags")),
        globals: globals?,
        attach: attach.filter(|_| sound)?,
    };
    once_per_place(&program, diags);
    kinds::of_program(&program, diags);
    Some(program)
}

fn not_in_object(name: &Spanned<ProgramName>, object: &ObjectFile) -> Diagnostic {
    let known = || object.facts.programs.iter().map(|program| program.name.as_str());
    let diagnostic = Diagnostic::error(
        Code::ProgramNotInObject,
        format!("program `{}` is not in `{}`", name.value, shown(&object.path)),
    )
    .at(name.span, "no such function");
    match nearest(name.value.as_str(), known()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("the object has {}", one_of(known()))),
    }
}

/// One program runs once per interface: it cannot hold two places in one chain.
fn once_per_place(program: &Program, diags: &mut Diagnostics) {
    for (at, place) in program.attach.iter().enumerate() {
        let same_chain = |other: &&Place| other.attachment.place() == place.attachment.place();
        for other in program.attach[..at].iter().filter(same_chain) {
            match place.meeting(other) {
                Some((selector, other)) => twice(program, selector, other, diags),
                None if place.interfaces.is_empty() => diags.push(
                    Diagnostic::error(
                        Code::ListedTwice,
                        format!(
                            "program `{}` would be attached twice to {}",
                            program.name.value,
                            place.attachment.place()
                        ),
                    )
                    .at(place.span, "again here")
                    .also(other.span, "first here")
                    .help("remove one of the two"),
                ),
                None => {}
            }
        }
        for (at, selector) in place.interfaces.iter().enumerate() {
            let met =
                place.interfaces[..at].iter().find(|other| other.value.overlap(&selector.value) == Overlap::Perhaps);
            // A name and a driver of one interface in one list are one attachment; two names are a mistake.
            if let Some(other) = met.filter(|other| other.value.kind() == selector.value.kind()) {
                twice(program, selector, other, diags);
            }
        }
    }
}

fn twice(program: &Program, selector: &Spanned<Selector>, other: &Spanned<Selector>, diags: &mut Diagnostics) {
    diags.push(
        Diagnostic::error(
            Code::ListedTwice,
            format!("program `{}` would be attached twice to one interface", program.name.value),
        )
        .at(selector.span, format_args!("`{}` means it", selector.value))
        .also(other.span, format_args!("`{}` means it too", other.value))
        .help("make the selectors disjoint"),
    );
}
