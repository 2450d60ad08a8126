//! The loader beside a user of `AF_XDP`: DPDK, Suricata and Open vSwitch let libxdp load its default program, and get their
//! frames by it.

use std::{
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    maps::{Map, MapData, XskMap},
    programs::loaded_programs,
};
use nodeplan::report::Exit;

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, Stream, chain, xdp_loader},
    xsk::XskSocket,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "shares-with-af-xdp", needs: &[Feature::Freplace], run: shares },
    Test { name: "survives-clean-at-any-moment", needs: &[Feature::Freplace], run: cleaned },
];

/// What libxdp loads for whoever opens an `AF_XDP` socket by it; Debian's libxdp1 has it here.
const DEFAULT_PROGRAM: &str = "/usr/lib/x86_64-linux-gnu/bpf/xsk_def_xdp_prog.o";
/// Its entry in a chain: `XDP_RUN_CONFIG` of libxdp's `xsk_def_xdp_prog.c`.
const THEIRS: (u32, &str) = (20, "xsk_def_prog");
const DROPPED: u16 = 4789;
const OTHER: u16 = 4790;

/// A user of `AF_XDP` on the near end.
struct AfXdp {
    socket: XskSocket,
    program: u32,
}

impl AfXdp {
    fn open(pair: &Pair) -> Result<Self> {
        xdp_loader(&format!("load -m native {} {DEFAULT_PROGRAM}", pair.near_name))?;
        let info = loaded_programs()
            .filter_map(Result::ok)
            .find(|info| info.name_as_str() == Some(THEIRS.1))
            .context("libxdp's program for AF_XDP is not loaded")?;
        let maps = info.map_ids()?.context("its maps")?;
        let named = |id: u32| {
            Some(MapData::from_id(id).ok()?)
                .filter(|map| map.info().is_ok_and(|info| info.name_as_str() == Some("xsks_map")))
        };
        let map = maps.into_iter().find_map(named).context("its map of sockets")?;
        let mut sockets = XskMap::try_from(Map::XskMap(map))?;
        let socket = XskSocket::bind(pair.near_name)?;
        sockets.set(0, socket.socket().as_fd(), 0)?;
        Ok(Self { socket, program: info.id() })
    }

    /// Sends a frame to each port; those of `want` come, and no other.
    fn expect(&self, pair: &Pair, want: &[u16]) -> Result<()> {
        let far = pair.far_socket()?;
        for port in [DROPPED, OTHER] {
            far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
        }
        // A veth pair keeps the order: after the last one nothing of the others can come.
        let mut came = Vec::new();
        while came.last() != Some(&OTHER) {
            let frame = self.socket.receive(None)?.with_context(|| format!("of {want:?} came {came:?}"))?;
            came.push(u16::from_be_bytes([frame[36], frame[37]]));
        }
        ensure!(came == want, "{came:?} came, not {want:?}");
        ensure!(self.socket.receive(Some(Duration::from_millis(50)))?.is_none(), "more came than was sent");
        ensure!(loaded_programs().filter_map(Result::ok).any(|info| info.id() == self.program), "it was loaded anew");
        Ok(())
    }
}

/// Ours before and behind the program of an `AF_XDP` user: its socket goes on, and gets what ours let pass.
fn shares(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let user = AfXdp::open(&pair)?;
    user.expect(&pair, &[DROPPED, OTHER]).context("alone")?;
    let ours = |priority: u32| (priority, "xdp_drop_udp_port");
    let seen = |want: &[(u32, &str)]| -> Result<()> {
        let found = chain(pair.near_name)?;
        let found: Vec<(u32, &str)> = found.iter().map(|(priority, name)| (*priority, name.as_str())).collect();
        ensure!(found == want, "{found:?}, not {want:?}");
        Ok(())
    };

    ctx.say("behind it");
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    seen(&[THEIRS, ours(510)])?;
    // What it takes for its socket never reaches ours.
    user.expect(&pair, &[DROPPED, OTHER]).context("ours behind it")?;

    ctx.say("before it");
    node.ship(&Stream { revision: 2, ..Stream::drop_port("drop", pair.near_name, 10) })?;
    node.apply_expecting(Exit::Done)?;
    seen(&[ours(10), THEIRS])?;
    user.expect(&pair, &[OTHER]).context("ours before it")?;

    ctx.say("gone");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    seen(&[THEIRS])?;
    user.expect(&pair, &[DROPPED, OTHER]).context("ours gone")?;
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

/// `xdp-loader clean` over and over, while ours come, change and go: no run fails, and no program is lost.
fn cleaned(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let done = AtomicBool::new(false);
    let cleans = std::thread::scope(|scope| -> Result<u32> {
        let cleaner = scope.spawn(|| {
            let mut cleans = 0;
            while !done.load(Ordering::Relaxed) {
                let clean =
                    Command::new("xdp-loader").arg("clean").stdout(Stdio::null()).stderr(Stdio::null()).status();
                cleans += u32::from(clean.is_ok_and(|status| status.success()));
            }
            cleans
        });
        // Two of xdp-loader at once: one of them finds the other's lock file and gives up.
        let members = || (0..50).find_map(|_| chain(pair.near_name).ok()).context("xdp-loader tells nothing");
        let rounds = || -> Result<()> {
            for round in 1..=8 {
                node.ship(&Stream { revision: round, ..Stream::drop_port("drop", pair.near_name, 510) })?;
                node.ship(&Stream::pass("pass", pair.near_name, 520))?;
                node.apply_expecting(Exit::Done)?;
                let found = members()?;
                ensure!(found.len() == 2, "round {round}: {found:?}");
                for port in [DROPPED, OTHER] {
                    far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
                }
                ensure!(near.receive(1)?.len() == 1, "round {round}: the program does not drop");
                Node::remove("pass")?;
                node.apply_expecting(Exit::Done)?;
                let found = members()?;
                ensure!(found.len() == 1, "round {round}: {found:?}");
            }
            Ok(())
        };
        let result = rounds();
        done.store(true, Ordering::Relaxed);
        let cleans = cleaner.join().map_err(|_| anyhow::anyhow!("the cleaner panicked"))?;
        result.map(|()| cleans)
    })?;
    ctx.say(&format!("cleaned {cleans} times"));
    ensure!(cleans >= 8, "cleaned only {cleans} times: nothing was shown");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}
