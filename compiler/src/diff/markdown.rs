//! A report as Markdown: for the comment of a pull request.
//!
//! Everything that comes from files stands in code spans or blocks, so that it cannot become a link, a mention or HTML.

use std::fmt::Write as _;

use super::{
    Report,
    text::{actions, how, line, revisions, signers},
};
use crate::diag::visible;

/// Prints a report; a sentence for an empty one.
pub fn print(report: &Report) -> String {
    let mut out = "### nodebpf diff\n".to_owned();
    if report.is_empty() {
        out.push_str("\nNothing changes for any node.\n");
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
        let warnings: std::collections::BTreeSet<_> =
            report.pools.iter().flat_map(|pool| &pool.outcomes).flat_map(|on| &on.outcome.warnings).collect();
        if !warnings.is_empty() {
            out.push('\n');
        }
        for warning in warnings {
            let _ = writeln!(out, "- **Mind:** {}", code(warning));
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
    for stream in &report.streams {
        let mut lines = signers(stream);
        lines.extend(stream.changes.iter().map(line));
        details(&format!("stream {}", stream.stream), &lines, &mut out);
        if !stream.attachments.is_empty() {
            out.push_str("\n| program | place | interfaces | update |\n|---|---|---|---|\n");
        }
        for step in &stream.attachments {
            let (program, place) = (code(&step.program), code(&step.place));
            let _ = writeln!(out, "| {program} | {place} | {} | {} |", code(&step.interfaces), step.class.as_str());
        }
    }
    for order in &report.order {
        let lines = [format!("- {}", order.from.join(", ")), format!("+ {}", order.to.join(", "))];
        details(&format!("order of {} on {}", order.place, order.interfaces), &lines, &mut out);
    }
    for trust in &report.trust {
        let lines: Vec<_> = trust.changes.iter().map(line).collect();
        let version = |version: Option<u64>| version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        details(&format!("trust file, version {} -> {}", version(trust.from), version(trust.to)), &lines, &mut out);
    }
    for pool in &report.pools {
        let items = pool.outcomes.iter().flat_map(|on| on.outcome.items.iter().map(move |item| (on, item)));
        let lines: Vec<_> = items
            .map(|(on, item)| format!("{}{}: {}: {}", on.label(), visible(&item.what), how(item), actions(item)))
            .collect();
        details(&format!("files and units of pool {}", pool.pool), &lines, &mut out);
    }
    for note in &report.notes {
        let _ = writeln!(out, "\n{note}.");
    }
    out
}

/// A code span in a table: no backtick ends it, no bar splits it.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("`{}`", visible(text).replace('`', "'").replace('|', "\\|"))
}

/// A block that folds.
fn details(title: &str, lines: &[String], out: &mut String) {
    let title = visible(title).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "\n<details><summary>{title}</summary>\n\n```diff");
    for line in lines {
        // Three backticks would end the block.
        let _ = writeln!(out, "{}", visible(line).replace("```", "'''"));
    }
    out.push_str("```\n\n</details>\n");
}
