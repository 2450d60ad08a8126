//! The event table, row by row: each event happens to a stream that runs and to one that does not.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    event::{Event, Running},
    report::{Exit, Report, StreamReport},
    trust::TrustDocument,
};

use super::{
    hook_streams::{self, every_hook},
    room::TEN,
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, ROOT, Snapshot, Stream, loader, stream},
};

pub(crate) const TESTS: &[Test] = &[Test { name: "events-row-by-row", needs: &[Feature::Freplace], run: rows }];

/// A second interface, so that one can vanish.
const OTHER: &str = "dummy0";

fn sound(more: &'static str, on_removal: &'static str) -> Stream {
    Stream { more, on_removal, interfaces: vec!["near0", OTHER], mode: "skb", ..Stream::pass("drop", "near0", 510) }
}

/// Sets the node back to nothing.
fn reset(node: &mut Node) -> Result<()> {
    node.now = nodeplan::time::Timestamp::from_unix_seconds(1_800_000_000);
    let moved = Path::new(ROOT).join("away");
    if moved.exists() {
        fs::rename(moved, Path::new(ROOT).join("etc/nodebpf/bundles"))?;
    }
    for name in TEN.into_iter().chain(["drop"]) {
        let _ = fs::remove_file(Node::bundle(name));
    }
    let _ = fs::remove_dir_all(Path::new(ROOT).join("var/lib/nodebpf/held"));
    node.trust(every_hook)?;
    let _ = ip(&format!("link add {OTHER} type dummy"));
    // A stream whose plan says keep is kept when its bundle goes: the trust file ends it.
    node.ship(&Stream { revision: 99, ..sound("", "detach") })?;
    node.apply_expecting(Exit::Done)?;
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

/// The trust file forbids all revisions of the stream.
fn floor(trust: &mut TrustDocument) {
    every_hook(trust);
    trust.floors = [("drop".try_into().expect("a name"), 9i64.try_into().expect("a revision"))].into();
}

/// Makes the event happen to the stream, in a new revision where one is needed, and runs the loader.
fn happen(event: Event, node: &mut Node, now: &Stream) -> Result<(Report, Exit)> {
    let next = Stream { revision: 2, ..now.clone() };
    let command = |words: &str, node: &Node| -> Result<()> {
        ensure!(loader(words) == Exit::Done, "{words}");
        node.ship(&next).map(drop)
    };
    match event {
        Event::Valid => drop(node.ship(&next)?),
        Event::NotBelieved => fs::write(Node::bundle("drop"), b"not a bundle")?,
        Event::Withdrawn => {
            // Accepted, then forbidden.
            node.apply_expecting(Exit::Done)?;
            node.trust(floor)?;
        }
        Event::Forbidden => {
            node.ship(&next)?;
            node.trust(floor)?;
        }
        Event::BundleGone => Node::remove("drop")?,
        Event::DirectoryGone => fs::rename(Path::new(ROOT).join("etc/nodebpf/bundles"), Path::new(ROOT).join("away"))?,
        Event::NotApplicable => {
            let more = if now.more.contains("keep") {
                r#","onExpiry":"keep","appliesTo":{"architectures":["arm64"]}"#
            } else {
                r#","appliesTo":{"architectures":["arm64"]}"#
            };
            node.ship(&Stream { more, ..next }).map(drop)?;
        }
        Event::Expired => node.now = "2027-03-31T00:00:01Z".try_into()?,
        Event::PlaceAbsent => ip(&format!("link del {OTHER}"))?,
        Event::FeatureMissing => {
            let at = r#"{"tracepoint":{"category":"sched","name":"no_such_event"}}"#.to_owned();
            hook_streams::ship(node, "drop", 2, hook_streams::OBJECT, &[("tp_exec", at, "")], "").map(drop)?;
        }
        Event::NotAllowedHere => node.trust(|trust| {
            every_hook(trust);
            trust.reserved_interfaces = vec!["near0".try_into().expect("a glob")];
        })?,
        Event::NoRoom => {
            node.ship(&next)?;
            for name in TEN {
                node.ship(&Stream { mode: "skb", ..Stream::pass(name, "near0", 100) })?;
            }
        }
        Event::KernelRefuses => {
            node.ship(&Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..next }).map(drop)?;
        }
        Event::UndoFails => {
            node.ship(&next)?;
            return undo_fails(node);
        }
        Event::Held => command("hold drop", node)?,
        Event::HeldDetached => command("detach drop", node)?,
    }
    node.apply()
}

/// A fault, and one in the undo of it: the first pair that the stream does not come back from.
fn undo_fails(node: &Node) -> Result<(Report, Exit)> {
    for n in (4..200).step_by(4) {
        let kernel = Kernel::failing_twice(n, 1);
        let outcome = node.apply_with(&kernel);
        if let Ok((report, Exit::Degraded)) = outcome {
            return Ok((report, Exit::Degraded));
        }
        ensure!(kernel.calls() > n, "no pair of faults among {n} calls degrades the stream");
    }
    bail!("no pair of faults degrades the stream")
}

fn ids(one: &StreamReport) -> Vec<u32> {
    one.attachments.iter().filter_map(|place| place.program_id).collect()
}

/// Whether something of the stream is left.
fn has_pins(event: Event) -> Result<bool> {
    let left = Snapshot::take()?;
    let of_it = |pin: &String| pin.contains("/nodebpf/drop/");
    Ok(if event == Event::NoRoom { left.pins().iter().any(of_it) } else { left.has_pins() })
}

/// What became of what ran, against its row.
fn check_running(event: Event, keep: bool, before: &Snapshot, was: &[u32], report: &Report) -> Result<()> {
    let is = stream(report, "drop").map(ids)?;
    match event.running() {
        Running::Keeps | Running::AsBefore => before.expect_again(),
        Running::ByOnRemoval | Running::ByOnExpiry if keep => before.expect_again(),
        Running::ByOnRemoval | Running::ByOnExpiry | Running::Detached => {
            ensure!(is.is_empty() && !has_pins(event)?, "something is left: {report:?}");
            Ok(())
        }
        Running::Replaced => {
            ensure!(is.len() == was.len() && is.iter().all(|id| !was.contains(id)), "{was:?}, then {is:?}");
            Ok(())
        }
        Running::KeepsTheRest => {
            ensure!(is.len() == was.len() - 1 && is.iter().all(|id| was.contains(id)), "{was:?}, then {is:?}");
            Ok(())
        }
        Running::Unknown => Ok(()),
    }
}

fn rows(ctx: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let mut node = Node::new()?;
    for event in Event::ALL {
        for keep in [false, true] {
            let twice = matches!(event.running(), Running::ByOnRemoval | Running::ByOnExpiry);
            if keep && !twice {
                continue;
            }
            let name = format!("{}{}", event.words(), if keep { ", keep" } else { "" });
            ctx.say(&name);
            let more = match (event, keep) {
                (Event::Expired, true) => r#","onExpiry":"keep","expires":"2027-03-31T00:00:00Z""#,
                (Event::Expired, false) => r#","expires":"2027-03-31T00:00:00Z""#,
                (Event::NotApplicable, true) => r#","onExpiry":"keep""#,
                _ => "",
            };
            let now = sound(more, if keep { "keep" } else { "detach" });
            row(*event, keep, &mut node, &now).with_context(|| name.clone())?;
            absent(*event, &mut node, &now).with_context(|| format!("{name}, of what does not run"))?;
        }
    }
    reset(&mut node)
}

/// The event happens to a stream that runs.
fn row(event: Event, keep: bool, node: &mut Node, now: &Stream) -> Result<()> {
    reset(node)?;
    node.ship(now)?;
    let was = ids(stream(&node.apply_expecting(Exit::Done)?, "drop")?);
    ensure!(was.len() == 2, "not attached at first: {was:?}");
    let before = Snapshot::take_settled()?;
    let (report, exit) = happen(event, node, now)?;
    let one = stream(&report, "drop")?;
    ensure!(one.state == event.state() && exit == event.exit(), "{exit:?}: {one:?}");
    check_running(event, keep, &before, &was, &report)?;
    if event == Event::UndoFails {
        let report = node.apply_expecting(Exit::Done).context("the next run")?;
        ensure!(stream(&report, "drop")?.state == Event::Valid.state(), "{report:?}");
    }
    Ok(())
}

/// The event happens to a stream that does not run.
fn absent(event: Event, node: &mut Node, now: &Stream) -> Result<()> {
    // Without a bundle and without a program there is no stream.
    if matches!(event, Event::BundleGone | Event::DirectoryGone) {
        return Ok(());
    }
    reset(node)?;
    let empty = Snapshot::take_settled()?;
    let mut now = now.clone();
    if event == Event::Withdrawn {
        // Accepted all the same; what runs and says keep would be kept.
        now.more = r#","appliesTo":{"architectures":["arm64"]}"#;
    }
    node.ship(&now)?;
    let (report, exit) = happen(event, node, &now)?;
    let one = stream(&report, "drop")?;
    ensure!(one.state == event.state() && exit == event.exit(), "{exit:?}: {one:?}");
    match event {
        Event::Valid => ensure!(ids(one).len() == 2, "{one:?}"),
        Event::PlaceAbsent => ensure!(ids(one).len() == 1, "what has a place is attached: {one:?}"),
        Event::UndoFails => {}
        Event::NoRoom => ensure!(ids(one).is_empty() && !has_pins(event)?, "{one:?}"),
        _ => empty.expect_again()?,
    }
    Ok(())
}
