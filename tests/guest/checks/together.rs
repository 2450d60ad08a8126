//! Several streams on one node: what befalls one does not befall the others, and not what ran before.

use std::{collections::BTreeSet, fs, os::fd::AsFd as _};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::{Code, Exit, Report, StreamState};

use super::hook_streams::{INGRESS, OBJECT, attached, node, ship, soon, tc_on, tcx};
use crate::{
    bpf::{self, AttachType, Kind},
    features::{Feature, smallest},
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Snapshot, Stream, chain, run, said, stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "together-a-record-that-cannot-be-written", needs: &[Feature::Freplace], run: record },
    Test { name: "together-a-fault-in-an-update", needs: &[], run: faults },
    Test { name: "together-a-version-without-record", needs: &[], run: no_record },
    Test { name: "together-an-undo-without-record", needs: &[Feature::Freplace], run: undo_without_record },
    Test {
        name: "together-an-undo-without-record-of-what-left",
        needs: &[Feature::Freplace],
        run: left_without_record,
    },
    Test { name: "together-an-undo-of-links-without-record", needs: &[Feature::Tcx], run: links_without_record },
    Test { name: "together-no-old-program-stays", needs: &[Feature::Freplace], run: old_goes },
    Test { name: "together-a-stream-without-xdp-waits-for-nobody", needs: &[], run: no_xdp },
    Test { name: "together-an-impostor-of-a-dispatcher", needs: &[], run: impostor },
];

const RUN: &str = "/tmp/node/run/nodebpf/streams";

/// A stream with one program on the hook where old and new run side by side during an update.
fn ship_exec(node: &Node, name: &str, revision: u32) -> Result<()> {
    let place = r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#.to_owned();
    ship(node, name, revision, OBJECT, &[("raw_exec", place, "")], "").map(drop)
}

/// Pins of the programs of a stream, as directories of versions.
fn versions(name: &str) -> Result<BTreeSet<String>> {
    let dir = format!("/sys/fs/bpf/nodebpf/{name}");
    let mut found = BTreeSet::new();
    for version in fs::read_dir(&dir).with_context(|| format!("reading {dir}"))? {
        let version = version?;
        if fs::read_dir(version.path().join("programs"))?.next().is_some() {
            found.insert(version.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}

fn state(report: &Report, name: &str) -> Result<(StreamState, Option<u32>)> {
    let one = stream(report, name)?;
    Ok((one.state, one.revision.map(nodeplan::plan::Revision::get)))
}

/// The record of one of two streams cannot be written: that one goes back, the other one is updated for good.
fn record(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let both = |revision| -> Result<()> {
        node.ship(&Stream { revision, ..Stream::pass("bad", pair.near_name, 510) })?;
        ship_exec(&node, "good", revision)
    };
    both(1)?;
    node.apply_expecting(Exit::Done)?;
    let blocks = [format!("{RUN}/bad.json.new"), format!("{RUN}/bad.new")];
    both(2)?;
    blocks.iter().try_for_each(fs::create_dir)?;
    let report = node.apply_expecting(Exit::Failed)?;
    ensure!(state(&report, "good")? == (StreamState::Attached, Some(2)), "{report:?}");
    ensure!(state(&report, "bad")? == (StreamState::Failed, Some(1)), "{report:?}");
    ensure!(
        versions("good")?.len() == 1 && versions("bad")?.len() == 1,
        "{:?} {:?}",
        versions("good")?,
        versions("bad")?
    );
    ensure!(chain(pair.near_name)?.len() == 1, "{:?}", chain(pair.near_name)?);
    let ran = attached(stream(&report, "good")?)?;
    blocks.iter().try_for_each(fs::remove_dir)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(attached(stream(&report, "good")?)? == ran, "loaded anew: {report:?}");
    ensure!(state(&report, "bad")? == (StreamState::Attached, Some(2)), "{report:?}");
    Ok(())
}

/// Any call of an update of two streams fails: what the report calls attached is there, and the next run has nothing to
/// do about it.
fn faults(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let both = |revision| ["one", "two"].iter().try_for_each(|name| ship_exec(&node, name, revision));
    let (mut n, mut tried, mut one_alone) = (0, 0, 0);
    loop {
        if !ctx.mine(n) {
            n += 1;
            continue;
        }
        both(1)?;
        node.apply_expecting(Exit::Done).with_context(|| format!("before call {n}"))?;
        both(2)?;
        let kernel = Kernel::failing_at(n);
        let outcome = node.apply_with(&kernel);
        if kernel.calls() <= n {
            outcome?;
            break;
        }
        let ends = outcome.as_ref().map(|(report, _)| report.clone());
        let report = node.apply_expecting(Exit::Done).with_context(|| format!("after call {n}: {ends:?}"))?;
        let mut kept = 0;
        for name in ["one", "two"] {
            ensure!(versions(name)?.len() == 1, "call {n}: {:?}", versions(name)?);
            ensure!(state(&report, name)? == (StreamState::Attached, Some(2)), "call {n}: {report:?}");
            let Ok(first) = &ends else { continue };
            if state(first, name)? == (StreamState::Attached, Some(2)) {
                kept += 1;
                let ids = attached(stream(first, name)?).unwrap_or_default();
                // Empty: the fault hit what looks for the report.
                ensure!(
                    ids.is_empty() || attached(stream(&report, name)?)? == ids,
                    "call {n}: `{name}` was attached and did not stay: {first:?}, then {report:?}"
                );
            }
        }
        one_alone += usize::from(kept == 1);
        (n, tried) = (n + 1, tried + 1);
    }
    ctx.say(&format!("{tried} of {n} calls failed in turn; {one_alone} times one of the two was updated"));
    ensure!(n > 20 && one_alone > 5, "{n} calls, {one_alone} times one alone");
    Ok(())
}

/// A version whose record is lost keeps running when its update fails.
fn no_record(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    ship_exec(&node, "lost", 1)?;
    let before = attached(stream(&node.apply_expecting(Exit::Done)?, "lost")?)?;
    fs::remove_file(format!("{RUN}/lost.json"))?;
    let nowhere = r#"{"tracepoint":{"category":"sched","name":"no_such_event"}}"#.to_owned();
    ship(&node, "lost", 2, OBJECT, &[("tp_exec", nowhere, "")], "")?;
    let report = node.apply_expecting(Exit::FeatureMissing)?;
    ensure!(stream(&report, "lost")?.state == StreamState::Refused, "{report:?}");
    ensure!(versions("lost")?.len() == 1, "{:?}", versions("lost")?);
    ship_exec(&node, "lost", 1)?;
    ensure!(attached(stream(&node.apply_expecting(Exit::Done)?, "lost")?)? == before, "not the same program");
    Ok(())
}

/// Any call of an update fails, and nobody knows the plan of what ran: no interface is left with neither version, and
/// `failed` means that all is as before.
fn undo_without_record(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let interfaces = ["up0", "peer0"];
    ip("link add up0 type veth peer name peer0")?;
    let ship = |revision| {
        // Another priority: the chain says which version runs.
        let priority = 500 + u16::try_from(revision)?;
        let stream = Stream::pass("lost", interfaces[0], priority);
        node.ship(&Stream { revision, interfaces: interfaces.to_vec(), mode: "skb", ..stream })
    };
    let priorities = || -> Result<Vec<Vec<u32>>> {
        let one = |name: &&str| Ok(chain(name)?.into_iter().map(|(priority, _)| priority).collect());
        interfaces.iter().map(one).collect()
    };
    // An undisturbed update first, for the number of its calls: the first half of them load and stage.
    let (mut n, mut mixed, mut failed) = (usize::MAX, 0, 0);
    loop {
        if n < usize::MAX && !ctx.mine(n) {
            n += 1;
            continue;
        }
        let _ = fs::remove_file(Node::bundle("lost"));
        node.apply_expecting(Exit::Done)?;
        ship(1)?;
        node.apply_expecting(Exit::Done).with_context(|| format!("before call {n}"))?;
        fs::remove_file(format!("{RUN}/lost.json"))?;
        ship(2)?;
        let kernel = Kernel::failing_at(n);
        let ended = node.apply_with(&kernel);
        let there = priorities()?;
        if kernel.calls() <= n {
            ended?;
            if n < usize::MAX {
                break;
            }
            n = kernel.calls() / 2;
            continue;
        }
        ensure!(there.iter().all(|one| one.len() == 1), "call {n}: {there:?}: {ended:?}");
        if let Ok((report, _)) = &ended {
            let state = stream(report, "lost")?.state;
            let whole = state == StreamState::Degraded || there == [[501], [501]] || there == [[502], [502]];
            ensure!(whole, "call {n}: {there:?}: {report:?}");
            mixed += usize::from(state == StreamState::Degraded);
        }
        node.apply_expecting(Exit::Done).with_context(|| format!("after call {n}"))?;
        ensure!(priorities()? == [[502], [502]], "after call {n}: {:?}", priorities()?);
        ensure!(versions("lost")?.len() == 1, "after call {n}: {:?}", versions("lost")?);
        (n, failed) = (n + 1, failed + 1);
    }
    ctx.say(&format!("{failed} of {n} calls failed in turn; {mixed} times the stream was degraded"));
    ensure!(failed > 20 && mixed > 0, "{failed} calls, {mixed} times degraded");
    Node::remove("lost")?;
    node.apply_expecting(Exit::Done)?;
    ip("link del up0")
}

/// The same with links that the new version has taken over: of a stream that failed the former program runs, or it is
/// degraded. First a list that is full, then a fault in every call.
fn links_without_record(ctx: &mut Ctx) -> Result<()> {
    const ROOM: usize = 64; // `BPF_MPROG_MAX`, linux `include/linux/bpf_mprog.h`
    let node = node()?;
    ip("link add up0 type veth peer name peer0")?;
    let prepare = || -> Result<_> {
        let _ = fs::remove_file(Node::bundle("lost"));
        node.apply_expecting(Exit::Done)?;
        let on =
            |names: &[&str]| names.iter().map(|name| tc_on(name, "ingress", 510, "")).collect::<Vec<_>>().join(",");
        ship(&node, "lost", 1, OBJECT, &[("tc_hook", on(&["peer0"]), "")], "")?;
        node.apply_expecting(Exit::Done)?;
        fs::remove_file(format!("{RUN}/lost.json"))?;
        ship(&node, "lost", 2, OBJECT, &[("tc_hook", on(&["peer0", "up0"]), "")], "")?;
        soon("one program", || Ok(tcx("peer0", INGRESS)?.len() == 1))?;
        tcx("peer0", INGRESS)
    };
    let ran = prepare()?;
    let up0 = sys::interface_index("up0")?;
    let full: Vec<_> = (0..ROOM)
        .map_while(|_| {
            // A program has one link to a place.
            let next = smallest(Kind::SchedCls, "next", bpf::TCX_NEXT).ok()?;
            bpf::link_interface(next.as_fd(), up0, AttachType::TcxIngress).ok()
        })
        .collect();
    let report = node.apply_expecting(Exit::Failed)?;
    ensure!(stream(&report, "lost")?.state == StreamState::Failed, "{report:?}");
    ensure!(tcx("peer0", INGRESS)? == ran, "{:?}, not {ran:?}, beside {}", tcx("peer0", INGRESS)?, full.len());
    drop(full);
    let (mut n, mut failed, mut degraded) = (0, 0, 0);
    loop {
        let ran = prepare()?;
        let kernel = Kernel::failing_at(n);
        let ended = node.apply_with(&kernel);
        let runs = tcx("peer0", INGRESS)?;
        if kernel.calls() <= n {
            ended?;
            break;
        }
        if let Ok((report, _)) = &ended {
            match stream(report, "lost")?.state {
                StreamState::Failed => {
                    ensure!(runs == ran, "call {n}: {runs:?}, not {ran:?}: {report:?}");
                    failed += 1;
                }
                StreamState::Degraded => degraded += 1,
                _ => {}
            }
        }
        node.apply_expecting(Exit::Done).with_context(|| format!("after call {n}"))?;
        soon("one program on each", || Ok(tcx("peer0", INGRESS)?.len() == 1 && tcx("up0", INGRESS)?.len() == 1))
            .with_context(|| format!("after call {n}: {ended:?}"))?;
        n += 1;
    }
    ctx.say(&format!("of {n} calls {failed} made the stream fail and {degraded} left it degraded"));
    ensure!(failed > 5 && degraded > 0, "{failed} times failed, {degraded} times degraded");
    Node::remove("lost")?;
    node.apply_expecting(Exit::Done)?;
    ip("link del up0")
}

/// The same where the new version is on no interface: `failed` is not said of a stream that is taken off one of two.
fn left_without_record(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    ip("link add up0 type veth peer name peer0")?;
    let there = || -> Result<Vec<usize>> { ["up0", "peer0"].iter().map(|name| Ok(chain(name)?.len())).collect() };
    let (mut n, mut degraded) = (usize::MAX, 0);
    loop {
        let stream_one = Stream::pass("lost", "up0", 510);
        node.ship(&Stream { interfaces: vec!["up0", "peer0"], mode: "skb", ..stream_one })?;
        node.apply_expecting(Exit::Done).with_context(|| format!("before call {n}"))?;
        fs::remove_file(format!("{RUN}/lost.json"))?;
        ship_exec(&node, "lost", 2)?;
        let kernel = Kernel::failing_at(n);
        let ended = node.apply_with(&kernel);
        let runs = there()?;
        if kernel.calls() <= n {
            ended?;
            if n < usize::MAX {
                break;
            }
            n = kernel.calls() * 3 / 4;
            continue;
        }
        if let Ok((report, _)) = &ended {
            let said = stream(report, "lost")?.state;
            ensure!(said != StreamState::Failed || runs == [1, 1], "call {n}: {runs:?}: {report:?}");
            degraded += usize::from(said == StreamState::Degraded);
        }
        node.apply_expecting(Exit::Done).with_context(|| format!("after call {n}"))?;
        ensure!(there()? == [0, 0] && versions("lost")?.len() == 1, "after call {n}: {:?}", there()?);
        n += 1;
    }
    ctx.say(&format!("up to call {n}; {degraded} times the stream was degraded"));
    ensure!(degraded > 0, "never degraded");
    Node::remove("lost")?;
    node.apply_expecting(Exit::Done)?;
    ip("link del up0")
}

/// Others' files keep nothing of a former version attached.
fn old_goes(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let both = |revision| -> Result<()> {
        node.ship(&Stream { revision, ..Stream::pass("drop", pair.near_name, 510) })?;
        ship_exec(&node, "watch", revision)
    };
    both(1)?;
    let report = node.apply_expecting(Exit::Done)?;
    let id = attached(stream(&report, "drop")?)?[0];
    // A directory that looks like a dispatcher's, with something inside that is none of its pins.
    fs::create_dir_all(format!("/sys/fs/bpf/xdp/dispatch-99-{id}/sub"))?;
    let programs = Snapshot::take_settled()?.programs();
    both(2)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(state(&report, "watch")? == (StreamState::Attached, Some(2)), "{report:?}");
    let now = Snapshot::take_settled()?.programs();
    ensure!(now == programs, "{programs} programs before the update, {now} after it");
    Ok(())
}

/// libxdp's lock is for those who share XDP.
fn no_xdp(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    fs::create_dir_all("/sys/fs/bpf/xdp")?;
    let _lock =
        Kernel::new().lock_dir(std::path::Path::new("/sys/fs/bpf/xdp")).map_err(|error| anyhow::anyhow!("{error}"))?;
    ship_exec(&node, "watch", 1)?;
    let report = node.apply_expecting(Exit::Done)?;
    attached(stream(&report, "watch")?).map(drop)
}

/// A program of another kind with a dispatcher's name: a stranger, whatever its map says.
fn impostor(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    for words in [
        "prog load /objects/xdp_impostor.bpf.o /sys/fs/bpf/impostor type xdp",
        "net attach xdp pinned /sys/fs/bpf/impostor dev near0",
    ] {
        let output = run("bpftool", words)?;
        ensure!(output.status.success(), "{}", said(&output));
    }
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    let report = node.apply_expecting(Exit::Failed)?;
    let one = stream(&report, "drop")?;
    ensure!(one.reason.as_ref().is_some_and(|reason| reason.code == Code::HeldByLegacy), "{one:?}");
    Ok(())
}
