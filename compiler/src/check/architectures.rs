//! Architectures: the objects that one program has for several of them.
//!
//! In:   [`Resolved`], and which architectures the manifest applies to. Out: nothing.
//! May fail with: NB0353 (objects that differ), NB0354 (an architecture without object).
//!
//! All checks of a program look at its first object. This makes them hold for the others.

use nodeplan::applies::{AppliesTo, Architecture};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw,
    object::{ObjectFacts, ProgramFacts},
    resolve::{ObjectFile, Resolved},
};

pub(super) fn check(resolved: &Resolved, applies_to: &AppliesTo, diags: &mut Diagnostics) {
    let programs = resolved.manifest.spec.programs.value.iter().zip(&resolved.architectures);
    for (program, objects) in programs.filter(|(_, objects)| !objects.is_empty()) {
        let find = |digest| resolved.objects.get(digest).or_else(|| resolved.others.get(digest));
        let mut files = objects.iter().filter_map(|(architecture, digest)| Some((architecture, find(digest)?)));
        let Some((first_architecture, first)) = files.next() else { continue };
        for (architecture, file) in files {
            if let Some(difference) = difference(&program.name.value, first, file) {
                let message = format!("program `{}` differs: {difference}", shown(&program.name.value));
                diags.push(
                    Diagnostic::error(Code::ArchitecturesDiffer, message)
                        .at(architecture.span, format_args!("`{}` here", shown(&file.path)))
                        .also(first_architecture.span, format_args!("`{}` here", shown(&first.path)))
                        .note("one manifest is checked once, and must hold for every architecture")
                        .help("build all objects from the same source"),
                );
            }
        }
        let has: Vec<_> = objects.iter().map(|(one, _)| one.value).collect();
        covered(program, &has, applies_to, diags);
    }
}

/// Every architecture that the manifest applies to has an object.
fn covered(program: &raw::Program, has: &[Architecture], applies_to: &AppliesTo, diags: &mut Diagnostics) {
    let wanted: Vec<_> = match applies_to.architectures.as_slice() {
        [] => vec![Architecture::Amd64, Architecture::Arm64],
        some => some.to_vec(),
    };
    for architecture in wanted.iter().filter(|wanted| !has.contains(wanted)) {
        let word = architecture.as_str();
        let only = has.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
        diags.push(
            Diagnostic::error(
                Code::ArchitectureMissing,
                format!("program `{}` has no object for {word}", shown(&program.name.value)),
            )
            .at(program.name.span, format_args!("it has one for {only}"))
            .help(format!("add `{word}: FILE` to `object`"))
            .help(format!("or say where the stream applies: `appliesTo: {{architectures: [{only}]}}`")),
        );
    }
}

/// The first thing that two objects of `program` do not have in common.
fn difference(program: &str, one: &ObjectFile, other: &ObjectFile) -> Option<String> {
    let find = |facts: &ObjectFacts| facts.programs.iter().find(|facts| facts.name == program).cloned();
    match (find(&one.facts), find(&other.facts)) {
        (Some(one), Some(other)) => program_difference(&one, &other),
        (Some(_), None) => Some(format!("`{}` does not have it", shown(&other.path))),
        // The first object is judged by itself.
        (None, _) => None,
    }
    .or_else(|| (one.facts.licence != other.facts.licence).then(|| "the licences".to_owned()))
    .or_else(|| (one.facts.constructs != other.facts.constructs).then(|| "constructs that nodes refuse".to_owned()))
    .or_else(|| map_difference(&one.facts, &other.facts))
}

fn program_difference(one: &ProgramFacts, other: &ProgramFacts) -> Option<String> {
    if one.section != other.section {
        return Some(format!("section `{}` and `{}`", shown(&one.section), shown(&other.section)));
    }
    if one.prototype != other.prototype {
        return Some("its prototype".to_owned());
    }
    if !one.helpers.keys().eq(other.helpers.keys()) {
        return Some("the helpers it calls".to_owned());
    }
    if one.constructs != other.constructs {
        return Some("what it needs of the kernel".to_owned());
    }
    (one.run_config != other.run_config).then(|| "section .xdp_run_config".to_owned())
}

fn map_difference(one: &ObjectFacts, other: &ObjectFacts) -> Option<String> {
    let missing = |map: &&crate::object::map::MapFacts, among: &ObjectFacts| {
        !among.maps.iter().any(|other| other.name == map.name)
    };
    if let Some(map) =
        one.maps.iter().find(|map| missing(map, other)).or(other.maps.iter().find(|map| missing(map, one)))
    {
        return Some(format!("map `{}` is in one object only", shown(&map.name)));
    }
    let pairs = one.maps.iter().zip(&other.maps);
    pairs.filter(|(one, other)| one != other).map(|(one, _)| format!("map `{}`", shown(&one.name))).next()
}
