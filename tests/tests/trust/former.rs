//! What runs, and has come to be forbidden, goes whatever its bundle is: another one, damaged, held, gone.

use std::fs;

use nodebpf_loader::held;
use nodeplan::{
    digest::Sha256Digest,
    plan::{Ending, NodePlan},
    report::{Code, Exit, StreamState},
    sorted::SortedSet,
    statement,
    time::Timestamp,
    trust::TrustDocument,
};

use super::node::{self, Node};

type Decide = fn(&mut TrustDocument, Sha256Digest);

/// What can be decided against what runs without knowing who had signed it.
const DECISIONS: &[(&str, Code, Decide)] = &[
    ("its statement", Code::Revoked, |rules, statement| assert!(rules.revoked_bundles.insert(statement))),
    ("its revision", Code::BelowFloor, |rules, _| {
        rules.floors = [("netops-a".try_into().unwrap(), 2i64.try_into().unwrap())].into();
    }),
    ("its audience", Code::Audience, |rules, _| rules.audiences = vec!["other".try_into().unwrap()]),
    ("its statement, and its key is dropped", Code::Revoked, |rules, statement| {
        assert!(rules.revoked_bundles.insert(statement));
        drop_key(rules);
    }),
];

fn drop_key(rules: &mut TrustDocument) {
    node::owner(rules, "netops").signers.keys = vec![node::Key::new(77).public()];
}

fn hold(node: &Node, detach: bool) {
    let names: SortedSet<_> = ["netops-a".try_into().unwrap()].into();
    let outcome = held::hold(&node.paths(), &names, detach, ("root", Timestamp::from_unix_seconds(0), ""));
    assert!(outcome.wrong.is_empty(), "{:?}", outcome.wrong);
}

/// Revision 3, which every decision allows.
fn ship_next(node: &Node) {
    let mut plan = node::plan("netops-a", "netops", 3);
    plan.audience = vec!["other".try_into().unwrap()];
    node.ship_parts("netops-a", &node::parts(&plan, &[&node::Key::new(node::NETOPS), &node::Key::new(77)]));
}

/// A node that runs revision 1, and a trust file that has just come to forbid it.
fn forbidding(decide: Decide, change: impl FnOnce(&mut NodePlan)) -> Node {
    let mut plan = node::plan("netops-a", "netops", 1);
    plan.audience = vec!["first".try_into().unwrap()];
    change(&mut plan);
    let both = |rules: &mut TrustDocument| {
        rules.audiences = vec!["first".try_into().unwrap(), "other".try_into().unwrap()];
    };
    let mut node = Node::trusting();
    node.trust(2, both);
    node.ship(&plan);
    node.run();
    assert_eq!(node.runs("netops-a"), Some(1));
    node.trust(3, |rules| {
        both(rules);
        decide(rules, Sha256Digest::of(&statement::encode(&plan)));
    });
    node
}

type Happen = fn(&mut Node);

/// What lies there instead of its bundle, and what that comes to: state, code, exit, what runs then.
type Case = (&'static str, Happen, StreamState, Option<Code>, Exit, Option<u32>);

const BUNDLES: &[Case] = &[
    ("a new one", |node| ship_next(node), StreamState::Attached, None, Exit::Done, Some(3)),
    (
        "a new one, held",
        |node| {
            hold(node, false);
            ship_next(node);
        },
        StreamState::Held,
        Some(Code::Held),
        Exit::Done,
        None,
    ),
    (
        "gone, held",
        |node| {
            hold(node, false);
            node.remove("netops-a");
        },
        StreamState::Held,
        Some(Code::Held),
        Exit::Done,
        None,
    ),
    (
        "a new one, refused by the kernel",
        |node| {
            ship_next(node);
            node.failing = vec!["netops-a"];
        },
        StreamState::Failed,
        Some(Code::Verifier),
        Exit::Failed,
        None,
    ),
    (
        "damaged",
        |node| node.put(node.bundle("netops-a"), b"x"),
        StreamState::Refused,
        Some(Code::BundleDamaged),
        Exit::Refused,
        None,
    ),
    (
        "another stream's",
        |node| {
            let other = node::plan("netops-b", "netops", 3);
            node.ship_parts("netops-a", &node::parts(&other, &[&node::Key::new(55)]));
        },
        StreamState::Refused,
        Some(Code::Signature),
        Exit::Refused,
        None,
    ),
];

#[test]
fn what_runs_and_is_forbidden_goes_whatever_its_bundle_is() {
    for (decision, code, decide) in DECISIONS {
        for (name, happen, state, why, exit, runs) in BUNDLES {
            let mut node = forbidding(*decide, |_| ());
            happen(&mut node);
            let run = node.run();
            let said = run.why("netops-a");
            assert_eq!(run.of("netops-a"), Some((*state, *why)), "case {decision}, {name}: {said}");
            assert_eq!((run.exit, node.runs("netops-a")), (*exit, *runs), "case {decision}, {name}: {said}");
            assert_eq!(said.matches(code.as_str()).count(), usize::from(runs.is_none()), "{decision}, {name}: {said}");
        }
    }
}

#[test]
fn what_runs_and_is_forbidden_goes_though_no_bundle_can_be_read() {
    for (decision, code, decide) in DECISIONS {
        let mut node = forbidding(*decide, |_| ());
        fs::rename(node.path("etc/nodebpf/bundles"), node.path("run/aside")).unwrap();
        let run = node.run();
        assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(*code))), "case: {decision}");
        assert_eq!((run.exit, node.runs("netops-a")), (Exit::Done, None), "case: {decision}");
    }
}

/// The same decision, told by the bundle itself: also by one whose key is dropped with it.
#[test]
fn its_own_bundle_ends_it_as_ever() {
    for (decision, code, decide) in DECISIONS {
        let mut node = forbidding(*decide, |_| ());
        let run = node.run();
        assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(*code))), "case: {decision}");
        assert_eq!((run.exit, node.runs("netops-a")), (Exit::Done, None), "case: {decision}");
    }
    // A key that is dropped and nothing more: nobody has decided against what it signed.
    let mut node = forbidding(|rules, _| drop_key(rules), |_| ());
    let run = node.run();
    assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(Code::Signature))));
    assert_eq!(node.runs("netops-a"), Some(1));
}

/// Who says `onRemoval: keep` is kept, and it is said each time; `onExpiry: keep` is about something else.
#[test]
fn what_is_forbidden_is_kept_only_for_on_removal() {
    for (decision, code, decide) in DECISIONS {
        for detach in [false, true] {
            let mut node = forbidding(*decide, |plan| plan.on_removal = Ending::Keep);
            ship_next(&node);
            hold(&node, detach);
            let run = node.run();
            assert_eq!(run.of("netops-a"), Some((StreamState::Held, Some(Code::Held))), "case: {decision}");
            assert_eq!(node.runs("netops-a"), (!detach).then_some(1), "case {decision}, detach {detach}");
            let said = run.why("netops-a").contains(code.as_str());
            assert_eq!(said, !detach, "case {decision}: {}", run.why("netops-a"));
        }
        let mut node = forbidding(*decide, |_| ());
        let mut next = node::plan("netops-a", "netops", 3);
        next.audience = vec!["other".try_into().unwrap()];
        next.on_expiry = Ending::Keep;
        next.expires = Some("2020-01-01T00:00:00Z".try_into().unwrap());
        let keys = [&node::Key::new(node::NETOPS), &node::Key::new(77)];
        node.ship_parts("netops-a", &node::parts(&next, &keys));
        assert_eq!(node.run().of("netops-a"), Some((StreamState::Expired, Some(Code::Expired))), "case: {decision}");
        assert_eq!(node.runs("netops-a"), None, "case: {decision}");
    }
}

/// Nothing is decided by a trust file that is not there.
#[test]
fn without_a_trust_file_what_runs_keeps_running() {
    let mut node = forbidding(DECISIONS[0].2, |_| ());
    for file in ["etc/nodebpf/trust.json", "var/lib/nodebpf/trust.json"] {
        fs::remove_file(node.path(file)).unwrap();
    }
    assert_eq!(node.run().of("netops-a"), Some((StreamState::Refused, Some(Code::TrustMissing))));
    assert_eq!(node.runs("netops-a"), Some(1));
}
