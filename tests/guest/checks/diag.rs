//! What support sees: dry run, refusals, the journal line, counters, maps, self test, inventory. By the loader that ships.

use std::{
    fs,
    os::{fd::AsFd as _, unix::net::UnixDatagram},
    process::{Command, Output},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Btf, EbpfLoader,
    programs::{
        CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, CgroupSock, CgroupSockAddr, CgroupSockopt, CgroupSysctl,
        FEntry, KProbe, RawTracePoint, SchedClassifier, SockOps, TcAttachType, TracePoint,
        tc::{self, NlOptions, TcAttachOptions},
    },
};
use nodebpf_loader::kernel::Kernel;
use nodeplan::{
    hook::Hook,
    report::{Code, Exit, SUMMARY_PREFIX},
    xdp::XdpMode,
};
use serde_json::Value;

use crate::{
    bpf,
    features::Feature,
    harness::{Ctx, Test},
    net::{Pair, udp_frame},
    node::{Node, Snapshot, Stream, said, stream},
    sys,
};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "diag-dry-run", needs: &[Feature::Freplace], run: dry_run },
    Test { name: "diag-refusal-names-the-line", needs: &[Feature::Freplace], run: refusal },
    Test { name: "diag-journal", needs: &[Feature::Freplace], run: journal },
    Test { name: "diag-map-and-metrics", needs: &[Feature::Freplace], run: map_dump },
    Test { name: "diag-inventory", needs: &[], run: inventory },
    Test { name: "diag-selftest", needs: &[Feature::Freplace], run: selftest },
    Test { name: "diag-capabilities", needs: &[Feature::Freplace], run: capabilities },
];

/// Where the example puts it; other tests see that folder as `/usr/local/bin`.
const LOADER: &str = "/nodes/example/usr/local/bin/nodebpf-loader";

/// Runs the loader on the node's files.
fn loader(words: &str) -> Result<Output> {
    let words = format!("--root /tmp/node {words}");
    Command::new(LOADER).args(words.split_whitespace()).output().context("starting the loader")
}

/// Runs the loader, which must end with `exit` and print JSON.
fn shown_by(words: &str, exit: Exit) -> Result<Value> {
    let output = loader(words)?;
    ensure!(output.status.code() == Some(exit.code().into()), "{words}: {}", said(&output));
    serde_json::from_slice(&output.stdout).with_context(|| said(&output))
}

/// The rows of a list in which these fields have these texts.
fn rows<'a>(shown: &'a Value, list: &str, fields: &[(&str, &str)]) -> Vec<&'a Value> {
    let is = |row: &Value| fields.iter().all(|(key, text)| row[key] == *text);
    shown[list].as_array().map(Vec::as_slice).unwrap_or_default().iter().filter(|row| is(row)).collect()
}

/// The one such row.
fn row<'a>(shown: &'a Value, list: &str, fields: &[(&str, &str)]) -> Result<&'a Value> {
    let rows = rows(shown, list, fields);
    ensure!(rows.len() == 1, "{} rows of {list} with {fields:?}: {shown}", rows.len());
    Ok(rows[0])
}

/// Everything is loaded and verified, nothing is attached or stays; the exit is that of the run.
fn dry_run(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let before = Snapshot::take_settled()?;
    let dry = shown_by("apply --dry-run --json", Exit::Done)?;
    before.expect_again().context("a dry run changes nothing")?;
    ensure!(!fs::exists("/tmp/node/run/nodebpf/report.json")?, "a dry run writes no report");
    row(&dry, "streams", &[("stream", "drop"), ("state", "attached")])?;
    let one = row(&dry, "programs", &[("program", "xdp_drop_udp_port"), ("verdict", "accepted")])?;
    for figure in ["insns", "states", "peakStates", "mapBytes"] {
        ensure!(one[figure].as_u64().is_some_and(|figure| figure > 0), "{figure}: {one}");
    }
    ensure!(!one["stack"].is_null(), "{one}");
    // One that the verifier refuses, beside one that runs already.
    node.apply_expecting(Exit::Done)?;
    let bad = Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("bad", pair.near_name, 520) };
    node.ship(&bad)?;
    let before = Snapshot::take_settled()?;
    let dry = shown_by("apply --dry-run --json", Exit::Failed)?;
    before.expect_again().context("a dry run beside a stream that runs")?;
    row(&dry, "programs", &[("stream", "drop"), ("verdict", "unchanged")])?;
    let bad = row(&dry, "programs", &[("stream", "bad"), ("verdict", "refused")])?;
    ensure!(bad["why"].as_str().is_some_and(|why| why.contains("invalid access to packet")), "{bad}");
    row(&dry, "streams", &[("stream", "bad"), ("state", "failed"), ("code", Code::Verifier.as_str())])?;
    // An interface that refuses is found, too.
    fs::remove_file(Node::bundle("bad"))?;
    node.ship(&Stream { mode: "skb", ..Stream::pass("other", pair.near_name, 520) })?;
    let dry = shown_by("apply --dry-run --json", Exit::Failed)?;
    row(&dry, "streams", &[("stream", "other"), ("state", "failed"), ("code", Code::ModeConflict.as_str())])?;
    before.expect_again().context("a dry run with a conflict")
}

/// The report names the line of C and what to do; the whole log is in a file.
fn refusal(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    let bad = Stream { object: "xdp_bad.bpf.o", program: "xdp_bad", ..Stream::pass("drop", pair.near_name, 510) };
    node.ship(&bad)?;
    let report = node.apply_expecting(Exit::Failed)?;
    let reason = stream(&report, "drop")?.reason.clone().context("a reason")?;
    for words in
        ["invalid access to packet", "data[0] ? XDP_PASS", "data_end", "/run/nodebpf/verifier/drop-xdp_bad.log"]
    {
        ensure!(reason.message.contains(words), "`{words}` is not in {reason:?}");
    }
    Ok(())
}

/// One line for each run: to journald where it listens, else on standard error.
fn journal(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    let output = loader("apply")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(SUMMARY_PREFIX)?.1)).collect();
    ensure!(output.status.success() && lines.len() == 1, "{}", said(&output));
    let summary: Value = serde_json::from_str(lines[0])?;
    ensure!(summary["streams"][0]["state"] == "attached", "{summary}");
    fs::create_dir_all("/run/systemd/journal")?;
    let socket = UnixDatagram::bind("/run/systemd/journal/socket")?;
    let words = ["--root", "/tmp/node", "apply"];
    let output = Command::new(LOADER).args(words).env("JOURNAL_STREAM", "1:2").output()?;
    ensure!(!String::from_utf8_lossy(&output.stderr).contains(SUMMARY_PREFIX), "twice: {}", said(&output));
    let mut buffer = vec![0; 65536];
    let len = socket.recv(&mut buffer)?;
    let entry = String::from_utf8_lossy(&buffer[..len]).into_owned();
    ensure!(entry.lines().any(|line| line == format!("MESSAGE={SUMMARY_PREFIX}{}", lines[0])), "{entry} is not {text}");
    Ok(())
}

/// Entries of a map by their types, per-CPU values one by one; counters as metrics.
fn map_dump(_: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    node.ship(&Stream::drop_port("drop", pair.near_name, 510))?;
    node.apply_expecting(Exit::Done)?;
    let port = shown_by("map dump drop port --json", Exit::Done)?;
    // As the manifest writes it: its type is `__be16`.
    ensure!(port["entries"] == serde_json::json!([{"key": 0, "value": 4789}]), "{port}");
    let dropped = shown_by("map dump drop dropped --json", Exit::Done)?;
    let values = dropped["entries"][0]["values"].as_array().context("values for each CPU")?.len();
    ensure!(values > 0 && dropped["entries"][0]["key"] == 0, "{dropped}");
    for (words, code) in [
        ("map dump drop absent", "NB1511 stream `drop` has no map"),
        ("map dump other port", "NB1511 stream `other` is not"),
    ] {
        let output = loader(words)?;
        ensure!(!output.status.success() && said(&output).contains(code), "{words}: {}", said(&output));
    }
    pair.far_socket()?.send(&udp_frame([192, 0, 2, 2], [192, 0, 2, 1], 4789, b"x")?)?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    let metrics = String::from_utf8(loader("status --prometheus")?.stdout)?;
    for line in [
        r#"nodebpf_counter_total{stream="drop",name="dropped"} 1"#,
        r#"nodebpf_stream_state{stream="drop",state="attached"} 1"#,
        r#"nodebpf_attachment_up{stream="drop",program="xdp_drop_udp_port",place="xdp",interface="near0"} 1"#,
    ] {
        ensure!(metrics.lines().any(|found| found == line), "no line {line} in {metrics}");
    }
    Ok(())
}

/// Twelve programs of different kinds, one of them in a network that only a descriptor holds: all reported, with place.
fn inventory(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    fs::create_dir_all("/sys/fs/cgroup/nb-test")?;
    let mut object = EbpfLoader::new().load_file("/objects/hooks.bpf.o")?;
    let btf = Btf::from_sys_fs()?;
    let group = fs::File::open("/sys/fs/cgroup/nb-test")?;
    let mut planted: Vec<(u32, &str)> = Vec::new();
    macro_rules! plant {
        ($kind:ident, $name:literal, $place:literal, |$program:ident| $attach:expr) => {{
            let $program: &mut $kind = object.program_mut($name).context($name)?.try_into()?;
            let _link = $attach;
            planted.push(($program.info()?.id(), $place));
        }};
    }
    let single = CgroupAttachMode::Single;
    plant!(CgroupSockAddr, "cg_connect4", "cgroup connect4 /nb-test", |one| {
        one.load()?;
        one.attach(&group, single)?
    });
    plant!(CgroupSkb, "cg_egress", "cgroup egress /nb-test", |one| {
        one.load()?;
        one.attach(&group, CgroupSkbAttachType::Egress, single)?
    });
    plant!(CgroupSock, "cg_sock", "cgroup sock_create /nb-test", |one| {
        one.load()?;
        one.attach(&group, single)?
    });
    plant!(CgroupSysctl, "cg_sysctl", "cgroup sysctl /nb-test", |one| {
        one.load()?;
        one.attach(&group, single)?
    });
    plant!(CgroupSockopt, "cg_setsockopt", "cgroup setsockopt /nb-test", |one| {
        one.load()?;
        one.attach(&group, single)?
    });
    plant!(SockOps, "cg_sockops", "cgroup sock_ops /nb-test", |one| {
        one.load()?;
        one.attach(&group, single)?
    });
    plant!(TracePoint, "tp_exec", "tracepoint", |one| {
        one.load()?;
        one.attach("sched", "sched_process_exec")?
    });
    plant!(RawTracePoint, "raw_exec", "raw_tracepoint sched_process_exec", |one| {
        one.load()?;
        one.attach("sched_process_exec")?
    });
    plant!(KProbe, "kp_sleep", "kprobe", |one| {
        one.load()?;
        one.attach("hrtimer_nanosleep", 0)?
    });
    plant!(FEntry, "fe_sleep", "fentry hrtimer_nanosleep", |one| {
        one.load("hrtimer_nanosleep", &btf)?;
        one.attach()?
    });
    plant!(SchedClassifier, "tc_hook", "tc ingress near0 priority 7", |one| {
        one.load()?;
        tc::qdisc_add_clsact("near0")?;
        let options = NlOptions { priority: 7, handle: 1.into(), ..NlOptions::default() };
        one.attach_with_options("near0", TcAttachType::Ingress, TcAttachOptions::Netlink(options))?
    });
    // XDP on an interface of a network that no process is in and no file names.
    let xdp = bpf::load_xdp("hidden", bpf::XDP_PASS)?;
    let index = pair.far.run(|| sys::interface_index(pair.far_name))?;
    let swap = || Kernel::new().xdp_swap(index, XdpMode::Native, Some(xdp.as_fd()), None);
    pair.far.run(|| swap().map_err(|error| anyhow!("{error:?}")))?;
    let taken = Instant::now();
    let shown = shown_by("inventory --json", Exit::Done)?;
    ctx.say(&format!("inventory took {:?}", taken.elapsed()));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    for (id, place) in &planted {
        let programs = shown["programs"].as_array().context("programs")?;
        let one = programs.iter().find(|one| one["id"] == *id).with_context(|| format!("no program {id}: {shown}"))?;
        // Before 6.6 the link of a perf event does not tell what the event is about.
        let silent = matches!(*place, "tracepoint" | "kprobe") && release.starts_with("6.1.");
        let place = if silent { "perf_event" } else { place };
        ensure!(one["places"].to_string().contains(place), "`{place}` is not in {one}");
        ensure!(
            one["owner"] == "unknown" && one["processes"].to_string().contains(&format!("({})", std::process::id())),
            "{one}"
        );
    }
    let hidden = rows(&shown, "programs", &[("name", "hidden")]);
    ensure!(hidden.len() == 1, "{} programs are called hidden: {shown}", hidden.len());
    let at = hidden[0]["places"].to_string();
    ensure!(at.contains("xdp native far0") && at.contains("descriptor"), "{at}");
    ensure!(planted.len() == 11, "with the hidden one twelve");
    ensure!(shown["withoutPlace"].as_array().is_some_and(Vec::is_empty), "{}", shown["withoutPlace"]);
    ensure!(shown["notSearched"].as_array().is_some_and(Vec::is_empty), "{}", shown["notSearched"]);
    Ok(())
}

/// Everything works on every hook that the kernel has, and nothing stays.
fn selftest(ctx: &mut Ctx) -> Result<()> {
    let before = Snapshot::take_settled()?;
    let output = loader("selftest --json")?;
    let page: Value = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    let hooks = page["hooks"].as_array().context("hooks")?;
    ensure!(hooks.len() == Hook::ALL.len(), "{page}");
    let mut missing = false;
    for hook in hooks {
        let name = hook["hook"].as_str().unwrap_or_default();
        ctx.say(&format!("{name}: {}", hook["result"]));
        let lacks = match name {
            "tc" => bpf::query_interface(1, bpf::AttachType::TcxIngress).is_err(),
            "lsm" => !fs::read_to_string("/sys/kernel/security/lsm")?.contains("bpf"),
            _ => false,
        };
        missing |= lacks;
        ensure!(hook["result"] == if lacks { "absent" } else { "works" }, "{hook}");
        ensure!(hook["means"].is_string() == lacks && !hook["reason"].to_string().contains("Invalid"), "{hook}");
    }
    let exit = if missing { Exit::FeatureMissing } else { Exit::Done };
    ensure!(output.status.code() == Some(exit.code().into()), "{}", said(&output));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    ensure!(page["kernel"] == release.trim() && page["lsm"].is_string(), "{page}");
    ensure!(!fs::exists("/sys/fs/cgroup/nodebpf-selftest")?, "the cgroup is left");
    before.expect_again()
}

/// Capabilities of the units, by number: linux `include/uapi/linux/capability.h`.
const UNIT: [(&str, i32); 5] =
    [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_SYS_RESOURCE", 24), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];

/// With the capabilities of the units everything works; without one of them the failure names the call.
fn capabilities(ctx: &mut Ctx) -> Result<()> {
    let pair = Pair::new("near0", "far0")?;
    let node = Node::new()?;
    // Dropped, and the call that fails. The kernel takes CAP_SYS_ADMIN for CAP_BPF and CAP_PERFMON: without it they count.
    let cases: [(&[&str], Option<&str>); 7] = [
        (&[], None),
        (&["CAP_BPF"], None),
        (&["CAP_PERFMON"], None),
        (&["CAP_SYS_RESOURCE"], None),
        (&["CAP_NET_ADMIN"], Some("RTM_SETLINK")),
        (&["CAP_SYS_ADMIN"], Some("BPF_PROG_GET_FD_BY_ID")),
        (&["CAP_SYS_ADMIN", "CAP_BPF"], Some("BPF_")),
    ];
    for (at, (dropped, call)) in (1_u32..).zip(cases) {
        // What ran before, so that the run has to open programs by id.
        node.ship(&Stream { revision: 2 * at, priority: 20, ..Stream::drop_port("drop", pair.near_name, 20) })?;
        node.apply_expecting(Exit::Done)?;
        node.ship(&Stream { revision: 2 * at + 1, ..Stream::drop_port("drop", pair.near_name, 510) })?;
        let keep = UNIT.iter().filter(|(name, _)| !dropped.contains(name)).map(|(_, number)| *number).collect();
        let mut command = Command::new(LOADER);
        sys::limit_capabilities(command.args(["--root", "/tmp/node", "apply"]), keep);
        let output = command.output()?;
        let text = said(&output);
        ctx.say(&format!("without {dropped:?}: {}", text.lines().next().unwrap_or_default()));
        match call {
            None => ensure!(output.status.success(), "without {dropped:?}: {text}"),
            Some(call) => {
                let named = text.contains(call) && text.contains("Operation not permitted");
                ensure!(!output.status.success() && named, "without {dropped:?}: {text}");
            }
        }
    }
    Ok(())
}
