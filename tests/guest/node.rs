//! A node in a folder: trust file, signed bundles, and the loader run on them.
//!
//! In:  what a stream is to do. Out: files below `/tmp/node`, the loader's report and exit code.
//! May fail with: files; what the loader says.
//!
//! Bundles are signed here with a key made of constants, so that a test can ship any plan, also ones that the compiler
//! would not write.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nodebpf_loader::{
    apply,
    dry::DryRun,
    kernel::{Kernel, XdpState},
    paths::Paths,
    verify,
};
use nodeplan::{
    bundle::{self, Parts},
    digest::{Sha256Digest, from_hex},
    key::PublicKey,
    plan::NodePlan,
    report::{Exit, Report, StreamReport},
    sorted::SortedMap,
    statement,
    time::Timestamp,
    trust::{self, Envelope, TrustDocument},
};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::array::Array,
};

/// Root of the node's files.
pub(crate) const ROOT: &str = "/tmp/node";

/// A stream with one program on XDP.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: &'static str,
    pub(crate) revision: u32,
    /// File below `/objects`.
    pub(crate) object: &'static str,
    pub(crate) program: &'static str,
    pub(crate) interfaces: Vec<&'static str>,
    pub(crate) mode: &'static str,
    pub(crate) priority: u16,
    pub(crate) on_removal: &'static str,
    /// More fields of the plan, as JSON with a leading comma.
    pub(crate) more: &'static str,
}

impl Stream {
    /// Counts and passes packets on `interface`.
    pub(crate) fn pass(name: &'static str, interface: &'static str, priority: u16) -> Self {
        Self {
            name,
            revision: 1,
            object: "xdp_pass.bpf.o",
            program: "xdp_pass_a",
            interfaces: vec![interface],
            mode: "native",
            priority,
            on_removal: "detach",
            more: "",
        }
    }

    /// Drops UDP packets to port 4789 on `interface`.
    pub(crate) fn drop_port(name: &'static str, interface: &'static str, priority: u16) -> Self {
        Self {
            object: "xdp_drop_udp_port.bpf.o",
            program: "xdp_drop_udp_port",
            // Key 0, and 4789 in network order.
            more: r#","maps":{"port":{"entries":[{"key":"00000000","value":"12b5"}]},"dropped":{"counter":"dropped"}}"#,
            ..Self::pass(name, interface, priority)
        }
    }

    fn plan(&self, object: &[u8]) -> Result<NodePlan> {
        let Self { name, revision, program, mode, priority, on_removal, more, .. } = self;
        let sha256 = Sha256Digest::of(object);
        let interfaces: Vec<String> = self.interfaces.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
        let interfaces = interfaces.join(",");
        // What the first version of plans cannot say.
        let version = if more.contains("stage") || more.contains("failurePolicy") { "1.1" } else { "1.0" };
        let applies = if more.contains("appliesTo") { "" } else { r#""appliesTo":{},"# };
        let on_expiry = if more.contains("onExpiry") { "" } else { r#""onExpiry":"detach","# };
        let text = format!(
            r#"{{"planVersion":"{version}","stream":"{name}","owner":"tests","revision":{revision},"intent":"feature",
            "pools":["worker"],{applies}{on_expiry}"onRemoval":"{on_removal}","programs":[{{
            "name":"{program}","object":{{"sha256":"{sha256}","sourceSha256":"{sha256}"}},"attach":[{{"xdp":{{
            "interfaces":[{interfaces}],"mode":"{mode}","priority":{priority},"proceedOn":["pass"]}}}}]}}]{more}}}"#
        );
        NodePlan::parse(text.as_bytes()).map_err(|error| anyhow!("the plan of the test: {error}"))
    }
}

/// The node.
pub(crate) struct Node {
    key: SigningKey,
    /// Version of the last trust file: they only rise, or the loader goes by the one it knows.
    version: AtomicU64,
    /// The clock of its loader.
    pub(crate) now: Timestamp,
}

impl Node {
    /// A node that trusts the tests and has no bundle.
    pub(crate) fn new() -> Result<Self> {
        let key = SigningKey::from_bytes(&Array::from([7; 32])).context("making the key")?;
        fs::create_dir_all(Self::bundles()).context("making the folder of bundles")?;
        let node = Self { key, version: AtomicU64::new(0), now: Timestamp::from_unix_seconds(1_800_000_000) };
        node.trust(|_| ())?;
        Ok(node)
    }

    fn bundles() -> PathBuf {
        Path::new(ROOT).join("etc/nodebpf/bundles")
    }

    /// Where a bundle lies.
    pub(crate) fn bundle(name: &str) -> PathBuf {
        Self::bundles().join(format!("{name}.bundle"))
    }

    /// What the node remembers.
    pub(crate) fn memory(file: &str) -> PathBuf {
        Path::new(ROOT).join("var/lib/nodebpf").join(file)
    }

    /// Where the trust file lies.
    pub(crate) fn trust_file() -> PathBuf {
        Path::new(ROOT).join("etc/nodebpf/trust.json")
    }

    fn public(&self) -> Result<PublicKey> {
        let prefix = from_hex("3059301306072a8648ce3d020106082a8648ce3d030107034200").context("the prefix")?;
        let point = self.key.verifying_key().to_sec1_point(false);
        Ok(PublicKey::from_spki_der(&[&prefix, point.as_bytes()].concat())?)
    }

    /// Writes the trust file, changed by `change`.
    pub(crate) fn trust(&self, change: impl FnOnce(&mut TrustDocument)) -> Result<()> {
        let key = serde_json::to_string(&self.public()?)?;
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let text = format!(
            r#"{{"format":"1.0","version":{version},"owners":{{"tests":{{"signers":{{"keys":[{key}],"threshold":1}},
            "streams":["*"],"hooks":{{"xdp":{{"band":[0,1000]}}}}}}}}}}"#
        );
        let mut document: TrustDocument = nodeplan::json::parse(text.as_bytes(), text.len())?;
        change(&mut document);
        let bytes = trust::encode_chain(vec![Envelope::new(&document, &SortedMap::new())]);
        fs::write(Self::trust_file(), bytes).context("writing the trust file")
    }

    /// Writes a stream's bundle.
    pub(crate) fn ship(&self, stream: &Stream) -> Result<Sha256Digest> {
        let object = fs::read(format!("/objects/{}", stream.object)).context("reading the object")?;
        let plan = stream.plan(&object)?;
        self.ship_plan(&plan, vec![object])
    }

    /// Writes a stream's bundle, its plan changed by `change`.
    pub(crate) fn ship_changed(&self, stream: &Stream, change: impl FnOnce(&mut NodePlan)) -> Result<Sha256Digest> {
        let object = fs::read(format!("/objects/{}", stream.object)).context("reading the object")?;
        let mut plan = stream.plan(&object)?;
        change(&mut plan);
        self.ship_plan(&plan, vec![object])
    }

    /// Writes the bundle of a plan.
    pub(crate) fn ship_plan(&self, plan: &NodePlan, objects: Vec<Vec<u8>>) -> Result<Sha256Digest> {
        let statement = statement::encode(plan);
        let signature: Signature = self.key.sign(&bundle::to_sign(&statement));
        let parts = Parts {
            signatures: SortedMap::from([(self.public()?.id(), signature.to_der().as_bytes().to_vec())]),
            objects: objects.into_iter().map(|object| (Sha256Digest::of(&object), object)).collect(),
            statement,
        };
        fs::write(Self::bundle(plan.stream.as_str()), parts.encode()).context("writing the bundle")?;
        Ok(Sha256Digest::of(&parts.statement))
    }

    /// Takes a stream's bundle away.
    pub(crate) fn remove(name: &str) -> Result<()> {
        fs::remove_file(Self::bundle(name)).context("removing the bundle")
    }

    /// Runs the loader in this process.
    pub(crate) fn apply(&self) -> Result<(Report, Exit)> {
        self.apply_with(&Kernel::new())
    }

    /// Runs the loader in this process, with a kernel that may fail.
    pub(crate) fn apply_with(&self, kernel: &Kernel) -> Result<(Report, Exit)> {
        let ran = apply::apply(kernel, &Paths::new(Path::new(ROOT)), &self.described()?);
        ran.map_err(|error| anyhow!("{error}"))
    }

    /// Makes a dry run in this process.
    pub(crate) fn rehearse(&self) -> Result<(Report, Exit)> {
        let (kernel, paths) = (Kernel::new(), Paths::new(Path::new(ROOT)));
        let ran = apply::rehearse(&kernel, &paths, &self.described()?, &DryRun::default());
        ran.map_err(|error| anyhow!("{error}"))
    }

    /// What the loader is told of the node.
    fn described(&self) -> Result<verify::Node> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's release")?;
        Ok(verify::Node {
            kernel: release.trim().to_owned(),
            machine: "x86_64".to_owned(),
            ocp: None,
            now: self.now,
            unverified: None,
        })
    }

    /// Runs the loader and demands that it ends with `exit`.
    pub(crate) fn apply_expecting(&self, exit: Exit) -> Result<Report> {
        let (report, got) = self.apply()?;
        ensure!(got == exit, "the loader ended with {got:?}, not {exit:?}: {}", serde_json::to_string(&report)?);
        Ok(report)
    }
}

/// First word that makes the program of the guest tests a loader.
pub(crate) const LOADER: &str = "--loader";

/// Starts a run of the loader in a process of its own.
pub(crate) fn spawn_apply() -> Result<Child> {
    spawn_apply_by("")
}

/// The same for a run that a unit has triggered.
pub(crate) fn spawn_apply_by(unit: &str) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.env("TRIGGER_UNIT", unit);
    command.args([LOADER, "--root", ROOT, "apply"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("starting a loader")
}

/// Runs a command of the loader on the node, in this process, by the clock of the machine.
pub(crate) fn loader(words: &str) -> Exit {
    let words = ["--root", ROOT].into_iter().chain(words.split_whitespace());
    nodebpf_loader::cli::run(&words.map(Into::into).collect::<Vec<_>>())
}

/// The part of a report about one stream.
pub(crate) fn stream<'a>(report: &'a Report, name: &str) -> Result<&'a StreamReport> {
    report.streams.iter().find(|one| one.stream.as_str() == name).with_context(|| format!("no stream `{name}`"))
}

/// What the kernel holds, as others see it: ids of programs and links, pins, and what is attached to interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    programs: BTreeSet<u32>,
    links: BTreeSet<u32>,
    pins: BTreeSet<String>,
    /// Name of each interface and id of its XDP program.
    xdp: Vec<(String, Option<u32>)>,
}

impl Snapshot {
    /// Looks.
    pub(crate) fn take() -> Result<Self> {
        let mut pins = BTreeSet::new();
        collect_pins(Path::new("/sys/fs/bpf"), &mut pins)?;
        let interfaces = Kernel::new().interfaces().map_err(|error| anyhow!("{error}"))?;
        let xdp = interfaces.into_iter().map(|one| match one.xdp {
            XdpState::One(attached) => (one.name, Some(attached.prog_id)),
            XdpState::Empty | XdpState::Other => (one.name, None),
        });
        let xdp = xdp.collect();
        Ok(Self {
            programs: aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect(),
            links: aya::programs::loaded_links().filter_map(Result::ok).map(|link| link.id()).collect(),
            pins,
            xdp,
        })
    }

    /// Looks until nothing has changed for a while: programs and links go a moment after their last user, and what is
    /// on its way out must not be taken for something to be kept.
    pub(crate) fn take_settled() -> Result<Self> {
        let (mut last, mut equal) = (Self::take()?, 0);
        for _ in 0..200 {
            std::thread::sleep(std::time::Duration::from_millis(15));
            let now = Self::take()?;
            equal = if now == last { equal + 1 } else { 0 };
            if equal == 3 {
                return Ok(now);
            }
            last = now;
        }
        bail!("the kernel does not come to rest: {last:?}")
    }

    /// Looks until the kernel has this shape, which settled before.
    pub(crate) fn take_of_shape(shape: &Shape) -> Result<Self> {
        for _ in 0..500 {
            let now = Self::take()?;
            if now.shape() == *shape {
                return Ok(now);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Not what it was: that is for the caller to judge, on what is at rest.
        Self::take_settled()
    }

    /// Whether the same dispatchers are attached.
    pub(crate) fn same_dispatchers(&self, other: &Self) -> bool {
        self.xdp == other.xdp
    }

    /// The same without what a dispatcher of equal content changes: its id, in programs and paths, and its links.
    pub(crate) fn without_dispatchers(&self) -> Self {
        let ids: Vec<u32> = self.xdp.iter().filter_map(|(_, id)| *id).collect();
        let mut plain = self.clone();
        plain.programs.retain(|id| !ids.contains(id));
        plain.xdp.iter_mut().for_each(|(_, id)| *id = id.map(|_| 0));
        // Each slot has one link, and as many pins as before say that there are as many slots.
        plain.links.clear();
        let anonymous = |pin: &String| ids.iter().fold(pin.clone(), |pin, id| pin.replace(&format!("-{id}/"), "-ID/"));
        plain.pins = self.pins.iter().map(anonymous).collect();
        plain
    }

    /// Waits until the kernel holds what it held before: programs and links go a moment after their last user.
    pub(crate) fn expect_again(&self) -> Result<()> {
        self.expect(|now| now == self)
    }

    /// The same, but for what a dispatcher of equal content changes.
    pub(crate) fn expect_equivalent(&self) -> Result<()> {
        let before = self.without_dispatchers();
        self.expect(|now| now.without_dispatchers() == before)
    }

    fn expect(&self, good: impl Fn(&Self) -> bool) -> Result<()> {
        // Programs that hang on functions of the kernel take longest to go.
        for _ in 0..500 {
            if good(&Self::take()?) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!("the kernel holds other things than before: {:?}, before {self:?}", Self::take()?)
    }

    /// What a run comes to, whatever ids the kernel gave: places, and how many there are of everything.
    pub(crate) fn shape(&self) -> Shape {
        let plain = self.without_dispatchers();
        Shape { pins: plain.pins, xdp: plain.xdp, programs: self.programs.len(), links: self.links.len() }
    }

    /// Number of programs in the kernel.
    pub(crate) fn programs(&self) -> usize {
        self.programs.len()
    }

    /// Programs that were not there before.
    pub(crate) fn new_programs(&self, before: &Self) -> Vec<u32> {
        self.programs.difference(&before.programs).copied().collect()
    }

    /// All pins.
    pub(crate) fn pins(&self) -> &BTreeSet<String> {
        &self.pins
    }

    /// Whether no pin is there.
    pub(crate) fn has_pins(&self) -> bool {
        self.pins.iter().any(|pin| !pin.ends_with('/'))
    }
}

/// A [`Snapshot`] without ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pins: BTreeSet<String>,
    xdp: Vec<(String, Option<u32>)>,
    programs: usize,
    links: usize,
}

impl Shape {
    /// Waits until the kernel has this shape.
    pub(crate) fn expect(&self) -> Result<()> {
        for _ in 0..500 {
            if Snapshot::take()?.shape() == *self {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!("the kernel holds {:?}, not {self:?}", Snapshot::take()?.shape())
    }
}

fn collect_pins(folder: &Path, pins: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect_pins(&path, pins)?;
            // libxdp's own folder and ours stay; they hold nothing.
            if path != Path::new("/sys/fs/bpf/xdp") && path != Path::new("/sys/fs/bpf/nodebpf") {
                pins.insert(format!("{}/", path.display()));
            }
        } else if !path.to_string_lossy().ends_with(".debug") {
            pins.insert(path.display().to_string());
        }
    }
    Ok(())
}

/// Runs the real `xdp-loader`; its output.
pub(crate) fn xdp_loader(words: &str) -> Result<String> {
    let output = run("xdp-loader", words)?;
    ensure!(output.status.success(), "xdp-loader {words}: {}", said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program with these words.
pub(crate) fn run(program: &str, words: &str) -> Result<Output> {
    Command::new(program).args(words.split_whitespace()).output().with_context(|| format!("starting {program}"))
}

/// Everything a program said.
pub(crate) fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    format!("{}: {}", output.status, String::from_utf8_lossy(&text).trim())
}

/// Programs in the dispatcher of an interface as `xdp-loader status` lists them, in running order: priority and name.
pub(crate) fn chain(interface: &str) -> Result<Vec<(u32, String)>> {
    let status = xdp_loader("status")?;
    let mut lines = status.lines().skip_while(|line| !line.starts_with(interface));
    lines.next().with_context(|| format!("xdp-loader does not list {interface}"))?;
    let member = |line: &str| {
        let mut words = line.trim_start().strip_prefix("=>")?.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    };
    Ok(lines.map_while(member).collect())
}
