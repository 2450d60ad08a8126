//! A report as Markdown: for the comment of a pull request. Two tables of pools and streams, then, as in the text for
//! people, all about each stream, order, trust file and pool below a heading of its own.
//!
//! Everything that comes from files stands in code spans or blocks, so that it cannot become a link, a mention or HTML.

use std::fmt::Write as _;

use super::{
    Report,
    policy::{HEADLINE, PolicyDiff},
    pools::PoolDiff,
    stream::StreamDiff,
    text::{actions, how, line, revisions, signers},
};
use crate::diag::visible;

/// Prints a report; a sentence for an empty one.
pub fn print(report: &Report) -> String {
    let mut out = "### nodebpf diff\n".to_owned();
    if report.is_empty() {
        out.push_str("\nNothing changes for any node.\n");
        notes(report, &mut out);
        return out;
    }
    if !report.pools.is_empty() {
        out.push_str("\n| pool | what its nodes do |\n|---|---|\n");
        for pool in &report.pools {
            for on in &pool.outcomes {
                let _ =
                    writeln!(out, "| {} | {} |", code(&pool.pool), code(&format!("{}{}", on.label(), on.sentence())));
            }
        }
    }
    if !report.streams.is_empty() {
        out.push_str("\n| stream | pools | revision | what |\n|---|---|---|---|\n");
        for stream in &report.streams {
            let pools = stream.pools.join(" ");
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                code(&stream.stream),
                code(&pools),
                revisions(stream),
                stream.kind.as_str()
            );
        }
    }
    for one in &report.streams {
        stream(one, &mut out);
    }
    for order in &report.order {
        let title = format!("order of {} on {}", code(&order.place), code(&order.interfaces));
        heading(&title, &order.pools, &mut out);
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        details(
            "programs, first one first",
            &[format!("- {}", list(&order.from)), format!("+ {}", list(&order.to))],
            &mut out,
        );
    }
    for trust in &report.trust {
        let version = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        heading(
            &format!("trust file, version {} -> {}", version(trust.from), version(trust.to)),
            &trust.pools,
            &mut out,
        );
        let lines: Vec<_> = trust.changes.iter().map(line).collect();
        details("what it says", &lines, &mut out);
        for warning in &trust.warnings {
            let _ = writeln!(out, "\n**Mind:** {}", code(warning));
        }
    }
    if let Some(diff) = &report.policy {
        policy(diff, &mut out);
    }
    for one in &report.pools {
        pool(one, &mut out);
    }
    notes(report, &mut out);
    out
}

/// All about one stream: who signed, what its plans say differently, what becomes of its programs.
fn stream(stream: &StreamDiff, out: &mut String) {
    heading(&format!("stream {}", code(&stream.stream)), &stream.pools, out);
    let mut lines = signers(stream);
    lines.extend(stream.changes.iter().map(line));
    details("signatures and plan", &lines, out);
    if !stream.attachments.is_empty() {
        out.push_str("\n| program | place | interfaces | update |\n|---|---|---|---|\n");
    }
    for step in &stream.attachments {
        let (program, place) = (code(&step.program), code(&step.place));
        let _ = writeln!(out, "| {program} | {place} | {} | {} |", code(&step.interfaces), step.class.as_str());
    }
}

/// What later changes will do.
fn policy(policy: &PolicyDiff, out: &mut String) {
    let _ = writeln!(out, "\n#### {HEADLINE}\n\n| path or unit | from | to |\n|---|---|---|");
    for line in &policy.changes {
        let _ = writeln!(out, "| {} | {} | {} |", code(&line.of), code(&line.from.words()), code(&line.to.words()));
    }
    for warning in &policy.warnings {
        let _ = writeln!(out, "\n**Mind:** {}", code(warning));
    }
}

/// All about one pool, for each group of releases.
fn pool(pool: &PoolDiff, out: &mut String) {
    let _ = writeln!(out, "\n#### pool {}", code(&pool.pool));
    for on in &pool.outcomes {
        let _ = writeln!(out, "\n{}", code(&format!("{}{}", on.label(), on.sentence())));
        if !on.outcome.warnings.is_empty() {
            out.push('\n');
        }
        for warning in &on.outcome.warnings {
            let _ = writeln!(out, "- **Mind:** {}", code(warning));
        }
        let items = on.outcome.items.iter();
        let lines: Vec<_> =
            items.map(|item| format!("{}: {}: {}", visible(&item.what), how(item), actions(item))).collect();
        details("files and units", &lines, out);
    }
}

fn notes(report: &Report, out: &mut String) {
    for warning in &report.warnings {
        let _ = writeln!(out, "\n**Mind:** {}", code(warning));
    }
    for note in &report.notes {
        let _ = writeln!(out, "\n{note}.");
    }
    if let Some(note) = report.not_judged() {
        let _ = writeln!(out, "\n**Mind:** {}", code(&note));
    }
}

/// A heading with the pools that something is about. What of `title` comes from files is code.
fn heading(title: &str, pools: &[String], out: &mut String) {
    let _ = writeln!(out, "\n#### {title}, pools {}", code(&pools.join(" ")));
}

/// A code span in a table: no backtick ends it, no bar splits it.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{}`", visible(text).replace('`', "'").replace('|', "\\|"))
}

/// A block that folds; none without lines.
fn details(title: &str, lines: &[String], out: &mut String) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n<details><summary>{title}</summary>\n\n```diff");
    for line in lines {
        // Three backticks would end the block.
        let _ = writeln!(out, "{}", visible(line).replace("```", "'''"));
    }
    out.push_str("```\n\n</details>\n");
}
