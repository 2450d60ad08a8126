//! Places in a chain, and the bands of them that owners hold.

use std::fmt;

use serde::Serialize;

use crate::json;
use crate::limits::PRIORITY_MAX;

/// Place of a program in the chain on one interface. Lower runs earlier.
///
/// Range 0..=1000, as in bpfman; libxdp gives hand-loaded programs 50.
/// Unit: none (rank only; distances carry no meaning).
///
/// No `Ord`: with "lower runs first", `a > b` reads both ways. Use [`Priority::runs_before`].
///
/// Source: xdp-tools `lib/libxdp/protocol.org`, "Populating the dispatcher configuration map".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "u16")]
pub struct Priority(u16);

/// A number outside the range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a priority must be from 0 to {PRIORITY_MAX}, not {0}")]
pub struct PriorityError(i64);

impl Priority {
    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }

    /// Whether this one runs before `other`; neither does if they are equal.
    pub fn runs_before(self, other: Self) -> bool {
        self.0 < other.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityError;

    fn try_from(number: i64) -> Result<Self, PriorityError> {
        match u16::try_from(number) {
            Ok(small) if small <= PRIORITY_MAX => Ok(Self(small)),
            _ => Err(PriorityError(number)),
        }
    }
}

impl From<Priority> for u16 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A closed range of priorities that belongs to an owner. Written `[first, last]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "[Priority; 2]")]
pub struct Band {
    first: Priority,
    last: Priority,
}

/// A band whose end lies before its start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a band must rise, but [{0}, {1}] does not")]
pub struct BandError(Priority, Priority);

impl Band {
    /// Whether `priority` lies in the band, ends included.
    pub fn contains(self, priority: Priority) -> bool {
        (self.first.0..=self.last.0).contains(&priority.0)
    }
}

impl TryFrom<[Priority; 2]> for Band {
    type Error = BandError;

    fn try_from([first, last]: [Priority; 2]) -> Result<Self, BandError> {
        if last.runs_before(first) { Err(BandError(first, last)) } else { Ok(Self { first, last }) }
    }
}

impl From<Band> for [Priority; 2] {
    fn from(band: Band) -> Self {
        [band.first, band.last]
    }
}

impl fmt::Display for Band {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

json::decode_number!(Priority);

impl json::Decode for Band {
    fn read(value: &json::Value, problem: &mut json::Problem) -> Option<Self> {
        if let [first, last] = problem.list(value)? {
            let ends = [Priority::read(first, problem)?, Priority::read(last, problem)?];
            Self::try_from(ends).map_err(|error| problem.value_refused(&error)).ok()
        } else {
            problem.say(format_args!("a band has two ends"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_have_a_range() {
        for bad in [-1, 1001, i64::MAX, i64::MIN] {
            assert_eq!(Priority::try_from(bad), Err(PriorityError(bad)));
        }
        assert_eq!(Priority::try_from(0).unwrap().get(), 0);
        assert_eq!(Priority::try_from(1000).unwrap().get(), 1000);
    }

    #[test]
    fn a_band_includes_both_ends_and_rises() {
        let band: Band = json::parse(b"[500, 599]", 99).unwrap();
        for (priority, want) in [(499, false), (500, true), (599, true), (600, false)] {
            assert_eq!(band.contains(Priority::try_from(priority).unwrap()), want, "case: {priority}");
        }
        assert!(json::parse::<Band>(b"[5, 4]", 99).is_err());
    }
}
