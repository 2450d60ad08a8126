//! The loader beside other users of an interface: xdp-loader of xdp-tools, programs without dispatcher, `bpf_link`s.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{
    EbpfLoader,
    programs::{Xdp, XdpMode},
};
use nodeplan::{
    hook::Attachment,
    report::{Code, Exit, StreamState},
    xdp::{ProceedOn, XdpAction},
};

use crate::{
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, Snapshot, Stream, chain, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "shares-with-xdp-loader", needs: &[Feature::Freplace], run: shares },
    Test { name: "returns-after-xdp-loader-removed-it", needs: &[Feature::Freplace], run: returns },
    Test { name: "refuses-a-bpf-link", needs: &[Feature::Freplace], run: refuses_link },
    Test { name: "refuses-a-legacy-program", needs: &[Feature::Freplace], run: refuses_legacy },
    Test { name: "refuses-the-eleventh", needs: &[Feature::Freplace], run: refuses_eleventh },
    Test { name: "survives-a-lost-pin-directory", needs: &[Feature::Freplace], run: survives_clean },
    Test { name: "a-verdict-means-the-same-alone", needs: &[Feature::Freplace], run: alone },
    Test { name: "renews-second-pins", needs: &[Feature::Freplace], run: renews },
    Test { name: "races-with-xdp-loader", needs: &[Feature::Freplace], run: races },
];

const DROP: (u32, &str) = (510, "xdp_drop_udp_port");
const THEIRS: (u32, &str) = (50, "xdp_pass_a");

fn named(chain: &[(u32, String)]) -> Vec<(u32, &str)> {
    chain.iter().map(|(priority, name)| (*priority, name.as_str())).collect()
}

pub(super) fn load_theirs(interface: &str) -> Result<()> {
    xdp_loader(&format!("load -m native {interface} /objects/xdp_pass.bpf.o")).map(drop)
}

fn id_of(interface: &str, name: &str) -> Result<u32> {
    let status = xdp_loader("status")?;
    let mut lines = status.lines().skip_while(|line| !line.starts_with(interface));
    let line = lines.find(|line| line.contains("=>") && line.contains(name)).context("not listed")?;
    line.split_whitespace().nth(3).and_then(|id| id.parse().ok()).with_context(|| format!("no id in `{line}`"))
}

/// Ours and theirs come and go in every order; ids of the others never change.
fn shares(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    load_theirs(pair.near_name)?;
    let theirs = id_of(pair.near_name, THEIRS.1)?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    ensure!(named(&chain(pair.near_name)?) == [THEIRS, DROP], "ours over theirs: {:?}", chain(pair.near_name)?);
    ensure!(id_of(pair.near_name, THEIRS.1)? == theirs, "their program was loaded anew");
    let ours = id_of(pair.near_name, DROP.1)?;

    ctx.say("they add and remove one");
    load_theirs(pair.near_name)?;
    let listed = chain(pair.near_name)?;
    ensure!(named(&listed) == [THEIRS, THEIRS, DROP], "theirs over ours: {listed:?}");
    ensure!(id_of(pair.near_name, DROP.1)? == ours, "our program was loaded anew");
    xdp_loader(&format!("unload -i {theirs} {}", pair.near_name))?;
    ensure!(named(&chain(pair.near_name)?) == [THEIRS, DROP], "one of theirs gone");
    node.apply_expecting(Exit::Done)?;
    ensure!(id_of(pair.near_name, DROP.1)? == ours, "nothing was to be done");

    ctx.say("ours goes, theirs stays");
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(named(&chain(pair.near_name)?) == [THEIRS], "after removal: {:?}", chain(pair.near_name)?);
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

/// Somebody unloads our program by id; the next run brings it back.
fn returns(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    load_theirs(pair.near_name)?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let ours = id_of(pair.near_name, DROP.1)?;
    xdp_loader(&format!("unload -i {ours} {}", pair.near_name))?;
    ensure!(named(&chain(pair.near_name)?) == [THEIRS], "xdp-loader did not remove ours");
    node.apply_expecting(Exit::Done)?;
    ensure!(named(&chain(pair.near_name)?) == [THEIRS, DROP], "ours did not return");
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.attachments.iter().all(|place| place.attached), "ours did not return");
    ensure!(named(&chain(pair.near_name)?) == [DROP], "alone: {:?}", chain(pair.near_name)?);
    Ok(())
}

pub(super) fn expect_refusal(node: &Node, code: Code, words: &[&str]) -> Result<()> {
    let before = Snapshot::take_settled()?;
    let report = node.apply_expecting(Exit::Failed)?;
    let stream = stream(&report, "drop")?;
    let reason = stream.reason.as_ref().context("a reason")?;
    ensure!(stream.state == StreamState::Failed && reason.code == code, "{stream:?}");
    for word in words {
        ensure!(reason.message.contains(word), "`{word}` is not in `{}`", reason.message);
    }
    before.expect_again()
}

/// aya, like the Ingress Node Firewall and bpfman, attaches by `bpf_link`: the error names it, nothing changes.
fn refuses_link(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let mut object = EbpfLoader::new().btf(None).load_file("/objects/xdp_pass.bpf.o")?;
    let program: &mut Xdp = object.program_mut("xdp_pass_a").context("the program")?.try_into()?;
    program.load()?;
    program.attach(pair.near_name, XdpMode::Driver)?;
    let id = program.info()?.id();
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    expect_refusal(&node, Code::HeldByLink, &["xdp_pass_a", &format!("id {id}"), "bpf_link"])
}

/// `ip link set xdp` attaches without dispatcher.
fn refuses_legacy(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let loaded = Command::new("bpftool")
        .args(["prog", "load", "/objects/xdp_pass.bpf.o", "/sys/fs/bpf/legacy", "type", "xdp"])
        .output()
        .context("starting bpftool")?;
    ensure!(loaded.status.success(), "bpftool: {}", String::from_utf8_lossy(&loaded.stderr));
    ip(&format!("link set dev {} xdpdrv pinned /sys/fs/bpf/legacy", pair.near_name))?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    expect_refusal(&node, Code::HeldByLegacy, &["xdp_pass_a", "id ", "tag "])
}

/// A dispatcher has ten slots.
fn refuses_eleventh(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for (name, priority) in NAMES.into_iter().zip(100u16..) {
        node.ship(&Stream::pass(name, pair.near_name, priority))?;
    }
    node.apply_expecting(Exit::Done)?;
    ensure!(chain(pair.near_name)?.len() == 10, "ten fit: {:?}", chain(pair.near_name)?);
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    expect_refusal(&node, Code::TooManyPrograms, &["11", "10 slots"])
}

/// `xdp-loader clean` from another network namespace takes our directory for a stale one: packets stay filtered.
fn survives_clean(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let ours = fs::read_dir("/sys/fs/bpf/xdp")?.next().context("a dispatch directory")??.path();
    fs::remove_dir_all(&ours).with_context(|| format!("removing {}", ours.display()))?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    for port in [4789, 4790] {
        far.send(&crate::net::udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    let arrived = near.receive(1)?;
    ensure!(arrived.len() == 1, "the second pins do not hold the program: {} frames arrived", arrived.len());
    // Nobody but ours runs in it: the next run makes it whole again.
    let report = node.apply_expecting(Exit::Done)?;
    ensure!(stream(&report, "drop")?.attachments.iter().all(|place| place.attached), "{report:?}");
    ensure!(named(&chain(pair.near_name)?) == [DROP], "not made whole: {:?}", chain(pair.near_name)?);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}

/// libxdp lets the last program of a chain replace the dispatcher's main function, where its DROP would be final although
/// it proceeds after one: the next run puts it into a slot again.
fn alone(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let drop = Stream::drop_port("drop", pair.near_name, 510);
    let both = ProceedOn::from_unsorted(vec![XdpAction::Drop, XdpAction::Pass])?;
    node.ship_changed(&drop, |plan| {
        for attachment in plan.programs.iter_mut().flat_map(|program| &mut program.attach) {
            if let Attachment::Xdp(xdp) = attachment {
                xdp.proceed_on = both.clone();
            }
        }
    })?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let passes = || -> Result<bool> {
        far.send(&crate::net::udp_frame([192, 0, 2, 1], [192, 0, 2, 2], 4789, b"x")?)?;
        Ok(near.receive(1)?.len() == 1)
    };
    node.apply_expecting(Exit::Done)?;
    ensure!(passes()?, "alone");
    load_theirs(pair.near_name)?;
    xdp_loader(&format!("unload -i {} {}", id_of(pair.near_name, THEIRS.1)?, pair.near_name))?;
    ensure!(!passes()?, "libxdp does not replace the main function any more");
    node.apply_expecting(Exit::Done)?;
    ensure!(passes()?, "after libxdp reduced the chain");
    let before = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    before.expect_again()
}

/// Another one's program makes libxdp build a new dispatcher, which no second pin of ours leads to until the next run.
fn renews(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    load_theirs(pair.near_name)?;
    let before = Snapshot::take_settled()?;
    node.apply_expecting(Exit::Done)?;
    let renewed = Snapshot::take_settled()?;
    ensure!(renewed.same_dispatchers(&before) && renewed.pins() == before.pins(), "{renewed:?}, before {before:?}");
    // The dispatcher before the last one goes with its link.
    ensure!(renewed.programs() < before.programs(), "{renewed:?}, before {before:?}");
    node.apply_expecting(Exit::Done)?;
    renewed.expect_again().context("a second run")?;
    let second = fs::read_dir("/sys/fs/bpf/nodebpf/drop")?.next().context("a version")??.path().join("links");
    fs::remove_dir_all(&second)?;
    fs::create_dir(&second)?;
    node.apply_expecting(Exit::Done)?;
    renewed.expect_again().context("a second pin that was removed")?;
    for entry in fs::read_dir("/sys/fs/bpf/xdp")? {
        fs::remove_dir_all(entry?.path())?;
    }
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    for port in [4789, 4790] {
        far.send(&crate::net::udp_frame([192, 0, 2, 1], [192, 0, 2, 2], port, b"x")?)?;
    }
    let arrived = near.receive(1)?;
    ensure!(arrived.len() == 1, "the second pins do not hold the program: {} frames arrived", arrived.len());
    Ok(())
}

/// Unsynchronised loads and unloads of both sides: nothing is lost, nothing is left behind.
fn races(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let name = pair.near_name;
    let theirs = std::thread::spawn(move || -> Result<()> {
        // libxdp asks for the program before it takes the lock, so its own users lose this race as well.
        let again = |work: &dyn Fn() -> Result<()>| {
            let mut errors = Vec::new();
            for _ in 0..20 {
                let Err(error) = work() else { return Ok(()) };
                errors.push(format!("{error:#}"));
                errors.dedup();
            }
            bail!("they lost 20 races: {errors:#?}")
        };
        let unload = || xdp_loader(&format!("unload -i {} {name}", id_of(name, THEIRS.1)?)).map(drop);
        for _ in 0..24 {
            again(&|| load_theirs(name))?;
            again(&unload)?;
        }
        again(&|| load_theirs(name))
    });
    for round in 0..24 {
        node.ship(&Stream::drop_port("drop", name, 510))?;
        node.apply_expecting(Exit::Done).with_context(|| format!("round {round}"))?;
        Node::remove("drop")?;
        node.apply_expecting(Exit::Done).with_context(|| format!("round {round}"))?;
    }
    node.ship(&Stream::drop_port("drop", name, 510))?;
    node.apply_expecting(Exit::Done)?;
    theirs.join().map_err(|_| anyhow::anyhow!("their thread panicked"))??;
    ctx.say("both are done");
    ensure!(named(&chain(name)?) == [THEIRS, DROP], "{:?}", chain(name)?);
    Node::remove("drop")?;
    node.apply_expecting(Exit::Done)?;
    xdp_loader(&format!("unload --all {name}"))?;
    ensure!(!Snapshot::take()?.has_pins(), "pins are left: {:?}", Snapshot::take()?);
    Ok(())
}
