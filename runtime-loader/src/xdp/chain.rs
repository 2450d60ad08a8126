//! Chain: decide what one interface's dispatcher must hold.
//!
//! In: what is attached ([`Observed`]), which of its programs are to go, which of ours are wanted.
//! Out: a [`Step`]: nothing, a new dispatcher, or none at all. Fails with [`Refused`]: somebody else holds the
//! interface in a way that cannot be shared.
//!
//! Pure. Deciding again after the step was done gives [`Step::Nothing`].

use nodeplan::sorted::SortedSet;
use std::cmp::Ordering;

use nodeplan::{limits::DISPATCHER_SLOTS, report::Code, xdp::XdpMode};

use super::config::{F_XDP_HAS_FRAGS, Version};

/// A program in a chain, loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Id of the program.
    pub prog_id: u32,
    /// Full name, from BTF where the kernel's 15 bytes are not all of it: libxdp sorts by it.
    pub name: String,
    /// Digest of the instructions.
    pub tag: [u8; 8],
    /// Nanoseconds since boot.
    pub load_time: u64,
    /// Place in the chain.
    pub priority: u32,
    /// Verdicts after which the chain goes on, with libxdp's bit 31.
    pub mask: u32,
    /// [`F_XDP_HAS_FRAGS`] or 0.
    pub flags: u32,
}

/// A dispatcher that speaks the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Mode it is attached in.
    pub mode: XdpMode,
    /// Id of the dispatcher.
    pub prog_id: u32,
    /// Version of the protocol: whoever replaces it keeps it, because its other users may know no other.
    pub version: Version,
    /// Whether it takes packets of several fragments.
    pub frags: bool,
    /// Its programs, in running order.
    pub members: Vec<Member>,
    /// Whether every program's link is pinned and leads to a slot of this dispatcher. If not, some slots may be empty.
    pub linked: bool,
    /// Id of the dispatcher that it replaced, if it is one of our making and replaced any.
    pub former: Option<u32>,
}

/// What is attached to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing.
    Empty,
    /// A dispatcher to be shared.
    Dispatcher(Attached),
    /// A dispatcher whose pins are gone.
    Lost(Lost),
    /// Something that cannot be shared, and why.
    Held(Refused),
}

/// A dispatcher whose pins are gone, so that nobody knows what its slots were told. Somebody removed libxdp's
/// directory, or its interface was in another network for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Mode it is attached in.
    pub mode: XdpMode,
    /// Id of the dispatcher.
    pub prog_id: u32,
    /// Version of the protocol.
    pub version: Version,
    /// Ids of the programs that still run in it.
    pub runs: Vec<u32>,
    /// Those of them that stay whatever happens and whose plans say what their slots were told.
    pub kept: Vec<Member>,
    /// What to say if some of them are not ours.
    pub refused: Refused,
}

impl Observed {
    /// The dispatcher that is attached: its mode and id.
    pub fn dispatcher(&self) -> Option<(XdpMode, u32)> {
        match self {
            Self::Dispatcher(there) => Some((there.mode, there.prog_id)),
            Self::Lost(there) => Some((there.mode, there.prog_id)),
            Self::Empty | Self::Held(_) => None,
        }
    }

    /// Whether it takes packets of several fragments.
    pub fn takes_frags(&self) -> bool {
        matches!(self, Self::Dispatcher(there) if there.frags)
    }

    /// Ids of the programs that run in it.
    pub fn programs(&self) -> Vec<u32> {
        match self {
            Self::Dispatcher(there) => there.members.iter().map(|member| member.prog_id).collect(),
            Self::Lost(there) => there.runs.clone(),
            Self::Empty | Self::Held(_) => Vec::new(),
        }
    }
}

/// Why a chain cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable code.
    pub code: Code,
    /// Who holds the interface, with id and tag, and what to do.
    pub message: String,
}

/// What is to be done on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it should be.
    Nothing,
    /// Swap in a dispatcher with exactly these programs, in this order.
    Build {
        /// Mode to attach in.
        mode: XdpMode,
        /// Version of the protocol.
        version: Version,
        /// Programs in running order.
        members: Vec<Member>,
    },
    /// Take the dispatcher off.
    Detach,
}

/// libxdp's order of loaded programs: `cmp_xdp_programs`, xdp-tools `lib/libxdp/libxdp.c`.
fn order(a: &Member, b: &Member) -> Ordering {
    (a.priority.cmp(&b.priority))
        .then_with(|| a.name.as_bytes().cmp(b.name.as_bytes()))
        .then_with(|| a.tag.cmp(&b.tag))
        .then_with(|| a.load_time.cmp(&b.load_time))
}

/// Whether a dispatcher of these programs takes packets of several fragments: if all of them do.
pub fn takes_frags(members: &[Member]) -> bool {
    !members.is_empty() && members.iter().all(|member| member.flags & F_XDP_HAS_FRAGS != 0)
}

/// Decides for one interface. `drop` are ids of our programs that are not wanted any more.
pub fn decide(observed: &Observed, drop: &SortedSet<u32>, wanted: &[Member], mode: XdpMode) -> Result<Step, Refused> {
    let attached = match observed {
        Observed::Empty | Observed::Held(_) if wanted.is_empty() => return Ok(Step::Nothing),
        Observed::Held(refused) => return Err(refused.clone()),
        Observed::Empty => return build(wanted.to_vec(), mode, Version::default()),
        Observed::Lost(lost) => return decide_lost(lost, drop, wanted, mode),
        Observed::Dispatcher(attached) => attached,
    };
    let is_wanted = |member: &Member| wanted.iter().any(|wanted| wanted.prog_id == member.prog_id);
    let stays = |member: &&Member| !drop.contains(&member.prog_id) && !is_wanted(member);
    let mut members: Vec<Member> = attached.members.iter().filter(stays).cloned().collect();
    if wanted.is_empty() && members.len() == attached.members.len() {
        return Ok(Step::Nothing);
    }
    if !wanted.is_empty() {
        same_mode(mode, attached.mode, attached.prog_id)?;
    }
    members.extend_from_slice(wanted);
    arrange(&mut members, attached.version);
    if members.is_empty() {
        return Ok(Step::Detach);
    }
    if attached.linked && members == attached.members && takes_frags(&members) == attached.frags {
        return Ok(Step::Nothing);
    }
    build(members, attached.mode, attached.version)
}

/// A dispatcher whose pins are gone is ours to replace if nothing but our programs runs in it.
fn decide_lost(lost: &Lost, drop: &SortedSet<u32>, wanted: &[Member], mode: XdpMode) -> Result<Step, Refused> {
    let members = [wanted, &lost.kept].concat();
    let ours = |id: &u32| drop.contains(id) || members.iter().any(|member| member.prog_id == *id);
    let all = lost.runs.iter().all(ours);
    if wanted.is_empty() {
        return match members.is_empty() {
            _ if !all || !lost.runs.iter().any(|id| drop.contains(id)) => Ok(Step::Nothing),
            true => Ok(Step::Detach),
            false => build(members, lost.mode, lost.version),
        };
    }
    if !all {
        return Err(lost.refused.clone());
    }
    same_mode(mode, lost.mode, lost.prog_id)?;
    build(members, mode, lost.version)
}

fn same_mode(wanted: XdpMode, there: XdpMode, id: u32) -> Result<(), Refused> {
    if wanted == there {
        return Ok(());
    }
    let message = format!(
        "a dispatcher runs there in {} mode (id {id}); the plan wants {}, and the two exclude each other",
        there.as_str(),
        wanted.as_str()
    );
    Err(Refused { code: Code::ModeConflict, message })
}

/// Brings programs into the order and form in which a dispatcher of this version has them.
fn arrange(members: &mut [Member], version: Version) {
    if version == Version::V1 {
        for member in members.iter_mut() {
            member.flags = 0;
        }
    }
    members.sort_unstable_by(order);
}

fn build(mut members: Vec<Member>, mode: XdpMode, version: Version) -> Result<Step, Refused> {
    if members.len() > DISPATCHER_SLOTS {
        return Err(Refused {
            code: Code::TooManyPrograms,
            message: format!(
                "{} XDP programs would run there; a dispatcher has {DISPATCHER_SLOTS} slots",
                members.len()
            ),
        });
    }
    arrange(&mut members, version);
    Ok(Step::Build { mode, version, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(prog_id: u32, name: &str, priority: u32) -> Member {
        Member { prog_id, name: name.to_owned(), tag: [0; 8], load_time: 0, priority, mask: 4, flags: 0 }
    }

    fn owned(members: &[&Member]) -> Vec<Member> {
        members.iter().copied().cloned().collect()
    }

    fn attached(version: Version, members: &[Member]) -> Attached {
        let (members, frags) = (members.to_vec(), takes_frags(members));
        Attached { mode: XdpMode::Native, prog_id: 99, version, frags, members, linked: true, former: None }
    }

    fn dispatcher(members: &[&Member]) -> Observed {
        Observed::Dispatcher(attached(Version::V2, &owned(members)))
    }

    fn run(observed: &Observed, drop: &[u32], wanted: &[&Member]) -> Result<Step, Code> {
        let drop = drop.iter().copied().collect();
        decide(observed, &drop, &owned(wanted), XdpMode::Native).map_err(|refused| refused.code)
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with results")]
    fn built(members: &[&Member]) -> Result<Step, Code> {
        Ok(Step::Build { mode: XdpMode::Native, version: Version::V2, members: owned(members) })
    }

    #[test]
    fn decisions() {
        let (a, b, c) = (member(1, "a", 10), member(2, "b", 20), member(3, "c", 5));
        let held = Observed::Held(Refused { code: Code::HeldByLink, message: String::new() });
        let eleven: Vec<_> = (0..11).map(|n| member(n, "x", n)).collect();
        let eleven: Vec<_> = eleven.iter().collect();
        let changed = Member { priority: 30, ..a.clone() };
        let cases = [
            ("nothing wanted, nothing there", run(&Observed::Empty, &[], &[]), Ok(Step::Nothing)),
            ("first", run(&Observed::Empty, &[], &[&b, &a]), built(&[&a, &b])),
            ("beside others", run(&dispatcher(&[&b]), &[], &[&c]), built(&[&c, &b])),
            ("again", run(&dispatcher(&[&a, &b]), &[], &[&a]), Ok(Step::Nothing)),
            ("new priority", run(&dispatcher(&[&a, &b]), &[], &[&changed]), built(&[&b, &changed])),
            ("replaced", run(&dispatcher(&[&a, &b]), &[1], &[&c]), built(&[&c, &b])),
            ("ours leaves others", run(&dispatcher(&[&a, &b]), &[1], &[]), built(&[&b])),
            ("ours was alone", run(&dispatcher(&[&a]), &[1], &[]), Ok(Step::Detach)),
            ("others only", run(&dispatcher(&[&b]), &[1], &[]), Ok(Step::Nothing)),
            ("held", run(&held, &[], &[&a]), Err(Code::HeldByLink)),
            ("held, nothing wanted", run(&held, &[1], &[]), Ok(Step::Nothing)),
            ("eleven", run(&Observed::Empty, &[], &eleven), Err(Code::TooManyPrograms)),
            ("ten and one", run(&dispatcher(&eleven[..10]), &[], &eleven[10..]), Err(Code::TooManyPrograms)),
        ];
        for (name, got, want) in cases {
            assert_eq!(got, want, "case: {name}");
        }
    }

    #[test]
    fn a_slot_without_link_is_mended() {
        let a = member(1, "a", 10);
        let whole = attached(Version::V2, std::slice::from_ref(&a));
        let broken = Observed::Dispatcher(Attached { linked: false, ..whole });
        assert_eq!(run(&broken, &[], &[&a]), built(&[&a]));
    }

    #[test]
    fn a_dispatcher_keeps_its_version() {
        let a = Member { flags: F_XDP_HAS_FRAGS, ..member(1, "a", 10) };
        let theirs = member(2, "b", 20);
        for version in [Version::V1, Version::V2, Version::V3] {
            let there = Observed::Dispatcher(attached(version, std::slice::from_ref(&theirs)));
            let Ok(Step::Build { version: built, members, .. }) = run(&there, &[], &[&a]) else {
                panic!("{version:?}")
            };
            assert_eq!(built, version);
            assert_eq!(members[0].flags, if version == Version::V1 { 0 } else { F_XDP_HAS_FRAGS });
            let there = Observed::Dispatcher(attached(version, &members));
            assert_eq!(run(&there, &[], &[&a]), Ok(Step::Nothing), "{version:?}, again");
        }
    }

    #[test]
    fn fragments_are_taken_if_all_take_them() {
        let with = |id| Member { flags: F_XDP_HAS_FRAGS, ..member(id, "a", id) };
        assert!(!takes_frags(&[]) && takes_frags(&[with(1), with(2)]) && !takes_frags(&[with(1), member(2, "b", 2)]));
        // libxdp 1.3 takes them away when it adds a program, and does not give them back.
        let there = attached(Version::V2, &[with(1)]);
        assert_eq!(run(&Observed::Dispatcher(there.clone()), &[], &[&with(1)]), Ok(Step::Nothing));
        let without = Observed::Dispatcher(Attached { frags: false, ..there });
        assert_eq!(run(&without, &[], &[&with(1)]), built(&[&with(1)]));
        assert_eq!(run(&without, &[7], &[]), Ok(Step::Nothing), "others only");
    }

    #[test]
    fn a_dispatcher_without_pins_is_replaced_if_all_in_it_is_ours() {
        let a = member(1, "a", 10);
        let refused = Refused { code: Code::HeldByLegacy, message: String::new() };
        let lost = |runs: &[u32]| {
            let (mode, runs, refused) = (XdpMode::Native, runs.to_vec(), refused.clone());
            Observed::Lost(Lost { mode, prog_id: 99, version: Version::V2, runs, kept: Vec::new(), refused })
        };
        let b = member(2, "b", 20);
        let beside_kept = |runs: &[u32]| match lost(runs) {
            Observed::Lost(there) => Observed::Lost(Lost { kept: vec![b.clone()], ..there }),
            other => other,
        };
        for (name, got, want) in [
            ("ours", run(&lost(&[1]), &[1], &[&a]), built(&[&a])),
            ("an old version of ours", run(&lost(&[7]), &[7, 1], &[&a]), built(&[&a])),
            ("nothing runs in it", run(&lost(&[]), &[], &[&a]), built(&[&a])),
            ("beside others", run(&lost(&[1, 8]), &[1], &[&a]), Err(Code::HeldByLegacy)),
            ("ours is to go", run(&lost(&[1]), &[1], &[]), Ok(Step::Detach)),
            ("others only", run(&lost(&[8]), &[1], &[]), Ok(Step::Nothing)),
            ("beside what stays", run(&beside_kept(&[1, 2]), &[1], &[&a]), built(&[&a, &b])),
            ("ours goes from beside what stays", run(&beside_kept(&[1, 2]), &[1], &[]), built(&[&b])),
            ("nothing but what stays", run(&beside_kept(&[2]), &[1], &[]), Ok(Step::Nothing)),
            ("beside what stays and others", run(&beside_kept(&[2, 8]), &[], &[&a]), Err(Code::HeldByLegacy)),
            ("nothing runs in it, nothing wanted", run(&lost(&[]), &[1], &[]), Ok(Step::Nothing)),
        ] {
            assert_eq!(got, want, "case: {name}");
        }
        let other = decide(&lost(&[]), &SortedSet::new(), &[a], XdpMode::Skb).unwrap_err();
        assert_eq!(other.code, Code::ModeConflict);
    }

    #[test]
    fn the_other_mode_is_refused_only_where_something_is_wanted() {
        let a = member(1, "a", 10);
        let there = dispatcher(&[&member(2, "b", 20)]);
        let refused = decide(&there, &SortedSet::new(), &[a], XdpMode::Skb).unwrap_err();
        assert_eq!(refused.code, Code::ModeConflict);
        assert_eq!(decide(&there, &SortedSet::new(), &[], XdpMode::Skb), Ok(Step::Nothing));
    }

    #[test]
    fn order_is_libxdps_whatever_the_input_order() {
        let mut all = vec![member(1, "b", 10), member(2, "a", 10), member(3, "z", 1)];
        all.push(Member { tag: [1; 8], ..member(4, "a", 10) });
        all.push(Member { load_time: 7, ..member(5, "a", 10) });
        for rotation in 0..all.len() {
            all.rotate_left(1);
            let Ok(Step::Build { members, .. }) = run(&Observed::Empty, &[], &all.iter().collect::<Vec<_>>()) else {
                panic!("{rotation}")
            };
            let ids: Vec<_> = members.iter().map(|member| member.prog_id).collect();
            assert_eq!(ids, [3, 2, 5, 4, 1]);
        }
    }
}
