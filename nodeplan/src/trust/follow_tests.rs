use std::cmp::Ordering::{self, Equal, Greater, Less};

use super::*;
use crate::{
    bundle::tests::{TestKey, trust_in},
    trust::{Envelope, KeySet, encode_chain},
};

fn document(version: u64, roots: &[&TestKey], threshold: usize) -> TrustDocument {
    let mut document = trust_in(&[&TestKey::new(9)], 1);
    document.version = version;
    document.roots =
        (!roots.is_empty()).then(|| KeySet { keys: roots.iter().map(|key| key.public()).collect(), threshold });
    document
}

fn signed(document: &TrustDocument, keys: &[&TestKey]) -> Envelope {
    let message = Envelope::to_sign(document);
    Envelope::new(document, &keys.iter().map(|key| (key.public().id(), key.sign(&message))).collect())
}

fn file(chain: &[Envelope]) -> Trust {
    Trust::parse(&encode_chain(chain.to_vec())).unwrap()
}

/// What a node that knows `known` says to `new`.
fn step(new: &[Envelope], known: &[Envelope]) -> Result<Ordering, TrustError> {
    file(new).stands_to(&file(known))
}

#[test]
fn a_node_walks_from_what_it_knows_to_five_versions_later() {
    let keys: Vec<TestKey> = (1..=6).map(TestKey::new).collect();
    // Each version has another root, signed by the one before and by itself.
    let mut chain = vec![signed(&document(1, &[&keys[0]], 1), &[&keys[0]])];
    for at in 1..6 {
        let version = document(u64::try_from(at).unwrap() + 1, &[&keys[at]], 1);
        chain.push(signed(&version, &[&keys[at - 1], &keys[at]]));
    }
    for known in 1..=6 {
        let want = if known == 6 { Equal } else { Greater };
        assert_eq!(step(&chain, &chain[..known]), Ok(want), "from version {known}");
        assert_eq!(step(&chain[..known], &chain), Ok(want.reverse()), "back to version {known}");
        // A chain that begins behind what the node knows: the next step is signed by the known roots.
        if known < 6 {
            assert_eq!(step(&chain[known..], &chain[..known]), Ok(Greater), "cut behind version {known}");
        }
    }
    // A link is missing: version 4 is signed by the roots of version 3, which the node at version 2 never saw.
    assert!(matches!(step(&chain[3..], &chain[..2]), Err(TrustError::Threshold { version: 4, of: 2, valid: 0, .. })));
}

#[test]
fn what_does_not_follow_is_named() {
    let (a, b, thief) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
    let one = signed(&document(1, &[&a, &b], 2), &[&a, &b]);
    let two = signed(&document(2, &[&a, &b], 2), &[&a, &b]);
    let mut other = document(2, &[&a, &b], 2);
    other.audiences = vec!["other".try_into().unwrap()];
    let forked = signed(&other, &[&a, &b]);
    let begun_anew = signed(&document(9, &[&thief], 1), &[&thief]);
    let one_short = signed(&document(9, &[&thief], 1), &[&thief, &a]);
    let no_roots = signed(&document(9, &[], 0), &[]);
    type Want = fn(&TrustError) -> bool;
    let threshold: Want = |error| matches!(error, TrustError::Threshold { of: 2, .. });
    let fork: Want = |error| matches!(error, TrustError::Fork(2));
    let dropped: Want = |error| matches!(error, TrustError::RootsDropped(9));
    let known = [one.clone(), two.clone()];
    let cases: [(&str, Vec<Envelope>, Want); 6] = [
        ("a chain of another's own", vec![begun_anew.clone()], threshold),
        ("one root short", vec![one_short], threshold),
        ("roots given up", vec![no_roots], dropped),
        ("another version 2", vec![one.clone(), forked.clone()], fork),
        ("another version 2 inside", vec![one, forked.clone(), signed(&document(3, &[&a, &b], 2), &[&a, &b])], fork),
        ("a lower version of another history", vec![signed(&document(1, &[&thief], 1), &[&thief])], |error| {
            matches!(error, TrustError::Fork(1))
        }),
    ];
    for (name, new, is_wanted) in cases {
        let error = step(&new, &known).unwrap_err();
        assert!(is_wanted(&error), "case {name}: {error}");
    }
}

#[test]
fn without_roots_a_version_only_rises() {
    let root = TestKey::new(1);
    let plain = |version| vec![signed(&document(version, &[], 0), &[])];
    assert_eq!(step(&plain(3), &plain(2)), Ok(Greater));
    assert_eq!(step(&plain(2), &plain(3)), Ok(Less));
    assert_eq!(step(&plain(2), &plain(2)), Ok(Equal));
    // The first version with roots may replace one that had none.
    assert_eq!(step(&[signed(&document(3, &[&root], 1), &[&root])], &plain(2)), Ok(Greater));
    let mut other = document(2, &[], 0);
    other.revoked_bundles = [crate::digest::Sha256Digest::of(b"x")].into();
    assert_eq!(step(&[signed(&other, &[])], &plain(2)), Err(TrustError::Fork(2)));
}
