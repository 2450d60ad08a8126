//! The table for people.

use std::{collections::BTreeMap, fmt::Write as _};

use nodeplan::report::Code;

use super::judge::{Doubt, Node, Row, Table, Verdict, Voice};
use crate::{
    diag::visible,
    table::{row, table},
};

/// What to do where the line had no room for streams.
const CUT: &str = ": its streams are not in the journal; read /run/nodebpf/report.json on that node";

/// What to do where nothing tells which report is the newest.
const AMBIGUOUS: &str = "right or not by the order of its lines, which only times tell; say --order newest-first or \
                         oldest-first, or give journalctl -o json --all";

/// What to do where there is nothing to judge by.
const NO_POOL: &str =
    "nothing tells its pool: no desiredConfig, and several roles or none; the lock has nothing for it";

/// Prints the table and, below it, what it comes to.
pub fn print(all: &Table) -> String {
    if all.nodes.is_empty() {
        return "no reports: nothing is known of any node\n".to_owned();
    }
    let mut head = vec!["NODE", "POOL", "STREAM", "STATE", "REV", "WHY"];
    if all.locked {
        head.push("LOCK");
    }
    head.push("REPORTED");
    let mut rows = vec![row(&head)];
    for node in &all.nodes {
        if node.streams.is_empty() {
            rows.push(cells(node, None, all.locked));
        }
        rows.extend(node.streams.iter().map(|stream| cells(node, Some(stream), all.locked)));
    }
    let mut out = table(&rows, "");
    for node in all.nodes.iter().filter(|node| node.unreadable.is_some() || !node.problems.is_empty()) {
        let codes: Vec<_> = node.problems.iter().map(|code| Code::as_str(*code)).collect();
        let why = node.unreadable.as_deref().map(visible).unwrap_or_default();
        let cut = if node.is_cut() { CUT } else { "" };
        let _ = writeln!(out, "{}: {}{why}{cut}", visible(&node.node), codes.join(" "));
    }
    for node in &all.nodes {
        let why = match node.doubt {
            Some(Doubt::Ambiguous) => AMBIGUOUS,
            Some(Doubt::NoPool) => NO_POOL,
            None => continue,
        };
        let _ = writeln!(out, "{}: {why}", visible(&node.node));
    }
    let _ = writeln!(out, "{}", sentence(all));
    out
}

fn cells(node: &Node, stream: Option<&Row>, locked: bool) -> Vec<String> {
    let dash = || "-".to_owned();
    let state = match (stream.map(|stream| stream.state), node.voice) {
        (Some(Some(state)), _) => state.as_str().to_owned(),
        (Some(None), _) => dash(),
        (None, Voice::Heard | Voice::NotListed) if node.is_cut() => "not in the journal".to_owned(),
        (None, Voice::Heard | Voice::NotListed) => "no streams".to_owned(),
        (None, Voice::Silent) => "silent".to_owned(),
        (None, Voice::Unreadable) => "unreadable".to_owned(),
    };
    let mut cells = vec![
        visible(&node.node),
        node.pool.as_deref().map_or_else(dash, visible),
        stream.map_or_else(dash, |stream| visible(&stream.stream)),
        state,
        stream.and_then(|stream| stream.revision).map_or_else(dash, |revision| revision.to_string()),
        stream.and_then(|stream| stream.code).map_or_else(dash, |code| code.as_str().to_owned()),
    ];
    if locked {
        cells.push(match (stream, node.voice) {
            _ if node.doubt == Some(Doubt::Ambiguous) => "ambiguous".to_owned(),
            (_, Voice::NotListed) => "node not listed".to_owned(),
            (None, _) => (if node.right { "right" } else { "not right" }).to_owned(),
            (Some(stream), _) => against_lock(stream),
        });
    }
    let when = node.when.clone().unwrap_or_else(dash);
    cells.push(if node.stale { format!("{when}, stale") } else { when });
    cells
}

fn against_lock(stream: &Row) -> String {
    let word = stream.verdict.as_str();
    match (stream.verdict, stream.revision, stream.wanted_revision) {
        (Verdict::Outdated, Some(found), Some(wanted)) if found == wanted => {
            format!("{word}: other content under revision {wanted}")
        }
        (Verdict::Outdated | Verdict::Missing, _, Some(wanted)) => format!("{word}: revision {wanted}"),
        _ => word.to_owned(),
    }
}

/// `7 nodes: 5 right, 1 not, 1 silent`, with what streams there are.
fn sentence(all: &Table) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in &all.nodes {
        let word = match node.voice {
            _ if node.right => "right",
            Voice::Heard if node.doubt == Some(Doubt::Ambiguous) => "ambiguous",
            Voice::Heard if node.stale => "stale",
            Voice::Heard => "wrong",
            Voice::Silent => "silent",
            Voice::Unreadable => "unreadable",
            Voice::NotListed => "not listed",
        };
        *counts.entry(word).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let by = if all.locked { "as the lock wants" } else { "without failures" };
    let verdict = if all.right { "all" } else { "not all" };
    format!("nodes: {}; {verdict} {by}", counts.join(", "))
}
