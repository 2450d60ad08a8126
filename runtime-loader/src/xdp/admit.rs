//! Admit: which streams have room on the interfaces that they share. Pure.
//!
//! In: what others have of each interface ([`Room`]), what each stream wants there ([`Claim`]). Out: the first claim
//! without room, and why; nobody if all have it. Asked again without that claim, until all have room.
//!
//! Who has no room is a function of the set: closed streams come first, then the one whose XDP programs run first,
//! then by name. What ran first does not count: it would be forgotten at the next boot.

use nodeplan::{limits::DISPATCHER_SLOTS, name::StreamName, report::Code, xdp::XdpMode};

use super::chain::Refused;

/// An interface before anything of ours is on it.
#[derive(Debug)]
pub struct Room<'a> {
    /// Its name.
    pub interface: &'a str,
    /// Slots that are taken: by others, and by streams that this run leaves alone.
    pub taken: usize,
    /// The mode in which a dispatcher is attached. No swap changes it.
    pub mode: Option<XdpMode>,
}

/// What a stream wants.
#[derive(Debug)]
pub struct Claim<'a> {
    /// Whether it is not `failurePolicy: closed`.
    pub open: bool,
    /// Priority of its program that runs first.
    pub priority: u16,
    /// Its name.
    pub stream: &'a StreamName,
    /// For each of its programs: number of the room, and mode.
    pub wants: Vec<(usize, XdpMode)>,
}

/// The first stream without room.
pub fn refused<'a>(rooms: &mut [Room<'_>], claims: &mut [Claim<'a>]) -> Option<(&'a StreamName, Refused)> {
    claims.sort_unstable_by(|a, b| (a.open, a.priority, a.stream).cmp(&(b.open, b.priority, b.stream)));
    for claim in &*claims {
        for (at, mode) in &claim.wants {
            let Room { interface, taken, mode: runs } = &mut rooms[*at];
            let refused = |code, message| Some((claim.stream, Refused { code, message }));
            let there = *runs.get_or_insert(*mode);
            if there != *mode {
                let (there, wanted) = (there.as_str(), mode.as_str());
                let message = format!("`{interface}` runs XDP in {there} mode; {wanted} excludes it");
                return refused(Code::ModeConflict, message);
            }
            *taken += 1;
            if *taken > DISPATCHER_SLOTS {
                let message = format!(
                    "{taken} XDP programs would run on `{interface}`; a dispatcher has {DISPATCHER_SLOTS} slots, and \
                     others have them by failurePolicy, priority or name"
                );
                return refused(Code::TooManyPrograms, message);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NATIVE: XdpMode = XdpMode::Native;

    /// Who stays, asked until nobody is refused, for claims in this order: name, closed, priority, interfaces.
    fn stay(taken: [usize; 2], claims: &[(&str, bool, u16, &[usize])]) -> Vec<String> {
        let names: Vec<StreamName> = claims.iter().map(|one| StreamName::try_from(one.0).unwrap()).collect();
        let mut out: Vec<&StreamName> = Vec::new();
        loop {
            let mut rooms = taken.map(|taken| Room { interface: "eth0", taken, mode: None });
            let there = claims.iter().zip(&names).filter(|(_, name)| !out.contains(name));
            let mut claims: Vec<Claim<'_>> = there
                .map(|((_, closed, priority, on), stream)| Claim {
                    open: !closed,
                    priority: *priority,
                    stream,
                    wants: on.iter().map(|at| (*at, NATIVE)).collect(),
                })
                .collect();
            match refused(&mut rooms, &mut claims) {
                Some((name, refused)) => {
                    assert_eq!(refused.code, Code::TooManyPrograms);
                    out.push(name);
                }
                None => break,
            }
        }
        let mut stay: Vec<_> = names.iter().filter(|name| !out.contains(name)).map(ToString::to_string).collect();
        stay.sort_unstable();
        stay
    }

    /// A name, what others have, the claims, who stays.
    type Case<'a> = (&'a str, [usize; 2], &'a [(&'a str, bool, u16, &'a [usize])], &'a [&'a str]);

    #[test]
    fn whoever_came_first_the_same_ones_stay() {
        let cases: &[Case<'_>] = &[
            (
                "all fit",
                [7, 0],
                &[("a", false, 1, &[0]), ("b", false, 2, &[0]), ("c", false, 3, &[0])],
                &["a", "b", "c"],
            ),
            ("priority", [9, 0], &[("a", false, 20, &[0]), ("b", false, 10, &[0])], &["b"]),
            ("name", [9, 0], &[("b", false, 10, &[0]), ("a", false, 10, &[0])], &["a"]),
            ("closed before priority", [9, 0], &[("a", false, 10, &[0]), ("b", true, 20, &[0])], &["b"]),
            ("one that cannot fit makes room", [9, 0], &[("a", false, 1, &[0, 0]), ("b", false, 2, &[0])], &["b"]),
            // `b` has no room on the second interface: what it wanted of the first is free for `c`.
            (
                "all or nothing",
                [8, 9],
                &[("a", false, 1, &[0, 1]), ("b", false, 2, &[0, 1]), ("c", false, 3, &[0])],
                &["a", "c"],
            ),
            ("full of others", [10, 0], &[("a", true, 1, &[0]), ("b", false, 2, &[1])], &["b"]),
        ];
        for (case, taken, claims, want) in cases {
            let mut claims = claims.to_vec();
            for _ in 0..claims.len() {
                claims.rotate_left(1);
                assert_eq!(stay(*taken, &claims), *want, "case: {case}");
            }
        }
    }

    #[test]
    fn a_mode_is_the_attached_one_or_that_of_the_first() {
        let names = ["a", "b"].map(|name| StreamName::try_from(name).unwrap());
        for (attached, loser) in [(None, "b"), (Some(XdpMode::Skb), "a"), (Some(NATIVE), "b")] {
            let mut rooms = [Room { interface: "eth0", taken: 0, mode: attached }];
            let claim = |at: usize, mode| Claim { open: true, priority: 1, stream: &names[at], wants: vec![(0, mode)] };
            let mut claims = [claim(1, XdpMode::Skb), claim(0, NATIVE)];
            let (name, refused) = refused(&mut rooms, &mut claims).unwrap();
            assert_eq!((name.as_str(), refused.code), (loser, Code::ModeConflict), "{attached:?}");
        }
    }
}
