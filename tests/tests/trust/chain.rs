//! Which trust file a node goes by: the one delivered, the one of its image, the one that it remembers.

use std::fs;

use nodeplan::report::{Code, Exit};

use super::node::{self, ATTACHED, Key, Node, document, signed};

#[test]
fn a_node_that_slept_walks_five_versions() {
    let keys: Vec<Key> = (1..=6).map(Key::new).collect();
    let mut chain = vec![signed(&document(1, &[&keys[0]]), &[&keys[0]])];
    let mut node = Node::new();
    node.deliver(&chain);
    assert_eq!(node.run().version(), Some(1));
    for at in 1..6 {
        let version = document(u64::try_from(at).unwrap() + 1, &[&keys[at]]);
        chain.push(signed(&version, &[&keys[at - 1], &keys[at]]));
    }
    node.deliver(&chain);
    node.ship(&node::plan("netops-a", "netops", 1));
    let run = node.run();
    assert_eq!((run.version(), run.exit, run.problems()), (Some(6), Exit::Done, vec![]));
    // The pin is the delivered file, byte for byte.
    let read = |path| fs::read(node.path(path)).unwrap();
    assert_eq!(read("var/lib/nodebpf/trust.json"), read("etc/nodebpf/trust.json"));
}

#[test]
fn an_image_is_an_anchor_and_no_override() {
    let root = Key::new(1);
    let version = |version| signed(&document(version, &[&root]), &[&root]);
    let mut node = Node::new();
    node.bake(&[version(1)]);
    let run = node.run();
    assert_eq!((run.version(), run.problems()), (Some(1), vec![]), "an image alone is enough");
    // A baked version 1 does not hide version 5.
    node.deliver(&[version(1), version(5)]);
    let run = node.run();
    assert_eq!((run.version(), run.problems()), (Some(5), vec![]));
    // A newer image is newer.
    node.bake(&[version(1), version(5), version(7)]);
    let run = node.run();
    assert_eq!((run.version(), run.problems()), (Some(7), vec![Code::TrustOlder]), "the delivered file is behind");
    // An image rollback does not bring version 1 back, nor does a file that goes back with it.
    node.bake(&[version(1)]);
    node.deliver(&[version(1)]);
    node.reboot();
    node.ship(&node::plan("netops-a", "netops", 1));
    let run = node.run();
    assert_eq!((run.version(), run.problems(), run.exit), (Some(7), vec![Code::TrustOlder], Exit::Done));
    assert_eq!(run.of("netops-a"), ATTACHED, "no stream fails by it");
}

#[test]
fn a_file_that_does_not_follow_is_refused() {
    let (root, thief) = (Key::new(1), Key::new(66));
    let mut fork = document(5, &[&root]);
    fork.audiences = vec!["fork".try_into().unwrap()];
    let cases = [
        ("another version 5", vec![signed(&fork, &[&root])], "version 5 has other content"),
        (
            "higher, of a stranger",
            vec![signed(&document(9, &[&thief]), &[&thief])],
            "0 valid signatures of the root keys of version 5",
        ),
        ("higher, without roots", vec![signed(&document(9, &[]), &[])], "drops the root keys"),
        ("lower, of a stranger", vec![signed(&document(2, &[&thief]), &[&thief])], "0 valid signatures"),
    ];
    for (name, chain, words) in cases {
        let mut node = Node::new();
        node.deliver(&[signed(&document(5, &[&root]), &[&root])]);
        node.ship(&node::plan("netops-a", "netops", 1));
        node.run();
        let pin = fs::read(node.path("var/lib/nodebpf/trust.json")).unwrap();
        // From above and from below: neither a delivered file nor an image may fork.
        for baked in [false, true] {
            if baked {
                node.bake(&chain);
                node.deliver(&[signed(&document(5, &[&root]), &[&root])]);
            } else {
                node.deliver(&chain);
            }
            let run = node.run();
            assert_eq!((run.version(), run.problems()), (Some(5), vec![Code::TrustFork]), "case: {name}, {baked}");
            assert!(run.report.problems[0].message.contains(words), "case {name}: {:?}", run.report.problems);
            assert_eq!((run.of("netops-a"), run.exit), (ATTACHED, Exit::Refused), "case: {name}");
            assert_eq!(fs::read(node.path("var/lib/nodebpf/trust.json")).unwrap(), pin, "case: {name}");
        }
    }
}

#[test]
fn without_roots_a_version_only_rises() {
    let mut node = Node::new();
    let plain = |version| signed(&document(version, &[]), &[]);
    node.deliver(&[plain(3)]);
    assert_eq!(node.run().version(), Some(3));
    node.deliver(&[plain(2)]);
    let run = node.run();
    assert_eq!((run.version(), run.problems()), (Some(3), vec![Code::TrustOlder]));
    node.deliver(&[plain(4)]);
    assert_eq!(node.run().version(), Some(4));
}

#[test]
fn a_damaged_pin_is_reported_and_the_chain_rules() {
    let root = Key::new(1);
    let version = |version| signed(&document(version, &[&root]), &[&root]);
    for (name, damage) in [
        ("torn", (|bytes: &[u8]| bytes[..bytes.len() / 2].to_vec()) as fn(&[u8]) -> Vec<u8>),
        ("empty", |_| Vec::new()),
        ("a bit", |bytes| {
            let mut bytes = bytes.to_vec();
            bytes[200] ^= 1;
            bytes
        }),
    ] {
        let mut node = Node::new();
        node.deliver(&[version(1), version(2)]);
        node.ship(&node::plan("netops-a", "netops", 1));
        node.run();
        let pin = fs::read(node.path("var/lib/nodebpf/trust.json")).unwrap();
        node.put("var/lib/nodebpf/trust.json", &damage(&pin));
        let run = node.run();
        assert_eq!((run.version(), run.problems()), (Some(2), vec![Code::MemoryDamaged]), "case: {name}");
        assert_eq!((run.of("netops-a"), run.exit), (ATTACHED, Exit::Done), "case: {name}");
        assert_eq!(fs::read(node.path("var/lib/nodebpf/trust.json")).unwrap(), pin, "case: {name}");
        assert!(node.path("var/lib/nodebpf/trust.damaged").exists(), "case: {name}");
        assert_eq!(node.run().problems(), [], "case: {name}");
    }
}

#[test]
fn a_delivered_file_that_is_gone_or_damaged_takes_no_stream_away() {
    for (name, damage, code, exit) in [
        (
            "gone",
            (|node: &Node| fs::remove_file(node.path("etc/nodebpf/trust.json")).unwrap()) as fn(&Node),
            Code::TrustMissing,
            Exit::Done,
        ),
        ("damaged", |node| node.put("etc/nodebpf/trust.json", b"{}"), Code::TrustDamaged, Exit::Refused),
    ] {
        let mut node = Node::trusting();
        node.ship(&node::plan("netops-a", "netops", 1));
        node.run();
        damage(&node);
        node.reboot();
        let run = node.run();
        assert_eq!((run.of("netops-a"), run.problems(), run.exit), (ATTACHED, vec![code], exit), "case: {name}");
    }
}
