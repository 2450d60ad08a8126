//! Fit: whether a program of an object can do what the manifest wants of it.
//!
//! In:   facts of a program, the hooks that the manifest names for it. Out: nothing.
//! May fail with: NB0207 (constructs), NB0208 (no hook), NB0312 (another hook), NB0314 (BTF), NB0315 (prototype),
//! NB0350 (another target), NB0351 (licence). Warns with NB0352 (run config) and NB0355 (tail calls).

use nodeplan::{
    hook::{Attachment, Hook, XdpAttachment},
    name::ProgramName,
    xdp::XdpAction,
};

use super::place::Place;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    object::{
        ProgramFacts,
        construct::Construct,
        helpers,
        section::{self, Target, Usage},
    },
    resolve::ObjectFile,
    source::{Span, Spanned},
    suggest::nearest,
};

/// What a dispatcher can call, in words.
const XDP_PROTOTYPE: &str = "int NAME(struct xdp_md *ctx), not static";

/// What the manifest wants of a program.
pub(super) struct Wanted<'a> {
    /// Its name.
    pub(super) name: &'a Spanned<ProgramName>,
    /// Hooks that are named, sound or not, with their keys.
    pub(super) hooks: Vec<(Hook, Span)>,
    /// Places that are sound.
    pub(super) places: &'a [Option<Place>],
}

impl Wanted<'_> {
    fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().flatten()
    }
}

pub(super) fn check(facts: &ProgramFacts, wanted: &Wanted<'_>, object: &ObjectFile, diags: &mut Diagnostics) {
    let Ok(section) = &facts.kind else { return diags.push(unknown_section(facts, wanted)) };
    let (hook, target) = match &section.usage {
        Usage::Hook(hook, target) => (*hook, target),
        Usage::Refused(what) => return diags.push(no_hook(facts, what, wanted)),
    };
    let mut others = wanted.hooks.iter().filter(|(other, _)| *other != hook).peekable();
    if others.peek().is_some() {
        return diags.extend(others.map(|(other, key)| another_hook(facts, *other, *key, wanted)));
    }
    for construct in &facts.constructs {
        diags.push(refused(construct, wanted.name.value.as_str(), wanted.name.span));
    }
    for place in wanted.places() {
        check_target(facts, target, place, wanted, diags);
        if let Attachment::Xdp(xdp) = &place.attachment {
            check_run_config(facts, xdp, place, diags);
        }
    }
    check_licence(facts, hook, wanted, object, diags);
    if wanted.hooks.iter().any(|(hook, _)| *hook == Hook::Xdp) {
        check_prototype(facts, wanted.name, object, diags);
        if facts.helpers.contains_key(&helpers::TAIL_CALL) {
            diags.push(tail_calls(facts, wanted));
        }
    }
}

/// A construct that is refused of `who`, a program or object.
pub(super) fn refused(construct: &Construct, who: &str, span: Span) -> Diagnostic {
    Diagnostic::error(Code::Construct, format!("`{}` needs {}", shown(who), shown(&construct.to_string())))
        .at(span, "loaders on nodes do not do that")
        .help(construct.help())
}

fn sections(hook: Hook) -> String {
    let names: Vec<_> = section::names(hook).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0..=6 => names.join(", "),
        more => format!("{} and {} more", names[..6].join(", "), more - 6),
    }
}

fn unknown_section(facts: &ProgramFacts, wanted: &Wanted<'_>) -> Diagnostic {
    let name = &facts.section;
    let message = format!("program `{}` is in section `{}`", wanted.name.value, shown(name));
    let diagnostic = Diagnostic::error(Code::SectionMismatch, message)
        .at(wanted.name.span, "libbpf knows no such section")
        .note("a program's section says what kind of program it is: libbpf, section_defs");
    let head = name.trim_start_matches('?').split(['/', '_']).next().unwrap_or_default();
    let known = || section::all().map(|(name, _)| name);
    let near = known().find(|known| *known == head).or_else(|| nearest(name, known()));
    match (wanted.hooks.first().map(|(hook, _)| hook), near) {
        (Some(hook), _) => diagnostic.help(format!("hook `{hook}` takes sections {}", sections(*hook))),
        (None, Some(near)) => diagnostic.help(format!("did you mean SEC(\"{near}\")?")),
        (None, None) => {
            diagnostic.help("change SEC(\"…\") in the C source to the section of the hook, such as SEC(\"xdp\")")
        }
    }
}

fn no_hook(facts: &ProgramFacts, what: &str, wanted: &Wanted<'_>) -> Diagnostic {
    let message = format!("program `{}` is {what}, which has no hook in nodebpf", wanted.name.value);
    Diagnostic::error(Code::NoHook, message)
        .at(wanted.name.span, format_args!("in section `{}`", shown(&facts.section)))
        .note(format!("hooks are {}", one_of(Hook::ALL.iter().map(|hook| hook.as_str()))))
        .help("remove it from `programs`; programs of the object that no manifest names are not shipped")
}

fn another_hook(facts: &ProgramFacts, hook: Hook, key: Span, wanted: &Wanted<'_>) -> Diagnostic {
    let message = format!("program `{}` is in section `{}`", wanted.name.value, shown(&facts.section));
    let first = section::names(hook).next().unwrap_or_default();
    Diagnostic::error(Code::SectionMismatch, message)
        .at(key, format_args!("hook `{hook}` takes sections {}", sections(hook)))
        .also(wanted.name.span, "this program")
        .help(match &facts.kind {
            Ok(section::Section { usage: Usage::Hook(own, _), .. }) => {
                format!("attach it under `{own}`, or change the C source to SEC(\"{first}\")")
            }
            _ => format!("change the C source to SEC(\"{first}\")"),
        })
}

/// What the section names must be what the manifest names. A kprobe is the same program at any function.
fn check_target(facts: &ProgramFacts, target: &Target, place: &Place, wanted: &Wanted<'_>, diags: &mut Diagnostics) {
    let differs = |name: &str| matches!(target, Target::Name(own) if own != name);
    let (key, found, fits) = match &place.attachment {
        Attachment::Xdp(_) | Attachment::Kprobe(_) | Attachment::Kretprobe(_) => return,
        Attachment::Tc(tc) => {
            let fits = !matches!(target, Target::Direction(own) if *own != tc.direction);
            ("direction", tc.direction.as_str().to_owned(), fits)
        }
        Attachment::Cgroup(cgroup) => {
            let fits = matches!(target, Target::Cgroup(types) if types.contains(&cgroup.attach_type));
            ("attachType", cgroup.attach_type.as_str().to_owned(), fits)
        }
        Attachment::Tracepoint(point) => {
            let (category, name) = (point.category.as_str(), point.name.as_str());
            let other = matches!(target, Target::Tracepoint(own, own_name) if own != category || own_name != name);
            ("category and name", format!("{category}/{name}"), !other)
        }
        Attachment::RawTracepoint(at) | Attachment::BtfTracepoint(at) => {
            ("name", at.name.to_string(), !differs(at.name.as_str()))
        }
        Attachment::Fentry(at) | Attachment::Fexit(at) => {
            ("function", at.function.to_string(), !differs(at.function.as_str()))
        }
        Attachment::Lsm(lsm) => ("hook", lsm.hook.to_string(), !differs(lsm.hook.as_str())),
    };
    if !fits {
        let span = if place.attachment.chained().is_some() || place.attachment.hook() == Hook::Cgroup {
            place.variant
        } else {
            place.span
        };
        let (section, own) = (shown(&facts.section), shown(&target.text()));
        let message = format!("program `{}` is for {own}, not for {found}", wanted.name.value);
        diags.push(
            Diagnostic::error(Code::TargetMismatch, message)
                .at(span, format_args!("{key} is {found} here"))
                .also(wanted.name.span, format_args!("its section is `{section}`"))
                .help(format!("write {key} {own}, or change SEC(\"{section}\") in the C source")),
        );
    }
}

fn check_licence(facts: &ProgramFacts, hook: Hook, wanted: &Wanted<'_>, object: &ObjectFile, diags: &mut Diagnostics) {
    // An object without licence is reported once, for all its programs.
    let Some(licence) = object.facts.licence.as_deref().filter(|text| !text.is_empty()) else { return };
    if helpers::GPL_LICENCES.contains(&licence) {
        return;
    }
    let name = &wanted.name.value;
    let report = |what: String, note: String| {
        Diagnostic::error(
            Code::GplOnly,
            format!("{what} needs a GPL-compatible licence; `{}` has `{}`", shown(&object.path), shown(licence)),
        )
        .at(wanted.name.span, "in this program")
        .note(note)
        .help(format!("licences that the kernel takes: {}", helpers::GPL_LICENCES.join(", ")))
    };
    if helpers::hook_is_gpl_only(hook) {
        diags.push(report(format!("hook `{hook}` of `{name}`"), "kernel: bpf_lsm_verify_prog".to_owned()));
    }
    for (helper, (function, instruction)) in facts.helpers.iter().filter(|(helper, _)| helpers::is_gpl_only(**helper)) {
        let helper = helpers::name(*helper).unwrap_or_else(|| format!("helper {helper}"));
        diags.push(report(
            format!("`{helper}`"),
            format!("called at instruction {instruction} of function `{}`; kernel: gpl_only", shown(function)),
        ));
    }
}

/// The manifest rules; a user of `xdp-loader` would have another order.
fn check_run_config(facts: &ProgramFacts, xdp: &XdpAttachment, place: &Place, diags: &mut Diagnostics) {
    let Some(config) = &facts.run_config else { return };
    let words = |actions: &[XdpAction]| actions.iter().map(|action| action.as_str()).collect::<Vec<_>>().join(", ");
    let mut differences = Vec::new();
    if let Some(own) = config.priority.filter(|own| *own != u32::from(xdp.priority.get())) {
        differences.push((format!("priority {own}"), format!("priority {}", xdp.priority), place.priority));
    }
    if let Some(own) = &config.proceed_on {
        let mut own = own.clone();
        own.sort();
        if own != xdp.proceed_on.actions() {
            let written = words(xdp.proceed_on.actions());
            differences.push((format!("proceedOn [{}]", words(&own)), format!("proceedOn [{written}]"), place.span));
        }
    }
    for (own, written, span) in differences {
        let message = format!("the object of `{}` asks for {own}; the manifest says {written}", facts.name);
        diags.push(
            Diagnostic::warning(Code::RunConfigDiffers, message)
                .at(span, "this holds")
                .note("section .xdp_run_config of the object is for xdp-loader and libxdp"),
        );
    }
}

fn check_prototype(facts: &ProgramFacts, name: &Spanned<ProgramName>, object: &ObjectFile, diags: &mut Diagnostics) {
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
    if let Some(found) = prototype.misfit() {
        diags.push(
            Diagnostic::error(Code::Prototype, format!("program `{}` cannot follow a dispatcher: {found}", name.value))
                .at(name.span, "")
                .note("kernel: a program replaces a dispatcher's slot only if both have the same prototype")
                .help(format!("declare it as: {}", XDP_PROTOTYPE.replace("NAME", name.value.as_str()))),
        );
    }
}

fn tail_calls(facts: &ProgramFacts, wanted: &Wanted<'_>) -> Diagnostic {
    let function = facts.helpers.get(&helpers::TAIL_CALL).map_or(facts.name.as_str(), |(function, _)| function);
    Diagnostic::warning(
        Code::TailCalls,
        format!("program `{}` makes tail calls behind a dispatcher", wanted.name.value),
    )
    .at(wanted.name.span, format_args!("in function `{}`", shown(function)))
    .note("kernel: a program behind a dispatcher cannot be called by a tail call, and 6.13 and newer limit its own")
    .help("make the called programs functions of one program, if the kernel refuses it")
}
