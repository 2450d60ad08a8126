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
pub mod order;
pub mod text;

#[cfg(test)]
mod doubt_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use nodeplan::{
    json,
    report::{REPORT_VERSION, Summary},
};

use clock::Stamp;
use line::{Line, SUMMARY_MAX_BYTES};
use order::{File, Newest, Order};

/// Most nodes of one input. Ours; OpenShift is tested with 2000.
pub const MAX_NODES: usize = 10_000;

/// What a node said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which report of the input it was, counted from 0.
    pub at: usize,
    /// When, as far as the line says so.
    pub stamp: Stamp,
    /// The report, or why it cannot be read.
    pub summary: Result<Summary, String>,
    /// What it said last if lines run the other way, where nothing but times tells that.
    pub other: Option<Box<Said>>,
}

/// Lines so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// The newest line of each node, of all files that have ended.
    pub nodes: BTreeMap<String, Said>,
    /// Which way lines run, if somebody has said so.
    pub order: Option<Order>,
    /// The file that is being read.
    file: File,
    /// Names of nodes so far.
    names: BTreeSet<String>,
    /// Nodes whose clock contradicts the order of their lines.
    pub stepped: BTreeSet<String>,
    /// Files whose lines are taken for newest first, by nothing but their times.
    pub newest_first: usize,
    /// Reports with the name of a node.
    pub reports: usize,
    /// Lines with a report and no node.
    pub nameless: usize,
    /// Such lines that cannot be read: they may be the newest one of any node.
    pub damaged: usize,
    /// Lines that are too long to be one of a journal.
    pub too_long: usize,
    /// Reports of nodes beyond [`MAX_NODES`].
    pub too_many: usize,
}

impl Fleet {
    /// Takes one line, without its end.
    pub fn line(&mut self, bytes: &[u8]) {
        let Some(Line { node, stamp, message }) = line::read(bytes) else { return };
        let Some(node) = node else {
            match message {
                Ok(_) => self.nameless += 1,
                Err(_) => self.damaged += 1,
            }
            return;
        };
        let at = self.reports;
        self.reports += 1;
        if !self.names.contains(&node) {
            if self.names.len() >= MAX_NODES {
                self.too_many += 1;
                return;
            }
            self.names.insert(node.clone());
        }
        let summary = message.and_then(|message| parse(&message));
        self.file.take(node, Said { at, stamp, summary, other: None });
    }

    /// The file ends: what comes now is of another one, or nothing.
    pub fn end(&mut self) {
        let file = std::mem::take(&mut self.file);
        if self.order.is_none() && file.is_newest_first() == (true, true) {
            self.newest_first += 1;
        }
        for Newest { node, said, stepped } in file.end(self.order) {
            if stepped {
                self.stepped.insert(node.clone());
            }
            match self.nodes.get(&node) {
                Some(before) if said.stamp.is_older(&before.stamp) => {}
                _ => drop(self.nodes.insert(node, said)),
            }
        }
    }
}

/// A report of a version that this release knows.
fn parse(message: &str) -> Result<Summary, String> {
    let summary: Summary = json::parse(message.as_bytes(), SUMMARY_MAX_BYTES).map_err(|error| error.to_string())?;
    let (found, ours) = (summary.report_version, REPORT_VERSION);
    if found.major != ours.major {
        return Err(format!("its report has version {found}; this release reads version {}.x", ours.major));
    }
    Ok(summary)
}
