//! A trust document in plain words.
//!
//! In:   a [`TrustDocument`]. Out: facts and lines. Cannot fail.

use nodeplan::{
    key::PublicKey,
    name::{Audience, IfGlob, StreamGlob},
    trust::{HOLD_SECONDS, KeySet, TrustDocument},
};

use super::{Fact, list};

/// Everything that `document` says. No two facts have equal `about` and `what`.
pub fn facts(document: &TrustDocument) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut push = |about: &str, what: String, value: String| facts.push(Fact { about: about.to_owned(), what, value });
    push("trust", "version".to_owned(), document.version.to_string());
    push("trust", "format".to_owned(), document.format.to_string());
    push("trust", "audiences".to_owned(), list(document.audiences.iter().map(Audience::as_str)));
    push("trust", "reserved".to_owned(), list(document.reserved_interfaces.iter().map(IfGlob::as_str)));
    for stream in &document.required_streams {
        let value = format!("kubelet waits for it, at most {} seconds", document.hold_seconds);
        push("required", stream.to_string(), value);
    }
    if document.required_streams.is_empty() && document.hold_seconds != HOLD_SECONDS {
        push("required", "kubelet".to_owned(), format!("would wait at most {} seconds", document.hold_seconds));
    }
    match &document.roots {
        Some(roots) => keys("roots", roots, &mut push),
        None => push("roots", "keys".to_owned(), "none: whoever may write the file, rules".to_owned()),
    }
    for (name, owner) in &document.owners {
        let about = format!("owner {name}");
        keys(&about, &owner.signers, &mut push);
        push(&about, "streams".to_owned(), list(owner.streams.iter().map(StreamGlob::as_str)));
        for (hook, rule) in &owner.hooks {
            let value = rule.band.map_or_else(|| "allowed".to_owned(), |band| format!("priorities {band}"));
            push(&about, format!("hook {hook}"), value);
        }
        push(&about, "kubelet".to_owned(), if owner.may_close { "may be held back" } else { "never waits" }.to_owned());
        if let Some(programs) = owner.limits.programs {
            push(&about, "programs".to_owned(), format!("at most {programs} per stream"));
        }
        if let Some(bytes) = owner.limits.map_bytes {
            push(&about, "maps".to_owned(), format!("at most {bytes} bytes per stream"));
        }
    }
    for (stream, floor) in &document.floors {
        push("floors", stream.to_string(), format!("revisions below {floor} are refused"));
    }
    for key in &document.revoked_keys {
        push("revoked", format!("key {key}"), "counts no more".to_owned());
    }
    for statement in &document.revoked_bundles {
        push("revoked", format!("statement {statement}"), "is refused".to_owned());
    }
    facts
}

fn keys(about: &str, set: &KeySet, push: &mut impl FnMut(&str, String, String)) {
    push(about, "must sign".to_owned(), format!("{} of {} keys", set.threshold, set.keys.len()));
    for id in set.keys.iter().map(PublicKey::id) {
        push(about, format!("key {id}"), "listed".to_owned());
    }
}

/// `document` in words, one line each.
pub fn lines(document: &TrustDocument) -> Vec<String> {
    let mut lines = Vec::new();
    let mut about = String::new();
    for fact in facts(document) {
        if fact.about != about {
            lines.push(fact.about.clone());
            about = fact.about;
        }
        lines.push(format!("  {:<18} {}", fact.what, fact.value));
    }
    lines
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
