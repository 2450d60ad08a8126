//! What support sees: dry run, refusals, the journal line, counters, maps, self test, inventory. By the loader that ships.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use nodeplan::report::{Code, Exit, SUMMARY_PREFIX};
use serde_json::Value;

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::Pair,
    node::{Node, Snapshot, Stream, said, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "diag-dry-run", needs: &[Feature::Freplace], run: dry_run },
    Test { name: "diag-refusal-names-the-line", needs: &[Feature::Freplace], run: refusal },
    Test { name: "diag-journal", needs: &[Feature::Freplace], run: journal },
];

const LOADER: &str = "/usr/local/bin/nodebpf-loader";

/// Runs the loader on the node's files.
fn loader(words: &str) -> Result<Output> {
    let words = format!("--root /tmp/node {words}");
    Command::new(LOADER).args(words.split_whitespace()).output().context("starting the loader")
}

/// Runs the loader, which must end with `exit` and print JSON.
fn shown(words: &str, exit: Exit) -> Result<Value> {
    let output = loader(words)?;
    ensure!(output.status.code() == Some(exit.code().into()), "{words}: {}", said(&output));
    serde_json::from_slice(&output.stdout).with_context(|| said(&output))
}

/// The rows of a list in which these fields have these texts.
fn rows<'a>(shown: &'a Value, list: &str, fields: &[(&str, &str)]) -> Vec<&'a Value> {
    let is = |row: &Value| fields.iter().all(|(key, text)| row[key] == *text);
    shown[list].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter(|row| is(row)).collect()
}

/// The one such row.
fn row<'a>(shown: &'a Value, list: &str, fields: &[(&str, &str)]) -> Result<&'a Value> {
    let rows = rows(shown, list, fields);
    ensure!(rows.len() == 1, "{} rows of {list} with {fields:?}: {shown}", rows.len());
    Ok(rows[0])
}

/// Everything is loaded and verified, nothing is attached or stays; the exit is that of the run.
fn dry_run(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let before = Snapshot::take_settled()?;
    let dry = shown("apply --dry-run --json", Exit::Done)?;
    before.expect_again().context("a dry run changes nothing")?;
    ensure!(!fs::exists("/tmp/node/run/nodebpf/report.json")?, "a dry run writes no report");
    row(&dry, "streams", &[("stream", "drop"), ("state", "attached")])?;
    let one = row(&dry, "programs", &[("program", "xdp_drop_udp_port"), ("verdict", "accepted")])?;
    for figure in ["insns", "states", "peakStates", "mapBytes"] {
        ensure!(one[figure].as_u64().is_some_and(|figure| figure > 0), "{figure}: {one}");
    }
    ensure!(!one["stack"].is_null(), "{one}");
    // One that the verifier refuses, beside one that runs already.
    node.apply_expecting(Exit::Done)?;
    let bad = Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("bad", pair.near_name, 520) };
    node.ship(&bad)?;
    let before = Snapshot::take_settled()?;
    let dry = shown("apply --dry-run --json", Exit::Failed)?;
    before.expect_again().context("a dry run beside a stream that runs")?;
    row(&dry, "programs", &[("stream", "drop"), ("verdict", "unchanged")])?;
    let bad = row(&dry, "programs", &[("stream", "bad"), ("verdict", "refused")])?;
    ensure!(bad["why"].as_str().is_some_and(|why| why.contains("invalid access to packet")), "{bad}");
    row(&dry, "streams", &[("stream", "bad"), ("state", "failed"), ("code", Code::Verifier.as_str())])?;
    // An interface that refuses is found, too.
    fs::remove_file(Node::bundle("bad"))?;
    node.ship(&Stream { mode: "skb", ..Stream::pass("other", pair.near_name, 520) })?;
    let dry = shown("apply --dry-run --json", Exit::Failed)?;
    row(&dry, "streams", &[("stream", "other"), ("state", "failed"), ("code", Code::ModeConflict.as_str())])?;
    before.expect_again().context("a dry run with a conflict")
}

/// The report names the line of C and what to do; the whole log is in a file.
fn refusal(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let bad = Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("drop", pair.near_name, 510) };
    node.ship(&bad)?;
    let report = node.apply_expecting(Exit::Failed)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    for words in
        ["invalid access to packet", "data[0] ? XDP_PASS", "data_end", "/run/nodebpf/verifier/drop-xdp_bad.log"]
    {
        ensure!(reason.message.contains(words), "`{words}` is not in {reason:?}");
    }
    Ok(())
}

/// One line for each run: to journald where it listens, else on standard error.
fn journal(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let output = loader("apply")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(SUMMARY_PREFIX)?.1)).collect();
    ensure!(output.status.success() && lines.len() == 1, "{}", said(&output));
    let summary: Value = serde_json::from_str(lines[0])?;
    ensure!(summary["streams"][0]["state"] == "attached", "{summary}");
    fs::create_dir_all("/run/systemd/journal")?;
    let socket = UnixDatagram::bind("/run/systemd/journal/socket")?;
    let words = ["--root", "/tmp/node", "apply"];
    let output = Command::new(LOADER).args(words).env("JOURNAL_STREAM", "1:2").output()?;
    ensure!(!String::from_utf8_lossy(&output.stderr).contains(SUMMARY_PREFIX), "twice: {}", said(&output));
    let mut buffer = vec![0; 65536];
    let len = socket.recv(&mut buffer)?;
    let entry = String::from_utf8_lossy(&buffer[..len]).into_owned();
    ensure!(entry.lines().any(|line| line == format!("MESSAGE={SUMMARY_PREFIX}{summary}")), "{entry} is not {summary}");
    Ok(())
}
