//! Kernels: whether programs find in the kernels of `--btf` what they need.
//!
//! In:   [`Resolved`], [`Checked`], kernels. Out: [`Row`]s, one per program.
//! May fail with: NB0356 (types and fields), NB0357 (places of attachments).

use std::fmt::Write as _;

use nodeplan::{
    applies::Architecture,
    hook::{Attachment, Hook},
};

use super::{Checked, Program};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    object::{parts::Parts, types::kind},
    relocate::{self, Kernel, Lack},
    resolve::{ObjectFile, Resolved},
    source::Span,
    suggest::nearest,
};

/// A program, and what is known of it on each kernel, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The program.
    pub program: String,
    /// By kernel.
    pub cells: Vec<Cell>,
}

/// A program on a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// What the kernel lacks.
    pub lacks: Vec<String>,
    /// Places of which the kernel's types do not tell whether they are there.
    pub not_checked: Vec<String>,
    /// The kernel's architecture, if the program has no object for it: then nothing was checked.
    pub no_object: Option<Architecture>,
    /// What was reported of the objects so far.
    told: Vec<String>,
}

/// Judges all programs by all kernels.
pub fn check(resolved: &Resolved, checked: &Checked, kernels: &[Kernel<'_>], diags: &mut Diagnostics) -> Vec<Row> {
    if kernels.is_empty() {
        return Vec::new();
    }
    let kernels: Vec<_> = kernels.iter().map(|kernel| (kernel, kernel.architecture())).collect();
    let mut rows = Vec::new();
    for (index, program) in checked.programs.iter().enumerate() {
        let objects = objects(index, resolved);
        let objects: Vec<_> = objects
            .iter()
            .filter_map(|(only, object)| Some((*only, *object, Parts::read(&object.bytes).ok()?)))
            .collect();
        let cells = kernels.iter().map(|(kernel, its)| {
            // A kernel that does not tell what it was built for may run any of them.
            let runs = |only: Option<Architecture>| only.is_none_or(|only| its.is_none_or(|its| its == only));
            let here: Vec<_> = objects.iter().filter(|(only, ..)| runs(*only)).collect();
            let mut cell = Cell::default();
            if here.is_empty() {
                cell.no_object = *its;
                return cell;
            }
            places(program, kernel, &mut cell, diags);
            for (_, object, parts) in here {
                relocations(program, object, parts, kernel, &mut cell, diags);
            }
            cell
        });
        rows.push(Row { program: program.name.value.to_string(), cells: cells.collect() });
    }
    rows
}

/// The objects of a program, each with the architecture that it is for if it is for one only.
fn objects(index: usize, resolved: &Resolved) -> Vec<(Option<Architecture>, &ObjectFile)> {
    let find = |digest| resolved.objects.get(digest).or_else(|| resolved.others.get(digest));
    let each = &resolved.architectures[index];
    if each.is_empty() {
        return find(&resolved.program_objects[index]).map(|object| (None, object)).into_iter().collect();
    }
    each.iter().filter_map(|(only, digest)| Some((Some(only.value), find(digest)?))).collect()
}

/// Judges what the attachments of a program name.
fn places(program: &Program, kernel: &Kernel<'_>, cell: &mut Cell, diags: &mut Diagnostics) {
    for place in &program.attach {
        let (hook, what) = (place.attachment.hook(), named(&place.attachment));
        match target(hook, what, kernel) {
            Answer::Has => {}
            Answer::NotChecked => cell.not_checked.push(format!("{hook} {what}")),
            Answer::Lacks { kind, near } => {
                let message = format!("kernel `{}` has no {kind} `{}`", shown(&kernel.name), shown(what));
                diags.push(
                    Diagnostic::error(Code::NoTarget, message)
                        .at(place.span, format_args!("wanted by `{}`", program.name.value))
                        .note("what kernel modules bring is not in /sys/kernel/btf/vmlinux")
                        .maybe_help(near.map(|near| format!("did you mean `{}`?", shown(&near)))),
                );
                cell.lacks.push(what.to_owned());
            }
        }
    }
}

/// Judges what one object of a program asks of the kernel's types. What another object lacks too is told once.
fn relocations(
    program: &Program,
    object: &ObjectFile,
    parts: &Parts<'_>,
    kernel: &Kernel<'_>,
    cell: &mut Cell,
    diags: &mut Diagnostics,
) {
    let name = program.name.value.as_str();
    for lack in relocate::lacks(parts, name, kernel) {
        if cell.told.contains(&lack.what) {
            continue;
        }
        cell.told.push(lack.what.clone());
        diags.push(report(&lack, program.name.span, name, object, kernel));
        if !lack.perhaps_unreachable {
            cell.lacks.push(lack.what);
        }
    }
}

fn report(lack: &Lack, span: Span, program: &str, object: &ObjectFile, kernel: &Kernel<'_>) -> Diagnostic {
    let message = format!("kernel `{}` lacks `{}`: it {}", shown(&kernel.name), shown(&lack.what), lack.why);
    let place = match &lack.line {
        Some(line) => format!("{}:{}: {}", shown(&line.file), line.number, shown(&line.text)),
        None => format!(
            "instruction {} of function `{}` in `{}`",
            lack.instruction,
            shown(&lack.function),
            shown(&object.path)
        ),
    };
    let diagnostic = if lack.perhaps_unreachable {
        Diagnostic::warning(Code::KernelLacks, message)
    } else {
        Diagnostic::error(Code::KernelLacks, message)
    };
    let diagnostic = diagnostic.at(span, format_args!("needed by `{program}`")).note(place);
    if lack.perhaps_unreachable {
        diagnostic.note("the program asks whether the kernel has parts of that type, so this may never be reached")
    } else {
        diagnostic
            .help("ask by bpf_core_field_exists() and its kin first, or restrict the stream: `appliesTo: {kernel: …}`")
    }
}

/// What a kernel's types tell of the place of an attachment.
pub(crate) enum Answer {
    /// It is there, or no kernel names it.
    Has,
    /// It is not there.
    Lacks {
        /// What kind of thing it is.
        kind: &'static str,
        /// The nearest name of that kind.
        near: Option<String>,
    },
    /// Types cannot tell.
    NotChecked,
}

/// Whether the kernel has what `hook` attaches to by `name`.
pub(crate) fn target(hook: Hook, name: &str, kernel: &Kernel<'_>) -> Answer {
    let lacks = |kind, wanted, prefix| {
        let names = kernel.names(wanted).filter_map(|known| known.strip_prefix(prefix));
        Answer::Lacks { kind, near: nearest(name, names).map(str::to_owned) }
    };
    match hook {
        Hook::Fentry | Hook::Fexit if !kernel.has_function(name) => lacks("function", kind::FUNC, ""),
        Hook::Lsm if !kernel.has_lsm_hook(name) => lacks("security hook", kind::FUNC, "bpf_lsm_"),
        // One macro makes raw tracepoints and their types: linux `include/trace/bpf_probe.h`.
        Hook::BtfTracepoint | Hook::RawTracepoint if !kernel.has_tracepoint(name) => {
            lacks("tracepoint", kind::TYPEDEF, "btf_trace_")
        }
        // Tracepoints of system calls have no types; functions need none to be probed.
        Hook::Tracepoint if !kernel.has_tracepoint(name) => Answer::NotChecked,
        Hook::Kprobe | Hook::Kretprobe if !name.split('+').next().is_some_and(|name| kernel.has_function(name)) => {
            Answer::NotChecked
        }
        Hook::Xdp
        | Hook::Tc
        | Hook::Cgroup
        | Hook::Tracepoint
        | Hook::RawTracepoint
        | Hook::BtfTracepoint
        | Hook::Kprobe
        | Hook::Kretprobe
        | Hook::Fentry
        | Hook::Fexit
        | Hook::Lsm => Answer::Has,
    }
}

/// What an attachment names of the kernel; nothing for interfaces and cgroups.
fn named(attachment: &Attachment) -> &str {
    match attachment {
        Attachment::Fentry(at) | Attachment::Fexit(at) | Attachment::Kretprobe(at) => at.function.as_str(),
        Attachment::Kprobe(at) => at.function.as_str(),
        Attachment::Lsm(lsm) => lsm.hook.as_str(),
        Attachment::BtfTracepoint(at) | Attachment::RawTracepoint(at) => at.name.as_str(),
        Attachment::Tracepoint(at) => at.name.as_str(),
        Attachment::Xdp(_) | Attachment::Tc(_) | Attachment::Cgroup(_) => "",
    }
}

/// A cell of a table for a program that lacks nothing.
pub(crate) fn holds(not_checked: &[String]) -> String {
    match not_checked {
        [] => "holds".to_owned(),
        some => format!("holds; not checked: {}", shown(&some.join(", "))),
    }
}

/// Programs by kernels; empty without kernels.
pub fn table(kernels: &[Kernel<'_>], rows: &[Row]) -> String {
    let mut out = String::new();
    if kernels.is_empty() || rows.is_empty() {
        return out;
    }
    let cell = |cell: &Cell| match (cell.lacks.as_slice(), cell.no_object) {
        ([], Some(architecture)) => format!("not checked: no object for {}", architecture.as_str()),
        ([], None) => holds(&cell.not_checked),
        ([first, ..], _) => format!("lacks {} ({})", cell.lacks.len(), shown(first)),
    };
    let mut columns = vec![vec!["PROGRAM".to_owned()]];
    columns[0].extend(rows.iter().map(|row| row.program.clone()));
    for (index, kernel) in kernels.iter().enumerate() {
        let cells = rows.iter().map(|row| row.cells.get(index).map_or_else(String::new, cell));
        columns.push(std::iter::once(shown(&kernel.name)).chain(cells).collect());
    }
    for row in 0..=rows.len() {
        let mut line = String::new();
        for column in &columns {
            let width = column.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
            let _ = write!(line, "{:width$}  ", column[row]);
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}
