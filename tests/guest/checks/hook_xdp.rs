//! XDP on a real kernel, in both modes: attached, effect seen, left alone by a second run, updated, detached.

use anyhow::{Context as _, Result, ensure};
use nodeplan::{hook::Hook, report::Exit};

use super::hook_streams::{apply_attached, soon};
use crate::{
    features::Feature,
    harness::{Ctx, Step, Test, prove},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, Stream},
};

pub(crate) const TESTS: &[Test] = &[Test { name: "hook-xdp", needs: &[Feature::Freplace], run: xdp }];

/// Drops port 4790 where [`Stream::drop_port`] drops 4789.
const OTHER_PORT: &str =
    r#","maps":{"port":{"entries":[{"key":"00000000","value":"12b6"}]},"dropped":{"counter":"dropped"}}"#;

fn xdp(_: &mut Ctx) -> Result<()> {
    for mode in ["native", "skb"] {
        let pair = Pair::new("near0", "far0")?;
        in_mode(&pair, mode).context(mode)?;
        crate::net::ip("link del near0")?;
    }
    Ok(())
}

/// Ports of the frames that get through, of one to 4789 and one to 4790.
fn passing(pair: &Pair) -> Result<Vec<u16>> {
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    // A last frame that nobody drops says when to stop waiting.
    let last = 4791_u16;
    for port in [4789, 4790, last] {
        far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    let mut ports = Vec::new();
    while ports.last() != Some(&last) {
        let frames = near.receive(1)?;
        ensure!(!frames.is_empty(), "the frame that nobody drops did not arrive; {ports:?} did");
        // The destination port behind Ethernet and IPv4 without options.
        ports.extend(frames.iter().filter_map(|frame| Some(u16::from_be_bytes(frame.get(36..38)?.try_into().ok()?))));
    }
    ports.pop();
    Ok(ports)
}

fn in_mode(pair: &Pair, mode: &'static str) -> Result<()> {
    let proved = |step| prove(Hook::Xdp, mode, step);
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    ensure!(passing(pair)? == [4789, 4790], "without a program: {:?}", passing(pair)?);
    let first = Stream { mode, ..Stream::drop_port("drop", pair.near_name, 510) };
    node.ship(&first)?;
    let old = apply_attached(&node, "drop")?;
    ensure!(old.len() == 1, "attached: {old:?}");
    proved(Step::Attached);
    ensure!(passing(pair)? == [4790], "attached: {:?} pass", passing(pair)?);
    proved(Step::Effect);
    let before = Snapshot::take_settled()?;
    ensure!(apply_attached(&node, "drop")? == old, "a second run loaded anew");
    before.expect_again().context("a second run")?;
    proved(Step::Unchanged);
    node.ship(&Stream { revision: 2, more: OTHER_PORT, ..first })?;
    let new = apply_attached(&node, "drop")?;
    ensure!(new.len() == 1 && new != old, "updated: {old:?}, then {new:?}");
    ensure!(passing(pair)? == [4789], "updated: {:?} pass", passing(pair)?);
    proved(Step::Updated);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    soon("detached", || Ok(passing(pair)? == [4789, 4790]))?;
    empty.expect_again().context("detached")?;
    proved(Step::Detached);
    Ok(())
}
