//! Check of tail calls: which programs stand in the slots of a `prog_array`, and whether every program is reached.
//!
//! In:   [`Resolved`] and a map. Out: [`Slot`]s, by index.
//! May fail with: NB0305 (no slots), NB0310 (too many), NB0347 (a slot that cannot be filled), NB0348 (not reached),
//! NB0360 (another object).

use nodeplan::{limits, name::ProgramName, plan::Slot};

use super::name;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    manifest::raw,
    object::map::{MapFacts, MapType},
    resolve::Resolved,
    source::Span,
    suggest::nearest,
    yaml::types::{Dict, Text},
};

/// The slots of one map.
pub(super) fn check(
    slots: &Dict<Text>,
    map: &Text,
    facts: &MapFacts,
    resolved: &Resolved,
    diags: &mut Diagnostics,
) -> Option<Vec<Slot>> {
    if facts.map_type != MapType::PROG_ARRAY {
        let message = format!("map `{}` is of type {}, which has no slots", map.value, facts.map_type.name());
        diags.push(
            Diagnostic::error(Code::BadSlot, message)
                .at(map.span, "must be a prog_array")
                .note("kernel: tail calls go through maps of type BPF_MAP_TYPE_PROG_ARRAY only")
                .help("name the map that bpf_tail_call() is given, or write `entries` for data"),
        );
        return None;
    }
    if slots.0.is_empty() || slots.0.len() > limits::MAP_MAX_SLOTS {
        let code = if slots.0.is_empty() { Code::EmptyList } else { Code::TooMany };
        let message = format!("`slots` has {} items; it must have 1 to {}", slots.0.len(), limits::MAP_MAX_SLOTS);
        diags.push(Diagnostic::error(code, message).at(map.span, "of this map").help("for example `slots: {0: NAME}`"));
        return None;
    }
    let mut sound = true;
    let mut checked = Vec::new();
    for (index, program) in &slots.0 {
        let index = check_index(index, facts, diags);
        let program = check_program(program, facts, resolved, diags);
        match (index, program) {
            (Some(index), Some(program)) => checked.push(Slot { index, program }),
            _ => sound = false,
        }
    }
    sound = sound && one_type(slots, facts, resolved, diags);
    checked.sort_by_key(|slot| slot.index);
    sound.then_some(checked)
}

fn check_index(text: &Text, facts: &MapFacts, diags: &mut Diagnostics) -> Option<u32> {
    let last = facts.max_entries.saturating_sub(1);
    // One spelling: `01` and `0x1` would be other keys of the same slot.
    let index = text.value.parse::<u32>().ok().filter(|index| index.to_string() == text.value);
    if let Some(index) = index.filter(|index| *index < facts.max_entries) {
        return Some(index);
    }
    let message = match index {
        Some(index) => format!("slot {index} is outside map `{}`; its slots are 0 to {last}", shown(&facts.name)),
        None => format!("`{}` is not the number of a slot", shown(&text.value)),
    };
    diags.push(
        Diagnostic::error(Code::BadSlot, message)
            .at(text.span, "")
            .help(format!("write a number from 0 to {last}, the index that bpf_tail_call() is given")),
    );
    None
}

fn raw_program<'a>(text: &str, resolved: &'a Resolved) -> Option<&'a raw::Program> {
    resolved.manifest.spec.programs.value.iter().find(|program| program.name.value == text)
}

fn check_program(text: &Text, facts: &MapFacts, resolved: &Resolved, diags: &mut Diagnostics) -> Option<ProgramName> {
    let name = name::<ProgramName>(text, "program", diags)?;
    let Some(program) = raw_program(&text.value, resolved) else {
        let known = || resolved.manifest.spec.programs.value.iter().map(|program| program.name.value.as_str());
        let diagnostic =
            Diagnostic::error(Code::BadSlot, format!("the manifest has no program `{}`", shown(&text.value)))
                .at(text.span, "a slot takes a program of this stream");
        diags.push(match nearest(&text.value, known()) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!("add it to `programs` without `attach`; there are {}", one_of(known()))),
        });
        return None;
    };
    let xdp = program.attach.iter().flat_map(|list| &list.value).any(|attach| attach.xdp.is_some());
    if xdp {
        diags.push(
            Diagnostic::error(
                Code::BadSlot,
                format!("program `{}` is attached to XDP, and cannot be in a slot", name.value),
            )
            .at(text.span, "")
            .also(program.name.span, "is attached here")
            .note("kernel: behind a dispatcher a program is an extension, which can call but not be called")
            .help("put the part that is tail-called into a program of its own, without `attach`"),
        );
        return None;
    }
    if let Some(problem) = in_another_object(text, program, facts, resolved) {
        diags.push(problem);
        return None;
    }
    Some(name.value)
}

/// The loader fills the maps of an object with programs of that object.
fn in_another_object(text: &Text, program: &raw::Program, facts: &MapFacts, resolved: &Resolved) -> Option<Diagnostic> {
    let index = resolved.manifest.spec.programs.value.iter().position(|other| std::ptr::eq(other, program))?;
    let own = resolved.objects.get(resolved.program_objects.get(index)?)?;
    if own.facts.maps.iter().any(|map| map.name == facts.name) {
        return None;
    }
    let other = resolved.objects.values().find(|object| object.facts.maps.iter().any(|map| map.name == facts.name))?;
    let message = format!(
        "program `{}` is in `{}`, and map `{}` in `{}`",
        shown(&text.value),
        shown(&own.path),
        shown(&facts.name),
        shown(&other.path)
    );
    Some(
        Diagnostic::error(Code::SlotElsewhere, message)
            .at(text.span, "must be in the object of the map")
            .also(program.name.span, "is defined here")
            .note("the loader fills the slots of an object with programs of that object")
            .help("put both into one object: bpftool gen object OUT.o A.o B.o"),
    )
}

/// All slots hold programs of one type, that of some program which can call them.
fn one_type(slots: &Dict<Text>, facts: &MapFacts, resolved: &Resolved, diags: &mut Diagnostics) -> bool {
    let known: Vec<_> =
        slots.0.iter().filter_map(|(_, program)| Some((program, section(&program.value, resolved)?))).collect();
    let Some((first, first_section)) = known.first() else { return true };
    for (program, other) in &known {
        if family(other) != family(first_section) {
            diags.push(
                Diagnostic::error(
                    Code::BadSlot,
                    format!("program `{}` ({}) is of another type than `{}`", program.value, shown(other), first.value),
                )
                .at(program.span, format_args!("is in section `{}`", shown(other)))
                .also(first.span, format_args!("is in section `{}`", shown(first_section)))
                .note("kernel: all programs of a prog_array have the type of the first")
                .help("use one map for each type of program"),
            );
            return false;
        }
    }
    let callers: Vec<_> = callers(facts, resolved).collect();
    if callers.is_empty() || callers.iter().any(|caller| family(caller) == family(first_section)) {
        return true;
    }
    let message = format!("nothing that is attached can call `{}`: it is of another type", first.value);
    diags.push(
        Diagnostic::error(Code::BadSlot, message)
            .at(first.span, format_args!("is in section `{}`", shown(first_section)))
            .note(format!("attached programs that could use the map are in {}", one_of(callers.iter().copied())))
            .note("kernel: a tail call goes to a program of the caller's own type")
            .help("give both programs the same kind of SEC(…) in the C source"),
    );
    false
}

/// Sections of the attached programs in the map's object.
fn callers<'a>(facts: &'a MapFacts, resolved: &'a Resolved) -> impl Iterator<Item = &'a str> {
    let programs = resolved.manifest.spec.programs.value.iter().zip(&resolved.program_objects);
    programs.filter_map(move |(program, digest)| {
        let object = resolved.objects.get(digest)?;
        let uses = object.facts.maps.iter().any(|map| map.name == facts.name) && program.attach.is_some();
        let found = object.facts.programs.iter().find(|one| one.name == program.name.value);
        found.filter(|_| uses).map(|one| one.section.as_str())
    })
}

fn section<'a>(program: &str, resolved: &'a Resolved) -> Option<&'a str> {
    let all = resolved.manifest.spec.programs.value.iter().zip(&resolved.program_objects);
    let (_, digest) = all.into_iter().find(|(one, _)| one.name.value == program)?;
    let facts = &resolved.objects.get(digest)?.facts;
    facts.programs.iter().find(|one| one.name == program).map(|one| one.section.as_str())
}

/// What the program type of a section hangs on. Source: libbpf `src/libbpf.c`, `section_defs`.
fn family(section: &str) -> &str {
    let section = section.trim_start_matches('?');
    let word = section.split(['/', '.']).next().unwrap_or_default();
    match word {
        "tc" | "tcx" | "classifier" => "classifier",
        "tp" | "tracepoint" => "tracepoint",
        "raw_tp" | "raw_tracepoint" => "raw_tp",
        "kprobe" | "kretprobe" | "uprobe" | "uretprobe" | "ksyscall" | "kretsyscall" => "kprobe",
        "fentry" | "fexit" | "fmod_ret" | "tp_btf" | "iter" => "tracing",
        // Socket, address, option and sysctl programs are types of their own.
        "cgroup" => section,
        other => other,
    }
}

/// Reports programs that neither an attachment nor a slot reaches.
pub(super) fn all_reached(resolved: &Resolved, diags: &mut Diagnostics) {
    let maps = resolved.manifest.spec.maps.iter().flat_map(|maps| &maps.0);
    let in_slots: Vec<&str> = maps
        .filter_map(|(_, map)| map.slots.as_ref())
        .flat_map(|slots| &slots.0)
        .map(|(_, program)| program.value.as_str())
        .collect();
    for program in &resolved.manifest.spec.programs.value {
        if program.attach.is_none() && !in_slots.contains(&program.name.value.as_str()) {
            not_reached(&program.name.value, program.name.span, resolved, diags);
        }
    }
}

fn not_reached(program: &str, span: Span, resolved: &Resolved, diags: &mut Diagnostics) {
    let arrays = resolved.objects.values().flat_map(|object| &object.facts.maps);
    let array = arrays.filter(|map| map.map_type == MapType::PROG_ARRAY).map(|map| map.name.as_str()).next();
    let diagnostic = Diagnostic::error(Code::NotReached, format!("program `{}` would never run", shown(program)))
        .at(span, "has no `attach`, and is in no slot of a map")
        .help("add `attach: […]`");
    diags.push(match array {
        Some(map) => diagnostic.help(format!(
            "or, for a tail call, add `maps: {{{}: {{slots: {{0: {}}}}}}}`",
            shown(map),
            shown(program)
        )),
        None => diagnostic,
    });
}
