//! Fleet: what the nodes of a cluster run, by what they say in their journals, and whether it is what was agreed.
//!
//! In:   journal lines of many nodes in any mix of forms ([`line`]), the nodes there should be ([`nodes`]), a lock.
//! Out:  [`Table`]: per node and stream a state and a verdict, short names of nodes as their full ones ([`names`]).
//! May fail with: NB0550 (no report), NB0551 (nodes), NB0552 (too many nodes), NB0553 (a pool unknown to the lock).
//!
//! Lines come from outside: everything is bounded, and nothing of them reaches a terminal unescaped. What a node says is
//! believed; whoever is root on a node can say anything.

pub mod clock;
pub mod judge;
pub mod line;
pub mod names;
pub mod nodes;
pub mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nodeplan::{json, report::Summary};

use clock::Time;
use line::{Line, SUMMARY_MAX_BYTES};

/// Most nodes of one input. Ours; OpenShift is tested with 2000.
pub const MAX_NODES: usize = 10_000;

/// What a node said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which report of the input it was, counted from 0.
    pub at: usize,
    /// When, if the line has it.
    pub time: Option<Time>,
    /// The report, or why it cannot be read.
    pub summary: Result<Summary, String>,
}

/// Lines so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The newest line of each node.
    pub nodes: BTreeMap<String, Said>,
    /// Reports with the name of a node.
    pub reports: usize,
    /// Lines with a report and no node.
    pub nameless: usize,
    /// Lines that are too long to be one of a journal.
    pub too_long: usize,
    /// Reports of nodes beyond [`MAX_NODES`].
    pub too_many: usize,
}

impl Fleet {
    /// Takes one line, without its end.
    pub fn line(&mut self, bytes: &[u8]) {
        let Some(Line { node, time, message }) = line::read(bytes) else { return };
        let Some(node) = node else {
            self.nameless += 1;
            return;
        };
        let at = self.reports;
        self.reports += 1;
        if !self.nodes.contains_key(&node) && self.nodes.len() >= MAX_NODES {
            self.too_many += 1;
            return;
        }
        if let Some(before) = self.nodes.get(&node)
            && clock::is_older(time, before.time)
        {
            return;
        }
        let summary = json::parse(message.as_bytes(), SUMMARY_MAX_BYTES).map_err(|error| error.to_string());
        self.nodes.insert(node, Said { at, time, summary });
    }
}
