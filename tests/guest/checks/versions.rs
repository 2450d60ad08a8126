//! Dispatchers of other versions of libxdp's protocol, and of packets of several fragments.
//!
//! The dispatchers are those of `bpf/programs/dispatcher_other.bpf.c`, put on the interface by aya and `ip`: nothing of ours
//! has a hand in them.

use std::{fs, os::fd::AsFd as _, path::PathBuf};

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader,
    programs::{Extension, ProgramFd, Xdp, links::FdLink},
};
use nodebpf_loader::kernel::{Kernel, XdpState};
use nodeplan::{
    hook::Attachment,
    report::{Code, Exit, Report, StreamState},
};

use super::{
    chain::expect_refusal,
    hook_streams::{Failed, map},
};
use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip, udp_frame},
    node::{Node, Snapshot, Stream, chain, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "dispatcher-of-version-one", needs: &[Feature::Freplace], run: version_one },
    Test { name: "dispatcher-of-version-three", needs: &[Feature::Freplace], run: version_three },
    Test { name: "dispatcher-of-a-newer-version", needs: &[Feature::Freplace], run: newer },
    Test { name: "fragments-if-all-take-them", needs: &[Feature::Freplace], run: fragments },
];

/// Priorities and masks of the two programs in `dispatcher_other.bpf.c`.
const THEIRS: [(u32, u32); 2] = [(40, 1 << 31 | 1 << 2), (60, 1 << 31 | 1 << 2 | 1 << 3)];
/// Ours goes between them.
const OURS: (u32, u32) = (50, 1 << 31 | 1 << 2);

/// The attached dispatcher: its id, and the one value of its one map.
pub(super) fn attached(interface: &str) -> Result<(u32, Vec<u8>)> {
    let kernel = Kernel::new();
    let all = kernel.interfaces().map_err(Failed::from)?;
    let one = all.iter().find(|one| one.name == interface).context("the interface")?;
    let XdpState::One(xdp) = one.xdp else { anyhow::bail!("{one:?}") };
    let program = kernel.prog_by_id(xdp.prog_id).map_err(Failed::from)?;
    let info = kernel.prog_info(program.as_fd()).map_err(Failed::from)?;
    ensure!(info.name == "xdp_dispatcher" && info.map_ids.len() == 1 && info.btf_id != 0, "{info:?}");
    let map = kernel.map_by_id(info.map_ids[0]).map_err(Failed::from)?;
    let mut value = vec![0; kernel.map_info(map.as_fd()).map_err(Failed::from)?.value_size as usize];
    kernel.map_lookup(map.as_fd(), &[0; 4], &mut value).map_err(Failed::from)?;
    Ok((xdp.prog_id, value))
}

/// Where the programs of an attached dispatcher are pinned.
fn pins(interface: &str, dispatcher: u32) -> Result<PathBuf> {
    Ok(format!("/sys/fs/bpf/xdp/dispatch-{}-{dispatcher}", crate::sys::interface_index(interface)?).into())
}

/// Ids of the programs in the attached dispatcher, in running order.
pub(super) fn members(interface: &str) -> Result<Vec<u32>> {
    let (kernel, dir) = (Kernel::new(), pins(interface, attached(interface)?.0)?);
    let mut ids = Vec::new();
    while let Ok(program) = kernel.open_pin(&dir.join(format!("prog{}-prog", ids.len()))) {
        ids.push(kernel.prog_info(program.as_fd()).map_err(Failed::from)?.id);
    }
    Ok(ids)
}

/// The configuration that a version lays out so; programs as priority, mask and flags.
fn config(version: u8, frags: u8, programs: &[(u32, u32, u32)]) -> Result<Vec<u8>> {
    let count = u8::try_from(programs.len())?;
    let mut bytes = match version {
        1 => vec![count, 0, 0, 0],
        _ => vec![236, version, count, frags],
    };
    for array in 0..if version == 1 { 2 } else { 3 } {
        for slot in 0..10 {
            let (priority, mask, flags) = programs.get(slot).copied().unwrap_or_default();
            bytes.extend([mask, priority, flags][array].to_ne_bytes());
        }
    }
    bytes.resize(if version == 3 { 128 } else { bytes.len() }, 0);
    Ok(bytes)
}

/// Puts a dispatcher from `object` with two programs on the interface; `changed` is its configuration if not its own.
fn attach_foreign(interface: &str, object: &str, changed: Option<&[u8; 128]>) -> Result<Vec<u32>> {
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    if let Some(changed) = changed {
        loader.override_global("conf", changed, true);
    }
    let mut loaded = loader.load_file(format!("/objects/{object}"))?;
    let dispatcher: &mut Xdp = loaded.program_mut("xdp_dispatcher").context("the dispatcher")?.try_into()?;
    dispatcher.load()?;
    let dir = pins(interface, dispatcher.info()?.id())?;
    fs::create_dir_all(&dir)?;
    let target: ProgramFd = dispatcher.fd()?.try_clone()?;
    let mut ids = Vec::new();
    for slot in 0..2 {
        let mut loader = EbpfLoader::new();
        let mut part = loader.btf(None).extension("xdp_pass_a").load_file("/objects/xdp_pass.bpf.o")?;
        let program: &mut Extension = part.program_mut("xdp_pass_a").context("the program")?.try_into()?;
        program.load(target.try_clone()?, &format!("prog{slot}"))?;
        let link = program.attach()?;
        let link: FdLink = program.take_link(link)?.into();
        link.pin(dir.join(format!("prog{slot}-link")))?;
        program.pin(dir.join(format!("prog{slot}-prog")))?;
        ids.push(program.info()?.id());
    }
    dispatcher.pin("/sys/fs/bpf/dispatcher")?;
    ip(&format!("link set dev {interface} xdpdrv pinned /sys/fs/bpf/dispatcher"))?;
    fs::remove_file("/sys/fs/bpf/dispatcher")?;
    Ok(ids)
}

fn version_one(ctx: &mut Ctx) -> Result<()> {
    let pair = keeps(ctx, 1)?;
    // xdp-loader 1.3.1 speaks version 2, knows this one by its BTF, and takes it apart.
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

fn version_three(ctx: &mut Ctx) -> Result<()> {
    keeps(ctx, 3).map(drop)
}

/// Ours joins a dispatcher of another version, and leaves: version, and all that is said of the others, stay.
fn keeps(ctx: &Ctx, version: u8) -> Result<Pair> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let theirs = attach_foreign(pair.near_name, &format!("dispatcher_v{version}.bpf.o"), None)?;
    let flags = if version == 1 { 0 } else { 0x20 };
    let [first, last] = [(THEIRS[0].0, THEIRS[0].1, flags), (THEIRS[1].0, THEIRS[1].1, 0)];
    let (foreign, before) = attached(pair.near_name)?;
    ensure!(before == config(version, 0, &[first, last])?, "the test's own dispatcher: {before:02x?}");
    if version == 1 {
        ctx.say(&format!("xdp-loader sees {:?}", chain(pair.near_name)?));
    }

    node.ship(&Stream::drop_port("drop", pair.near_name, 50))?;
    let report = node.apply_expecting(Exit::Done)?;
    let ours = stream(&report, "drop")?.attachments[0].program_id.context("attached")?;
    let (dispatcher, with) = attached(pair.near_name)?;
    ensure!(dispatcher != foreign, "it was not replaced");
    ensure!(with == config(version, 0, &[first, (OURS.0, OURS.1, 0), last])?, "with ours: {with:02x?}");
    ensure!(members(pair.near_name)? == [theirs[0], ours, theirs[1]], "{:?}", members(pair.near_name)?);
    if version == 1 {
        let want = [(40, "xdp_pass_a"), (50, "xdp_drop_udp_port"), (60, "xdp_pass_a")];
        let listed = chain(pair.near_name)?;
        ensure!(listed.iter().map(|(priority, name)| (*priority, name.as_str())).eq(want), "{listed:?}");
    }
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    for port in [4789, 4790] {
        far.send(&udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    ensure!(near.receive(1)?.len() == 1, "ours does not run");
    let settled = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    settled.expect_again().context("a second run")?;

    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    let (_, after) = attached(pair.near_name)?;
    ensure!(after == before, "after removal: {after:02x?}, before {before:02x?}");
    ensure!(members(pair.near_name)? == theirs, "{:?}", members(pair.near_name)?);
    ensure!(fs::read_dir("/sys/fs/bpf/xdp")?.count() == 1, "a directory is left");
    Ok(pair)
}

/// What came after this loader, and what is bound to its device, is left alone and named.
fn newer(_: &mut Ctx) -> Result<()> {
    for (at, value, code, words) in [
        (1, 4, Code::DispatcherTooNew, "of version 4; this loader knows 1 to 3"),
        (124, 1, Code::HeldByLegacy, "bound to the device"),
    ] {
        let pair = Pair::new("near0", "far0")?;
        let node = Node::new()?;
        let mut bytes = [0; 128];
        bytes.copy_from_slice(&config(3, 0, &[(40, 1 << 31 | 4, 0), (60, 1 << 31 | 4, 0)])?);
        bytes[at] = value;
        attach_foreign(pair.near_name, "dispatcher_v3.bpf.o", Some(&bytes))?;
        let id = attached(pair.near_name)?.0;
        node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
        expect_refusal(&node, code, &["xdp_dispatcher", &format!("id {id}"), "tag ", words])?;
        Node::remove("drop")?;
        ip("link del near0")?;
    }
    Ok(())
}

fn ship_frags(node: &Node) -> Result<()> {
    let one = Stream { object: "xdp_frags.bpf.o", program: "xdp_pass_frags", ..Stream::pass("frags", "near0", 100) };
    node.ship_changed(&one, |plan| {
        for attachment in plan.programs.iter_mut().flat_map(|program| &mut program.attach) {
            if let Attachment::Xdp(xdp) = attachment {
                xdp.frags = true;
            }
        }
        plan.plan_version = plan.lowest_version();
    })
    .map(drop)
}

fn frags(report: &Report, name: &str) -> Result<Option<bool>> {
    let one = stream(report, name)?;
    ensure!(one.state == StreamState::Attached, "{one:?}");
    Ok(one.attachments[0].frags)
}

/// A jumbo MTU in native mode works if every program takes fragments; one that does not takes them from all.
fn fragments(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let mtu = |mtu: u32| -> Result<()> {
        ip(&format!("link set dev {} mtu {mtu}", pair.near_name))?;
        pair.far.run(|| ip(&format!("link set dev {} mtu {mtu}", pair.far_name)))
    };
    let [with, without] = [(100, 1 << 31 | 4, 0x20), (600, 1 << 31 | 4, 0)];
    mtu(9000)?;
    ship_frags(&node)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(frags(&report, "frags")? == Some(true), "{report:?}");
    ensure!(attached(pair.near_name)?.1 == config(2, 1, &[with])?, "{:02x?}", attached(pair.near_name)?);
    let frame = udp_frame([192, 0, 2, 1], [192, 0, 2, 2], 7, &[7; 8000])?;
    pair.far_socket()?.send(&frame)?;
    let mut bytes = [0; 8];
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let seen = map("frags", "seen")?;
        Kernel::new().map_lookup(seen.as_fd(), &1u32.to_ne_bytes(), &mut bytes).map_err(Failed::from)?;
        if bytes != [0; 8] {
            break;
        }
    }
    ensure!(u64::from_ne_bytes(bytes) == frame.len() as u64, "it saw {} bytes", u64::from_ne_bytes(bytes));

    // One without: refused by the driver, and the other is as before.
    node.ship(&Stream::pass("plain", pair.near_name, 600))?;
    let report = node.apply_expecting(Exit::Failed)?;
    let failed = stream(&report, "plain")?.reason.clone().context("a reason")?;
    ensure!(failed.code == Code::Kernel && failed.message.contains("xdp.frags"), "{failed:?}");
    ensure!(frags(&report, "frags")? == Some(true), "{report:?}");

    mtu(1500)?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(frags(&report, "frags")? == Some(false) && frags(&report, "plain")?.is_none(), "{report:?}");
    ensure!(attached(pair.near_name)?.1 == config(2, 0, &[with, without])?, "{:02x?}", attached(pair.near_name)?);
    let settled = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    settled.expect_again().context("a second run")?;
    Node::remove("plain")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(attached(pair.near_name)?.1 == config(2, 1, &[with])?, "{:02x?}", attached(pair.near_name)?);

    // xdp-loader adds one and takes it off: the next run has fragments again.
    xdp_loader(&format!("load -m native {} /objects/xdp_pass.bpf.o", pair.near_name))?;
    ensure!(attached(pair.near_name)?.1[3] == 0, "theirs takes fragments");
    let theirs = members(pair.near_name)?[0];
    xdp_loader(&format!("unload -i {theirs} {}", pair.near_name))?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(frags(&report, "frags")? == Some(true), "{report:?}");
    ensure!(attached(pair.near_name)?.1 == config(2, 1, &[with])?, "{:02x?}", attached(pair.near_name)?);
    Ok(())
}
