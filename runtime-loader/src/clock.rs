//! Clock: the time that a node can be certain of.
//!
//! In: the kernel's clock, whether anybody has set it, and the latest time that the node remembers. Out: a lower bound
//! of the time. Nothing can fail: without a clock that counts, the bound is what is remembered, or 1970.
//!
//! A clock that nobody has set may be years behind (no battery) or years ahead (a wrong one). So until it is
//! synchronised, a stream has expired only if that is certain, and is neither ended nor withheld because of a clock
//! that jumped. What passes while the node runs counts: the kernel's count of seconds since boot needs no setting.

use std::time::SystemTime;

use nodeplan::{
    memory::Mark,
    name::StreamName,
    report::{Code, Reason},
    sorted::SortedMap,
    time::Timestamp,
};

use crate::{
    stream::{Goal, Stream},
    verify::Node,
};

/// Seconds that the remembered time may be behind before it is written anew: a run that changes nothing writes nothing.
const STALE_SECONDS: u64 = 3600;

/// The maximum error, in microseconds, from which the kernel's clock counts as not synchronised: 16 s, the bound that
/// systemd's timedated takes (`NTPSynchronized`) and that the kernel sets without corrections (`NTP_PHASE_LIMIT`). Not
/// `STA_UNSYNC`: chronyd without `rtcsync` leaves it set.
const MAX_ERROR_MICROSECONDS: libc::c_long = 16_000_000;

/// What the clocks show at one moment.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The clock.
    pub clock: Timestamp,
    /// Whether somebody keeps it right.
    pub synchronised: bool,
    /// This boot.
    pub boot: String,
    /// Seconds since it.
    pub uptime: u64,
}

impl Reading {
    /// Looks at the clocks. A clock before 1970 counts as 1970.
    pub fn take() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let uptime = text("/proc/uptime");
        let uptime = uptime.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
        Self {
            clock: Timestamp::from_unix_seconds(since.as_secs()),
            synchronised: synchronised(),
            boot: text("/proc/sys/kernel/random/boot_id").trim().to_owned(),
            uptime,
        }
    }

    /// The time that is certain: the clock's if it is synchronised, else what is remembered and has passed since.
    pub fn certain(&self, mark: Option<&Mark>) -> Timestamp {
        match mark {
            _ if self.synchronised => self.clock,
            Some(mark) if mark.boot == self.boot => {
                let passed = self.uptime.saturating_sub(mark.uptime);
                Timestamp::from_unix_seconds(mark.time.unix_seconds().saturating_add(passed))
            }
            Some(mark) => mark.time,
            None => Timestamp::from_unix_seconds(0),
        }
    }

    /// What to remember instead of `mark`; `None` if that is still good.
    pub fn mark(&self, mark: Option<&Mark>) -> Option<Mark> {
        let time = self.certain(mark);
        let stale = |mark: &Mark| {
            mark.boot != self.boot || mark.time.unix_seconds().abs_diff(time.unix_seconds()) > STALE_SECONDS
        };
        let nothing = mark.is_none() && !self.synchronised;
        (!nothing && mark.is_none_or(stale)).then(|| Mark { time, boot: self.boot.clone(), uptime: self.uptime })
    }
}

/// What to say of streams that run, and have expired by a clock that nobody has set.
pub fn doubt(node: &Node, streams: &SortedMap<StreamName, Stream>) -> Option<Reason> {
    let clock = node.unverified?;
    let (name, _) = streams.iter().find(|(_, stream)| {
        let expires = stream.shown.as_ref().and_then(|(_, plan)| plan.expires);
        matches!(stream.goal, Goal::Load(_) | Goal::Run(_)) && expires.is_some_and(|expires| clock > expires)
    })?;
    let message = format!(
        "it is {clock} by a clock that is not synchronised, and stream `{name}` would have expired; it runs until that is \
         certain"
    );
    Some(Reason { code: Code::ClockUnverified, message })
}

/// Whether something keeps the kernel's clock right: chronyd, ntpd, phc2sys.
#[expect(unsafe_code, reason = "adjtimex(2)")]
fn synchronised() -> bool {
    // SAFETY: `timex` is plain data, for which zeros are a value; mode 0 only reads.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole `timex` of ours.
    let answer = unsafe { libc::adjtimex(&raw mut timex) };
    answer >= 0 && timex.maxerror < MAX_ERROR_MICROSECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(clock: u64, synchronised: bool, boot: &str, uptime: u64) -> Reading {
        Reading { clock: Timestamp::from_unix_seconds(clock), synchronised, boot: boot.to_owned(), uptime }
    }

    fn mark(time: u64, boot: &str, uptime: u64) -> Mark {
        Mark { time: Timestamp::from_unix_seconds(time), boot: boot.to_owned(), uptime }
    }

    #[test]
    fn only_a_synchronised_clock_is_believed() {
        let known = mark(1000, "a", 50);
        for (name, reading, mark, want) in [
            ("synchronised", reading(5000, true, "b", 9), Some(&known), 5000),
            ("synchronised, and what was remembered was ahead", reading(10, true, "b", 9), Some(&known), 10),
            ("years ahead", reading(9_999_999, false, "b", 9), Some(&known), 1000),
            ("back in 1970", reading(3, false, "b", 9), Some(&known), 1000),
            ("the same boot: time passes", reading(3, false, "a", 80), Some(&known), 1030),
            ("nothing known", reading(9_999_999, false, "b", 9), None, 0),
        ] {
            assert_eq!(reading.certain(mark).unix_seconds(), want, "case: {name}");
        }
    }

    #[test]
    fn time_is_remembered_now_and_then() {
        let known = mark(1000, "a", 50);
        for (name, reading, mark, want) in [
            ("first", reading(5000, true, "a", 60), None, Some(5000)),
            ("a minute later", reading(1060, true, "a", 110), Some(&known), None),
            ("two hours later", reading(8200, true, "a", 7250), Some(&known), Some(8200)),
            ("set back", reading(1000, true, "a", 7250), Some(&mark(9999, "a", 50)), Some(1000)),
            ("another boot", reading(3, false, "b", 5), Some(&known), Some(1000)),
            ("nothing certain", reading(9_999_999, false, "a", 60), None, None),
        ] {
            assert_eq!(reading.mark(mark).map(|mark| mark.time.unix_seconds()), want, "case: {name}");
        }
    }

    #[test]
    fn the_clocks_can_be_read() {
        let reading = Reading::take();
        assert!(reading.clock.unix_seconds() > 1_700_000_000 && !reading.boot.is_empty(), "{reading:?}");
    }
}
