//! Times of journal lines: which of two lines is newer.
//!
//! In:   words of a line. Out: [`Time`], [`Stamp`]. Cannot fail: a time that cannot be read is none.

use std::cmp::Ordering;

use nodeplan::time::Timestamp;

/// When a line was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Microseconds since 1970, UTC.
    Full(u64),
    /// Microseconds since the start of some year, in the node's time zone: `journalctl -o short`.
    Yearless(u64),
}

/// A place in a sequence that no clock has a part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which sequence: the id of a journal, or of a boot.
    pub of: String,
    /// Where in it.
    pub at: u64,
}

/// All that a line says of when it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// By the node's clock.
    pub time: Option<Time>,
    /// By the journal: `__SEQNUM`, of systemd 254 and later.
    pub number: Option<Place>,
    /// By the time since boot: `__MONOTONIC_TIMESTAMP`.
    pub uptime: Option<Place>,
}

impl Stamp {
    /// How a line stands to another one of the same node, as far as that does not depend on the clock.
    pub fn surely(&self, other: &Self) -> Option<Ordering> {
        let compare = |one: &Option<Place>, other: &Option<Place>| {
            let (one, other) = (one.as_ref()?, other.as_ref()?);
            (one.of == other.of).then(|| one.at.cmp(&other.at))
        };
        compare(&self.number, &other.number).or_else(|| compare(&self.uptime, &other.uptime))
    }

    /// The same by the clock. Times of two kinds cannot be compared.
    pub fn by_clock(&self, other: &Self) -> Option<Ordering> {
        match (self.time, other.time) {
            (Some(Time::Full(_)), Some(Time::Full(_))) | (Some(Time::Yearless(_)), Some(Time::Yearless(_))) => {
                Some(match (is_older(self.time, other.time), is_older(other.time, self.time)) {
                    (true, _) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    (false, false) => Ordering::Equal,
                })
            }
            _ => None,
        }
    }

    /// Whether a line that comes later in the input, from another file, is older all the same.
    pub fn is_older(&self, other: &Self) -> bool {
        self.surely(other).or_else(|| self.by_clock(other)) == Some(Ordering::Less)
    }
}

impl Time {
    /// Seconds since 1970. A time without a year is of the last one in which it was not in the future: a day off is a clock
    /// or a zone, and no year.
    pub fn seconds(self, now: Timestamp) -> Option<u64> {
        let micros = match self {
            Self::Full(micros) => return Some(micros / SECOND),
            Self::Yearless(micros) => micros,
        };
        let (days, second) = (micros / DAY, micros % DAY / SECOND);
        let year: u64 = now.to_string().get(..4)?.parse().ok()?;
        let of = |year: u64| {
            let midnight = format!("{year:04}-{:02}-{:02}T00:00:00Z", days / 31 + 1, days % 31 + 1);
            Some(Timestamp::try_from(midnight).ok()?.unix_seconds() + second)
        };
        // Eight, for 29 February.
        let years = (year.saturating_sub(8)..=year + 1).rev();
        years.filter_map(of).find(|seconds| *seconds <= now.unix_seconds() + DAY / SECOND)
    }

    /// As the line has it, to the second.
    pub fn text(self) -> String {
        match self {
            Self::Full(micros) => Timestamp::from_unix_seconds(micros / SECOND).to_string(),
            Self::Yearless(micros) => {
                let (days, second) = (micros / DAY, micros % DAY / SECOND);
                let month = usize::try_from(days / 31).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"-");
                let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                format!("{month} {:>2} {hour:02}:{minute:02}:{second:02}", days % 31 + 1)
            }
        }
    }
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// Days of a year as months are counted here: 31 each, so that every date has a place and order is kept.
const YEAR: u64 = 12 * 31 * DAY;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Whether a line of time `new` that comes after one of time `old` is older all the same. Times of two kinds cannot be
/// compared: then the later line counts.
pub fn is_older(new: Option<Time>, old: Option<Time>) -> bool {
    match (new, old) {
        (Some(Time::Full(new)), Some(Time::Full(old))) => new < old,
        // December before January: of two dates the nearer way around the year counts.
        (Some(Time::Yearless(new)), Some(Time::Yearless(old))) => {
            let ahead = (new + YEAR - old) % YEAR;
            ahead > YEAR / 2
        }
        _ => false,
    }
}

/// Reads the time that `words` begin with, and says how many words it takes.
///
/// Forms of journalctl(1): `short`, `short-precise`, `short-iso`, `short-iso-precise`, `short-full`, `short-unix`.
pub fn read(words: &[&str]) -> Option<(Time, usize)> {
    let word = |at: usize| words.get(at).copied().unwrap_or_default();
    if let Some(month) = MONTHS.iter().position(|name| *name == word(0)) {
        let (day, time) = (number(word(1), 31)?, of_day(word(2))?);
        return Some((Time::Yearless((month as u64 * 31 + day.checked_sub(1)?) * DAY + time), 3));
    }
    if WEEKDAYS.contains(&word(0)) {
        let time = date(word(1))? + of_day(word(2))?;
        // UTC, or the name of a zone whose distance is not known: nodes of OpenShift run in UTC.
        return Some((Time::Full(time), 4));
    }
    if let Some((day, rest)) = word(0).split_once('T') {
        let at = rest.find(['+', '-', 'Z']).unwrap_or(rest.len());
        let (time, zone) = rest.split_at(at);
        let time = (date(day)? + of_day(time)?).checked_add_signed(-offset(zone)?)?;
        return Some((Time::Full(time), 1));
    }
    let (seconds, fraction) = word(0).split_once('.')?;
    let plausible = (9..=11).contains(&seconds.len());
    plausible.then_some(())?;
    Some((Time::Full(number(seconds, u64::MAX / SECOND / 2)? * SECOND + micros(fraction)?), 1))
}

/// Microseconds of `__REALTIME_TIMESTAMP`.
pub fn realtime(text: &str) -> Option<Time> {
    number(text, u64::MAX / 2).map(Time::Full)
}

fn number(text: &str, max: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|number| *number <= max)
}

/// `10:00:00` or `10:00:00.123456`, or with a comma.
fn of_day(text: &str) -> Option<u64> {
    let (time, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let mut parts = time.split(':');
    let mut next = |max| number(parts.next()?, max);
    let seconds = next(23)? * 3600 + next(59)? * 60 + next(60)?;
    parts.next().is_none().then_some(seconds * SECOND + micros(fraction)?)
}

/// The first six digits after the point.
fn micros(fraction: &str) -> Option<u64> {
    let digits = fraction.get(..fraction.len().min(6))?;
    let scale = 10u64.pow(u32::try_from(6 - digits.len()).ok()?);
    Some(number(digits, 999_999)? * scale)
}

/// `2026-11-22`.
fn date(text: &str) -> Option<u64> {
    let midnight = nodeplan::time::Timestamp::try_from(format!("{text}T00:00:00Z")).ok()?;
    midnight.unix_seconds().checked_mul(SECOND)
}

/// `+0000`, `+01:00`, `Z` or nothing.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        None | Some(b'Z') => return Some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let digits: String = zone.get(1..)?.chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (number(digits.get(..2)?, 23)?, number(digits.get(2..)?, 59)?);
    let micros = (hours * 3600 + minutes * 60) * SECOND;
    Some(sign * i64::try_from(micros).ok()?)
}
