//! A report for people.

use std::fmt::Write as _;

use super::{
    Report,
    order::OrderDiff,
    policy::{HEADLINE, PolicyDiff},
    pools::PoolDiff,
    stream::{Line, StreamDiff},
    trust::TrustDiff,
};
use crate::{
    diag::visible,
    mco::{changes::How, outcome::Item},
    table::{row, table},
};

/// Prints a report; of an empty one the notes only.
pub fn print(report: &Report) -> String {
    let mut out = String::new();
    if !report.streams.is_empty() {
        let mut rows = vec![row(&["STREAM", "POOLS", "REVISION", "WHAT"])];
        rows.extend(report.streams.iter().map(|stream| {
            row(&[&stream.stream, &visible(&stream.pools.join(" ")), &revisions(stream), stream.kind.as_str()])
        }));
        out.push_str(&table(&rows, ""));
    }
    for stream in &report.streams {
        print_stream(stream, &mut out);
    }
    for order in &report.order {
        print_order(order, &mut out);
    }
    for trust in &report.trust {
        print_trust(trust, &mut out);
    }
    if let Some(policy) = &report.policy {
        print_policy(policy, &mut out);
    }
    for pool in &report.pools {
        print_pool(pool, &mut out);
    }
    for warning in &report.warnings {
        let _ = writeln!(out, "\n! {warning}");
    }
    for note in report.not_judged().iter().chain(&report.notes) {
        let _ = writeln!(out, "note: {note}");
    }
    out
}

/// `3 -> 4`, `3`, or with `-` for what is not there.
pub(super) fn revisions(stream: &StreamDiff) -> String {
    let shown = |version: &Option<super::stream::Shown>| {
        version.as_ref().map_or_else(|| "-".to_owned(), |version| version.revision.to_string())
    };
    let (from, to) = (shown(&stream.old), shown(&stream.new));
    if from == to { from } else { format!("{from} -> {to}") }
}

/// Keys that signed only one of the two versions, as lines.
pub(super) fn signers(stream: &StreamDiff) -> Vec<String> {
    let keys =
        |version: &Option<super::stream::Shown>| version.as_ref().map(|one| one.signers.clone()).unwrap_or_default();
    let (was, is) = (keys(&stream.old), keys(&stream.new));
    let mut lines: Vec<String> = Vec::new();
    for key in &is {
        let sign = if was.contains(key) { "=" } else { "+" };
        lines.push(format!("{sign} signed by {key}"));
    }
    lines.extend(was.iter().filter(|key| !is.contains(key)).map(|key| format!("- signed by {key}")));
    lines.extend(stream.warnings.iter().map(|warning| format!("! {warning}")));
    lines
}

/// `~ about: what: from -> to`.
pub(super) fn line(line: &Line) -> String {
    let place = if line.what.is_empty() { line.about.clone() } else { format!("{}: {}", line.about, line.what) };
    match (&line.from, &line.to) {
        (Some(from), Some(to)) => format!("~ {place}: {from} -> {to}"),
        (None, Some(to)) if to.is_empty() => format!("+ {place}"),
        (Some(from), None) if from.is_empty() => format!("- {place}"),
        (None, Some(to)) => format!("+ {place}: {to}"),
        (Some(from), None) => format!("- {place}: {from}"),
        (None, None) => place,
    }
}

fn print_stream(stream: &StreamDiff, out: &mut String) {
    let _ = writeln!(out, "\nstream {}", stream.stream);
    for text in signers(stream) {
        let _ = writeln!(out, "  {text}");
    }
    for change in &stream.changes {
        let _ = writeln!(out, "  {}", visible(&line(change)));
    }
    if !stream.attachments.is_empty() {
        let mut rows = vec![row(&["PROGRAM", "PLACE", "INTERFACES", "UPDATE"])];
        rows.extend(
            stream
                .attachments
                .iter()
                .map(|step| row(&[&step.program, &step.place, &step.interfaces, step.class.as_str()])),
        );
        out.push_str(&table(&rows, "  "));
    }
}

fn print_order(order: &OrderDiff, out: &mut String) {
    let _ =
        writeln!(out, "\norder of {} on {}, pools {}", order.place, order.interfaces, visible(&order.pools.join(" ")));
    let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    let _ = writeln!(out, "  from {}", list(&order.from));
    let _ = writeln!(out, "  to   {}", list(&order.to));
}

fn print_trust(trust: &TrustDiff, out: &mut String) {
    let version = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    let (from, to) = (version(trust.from), version(trust.to));
    let _ = writeln!(out, "\ntrust file, version {from} -> {to}, pools {}", visible(&trust.pools.join(" ")));
    for change in &trust.changes {
        let _ = writeln!(out, "  {}", visible(&line(change)));
    }
    for warning in &trust.warnings {
        let _ = writeln!(out, "  ! {}", visible(warning));
    }
}

fn print_policy(policy: &PolicyDiff, out: &mut String) {
    let _ = writeln!(out, "\n{HEADLINE}");
    let mut rows = vec![row(&["PATH OR UNIT", "FROM", "TO"])];
    rows.extend(policy.changes.iter().map(|line| row(&[&visible(&line.of), &line.from.words(), &line.to.words()])));
    out.push_str(&table(&rows, "  "));
    for warning in &policy.warnings {
        let _ = writeln!(out, "  ! {warning}");
    }
}

fn print_pool(pool: &PoolDiff, out: &mut String) {
    let _ = writeln!(out, "\npool {}", visible(&pool.pool));
    for on in &pool.outcomes {
        let _ = writeln!(out, "  {}{}", on.label(), on.sentence());
        let mut before = String::new();
        let rows: Vec<_> = on
            .outcome
            .items
            .iter()
            .map(|item| {
                let actions = actions(item);
                let shown = if actions == before && actions.contains(", ") { SAME } else { &actions };
                let row = row(&[&visible(&item.what), how(item), shown]);
                before = actions;
                row
            })
            .collect();
        out.push_str(&table(&rows, "    "));
        for warning in &on.outcome.warnings {
            let _ = writeln!(out, "    ! {warning}");
        }
    }
}

/// In place of a list of actions that the line before has, too.
const SAME: &str = "the same";

/// How it changed, in a word or two.
pub(super) fn how(item: &Item) -> &'static str {
    match item.how {
        Some(How::Added) => "added",
        Some(How::Removed) => "removed",
        Some(How::Changed) | None => "changed",
        Some(How::Encoding) => "other encoding, equal content",
    }
}

/// What it asks for.
pub(super) fn actions(item: &Item) -> String {
    let list: Vec<_> = item.actions.iter().map(ToString::to_string).collect();
    if item.uncovered { format!("{} (no policy)", list.join(", ")) } else { list.join(", ") }
}
