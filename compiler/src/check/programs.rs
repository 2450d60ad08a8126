//! Check of programs against their objects and hooks.
//!
//! In:   [`Resolved`]. Out: checked programs, in written order.
//! May fail with: NB0301, NB0302, NB0305, NB0306, NB0310 (lists, names, priorities), NB0311 (not in the object),
//! NB0312 (section), NB0313 (licence), NB0314 (BTF), NB0315 (prototype).

use std::collections::BTreeSet;

use nodeplan::{
    limits,
    name::ProgramName,
    selector::{Overlap, Selector},
};

use super::{Program, all, attach, name, not_empty, place::Place, unique};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    object::ProgramFacts,
    resolve::{ObjectFile, Resolved},
    source::{Span, Spanned},
    suggest::nearest,
};

/// What a dispatcher can call, in words.
const XDP_PROTOTYPE: &str = "int NAME(struct xdp_md *ctx), not static";

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

pub(super) fn not_too_many(count: usize, max: usize, key: &str, span: Span, diags: &mut Diagnostics) -> bool {
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
    if let Some(name) = &name {
        match object.facts.programs.iter().find(|program| program.name == name.value.as_str()) {
            // Programs of other hooks are not put behind a dispatcher.
            Some(facts) if is_xdp(raw) => check_facts(facts, name, object, diags),
            Some(_) => {}
            None => diags.push(not_in_object(name, object)),
        }
    }
    let attach = match &raw.attach {
        Some(list) => all(list.value.iter().map(|item| attach::check(item, list.span, diags))),
        None => Some(Vec::new()),
    };
    let frags = |facts: &&ProgramFacts| {
        name.as_ref().is_some_and(|name| name.value.as_str() == facts.name) && facts.section.starts_with("xdp.frags")
    };
    let frags = object.facts.programs.iter().any(|facts| frags(&facts));
    let program = Program { name: name?, object: object.sha256, frags, attach: attach.filter(|_| sound)? };
    once_per_place(&program, diags);
    Some(program)
}

fn is_xdp(raw: &raw::Program) -> bool {
    raw.attach.as_ref().is_none_or(|list| list.value.is_empty() || list.value.iter().any(|item| item.xdp.is_some()))
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

fn check_facts(facts: &ProgramFacts, name: &Spanned<ProgramName>, object: &ObjectFile, diags: &mut Diagnostics) {
    if !matches!(facts.section.as_str(), "xdp" | "xdp.frags") {
        let section = shown(&facts.section);
        diags.push(
            Diagnostic::error(Code::SectionMismatch, format!("program `{}` is in section `{section}`", name.value))
                .at(name.span, "hook `xdp` takes sections `xdp` and `xdp.frags`")
                .help("change the C source to SEC(\"xdp\")"),
        );
        return;
    }
    let Some(prototype) = &facts.prototype else {
        if object.facts.has_btf {
            diags.push(
                Diagnostic::error(Code::NoBtf, format!("program `{}` has no BTF function record", name.value))
                    .at(name.span, "")
                    .note(
                        "section .BTF.ext does not name it; the kernel needs it to put the program behind a dispatcher",
                    )
                    .help("compile with `-g`, and strip with `llvm-strip -g`, which keeps .BTF.ext"),
            );
        }
        return;
    };
    let parameters_fit = matches!(prototype.parameters.as_slice(), [Some(name)] if name == "xdp_md");
    if !(prototype.global && prototype.returns_int && parameters_fit) {
        let found = if !prototype.global {
            "it is static"
        } else if !prototype.returns_int {
            "it does not return int"
        } else {
            "its parameter is not one struct xdp_md *"
        };
        diags.push(
            Diagnostic::error(Code::Prototype, format!("program `{}` cannot follow a dispatcher: {found}", name.value))
                .at(name.span, "")
                .note("kernel: a program replaces a dispatcher's slot only if both have the same prototype")
                .help(format!("declare it as: {}", XDP_PROTOTYPE.replace("NAME", name.value.as_str()))),
        );
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
