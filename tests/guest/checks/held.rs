//! What an administrator and the boot may ask: hold, release, detach, the early streams only, the gate.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::paths::Paths;
use nodeplan::{
    report::{Code, Exit, Report, StreamState},
    sorted::SortedSet,
    trust::TRUST_FORMAT,
};

use super::versions::members;
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    node::{Node, ROOT, Snapshot, Stream, chain, loader, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "asked-hold-freezes", needs: &[Feature::Freplace], run: freezes },
    Test { name: "asked-hold-beside-lost-pins", needs: &[Feature::Freplace], run: lost },
    Test { name: "asked-detach-stays", needs: &[Feature::Freplace], run: detaches },
    Test { name: "asked-detach-where-var-keeps-nothing", needs: &[Feature::Freplace], run: unkept },
    Test { name: "asked-hold-all", needs: &[Feature::Freplace], run: all },
    Test { name: "asked-kernel-argument-off", needs: &[Feature::Freplace], run: argument },
    Test { name: "asked-early-leaves-the-rest", needs: &[Feature::Freplace], run: early },
    Test { name: "asked-gate-waits", needs: &[Feature::Freplace], run: gate },
];

fn ids(report: &Report, name: &str) -> Result<Vec<u32>> {
    Ok(stream(report, name)?.attachments.iter().filter_map(|place| place.program_id).collect())
}

fn expect(report: &Report, name: &str, state: StreamState, code: Option<Code>) -> Result<()> {
    let one = stream(report, name)?;
    ensure!(one.state == state && one.reason.as_ref().map(|reason| reason.code) == code, "{one:?}");
    Ok(())
}

/// The report of the last run.
fn last() -> Result<Report> {
    let report = nodebpf_loader::report::last(&Paths::new(ROOT.as_ref())).map_err(anyhow::Error::msg)?;
    report.context("no report")
}

fn boots(line: &str) -> Result<()> {
    fs::create_dir_all(format!("{ROOT}/proc"))?;
    Ok(fs::write(format!("{ROOT}/proc/cmdline"), line)?)
}

/// A held program in a dispatcher whose pins are gone keeps nobody from his update: its plan says what its slot was told.
fn lost(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let lose = || fs::remove_dir_all("/sys/fs/bpf/xdp").context("losing the pins");
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.ship(&Stream::pass("other", pair.near_name, 520))?;
    node.apply_expecting(Exit::Done)?;
    let held = ids(&last()?, "drop")?;
    ensure!(loader("hold drop --reason slow") == Exit::Done, "hold");
    lose()?;
    node.ship(&Stream { revision: 2, ..Stream::pass("other", pair.near_name, 20) })?;
    let report = node.apply_expecting(Exit::Done)?;
    expect(&report, "other", StreamState::Attached, None)?;
    let now = members(pair.near_name)?;
    ensure!(now == [ids(&report, "other")?, held.clone()].concat(), "{now:?}: {report:?}");
    let priorities: Vec<u32> = chain(pair.near_name)?.iter().map(|(priority, _)| *priority).collect();
    ensure!(priorities == [20, 510], "{priorities:?}");
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    for port in [4789, 4790] {
        far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    ensure!(near.receive(1)?.len() == 1, "the held program does not filter");
    lose()?;
    Node::remove("other")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(members(pair.near_name)? == held, "{:?}, not {held:?}", members(pair.near_name)?);
    Ok(())
}

/// Neither an update nor a removal reaches a held stream; a revocation does.
fn freezes(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.ship(&Stream::pass("other", pair.near_name, 520))?;
    node.apply_expecting(Exit::Done)?;
    let before = Snapshot::take_settled()?;
    let other = serde_json::to_string(stream(&last()?, "other")?)?;
    ensure!(loader("hold drop --reason slow") == Exit::Done, "hold");
    expect(&last()?, "drop", StreamState::Held, Some(Code::Held))?;
    let reason = stream(&last()?, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.message.contains("slow"), "{reason:?}");
    ensure!(serde_json::to_string(stream(&last()?, "other")?)? == other, "the report of the other stream changed");
    let second = node.ship(&Stream { revision: 2, ..Stream::pass("drop", pair.near_name, 510) })?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    before.expect_again().context("an update")?;
    fs::write(Node::bundle("drop"), b"not a bundle")?;
    let report = node.apply_expecting(Exit::Done)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.message.contains("NB1101"), "the damage is not told: {reason:?}");
    before.expect_again().context("a damaged bundle")?;
    Node::remove("drop")?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    before.expect_again().context("a removal")?;
    node.ship(&Stream { revision: 2, ..Stream::pass("drop", pair.near_name, 510) })?;
    node.trust(|trust| trust.revoked_bundles = SortedSet::from([second]))?;
    let report = node.apply_expecting(Exit::Done)?;
    expect(&report, "drop", StreamState::Refused, Some(Code::Revoked))?;
    ensure!(ids(&report, "drop")?.is_empty(), "a revoked stream is detached, held or not: {report:?}");
    node.trust(|_| ())?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    ensure!(loader("release drop") == Exit::Done, "release");
    expect(&last()?, "drop", StreamState::Attached, None)?;
    ensure!(ids(&last()?, "drop")?.len() == 1, "released and not attached: {:?}", last()?);
    Ok(())
}

fn detaches(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    ensure!(loader("detach drop") == Exit::Done, "detach");
    expect(&last()?, "drop", StreamState::Held, Some(Code::Held))?;
    empty.expect_again()?;
    // As after a reboot: what is held is not in /run.
    fs::remove_dir_all(format!("{ROOT}/run"))?;
    node.ship(&Stream { revision: 2, ..Stream::pass("drop", pair.near_name, 510) })?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    empty.expect_again()?;
    ensure!(loader("release drop") == Exit::Done, "release");
    ensure!(ids(&last()?, "drop")?.len() == 1, "{:?}", last()?);
    ensure!(loader("hold nobody") == Exit::Done, "a stream that comes later can be held");
    ensure!(loader("hold Nobody") == Exit::Usage, "that is no name");
    ensure!(loader("release nobody") == Exit::Done, "a hold on what never came");
    ensure!(loader("release nobody") == Exit::CannotRun, "no stream and no hold");
    // What went is in the report of the run that removed it, and nothing is left of it to be detached.
    Node::remove("drop")?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Removed, None)?;
    ensure!(loader("detach drop") == Exit::CannotRun, "nothing was detached");
    ensure!(stream(&last()?, "drop").is_err(), "{:?}", last()?);
    Ok(())
}

/// Others may write the directory of holds, or nobody: the brake works all the same, and says until when.
fn unkept(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let held = format!("{ROOT}/var/lib/nodebpf/held");
    fs::create_dir_all(&held)?;
    fs::set_permissions(&held, fs::Permissions::from_mode(0o775))?;
    ensure!(loader("detach drop") == Exit::Refused, "a file that nobody believes is a problem of the node");
    expect(&last()?, "drop", StreamState::Held, Some(Code::Held))?;
    empty.expect_again().context("a directory that others may write")?;
    ensure!(loader("release --all") == Exit::Done && ids(&last()?, "drop")?.len() == 1, "{:?}", last()?);
    fs::remove_dir(&held)?;
    let var = Node::memory("");
    let mount = |args: &[&str]| -> Result<()> {
        let done = Command::new(args[0]).args(&args[1..]).arg(&var).status()?;
        ensure!(done.success(), "{args:?}: {done}");
        Ok(())
    };
    mount(&["mount", "-t", "tmpfs", "-o", "mode=755", "none"])?;
    fs::create_dir(&held)?;
    mount(&["mount", "-o", "remount,ro"])?;
    ensure!(loader("detach drop") == Exit::CannotRun, "held until the next boot only");
    empty.expect_again().context("a read-only /var")?;
    ensure!(loader("release drop") == Exit::Done && ids(&last()?, "drop")?.len() == 1, "{:?}", last()?);
    mount(&["umount"])
}

fn all(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    node.ship(&Stream::pass("a", pair.near_name, 510))?;
    node.ship(&Stream::pass("b", pair.near_name, 520))?;
    node.apply_expecting(Exit::Done)?;
    let both = Snapshot::take_settled()?;
    ensure!(loader("hold --all") == Exit::Done, "hold --all");
    both.expect_again()?;
    ensure!(loader("hold --all --detach") == Exit::Done, "hold --all --detach");
    empty.expect_again()?;
    node.ship(&Stream::pass("c", pair.near_name, 530))?;
    let report = node.apply_expecting(Exit::Done)?;
    for name in ["a", "b", "c"] {
        expect(&report, name, StreamState::Held, Some(Code::Held))?;
    }
    empty.expect_again()?;
    ensure!(loader("release a") == Exit::CannotRun, "a is held with all others");
    empty.expect_again()?;
    ensure!(loader("release --all") == Exit::Done, "release --all");
    for name in ["a", "b", "c"] {
        ensure!(ids(&last()?, name)?.len() == 1, "{name}: {:?}", last()?);
    }
    Ok(())
}

/// `nodebpf=off`: nothing is attached at boot; what runs keeps running.
fn argument(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    boots("quiet nodebpf=off")?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    empty.expect_again()?;
    ensure!(loader("release --all") == Exit::CannotRun, "the argument still holds");
    boots("quiet")?;
    node.apply_expecting(Exit::Done)?;
    let runs = Snapshot::take_settled()?;
    boots("nodebpf=off")?;
    Node::remove("drop")?;
    expect(&node.apply_expecting(Exit::Done)?, "drop", StreamState::Held, Some(Code::Held))?;
    runs.expect_again()
}

/// A run about the early streams touches nothing else; the full one takes over what they run.
fn early(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let early =
        |revision| Stream { revision, more: r#","stage":"early""#, ..Stream::pass("soon", pair.near_name, 510) };
    let late = |revision| Stream { revision, ..Stream::pass("late", pair.near_name, 520) };
    node.ship(&early(1))?;
    node.ship(&late(1))?;
    fs::write(Node::bundle("damaged"), b"not a bundle")?;
    fs::create_dir_all(format!("{ROOT}/run/nodebpf"))?;
    fs::write(format!("{ROOT}/run/nodebpf/dirty"), b"")?;
    ensure!(loader("apply --boot --early") == Exit::Done, "the first run");
    ensure!(!fs::exists(format!("{ROOT}/run/nodebpf/dirty"))?, "the mark of the udev rule is left");
    ensure!(last()?.streams.len() == 1, "only the early stream is this run's: {:?}", last()?);
    let first = ids(&last()?, "soon")?;
    ensure!(first.len() == 1, "{:?}", last()?);
    ensure!(loader("apply --boot") == Exit::Done, "the full run");
    ensure!(ids(&last()?, "soon")? == first, "the early program was loaded anew");
    let second = ids(&last()?, "late")?;
    ensure!(second.len() == 1 && last()?.streams.len() == 3, "{:?}", last()?);
    // By hand, later: both have news, and only the early one gets it.
    node.ship(&early(2))?;
    node.ship(&late(2))?;
    let rest = |report: &Report| -> Result<String> { Ok(serde_json::to_string(stream(report, "late")?)?) };
    let before = rest(&last()?)?;
    ensure!(loader("apply --early") == Exit::Done, "an early run by hand");
    ensure!(rest(&last()?)? == before && last()?.streams.len() == 3, "{:?}", last()?);
    ensure!(ids(&last()?, "soon")? != first, "the early stream was not updated");
    let report = node.apply_expecting(Exit::Refused)?;
    ensure!(ids(&report, "late")? != second && ids(&report, "late")?.len() == 1, "{report:?}");
    Ok(())
}

fn timed(want: Exit) -> Result<Duration> {
    let started = Instant::now();
    ensure!(loader("gate") == want, "gate");
    Ok(started.elapsed())
}

fn gate(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let require = || {
        node.trust(|trust| {
            trust.format = TRUST_FORMAT;
            trust.required_streams = SortedSet::from(["drop".try_into().expect("a name")]);
            trust.hold_seconds = 3;
            trust.owners.values_mut().for_each(|owner| owner.may_close = true);
        })
    };
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(3));
    let closed = Stream { more: r#","failurePolicy":"closed""#, ..Stream::pass("drop", pair.near_name, 510) };
    require()?;
    ensure!(timed(Exit::Done)? < short, "no bundle of it");
    node.trust(|trust| {
        trust.format = TRUST_FORMAT;
        trust.owners.values_mut().for_each(|owner| owner.may_close = true);
    })?;
    node.ship(&closed)?;
    ensure!(timed(Exit::Done)? < short, "closed, but not required");
    require()?;
    let waited = timed(Exit::Done)?;
    ensure!(waited >= long && waited < long * 2, "no run: {waited:?}");
    fs::create_dir_all(format!("{ROOT}/run/nodebpf"))?;
    fs::write(format!("{ROOT}/run/nodebpf/report.json"), b"{")?;
    ensure!(timed(Exit::Done)? >= long, "a damaged report satisfies nobody");
    boots("nodebpf.hold=0")?;
    ensure!(timed(Exit::Done)? < short, "nodebpf.hold=0");
    boots("")?;
    ctx.say("a run while it waits");
    let passed = std::thread::scope(|scope| -> Result<Duration> {
        let gate = scope.spawn(|| timed(Exit::Done));
        std::thread::sleep(Duration::from_millis(700));
        node.apply_expecting(Exit::Done)?;
        gate.join().map_err(|_| anyhow::anyhow!("the gate panicked"))?
    })?;
    ensure!(passed >= Duration::from_millis(700) && passed < long, "{passed:?}");
    ensure!(timed(Exit::Done)? < short, "it runs");
    ensure!(loader("detach drop") == Exit::Done && timed(Exit::Done)? < short, "held");
    ensure!(loader("release drop") == Exit::Done, "release");
    fs::write(Node::bundle("drop"), b"not a bundle")?;
    node.apply_expecting(Exit::Refused)?;
    ensure!(timed(Exit::Done)? >= long, "refused");
    fs::write(Node::trust_file(), b"{}")?;
    ensure!(timed(Exit::Done)? >= long, "a damaged trust file, and a known one that rules");
    fs::remove_file(format!("{ROOT}/var/lib/nodebpf/trust.json"))?;
    ensure!(timed(Exit::Done)? < short, "a damaged trust file");
    fs::remove_file(Node::trust_file())?;
    ensure!(timed(Exit::Done)? < short, "no trust file");
    Ok(())
}
