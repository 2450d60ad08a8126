//! Trust chain: which trust file rules on this node.
//!
//! In: the copy of the newest accepted one (the pin), the one in the image, the one that was delivered. Out: the newest
//! that follows from what the node knows, and what is wrong with the others.
//!
//! The pin comes first, so neither an older image nor an older file brings an older version back. Without one the image
//! is the anchor that the delivered file must follow. Nothing else can tell a first file from a false one.
//!
//! A pin whose bytes are damaged is none. One that cannot be read, or that a newer loader wrote, is one that this loader
//! does not know: then nothing rules, and the pin stays, until somebody who knows it reads it.

use std::{cmp::Ordering, path::Path};

use nodeplan::{
    limits,
    report::{Code, Reason},
    trust::{Trust, TrustError},
};

use crate::{
    paths::Paths,
    read::{self, ReadError},
};

/// The trust that rules, and what else there is to say.
#[derive(Debug)]
pub struct Known {
    /// What rules, or why nothing does.
    pub trust: Result<Trust, Reason>,
    /// What is wrong with files that do not rule.
    pub problems: Vec<Reason>,
    /// What the pin is to be, if it is not that.
    pin: Option<Vec<u8>>,
}

/// A trust file, whole and checked by itself.
struct File {
    bytes: Vec<u8>,
    trust: Trust,
}

/// Reads all three and decides.
pub fn known(paths: &Paths) -> Known {
    let mut problems = Vec::new();
    let (pin_path, image_path, path) = (paths.pinned_trust(), paths.image_trust(), paths.trust());
    let pin = match read_file(&pin_path) {
        Ok(pin) => pin,
        Err((reason, true)) => {
            problems.push(Reason { code: Code::MemoryDamaged, ..reason });
            None
        }
        Err((reason, false)) => {
            let trust = Err(Reason { code: Code::MemoryUnread, ..reason });
            return Known { trust, problems, pin: None };
        }
    };
    let pinned = pin.as_ref().map(|pin| pin.bytes.clone());
    let mut rules = pin;
    let image = read_file(&image_path).unwrap_or_else(|(reason, _)| {
        problems.push(reason);
        None
    });
    let has_image = image.is_some();
    // An older image is what an image rollback leaves: nothing to report.
    problems.extend(
        image.and_then(|image| step(&mut rules, image, &image_path)).filter(|reason| reason.code != Code::TrustOlder),
    );
    let missing = Reason { code: Code::TrustMissing, message: format!("{}: no such file", path.display()) };
    let why = match read_file(&path) {
        Ok(Some(delivered)) => step(&mut rules, delivered, &path),
        Ok(None) if has_image && rules.is_some() => None,
        Ok(None) => Some(missing.clone()),
        Err((reason, _)) => Some(reason),
    };
    match rules {
        Some(File { bytes, trust }) => {
            problems.extend(why);
            let pin = Some(bytes).filter(|bytes| pinned.as_ref() != Some(bytes));
            Known { trust: Ok(trust), problems, pin }
        }
        // Without anything that rules a step cannot have failed: it is the file itself.
        None => Known { trust: Err(why.unwrap_or(missing)), problems, pin: None },
    }
}

/// Lets `next` rule if it is newer than what does and follows from it; else says why not.
fn step(rules: &mut Option<File>, next: File, path: &Path) -> Option<Reason> {
    let Some(now) = rules else {
        *rules = Some(next);
        return None;
    };
    let (found, known) = (next.trust.document().version, now.trust.document().version);
    let reason = |code, message| Some(Reason { code, message: format!("{}: {message}", path.display()) });
    match next.trust.stands_to(&now.trust) {
        Ok(Ordering::Equal) => None,
        Ok(Ordering::Greater) => {
            *rules = Some(next);
            None
        }
        Ok(Ordering::Less) => {
            let message = format!("version {found} is older than version {known}, which this node knows and goes by");
            reason(Code::TrustOlder, message)
        }
        Err(error) => reason(Code::TrustFork, format!("{error}; this node goes by version {known}, which it knows")),
    }
}

/// `None`: it is not there. With an error: whether its bytes are damaged. They are not if it cannot be read, or if it
/// was well written and only this loader does not take it.
fn read_file(path: &Path) -> Result<Option<File>, (Reason, bool)> {
    let bytes = match read::read(path, limits::TRUST_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(ReadError::Missing) => return Ok(None),
        Err(other) => return Err((other.reason(path), false)),
    };
    match Trust::parse(&bytes) {
        Ok(trust) => Ok(Some(File { bytes, trust })),
        Err(error) => {
            let damaged = !matches!(error, TrustError::Format(_) | TrustError::Document(_));
            Err((Reason { code: Code::TrustDamaged, message: format!("{}: {error}", path.display()) }, damaged))
        }
    }
}

impl Known {
    /// Makes the pin what rules. What is wrong if it cannot be written.
    pub fn keep(&self, paths: &Paths) -> Option<Reason> {
        let bytes = self.pin.as_ref()?;
        let damaged = self.problems.iter().any(|problem| problem.code == Code::MemoryDamaged);
        read::replace(&paths.pinned_trust(), bytes, damaged)
    }
}
