//! Order: where a program goes in the list of an interface. Pure.
//!
//! Ours among ours by priority, then stream, then program; ours among others' by the names of `before` and `after`, if
//! such programs are there. Without either a program goes behind everything.

use nodeplan::{
    limits::KERNEL_OBJ_NAME_BYTES,
    name::{ProgramName, StreamName},
    report::{Code, Reason},
};

use crate::kernel::{Neighbour, Position};

/// Rank of one of our programs.
pub type Rank = (u16, StreamName, ProgramName);

/// An entry of the list, as far as it matters.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who.
    pub neighbour: Neighbour,
    /// First 15 bytes of its program's name.
    pub name: String,
    /// Its rank, if it is one of ours that stays.
    pub rank: Option<Rank>,
}

/// Bounds of a place in `list`: it may be before entry number `.0` at the lowest and `.1` at the highest.
fn bounds(list: &[Entry], rank: &Rank, before: Option<&ProgramName>, after: Option<&ProgramName>) -> (usize, usize) {
    // The kernel keeps 15 bytes of a name.
    let named = |entry: &Entry, name: Option<&ProgramName>| {
        entry.rank.is_none()
            && name.is_some_and(|name| {
                let name = name.as_str().as_bytes();
                entry.name.as_bytes() == &name[..name.len().min(KERNEL_OBJ_NAME_BYTES)]
            })
    };
    let ours = |entry: &Entry, lower: bool| entry.rank.as_ref().is_some_and(|other| (other < rank) == lower);
    let low = list.iter().rposition(|entry| ours(entry, true) || named(entry, after)).map_or(0, |at| at + 1);
    let high = list.iter().position(|entry| ours(entry, false) || named(entry, before)).unwrap_or(list.len());
    (low, high)
}

/// Where a new program goes.
pub fn position(
    list: &[Entry],
    rank: &Rank,
    before: Option<&ProgramName>,
    after: Option<&ProgramName>,
) -> Result<Position, Reason> {
    let (low, high) = bounds(list, rank, before, after);
    if low > high {
        let message = format!(
            "program `{}` would have to run before `{}` and after `{}`, which runs later: by priority or by anchor",
            rank.2,
            list[high].name,
            list[low - 1].name
        );
        return Err(Reason { code: Code::Order, message });
    }
    Ok(match (low, list.get(high)) {
        (_, Some(next)) => Position::Before(next.neighbour),
        (0, None) => Position::Last,
        (low, None) => Position::After(list[low - 1].neighbour),
    })
}

/// Whether entry number `at` stands where a new program of this rank would be allowed to.
pub fn stands_well(
    list: &[Entry],
    at: usize,
    rank: &Rank,
    before: Option<&ProgramName>,
    after: Option<&ProgramName>,
) -> bool {
    let mut others = list.to_vec();
    others.remove(at);
    let (low, high) = bounds(&others, rank, before, after);
    low <= at && at <= high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(priority: u16) -> Rank {
        (priority, StreamName::try_from("s").unwrap(), ProgramName::try_from("p").unwrap())
    }

    /// `20` is one of ours with this priority, anything else a program of others.
    fn list(text: &str) -> Vec<Entry> {
        text.split_whitespace()
            .enumerate()
            .map(|(at, word)| Entry {
                neighbour: Neighbour { prog_id: u32::try_from(at).unwrap(), link_id: 0 },
                name: word.to_owned(),
                rank: word.parse().ok().map(rank),
            })
            .collect()
    }

    fn anchor(text: &str) -> Option<ProgramName> {
        ProgramName::try_from(text).ok()
    }

    #[test]
    fn ours_by_priority_others_by_name() {
        let at = |id| Neighbour { prog_id: id, link_id: 0 };
        for (name, there, priority, before, after, want) in [
            ("an empty list", "", 10, "", "", Some(Position::Last)),
            ("others only", "x y", 10, "", "", Some(Position::Last)),
            ("lower runs first", "20 x", 10, "", "", Some(Position::Before(at(0)))),
            ("higher runs last", "x 20 y", 30, "", "", Some(Position::After(at(1)))),
            ("between", "10 x 30", 20, "", "", Some(Position::Before(at(2)))),
            ("before a name", "x y", 10, "y", "", Some(Position::Before(at(1)))),
            ("after a name", "x y", 10, "", "x", Some(Position::After(at(0)))),
            ("an anchor that is not there", "x", 10, "z", "", Some(Position::Last)),
            ("a long name", "cil_from_contai", 10, "cil_from_container", "", Some(Position::Before(at(0)))),
            ("both", "x 20 y", 10, "y", "x", Some(Position::Before(at(1)))),
            ("a contradiction", "20 x", 10, "", "x", None),
        ] {
            let got = position(&list(there), &rank(priority), anchor(before).as_ref(), anchor(after).as_ref());
            assert_eq!(got.as_ref().ok(), want.as_ref(), "case: {name}: {got:?}");
        }
    }

    #[test]
    fn an_update_in_place_only_where_the_place_is_right() {
        for (name, there, at, priority, want) in [
            ("alone", "x", 0, 10, true),
            ("in order", "10 old 30", 1, 20, true),
            ("too late now", "10 old 30", 1, 40, false),
            ("too early now", "10 old 30", 1, 5, false),
        ] {
            assert_eq!(stands_well(&list(there), at, &rank(priority), None, None), want, "case: {name}");
        }
    }
}
