//! What a node remembers, over updates, reverts, failures, moves and reboots.

use std::{fs, os::unix::fs::PermissionsExt};

use nodeplan::{
    digest::Sha256Digest,
    limits,
    plan::{FormatVersion, NodePlan},
    report::{Code, Exit, StreamState},
    sorted::SortedMap,
    statement,
    time::Timestamp,
    trust::{TrustDocument, encode_chain},
};

use super::node::{self, ATTACHED, Key, Node, document, signed, with_floor};

const UNREAD: Option<(StreamState, Option<Code>)> = Some((StreamState::Refused, Some(Code::MemoryUnread)));

/// Runs, reboots and runs again: the stream must be attached with this revision both times.
fn attaches(node: &mut Node, name: &str, revision: u32) {
    for reboot in [false, true] {
        if reboot {
            node.reboot();
        }
        let run = node.run();
        assert_eq!(run.of("netops-a"), ATTACHED, "case {name}, reboot {reboot}: {}", run.why("netops-a"));
        assert_eq!(node.runs("netops-a"), Some(revision), "case {name}, reboot {reboot}");
    }
}

#[test]
fn what_is_taken_back_attaches_again() {
    // A revert in Git, down to the floor.
    let mut node = Node::trusting();
    for revision in 2..=4 {
        node.ship(&with_floor(revision, 2));
        attaches(&mut node, "update", revision);
    }
    node.ship(&with_floor(2, 2));
    attaches(&mut node, "git revert", 2);

    // A canary that is aborted: the node goes back to its pool's files, trust file included.
    let root = Key::new(1);
    let first = || signed(&document(1, &[&root]), &[&root]);
    let mut node = Node::new();
    node.deliver(&[first()]);
    node.ship(&with_floor(1, 1));
    attaches(&mut node, "before the canary", 1);
    node.deliver(&[first(), signed(&document(2, &[&root]), &[&root])]);
    node.ship(&with_floor(2, 1));
    attaches(&mut node, "canary", 2);
    node.deliver(&[first()]);
    node.ship(&with_floor(1, 1));
    attaches(&mut node, "canary aborted", 1);

    // A node that is moved to a pool without the stream, and back.
    let mut node = Node::trusting();
    node.ship(&with_floor(3, 2));
    attaches(&mut node, "first pool", 3);
    node.remove("netops-a");
    assert_eq!(node.run().of("netops-a"), Some((StreamState::Removed, None)));
    node.reboot();
    assert_eq!(node.run().of("netops-a"), None);
    node.ship(&with_floor(2, 2));
    attaches(&mut node, "moved back", 2);
}

/// An update of two streams of which one fails: the MCD takes the files of both back. The floor of the one that was
/// attached must not have been learned, or it would be lost by somebody else's failure.
#[test]
fn files_that_the_mcd_takes_back_attach_again() {
    let mut node = Node::trusting();
    node.ship(&with_floor(1, 1));
    node.ship(&node::plan("netops-b", "netops", 1));
    attaches(&mut node, "before", 1);
    node.ship(&with_floor(2, 2));
    node.ship(&node::plan("netops-b", "netops", 2));
    node.failing = vec!["netops-b"];
    let run = node.run();
    assert_eq!((run.of("netops-a"), run.exit), (ATTACHED, Exit::Failed));
    assert_eq!(node.runs("netops-b"), Some(1), "the failed one runs as before");
    node.failing.clear();
    node.ship(&with_floor(1, 1));
    node.ship(&node::plan("netops-b", "netops", 1));
    attaches(&mut node, "taken back", 1);

    // A timer runs the same files again and again before they are taken back: as long as one fails, nothing is learned.
    node.ship(&with_floor(2, 2));
    node.ship(&node::plan("netops-b", "netops", 2));
    node.failing = vec!["netops-b"];
    for _ in 0..3 {
        assert_eq!(node.run().exit, Exit::Failed);
    }
    node.ship(&with_floor(1, 1));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    assert_eq!(node.runs("netops-a"), Some(1));

    // Nobody takes them back, and what failed is mended: now it stays.
    node.ship(&with_floor(2, 2));
    node.failing.clear();
    assert_eq!(node.run().exit, Exit::Done);
    node.ship(&with_floor(1, 1));
    let run = node.run();
    assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(Code::BelowFloor))));
}

#[test]
fn floors_are_learned_by_complete_attachment_only() {
    let mut node = Node::trusting();
    node.ship(&with_floor(1, 1));
    attaches(&mut node, "first", 1);
    node.failing = vec!["netops-a"];
    node.ship(&with_floor(5, 5));
    assert_eq!(node.run().exit, Exit::Failed);
    assert_eq!(node.runs("netops-a"), Some(1), "the old revision runs on");
    node.ship(&with_floor(2, 1));
    node.failing.clear();
    attaches(&mut node, "after a failure", 2);
}

#[test]
fn a_lost_or_damaged_memory_is_reported_and_begun_anew() {
    for (name, bytes) in [("torn", &b"{\"memoryVersion\":\"1.0\",\"flo"[..]), ("empty", b""), ("zeros", &[0; 64])] {
        let mut node = Node::trusting();
        node.ship(&with_floor(3, 3));
        node.run();
        node.put("var/lib/nodebpf/memory.json", bytes);
        let run = node.run();
        assert_eq!((run.problems(), run.of("netops-a")), (vec![Code::MemoryDamaged], ATTACHED), "case: {name}");
        assert_eq!(run.exit, Exit::Done, "case: {name}");
        // What runs teaches it again.
        node.ship(&with_floor(2, 2));
        let run = node.run();
        assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(Code::BelowFloor))), "case: {name}");
    }
}

/// Beside what the same runs wrote a memory is there from the first run on, so that one that is gone is told.
#[test]
fn a_memory_that_is_gone_is_reported() {
    let mut node = Node::trusting();
    let file = node.path("var/lib/nodebpf/memory.json");
    for _ in 0..2 {
        assert_eq!(node.run().problems(), []);
        assert!(file.exists());
    }
    for beside in ["trust.json", "accepted.json"] {
        node.ship(&node::plan("netops-a", "netops", 1));
        node.run();
        for other in ["trust.json", "accepted.json", "memory.json"] {
            if other != beside {
                fs::remove_file(node.path("var/lib/nodebpf").join(other)).unwrap();
            }
        }
        assert_eq!(node.run().problems(), [Code::MemoryDamaged], "beside {beside}");
        assert_eq!(node.run().problems(), [], "beside {beside}");
    }
}

/// Nothing is refused for want of it; what is forbidden now only counts as new.
#[test]
fn statements_that_are_lost_are_reported_and_learned_anew() {
    let file = "var/lib/nodebpf/accepted.json";
    for (name, bytes, mode) in [("torn", &b"{\"netops-a\":\"7d"[..], 0o644), ("for all", b"{}", 0o666)] {
        let mut node = Node::trusting();
        node.ship(&with_floor(3, 3));
        node.run();
        let written = fs::read(node.path(file)).unwrap();
        node.put(file, bytes);
        fs::set_permissions(node.path(file), fs::Permissions::from_mode(mode)).unwrap();
        let run = node.run();
        assert_eq!((run.problems(), run.of("netops-a")), (vec![Code::MemoryDamaged], ATTACHED), "case: {name}");
        assert_eq!(run.exit, Exit::Done, "case: {name}");
        assert_eq!(fs::read(node.path(file)).unwrap(), written, "case: {name}");
        assert_eq!(fs::read(node.path("var/lib/nodebpf/accepted.damaged")).unwrap(), bytes, "case: {name}");
        assert!(node.run().problems().is_empty(), "case: {name}");
    }
}

#[test]
fn a_newer_loaders_memory_is_left_alone() {
    let mut node = Node::trusting();
    let newer = br#"{"memoryVersion":"1.1","floors":{"netops-a":9},"owners":{},"more":1}"#;
    node.put("var/lib/nodebpf/memory.json", newer);
    node.ship(&with_floor(3, 3));
    let run = node.run();
    assert_eq!((run.problems(), run.of("netops-a"), run.exit), (vec![Code::MemoryUnread], UNREAD, Exit::Refused));
    assert_eq!(fs::read(node.path("var/lib/nodebpf/memory.json")).unwrap(), newer);
}

/// A loader downgrade: the pin has a format that the older loader does not read.
#[test]
fn a_newer_loaders_pin_is_left_alone_and_nothing_new_is_accepted() {
    let root = Key::new(1);
    let mut newer = document(2, &[&root]);
    newer.format = FormatVersion { major: 1, minor: 9 };
    let mut node = Node::trusting();
    node.ship(&node::plan("netops-a", "netops", 1));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    let pin = encode_chain(vec![signed(&document(1, &[&root]), &[&root]), signed(&newer, &[&root])]);
    node.put("var/lib/nodebpf/trust.json", &pin);
    node.ship(&node::plan("netops-a", "netops", 2));
    node.ship(&node::plan("netops-b", "netops", 1));
    for _ in 0..2 {
        let run = node.run();
        assert_eq!((run.version(), run.problems(), run.exit), (None, vec![Code::MemoryUnread], Exit::Refused));
        assert_eq!((run.of("netops-a"), run.of("netops-b")), (UNREAD, UNREAD));
        assert_eq!((node.runs("netops-a"), node.runs("netops-b")), (Some(1), None), "what runs stays");
        assert_eq!(fs::read(node.path("var/lib/nodebpf/trust.json")).unwrap(), pin);
        assert!(!node.path("var/lib/nodebpf/trust.damaged").exists());
    }
}

/// The memory of a run is not freed, so what all bundles may take of it is bounded. What nobody has signed does not count.
#[test]
fn bundles_are_bounded_together() {
    let object = vec![7; limits::OBJECT_MAX_BYTES];
    let digest = Sha256Digest::of(&object);
    let large = |stream: &str, key| {
        let statement = statement::encode(&node::plan(stream, "netops", 1));
        let statement = String::from_utf8(statement).unwrap();
        let statement = statement.replace(&Sha256Digest::of(node::OBJECT).to_string(), &digest.to_string());
        let mut parts = node::parts_of(statement.into_bytes(), &[&Key::new(key)]);
        parts.objects = SortedMap::from([(digest, object.clone())]);
        parts
    };
    let mut node = Node::trusting();
    for number in 0..20 {
        node.ship_parts(&format!("a-{number:02}"), &large(&format!("a-{number:02}"), 77));
    }
    for number in 0..17 {
        node.ship_parts(&format!("netops-{number:02}"), &large(&format!("netops-{number:02}"), node::NETOPS));
    }
    // A genuine one under other names is not believed, either.
    for number in 0..4 {
        node.ship_parts(&format!("b-{number:02}"), &large("netops-00", node::NETOPS));
    }
    node.ship(&node::plan("netops-small", "netops", 1));
    let run = node.run();
    assert_eq!(run.of("b-00"), Some((StreamState::Refused, Some(Code::FileName))));
    assert_eq!(run.of("a-00"), Some((StreamState::Refused, Some(Code::Signature))));
    for number in 0..17 {
        let stream = format!("netops-{number:02}");
        let refused = Some((StreamState::Refused, Some(Code::BundlesTooLarge)));
        assert_eq!(run.of(&stream), if number < 15 { ATTACHED } else { refused }, "{stream}: {}", run.why(&stream));
    }
    assert_eq!((run.of("netops-small"), run.exit), (ATTACHED, Exit::Refused), "there is room for it");
}

type Ending = fn(&mut TrustDocument, Sha256Digest);

/// What the security team can decide against a bundle.
const ENDINGS: &[(&str, Code, Ending)] = &[
    ("the statement", Code::Revoked, |rules, statement| assert!(rules.revoked_bundles.insert(statement))),
    ("its key", Code::Revoked, |rules, _| assert!(rules.revoked_keys.insert(Key::new(node::NETOPS).public().id()))),
    ("its revision", Code::BelowFloor, |rules, _| {
        rules.floors = [("netops-a".try_into().unwrap(), 2i64.try_into().unwrap())].into();
    }),
    ("its audience", Code::Audience, |rules, _| rules.audiences = vec!["other".try_into().unwrap()]),
];

fn statement_of(plan: &NodePlan) -> Sha256Digest {
    Sha256Digest::of(&statement::encode(plan))
}

/// A revocation that failed the update which brings it would be taken back on the first node, and reach no other.
#[test]
fn what_the_trust_file_ends_is_done_as_asked() {
    for (name, code, end) in ENDINGS {
        let refused = Some((StreamState::Refused, Some(*code)));
        let plan = node::plan("netops-a", "netops", 1);
        let mut node = Node::trusting();
        node.ship(&plan);
        assert_eq!(node.run().of("netops-a"), ATTACHED);
        node.trust(2, |rules| end(rules, statement_of(&plan)));
        // The bundle lies there until somebody takes it away: over further runs, reboots and changes of other streams.
        for reboot in [false, false, true, true] {
            if reboot {
                node.reboot();
            }
            let run = node.run();
            assert_eq!((run.of("netops-a"), run.exit), (refused, Exit::Done), "case {name}, reboot {reboot}");
            assert_eq!(node.runs("netops-a"), None, "case: {name}");
        }
        // Gone once, it is a new one when it comes again.
        node.remove("netops-a");
        assert_eq!(node.run().exit, Exit::Done, "case: {name}");
        node.ship(&plan);
        let run = node.run();
        assert_eq!((run.of("netops-a"), run.exit), (refused, Exit::Refused), "case: {name}");
    }
}

/// Also what does not run: it could not on this node, it was held, it failed, its memory is a former loader's.
#[test]
fn what_was_accepted_and_did_not_run_is_ended_as_asked() {
    let revoked = Some((StreamState::Refused, Some(Code::Revoked)));
    let expires = |plan: &mut NodePlan| plan.expires = Some("2020-01-01T00:00:00Z".try_into().unwrap());
    let nothing = |_: &mut NodePlan| {};
    for (name, change, failing) in
        [("expired", &expires as &dyn Fn(&mut NodePlan), vec![]), ("failed", &nothing, vec!["netops-a"])]
    {
        let mut plan = node::plan("netops-a", "netops", 1);
        change(&mut plan);
        let mut node = Node::trusting();
        node.failing = failing;
        node.ship(&plan);
        assert_ne!(node.run().of("netops-a"), ATTACHED, "case: {name}");
        node.trust(2, |rules| assert!(rules.revoked_bundles.insert(statement_of(&plan))));
        for _ in 0..2 {
            let run = node.run();
            assert_eq!((run.of("netops-a"), run.exit), (revoked, Exit::Done), "case: {name}");
        }
    }
    // What runs was accepted, whether or not that was written down.
    let plan = node::plan("netops-a", "netops", 1);
    let mut node = Node::trusting();
    node.ship(&plan);
    node.run();
    fs::remove_file(node.path("var/lib/nodebpf/accepted.json")).unwrap();
    node.trust(2, |rules| assert!(rules.revoked_bundles.insert(statement_of(&plan))));
    for _ in 0..2 {
        let run = node.run();
        assert_eq!((run.of("netops-a"), run.exit), (revoked, Exit::Done), "what runs");
    }
}

/// The other way around: a bundle that comes although it is revoked stops its own rollout.
#[test]
fn a_rollout_of_what_is_revoked_stops() {
    for (name, code, end) in ENDINGS {
        let refused = Some((StreamState::Refused, Some(*code)));
        let by_audience = *code == Code::Audience;
        let mut good = node::plan("netops-a", "netops", 3);
        if by_audience {
            good.audience = vec!["other".try_into().unwrap()];
        }
        let bad = node::plan("netops-a", "netops", 1);
        for ran in [false, true] {
            let mut node = Node::trusting();
            node.trust(2, |rules| {
                if by_audience {
                    end(rules, statement_of(&bad));
                }
            });
            if ran {
                node.ship(&good);
                assert_eq!(node.run().of("netops-a"), ATTACHED, "case: {name}");
            }
            node.trust(3, |rules| end(rules, statement_of(&bad)));
            // Again and again, as a timer would, before the machine config daemon takes the files back.
            node.ship(&bad);
            for _ in 0..3 {
                let run = node.run();
                assert_eq!((run.of("netops-a"), run.exit), (refused, Exit::Refused), "case {name}, ran {ran}");
            }
        }
    }
}

/// A directory that cannot be written, as on a disk that is full or read-only: what it writes first has the name of a
/// directory.
#[test]
fn a_node_that_cannot_write_runs_on_and_says_so() {
    let mut node = Node::trusting();
    for file in ["trust.new", "memory.new"] {
        fs::create_dir(node.path("var/lib/nodebpf").join(file)).unwrap();
    }
    node.ship(&with_floor(3, 3));
    for _ in 0..2 {
        let run = node.run();
        assert_eq!(run.of("netops-a"), ATTACHED);
        assert_eq!(run.exit, Exit::Done, "{:?}", run.report.problems);
        assert!(run.problems().contains(&Code::MemoryNotKept), "{:?}", run.report.problems);
    }
}

#[test]
fn a_memory_that_cannot_be_read_is_neither_believed_nor_begun_anew() {
    for file in ["memory.json", "trust.json"] {
        let mut node = Node::trusting();
        node.ship(&with_floor(3, 3));
        node.run();
        let path = node.path("var/lib/nodebpf").join(file);
        let bytes = fs::read(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        node.ship(&with_floor(4, 3));
        let run = node.run();
        assert_eq!((run.problems(), run.of("netops-a")), (vec![Code::MemoryUnread], UNREAD), "{file}");
        assert_eq!((run.exit, node.runs("netops-a")), (Exit::Refused, Some(3)), "{file}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666, "{file}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{file}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(node.run().of("netops-a"), ATTACHED, "{file}");
        // Nor is a directory in its place a damaged file.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        node.ship(&with_floor(5, 3));
        assert_eq!((node.run().of("netops-a"), node.runs("netops-a")), (UNREAD, Some(4)), "{file}");
    }
}

#[test]
fn a_clock_that_nobody_has_set_ends_nothing() {
    let mut node = Node::trusting();
    let mut plan = node::plan("netops-a", "netops", 1);
    plan.expires = Some("2027-03-31T00:00:00Z".try_into().unwrap());
    node.ship(&plan);
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    // The clock jumps to 2040, before it is synchronised; what is certain has not passed the end.
    node.unverified = Some(Timestamp::from_unix_seconds(2_208_988_800));
    for reboot in [false, true] {
        if reboot {
            node.reboot();
        }
        let run = node.run();
        assert_eq!(run.of("netops-a"), ATTACHED, "reboot {reboot}");
        assert_eq!((run.problems(), run.exit), (vec![Code::ClockUnverified], Exit::Done));
    }
    // A clock back in 1970 changes nothing of what is certain.
    node.unverified = Some(Timestamp::from_unix_seconds(0));
    node.now = "2027-03-31T00:00:01Z".try_into().unwrap();
    let run = node.run();
    assert_eq!(run.of("netops-a"), Some((StreamState::Expired, Some(Code::Expired))));
    assert_eq!(node.runs("netops-a"), None);
}
