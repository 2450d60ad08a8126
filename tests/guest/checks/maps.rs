//! Maps that a bundle fills.

use anyhow::{Result, ensure};
use nodeplan::report::Exit;

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, Stream},
};

pub(crate) const TESTS: &[Test] =
    &[Test { name: "networks-of-an-lpm-trie-are-filled", needs: &[Feature::Freplace], run: networks }];

/// The longest prefix decides, as the kernel compares it: a network, a hole in it, and what is outside.
fn networks(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let empty = Snapshot::take_settled()?;
    // 198.51.0.0/16 is dropped, 198.51.100.0/24 in it is not. Prefix lengths are in the machine's order.
    let more = r#","maps":{"nets":{"entries":[
        {"key":"10000000c6330000","value":"01"},
        {"key":"18000000c6336400","value":"00"}]}}"#;
    let stream = Stream {
        object: "xdp_drop_net.bpf.o",
        program: "xdp_drop_net",
        more,
        ..Stream::pass("drop", pair.near_name, 510)
    };
    node.ship(&stream)?;
    node.apply_expecting(Exit::Done)?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    for (from, want) in [([198, 51, 7, 1], 0), ([198, 51, 100, 1], 1), ([203, 0, 113, 1], 1)] {
        far.send(&udp_frame(from, [192, 0, 2, 2], 4789, b"x")?)?;
        let arrived = near.receive(want)?.len();
        ensure!(arrived == want, "{arrived} frames from {from:?} arrived, not {want}");
    }
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    empty.expect_again()
}
