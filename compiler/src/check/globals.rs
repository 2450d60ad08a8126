//! Check of global variables: `spec.programs[].globals`.
//!
//! In:   a raw program and its object. Out: bytes by variable.
//! May fail with: NB0301 (name), NB0325 (no such variable), NB0326 (does not fit), NB0327 (two values), NB0328 (cannot
//! be set), NB0329 (perhaps compiled in).

use std::collections::BTreeMap;

use nodeplan::{digest::Sha256Digest, entry::HexBytes, limits, name::GlobalName, sorted::SortedMap};

use super::{
    all, name,
    values::{self, Subject},
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    object::globals::{GlobalFacts, SectionUse},
    resolve::{ObjectFile, Resolved},
    source::Span,
    suggest::nearest,
    yaml::types::Text,
};

/// The variables of one program.
pub(super) fn check(
    raw: &raw::Program,
    object: &ObjectFile,
    diags: &mut Diagnostics,
) -> Option<SortedMap<GlobalName, HexBytes>> {
    let Some(dict) = &raw.globals else { return Some(SortedMap::new()) };
    let values = all(dict.0.iter().map(|(text, literal)| {
        if object.facts.globals.iter().any(|global| global.name == text.value && text.value.contains('.')) {
            diags.push(inside_function(text));
            return None;
        }
        let name = name::<GlobalName>(text, "variable", diags)?;
        let facts = find(text, object, diags)?;
        let subject = Subject { what: "value", name: &text.value, code: Code::GlobalMismatch };
        let bytes = values::encode(literal, &facts.shape, subject, diags)?;
        Some((name.value, HexBytes::from(bytes)))
    }))?;
    Some(values.into_iter().collect())
}

fn find<'a>(text: &Text, object: &'a ObjectFile, diags: &mut Diagnostics) -> Option<&'a GlobalFacts> {
    let found: Vec<_> = object.facts.globals.iter().filter(|global| global.name == text.value).collect();
    let facts = match found.as_slice() {
        [] => {
            diags.push(no_such_global(text, object));
            return None;
        }
        [one] => *one,
        [one, ..] => {
            let message = format!("`{}` names {} variables of `{}`", text.value, found.len(), shown(&object.path));
            diags.push(
                Diagnostic::error(Code::GlobalNotSettable, message)
                    .at(text.span, "which one is meant cannot be told")
                    .note("C: static variables of several functions or files may share a name")
                    .help(format!("rename one `{}` in the C source", one.name)),
            );
            return None;
        }
    };
    if let Some(problem) = not_settable(facts, text) {
        diags.push(problem);
        return None;
    }
    if facts.section_use() == SectionUse::Constants && !facts.is_volatile {
        diags.push(
            Diagnostic::warning(
                Code::ConstantFolded,
                format!("the compiler may have used the value of `{}` already", shown(&facts.name)),
            )
            .at(text.span, "is const, but not volatile")
            .note("C: a constant's value may stand in the code itself; what is set here would have no effect there")
            .help(format!(
                "declare it as: const volatile {} {}",
                shown(&facts.shape.c_type),
                shown(&facts.name)
            )),
        );
    }
    Some(facts)
}

fn not_settable(facts: &GlobalFacts, text: &Text) -> Option<Diagnostic> {
    let cannot = |why: String| Diagnostic::error(Code::GlobalNotSettable, why).at(text.span, "");
    let name = shown(&facts.name);
    match facts.section_use() {
        SectionUse::Constants | SectionUse::Variables => {}
        SectionUse::KernelConfig => {
            return Some(
                cannot(format!("`{name}` is a setting of the kernel's configuration"))
                    .note("section .kconfig: each node's kernel gives the value")
                    .help("remove it, or make it `const volatile` in the C source instead of `extern … __kconfig`"),
            );
        }
        SectionUse::KernelSymbols => {
            return Some(
                cannot(format!("`{name}` is a symbol of the kernel"))
                    .note("section .ksyms: each node's kernel gives the address")
                    .help("remove it"),
            );
        }
        SectionUse::Other => {
            return Some(
                cannot(format!("`{name}` is in section `{}`, which holds no variables", shown(&facts.section)))
                    .help("remove it"),
            );
        }
    }
    (facts.shape.size as usize > limits::GLOBAL_MAX_BYTES).then(|| {
        let (size, max) = (facts.shape.size, limits::GLOBAL_MAX_BYTES);
        cannot(format!("variable `{name}` has {size} bytes; {max} are allowed"))
            .help("use a map with `entries` for large tables")
    })
}

/// Variables that can be named: those inside of functions have names such as `main.count`.
fn nameable(object: &ObjectFile) -> impl Iterator<Item = &str> {
    let settable = object.facts.globals.iter().filter(|global| global.is_settable());
    settable.map(|global| global.name.as_str()).filter(|name| GlobalName::try_from(*name).is_ok())
}

/// For a name such as `filter.hidden`, as clang gives it to static variables of functions.
fn inside_function(text: &Text) -> Diagnostic {
    let message = format!("`{}` is a static variable inside of a function", shown(&text.value));
    Diagnostic::error(Code::BadName, message)
        .at(text.span, "cannot be named from outside")
        .help("move it out of the function in the C source")
}

fn no_such_global(text: &Text, object: &ObjectFile) -> Diagnostic {
    let known = || nameable(object);
    let message = format!("`{}` has no variable `{}`", shown(&object.path), shown(&text.value));
    let diagnostic = Diagnostic::error(Code::GlobalNotInObject, message).at(text.span, "no such global variable");
    if object.facts.maps.iter().any(|map| map.name == text.value) {
        return diagnostic.help(format!("it is a map: write `maps: {{{}: …}}` below `spec`", text.value));
    }
    let inside = format!(".{}", text.value);
    if object.facts.globals.iter().any(|global| global.name.ends_with(&inside)) {
        return diagnostic
            .note("a static variable inside of a function cannot be named from outside")
            .help("move it out of the function in the C source");
    }
    match nearest(&text.value, known()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known().next().is_none() => {
            diagnostic.help(format!("declare it in the C source: const volatile __u32 {} = 0;", shown(&text.value)))
        }
        None => diagnostic.help(format!("its variables are {}", one_of(known().take(12)))),
    }
}

/// An object is loaded once: programs that share it share its variables.
pub(super) fn agree(resolved: &Resolved, diags: &mut Diagnostics) {
    type Said<'a> = (&'a crate::yaml::types::Literal, Span, &'a str);
    let mut seen: BTreeMap<(Sha256Digest, &str), Said<'_>> = BTreeMap::new();
    for (program, digest) in resolved.manifest.spec.programs.value.iter().zip(&resolved.program_objects) {
        for (text, literal) in program.globals.iter().flat_map(|dict| &dict.0) {
            let said: Said<'_> = (&literal.value, text.span, &program.name.value);
            let Some(first) = seen.insert((*digest, &text.value), said) else { continue };
            seen.insert((*digest, &text.value), first);
            if same(first.0, &literal.value, &text.value, *digest, resolved) {
                continue;
            }
            let message = format!(
                "variable `{}` has one value for `{}` and another for `{}`",
                shown(&text.value),
                shown(first.2),
                shown(&program.name.value)
            );
            diags.push(
                Diagnostic::error(Code::GlobalSetTwice, message)
                    .at(text.span, "again here")
                    .also(first.1, "first here")
                    .note("an object is loaded once; its programs share its variables")
                    .help("write one value, at one of the programs, or compile two objects"),
            );
        }
    }
}

/// Whether two literals are one value: `10` and `0xa` are.
fn same(
    a: &crate::yaml::types::Literal,
    b: &crate::yaml::types::Literal,
    name: &str,
    digest: Sha256Digest,
    resolved: &Resolved,
) -> bool {
    if a == b {
        return true;
    }
    let facts =
        resolved.objects.get(&digest).and_then(|object| object.facts.globals.iter().find(|one| one.name == name));
    let Some(facts) = facts else { return true };
    let span = resolved.manifest.metadata.name.span;
    let bytes = |literal: &crate::yaml::types::Literal| {
        let literal = crate::source::Spanned::new(literal.clone(), span);
        let subject = Subject { what: "value", name, code: Code::GlobalMismatch };
        values::encode(&literal, &facts.shape, subject, &mut Diagnostics::default())
    };
    // What does not fit was reported where it stands.
    match (bytes(a), bytes(b)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}
