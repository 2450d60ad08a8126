//! What tests of hooks share: a node that may use every hook, streams with the programs of `bpf/programs/hooks.bpf.c`, and
//! ways to see that they ran. Has no tests.

use std::{
    fs,
    net::UdpSocket,
    os::fd::{AsFd as _, OwnedFd},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    digest::Sha256Digest,
    hook::Hook,
    plan::NodePlan,
    report::{Exit, StreamReport, StreamState},
    trust::{HookRule, TrustDocument},
};

use crate::{
    bpf::{self, AttachType},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, stream},
    sys,
};

pub(super) const OBJECT: &str = "hooks.bpf.o";
pub(super) const CGROUP: &str = "/sys/fs/cgroup/nb-test";

/// A node whose owner may use every hook.
pub(super) fn node() -> Result<Node> {
    let node = Node::new()?;
    node.trust(every_hook)?;
    Ok(node)
}

pub(crate) fn every_hook(trust: &mut TrustDocument) {
    trust.format = nodeplan::trust::TRUST_FORMAT;
    for owner in trust.owners.values_mut() {
        let band = owner.hooks.get(&Hook::Xdp).and_then(|rule| rule.band);
        owner.hooks =
            Hook::ALL.iter().map(|hook| (*hook, HookRule { band: band.filter(|_| hook.has_priority()) })).collect();
    }
}

/// A program of a plan: its name, attachments as JSON, and more fields with a leading comma.
pub(super) type Program<'a> = (&'a str, String, &'a str);

/// Ships a stream with these programs; `more` goes to the plan.
pub(super) fn ship(
    node: &Node,
    name: &str,
    revision: u32,
    object: &str,
    programs: &[Program],
    more: &str,
) -> Result<Sha256Digest> {
    let bytes = fs::read(format!("/objects/{object}")).context("reading the object")?;
    let sha256 = Sha256Digest::of(&bytes);
    let programs: Vec<String> = programs
        .iter()
        .map(|(program, attach, more)| {
            let attach = if attach.is_empty() { String::new() } else { format!(r#","attach":[{attach}]"#) };
            format!(
                r#"{{"name":"{program}","object":{{"sha256":"{sha256}","sourceSha256":"{sha256}"}}{more}{attach}}}"#
            )
        })
        .collect();
    let programs = programs.join(",");
    let text = format!(
        r#"{{"planVersion":"1.1","stream":"{name}","owner":"tests","revision":{revision},"intent":"feature",
        "pools":["worker"],"appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{programs}]{more}}}"#
    );
    let plan = NodePlan::parse(text.as_bytes()).map_err(|error| anyhow!("the plan of the test: {error}: {text}"))?;
    node.ship_plan(&plan, vec![bytes])
}

pub(super) fn tc_on(interface: &str, direction: &str, priority: u16, more: &str) -> String {
    format!(
        r#"{{"tc":{{"interfaces":[{{"name":"{interface}"}}],"direction":"{direction}","priority":{priority},"verdicts":["next","drop"]{more}}}}}"#
    )
}

/// A map of a stream that runs.
pub(super) fn map(name: &str, map: &str) -> Result<OwnedFd> {
    let mut versions = fs::read_dir(format!("/sys/fs/bpf/nodebpf/{name}"))?;
    let version = versions.next().context("a version")??.path();
    ensure!(versions.next().is_none(), "more than one version is pinned");
    Ok(Kernel::new().open_pin(&version.join("maps").join(map)).map_err(Failed::from)?)
}

/// A call of the loader that did not succeed.
#[derive(Debug)]
pub(super) struct Failed(String);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}

impl From<nodebpf_loader::kernel::CallError> for Failed {
    fn from(error: nodebpf_loader::kernel::CallError) -> Self {
        Self(error.to_string())
    }
}

/// How often the program with this place in `hits` ran.
pub(super) fn hits(name: &str, place: u32) -> Result<u64> {
    let mut value = [0; 8];
    Kernel::new().map_lookup(map(name, "hits")?.as_fd(), &place.to_ne_bytes(), &mut value).map_err(Failed::from)?;
    Ok(u64::from_ne_bytes(value))
}

pub(super) fn attached(one: &StreamReport) -> Result<Vec<u32>> {
    ensure!(one.state == StreamState::Attached && one.attachments.iter().all(|place| place.attached), "{one:?}");
    Ok(one.attachments.iter().filter_map(|place| place.program_id).collect())
}

pub(super) fn apply_attached(node: &Node, name: &str) -> Result<Vec<u32>> {
    attached(stream(&node.apply_expecting(Exit::Done)?, name)?)
}

/// Waits until something is so: the kernel lets go of a link a moment after its last pin.
pub(super) fn soon(what: &str, is: impl Fn() -> Result<bool>) -> Result<()> {
    for _ in 0..500 {
        if is()? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("not within five seconds: {what}")
}

/// Whether a frame goes from the near end to the far one. The sender is told of a drop: `ENOBUFS`.
pub(super) fn leaves(pair: &Pair) -> Result<bool> {
    let frame = udp_frame([192, 0, 2, 1], [192, 0, 2, 2], 7, b"payload")?;
    let (near, far) = (pair.near_socket()?, pair.far_socket()?);
    let sent = near.send(&frame);
    let errno = sent.as_ref().err().and_then(|error| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    if errno == Some(libc::ENOBUFS) {
        return Ok(false);
    }
    sent?;
    Ok(far.receive(1)?.len() == 1)
}

/// Ids of programs at a place of an interface, in running order, and of their links.
pub(super) fn tcx(interface: &str, attach_type: u32) -> Result<Vec<(u32, u32)>> {
    let list = Kernel::new().tcx_list(sys::interface_index(interface)?, attach_type).map_err(Failed::from)?;
    Ok(list.entries.iter().map(|entry| (entry.prog_id, entry.link_id)).collect())
}

pub(super) const INGRESS: u32 = 46;
pub(super) const EGRESS: u32 = 47;
pub(super) const DENY: &str = r#","globals":{"deny":"01000000"}"#;

/// Moves this process into the cgroup of the tests, and back when dropped.
pub(super) struct Inside;

impl Inside {
    pub(super) fn new() -> Result<Self> {
        fs::create_dir_all(CGROUP)?;
        fs::write(format!("{CGROUP}/cgroup.procs"), "0").context("entering the cgroup")?;
        Ok(Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = fs::write("/sys/fs/cgroup/cgroup.procs", "0");
        let _ = fs::remove_dir(CGROUP);
    }
}

pub(super) fn cgroup_at(attach_type: &str) -> String {
    format!(r#"{{"cgroup":{{"path":"/nb-test","attachType":"{attach_type}"}}}}"#)
}

/// Name, attachment and place in `hits` of each program that watches, in the plan's order.
pub(super) const WATCHERS: [(&str, &str, u32); 7] = [
    ("btf_exec", r#"{"btfTracepoint":{"name":"sched_process_exec"}}"#, 11),
    ("fe_sleep", r#"{"fentry":{"function":"hrtimer_nanosleep"}}"#, 14),
    ("fx_sleep", r#"{"fexit":{"function":"hrtimer_nanosleep"}}"#, 15),
    ("kp_sleep", r#"{"kprobe":{"function":"hrtimer_nanosleep"}}"#, 12),
    ("krp_sleep", r#"{"kretprobe":{"function":"hrtimer_nanosleep"}}"#, 13),
    ("raw_exec", r#"{"rawTracepoint":{"name":"sched_process_exec"}}"#, 10),
    ("tp_exec", r#"{"tracepoint":{"category":"sched","name":"sched_process_exec"}}"#, 9),
];

/// Hook of an attachment, and what it attaches to in one word: `sched/sched_process_exec`.
pub(super) fn place_of(attachment: &str) -> Result<(Hook, String)> {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(attachment)?;
    let (word, place) = object.iter().next().context("an attachment")?;
    let hook = Hook::ALL.into_iter().find(|hook| hook.as_str() == word).context("a hook")?;
    let parts: Vec<&str> =
        place.as_object().context("a place")?.values().filter_map(serde_json::Value::as_str).collect();
    Ok((hook, parts.join("/")))
}

pub(super) fn xdp_on(selector: &str) -> String {
    format!(r#"{{"xdp":{{"interfaces":[{selector}],"mode":"native","priority":510,"proceedOn":["pass"]}}}}"#)
}

/// One stream on a hook of every way of attaching: dispatcher, list, cgroup, perf event, raw tracepoint.
pub(super) fn ship_all(node: &Node, revision: u32, priority: u16) -> Result<usize> {
    ship_watchers(node, revision, priority, &["kp_sleep", "raw_exec", "tp_exec"])
}

/// The same with these of the programs that watch. The kernel takes seconds to let go of a probe.
pub(super) fn ship_watchers(node: &Node, revision: u32, priority: u16, watchers: &[&str]) -> Result<usize> {
    let bytes = [fs::read(format!("/objects/{OBJECT}"))?, fs::read("/objects/xdp_pass.bpf.o")?];
    let [hooks, xdp] = [Sha256Digest::of(&bytes[0]), Sha256Digest::of(&bytes[1])];
    let program = |name: &str, sha256: Sha256Digest, attach: &str| {
        format!(r#"{{"name":"{name}","object":{{"sha256":"{sha256}","sourceSha256":"{sha256}"}},"attach":[{attach}]}}"#)
    };
    let mut programs = vec![
        program("cg_connect4", hooks, &cgroup_at("connect4")),
        program("xdp_pass_a", xdp, &xdp_on(r#"{"name":"near0"}"#).replace("510", &priority.to_string())),
    ];
    // Those that are bound to functions have a test of their own: each run would read the kernel's types.
    let taken = WATCHERS.iter().filter(|(name, ..)| watchers.contains(name));
    programs.extend(taken.map(|(name, at, _)| program(name, hooks, at)));
    if bpf::query_interface(1, AttachType::TcxIngress).is_ok() {
        programs.push(program("tc_hook", hooks, &tc_on("near0", "ingress", priority, "")));
    }
    programs.sort_unstable();
    let text = format!(
        r#"{{"planVersion":"1.1","stream":"drop","owner":"tests","revision":{revision},"intent":"feature",
        "pools":["worker"],"appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{}]}}"#,
        programs.join(",")
    );
    let plan = NodePlan::parse(text.as_bytes()).map_err(|error| anyhow!("the plan of the test: {error}: {text}"))?;
    node.ship_plan(&plan, bytes.to_vec())?;
    Ok(plan.programs.len())
}

/// Waits until all programs of former rounds are gone.
pub(super) fn quiet(programs: usize) -> Result<()> {
    soon("former programs left", || Ok(Snapshot::take()?.programs() == programs))
}

pub(super) fn udp_to(port: u16) -> std::io::Result<()> {
    UdpSocket::bind("127.0.0.1:0")?.connect(("127.0.0.1", port))
}

pub(super) fn trigger() -> Result<()> {
    ensure!(Command::new("ip").arg("-V").output().context("starting ip")?.status.success(), "ip");
    thread::sleep(Duration::from_millis(1));
    Ok(())
}
