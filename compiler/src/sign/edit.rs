//! Small edits of a policy's text that leave everything else, comments included, as it is.
//!
//! In:   text of a `policy.yaml`, where its values stand, and an [`Edit`]. Out: the new text, or `None` where the
//! layout gives no safe place. Cannot fail otherwise.
//!
//! This guesses at layout, so nobody may rely on it: callers parse the new text and compare what it says with what it
//! should say, and write nothing unless they are equal.

use std::ops::Range;

use nodeplan::{digest::Sha256Digest, key::KeyId, name::StreamName, plan::Revision};

use crate::{
    policy::raw::{Policy, Spec},
    source::Span,
    yaml::types::{List, Text},
};

/// What to change besides the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// A key file for an owner, by its place in the list of owners.
    AddKey {
        /// Owner's place.
        owner: usize,
        /// Path as the policy writes it.
        path: String,
    },
    /// A key that counts no more.
    RevokeKey(KeyId),
    /// A statement that is refused.
    RevokeBundle(Sha256Digest),
    /// A lowest revision.
    Floor(StreamName, Revision),
    /// Another key file in place of a root key.
    ReplaceRoot {
        /// Place in the list.
        at: usize,
        /// Path as the policy writes it.
        path: String,
    },
}

/// A piece of text to replace.
type Patch = (Range<usize>, String);

/// `text` with `edit` made and the version set to `version`.
pub fn apply(text: &str, policy: &Policy, edit: &Edit, version: u64) -> Option<String> {
    let spec = &policy.spec;
    let mut patches = vec![(range(spec.version.span), version.to_string())];
    patches.push(match edit {
        Edit::AddKey { owner, path } => append(text, &spec.owners.value.get(*owner)?.keys, &scalar(path))?,
        Edit::RevokeKey(id) => to_list(text, spec, spec.revoked_keys.as_ref(), "revokedKeys", &id.to_string())?,
        Edit::RevokeBundle(id) => {
            to_list(text, spec, spec.revoked_bundles.as_ref(), "revokedBundles", &id.to_string())?
        }
        Edit::Floor(stream, revision) => floor(text, spec, stream, *revision)?,
        Edit::ReplaceRoot { at, path } => {
            let old = spec.roots.as_ref()?.keys.value.get(*at)?;
            (range(old.span), scalar(path))
        }
    });
    patches.sort_by_key(|(range, _)| range.start);
    let mut out = text.to_owned();
    for (range, new) in patches.into_iter().rev() {
        out.get(range.clone())?;
        out.replace_range(range, &new);
    }
    Some(out)
}

/// What to write by hand.
pub fn by_hand(edit: &Edit) -> String {
    match edit {
        Edit::AddKey { path, .. } => format!("add `{path}` to the owner's `keys`"),
        Edit::RevokeKey(id) => format!("add `{id}` to `spec.revokedKeys`"),
        Edit::RevokeBundle(id) => format!("add `{id}` to `spec.revokedBundles`"),
        Edit::Floor(stream, revision) => format!("write `{stream}: {revision}` in `spec.floors`"),
        Edit::ReplaceRoot { at, path } => format!("write `{path}` in place of key {} of `spec.roots.keys`", at + 1),
    }
}

fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// A plain scalar where that is safe, a quoted one elsewhere.
fn scalar(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/');
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn to_list(text: &str, spec: &Spec, list: Option<&List<Text>>, key: &str, item: &str) -> Option<Patch> {
    match list {
        // Digits alone, or digits around one `e`, would be a number.
        Some(list) if !list.value.is_empty() => append(text, list, &format!("\"{item}\"")),
        Some(list) => {
            // The place of a list is its key.
            let end = list.span.end as usize;
            let at = end + text.get(end..)?.find("[]").filter(|at| text[end..end + at].trim() == ":")?;
            Some((at..at + 2, format!("[\"{item}\"]")))
        }
        None => below_version(text, spec, &format!("{key}: [\"{item}\"]")),
    }
}

/// A new line below that of `version`.
fn below_version(text: &str, spec: &Spec, line: &str) -> Option<Patch> {
    let (start, end) = line_of(text, spec.version.span.start as usize)?;
    let indent = indent(text.get(start..end)?, "version:")?;
    Some((end..end, format!("\n{indent}{line}")))
}

fn append(text: &str, list: &List<Text>, item: &str) -> Option<Patch> {
    let last = range(list.value.last()?.span);
    after(text, &last, ']', item, |line| indent(line, "- ").map(|indent| format!("{indent}- {item}")))
}

fn floor(text: &str, spec: &Spec, stream: &StreamName, revision: Revision) -> Option<Patch> {
    let Some(floors) = &spec.floors else {
        return below_version(text, spec, &format!("floors: {{{stream}: {revision}}}"));
    };
    if let Some((_, old)) = floors.0.iter().find(|(name, _)| name.value == stream.as_str()) {
        return Some((range(old.span), revision.to_string()));
    }
    let (key, value) = floors.0.last()?;
    let item = format!("{stream}: {revision}");
    let block = |line: &str| {
        let name = text.get(range(key.span))?;
        indent(line, name).map(|indent| format!("{indent}{item}"))
    };
    after(text, &range(value.span), '}', &item, block)
}

/// An item behind the one at `last`: on the same line, before the bracket that `closes`, or on a line of its own.
fn after(
    text: &str,
    last: &Range<usize>,
    closes: char,
    item: &str,
    block: impl Fn(&str) -> Option<String>,
) -> Option<Patch> {
    let end = last.end;
    let (start, line_end) = line_of(text, end)?;
    let rest = text.get(end..line_end)?;
    if rest.trim_start().starts_with(closes) {
        return Some((end..end, format!(", {item}")));
    }
    if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
        return None;
    }
    let line = block(text.get(start..line_end)?)?;
    Some((line_end..line_end, format!("\n{line}")))
}

/// Start and end of the line with byte `at`, line break excluded.
fn line_of(text: &str, at: usize) -> Option<(usize, usize)> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
    let carriage = text.get(start..end)?.ends_with('\r');
    Some((start, end - usize::from(carriage)))
}

/// The spaces before `token`, if the line begins with it.
fn indent<'a>(line: &'a str, token: &str) -> Option<&'a str> {
    let rest = line.trim_start_matches(' ');
    rest.starts_with(token).then(|| &line[..line.len() - rest.len()])
}
