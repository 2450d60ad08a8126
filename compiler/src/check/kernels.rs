//! Kernels: whether programs find in the kernels of `--btf` what they need.
//!
//! In:   [`Resolved`], [`Checked`], kernels. Out: [`Row`]s, one per program.
//! May fail with: NB0356 (types and fields), NB0357 (places of attachments).

use std::fmt::Write as _;

use nodeplan::hook::Attachment;

use super::{Checked, Program};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    object::parts::Parts,
    relocate::{self, Kernel, Lack},
    resolve::{ObjectFile, Resolved},
    source::Span,
};

/// A program, and for each kernel what it lacks, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The program.
    pub program: String,
    /// By kernel.
    pub lacks: Vec<Vec<String>>,
}

/// Judges all programs by all kernels.
pub fn check(resolved: &Resolved, checked: &Checked, kernels: &[Kernel<'_>], diags: &mut Diagnostics) -> Vec<Row> {
    if kernels.is_empty() {
        return Vec::new();
    }
    let programs = checked.programs.iter().enumerate();
    programs
        .filter_map(|(index, program)| {
            let object = resolved.objects.get(&resolved.program_objects[index])?;
            let parts = Parts::read(&object.bytes).ok()?;
            let lacks = kernels.iter().map(|kernel| check_program(program, object, &parts, kernel, diags)).collect();
            Some(Row { program: program.name.value.to_string(), lacks })
        })
        .collect()
}

fn check_program(
    program: &Program,
    object: &ObjectFile,
    parts: &Parts<'_>,
    kernel: &Kernel<'_>,
    diags: &mut Diagnostics,
) -> Vec<String> {
    let mut lacking = Vec::new();
    for place in &program.attach {
        if let Some((what, kind)) = missing_target(&place.attachment, kernel) {
            let message = format!("kernel `{}` has no {kind} `{}`", shown(&kernel.name), shown(&what));
            diags.push(
                Diagnostic::error(Code::NoTarget, message)
                    .at(place.span, format_args!("wanted by `{}`", program.name.value))
                    .note("what kernel modules bring is not in /sys/kernel/btf/vmlinux"),
            );
            lacking.push(what);
        }
    }
    for lack in relocate::lacks(parts, program.name.value.as_str(), kernel) {
        diags.push(report(&lack, program.name.span, program.name.value.as_str(), object, kernel));
        if !lack.perhaps_unreachable {
            lacking.push(lack.what);
        }
    }
    lacking
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

/// What the kernel does not have of an attachment, and what kind of thing it is.
pub(crate) fn missing_target(attachment: &Attachment, kernel: &Kernel<'_>) -> Option<(String, &'static str)> {
    let (name, kind, has) = match attachment {
        Attachment::Fentry(at) | Attachment::Fexit(at) => {
            (at.function.to_string(), "function", kernel.has_function(at.function.as_str()))
        }
        Attachment::Lsm(lsm) => (lsm.hook.to_string(), "security hook", kernel.has_lsm_hook(lsm.hook.as_str())),
        Attachment::BtfTracepoint(at) => (at.name.to_string(), "tracepoint", kernel.has_tracepoint(at.name.as_str())),
        // Named otherwise than by BTF, or not in the kernel at all.
        Attachment::Xdp(_)
        | Attachment::Tc(_)
        | Attachment::Cgroup(_)
        | Attachment::Tracepoint(_)
        | Attachment::RawTracepoint(_)
        | Attachment::Kprobe(_)
        | Attachment::Kretprobe(_) => return None,
    };
    (!has).then_some((name, kind))
}

/// Programs by kernels; empty without kernels.
pub fn table(kernels: &[Kernel<'_>], rows: &[Row]) -> String {
    let mut out = String::new();
    if kernels.is_empty() || rows.is_empty() {
        return out;
    }
    let cell = |lacks: &Vec<String>| match lacks.as_slice() {
        [] => "holds".to_owned(),
        [first, ..] => format!("lacks {} ({})", lacks.len(), shown(first)),
    };
    let mut columns = vec![vec!["PROGRAM".to_owned()]];
    columns[0].extend(rows.iter().map(|row| row.program.clone()));
    for (index, kernel) in kernels.iter().enumerate() {
        let cells = rows.iter().map(|row| row.lacks.get(index).map_or_else(String::new, cell));
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
