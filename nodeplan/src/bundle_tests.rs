use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::array::Array,
};

use super::*;
use crate::{
    hook::{Attachment, Hook},
    key::PublicKey,
    plan::{FailurePolicy, tests::sample},
    trust::{HookRule, KeySet, Limits, OwnerTrust, TRUST_FORMAT},
};

/// A fixed key, so that the tests are the same on every run.
pub(crate) struct TestKey(SigningKey);

impl TestKey {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&Array::from([seed; 32])).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let der = [crate::digest::from_hex(prefix).unwrap().as_slice(), point.as_bytes()].concat();
        PublicKey::from_spki_der(&der).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }
}

pub(crate) fn trust_in(keys: &[&TestKey], threshold: usize) -> TrustDocument {
    let owner = OwnerTrust {
        signers: KeySet { keys: keys.iter().map(|key| key.public()).collect(), threshold },
        streams: vec!["netops-*".to_owned().try_into().unwrap()],
        hooks: SortedMap::from([(Hook::Xdp, HookRule { band: Some(crate::json::parse(b"[500,599]", 99).unwrap()) })]),
        may_close: false,
        limits: Limits::default(),
    };
    TrustDocument {
        format: TRUST_FORMAT,
        version: 1,
        audiences: vec![],
        roots: None,
        owners: SortedMap::from([("netops".try_into().unwrap(), owner)]),
        reserved_interfaces: vec![],
        floors: SortedMap::new(),
        revoked_keys: SortedSet::new(),
        required_streams: SortedSet::new(),
        hold_seconds: crate::trust::HOLD_SECONDS,
        revoked_bundles: SortedSet::new(),
    }
}

fn signed(keys: &[&TestKey], change: impl FnOnce(&mut NodePlan)) -> Parts {
    let mut plan = sample(b"object");
    change(&mut plan);
    let statement = statement::encode(&plan);
    let signatures = keys.iter().map(|key| (key.public().id(), key.sign(&to_sign(&statement)))).collect();
    Parts { statement, signatures, objects: SortedMap::from([(Sha256Digest::of(b"object"), b"object".to_vec())]) }
}

fn open(bytes: &[u8], trust: &TrustDocument) -> Result<Verified, Refusal> {
    Unverified::decode(bytes)?.verify(trust)
}

#[test]
fn a_signed_bundle_is_opened() {
    let key = TestKey::new(1);
    let verified = open(&signed(&[&key], |_| ()).encode(), &trust_in(&[&key], 1)).unwrap();
    assert_eq!(verified.plan().stream.as_str(), "netops-x");
    assert_eq!(verified.object(&Sha256Digest::of(b"object")), b"object");
    assert_eq!(verified.signers().len(), 1);
}

#[test]
fn every_flipped_bit_is_refused() {
    let key = TestKey::new(1);
    let trust = trust_in(&[&key], 1);
    let bundle = signed(&[&key], |_| ()).encode();
    for at in 0..bundle.len() * 8 {
        let mut bad = bundle.clone();
        bad[at / 8] ^= 1 << (at % 8);
        assert!(open(&bad, &trust).is_err(), "bit {at} is outside the check");
    }
}

#[test]
fn every_truncation_is_refused() {
    let key = TestKey::new(1);
    let trust = trust_in(&[&key], 1);
    let bundle = signed(&[&key], |_| ()).encode();
    for len in 0..bundle.len() {
        assert!(open(&bundle[..len], &trust).is_err(), "length {len}");
    }
}

#[test]
fn who_signed_decides() {
    let (a, b, stranger) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
    let revoked = |key: &TestKey| {
        let mut trust = trust_in(&[&a, &b], 1);
        trust.revoked_keys.insert(key.public().id());
        trust
    };
    let cases: [(&str, &[&TestKey], TrustDocument, Option<Code>); 8] = [
        ("one of one", &[&a], trust_in(&[&a], 1), None),
        ("two of two", &[&a, &b], trust_in(&[&a, &b], 2), None),
        ("one of two", &[&a], trust_in(&[&a, &b], 2), Some(Code::Policy)),
        ("a stranger's signature beside a good one", &[&a, &stranger], trust_in(&[&a], 1), None),
        ("a stranger alone", &[&stranger], trust_in(&[&a], 1), Some(Code::Signature)),
        ("nobody", &[], trust_in(&[&a], 1), Some(Code::Signature)),
        ("a revoked key alone", &[&a], revoked(&a), Some(Code::Revoked)),
        ("a revoked key beside a good one", &[&a, &b], revoked(&a), None),
    ];
    for (name, keys, trust, want) in cases {
        let got = open(&signed(keys, |_| ()).encode(), &trust);
        assert_eq!(got.as_ref().err().map(Refusal::code), want, "case {name}: {got:?}");
    }
}

#[test]
fn a_known_key_with_a_bad_signature_is_refused_beside_a_good_one() {
    let (a, b) = (TestKey::new(1), TestKey::new(2));
    let mut parts = signed(&[&a, &b], |_| ());
    let wrong = b.sign(b"something else");
    parts.signatures.insert(b.public().id(), wrong);
    assert_eq!(open(&parts.encode(), &trust_in(&[&a, &b], 1)), Err(Refusal::Signature(b.public().id())));
}

#[test]
fn rights_are_checked() {
    type Change = fn(&mut NodePlan);
    let key = TestKey::new(1);
    let cases: [(&str, Change, Code); 6] = [
        ("other owner", |p| p.owner = "security".try_into().unwrap(), Code::Policy),
        ("stream of others", |p| p.stream = "security-x".try_into().unwrap(), Code::Policy),
        (
            "priority of others",
            |p| {
                let Attachment::Xdp(xdp) = &mut p.programs[0].attach[0] else { unreachable!("the sample's hook") };
                xdp.priority = 499i64.try_into().unwrap();
            },
            Code::Policy,
        ),
        ("audience", |p| p.audience = vec!["prod".try_into().unwrap()], Code::Audience),
        ("newer plan", |p| p.plan_version.minor = 2, Code::PlanTooNew),
        ("kubelet held back", |p| (p.failure_policy, p.plan_version.minor) = (FailurePolicy::Closed, 1), Code::Policy),
    ];
    for (name, change, want) in cases {
        let got = open(&signed(&[&key], change).encode(), &trust_in(&[&key], 1)).unwrap_err();
        assert_eq!(got.code(), want, "case {name}: {got}");
    }
    let mut no_xdp = trust_in(&[&key], 1);
    no_xdp.owners.values_mut().for_each(|owner| owner.hooks = SortedMap::new());
    assert_eq!(open(&signed(&[&key], |_| ()).encode(), &no_xdp).unwrap_err().code(), Code::Policy);
    let mut reserved = trust_in(&[&key], 1);
    reserved.reserved_interfaces = vec!["eth1".to_owned().try_into().unwrap()];
    let refusal = open(&signed(&[&key], |_| ()).encode(), &reserved).unwrap_err();
    assert_eq!(refusal.to_string(), "program `p` selects `eth*`, and `eth1` is reserved");
    let mut one = trust_in(&[&key], 1);
    one.owners.values_mut().for_each(|owner| owner.limits.programs = Some(1));
    assert!(open(&signed(&[&key], |_| ()).encode(), &one).is_ok(), "the limit itself is allowed");
    let mut none = trust_in(&[&key], 1);
    none.owners.values_mut().for_each(|owner| owner.limits.programs = Some(0));
    assert_eq!(open(&signed(&[&key], |_| ()).encode(), &none).unwrap_err().code(), Code::Policy);
}

#[test]
fn floors_and_revocation_are_checked() {
    let key = TestKey::new(1);
    let parts = signed(&[&key], |_| ());
    let mut trust = trust_in(&[&key], 1);
    trust.floors.insert("netops-x".try_into().unwrap(), 3i64.try_into().unwrap());
    assert!(open(&parts.encode(), &trust).is_ok(), "the floor itself is allowed");
    trust.floors.insert("netops-x".try_into().unwrap(), 4i64.try_into().unwrap());
    assert_eq!(open(&parts.encode(), &trust).unwrap_err().code(), Code::BelowFloor);
    let mut trust = trust_in(&[&key], 1);
    trust.revoked_bundles.insert(Sha256Digest::of(&parts.statement));
    assert_eq!(open(&parts.encode(), &trust).unwrap_err().code(), Code::Revoked);
    // Also if its key was dropped with it.
    trust.owners.values_mut().for_each(|owner| owner.signers.keys = vec![TestKey::new(2).public()]);
    assert_eq!(open(&parts.encode(), &trust).unwrap_err().code(), Code::Revoked);
}

#[test]
fn members_are_exactly_the_statements() {
    let key = TestKey::new(1);
    let trust = trust_in(&[&key], 1);
    let sound = signed(&[&key], |_| ());
    let mut extra = sound.clone();
    extra.objects.insert(Sha256Digest::of(b"more"), b"more".to_vec());
    assert!(matches!(open(&extra.encode(), &trust), Err(Refusal::Member(_))));
    let mut missing = sound.clone();
    missing.objects = SortedMap::new();
    assert!(matches!(open(&missing.encode(), &trust), Err(Refusal::Missing(_))));
    let mut swapped = sound;
    swapped.objects.values_mut().for_each(|object| *object = b"other".to_vec());
    assert!(matches!(open(&swapped.encode(), &trust), Err(Refusal::Digest { .. })));
    let unsorted = archive::encode(&[Member { name: "objects/x.o", bytes: b"" }]);
    assert!(matches!(open(&unsorted, &trust), Err(Refusal::Member(_))));
    assert!(matches!(open(&archive::encode(&[]), &trust), Err(Refusal::Missing(_))));
}

fn archive_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    archive::encode(&members.iter().map(|(name, bytes)| Member { name, bytes }).collect::<Vec<_>>())
}

#[test]
fn sizes_are_bounded_before_anything_is_believed() {
    let zeros = |len: usize| vec![0u8; len];
    let id = TestKey::new(1).public().id();
    let (signature, object) = (format!("signatures/{id}.sig"), statement::object_member(&Sha256Digest::of(b"object")));
    let whole = zeros(limits::BUNDLE_MAX_BYTES + 1);
    assert!(matches!(Unverified::decode(&whole), Err(Refusal::TooLarge { .. })));
    assert!(!matches!(Unverified::decode(&whole[1..]), Err(Refusal::TooLarge { .. })), "the limit itself is allowed");
    let cases: [(&str, &str, usize); 3] = [
        ("statement", STATEMENT_MEMBER, limits::STATEMENT_MAX_BYTES),
        ("signature", &signature, limits::SIGNATURE_MAX_BYTES),
        ("object", &object, limits::OBJECT_MAX_BYTES),
    ];
    for (name, member, max) in cases {
        let bundle = |len: usize| {
            let bytes = zeros(len);
            let mut members: Vec<(&str, &[u8])> = vec![(STATEMENT_MEMBER, b"x")];
            if member == STATEMENT_MEMBER {
                members[0].1 = &bytes;
            } else {
                members.push((member, &bytes));
            }
            archive_of(&members)
        };
        assert!(Unverified::decode(&bundle(max)).is_ok(), "case {name}: the limit itself is allowed");
        let refusal = Unverified::decode(&bundle(max + 1)).unwrap_err();
        assert!(matches!(refusal, Refusal::MemberTooLarge { len, .. } if len == max + 1), "case {name}: {refusal}");
    }
    let ids: Vec<String> = (0..limits::BUNDLE_MAX_MEMBERS)
        .map(|n| format!("signatures/{}.sig", Sha256Digest::of(&n.to_le_bytes())))
        .collect();
    let mut members: Vec<(&str, &[u8])> = vec![(STATEMENT_MEMBER, b"x")];
    members.extend(ids.iter().map(|id| (id.as_str(), b"".as_slice())));
    members[1..].sort_unstable();
    assert!(matches!(
        Unverified::decode(&archive_of(&members)),
        Err(Refusal::Archive(archive::ArchiveError::TooManyMembers(limits::BUNDLE_MAX_MEMBERS)))
    ));
    members.pop();
    assert!(Unverified::decode(&archive_of(&members)).is_ok(), "the limit itself is allowed");
}

#[test]
fn members_stand_in_one_order_each_once() {
    let key = TestKey::new(1);
    let trust = trust_in(&[&key], 1);
    let parts = signed(&[&key], |_| ());
    let signature = format!("signatures/{}.sig", key.public().id());
    let object = statement::object_member(&Sha256Digest::of(b"object"));
    let (s, g, o) = (
        (STATEMENT_MEMBER, parts.statement.as_slice()),
        (signature.as_str(), parts.signatures.values().next().unwrap().as_slice()),
        (object.as_str(), b"object".as_slice()),
    );
    assert!(open(&archive_of(&[s, g, o]), &trust).is_ok());
    for (name, members) in [
        ("objects first", vec![s, o, g]),
        ("signature twice", vec![s, g, g, o]),
        ("object twice", vec![s, g, o, o]),
        ("statement twice", vec![s, s, g, o]),
        ("statement last", vec![g, o, s]),
        ("a name of nobody", vec![s, g, o, ("readme", b"x")]),
        ("a signature of nobody", vec![s, g, ("signatures/x.sig", b"x"), o]),
        ("an upper-case id", vec![s, (&*format!("signatures/{}.sig", "A".repeat(64)), g.1), o]),
    ] {
        let refusal = open(&archive_of(&members), &trust).unwrap_err();
        assert!(matches!(refusal, Refusal::Member(_)), "case {name}: {refusal}");
    }
}

#[test]
fn inspection_compares_objects_and_no_signature() {
    let key = TestKey::new(1);
    let sound = signed(&[&key], |_| ());
    let inspect = |parts: &Parts| Unverified::decode(&parts.encode()).unwrap().inspect();
    assert_eq!(inspect(&Parts { signatures: SortedMap::new(), ..sound.clone() }).unwrap().bytes(), sound.statement);
    let mut swapped = sound.clone();
    swapped.objects.values_mut().for_each(|object| *object = b"other".to_vec());
    assert!(matches!(inspect(&swapped), Err(Refusal::Digest { .. })));
    assert!(matches!(inspect(&Parts { objects: SortedMap::new(), ..sound.clone() }), Err(Refusal::Missing(_))));
    assert!(matches!(inspect(&Parts { statement: b"{}".to_vec(), ..sound }), Err(Refusal::Statement(_))));
}

#[test]
fn a_verified_bundle_says_who_and_what() {
    let (a, b, stranger) = (TestKey::new(1), TestKey::new(2), TestKey::new(3));
    let parts = signed(&[&a, &b, &stranger], |_| ());
    let verified = open(&parts.encode(), &trust_in(&[&a, &b], 1)).unwrap();
    assert_eq!(verified.statement_digest(), Sha256Digest::of(&parts.statement));
    assert_eq!(*verified.signers(), SortedSet::from([a.public().id(), b.public().id()]), "strangers do not count");
}

#[test]
fn audiences_must_meet() {
    let key = TestKey::new(1);
    let cases: [(&str, &[&str], &[&str], bool); 6] = [
        ("none and none", &[], &[], true),
        ("the same", &["prod"], &["prod"], true),
        ("one of several", &["prod", "stage"], &["dev", "stage"], true),
        ("another", &["prod"], &["stage"], false),
        ("a bundle for all on a node with one", &[], &["prod"], false),
        ("a bundle for some on a node with none", &["prod"], &[], false),
    ];
    let names = |list: &[&str]| list.iter().map(|name| (*name).try_into().unwrap()).collect::<Vec<_>>();
    for (case, bundle, node, want) in cases {
        let mut trust = trust_in(&[&key], 1);
        trust.audiences = names(node);
        let got = open(&signed(&[&key], |plan| plan.audience = names(bundle)).encode(), &trust);
        assert_eq!(got.is_ok(), want, "case: {case}");
        if !want {
            assert_eq!(got.unwrap_err().code(), Code::Audience, "case: {case}");
        }
    }
}

#[test]
fn a_signature_covers_its_statement_and_no_other() {
    let key = TestKey::new(1);
    let trust = trust_in(&[&key], 1);
    assert_eq!(to_sign(b"{}"), b"DSSEv1 28 application/vnd.in-toto+json 2 {}");
    let (three, four) =
        (signed(&[&key], |_| ()), signed(&[&key], |plan| plan.revision = Revision::try_from(4).unwrap()));
    assert_eq!(Unverified::decode(&three.encode()).unwrap().parts(), three);
    let borrowed = Parts { signatures: three.signatures, ..four.clone() };
    assert_eq!(open(&borrowed.encode(), &trust), Err(Refusal::Signature(key.public().id())));
    // Signed, but as something else: without the payload type, and as a trust document.
    for message in [four.statement.clone(), dsse::pae(dsse::TRUST_TYPE, &four.statement)] {
        let signatures = SortedMap::from([(key.public().id(), key.sign(&message))]);
        let parts = Parts { signatures, ..four.clone() };
        assert_eq!(open(&parts.encode(), &trust), Err(Refusal::Signature(key.public().id())));
    }
}
