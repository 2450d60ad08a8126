//! The whole path on the shipped example: what the compiler wrote and the real Ignition laid into `/nodes/example`,
//! started as the unit starts it.

use std::{fs, process::Output};

use anyhow::{Context as _, Result, ensure};
use nodeplan::report::{Report, StreamState};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ipv4_frame},
    node::{self, Snapshot, chain, said, xdp_loader},
    sandbox,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "example-drops-frag-needed", needs: &[Feature::Freplace], run: drops },
    Test { name: "example-tampered-is-refused", needs: &[Feature::Freplace], run: tampered },
];

const ROOT: &str = "/nodes/example";
const LOADER: &str = "/usr/local/bin/nodebpf-loader";
const BUNDLE: &str = "/etc/nodebpf/bundles/netops-drop-frag-needed.bundle";
/// In `node_ips` of the example, and not.
const NODE: [u8; 4] = [10, 0, 1, 5];
const ROUTER: [u8; 4] = [10, 0, 9, 9];

/// The command line of the unit, as systemd would split it; the test has no systemd.
fn exec_start() -> Result<String> {
    let unit = fs::read_to_string("/etc/systemd/system/nodebpf.service").context("reading the unit")?;
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).context("the unit has no ExecStart")?;
    Ok(line.to_owned())
}

fn run_unit() -> Result<Output> {
    let line = exec_start()?;
    let (program, words) = line.split_once(' ').context("ExecStart has no arguments")?;
    ensure!(program == LOADER, "ExecStart runs {program}");
    node::run(program, words)
}

/// ICMP "fragmentation needed" with a next-hop MTU of 576.
fn frag_needed(from: [u8; 4]) -> Result<Vec<u8>> {
    let mut icmp = vec![3, 4, 0, 0, 0, 0, 2, 64];
    icmp.extend([0x45, 0, 0, 84, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 4, 10, 0, 9, 1, 0, 80, 0, 80, 0, 0, 0, 0]);
    let sum = crate::net::checksum(&icmp).to_be_bytes();
    icmp[2..4].copy_from_slice(&sum);
    ipv4_frame(from, [10, 0, 1, 4], 1, &icmp)
}

fn drops(ctx: &mut Ctx) -> Result<()> {
    sandbox::use_root(ROOT)?;
    let pair = Pair::new("eth0", "far0")?;
    let ran = run_unit()?;
    ensure!(ran.status.success(), "the unit failed: {}", said(&ran));
    ctx.say(&said(&ran));

    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let sent = pair.far_counters()?.sent;
    let (poison, truth) = (frag_needed(NODE)?, frag_needed(ROUTER)?);
    for (frame, sender, want) in [(&poison, "node 10.0.1.5", 0), (&truth, "router 10.0.9.9", 3)] {
        for _ in 0..3 {
            far.send(frame)?;
        }
        let arrived = near.receive(want)?;
        ctx.say(&format!("3 \"fragmentation needed\" sent by {sender}: {} arrived", arrived.len()));
        ensure!(arrived.len() == want && arrived.iter().all(|one| one == frame), "arrived: {arrived:02x?}");
    }
    let sent = pair.far_counters()?.sent - sent;
    ensure!(sent == 6, "the far end counts {sent} sent");

    ensure!(chain("eth0")? == [(510, "drop_frag_needed".to_owned())], "{}", xdp_loader("status")?);
    let status = xdp_loader("status")?;
    ensure!(status.lines().any(|line| line.contains("=>") && line.contains("XDP_PASS")), "{status}");

    let json = node::run(LOADER, "status --json")?;
    ensure!(json.status.success(), "status --json: {}", said(&json));
    let report: Report = nodeplan::json::parse(&json.stdout, json.stdout.len()).context("reading status --json")?;
    let stream = node::stream(&report, "netops-drop-frag-needed")?;
    ensure!(stream.state == StreamState::Attached && stream.attachments.len() == 1, "{stream:?}");
    ensure!(
        stream.attachments[0].attached && stream.attachments[0].priority.is_some_and(|priority| priority.get() == 510),
        "{stream:?}"
    );
    let counters: Vec<(&str, u64)> = stream.counters.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    ensure!(counters == [("frag_needed_dropped", 3), ("frag_needed_passed", 3)], "{counters:?}");
    let table = node::run(LOADER, "status")?;
    let text = String::from_utf8_lossy(&table.stdout);
    ensure!(text.contains("attached") && text.contains("eth0") && text.contains("510"), "{text}");
    for line in text.lines() {
        ctx.say(line);
    }
    Ok(())
}

/// One flipped bit: the unit's command at boot still exits 0, `--update` exits 3, nothing is attached.
fn tampered(_: &mut Ctx) -> Result<()> {
    sandbox::use_root(ROOT)?;
    let pair = Pair::new("eth0", "far0")?;
    let before = Snapshot::take_settled()?;
    let mut bytes = fs::read(BUNDLE).context("reading the bundle")?;
    let sound = bytes.clone();
    let middle = bytes.windows(9).position(|window| window == b"\"revision").context("the statement")?;
    bytes[middle + 11] ^= 1;
    fs::write(BUNDLE, &bytes).context("writing the bundle")?;
    let outcome = tampered_runs(&before);
    fs::write(BUNDLE, sound).context("restoring the bundle")?;
    drop(pair);
    outcome
}

fn tampered_runs(before: &Snapshot) -> Result<()> {
    for (words, exit) in [("apply --boot", 0), ("apply --update", 3), ("apply", 3)] {
        let ran = node::run(LOADER, words)?;
        ensure!(ran.status.code() == Some(exit), "{words}: {}", said(&ran));
        ensure!(said(&ran).contains("NB1102"), "{words}: {}", said(&ran));
        before.expect_again().context(words)?;
    }
    Ok(())
}
