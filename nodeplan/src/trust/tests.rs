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

/// The chain of one document, whatever its check would say.
fn file(document: &TrustDocument, keys: &[&TestKey]) -> Vec<u8> {
    encode_chain(vec![envelope(document, keys)])
}

#[test]
fn one_key_signs_once() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    let document = with_roots(1, &[&a, &b], 2);
    let mut twice = envelope(&document, &[&a]);
    twice.signatures.push(twice.signatures[0].clone());
    let refused = Trust::parse(&encode_chain(vec![twice]));
    assert_eq!(refused, Err(TrustError::SignedTwice(a.public().id())), "before any signature is checked");
    // Under another key's id, a good signature is no signature.
    let mut borrowed = envelope(&document, &[&a]);
    let mut second = borrowed.signatures[0].clone();
    second.keyid = b.public().id();
    borrowed.signatures.push(second);
    let refused = Trust::parse(&encode_chain(vec![borrowed]));
    assert!(matches!(refused, Err(TrustError::Threshold { valid: 1, .. })), "{refused:?}");
    let message = Envelope::to_sign(&document);
    let added = envelope(&document, &[&a]).with_signature(b.public().id(), &b.sign(&message));
    assert!(Trust::parse(&encode_chain(vec![added.clone()])).is_ok());
    let again = added.clone().with_signature(b.public().id(), &b.sign(&message));
    assert_eq!(encode_chain(vec![again]), encode_chain(vec![added.clone()]), "a key's signature is there once");
    assert_eq!(added.signatures().unwrap().len(), 2);
    assert_eq!(added.open().unwrap(), (document, message));
}

/// A stolen root key that version 2 revoked: version 3 needs another one.
#[test]
fn a_revoked_root_key_does_not_count() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    let revoking = |version, keys: &[&TestKey], threshold, key: &TestKey| {
        let mut document = with_roots(version, keys, threshold);
        document.revoked_keys.insert(key.public().id());
        document
    };
    let v1 = || envelope(&with_roots(1, &[&a, &b], 1), &[&a]);
    let v2 = || envelope(&revoking(2, &[&a, &b], 1, &a), &[&b]);
    let v3 = with_roots(3, &[&a, &b], 1);
    for (name, chain, sound) in [
        ("revoked by the other", vec![v1(), v2()], true),
        ("signed by the revoked one", vec![v1(), v2(), envelope(&v3, &[&a])], false),
        ("signed by the other", vec![v1(), v2(), envelope(&v3, &[&b])], true),
        ("rotated and revoked", vec![v1(), envelope(&revoking(2, &[&b], 1, &a), &[&a, &b])], true),
        ("its own revocation", vec![v1(), envelope(&revoking(2, &[&a, &b], 1, &a), &[&a])], false),
    ] {
        let parsed = Trust::parse(&encode_chain(chain));
        let threshold = matches!(parsed, Err(TrustError::Threshold { valid: 0, .. }));
        assert!(if sound { parsed.is_ok() } else { threshold }, "case {name}: {parsed:?}");
    }
    // As a node asks that knows version 2 and is handed a file without it.
    let known = Trust::parse(&encode_chain(vec![v1(), v2()])).unwrap();
    let thief = Trust::parse(&encode_chain(vec![envelope(&v3, &[&a])])).unwrap();
    assert!(matches!(thief.stands_to(&known), Err(TrustError::Threshold { valid: 0, .. })));
    // Nobody could go on from it.
    for (keys, threshold) in [(vec![&a], 1), (vec![&a, &b], 2)] {
        let parsed = Trust::parse(&file(&revoking(1, &keys, threshold, &a), &[&a, &b]));
        assert!(matches!(parsed, Err(TrustError::Document(DocumentError::RootsRevoked { .. }))), "{parsed:?}");
    }
}

#[test]
fn documents_with_useless_roots_are_refused() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    for (name, keys, threshold) in
        [("nobody must sign", vec![&a], 0), ("more than there are", vec![&a], 2), ("one key twice", vec![&a, &a], 1)]
    {
        let parsed = Trust::parse(&file(&with_roots(1, &keys, threshold), &[&a, &b]));
        assert!(matches!(parsed, Err(TrustError::Document(_))), "case {name}: {parsed:?}");
    }
}

#[test]
fn other_formats_and_payloads_are_refused() {
    let key = TestKey::new(1);
    for (major, minor) in [(1, 2), (2, 0), (0, 9)] {
        let mut document = with_roots(1, &[&key], 1);
        document.format = FormatVersion { major, minor };
        let parsed = Trust::parse(&file(&document, &[&key]));
        assert!(matches!(parsed, Err(TrustError::Format(_))), "format {major}.{minor}: {parsed:?}");
    }
    let mut other = envelope(&with_roots(1, &[&key], 1), &[&key]);
    other.payload_type = "application/vnd.in-toto+json".to_owned();
    assert!(matches!(Trust::parse(&encode_chain(vec![other])), Err(TrustError::PayloadType(_))));
    for (name, change) in [
        ("payload", (|e: &mut Envelope| e.payload.push('!')) as fn(&mut Envelope)),
        ("signature", |e: &mut Envelope| e.signatures[0].sig.push('!')),
    ] {
        let mut bad = envelope(&with_roots(1, &[&key], 1), &[&key]);
        change(&mut bad);
        assert_eq!(Trust::parse(&encode_chain(vec![bad])), Err(TrustError::Base64), "case: {name}");
    }
}

#[test]
fn a_document_says_no_more_than_its_format() {
    let key = TestKey::new(1);
    let plain = || {
        let mut document = trust_in(&[&key], 1);
        document.format = TRUST_FORMAT_1_0;
        document
    };
    assert_eq!(plain().check(), Ok(()));
    type Change = fn(&mut TrustDocument);
    fn owner(document: &mut TrustDocument) -> &mut OwnerTrust {
        document.owners.values_mut().next().unwrap()
    }
    let cases: [(&str, Change); 7] = [
        ("another hook", |d| assert_eq!(owner(d).hooks.insert(Hook::Lsm, HookRule { band: None }), None)),
        ("kubelet", |d| owner(d).may_close = true),
        ("programs", |d| owner(d).limits.programs = Some(1)),
        ("map bytes", |d| owner(d).limits.map_bytes = Some(1)),
        ("required", |d| {
            owner(d).may_close = true;
            d.required_streams = ["netops-x".try_into().unwrap()].into();
        }),
        ("hold", |d| d.hold_seconds = 60),
        ("reserved", |d| d.reserved_interfaces = vec!["eth1".to_owned().try_into().unwrap()]),
    ];
    for (name, change) in cases {
        let mut document = plain();
        change(&mut document);
        assert!(matches!(document.check(), Err(DocumentError::FormatTooLow { .. })), "case: {name}");
        document.format = TRUST_FORMAT;
        assert_eq!(document.check(), Ok(()), "case: {name}");
    }
    for (name, hook, band) in [("no band", Hook::Xdp, None), ("a band for nothing", Hook::Lsm, Some("[1,2]"))] {
        let mut document = trust_in(&[&key], 1);
        let band = band.map(|band| json::parse(band.as_bytes(), 99).unwrap());
        owner(&mut document).hooks.insert(hook, HookRule { band });
        assert!(matches!(document.check(), Err(DocumentError::Band { .. })), "case: {name}");
    }
}

#[test]
fn kubelet_waits_only_for_streams_of_owners_that_may_close() {
    let key = TestKey::new(1);
    let mut document = trust_in(&[&key], 1);
    document.required_streams = ["netops-x".try_into().unwrap()].into();
    assert!(matches!(document.check(), Err(DocumentError::RequiredOpen { .. })));
    document.owners.values_mut().for_each(|owner| owner.may_close = true);
    assert_eq!(document.check(), Ok(()));
    document.required_streams.insert("somebody-else".try_into().unwrap());
    assert!(
        matches!(document.check(), Err(DocumentError::RequiredStranger(stream)) if stream.as_str() == "somebody-else")
    );
}

#[test]
fn kubelet_waits_no_longer_than_an_hour() {
    let key = TestKey::new(1);
    let mut document = trust_in(&[&key], 1);
    for (seconds, sound) in [(0, false), (1, true), (300, true), (3600, true), (3601, false), (u16::MAX, false)] {
        document.hold_seconds = seconds;
        assert_eq!(document.check().is_ok(), sound, "{seconds}");
    }
    for (text, want) in [("", Some(300)), (",\"holdSeconds\":7", Some(7)), (",\"holdSeconds\":65536", None)] {
        let text = format!("{{\"format\":\"1.1\",\"version\":1,\"owners\":{{}}{text}}}");
        let read = json::parse::<TrustDocument>(text.as_bytes(), 999).ok();
        assert_eq!(read.map(|document| document.hold_seconds), want, "case: {text}");
    }
}

#[test]
fn a_file_has_one_spelling() {
    let key = TestKey::new(1);
    let text = String::from_utf8(file(&with_roots(1, &[&key], 1), &[&key])).unwrap();
    Trust::parse(text.as_bytes()).unwrap();
    for (name, other) in [
        ("space", text.replacen(':', ": ", 1)),
        ("no line end", text.trim_end().to_owned()),
        ("two line ends", format!("{text}\n")),
        ("escape", text.replacen("chain", "ch\\u0061in", 1)),
    ] {
        assert_eq!(Trust::parse(other.as_bytes()), Err(TrustError::NotCanonical), "case: {name}");
    }
}

/// `authorize` is also asked by the compiler, without a bundle that filtered the keys before.
#[test]
fn revoked_keys_do_not_count_wherever_it_is_asked() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    let plan = crate::plan::tests::sample(b"object");
    let signers = SortedSet::from([a.public().id(), b.public().id()]);
    let mut trust = trust_in(&[&a, &b], 2);
    assert_eq!(trust.authorize(&plan, &signers), Ok(()));
    trust.revoked_keys.insert(a.public().id());
    assert!(matches!(trust.authorize(&plan, &signers), Err(PolicyRefusal::Signers { valid: 1, threshold: 2, .. })));
    let strangers = SortedSet::from([TestKey::new(3).public().id()]);
    assert!(matches!(trust.authorize(&plan, &strangers), Err(PolicyRefusal::Signers { valid: 0, .. })));
}

/// What is written is read again, each field: a bound that got lost on the way would be no bound.
#[test]
fn a_document_survives_its_own_encoding() {
    let key = TestKey::new(1);
    let read = |document: &TrustDocument| json::parse::<TrustDocument>(&document.encode(), 9999).unwrap();
    let plain = trust_in(&[&key], 1);
    assert_eq!(read(&plain), plain);
    let text = String::from_utf8(plain.encode()).unwrap();
    assert!(
        !["mayClose", "limits", "required", "\"hold"].iter().any(|key| text.contains(key)),
        "defaults are left out: {text}"
    );
    let mut full = with_roots(2, &[&key], 1);
    full.owners.values_mut().for_each(|owner| {
        owner.may_close = true;
        owner.limits = Limits { programs: Some(3), map_bytes: Some(4096) };
    });
    full.reserved_interfaces = vec!["br-ex".to_owned().try_into().unwrap()];
    full.required_streams = ["netops-x".try_into().unwrap()].into();
    full.hold_seconds = 17;
    full.audiences = vec!["prod".try_into().unwrap()];
    full.floors.insert("netops-x".try_into().unwrap(), 3i64.try_into().unwrap());
    full.revoked_keys.insert(TestKey::new(2).public().id());
    full.revoked_bundles.insert(Sha256Digest::of(b"x"));
    assert_eq!(read(&full), full);
    let chain = decode_chain(&file(&full, &[&key])).unwrap();
    assert_eq!(chain.len(), 1);
    assert_eq!(chain[0].open().unwrap().0, full);
}
