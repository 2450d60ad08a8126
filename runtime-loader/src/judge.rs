//! Judge: what is to become of each stream, by the files of this node and by what runs.
//!
//! In: the paths, what this node is, the versions that run. Out: [`Judged`]. Cannot fail: what cannot be read is a problem
//! of the report or a verdict on a stream. The kernel is not asked, and nothing is written.

use nodeplan::{
    name::StreamName,
    report::{Code, Reason},
    sorted::SortedMap,
};

use crate::{
    clock,
    held::Holds,
    memory::{self, Kept},
    paths::Paths,
    state::Version,
    stream::{self, Stream},
    trust_chain::{self, Known},
    verify::{self, Node},
};

/// What a run starts from.
#[derive(Debug)]
pub struct Judged {
    /// The trust that rules.
    pub known: Known,
    /// What the node remembers.
    pub kept: Kept,
    /// Streams and their goals.
    pub streams: SortedMap<StreamName, Stream>,
    /// What is wrong beyond single streams.
    pub problems: Vec<Reason>,
    /// Whether the streams are all that there are: the directory of bundles could be read.
    pub complete: bool,
}

/// Judges.
pub fn judge(paths: &Paths, node: &Node, running: SortedMap<StreamName, Vec<Version>>) -> Judged {
    let known = trust_chain::known(paths);
    let kept = memory::read(paths);
    let (mut running, mut owned) = (running, kept.clone());
    for (name, versions) in &running {
        // Whose a stream is, is not forgotten with the file that says so.
        for plan in versions.iter().filter_map(|version| version.plan.as_ref()) {
            owned.memory.own(name, &plan.owner);
        }
    }
    for version in running.values_mut().flatten() {
        version.forbidden = known.trust.as_ref().ok().and_then(|trust| kept.forbids(trust.document(), version));
    }
    let bundles = verify::bundles(paths, &known.trust, &owned, node);
    let complete = bundles.directory_read;
    let mut problems = bundles.strangers.clone();
    let (holds, unread) = Holds::read(paths);
    problems.extend(unread);
    // A damaged trust file is one whether or not there is a bundle to refuse; none at all is fine without bundles.
    problems.extend(known.trust.as_ref().err().filter(|reason| reason.code != Code::TrustMissing).cloned());
    problems.extend(known.problems.iter().chain(&kept.problem).chain(&kept.lost).cloned());
    let streams = stream::decide(bundles, running, &holds);
    problems.extend(clock::doubt(node, &streams));
    Judged { known, kept, streams, problems, complete }
}
