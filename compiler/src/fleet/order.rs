//! Order: the newest report of each node in one file.
//!
//! In:  reports in the order of the file, each with what its line says of when. Out: [`Newest`] of each node. Cannot fail.
//!
//! A clock is no witness: one that was ahead and was set back would hide all that the node says from then on. What the
//! journal counts by itself comes first, then the order of the lines. Times only tell which way that order runs:
//! `journalctl -r` prints the newest line first.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{Said, clock::Stamp};

/// Which way the lines of a file run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As journalctl prints them.
    OldestFirst,
    /// As `journalctl -r` prints them.
    NewestFirst,
}

/// What is known of one file so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    nodes: BTreeMap<String, Candidates>,
    /// Which way lines run, by what no clock has a part in.
    sure: Votes,
    /// The same by their times.
    by_clock: Votes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Votes {
    up: usize,
    down: usize,
}

impl Votes {
    fn count(&mut self, order: Option<Ordering>) {
        match order {
            Some(Ordering::Greater) => self.up += 1,
            Some(Ordering::Less) => self.down += 1,
            Some(Ordering::Equal) | None => {}
        }
    }

    fn is_empty(self) -> bool {
        self.up + self.down == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidates {
    /// Of the line before.
    before: Stamp,
    /// The newest one if the oldest line comes first.
    rising: Said,
    /// The newest one if the newest line comes first.
    falling: Said,
    /// Which way its clock went from line to line.
    clock: Votes,
}

/// The newest report of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The node.
    pub node: String,
    /// What it said.
    pub said: Said,
    /// Whether times of its lines contradict their order.
    pub stepped: bool,
}

impl File {
    /// Takes the next report.
    pub fn take(&mut self, node: String, said: Said) {
        let Some(one) = self.nodes.get_mut(&node) else {
            let (before, rising, clock) = (said.stamp.clone(), said.clone(), Votes::default());
            self.nodes.insert(node, Candidates { before, rising, falling: said, clock });
            return;
        };
        let by_clock = said.stamp.by_clock(&one.before);
        self.sure.count(said.stamp.surely(&one.before));
        self.by_clock.count(by_clock);
        one.clock.count(by_clock);
        one.before = said.stamp.clone();
        if said.stamp.surely(&one.falling.stamp) == Some(Ordering::Greater) {
            one.falling = said.clone();
        }
        if said.stamp.surely(&one.rising.stamp) != Some(Ordering::Less) {
            one.rising = said;
        }
    }

    /// Whether the newest line comes first, and whether that is said by times alone.
    pub fn is_newest_first(&self) -> (bool, bool) {
        let by_clock = self.sure.is_empty();
        let votes = if by_clock { self.by_clock } else { self.sure };
        (votes.down > votes.up, by_clock)
    }

    /// The newest report of each node. What the journal counts by itself goes before what somebody says of the order, and
    /// that before times. Times alone do not say that lines run backwards, a clock that was set looks the same: then both
    /// reports are kept.
    pub fn end(self, order: Option<Order>) -> impl Iterator<Item = Newest> {
        let (falling, by_clock) = self.is_newest_first();
        let falling = order.filter(|_| by_clock).map_or(falling, |order| order == Order::NewestFirst);
        let unsure = falling && by_clock && order.is_none();
        self.nodes.into_iter().map(move |(node, one)| {
            let stepped = if falling { one.clock.up } else { one.clock.down } > 0;
            let mut said = if falling { one.falling } else { one.rising.clone() };
            if unsure && said.at != one.rising.at {
                said.other = Some(Box::new(one.rising));
            }
            Newest { node, said, stepped }
        })
    }
}
