//! The threats of docs/security.md, each carried out against a node. The number is the row's; what has no test here is
//! out of reach, and the row says what detects it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nodebpf::sign::carrier;
use nodebpf_loader::read;
use nodeplan::{
    bundle::{self, Parts, Unverified},
    digest::Sha256Digest,
    dsse, limits,
    report::{Code, Exit, StreamState},
    sorted::SortedMap,
    statement,
};

use super::node::{
    self, ATTACHED, Key, NETOPS, Node, OBJECT, SECURITY, document, parts, parts_of, plan, signed, with_floor,
};

#[expect(clippy::unnecessary_wraps, reason = "what `Run::of` gives")]
fn refused(code: Code) -> Option<(StreamState, Option<Code>)> {
    Some((StreamState::Refused, Some(code)))
}

/// A node on which revision 1 of `netops-a` runs.
fn running() -> Node {
    let mut node = Node::trusting();
    node.ship(&plan("netops-a", "netops", 1));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    node
}

/// Ships what an attacker made and sees it refused, while what runs keeps running.
fn changes_nothing(node: &mut Node, parts: &Parts, code: Code, name: &str) {
    node.ship_parts("netops-a", parts);
    let run = node.run();
    assert_eq!(run.of("netops-a"), refused(code), "case {name}: {}", run.why("netops-a"));
    assert_eq!(node.runs("netops-a"), Some(1), "case: {name}");
    assert_eq!(run.exit, Exit::Refused, "case: {name}");
}

#[test]
fn t01_who_owns_the_repository_but_no_key_ships_nothing() {
    let mut node = running();
    let evil = plan("netops-a", "netops", 2);
    let sound = parts(&plan("netops-a", "netops", 1), &[&Key::new(NETOPS)]);
    // The signatures of the reviewed plan under another plan.
    let moved = Parts { statement: statement::encode(&evil), ..sound };
    changes_nothing(&mut node, &moved, Code::Signature, "signatures of another plan");
    changes_nothing(&mut node, &parts(&evil, &[]), Code::Signature, "unsigned");
    changes_nothing(&mut node, &parts(&evil, &[&Key::new(66)]), Code::Signature, "a key of the attacker's own");
    // Two people sign; one of them did not look.
    node.trust(2, |trust| {
        let netops = node::owner(trust, "netops");
        netops.signers.keys.push(Key::new(10).public());
        netops.signers.threshold = 2;
    });
    changes_nothing(&mut node, &parts(&evil, &[&Key::new(10)]), Code::Policy, "one careless signer");
}

#[test]
fn t02_who_writes_machineconfigs_but_has_no_key_changes_no_rule() {
    let mut node = running();
    let (root, thief) = (Key::new(1), Key::new(66));
    let mut evil = document(9, &[&thief]);
    evil.owners.values_mut().for_each(|owner| owner.signers.keys = vec![thief.public()]);
    node.ship_parts("netops-a", &parts(&plan("netops-a", "netops", 2), &[&thief]));
    // A trust file of the attacker's own, alone and behind the genuine chain; genuine roots with a forged signature.
    let genuine = || signed(&document(1, &[&root]), &[&root]);
    let mut forged = document(9, &[&root]);
    forged.owners = evil.owners.clone();
    let forged_signature = signed(&forged, &[]).with_signature(root.public().id(), &thief.sign(b"x"));
    for (name, chain, code) in [
        ("a root of its own", vec![signed(&evil, &[&thief])], Code::TrustFork),
        ("behind the genuine chain", vec![genuine(), signed(&evil, &[&thief])], Code::TrustDamaged),
        ("a forged signature", vec![genuine(), forged_signature], Code::TrustDamaged),
    ] {
        node.deliver(&chain);
        let run = node.run();
        assert_eq!((run.version(), run.problems()), (Some(1), vec![code]), "case: {name}");
        assert_eq!((run.of("netops-a"), node.runs("netops-a")), (refused(Code::Signature), Some(1)), "case: {name}");
    }
    // An older genuine file, from before a revocation.
    let mut node = running();
    node.trust(2, |trust| assert!(trust.revoked_keys.insert(Key::new(NETOPS).public().id())));
    assert_eq!(node.run().of("netops-a"), refused(Code::Revoked));
    node.deliver(&[genuine()]);
    node.reboot();
    let run = node.run();
    assert_eq!((run.version(), run.problems()), (Some(2), vec![Code::TrustOlder]));
    assert_eq!((run.of("netops-a"), node.runs("netops-a")), (refused(Code::Revoked), None));
}

#[test]
fn t04_an_old_revision_is_not_replayed() {
    let mut node = running();
    node.ship(&with_floor(3, 2));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    let old = parts(&plan("netops-a", "netops", 1), &[&Key::new(NETOPS)]);
    for detour in ["at once", "after a reboot", "after a removal", "as a file that was there all the time"] {
        match detour {
            "after a reboot" => node.reboot(),
            "after a removal" => {
                node.remove("netops-a");
                node.run();
                node.run();
            }
            _ => {}
        }
        node.ship_parts("netops-a", &old);
        let run = node.run();
        assert_eq!(run.of("netops-a"), refused(Code::BelowFloor), "case: {detour}");
        assert!(run.why("netops-a").contains("below the floor 2"), "case {detour}: {}", run.why("netops-a"));
        assert_eq!(node.runs("netops-a"), None, "case: {detour}");
    }
    // A node that never ran it has the floor of the trust file.
    let mut fresh = Node::trusting();
    fresh.trust(2, |trust| trust.floors = [("netops-a".try_into().unwrap(), 2i64.try_into().unwrap())].into());
    fresh.ship_parts("netops-a", &old);
    assert_eq!(fresh.run().of("netops-a"), refused(Code::BelowFloor));
}

#[test]
fn t05_a_bundle_of_another_cluster_does_not_run() {
    let mut node = Node::trusting();
    node.trust(2, |trust| trust.audiences = vec!["prod".try_into().unwrap()]);
    let mut lab = plan("netops-a", "netops", 1);
    for audience in [vec!["lab".try_into().unwrap()], vec![]] {
        lab.audience = audience;
        node.ship(&lab);
        assert_eq!(node.run().of("netops-a"), refused(Code::Audience), "{:?}", lab.audience);
    }
    lab.audience = vec!["lab".try_into().unwrap(), "prod".try_into().unwrap()];
    node.ship(&lab);
    assert_eq!(node.run().of("netops-a"), ATTACHED);
}

#[test]
fn t06_a_stolen_key_does_little_alone_and_nothing_when_revoked() {
    let (stolen, other, new) = (Key::new(NETOPS), Key::new(10), Key::new(11));
    let mut node = Node::trusting();
    node.trust(2, |trust| {
        let netops = node::owner(trust, "netops");
        netops.signers.keys.push(other.public());
        netops.signers.threshold = 2;
    });
    let sound = plan("netops-a", "netops", 1);
    node.ship_parts("netops-a", &parts(&sound, &[&stolen, &other]));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    changes_nothing(&mut node, &parts(&plan("netops-a", "netops", 2), &[&stolen]), Code::Policy, "one of two");
    // Twice the same key is one key.
    let twice = parts(&plan("netops-a", "netops", 2), &[&stolen, &stolen]);
    changes_nothing(&mut node, &twice, Code::Policy, "the same key twice");
    // Revoked: what it signed ends, and what is signed without it runs.
    node.trust(3, |trust| {
        let netops = node::owner(trust, "netops");
        netops.signers.keys.extend([other.public(), new.public()]);
        netops.signers.threshold = 2;
        assert!(trust.revoked_keys.insert(stolen.public().id()));
    });
    node.ship_parts("netops-a", &parts(&sound, &[&stolen, &other]));
    assert_eq!((node.run().of("netops-a"), node.runs("netops-a")), (refused(Code::Revoked), None));
    node.ship_parts("netops-a", &parts(&sound, &[&other, &new]));
    assert_eq!(node.run().of("netops-a"), ATTACHED);
}

/// A file that is exchanged all the time: what is read is one file or the other, whole, and what was hashed is what is
/// used.
#[test]
fn t07_a_file_that_is_swapped_while_it_is_read_is_one_of_the_two() {
    let node = Node::trusting();
    let good = parts(&plan("netops-a", "netops", 1), &[&Key::new(NETOPS)]).encode();
    let mut bad = good.clone();
    let at = bad.len() - 1024 - OBJECT.len();
    bad[at..at + 64].fill(b'!');
    let path = node.bundle("netops-a");
    node.put(&path, &good);
    node.put("run/good", &good);
    let trust = signed(&document(1, &[&Key::new(1)]), &[&Key::new(1)]).open().unwrap().0;
    let (stop, root) = (AtomicBool::new(false), node.path(""));
    let (mut taken, mut refused, mut links) = (0, 0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let next = root.join("run/next");
            while !stop.load(Ordering::Relaxed) {
                for bytes in [&bad, &good] {
                    fs::write(&next, bytes).unwrap();
                    fs::set_permissions(&next, fs::Permissions::from_mode(0o644)).unwrap();
                    fs::rename(&next, &path).unwrap();
                }
                symlink(root.join("run/good"), &next).unwrap();
                fs::rename(&next, &path).unwrap();
            }
        });
        // Until each was seen some times; a machine that does nothing else for so long will never see them.
        for _ in 0..1_000_000 {
            if taken > 9 && refused > 9 && links > 9 {
                break;
            }
            match read::read(&path, limits::BUNDLE_MAX_BYTES) {
                Ok(bytes) => match Unverified::decode(&bytes).and_then(|bundle| bundle.verify(&trust)) {
                    Ok(verified) => {
                        assert_eq!(verified.object(&Sha256Digest::of(OBJECT)), OBJECT);
                        assert_eq!(bytes, good);
                        taken += 1;
                    }
                    Err(_) => refused += 1,
                },
                Err(error) => {
                    assert!(matches!(error, read::ReadError::Unsafe(_)), "{error}");
                    links += 1;
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(taken > 0 && refused > 0 && links > 0, "{taken} taken, {refused} refused, {links} links: no race was seen");
}

#[test]
fn t08_nothing_is_parsed_that_nobody_signed() {
    let key = Key::new(NETOPS);
    let deep = "[".repeat(200_000).into_bytes();
    for (name, statement) in [("garbage", b"\xff\x00{".to_vec()), ("depth", deep), ("nothing", Vec::new())] {
        let mut node = running();
        // Without a good signature the verdict is about the signature: nobody has looked at the statement.
        changes_nothing(&mut node, &parts_of(statement.clone(), &[]), Code::Signature, name);
        changes_nothing(&mut node, &parts_of(statement.clone(), &[&Key::new(66)]), Code::Signature, name);
        // Signed, it is bounded and refused.
        changes_nothing(&mut node, &parts_of(statement, &[&key]), Code::Statement, name);
    }
    // An object that is no ELF is an error of the loader's reader, never a panic.
    for bytes in [&b""[..], b"\x7fELF", &[0xff; 4096]] {
        assert!(nodebpf_loader::object::Image::parse(bytes, &[]).is_err());
    }
}

#[test]
fn t09_links_and_paths_lead_nowhere() {
    let sound = parts(&plan("netops-a", "netops", 2), &[&Key::new(NETOPS)]).encode();
    type Attack = fn(&Node);
    let cases: [(&str, Attack); 3] = [
        ("the bundle is a link", |node| {
            fs::rename(node.bundle("netops-a"), node.path("run/elsewhere")).unwrap();
            symlink(node.path("run/elsewhere"), node.bundle("netops-a")).unwrap();
        }),
        ("the directory is a link", |node| {
            fs::rename(node.path("etc/nodebpf/bundles"), node.path("run/bundles")).unwrap();
            symlink(node.path("run/bundles"), node.path("etc/nodebpf/bundles")).unwrap();
        }),
        ("the directory above is a link", |node| {
            fs::rename(node.path("etc/nodebpf"), node.path("run/nodebpf-etc")).unwrap();
            symlink(node.path("run/nodebpf-etc"), node.path("etc/nodebpf")).unwrap();
        }),
    ];
    for (name, attack) in cases {
        let mut node = running();
        node.put(node.bundle("netops-a"), &sound);
        attack(&node);
        let run = node.run();
        assert_eq!(node.runs("netops-a"), Some(1), "case {name}: what runs runs on");
        let seen = run.problems().contains(&Code::UnsafeFile) || run.of("netops-a") == refused(Code::UnsafeFile);
        assert!(seen && run.exit == Exit::Refused, "case {name}: {:?}", run.report);
    }
    // A member that would be written elsewhere is no member.
    let mut node = running();
    let mut bytes = sound;
    // A header of the archive begins with the member's name.
    let at = (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(b"objects/")).unwrap();
    bytes[at..at + 8].copy_from_slice(b"../../x/");
    node.put(node.bundle("netops-a"), &bytes);
    assert_eq!(node.run().of("netops-a"), refused(Code::BundleDamaged));
    assert_eq!(node.runs("netops-a"), Some(1));
}

#[test]
fn t10_an_exception_ends_with_its_time_and_not_by_a_wrong_clock() {
    let mut node = Node::trusting();
    let mut patch = plan("netops-a", "netops", 1);
    patch.expires = Some("2027-03-31T00:00:00Z".try_into().unwrap());
    node.ship(&patch);
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    // Somebody sets an unsynchronised clock ahead, or back: neither ends nor prolongs.
    for year in ["2099-01-01T00:00:00Z", "1970-01-01T00:00:00Z"] {
        node.unverified = Some(year.try_into().unwrap());
        assert_eq!(node.run().of("netops-a"), ATTACHED, "{year}");
    }
    node.now = "2027-04-01T00:00:00Z".try_into().unwrap();
    let run = node.run();
    assert_eq!((run.of("netops-a"), node.runs("netops-a")), (Some((StreamState::Expired, Some(Code::Expired))), None));
    // The date is inside the signature.
    let mut longer = patch.clone();
    longer.expires = Some("2099-03-31T00:00:00Z".try_into().unwrap());
    let moved = Parts { statement: statement::encode(&longer), ..parts(&patch, &[&Key::new(NETOPS)]) };
    node.ship_parts("netops-a", &moved);
    assert_eq!(node.run().of("netops-a"), refused(Code::Signature));
}

/// Who holds updates back holds back new files, and not the end that the old ones carry.
#[test]
fn t11_a_stream_without_updates_ends_by_itself() {
    let mut node = Node::trusting();
    let mut patch = plan("netops-a", "netops", 1);
    patch.expires = Some("2027-03-31T00:00:00Z".try_into().unwrap());
    node.ship(&patch);
    for day in 1..=80 {
        node.now = nodeplan::time::Timestamp::from_unix_seconds(1_800_000_000 + day * 86_400);
        node.run();
    }
    assert_eq!(node.runs("netops-a"), None);
}

#[test]
fn t12_parts_of_several_bundles_make_no_bundle() {
    let key = Key::new(NETOPS);
    let one = plan("netops-a", "netops", 1);
    let sound = || parts(&one, &[&key]);
    let other = (Sha256Digest::of(b"other"), b"other".to_vec());
    let with = |objects: SortedMap<Sha256Digest, Vec<u8>>| Parts { objects, ..sound() };
    let mut both = sound().objects;
    both.insert(other.0, other.1.clone());
    for (name, parts) in [
        ("an object more", with(both)),
        ("no object", with(SortedMap::new())),
        ("another object", with(SortedMap::from([other]))),
        ("other bytes under the name", with(SortedMap::from([(Sha256Digest::of(OBJECT), b"objecT".to_vec())]))),
    ] {
        changes_nothing(&mut running(), &parts, Code::BundleDamaged, name);
    }
    // A sound bundle under the name of another stream.
    let mut node = running();
    node.ship_parts("netops-b", &sound());
    assert_eq!(node.run().of("netops-b"), refused(Code::FileName));
}

#[test]
fn t13_no_other_encoding_and_no_other_purpose_counts() {
    let key = Key::new(NETOPS);
    let plan = plan("netops-a", "netops", 2);
    let statement = statement::encode(&plan);
    let message = bundle::to_sign(&statement);
    let der = key.sign(&message);
    let mut long = der.clone();
    long.insert(1, 0x81); // the length in two bytes
    let mut behind = der.clone();
    behind.push(0);
    // s' = n - s is left to ECDSA; a zero is no signature at all.
    let zero = vec![0x30, 6, 2, 1, 0, 2, 1, 0];
    for (name, signature) in [
        ("a signature of a trust file", key.sign(&dsse::pae(dsse::TRUST_TYPE, &statement))),
        ("a signature of the bare bytes", key.sign(&statement)),
        ("64 bytes r and s", key.sign_raw(&message)),
        ("DER with a long length", long),
        ("bytes behind the DER", behind),
        ("zeros", zero),
        ("nothing", Vec::new()),
    ] {
        let mut spoiled = parts(&plan, &[]);
        spoiled.signatures.insert(key.public().id(), signature);
        changes_nothing(&mut running(), &spoiled, Code::Signature, name);
    }
    // A good signature under another key's name.
    let mut borrowed = parts(&plan, &[]);
    borrowed.signatures.insert(Key::new(SECURITY).public().id(), der);
    changes_nothing(&mut running(), &borrowed, Code::Signature, "another key's name");
}

/// Bytes that this thread has read so far, from whatever: `proc_pid_io(5)`.
fn read_by_this_thread() -> u64 {
    let io = fs::read_to_string("/proc/thread-self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn t14_no_file_stops_the_others() {
    let mut node = running();
    node.ship(&plan("netops-b", "netops", 1));
    // 1 TiB of holes: refused by its bound and not by memory.
    let huge = fs::File::create(node.bundle("netops-huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    node.put(node.bundle("netops-empty"), b"");
    node.put(node.bundle("netops-zeros"), &vec![0; 1 << 20]);
    node.put("etc/nodebpf/bundles/NOT A BUNDLE", b"");
    fs::create_dir(node.bundle("netops-dir")).unwrap();
    let fifo = std::ffi::CString::new(node.bundle("netops-pipe").to_str().unwrap()).unwrap();
    // SAFETY: the path ends with NUL.
    #[allow(unsafe_code, reason = "mkfifo(3)")]
    let made = unsafe { libc::mkfifo(fifo.as_ptr(), 0o644) };
    assert_eq!(made, 0);
    node.put("etc/nodebpf/trust.json", &vec![b'['; limits::TRUST_MAX_BYTES + 1]);
    let before = read_by_this_thread();
    let run = node.run();
    // A file is read up to its bound and no further, whatever it says of its size; a trust file and its copies too.
    let read = read_by_this_thread() - before;
    assert!(read < (limits::BUNDLE_MAX_BYTES + 4 * limits::TRUST_MAX_BYTES) as u64, "{read} bytes were read");
    for stream in ["netops-a", "netops-b"] {
        assert_eq!(run.of(stream), ATTACHED, "{stream}");
    }
    for stream in ["netops-huge", "netops-empty", "netops-zeros", "netops-dir", "netops-pipe"] {
        assert!(matches!(run.of(stream), Some((StreamState::Refused, Some(_)))), "{stream}: {:?}", run.of(stream));
    }
    assert_eq!(run.problems().len(), 2, "{:?}", run.report.problems);
    // Nobody can make kubelet wait for ever.
    let mut waits = document(2, &[]);
    waits.hold_seconds = u16::MAX;
    assert!(waits.check().is_err());
}

/// What a compiler ships is a function of the plan: whoever encodes the plan of a committed bundle again gets its very
/// bytes, so a compiler that adds something is found by any second one.
#[test]
fn t15_a_bundle_holds_nothing_but_its_plan() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(root.join("examples/machineconfigs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        for bundle in carrier::bundles(&path, &fs::read(&path).unwrap()).unwrap_or_default() {
            let unverified = Unverified::decode(&bundle.bytes).unwrap();
            let plan = unverified.inspect().unwrap();
            assert_eq!(statement::encode(&plan), unverified.parts().statement, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0, "no committed bundle was looked at");
}

#[test]
fn takeover_by_another_owner_needs_a_step_that_is_seen() {
    let mut node = running();
    // The globs are moved, by mistake or by an inside job: the trust file is signed and the bundle is, too.
    node.trust(2, |trust| {
        let netops = node::owner(trust, "netops");
        netops.streams = vec!["old-*".to_owned().try_into().unwrap()];
        let security = node::owner(trust, "security");
        security.streams = vec!["netops-*".to_owned().try_into().unwrap()];
    });
    let taken = plan("netops-a", "security", 7);
    node.ship(&taken);
    for reboot in [false, true] {
        if reboot {
            node.reboot();
        }
        let run = node.run();
        assert_eq!(run.of("netops-a"), refused(Code::Takeover), "reboot {reboot}");
        for word in ["`netops-a`", "`netops`", "`security`", "take the bundle away"] {
            assert!(run.why("netops-a").contains(word), "{}", run.why("netops-a"));
        }
        assert_eq!(node.runs("netops-a"), (!reboot).then_some(1), "what runs is not the new owner's");
    }
    // In two steps that are seen it may change hands.
    node.remove("netops-a");
    node.run();
    node.ship(&taken);
    assert_eq!(node.run().of("netops-a"), ATTACHED);
    node.ship(&node::plan("netops-a", "netops", 8));
    assert!(matches!(node.run().of("netops-a"), Some((StreamState::Refused, _))), "and does not go back unseen");
}

/// The file that says whose streams are is gone or damaged: what runs still says it.
#[test]
fn takeover_beside_a_lost_memory() {
    for bytes in [None, Some(&b"{"[..])] {
        let mut node = running();
        match bytes {
            Some(bytes) => node.put("var/lib/nodebpf/memory.json", bytes),
            None => fs::remove_file(node.path("var/lib/nodebpf/memory.json")).unwrap(),
        }
        node.trust(2, |trust| {
            node::owner(trust, "netops").streams = vec![];
            node::owner(trust, "security").streams = vec!["netops-*".to_owned().try_into().unwrap()];
        });
        node.ship(&plan("netops-a", "security", 7));
        for (run, problems) in [("first", vec![Code::MemoryDamaged]), ("second", vec![])] {
            let ran = node.run();
            assert_eq!(ran.of("netops-a"), refused(Code::Takeover), "{bytes:?}, {run} run");
            assert_eq!((node.runs("netops-a"), ran.problems()), (Some(1), problems), "{bytes:?}, {run} run");
        }
    }
}

/// A directory that cannot be read is no removal: owners are not forgotten by it.
#[test]
fn takeover_by_a_directory_that_is_gone_for_a_moment() {
    let mut node = running();
    fs::rename(node.path("etc/nodebpf/bundles"), node.path("run/aside")).unwrap();
    node.reboot();
    node.run();
    fs::rename(node.path("run/aside"), node.path("etc/nodebpf/bundles")).unwrap();
    node.trust(2, |trust| {
        node::owner(trust, "netops").streams = vec![];
        node::owner(trust, "security").streams = vec!["netops-*".to_owned().try_into().unwrap()];
    });
    node.ship(&plan("netops-a", "security", 7));
    assert_eq!(node.run().of("netops-a"), refused(Code::Takeover));
}
