//! What outlives the loader and an update: tail calls, state, timers; and what a program reads of this kernel's types.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::report::{Code, Exit};

use super::hook_streams::{
    Failed, Inside, OBJECT, Program, WATCHERS, apply_attached, cgroup_at, every_hook, hits, map, node, ship, soon,
    trigger, udp_to, xdp_on,
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, spawn_apply, stream},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "hook-tail-call-outlives-the-loader", needs: &[Feature::Freplace], run: tail_call },
    Test { name: "hook-state-maps-are-kept", needs: &[], run: state_maps },
    Test { name: "hook-state-is-no-frozen-map", needs: &[], run: frozen },
    Test { name: "hook-timer-outlives-the-loader", needs: &[], run: timer },
    Test { name: "core-field-of-this-kernel", needs: &[], run: core_field },
];

/// Whether a frame from the far end gets past XDP of the near one.
fn enters(pair: &Pair) -> Result<bool> {
    let near = pair.near_socket()?;
    pair.far_socket()?.send(&udp_frame([192, 0, 2, 2], [192, 0, 2, 1], 7, b"payload")?)?;
    Ok(!near.receive(1)?.is_empty())
}

/// The loader's descriptors are closed after each run; the slot still leads to the program.
fn tail_call(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = node()?;
    let empty = Snapshot::take_settled()?;
    let programs = || [("tail_entry", xdp_on(r#"{"name":"near0"}"#), ""), ("tail_target", String::new(), "")];
    let slots = r#","maps":{"calls":{"slots":[{"index":2,"program":"tail_target"}]}}"#;
    ensure!(enters(&pair)?, "without a program");
    ship(&node, "drop", 1, "tail.bpf.o", &programs(), slots)?;
    apply_attached(&node, "drop")?;
    ensure!(!enters(&pair)?, "the tail call is not taken");
    ship(&node, "drop", 2, "tail.bpf.o", &programs(), slots)?;
    apply_attached(&node, "drop")?;
    ensure!(!enters(&pair)?, "the tail call is not taken after an update");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(enters(&pair)?, "detached");
    empty.expect_again()
}

/// A timer goes on when the loader is gone, and is gone with its program.
fn timer(ctx: &mut Ctx) -> Result<()> {
    let _inside = Inside::new()?;
    let node = node()?;
    ship(&node, "drop", 1, "timer.bpf.o", &[("start_timer", cgroup_at("connect4"), "")], "")?;
    let ran = spawn_apply()?.wait().context("waiting for the loader")?;
    ensure!(ran.success(), "the loader ended with {ran}");
    let fired = || -> Result<u64> {
        let mut value = [0; 8];
        Kernel::new().map_lookup(map("drop", "fired")?.as_fd(), &[0; 4], &mut value).map_err(Failed::from)?;
        Ok(u64::from_ne_bytes(value))
    };
    ensure!(fired()? == 0, "it fires before it was started");
    udp_to(1)?;
    soon("it fires", || Ok(fired()? > 3))?;
    apply_attached(&node, "drop")?;
    let before = fired()?;
    soon("it still fires after another run", || Ok(fired()? > before + 3))?;
    ctx.say(&format!("it fired {} times", fired()?));
    Ok(())
}

/// A field of the kernel's own type is read where this kernel has it: a helper says the same.
fn core_field(ctx: &mut Ctx) -> Result<()> {
    let node = node()?;
    let at = r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#.to_owned();
    ship(&node, "drop", 1, "core_task.bpf.o", &[("core_task", at, "")], "")?;
    apply_attached(&node, "drop")?;
    trigger()?;
    let compared = |place: u32| -> Result<u64> {
        let mut value = [0; 8];
        Kernel::new()
            .map_lookup(map("drop", "compared")?.as_fd(), &place.to_ne_bytes(), &mut value)
            .map_err(Failed::from)?;
        Ok(u64::from_ne_bytes(value))
    };
    let (same, other) = (compared(0)?, compared(1)?);
    ctx.say(&format!("{same} times the same, {other} times not"));
    ensure!(same > 0 && other == 0, "{same} times the same, {other} times not");
    Ok(())
}

/// What was config, and frozen, is not taken for state: nobody could write to it. Also if nobody knows what it was.
fn frozen(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let exec: [Program; 1] = [("tp_exec", WATCHERS[6].1.to_owned(), "")];
    let write = || {
        let (key, value) = (0u32.to_ne_bytes(), 7u64.to_ne_bytes());
        Ok::<_, anyhow::Error>(Kernel::new().map_update(map("drop", "hits")?.as_fd(), &key, &value))
    };
    let config = r#","maps":{"hits":{"entries":[{"key":"00000000","value":"0500000000000000"}]}}"#;
    for (revision, record) in [(1, true), (3, false)] {
        ship(&node, "drop", revision, OBJECT, &exec, config)?;
        apply_attached(&node, "drop")?;
        ensure!(write()?.is_err_and(|error| error.errno == libc::EPERM), "a config map can be written to");
        if !record {
            std::fs::remove_file("/tmp/node/run/nodebpf/streams/drop.json")?;
        }
        ship(&node, "drop", revision + 1, OBJECT, &exec, r#","maps":{"hits":{"persist":true}}"#)?;
        apply_attached(&node, "drop")?;
        ensure!(hits("drop", 0)? == 0, "state begins with {}", hits("drop", 0)?);
        write()?.map_err(Failed::from).with_context(|| format!("record: {record}"))?;
    }
    Ok(())
}

/// State survives ten updates while its shape is equal, and not a change of it; scratch does not survive.
fn state_maps(_: &mut Ctx) -> Result<()> {
    let node = node()?;
    let exec: [Program; 1] = [("tp_exec", WATCHERS[6].1.to_owned(), "")];
    let persist = r#","maps":{"hits":{"persist":true}}"#;
    ship(&node, "drop", 1, OBJECT, &exec, persist)?;
    apply_attached(&node, "drop")?;
    trigger()?;
    let mut last = hits("drop", 9)?;
    ensure!(last > 0, "it did not run");
    for revision in 2..12 {
        ship(&node, "drop", revision, OBJECT, &exec, persist)?;
        apply_attached(&node, "drop")?;
        trigger()?;
        ensure!(hits("drop", 9)? > last, "revision {revision} forgot: {} after {last}", hits("drop", 9)?);
        last = hits("drop", 9)?;
    }
    let larger = r#","maps":{"hits":{"persist":true,"maxEntries":64}}"#;
    ship(&node, "drop", 20, OBJECT, &exec, larger)?;
    apply_attached(&node, "drop")?;
    ensure!(hits("drop", 9)? == 0, "a map of another size cannot be the same");
    let info = Kernel::new().map_info(map("drop", "hits")?.as_fd()).map_err(Failed::from)?;
    ensure!(info.max_entries == 64, "{info:?}");
    // The owner's limit counts what the maps take here: 64 entries of 4 and 8 bytes are too many.
    node.trust(|trust| {
        every_hook(trust);
        trust.owners.values_mut().for_each(|owner| owner.limits.map_bytes = Some(700));
    })?;
    ship(&node, "drop", 21, OBJECT, &exec, larger)?;
    let before = Snapshot::take_settled()?;
    let report = node.apply_expecting(Exit::Refused)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    ensure!(reason.code == Code::Policy && reason.message.contains("700"), "{reason:?}");
    before.expect_again()
}
