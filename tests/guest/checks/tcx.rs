//! TCX: programs on the TC hook by BPF links.

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, ensure};

use crate::{
    bpf::{self, AttachType, Kind},
    features::{Feature, smallest},
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    sys,
};

pub(crate) const TESTS: &[Test] = &[Test { name: "tcx-drops", needs: &[Feature::Tcx], run: drops }];

/// On egress, because a socket sees arriving frames before TC does. The sender is told of a drop: `ENOBUFS`.
fn drops(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let interface = sys::interface_index(pair.near_name)?;
    let next = smallest(Kind::SchedCls, "next", bpf::TCX_NEXT).context("loading `next`")?;
    let drop_all = smallest(Kind::SchedCls, "drop_all", bpf::TCX_DROP).context("loading `drop_all`")?;
    let frame = udp_frame([192, 0, 2, 1], [192, 0, 2, 2], 7, b"payload")?;
    let arrives = || -> Result<bool> {
        let (near, far) = (pair.near_socket()?, pair.far_socket()?);
        let sent = near.send(&frame);
        if let Some(error) = sent.as_ref().err().and_then(|error| error.downcast_ref::<std::io::Error>())
            && error.raw_os_error() == Some(libc::ENOBUFS)
        {
            return Ok(false);
        }
        sent?;
        Ok(far.receive(1)?.len() == 1)
    };
    ensure!(arrives()?, "without a program the frame must arrive");
    let _first = bpf::link_interface(next.as_fd(), interface, AttachType::TcxEgress).context("linking `next`")?;
    ensure!(arrives()?, "with a program that has no opinion the frame must arrive");
    let second =
        bpf::link_interface(drop_all.as_fd(), interface, AttachType::TcxEgress).context("linking `drop_all`")?;
    ensure!(!arrives()?, "with a program that drops the frame must not arrive");
    drop(second);
    ensure!(arrives()?, "with that program gone the frame must arrive again");
    Ok(())
}
