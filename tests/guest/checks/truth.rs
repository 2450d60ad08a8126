//! What the report and `status` say where a look alone does not tell.

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::{kernel::Kernel, paths::Paths, report};
use nodeplan::{
    report::{Code, Exit, Report, StreamState},
    xdp::XdpMode,
};

use super::{
    above::legacy_on,
    hook_streams::{INGRESS, OBJECT, apply_attached, attached, node, ship, tc_on, tcx, xdp_on},
};
use crate::{
    bpf::{self, AttachType},
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, ip},
    node::{Node, ROOT, Stream, stream, xdp_loader},
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "status-of-what-another-program-took", needs: &[Feature::Freplace], run: taken },
    Test { name: "report-of-what-runs-without-default-route", needs: &[Feature::Freplace], run: without_route },
    Test { name: "order-beside-what-runs-without-default-route", needs: &[Feature::Tcx], run: beside },
    Test { name: "report-of-one-program-attached-twice", needs: &[Feature::Freplace], run: twice },
];

fn status() -> Result<Report> {
    let report = report::refresh(&Kernel::new(), &Paths::new(ROOT.as_ref())).map_err(|error| anyhow!(error))?;
    report.context("no report")
}

/// `apply` would not bring it back: who has the interface is said instead.
fn taken(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::pass("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    xdp_loader(&format!("unload --all {}", pair.near_name))?;
    let said = |words: &str| {
        let report = status()?;
        let one = stream(&report, "drop")?;
        let reason = one.reason.as_ref().context("a reason")?;
        ensure!(one.state == StreamState::Degraded && reason.code == Code::Lost, "{one:?}");
        ensure!(reason.message.contains(words), "`{words}` is not in `{}`", reason.message);
        Ok(())
    };
    said("brings it back")?;
    legacy_on(pair.near_name)?;
    said("holds `near0` and is not a libxdp dispatcher")
}

/// What is kept while no route says which interface is `primary` runs, and is shown where it does.
fn without_route(_: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    ip("address add 192.0.2.9/24 dev near0")?;
    ip("route add default via 192.0.2.1 dev near0")?;
    let primary = r#"{"primary":true}"#;
    ship(&node, "xdp", 1, "xdp_pass.bpf.o", &[("xdp_pass_a", xdp_on(primary), "")], "")?;
    let mut names = vec!["xdp"];
    if bpf::query_interface(1, AttachType::TcxIngress).is_ok() {
        let at = tc_on("near0", "ingress", 510, "").replace(r#"{"name":"near0"}"#, primary);
        ship(&node, "tc", 1, OBJECT, &[("tc_hook", at, "")], "")?;
        names.push("tc");
    }
    let before = node.apply_expecting(Exit::Done)?;
    ip("route del default")?;
    let (run, status) = (node.apply_expecting(Exit::Done)?, status()?);
    for name in names {
        let ids = attached(stream(&before, name)?)?;
        for report in [&run, &status] {
            let one = stream(report, name)?;
            ensure!(one.state == StreamState::Pending && one.attachments.len() == 1, "{one:?}");
            let place = &one.attachments[0];
            let on = place.interface.as_ref().map(nodeplan::name::IfName::as_str);
            ensure!(place.attached && place.program_id == Some(ids[0]) && on == Some("near0"), "{one:?}");
        }
    }
    Ok(())
}

/// What is kept while no route says which interface is `primary` has its place in the order of others that come.
fn beside(_: &mut Ctx) -> Result<()> {
    let _pair = Pair::new("near0", "far0")?;
    let node = node()?;
    ip("address add 192.0.2.9/24 dev near0")?;
    ip("route add default via 192.0.2.1 dev near0")?;
    let at = tc_on("near0", "ingress", 510, "").replace(r#"{"name":"near0"}"#, r#"{"primary":true}"#);
    ship(&node, "kept", 1, OBJECT, &[("tc_hook", at, "")], "")?;
    let kept = apply_attached(&node, "kept")?;
    ip("route del default")?;
    ship(&node, "new", 1, OBJECT, &[("tc_hook", tc_on("near0", "ingress", 10, ""), "")], "")?;
    let new = apply_attached(&node, "new")?;
    let found: Vec<u32> = tcx("near0", INGRESS)?.iter().map(|(id, _)| *id).collect();
    ensure!(found == [new, kept].concat(), "{found:?}");
    Ok(())
}

/// Two interfaces in two modes: each place once, as it is.
fn twice(_: &mut Ctx) -> Result<()> {
    let _pairs = (Pair::new("near0", "far0")?, Pair::new("near1", "far1")?);
    let node = node()?;
    let at = |name: &str| xdp_on(&format!(r#"{{"name":"{name}"}}"#));
    let other = at("near1").replace("native", "skb").replace("510", "520");
    ship(&node, "xdp", 1, "xdp_pass.bpf.o", &[("xdp_pass_a", format!("{},{other}", at("near0")), "")], "")?;
    let run = node.apply_expecting(Exit::Done)?;
    for report in [&run, &status()?] {
        let one = stream(report, "xdp")?;
        let rows: Vec<_> = one
            .attachments
            .iter()
            .map(|row| (row.interface.as_ref().map(nodeplan::name::IfName::as_str), row.mode, row.attached))
            .collect();
        let want = [(Some("near0"), Some(XdpMode::Native), true), (Some("near1"), Some(XdpMode::Skb), true)];
        ensure!(rows == want, "{rows:?}");
    }
    Ok(())
}
