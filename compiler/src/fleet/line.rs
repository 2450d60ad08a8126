//! One journal line: which node, when, what.
//!
//! In:   a line in any of the forms below. Out: [`Line`]; `None` for lines of others.
//!
//! ```text
//! {"_HOSTNAME":"n","MESSAGE":"nodebpf-report {…}",…}               journalctl -o json --all
//! {"_HOSTNAME":"n","MESSAGE":null,…}                               journalctl -o json, of a long report
//! Nov 22 10:00:00 n nodebpf-loader[9]: nodebpf-report {…}          journalctl, and its other short forms
//! n Nov 22 10:00:00 h nodebpf-loader[9]: nodebpf-report {…}        oc adm node-logs of several nodes
//! n {"_HOSTNAME":"h",…}                                            the same with -o json
//! ```

use std::borrow::Cow;

use nodeplan::report::{SUMMARY_MESSAGE_ID, SUMMARY_PREFIX};
use serde_json::Value;

use super::clock::{self, Place, Stamp};

/// Longest line that is looked at, in bytes: a message and its fields, each byte of the message escaped.
pub const LINE_MAX_BYTES: usize = 512 * 1024;

/// Longest report, in bytes. journald splits messages there: `LineMax=`, journald.conf(5).
pub const SUMMARY_MAX_BYTES: usize = 48 * 1024;

/// Longest name of a node, in bytes: RFC 1123, as Kubernetes has it.
const NODE_MAX_BYTES: usize = 253;

/// What journald and `ps` call the loader.
const LOADER: &str = "nodebpf-loader";

/// A line with a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Node; `None` if the line does not name one.
    pub node: Option<String>,
    /// When.
    pub stamp: Stamp,
    /// The report, as JSON; or why the line does not have it.
    pub message: Result<String, String>,
}

/// Why a message is `null`: "fields larger than 4096 bytes are encoded as null values", journalctl(1), `-o json`.
const LEFT_OUT: &str = "journalctl prints messages of more than 4096 bytes only with --all: journalctl -o json --all";

/// What a line that was cut or changed is.
const DAMAGED: &str = "the line is cut or damaged; read the journal again";

/// Reads a line.
pub fn read(bytes: &[u8]) -> Option<Line> {
    if bytes.len() > LINE_MAX_BYTES {
        return None;
    }
    let lossy = String::from_utf8_lossy(bytes);
    let mut line = form(lossy.trim_start().trim_end_matches('\r'))?;
    if matches!(lossy, Cow::Owned(_)) {
        line.message = Err(DAMAGED.to_owned());
    }
    Some(line)
}

/// A line in whichever form it has.
fn form(text: &str) -> Option<Line> {
    if text.starts_with('{') {
        return json(text, None);
    }
    if let Some((first, rest)) = text.split_once(' ')
        && rest.starts_with('{')
        && first != SUMMARY_PREFIX.trim_end()
    {
        return json(rest, name(first));
    }
    short(text)
}

fn short(text: &str) -> Option<Line> {
    let at = text.find(SUMMARY_PREFIX)?;
    let (head, message) = (&text[..at], &text[at + SUMMARY_PREFIX.len()..]);
    let words: Vec<&str> = head.split_whitespace().take(9).collect();
    let message = message.to_owned();
    let Some((writer, before)) = words.split_last() else {
        // `-o cat`: nothing but the message.
        return Some(Line { node: None, stamp: Stamp::default(), message: Ok(message) });
    };
    // Somebody else who quotes a report.
    let writer = writer.strip_suffix(':')?;
    if writer.split('[').next() != Some(LOADER) {
        return None;
    }
    // A prefix of `oc` is the node's name in the cluster; the word before the writer is the host's own.
    let (prefix, time, used) = match (clock::read(before), before.get(1..).and_then(clock::read)) {
        (Some((time, used)), _) => (None, Some(time), used),
        (None, Some((time, used))) => (before.first(), Some(time), used + 1),
        (None, None) => (None, None, 0),
    };
    let host = before.get(used..).and_then(<[_]>::last);
    let stamp = Stamp { time, ..Stamp::default() };
    Some(Line { node: prefix.or(host).and_then(|node| name(node)), stamp, message: Ok(message) })
}

fn json(text: &str, prefix: Option<String>) -> Option<Line> {
    let Ok(fields) = serde_json::from_str::<Value>(text) else { return damaged(text, prefix) };
    let field = |key: &str| fields.get(key).and_then(Value::as_str);
    // The journal's own field, which a program cannot set for itself.
    if field("_COMM").is_some_and(|comm| comm != LOADER) {
        return None;
    }
    let message = match fields.get("MESSAGE")? {
        Value::String(message) => Some(message.clone()),
        // Bytes, where the message has some that journalctl does not print: systemd.journal-fields(7).
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect::<Option<Vec<u8>>>()?;
            // What is no UTF-8 in a report is for who parses it.
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        Value::Null => None,
        _ => return None,
    };
    let message = match message {
        Some(message) => Ok(message.strip_prefix(SUMMARY_PREFIX)?.to_owned()),
        // Ours by its id; without one by who wrote it.
        None if field("MESSAGE_ID").or(field("_COMM").map(|_| SUMMARY_MESSAGE_ID)) == Some(SUMMARY_MESSAGE_ID) => {
            Err(LEFT_OUT.to_owned())
        }
        None => return None,
    };
    Some(Line { node: prefix.or_else(|| field("_HOSTNAME").and_then(name)), stamp: stamp(field), message })
}

/// A report in JSON that was cut or changed: it must not leave its place to an older one.
fn damaged(text: &str, prefix: Option<String>) -> Option<Line> {
    let ours = text.contains(SUMMARY_PREFIX) || text.contains(SUMMARY_MESSAGE_ID);
    let field = |key: &str| torn(text, key);
    if !ours || field("_COMM").is_some_and(|comm| comm != LOADER) {
        return None;
    }
    let node = prefix.or_else(|| field("_HOSTNAME").and_then(name));
    Some(Line { node, stamp: stamp(field), message: Err(DAMAGED.to_owned()) })
}

/// The text of a field of a torn object, if it has an end. In a message quotes are escaped, so this is no message's.
fn torn<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\"{key}\""))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    value.split_once('"').map(|(value, _)| value)
}

fn stamp<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Stamp {
    let place = |of: &str, at: &str| Some(Place { of: field(of)?.to_owned(), at: field(at)?.parse().ok()? });
    Stamp {
        time: field("__REALTIME_TIMESTAMP").and_then(clock::realtime),
        number: place("__SEQNUM_ID", "__SEQNUM"),
        uptime: place("_BOOT_ID", "__MONOTONIC_TIMESTAMP"),
    }
}

/// A node's name: letters, digits, `-` and `.`.
fn name(text: &str) -> Option<String> {
    let sound = !text.is_empty()
        && text.len() <= NODE_MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    sound.then(|| text.to_owned())
}
