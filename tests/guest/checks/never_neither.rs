//! Never neither: while a program is replaced again and again, no packet and no event passes between two versions.

use std::{
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;

use super::hook_streams::{DENY, Failed, OBJECT, apply_attached, hits, map, node, ship, soon, tc_on};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{FrameSocket, Pair, udp_frame},
    node::{Node, Stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "never-neither-xdp", needs: &[Feature::Freplace], run: xdp },
    Test { name: "never-neither-tc", needs: &[Feature::Tcx], run: tc },
    Test { name: "never-neither-overlap", needs: &[], run: overlap },
];

const UPDATES: u32 = 200;

/// Sends without pause worth the name until told to stop; how many frames were taken or refused by a program.
fn flood(socket: &FrameSocket, frames: &[Vec<u8>], stop: &AtomicBool) -> Result<u64> {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for frame in frames {
            match socket.send(frame) {
                Ok(()) => sent += 1,
                // A program on egress tells the sender of a drop.
                Err(error) => {
                    let errno = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
                    ensure!(errno == Some(libc::ENOBUFS), "sending: {error:#}");
                    sent += 1;
                }
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

/// Counts arriving frames by whether they are forbidden, until told to stop.
fn count(socket: &FrameSocket, forbidden: u16, stop: &AtomicBool) -> Result<(u64, u64)> {
    let (mut bad, mut good) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        for frame in socket.receive_for(Duration::from_millis(50))? {
            // The destination port behind Ethernet and IPv4 without options.
            if frame.get(36..38) == Some(&forbidden.to_be_bytes()[..]) {
                bad += 1;
            } else {
                good += 1;
            }
        }
    }
    Ok((bad, good))
}

/// Sends and counts while `work` is done: what it returns, frames sent, forbidden ones that arrived, others.
fn under_traffic<T>(
    (from, to): (&FrameSocket, &FrameSocket),
    ports: &[u16],
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, u64, u64, u64)> {
    let frames = ports.iter().map(|port| udp_frame([192, 0, 2, 1], [192, 0, 2, 2], *port, b"payload"));
    let frames = frames.collect::<Result<Vec<_>>>()?;
    let (stop_sending, stop_counting) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let counter = scope.spawn(|| count(to, ports[0], &stop_counting));
        let sender = scope.spawn(|| flood(from, &frames, &stop_sending));
        let result = work();
        stop_sending.store(true, Ordering::Relaxed);
        let sent = sender.join().map_err(|_| anyhow::anyhow!("the sender panicked"));
        // What is on its way arrives.
        thread::sleep(Duration::from_millis(200));
        stop_counting.store(true, Ordering::Relaxed);
        let (bad, good) = counter.join().map_err(|_| anyhow::anyhow!("the counter panicked"))??;
        Ok((result?, sent??, bad, good))
    })
}

/// A program that drops one port, replaced by one at another priority, so that the whole dispatcher is made anew.
fn xdp(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let ship = |revision: u32| {
        let priority = 500 + u16::try_from(revision % 7)?;
        node.ship(&Stream { revision, ..Stream::drop_port("drop", pair.near_name, priority) })?;
        let report = node.apply_expecting(nodeplan::report::Exit::Done)?;
        let places = &crate::node::stream(&report, "drop")?.attachments;
        places.first().and_then(|place| place.program_id).context("not attached")
    };
    let first = ship(1)?;
    let sockets = (&pair.far_socket()?, &pair.near_socket()?);
    let (last, sent, bad, good) = under_traffic(sockets, &[4789, 4789, 4789, 4790], || {
        let mut last = first;
        for revision in 2..UPDATES + 2 {
            let next = ship(revision).with_context(|| format!("update {revision}"))?;
            ensure!(next != last, "revision {revision} was not loaded");
            last = next;
        }
        Ok(last)
    })?;
    ctx.say(&format!(
        "{UPDATES} updates, programs {first} to {last}: {sent} frames sent, {bad} forbidden and {good} others arrived"
    ));
    ensure!(bad == 0, "{bad} of {sent} frames passed between two versions");
    ensure!(good > 100 && sent > 4 * 100, "too little traffic to tell: {sent} sent, {good} arrived");
    Ok(())
}

/// A program that drops everything on its way out. Its counter is kept, so each frame was seen by exactly one version.
fn tc(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let next = |revision| -> Result<()> {
        let programs = [("tc_hook", tc_on("near0", "egress", 10, ""), DENY)];
        ship(&node, "drop", revision, OBJECT, &programs, r#","maps":{"hits":{"persist":true}}"#)?;
        apply_attached(&node, "drop").map(drop)
    };
    next(1)?;
    let sockets = (&pair.near_socket()?, &pair.far_socket()?);
    let ((), sent, bad, good) = under_traffic(sockets, &[4789], || {
        (2..UPDATES + 2).try_for_each(|revision| next(revision).with_context(|| format!("update {revision}")))
    })?;
    let seen = hits("drop", 0)?;
    ctx.say(&format!("{UPDATES} updates: {sent} frames sent, {seen} seen by a program, {bad} and {good} arrived"));
    ensure!(bad == 0 && good == 0, "{bad} and {good} of {sent} frames passed between two versions");
    ensure!(sent > 400 && seen == sent, "{sent} frames sent, {seen} seen");
    Ok(())
}

/// A probe that is replaced by overlap: each event is seen by one version at least.
fn overlap(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let next = |revision| -> Result<()> {
        let at = r#"{"kprobe":{"function":"hrtimer_nanosleep"}}"#.to_owned();
        ship(&node, "drop", revision, OBJECT, &[("kp_sleep", at, "")], r#","maps":{"hits":{"persist":true}}"#)?;
        apply_attached(&node, "drop").map(drop)
    };
    next(1)?;
    // One map for all versions, held open.
    let counts = map("drop", "hits")?;
    let kernel = Kernel::new();
    let read = || -> Result<u64> {
        let mut value = [0; 8];
        kernel.map_lookup(counts.as_fd(), &12u32.to_ne_bytes(), &mut value).map_err(Failed::from)?;
        Ok(u64::from_ne_bytes(value))
    };
    let start = read()?;
    soon("a sleep is seen", || Ok(read()? > start))?;
    let stop = AtomicBool::new(false);
    let (events, missed) = thread::scope(|scope| -> Result<(u64, u64)> {
        let watcher = scope.spawn(|| -> Result<(u64, u64)> {
            let kernel = Kernel::new();
            let read = || -> Result<u64> {
                let mut value = [0; 8];
                kernel.map_lookup(counts.as_fd(), &12u32.to_ne_bytes(), &mut value).map_err(Failed::from)?;
                Ok(u64::from_ne_bytes(value))
            };
            let (mut events, mut missed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let before = read()?;
                thread::sleep(Duration::from_micros(50));
                events += 1;
                missed += u64::from(read()? == before);
            }
            Ok((events, missed))
        });
        let work: Result<()> =
            (2..UPDATES + 2).try_for_each(|revision| next(revision).with_context(|| format!("update {revision}")));
        stop.store(true, Ordering::Relaxed);
        let counted = watcher.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
        work?;
        counted
    })?;
    ctx.say(&format!("{UPDATES} updates: {events} events, {missed} missed"));
    ensure!(missed == 0 && events > 1000, "{missed} of {events} events missed");
    Ok(())
}
