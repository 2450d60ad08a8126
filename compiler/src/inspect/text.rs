//! Reports for people: a heading for each thing, tables below.

use std::fmt::Write as _;

use super::{
    Content, File, Report,
    bundle::Bundle,
    object::{Object, Program},
};
use crate::{
    check::kernels,
    diag::{shown, shown_up_to, visible},
    table::row,
};

/// Prints a report.
pub fn print(report: &Report) -> String {
    let mut out = String::new();
    for (index, file) in report.files.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        print_file(file, &mut out);
    }
    out
}

fn print_file(file: &File, out: &mut String) {
    match &file.content {
        Content::Object(object) => {
            let _ = writeln!(out, "object {}", visible(&file.file));
            print_object(object, out);
        }
        Content::Bundles(bundles) => {
            for bundle in bundles {
                let _ = writeln!(out, "bundle {} in {}", bundle.stream, visible(&file.file));
                print_bundle(bundle, out);
            }
        }
    }
}

fn print_bundle(bundle: &Bundle, out: &mut String) {
    let mut facts = vec![
        ("owner", bundle.owner.clone()),
        ("revision", bundle.revision.to_string()),
        ("intent", bundle.intent.clone()),
        ("pools", bundle.pools.join(", ")),
        ("audience", bundle.audience.join(", ")),
        ("expires", bundle.expires.clone().unwrap_or_default()),
        ("reference", bundle.reference.as_deref().map(shown).unwrap_or_default()),
        ("statement", bundle.statement.clone()),
        ("bytes", bundle.bytes.to_string()),
        ("signatures", bundle.signatures.join(", ")),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    for (key, value) in facts {
        let _ = writeln!(out, "  {key:<11}{value}");
    }
    if bundle.signatures.is_empty() {
        let _ = writeln!(out, "  signatures none: nodes refuse it");
    }
    let mut rows = vec![row(&["PROGRAM", "PLACE", "INTERFACES", "PRIORITY"])];
    for program in &bundle.programs {
        for place in &program.places {
            let priority = place.priority.map(|priority| priority.to_string()).unwrap_or_default();
            rows.push(row(&[&program.name, &place.place, &place.interfaces.join(" "), &priority]));
        }
        if program.places.is_empty() {
            rows.push(row(&[&program.name, "tail calls only", "", ""]));
        }
    }
    table(&rows, out);
    if !bundle.maps.is_empty() {
        let mut rows = vec![row(&["MAP", "KIND", "ENTRIES", "COUNTER"])];
        rows.extend(bundle.maps.iter().map(|map| {
            row(&[&map.name, map.kind, &map.entries.to_string(), map.counter.as_deref().unwrap_or_default()])
        }));
        table(&rows, out);
    }
    for object in &bundle.objects {
        let _ = writeln!(out, "  object {}", object.sha256);
        let sources = bundle.programs.iter().flat_map(|program| &program.objects);
        if let Some(source) = sources.clone().find(|one| one.sha256 == object.sha256 && one.source_sha256 != one.sha256)
        {
            let _ = writeln!(out, "  lowered from {}", source.source_sha256);
        }
        print_object(object, out);
    }
}

fn print_object(object: &Object, out: &mut String) {
    let licence = object.licence.as_deref().map_or_else(|| "none".to_owned(), shown);
    let btf = match (object.btf, object.lines) {
        (true, true) => "with C lines",
        (true, false) => "without C lines",
        (false, _) => "none",
    };
    let _ = writeln!(out, "  bytes      {}", object.bytes);
    let _ = writeln!(out, "  sha256     {}", object.sha256);
    let _ = writeln!(out, "  licence    {licence}");
    let _ = writeln!(out, "  btf        {btf}");
    for why in &object.refused {
        let _ = writeln!(out, "  refused    {}", shown_up_to(why, 200));
    }
    let mut rows = vec![row(&["PROGRAM", "SECTION", "TYPE", "HOOK", "INSNS", "CO-RE", "HELPERS"])];
    rows.extend(object.programs.iter().map(|program| {
        let place = [program.hook, program.target.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        row(&[
            &shown(&program.name),
            &shown(&program.section),
            program.program_type.unwrap_or("unknown"),
            &shown(if place.is_empty() { "none" } else { &place }),
            &program.instructions.to_string(),
            &program.relocations.to_string(),
            &program.helpers.iter().map(|name| name.trim_start_matches("bpf_")).collect::<Vec<_>>().join(" "),
        ])
    }));
    table(&rows, out);
    if !object.maps.is_empty() {
        let mut rows = vec![row(&["MAP", "TYPE", "KEY", "VALUE", "ENTRIES", "BYTES"])];
        rows.extend(object.maps.iter().map(|map| {
            let (entries, bytes) = (map.max_entries.to_string(), map.memory_bytes.to_string());
            row(&[&shown(&map.name), map.map_type, &shown(&map.key), &shown(&map.value), &entries, &bytes])
        }));
        table(&rows, out);
    }
    if !object.globals.is_empty() {
        let mut rows = vec![row(&["GLOBAL", "SECTION", "TYPE", "BYTES"])];
        rows.extend(object.globals.iter().map(|global| {
            row(&[&shown(&global.name), &shown(&global.section), &shown(&global.c_type), &global.bytes.to_string()])
        }));
        table(&rows, out);
    }
    verdicts(&object.programs, out);
}

/// What would be refused, and what kernels lack.
fn verdicts(programs: &[Program], out: &mut String) {
    let mut rows = vec![row(&["REFUSED", "BECAUSE"])];
    let refused = programs.iter().flat_map(|program| program.refused.iter().map(move |why| (program, why)));
    rows.extend(refused.map(|(program, why)| row(&[&shown(&program.name), &shown_up_to(why, 200)])));
    if rows.len() > 1 {
        table(&rows, out);
    }
    let Some(first) = programs.first().filter(|program| !program.kernels.is_empty()) else { return };
    let mut head = vec!["PROGRAM".to_owned()];
    head.extend(first.kernels.iter().map(|on| shown(&on.kernel)));
    let mut rows = vec![head];
    for program in programs {
        let cells = program.kernels.iter().map(|on| match (on.lacks.as_slice(), on.perhaps_unreachable.as_slice()) {
            ([], []) => kernels::holds(&on.not_checked),
            ([], [first, ..]) => format!("perhaps lacks {} ({})", on.perhaps_unreachable.len(), shown(first)),
            ([first, ..], _) => format!("lacks {} ({})", on.lacks.len(), shown(first)),
        });
        rows.push(std::iter::once(shown(&program.name)).chain(cells).collect());
    }
    table(&rows, out);
}

fn table(rows: &[Vec<String>], out: &mut String) {
    out.push('\n');
    out.push_str(&crate::table::table(rows, "  "));
}
