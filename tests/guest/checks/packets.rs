//! Frames cross a veth pair and are counted at both ends.

use anyhow::{Result, ensure};

use crate::{
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
};

pub(crate) const TESTS: &[Test] = &[Test { name: "veth-counts", needs: &[], run: counts }];

fn counts(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let (near_before, far_before) = (pair.near_counters()?, pair.far_counters()?);
    let frame = udp_frame([192, 0, 2, 1], [192, 0, 2, 2], 7, b"one of three")?;
    for _ in 0..3 {
        far.send(&frame)?;
    }
    let arrived = near.receive(3)?;
    ensure!(arrived.len() == 3, "sent 3 frames, {} arrived", arrived.len());
    ensure!(arrived.iter().all(|other| *other == frame), "a frame changed on the way: {arrived:02x?}");
    let (near_after, far_after) = (pair.near_counters()?, pair.far_counters()?);
    let (received, sent) = (near_after.received - near_before.received, far_after.sent - far_before.sent);
    ensure!((received, sent) == (3, 3), "the far end counts {sent} sent, the near end {received} received");
    Ok(())
}
