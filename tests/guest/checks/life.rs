//! The life of a stream: the rows of the event table, on a real kernel.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use aya::{Btf, EbpfLoader, programs::Lsm};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::{Code, Exit, StreamState};

use super::chain::load_theirs;
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Snapshot, Stream, chain, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "second-run-changes-nothing", needs: &[Feature::Freplace], run: idempotent },
    Test { name: "update-replaces", needs: &[Feature::Freplace], run: update },
    Test { name: "damage-keeps-what-runs", needs: &[Feature::Freplace], run: damage },
    Test { name: "ends-when-told", needs: &[Feature::Freplace], run: ends },
    Test { name: "waits-for-an-interface", needs: &[Feature::Freplace], run: waits },
    Test { name: "verifier-refusal-changes-nothing", needs: &[Feature::Freplace], run: verifier },
    Test { name: "without-freplace-is-refused", needs: &[Feature::Freplace, Feature::BpfLsm], run: no_freplace },
    Test { name: "two-at-once-take-turns", needs: &[Feature::Freplace], run: two_at_once },
    Test { name: "one-fails-alone", needs: &[Feature::Freplace], run: one_fails_alone },
    Test { name: "fault-in-first-apply", needs: &[Feature::Freplace], run: fault_in_first },
    Test { name: "fault-in-update", needs: &[Feature::Freplace], run: fault_in_update },
    Test { name: "fault-in-renewal", needs: &[Feature::Freplace], run: fault_in_renewal },
    Test { name: "fault-in-removal", needs: &[Feature::Freplace], run: fault_in_removal },
];

fn idempotent(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let before = Snapshot::take_settled()?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    before.expect_again()
}

/// A new revision replaces the old one in one swap; nothing of the old one stays.
fn update(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let report = node.apply_expecting(Exit::Done)?;
    let old = stream(&report, "drop")?.attachments[0].program_id;
    let revised = Stream { revision: 2, priority: 20, ..Stream::drop_port("drop", pair.near_name, 510) };
    let statement = node.ship(&revised)?;
    let report = node.apply_expecting(Exit::Done)?;
    let new = stream(&report, "drop")?;
    ensure!(new.statement == Some(statement) && new.attachments[0].program_id != old, "{new:?}");
    ensure!(chain(pair.near_name)? == [(20, "xdp_drop_udp_port".to_owned())], "{:?}", chain(pair.near_name)?);
    ensure!(fs::read_dir("/sys/fs/bpf/nodebpf/drop")?.count() == 1, "the old version's pins are left");
    ensure!(fs::read_dir("/sys/fs/bpf/xdp")?.count() == 1, "the old dispatcher's pins are left");
    Ok(())
}

type Damage = fn(&Node) -> Result<()>;

/// Damaged bundles and trust files: refused with their code, what runs keeps running.
fn damage(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let sound = Stream::drop_port("drop", pair.near_name, 510);
    let flip: Damage = |_| {
        let path = Node::bundle("drop");
        let mut bytes = fs::read(&path)?;
        let last = bytes.iter().rposition(|&byte| byte != 0).context("content")?;
        bytes[last] ^= 1;
        Ok(fs::write(path, bytes)?)
    };
    let cut: Damage = |_| {
        let bytes = fs::read(Node::bundle("drop"))?;
        Ok(fs::write(Node::bundle("drop"), &bytes[..bytes.len() / 2])?)
    };
    let rename: Damage = |_| Ok(fs::rename(Node::bundle("drop"), Node::bundle("other"))?);
    let rights: Damage = |node| {
        node.trust(|trust| {
            for owner in trust.owners.values_mut() {
                owner.hooks = nodeplan::sorted::SortedMap::new();
            }
        })
    };
    // Of a node that knows no other: else that one rules, and no stream is refused.
    let no_trust: Damage = |_| {
        fs::remove_file(Node::memory("trust.json"))?;
        Ok(fs::remove_file(Node::trust_file())?)
    };
    let bad_trust: Damage = |_| {
        fs::remove_file(Node::memory("trust.json"))?;
        Ok(fs::write(Node::trust_file(), b"{}")?)
    };
    let link: Damage = |_| {
        fs::rename(Node::bundle("drop"), "/tmp/elsewhere")?;
        Ok(std::os::unix::fs::symlink("/tmp/elsewhere", Node::bundle("drop"))?)
    };
    let cases: [(&str, Damage, &str, Code); 7] = [
        ("a flipped bit", flip, "drop", Code::BundleDamaged),
        ("half a bundle", cut, "drop", Code::BundleDamaged),
        ("another stream's name", rename, "other", Code::FileName),
        ("rights taken away", rights, "drop", Code::Policy),
        ("no trust file", no_trust, "drop", Code::TrustMissing),
        ("a damaged trust file", bad_trust, "drop", Code::TrustDamaged),
        ("a symbolic link", link, "drop", Code::UnsafeFile),
    ];
    for (name, damage, shown, code) in cases {
        node.trust(|_| ())?;
        node.ship(&sound)?;
        node.apply_expecting(Exit::Done).context(name)?;
        let before = Snapshot::take_settled()?;
        damage(&node).context(name)?;
        let report = node.apply_expecting(Exit::Refused).context(name)?;
        let refused = stream(&report, shown)?;
        ensure!(refused.state == StreamState::Refused, "{name}: {refused:?}");
        ensure!(refused.reason.as_ref().is_some_and(|reason| reason.code == code), "{name}: {refused:?}");
        if shown == "drop" {
            before.expect_again().context(name)?;
        }
        for left in ["drop", "other"] {
            let _ = fs::remove_file(Node::bundle(left));
        }
        node.trust(|_| ())?;
        node.apply_expecting(Exit::Done).context(name)?;
        ensure!(!Snapshot::take()?.has_pins(), "{name}: pins are left");
    }
    Ok(())
}

/// Expired, not applicable, revoked, below the floor, other audience, bundle gone: what runs is detached.
fn ends(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let mut node = Node::new()?;
    let expires = r#","expires":"2027-03-31T00:00:00Z""#;
    let sound = Stream { more: expires, ..Stream::pass("drop", pair.near_name, 510) };
    type Event = fn(&mut Node, &Stream) -> Result<()>;
    let cases: [(&str, Event, StreamState, Exit); 5] = [
        (
            "expired",
            |node, _| {
                node.now = "2027-03-31T00:00:01Z".try_into()?;
                Ok(())
            },
            StreamState::Expired,
            Exit::Done,
        ),
        (
            "revoked",
            |node, stream| {
                let digest = node.ship(stream)?;
                node.trust(|trust| trust.revoked_bundles = [digest].into())
            },
            StreamState::Refused,
            Exit::Done,
        ),
        (
            "below the floor",
            |node, _| {
                let floor = 2i64.try_into()?;
                node.trust(|trust| trust.floors = [("drop".try_into().expect("a name"), floor)].into())
            },
            StreamState::Refused,
            Exit::Done,
        ),
        (
            "other audience",
            |node, _| node.trust(|trust| trust.audiences = vec!["prod".try_into().expect("a name")]),
            StreamState::Refused,
            Exit::Done,
        ),
        ("bundle gone", |_, _| Node::remove("drop"), StreamState::Removed, Exit::Done),
    ];
    let start = node.now;
    for (name, change, state, exit) in cases {
        node.now = start;
        node.trust(|_| ())?;
        node.ship(&sound)?;
        node.apply_expecting(Exit::Done).context(name)?;
        ensure!(chain(pair.near_name)?.len() == 1, "{name}: not attached at first");
        change(&mut node, &sound).context(name)?;
        let report = node.apply_expecting(exit).context(name)?;
        ensure!(stream(&report, "drop")?.state == state, "{name}: {report:?}");
        ensure!(!Snapshot::take()?.has_pins(), "{name}: pins are left");
    }
    let keeps = Stream { on_removal: "keep", ..sound };
    node.now = start;
    node.trust(|_| ())?;
    node.ship(&keeps)?;
    node.apply_expecting(Exit::Done)?;
    Node::remove("drop")?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.state == StreamState::Removed, "{report:?}");
    ensure!(chain(pair.near_name)?.len() == 1, "onRemoval keep was not obeyed");
    Ok(())
}

/// An absent interface is pending, not failed, and picked up when it is there.
fn waits(_: &mut Ctx) -> Result<()> {
    let node = Node::new()?;
    node.ship(&Stream { interfaces: vec!["near*"], ..Stream::pass("drop", "near0", 510) })?;
    let report = node.apply_expecting(Exit::Done)?;
    let waiting = stream(&report, "drop")?;
    ensure!(waiting.state == StreamState::Pending && waiting.attachments.is_empty(), "{waiting:?}");
    ensure!(waiting.reason.as_ref().is_some_and(|reason| reason.code == Code::InterfaceAbsent), "{waiting:?}");
    let pair = Pair::new("near0", "far0")?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    ensure!(chain(pair.near_name)?.len() == 1, "not attached");
    ip("link del near0")?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.state == StreamState::Pending, "{report:?}");
    Ok(())
}

/// The verifier's useful line is in the report, the whole log in a file, and the kernel is as before.
fn verifier(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let before = Snapshot::take_settled()?;
    let bad = Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("drop", pair.near_name, 510) };
    node.ship(&bad)?;
    let report = node.apply_expecting(Exit::Failed)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.code == Code::Verifier && reason.message.contains("invalid access to packet"), "{reason:?}");
    let log = fs::read_to_string("/tmp/node/run/nodebpf/verifier/drop-xdp_bad.log").context("the log")?;
    ensure!(log.lines().count() > 3, "the log is short: {log}");
    before.expect_again()
}

/// A kernel without freplace: a feature is missing, said so, exit 4, nothing changes.
fn no_freplace(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    let mut object = EbpfLoader::new().load_file("/objects/lsm_deny_ext.bpf.o")?;
    let program: &mut Lsm = object.program_mut("deny_ext").context("the program")?.try_into()?;
    program.load("bpf", &Btf::from_sys_fs()?)?;
    program.attach()?;
    let before = Snapshot::take_settled()?;
    let report = node.apply_expecting(Exit::FeatureMissing)?;
    let refused = stream(&report, "drop")?;
    ensure!(refused.state == StreamState::Refused, "{refused:?}");
    ensure!(refused.reason.as_ref().is_some_and(|reason| reason.code == Code::FeatureMissing), "{refused:?}");
    before.expect_again()?;
    drop(object);
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.state == StreamState::Attached, "{report:?}");
    Ok(())
}

/// Two runs at once: both end well, one attaches, the other finds nothing to do.
fn two_at_once(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    let reports = std::thread::scope(|scope| {
        let runs = [(); 3].map(|()| scope.spawn(|| node.apply_expecting(Exit::Done)));
        runs.map(|run| run.join().map_err(|_| anyhow::anyhow!("a run panicked")))
    });
    let mut ids = Vec::new();
    for report in reports {
        ids.push(stream(&report??, "drop")?.attachments[0].program_id.context("attached")?);
    }
    ensure!(ids.iter().all(|id| *id == ids[0]), "loaded more than once: {ids:?}");
    ensure!(chain(pair.near_name)?.len() == 1, "{:?}", chain(pair.near_name)?);
    Ok(())
}

/// A stream that cannot be attached leaves its neighbours alone, also on the same interface.
fn one_fails_alone(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("bad", pair.near_name, 5) })?;
    node.ship(&Stream { mode: "skb", ..Stream::pass("other-mode", pair.near_name, 600) })?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    fs::write(Node::bundle("garbage"), b"not a bundle")?;
    let report = node.apply_expecting(Exit::Failed)?;
    for (name, state, code) in [
        ("bad", StreamState::Failed, Some(Code::Verifier)),
        ("drop", StreamState::Attached, None),
        ("garbage", StreamState::Refused, Some(Code::BundleDamaged)),
        ("other-mode", StreamState::Failed, Some(Code::ModeConflict)),
    ] {
        let one = stream(&report, name)?;
        ensure!(one.state == state && one.reason.as_ref().map(|reason| reason.code) == code, "{one:?}");
    }
    ensure!(chain(pair.near_name)? == [(510, "xdp_drop_udp_port".to_owned())], "{:?}", chain(pair.near_name)?);
    Ok(())
}

/// Makes every call of one run fail in turn, those of this guest's share. After each: done, or as before (ids included).
pub(super) fn every_fault(
    ctx: &Ctx,
    node: &Node,
    prepare: impl Fn() -> Result<()>,
    reset: impl Fn() -> Result<()>,
) -> Result<()> {
    let (mut n, mut tried, mut strict) = (0, 0, 0);
    // Every round begins with as much of everything as the first. What has that much has nothing left that is on its way
    // out; if it were wrong, what is compared with it below would fail.
    let mut start = None;
    loop {
        if !ctx.mine(n) {
            n += 1;
            continue;
        }
        prepare()?;
        let before = match &start {
            None => Snapshot::take_settled()?,
            Some(start) => Snapshot::take_of_shape(start)?,
        };
        start.get_or_insert_with(|| before.shape());
        let kernel = Kernel::failing_at(n);
        let outcome = node.apply_with(&kernel);
        if kernel.calls() <= n {
            ctx.say(&format!("{tried} of {} calls failed, {strict} of them before the first swap", kernel.calls()));
            ensure!(n > 10, "a run makes more than {n} calls");
            outcome?;
            return reset();
        }
        match outcome {
            // A run that was impossible has done nothing.
            Err(_) => before.expect_again().with_context(|| format!("call {n}, impossible"))?,
            Ok((report, Exit::Done)) => {
                // What was replaced goes a while later.
                std::thread::sleep(std::time::Duration::from_millis(200));
                let settled = Snapshot::take_settled()?;
                let again = node.apply_expecting(Exit::Done).with_context(|| format!("call {n}, again"))?;
                // A stream that was removed is not mentioned again.
                let lasting = report.streams.iter().filter(|one| one.state != StreamState::Removed);
                ensure!(lasting.eq(&again.streams), "call {n}: {report:?}, then {again:?}");
                settled.expect_again().with_context(|| format!("call {n}, done but not settled"))?;
            }
            Ok((report, exit)) => {
                ensure!(exit == Exit::Failed, "call {n}: {exit:?} {report:?}");
                let after = Snapshot::take_settled()?;
                if after.same_dispatchers(&before) {
                    strict += 1;
                    before.expect_again().with_context(|| format!("call {n}: {report:?}"))?;
                } else {
                    // After the first swap: undone by an equivalent action.
                    before.expect_equivalent().with_context(|| format!("call {n}: {report:?}"))?;
                }
            }
        }
        (n, tried) = (n + 1, tried + 1);
    }
}

pub(super) fn clear(node: &Node) -> Result<()> {
    let _ = fs::remove_file(Node::bundle("drop"));
    node.apply_expecting(Exit::Done)?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

fn fault_in_first(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let ship = || node.ship(&Stream::pass("drop", pair.near_name, 510)).map(drop);
    let prepare = || clear(&node).and_then(|()| ship());
    every_fault(ctx, &node, prepare, || clear(&node))
}

fn fault_in_update(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let prepare = || {
        node.ship(&Stream::pass("drop", pair.near_name, 510))?;
        node.apply_expecting(Exit::Done)?;
        node.ship(&Stream { revision: 2, ..Stream::pass("drop", pair.near_name, 20) }).map(drop)
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}

/// Nothing is to be done but to pin the link again, which leads to a dispatcher of libxdp's now.
fn fault_in_renewal(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let reset = || {
        let _ = xdp_loader(&format!("unload --all {}", pair.near_name));
        clear(&node)
    };
    let prepare = || {
        reset()?;
        node.ship(&Stream::pass("drop", pair.near_name, 510))?;
        node.apply_expecting(Exit::Done)?;
        load_theirs(pair.near_name)
    };
    every_fault(ctx, &node, prepare, reset)
}

fn fault_in_removal(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let prepare = || {
        node.ship(&Stream::pass("drop", pair.near_name, 510))?;
        node.apply_expecting(Exit::Done)?;
        Node::remove("drop")
    };
    every_fault(ctx, &node, prepare, || clear(&node))
}
