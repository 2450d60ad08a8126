//! Each rule of a trust file, broken by a bundle that is otherwise sound and validly signed: refused, rule named.
//!
//! Not here: memory of maps and interfaces that are not selected by name, which only a kernel can tell; the guest tests
//! break those (`hook-state-maps-are-kept`, `hook-selectors`).

use nodeplan::{
    bundle::Parts,
    digest::Sha256Digest,
    hook::Attachment,
    plan::{FailurePolicy, NodePlan},
    report::{Code, StreamState},
    trust::TrustDocument,
};

use super::node::{self, Key, NETOPS, Node, SECURITY};

/// What is shipped against which rules.
struct Attack {
    plan: NodePlan,
    signers: Vec<u8>,
    rules: TrustDocument,
}

impl Attack {
    /// What is sound: each case spoils one thing.
    fn sound() -> Self {
        let mut rules = node::document(2, &[&Key::new(1)]);
        rules.audiences = vec!["prod".try_into().unwrap()];
        let mut plan = node::plan("netops-a", "netops", 3);
        plan.audience = vec!["prod".try_into().unwrap()];
        Self { plan, signers: vec![NETOPS], rules }
    }

    fn netops(&mut self) -> &mut nodeplan::trust::OwnerTrust {
        node::owner(&mut self.rules, "netops")
    }

    fn parts(&self) -> Parts {
        let keys: Vec<Key> = self.signers.iter().map(|seed| Key::new(*seed)).collect();
        node::parts(&self.plan, &keys.iter().collect::<Vec<_>>())
    }
}

fn priority(plan: &mut NodePlan, priority: &str) {
    let Attachment::Xdp(xdp) = &mut plan.programs[0].attach[0] else { panic!("the plan of the tests is XDP") };
    xdp.priority = nodeplan::json::parse(priority.as_bytes(), 9).unwrap();
}

type Spoil = fn(&mut Attack);

const CASES: &[(&str, Spoil, Code, &str)] = &[
    ("no such owner", |a| a.plan.owner = "nobody".try_into().unwrap(), Code::Policy, "owner `nobody` is not in the"),
    ("another owner's key", |a| a.signers = vec![SECURITY], Code::Policy, "0 keys of owner `netops` have signed; 1"),
    ("a stranger's key", |a| a.signers = vec![77], Code::Signature, "no signature by a key of the trust file"),
    ("nobody has signed", |a| a.signers.clear(), Code::Signature, "no signature"),
    (
        "one signature of two",
        |a| {
            let second = Key::new(10).public();
            a.netops().signers.keys.push(second);
            a.netops().signers.threshold = 2;
        },
        Code::Policy,
        "1 keys of owner `netops` have signed; 2 are needed",
    ),
    (
        "outside the globs",
        |a| a.netops().streams = vec!["other-*".to_owned().try_into().unwrap()],
        Code::Policy,
        "`netops-a` does not belong to owner `netops`",
    ),
    (
        "a hook it may not use",
        |a| a.netops().hooks = nodeplan::sorted::SortedMap::new(),
        Code::Policy,
        "may not use hook `xdp`",
    ),
    ("a priority below the band", |a| priority(&mut a.plan, "499"), Code::Policy, "priority 499; owner `netops` has"),
    ("a priority above the band", |a| priority(&mut a.plan, "600"), Code::Policy, "priority 600; owner `netops` has"),
    (
        "more programs than it may",
        |a| {
            let mut more = a.plan.programs[0].clone();
            more.name = "q".try_into().unwrap();
            a.plan.programs.push(more);
            a.netops().limits.programs = Some(1);
        },
        Code::Policy,
        "the stream has 2 programs; owner `netops` may have 1",
    ),
    (
        "a reserved interface",
        |a| a.rules.reserved_interfaces = vec!["eth*".to_owned().try_into().unwrap()],
        Code::Policy,
        "`eth*` is reserved",
    ),
    ("closed", |a| a.plan.failure_policy = FailurePolicy::Closed, Code::Policy, "`failurePolicy: closed`"),
    (
        "another audience",
        |a| a.plan.audience = vec!["lab".try_into().unwrap()],
        Code::Audience,
        "for audience lab; this node's audience is prod",
    ),
    ("no audience", |a| a.plan.audience.clear(), Code::Audience, "for audience none"),
    (
        "a revoked key",
        |a| assert!(a.rules.revoked_keys.insert(Key::new(NETOPS).public().id())),
        Code::Revoked,
        "has signed and is revoked",
    ),
    (
        "a revoked key that is not even listed any more",
        |a| {
            let key = Key::new(NETOPS).public().id();
            a.netops().signers.keys = vec![Key::new(10).public()];
            assert!(a.rules.revoked_keys.insert(key));
        },
        Code::Revoked,
        "has signed and is revoked",
    ),
    (
        "two of two, and one of them is revoked",
        |a| {
            let second = Key::new(10).public();
            assert!(a.rules.revoked_keys.insert(second.id()));
            a.netops().signers.keys.push(second);
            a.netops().signers.threshold = 2;
            a.signers.push(10);
        },
        Code::Revoked,
        "has signed and is revoked",
    ),
    (
        "a revoked statement",
        |a| {
            let statement = a.parts().statement;
            assert!(a.rules.revoked_bundles.insert(Sha256Digest::of(&statement)));
        },
        Code::Revoked,
        "is revoked",
    ),
    (
        "below the floor",
        |a| a.rules.floors = [("netops-a".try_into().unwrap(), 4i64.try_into().unwrap())].into(),
        Code::BelowFloor,
        "revision 3 is below the floor 4",
    ),
];

#[test]
fn each_rule_refuses_what_breaks_it_and_is_named() {
    let root = Key::new(1);
    for (name, spoil, code, words) in CASES {
        let mut node = Node::new();
        let mut attack = Attack::sound();
        spoil(&mut attack);
        node.deliver(&[node::signed(&attack.rules, &[&root])]);
        node.ship_parts("netops-a", &attack.parts());
        let run = node.run();
        assert_eq!(
            run.version(),
            Some(2),
            "case {name}: the rules themselves must be sound: {:?}",
            run.report.problems
        );
        assert_eq!(
            run.of("netops-a"),
            Some((StreamState::Refused, Some(*code))),
            "case {name}: {}",
            run.why("netops-a")
        );
        assert!(run.why("netops-a").contains(words), "case {name}: {}", run.why("netops-a"));
        assert_eq!((node.runs("netops-a"), run.exit.code()), (None, 3), "case: {name}");
    }
}

/// A rule that comes later: what it was made against ends, what it only casts doubt on stays.
#[test]
fn a_rule_that_comes_later_ends_what_the_security_team_decided_against() {
    let root = Key::new(1);
    for (name, spoil, code, _) in CASES {
        let mut attack = Attack::sound();
        let mut node = Node::new();
        let mut before = attack.rules.clone();
        before.version = 1;
        node.deliver(&[node::signed(&before, &[&root])]);
        let sound = attack.parts();
        node.ship_parts("netops-a", &sound);
        node.run();
        assert_eq!(node.runs("netops-a"), Some(3), "case {name}: the attack's base must be sound");
        spoil(&mut attack);
        if attack.parts() != sound {
            continue; // it is the bundle that breaks the rule
        }
        node.deliver(&[node::signed(&before, &[&root]), node::signed(&attack.rules, &[&root])]);
        let run = node.run();
        assert_eq!(run.of("netops-a"), Some((StreamState::Refused, Some(*code))), "case: {name}");
        let ends = matches!(code, Code::Revoked | Code::BelowFloor | Code::Audience);
        assert_eq!(node.runs("netops-a"), (!ends).then_some(3), "case: {name}");
    }
}
