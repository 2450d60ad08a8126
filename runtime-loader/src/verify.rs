//! Verify: from files to bundles that may run, and gate: whether they are for this node now.
//!
//! In: the trust file and the directory of bundles. Out: a [`Verdict`] per stream.
//! A bundle that is refused never stops another one.

use nodeplan::sorted::SortedMap;
use std::path::Path;

use nodeplan::{
    applies::{Architecture, OcpVersion},
    bundle::{Unverified, Verified},
    digest::Sha256Digest,
    limits,
    name::StreamName,
    plan::NodePlan,
    report::{Code, Reason, TrustReport},
    text,
    time::Timestamp,
    trust::Trust,
};

use crate::{
    memory::Kept,
    paths::Paths,
    program,
    read::{self, ReadError},
    trust_chain,
};

/// What this node is.
#[derive(Clone, Debug)]
pub struct Node {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// OpenShift release, if this is a node of one.
    pub ocp: Option<OcpVersion>,
    /// A time that has certainly come: see [`crate::clock`].
    pub now: Timestamp,
    /// What the clock says, if nobody has set it.
    pub unverified: Option<Timestamp>,
}

/// What becomes of a bundle.
#[derive(Debug)]
pub enum Verdict {
    /// May run here and now.
    Runs(Box<Verified>),
    /// Sound, but its time is over or this node is none of its nodes: what runs of it ends.
    Ends(Box<Verified>, Code, String),
    /// Refused by a decision of the security team: what runs of it ends.
    Forbidden {
        /// Which decision.
        reason: Reason,
        /// Its statement.
        statement: Sha256Digest,
        /// Whether the node remembers that it accepted this statement before.
        known: bool,
    },
    /// Not believed: what runs keeps running.
    Refused(Reason),
}

/// All bundles of the node.
#[derive(Debug)]
pub struct Bundles {
    /// By stream.
    pub verdicts: SortedMap<StreamName, Verdict>,
    /// Whether the directory was read: only then is a missing bundle a removed one.
    pub directory_read: bool,
    /// What stands in the directory and is no bundle.
    pub strangers: Vec<Reason>,
}

/// The trust that rules on this node. Says nothing of what is wrong with files that do not: [`trust_chain::known`].
pub fn trust(paths: &Paths) -> Result<Trust, Reason> {
    trust_chain::known(paths).trust
}

/// The trust file's part of the report.
pub fn trust_report(trust: &Result<Trust, Reason>) -> TrustReport {
    match trust {
        Ok(trust) => {
            TrustReport { version: Some(trust.document().version), anchor: Some(trust.anchor()), reason: None }
        }
        Err(reason) => TrustReport { version: None, anchor: None, reason: Some(reason.clone()) },
    }
}

/// Reads and judges all bundles.
pub fn bundles(paths: &Paths, trust: &Result<Trust, Reason>, memory: &Kept, node: &Node) -> Bundles {
    let mut bundles = Bundles { verdicts: SortedMap::new(), directory_read: false, strangers: Vec::new() };
    let dir = paths.bundles();
    let names = match read::list(&dir) {
        Ok(names) => names,
        Err(ReadError::Missing) => return bundles,
        Err(error) => {
            bundles.strangers.push(error.reason(&dir));
            return bundles;
        }
    };
    bundles.directory_read = true;
    let (mut buffer, mut room) = (Vec::new(), limits::BUNDLES_MAX_BYTES);
    for name in names {
        let stream = name.strip_suffix(".bundle").and_then(|stem| StreamName::try_from(stem).ok());
        match stream {
            Some(stream) => {
                let path = dir.join(&name);
                let verdict = match read::read_into(&path, limits::BUNDLE_MAX_BYTES, &mut buffer) {
                    Ok(()) => judge(&path, &buffer, &stream, trust, memory, node, &mut room),
                    Err(error) => Verdict::Refused(error.reason(&path)),
                };
                bundles.verdicts.insert(stream, verdict);
            }
            None => bundles.strangers.push(Reason {
                code: Code::FileName,
                message: format!("{} is not named like a bundle, STREAM.bundle", dir.join(&name).display()),
            }),
        }
    }
    bundles
}

/// `room`: how many bytes of bundles a run may still keep. What it does not believe takes none.
fn judge(
    path: &Path,
    bytes: &[u8],
    stream: &StreamName,
    trust: &Result<Trust, Reason>,
    memory: &Kept,
    node: &Node,
    room: &mut usize,
) -> Verdict {
    let trust = match trust {
        Ok(trust) => trust,
        Err(reason) => return Verdict::Refused(reason.clone()),
    };
    let mut statement = &[][..];
    let checked = Unverified::decode(bytes).and_then(|bundle| {
        statement = bundle.statement();
        bundle.check(trust.document())
    });
    // A decision of the security team, or of the stream's owner before, ends what runs; a doubt does not.
    let refused = |reason: Reason| match reason.code {
        Code::Revoked | Code::BelowFloor | Code::Audience => {
            let statement = Sha256Digest::of(statement);
            let known = memory.accepted.get(stream) == Some(&statement);
            Verdict::Forbidden { reason, statement, known }
        }
        _ => Verdict::Refused(reason),
    };
    let checked = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            let code = refusal.code();
            return refused(Reason { code, message: format!("{}: {refusal}", path.display()) });
        }
    };
    if checked.plan().stream != *stream {
        let message = format!("{} holds stream `{}`", path.display(), checked.plan().stream);
        return Verdict::Refused(Reason { code: Code::FileName, message });
    }
    if let Some(Reason { code, message }) = memory.refuses(checked.plan()) {
        return refused(Reason { code, message: format!("{}: {message}", path.display()) });
    }
    if bytes.len() > *room {
        let message = format!(
            "{}: it has {} bytes, and those before it leave {room} of {}: remove streams, or make their objects smaller",
            path.display(),
            bytes.len(),
            limits::BUNDLES_MAX_BYTES
        );
        return Verdict::Refused(Reason { code: Code::BundlesTooLarge, message });
    }
    *room -= bytes.len();
    let verified = checked.keep();
    match gate(verified.plan(), node) {
        Ok(()) => Verdict::Runs(Box::new(verified)),
        Err((code, message)) => Verdict::Ends(Box::new(verified), code, message),
    }
}

/// The OpenShift minor release that `os-release` names: `OPENSHIFT_VERSION`, or on RHCOS without it `VERSION_ID`.
pub fn ocp_release(os_release: &str) -> Option<OcpVersion> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches(['"', '\'']))
    };
    let rhcos = value("ID") == Some("rhcos");
    let text = value("OPENSHIFT_VERSION").or_else(|| value("VERSION_ID").filter(|_| rhcos))?;
    // A minor release, perhaps with a patch level behind it.
    let minor = text.match_indices('.').nth(1).map_or(text, |(at, _)| &text[..at]);
    OcpVersion::try_from(minor).ok()
}

/// Whether a plan is for this node, now.
pub fn gate(plan: &NodePlan, node: &Node) -> Result<(), (Code, String)> {
    let applies = &plan.applies_to;
    if let Some(range) = applies.kernel.as_ref().filter(|range| !range.contains(&node.kernel)) {
        return Err((Code::NotApplicable, format!("kernel {} is not in {range}", node.kernel)));
    }
    let here = Architecture::from_machine(&node.machine);
    if !applies.architectures.is_empty() && !here.is_some_and(|here| applies.architectures.contains(&here)) {
        let wanted = text::join(&mut applies.architectures.iter().map(|arch| arch.as_str()), " or ");
        return Err((Code::NotApplicable, format!("machine {} is not {wanted}", node.machine)));
    }
    if let Some(range) = applies.ocp.as_ref().filter(|range| !node.ocp.is_some_and(|ocp| range.contains(ocp))) {
        let found = node.ocp.map_or("of no known OpenShift release".to_owned(), |ocp| format!("of OpenShift {ocp}"));
        return Err((Code::NotApplicable, format!("this node is {found}, not {range}")));
    }
    if let Some(program) = program::without_object(plan, here) {
        let message = format!("program `{program}` has no object for machine {}", node.machine);
        return Err((Code::NotApplicable, message));
    }
    match plan.expires {
        Some(expires) if node.now > expires => Err((Code::Expired, format!("expired at {expires}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_stands_in_os_release() {
        for (name, text, want) in [
            ("RHCOS 4.18", "ID=\"rhcos\"\nVERSION_ID=\"4.18\"\nOPENSHIFT_VERSION=\"4.18\"\n", Some("4.18")),
            ("RHCOS of 4.12", "ID=\"rhcos\"\nVERSION_ID=\"4.12\"\n", Some("4.12")),
            ("RHEL's number", "ID=\"rhel\"\nVERSION_ID=\"9.6\"\nOPENSHIFT_VERSION='4.20'\n", Some("4.20")),
            ("a patch level", "OPENSHIFT_VERSION=4.19.3\n", Some("4.19")),
            ("RHEL", "ID=\"rhel\"\nVERSION_ID=\"9.6\"\n", None),
            ("nothing", "", None),
        ] {
            assert_eq!(ocp_release(text).map(|ocp| ocp.to_string()).as_deref(), want, "case: {name}");
        }
    }
}
