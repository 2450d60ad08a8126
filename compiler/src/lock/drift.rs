//! Drift: what a lock says against what the manifests say.
//!
//! In:   the lock that was agreed on, and one made of the manifests. Out: reports.
//! May fail with: NB0431 (drift), NB0432 (revision must rise), NB0435 (streams get lost).

use std::collections::BTreeSet;

use nodeplan::plan::Revision;

use super::{Chain, Lock, Place, Stream};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    set::{Member, Set},
};

/// Differences shown of one chain or stream; more would bury the first.
const LINES_SHOWN: usize = 12;

/// How much of a lock must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it: these are all manifests.
    Whole,
    /// The streams of these manifests: there are others.
    Streams,
}

/// Reports plans that changed under the revision that was agreed on.
pub fn revisions(lock: &Lock, fresh: &Lock, set: &Set<'_>, diags: &mut Diagnostics) {
    for member in set.members() {
        if let Some((agreed, found)) = both(lock, fresh, member)
            && must_rise(agreed, found)
        {
            diags.push(raise(member, agreed, found, lock, fresh));
        }
    }
}

fn both<'l>(lock: &'l Lock, fresh: &'l Lock, member: &Member<'_>) -> Option<(&'l Stream, &'l Stream)> {
    let stream = member.plan.stream.as_str();
    Some((lock.streams.get(stream)?, fresh.streams.get(stream)?))
}

fn must_rise(agreed: &Stream, found: &Stream) -> bool {
    agreed.revision == found.revision && agreed.statement != found.statement
}

fn raise(member: &Member<'_>, agreed: &Stream, found: &Stream, lock: &Lock, fresh: &Lock) -> Diagnostic {
    let stream = &member.checked.stream;
    let message = format!("the plan of `{}` changed, but its revision is still {}", stream.value, agreed.revision);
    let mut diagnostic = Diagnostic::error(Code::RaiseRevision, message)
        .at(member.checked.revision.span, "must rise")
        .also(stream.span, "of this stream");
    for line in changes(stream.value.as_str(), agreed, found, lock, fresh) {
        diagnostic = diagnostic.note(line);
    }
    let next = Revision::try_from(i64::from(agreed.revision) + 1).ok();
    diagnostic
        .note("nodes and people tell states of a stream apart by it, and a floor can forbid the old one")
        .maybe_help(next.map(|next| format!("write `revision: {next}`")))
}

/// Reports everything in which manifests and lock differ. `command` says how to write the lock anew.
pub fn report(lock: &Lock, fresh: &Lock, set: &Set<'_>, scope: Scope, command: &str, diags: &mut Diagnostics) {
    revisions(lock, fresh, set, diags);
    let help = format!("agree on it and write the lock anew: {command}");
    for member in set.members() {
        let stream = &member.checked.stream;
        let Some((agreed, found)) = both(lock, fresh, member) else {
            diags.push(
                Diagnostic::error(Code::LockDrift, format!("stream `{}` is not in the lock", stream.value))
                    .at(stream.span, "was never agreed on")
                    .help(&help),
            );
            continue;
        };
        if agreed == found || must_rise(agreed, found) {
            continue;
        }
        let message = format!("stream `{}` is not what the lock says: {}", stream.value, difference(agreed, found));
        let mut diagnostic = Diagnostic::error(Code::LockDrift, message).at(member.checked.revision.span, "differs");
        for line in changes(stream.value.as_str(), agreed, found, lock, fresh) {
            diagnostic = diagnostic.note(line);
        }
        diags.push(diagnostic.help(&help));
    }
    if scope == Scope::Streams {
        return;
    }
    for (stream, agreed) in lock.streams.iter().filter(|(stream, _)| !fresh.streams.contains_key(*stream)) {
        let message =
            format!("the lock has stream `{}` of owner `{}`; no manifest has it", shown(stream), shown(&agreed.owner));
        diags.push(
            Diagnostic::error(Code::LockDrift, message).help("give its manifest, too").help(format!("or {help}")),
        );
    }
    // Chains differ because streams do, or because the policy's pools do.
    if !diags.has_errors() && lock.pools != fresh.pools {
        pools(lock, fresh, &help, diags);
    }
}

/// Reports streams that a new lock would lose. `command` says how to write it with all.
pub fn lost(lock: &Lock, fresh: &Lock, command: &str, diags: &mut Diagnostics) {
    let lost = lock.streams.keys().filter(|stream| !fresh.streams.contains_key(*stream));
    let lost: Vec<String> = lost.map(|stream| format!("`{}`", shown(stream))).collect();
    if lost.is_empty() {
        return;
    }
    let message = match lost.len() {
        1 => "a stream of the lock gets lost: no manifest given has it".to_owned(),
        count => format!("{count} streams of the lock get lost: no manifest given has them"),
    };
    let mut diagnostic = Diagnostic::warning(Code::LockLoses, message);
    for names in lost.chunks(LINES_SHOWN) {
        diagnostic = diagnostic.note(format!("no longer in the lock: {}", names.join(", ")));
    }
    diags.push(
        diagnostic
            .note("whether their manifests were removed, or just not named, cannot be known")
            .help(format!("if they still exist: {command}")),
    );
}

fn difference(agreed: &Stream, found: &Stream) -> String {
    if agreed.owner != found.owner {
        format!("owner {}, agreed {}", found.owner, shown(&agreed.owner))
    } else if agreed.revision != found.revision {
        format!("revision {}, agreed {}", found.revision, agreed.revision)
    } else {
        "other objects".to_owned()
    }
}

/// What changed of a stream, in lines: its objects and its places.
fn changes(stream: &str, agreed: &Stream, found: &Stream, lock: &Lock, fresh: &Lock) -> Vec<String> {
    let mut lines = Vec::new();
    for program in agreed.programs.keys().filter(|name| !found.programs.contains_key(*name)) {
        lines.push(format!("the lock has program `{}`, the manifest does not", shown(program)));
    }
    for (program, object) in &found.programs {
        match agreed.programs.get(program) {
            None => lines.push(format!("the manifest has program `{program}`, the lock does not")),
            Some(other) if other != object => lines.push(format!("program `{program}` has another object")),
            Some(_) => {}
        }
    }
    let (was, is) = (places(stream, lock), places(stream, fresh));
    lines.extend(was.iter().filter(|place| !is.contains(*place)).map(|place| format!("the lock says {place}")));
    lines.extend(is.iter().filter(|place| !was.contains(*place)).map(|place| format!("the manifest says {place}")));
    if lines.is_empty() {
        lines.push(
            "places and objects are the same; something else of the plan differs, such as maps or expiry".to_owned(),
        );
    }
    let more = lines.len().saturating_sub(LINES_SHOWN);
    lines.truncate(LINES_SHOWN);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

/// Places of a stream in words, whatever pool they are on.
fn places(stream: &str, lock: &Lock) -> BTreeSet<String> {
    let chains = lock.pools.values().flatten();
    let places = chains.flat_map(|chain| chain.order.iter().map(move |place| (chain, place)));
    places.filter(|(_, place)| place.stream == stream).map(|(chain, place)| words(chain, place)).collect()
}

fn words(chain: &Chain, place: &Place) -> String {
    let on = chain.interfaces.as_ref().map_or_else(String::new, |interfaces| format!(" on {}", shown(interfaces)));
    let list = |key: &str, words: Option<&Vec<String>>| {
        words.map_or_else(String::new, |words| format!(", {key} {}", shown(&words.join(" "))))
    };
    let word =
        |key: &str, word: Option<&String>| word.map_or_else(String::new, |word| format!(", {key} {}", shown(word)));
    format!(
        "`{}` at {}{on}{}{}{}{}{}{}",
        shown(&place.program),
        shown(&chain.place),
        place.priority.map_or_else(String::new, |priority| format!(", priority {priority}")),
        word("mode", place.mode.as_ref()),
        list("proceedOn", place.proceed_on.as_ref()),
        list("verdicts", place.verdicts.as_ref()),
        word("before", place.before.as_ref()),
        word("after", place.after.as_ref()),
    )
}

/// Chains that differ although the streams are the same.
fn pools(lock: &Lock, fresh: &Lock, help: &str, diags: &mut Diagnostics) {
    let names = lock.pools.keys().chain(fresh.pools.keys());
    let mut names: Vec<_> = names.filter(|name| lock.pools.get(*name) != fresh.pools.get(*name)).collect();
    names.sort();
    names.dedup();
    for name in names {
        let order = |lock: &Lock| {
            let chains = lock.pools.get(name).into_iter().flatten();
            let all = chains.flat_map(|chain| chain.order.iter().map(move |place| (chain, place)));
            all.map(|(chain, place)| format!("{} of {}", words(chain, place), shown(&place.stream))).collect()
        };
        let (was, is): (BTreeSet<String>, BTreeSet<String>) = (order(lock), order(fresh));
        let message = format!("pool `{}` is not what the lock says", shown(name));
        let mut diagnostic = Diagnostic::error(Code::LockDrift, message);
        let gone = was.iter().filter(|line| !is.contains(*line)).map(|line| format!("the lock says {line}"));
        let new = is.iter().filter(|line| !was.contains(*line)).map(|line| format!("the manifests say {line}"));
        for line in gone.chain(new).take(LINES_SHOWN) {
            diagnostic = diagnostic.note(line);
        }
        diags.push(
            diagnostic
                .note("the streams are the same: the policy's `pools` changed, or the file was edited")
                .help(help),
        );
    }
}
