//! Check of programs against their objects and hooks.
//!
//! In:   [`Resolved`]. Out: checked programs, in written order.
//! May fail with: NB0301, NB0302, NB0305, NB0306, NB0310 (lists, names, priorities), NB0311 (not in the object),
//! NB0312 (section), NB0313 (licence), NB0314 (BTF), NB0315 (prototype).

use std::collections::BTreeSet;

use nodeplan::{
    glob, limits,
    name::{IfGlob, ProgramName},
    priority::Priority,
    xdp::{ProceedOn, XdpAction, XdpMode},
};

use super::{Program, Xdp, all, name, not_empty, unique};
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
    let sound = not_empty(&raw.attach, "attach", diags);
    if let Some(name) = &name {
        match object.facts.programs.iter().find(|program| program.name == name.value.as_str()) {
            Some(facts) => check_facts(facts, name, object, diags),
            None => diags.push(not_in_object(name, object)),
        }
    }
    let attach = all(raw.attach.value.iter().map(|attach| check_xdp(&attach.xdp, diags)));
    let program = Program { name: name?, object: object.sha256, attach: attach.filter(|_| sound)? };
    once_per_interface(&program, diags);
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

fn check_xdp(raw: &raw::Xdp, diags: &mut Diagnostics) -> Option<Xdp> {
    let sound = not_empty(&raw.interfaces, "interfaces", diags);
    let interfaces =
        all(raw.interfaces.value.iter().map(|selector| name::<IfGlob>(&selector.name, "interface", diags)));
    let priority = priority(&raw.priority, diags);
    let proceed_on = proceed_on(raw.proceed_on.as_ref(), diags);
    let mode = match &raw.mode {
        Some(word) => word.0.clone(),
        None => Spanned::new(XdpMode::Native, raw.priority.span),
    };
    Some(Xdp { interfaces: interfaces.filter(|_| sound)?, mode, priority: priority?, proceed_on: proceed_on? })
}

pub(crate) fn priority(number: &Spanned<i64>, diags: &mut Diagnostics) -> Option<Spanned<Priority>> {
    let priority = Priority::try_from(number.value);
    if priority.is_err() {
        let message = format!("a priority must be from 0 to {}, not {}", limits::PRIORITY_MAX, number.value);
        diags.push(
            Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range").note("lower runs first"),
        );
    }
    priority.ok().map(|priority| Spanned::new(priority, number.span))
}

fn proceed_on(
    raw: Option<&crate::yaml::types::List<crate::yaml::types::Word<XdpAction>>>,
    diags: &mut Diagnostics,
) -> Option<ProceedOn> {
    let Some(list) = raw else {
        return ProceedOn::from_unsorted(vec![XdpAction::Pass]).ok();
    };
    let words = list.value.iter().map(|word| (word.0.value, word.0.span));
    unique(words.clone(), |action| format!("verdict `{}`", action.as_str()), diags);
    if !not_empty(list, "proceedOn", diags) {
        return None;
    }
    ProceedOn::from_unsorted(words.map(|(action, _)| action).collect()).ok()
}

/// One program runs once per interface: it cannot hold two places in one chain.
fn once_per_interface(program: &Program, diags: &mut Diagnostics) {
    let mut seen: Vec<&Spanned<IfGlob>> = Vec::new();
    for selector in program.attach.iter().flat_map(|xdp| &xdp.interfaces) {
        let other = seen.iter().find(|other| glob::overlap(other.value.as_str(), selector.value.as_str()));
        if let Some(other) = other {
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
        seen.push(selector);
    }
}
