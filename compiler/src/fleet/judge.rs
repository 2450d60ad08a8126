//! Judge: is each stream on each node what was agreed?
//!
//! In:   what nodes said, which nodes there are, a lock. Out: [`Table`]. Cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::{
    report::{Code, Exit, StreamState, Summary},
    time::Timestamp,
};
use serde::Serialize;

use super::{Fleet, Said, clock::Time, names};
use crate::lock::{Lock, Stream};

/// How something stands to what was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As it should be.
    Right,
    /// Another revision or statement than the lock's.
    Outdated,
    /// Not in a state in which it does what it should.
    NotWorking,
    /// The lock has it for the pool, the node says nothing of it.
    Missing,
    /// The node has it, the lock does not.
    Extra,
}

impl Verdict {
    /// The word shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Outdated => "outdated",
            Self::NotWorking => "not working",
            Self::Missing => "missing",
            Self::Extra => "extra",
        }
    }
}

/// One stream on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Stream.
    pub stream: String,
    /// State; absent if the node says nothing of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StreamState>,
    /// Revision on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Revision of the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wanted_revision: Option<u32>,
    /// Digest of the statement on the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Why it is in that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Verdict.
    pub verdict: Verdict,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Voice {
    /// It said something.
    Heard,
    /// It is in the list of nodes and said nothing.
    Silent,
    /// Its report cannot be read.
    Unreadable,
    /// It said something and is not in the list of nodes: not judged.
    NotListed,
}

/// Why nobody can tell whether a node is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Doubt {
    /// It is by which way its lines run, and nothing but times tells that.
    Ambiguous,
    /// There is a lock, and nothing tells of which pool it is.
    NoPool,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Name.
    pub node: String,
    /// Pool, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether it said something.
    pub voice: Voice,
    /// When, in seconds since 1970, if the line says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// The same for people, as the line has it.
    #[serde(skip)]
    pub when: Option<String>,
    /// Older than agreed, or nobody can tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Why nobody can tell whether it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Doubt>,
    /// Version of its loader.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<String>,
    /// Its kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Version of its trust document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<u64>,
    /// Problems of the node itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Code>,
    /// Why its report cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Streams by name; none if its line had no room for them (NB1510).
    pub streams: Vec<Row>,
    /// All as it should be.
    pub right: bool,
}

impl Node {
    /// Whether its streams are in its own report only.
    pub fn is_cut(&self) -> bool {
        self.problems.contains(&Code::SummaryTooLong)
    }
}

/// All nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    /// Whether there was a lock to compare with.
    pub locked: bool,
    /// All as it should be.
    pub right: bool,
    /// Nodes by name.
    pub nodes: Vec<Node>,
    /// Pools of nodes that the lock does not list.
    #[serde(skip)]
    pub unknown_pools: BTreeSet<String>,
}

/// What to judge by.
#[derive(Clone, Debug, Default)]
pub struct Agreed<'a> {
    /// The lock.
    pub lock: Option<&'a Lock>,
    /// Pool of all nodes.
    pub pool: Option<String>,
    /// All nodes with their pools.
    pub nodes: Option<BTreeMap<String, String>>,
    /// States that are taken for right.
    pub accept: Vec<StreamState>,
    /// What time it is, and how many seconds a report may be away from that.
    pub age: Option<(Timestamp, u64)>,
}

/// Judges.
pub fn judge(fleet: &Fleet, agreed: &Agreed<'_>) -> Table {
    let said = names::join(&fleet.nodes, agreed.nodes.as_ref());
    let mut names: BTreeSet<&str> = said.keys().copied().collect();
    names.extend(agreed.nodes.iter().flat_map(BTreeMap::keys).map(String::as_str));
    let mut unknown_pools = BTreeSet::new();
    let nodes: Vec<Node> =
        names.into_iter().map(|name| either_way(name, said.get(name).copied(), agreed, &mut unknown_pools)).collect();
    let judged = |node: &&Node| node.voice != Voice::NotListed;
    let all = nodes.iter().any(|node| judged(&node)) && nodes.iter().filter(judged).all(|node| node.right);
    let right = all && fleet.damaged == 0;
    Table { locked: agreed.lock.is_some(), right, nodes, unknown_pools }
}

/// Judges a node. If it is not known which way its lines run, it is right only if it is so either way. How old its report
/// is does not count for that: the other end of a journal is as old as the journal is long.
fn either_way(name: &str, said: Option<&Said>, agreed: &Agreed<'_>, unknown_pools: &mut BTreeSet<String>) -> Node {
    let mut found = node(name, said, agreed, unknown_pools);
    if let Some(said) = said.filter(|_| found.voice != Voice::NotListed)
        && let Some(other) = &said.other
    {
        let ageless = Agreed { age: None, ..agreed.clone() };
        let mut right = |said| node(name, Some(said), &ageless, unknown_pools).right;
        if right(said) != right(other) {
            found.doubt = Some(Doubt::Ambiguous);
            found.right = false;
        }
    }
    found
}

fn node(name: &str, said: Option<&Said>, agreed: &Agreed<'_>, unknown_pools: &mut BTreeSet<String>) -> Node {
    let listed = agreed.nodes.as_ref().map(|nodes| nodes.get(name));
    let pool = match listed {
        Some(pool) => pool.cloned().filter(|pool| !pool.is_empty()),
        None => agreed.pool.clone(),
    };
    let voice = match (said.map(|said| &said.summary), listed) {
        (Some(_), Some(None)) => Voice::NotListed,
        (Some(Ok(_)), _) => Voice::Heard,
        (Some(Err(_)), _) => Voice::Unreadable,
        (None, _) => Voice::Silent,
    };
    let summary = said.and_then(|said| said.summary.as_ref().ok());
    let wanted = match (agreed.lock, &pool, voice) {
        (Some(lock), Some(pool), Voice::Heard | Voice::Silent | Voice::Unreadable) => wanted(lock, pool, unknown_pools),
        _ => BTreeMap::new(),
    };
    let judge_lock = agreed.lock.is_some() && voice != Voice::NotListed;
    let problems = summary.map(|summary| summary.problems.clone()).unwrap_or_default();
    // A line without room for streams says nothing of any: they are not missing on the node.
    let cut = problems.contains(&Code::SummaryTooLong);
    let streams = if !cut && (voice == Voice::Heard || voice == Voice::NotListed) {
        rows(summary, &wanted, judge_lock, &agreed.accept)
    } else {
        Vec::new()
    };
    let time = said.and_then(|said| said.stamp.time);
    // One from the future is of a clock that was ahead: nobody knows how old it is.
    let stale = said.is_some()
        && agreed.age.is_some_and(|(now, max)| {
            let seconds = time.and_then(|time| time.seconds(now));
            seconds.is_none_or(|seconds| seconds.abs_diff(now.unix_seconds()) > max)
        });
    // A silent node of a pool that gets nothing need not even have a loader.
    let quiet = voice == Voice::Silent && agreed.lock.is_some() && pool.is_some() && wanted.is_empty();
    let doubt = (judge_lock && pool.is_none()).then_some(Doubt::NoPool);
    let right = quiet
        || (voice == Voice::Heard
            && !stale
            && doubt.is_none()
            && problems.is_empty()
            && streams.iter().all(|row| row.verdict == Verdict::Right));
    Node {
        node: name.to_owned(),
        pool,
        voice,
        time: time.and_then(|time| match time {
            Time::Full(micros) => Some(micros / 1_000_000),
            Time::Yearless(_) => None,
        }),
        when: time.map(Time::text),
        stale,
        doubt,
        loader: summary.map(|summary| summary.loader.clone()),
        kernel: summary.map(|summary| summary.kernel.clone()),
        trust: summary.and_then(|summary| summary.trust),
        problems,
        unreadable: said.and_then(|said| said.summary.as_ref().err()).cloned(),
        streams,
        right,
    }
}

/// Whether nodes of a pool get what those of `worker` get.
pub fn inherits(pool: &str) -> bool {
    !matches!(pool, "master" | "arbiter")
}

/// Streams that nodes of `pool` should have. The lock's pools have what they inherit.
fn wanted<'l>(lock: &'l Lock, pool: &str, unknown: &mut BTreeSet<String>) -> BTreeMap<&'l str, &'l Stream> {
    let chains = lock.pools.get(pool).or_else(|| {
        unknown.insert(pool.to_owned());
        // MCO: a custom pool gets what worker gets.
        if inherits(pool) { lock.pools.get("worker") } else { None }
    });
    let names = chains.into_iter().flatten().flat_map(|chain| chain.order.iter().map(|place| place.stream.as_str()));
    names.filter_map(|name| Some((name, lock.streams.get(name)?))).collect()
}

fn rows(
    summary: Option<&Summary>,
    wanted: &BTreeMap<&str, &Stream>,
    judge_lock: bool,
    accept: &[StreamState],
) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut left = wanted.clone();
    for said in summary.into_iter().flat_map(|summary| &summary.streams) {
        let agreed = left.remove(said.stream.as_str());
        let statement = said.statement.map(|digest| digest.to_string());
        let healthy = matches!(said.state, StreamState::Attached | StreamState::NotApplicable | StreamState::Expired)
            || accept.contains(&said.state);
        let verdict = match agreed {
            // Gone, or what is left after its bundle went.
            None if said.state == StreamState::Removed => Verdict::Right,
            None if judge_lock => Verdict::Extra,
            None if healthy || (!judge_lock && said.state.exit(said.code) == Exit::Done) => Verdict::Right,
            None => Verdict::NotWorking,
            Some(_) if !healthy => Verdict::NotWorking,
            Some(agreed) if statement.as_deref() != Some(&agreed.statement) => Verdict::Outdated,
            Some(_) => Verdict::Right,
        };
        rows.push(Row {
            stream: said.stream.to_string(),
            state: Some(said.state),
            revision: said.revision.map(nodeplan::plan::Revision::get),
            wanted_revision: agreed.map(|agreed| agreed.revision),
            statement,
            code: said.code,
            verdict,
        });
    }
    rows.extend(left.into_iter().map(|(stream, agreed)| Row {
        stream: stream.to_owned(),
        state: None,
        revision: None,
        wanted_revision: Some(agreed.revision),
        statement: None,
        code: None,
        verdict: Verdict::Missing,
    }));
    rows.sort_by(|a, b| a.stream.cmp(&b.stream));
    rows
}
