//! Committed objects on this kernel, loaded by aya, which knows nothing of ours.

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, PerCpuArray},
    programs::{Xdp, XdpMode, loaded_programs},
};

use crate::{
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
};

pub(crate) const TESTS: &[Test] = &[Test { name: "xdp-drops-by-port", needs: &[], run: drops_by_port }];

const OBJECT: &str = "/objects/xdp_drop_udp_port.bpf.o";
const PROGRAM: &str = "xdp_drop_udp_port";
const BAD_PORT: u16 = 4789;
const GOOD_PORT: u16 = 4790;

/// A packet that must go is dropped while its neighbour passes.
fn drops_by_port(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    // The object has no CO-RE relocations, and parsing the kernel's BTF takes an emulated processor long.
    let mut object: Ebpf =
        EbpfLoader::new().btf(None).load_file(OBJECT).with_context(|| format!("loading {OBJECT}"))?;
    let mut port: Array<_, u16> = object.map_mut("port").context("the object has no map `port`")?.try_into()?;
    port.set(0, BAD_PORT.to_be(), 0)?;
    let program: &mut Xdp = object.program_mut(PROGRAM).context("the object has no such program")?.try_into()?;
    program.load()?;
    let id = program.info()?.id();
    program.attach(pair.near_name, XdpMode::Driver)?;
    ctx.say(&format!("program {id} is attached in native mode"));

    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let sent = pair.far_counters()?.sent;
    for destination in [BAD_PORT, GOOD_PORT, BAD_PORT, GOOD_PORT] {
        far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], destination, b"payload")?)?;
    }
    let arrived = near.receive(2)?;
    let good = udp_frame([192, 0, 2, 1], [192, 0, 2, 2], GOOD_PORT, b"payload")?;
    ensure!(
        arrived == [good.clone(), good],
        "only the two good ones must arrive; {} did: {arrived:02x?}",
        arrived.len()
    );
    let sent = pair.far_counters()?.sent - sent;
    ensure!(sent == 4, "the far end counts {sent} sent");
    let dropped: PerCpuArray<_, u64> = object.map("dropped").context("the object has no map `dropped`")?.try_into()?;
    let dropped: u64 = dropped.get(&0, 0)?.iter().sum();
    ensure!(dropped == 2, "the program counts {dropped} dropped");
    let loaded = loaded_programs().filter_map(Result::ok).any(|program| program.id() == id);
    ensure!(loaded, "the kernel does not list program {id}");
    Ok(())
}
