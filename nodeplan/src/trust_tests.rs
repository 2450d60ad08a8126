use super::*;
use crate::bundle::tests::{TestKey, trust_in};

fn with_roots(version: u64, keys: &[&TestKey], threshold: usize) -> TrustDocument {
    let mut document = trust_in(&[&TestKey::new(9)], 1);
    document.version = version;
    document.roots = Some(KeySet { keys: keys.iter().map(|key| key.public()).collect(), threshold });
    document
}

fn envelope(document: &TrustDocument, keys: &[&TestKey]) -> Envelope {
    let message = Envelope::to_sign(document);
    Envelope::new(document, &keys.iter().map(|key| (key.public().id(), key.sign(&message))).collect())
}

#[test]
fn a_chain_is_walked() {
    let (a, b, c) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
    let unsigned = trust_in(&[&TestKey::new(9)], 1);
    let v1 = || envelope(&with_roots(1, &[&a, &b], 2), &[&a, &b]);
    type Want = Result<(u64, Anchor), fn(&TrustError) -> bool>;
    let threshold: Want = Err(|error| matches!(error, TrustError::Threshold { .. }));
    let cases: Vec<(&str, Vec<Envelope>, Want)> = vec![
        ("no roots", vec![envelope(&unsigned, &[])], Ok((1, Anchor::CoDelivered))),
        ("signed by its roots", vec![v1()], Ok((1, Anchor::RootSigned))),
        ("one root short", vec![envelope(&with_roots(1, &[&a, &b], 2), &[&a])], threshold),
        ("rotation", vec![v1(), envelope(&with_roots(7, &[&c], 1), &[&a, &b, &c])], Ok((7, Anchor::RootSigned))),
        ("rotation without the old", vec![v1(), envelope(&with_roots(2, &[&c], 1), &[&c])], threshold),
        ("rotation without the new", vec![v1(), envelope(&with_roots(2, &[&c], 1), &[&a, &b])], threshold),
        ("same version", vec![v1(), v1()], Err(|error| matches!(error, TrustError::Order { .. }))),
        (
            "roots dropped",
            vec![v1(), envelope(&TrustDocument { version: 2, ..unsigned.clone() }, &[&a, &b])],
            Err(|error| matches!(error, TrustError::RootsDropped(2))),
        ),
        ("empty", vec![], Err(|error| matches!(error, TrustError::Empty))),
    ];
    for (name, chain, want) in cases {
        match (Trust::parse(&encode_chain(chain)), want) {
            (Ok(trust), Ok(want)) => {
                assert_eq!((trust.document().version, trust.anchor()), want, "case: {name}");
            }
            (Err(error), Err(is_wanted)) => assert!(is_wanted(&error), "case {name}: {error}"),
            (got, _) => panic!("case {name}: {got:?}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_root_signed_file_is_refused() {
    let key = TestKey::new(1);
    let bytes = encode_chain(vec![envelope(&with_roots(1, &[&key], 1), &[&key])]);
    Trust::parse(&bytes).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(Trust::parse(&bad).is_err(), "bit {at} is outside the check");
    }
    assert_eq!(Trust::parse(bytes.trim_ascii_end()), Err(TrustError::NotCanonical));
}

#[test]
fn documents_are_checked() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    assert!(matches!(trust_in(&[&a], 2).check(), Err(DocumentError::Threshold { .. })));
    assert!(matches!(trust_in(&[&a], 0).check(), Err(DocumentError::Threshold { .. })));
    assert!(matches!(trust_in(&[&a, &a], 1).check(), Err(DocumentError::KeyTwice { .. })));
    let mut overlapping = trust_in(&[&a], 1);
    let other = trust_in(&[&b], 1).owners.into_iter().next().unwrap().1;
    overlapping.owners.insert("security".try_into().unwrap(), other);
    assert!(matches!(overlapping.check(), Err(DocumentError::Overlap { .. })));
}
