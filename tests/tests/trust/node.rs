//! A node in a folder, whose kernel attaches everything but what it is told to fail.

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
};

use nodebpf_loader::{
    apply,
    judge::{self, Judged},
    memory,
    paths::Paths,
    state::Version,
    stream::{Goal, Stream, Target},
    verify::{self, Node as Identity},
};
use nodeplan::{
    bundle::{self, Parts},
    digest::{Sha256Digest, from_hex},
    key::PublicKey,
    plan::NodePlan,
    report::{Code, Exit, REPORT_VERSION, Reason, Report, StreamReport, StreamState},
    sorted::SortedMap,
    statement,
    time::Timestamp,
    trust::{Envelope, OwnerTrust, TrustDocument, encode_chain},
};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    elliptic_curve::array::Array,
};

/// What a stream comes to that is as it should be.
pub(crate) const ATTACHED: Option<(StreamState, Option<Code>)> = Some((StreamState::Attached, None));

/// A key made of a number.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&Array::from([seed; 32])).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let prefix = from_hex("3059301306072a8648ce3d020106082a8648ce3d030107034200").unwrap();
        PublicKey::from_spki_der(&[&prefix, point.as_bytes()].concat()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    /// 64 bytes `r || s`, as JOSE writes them.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes().to_vec()
    }
}

/// The key of owner `netops`, unless a test says otherwise.
pub(crate) const NETOPS: u8 = 9;
/// The key of owner `security`.
pub(crate) const SECURITY: u8 = 8;

/// A trust document with owners `netops` (`netops-*`) and `security` (`sec-*`), and root keys.
pub(crate) fn document(version: u64, roots: &[&Key]) -> TrustDocument {
    let key = |seed| serde_json::to_string(&Key::new(seed).public()).unwrap();
    let owner = |seed, glob: &str| {
        let (key, hooks) = (key(seed), r#"{"xdp":{"band":[500,599]}}"#);
        format!(r#"{{"signers":{{"keys":[{key}],"threshold":1}},"streams":["{glob}"],"hooks":{hooks}}}"#)
    };
    let roots: Vec<String> = roots.iter().map(|key| serde_json::to_string(&key.public()).unwrap()).collect();
    let roots = match roots.len() {
        0 => String::new(),
        threshold => format!(r#","roots":{{"keys":[{}],"threshold":{threshold}}}"#, roots.join(",")),
    };
    let (netops, security) = (owner(NETOPS, "netops-*"), owner(SECURITY, "sec-*"));
    let text = format!(
        r#"{{"format":"1.1","version":{version}{roots},"owners":{{"netops":{netops},"security":{security}}}}}"#
    );
    nodeplan::json::parse(text.as_bytes(), 1 << 20).unwrap()
}

/// The rules of one owner.
pub(crate) fn owner<'a>(document: &'a mut TrustDocument, name: &str) -> &'a mut OwnerTrust {
    document.owners.get_mut(&name.try_into().unwrap()).unwrap()
}

/// A version signed by these root keys.
pub(crate) fn signed(document: &TrustDocument, keys: &[&Key]) -> Envelope {
    let message = Envelope::to_sign(document);
    Envelope::new(document, &keys.iter().map(|key| (key.public().id(), key.sign(&message))).collect())
}

/// A plan of `owner` with one XDP program.
pub(crate) fn plan(stream: &str, owner: &str, revision: u32) -> NodePlan {
    let object = Sha256Digest::of(OBJECT);
    let text = format!(
        r#"{{"planVersion":"1.1","stream":"{stream}","owner":"{owner}","revision":{revision},"intent":"feature",
        "pools":["worker"],"appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{{"name":"p",
        "object":{{"sha256":"{object}","sourceSha256":"{object}"}},"attach":[{{"xdp":{{"interfaces":[{{"name":"eth0"}}],
        "mode":"native","priority":510,"proceedOn":["pass"]}}}}]}}]}}"#
    );
    NodePlan::parse(text.as_bytes()).unwrap()
}

/// `revision` of `netops-a`, which refuses those below `floor` from then on.
pub(crate) fn with_floor(revision: u32, floor: i64) -> NodePlan {
    let mut plan = plan("netops-a", "netops", revision);
    plan.rollback_floor = Some(floor.try_into().unwrap());
    plan
}

/// What all plans have as their object: nothing looks into it before it is loaded.
pub(crate) const OBJECT: &[u8] = b"object";

/// The parts of the plan's bundle, signed by the keys.
pub(crate) fn parts(plan: &NodePlan, keys: &[&Key]) -> Parts {
    parts_of(statement::encode(plan), keys)
}

/// The parts of a bundle with these statement bytes.
pub(crate) fn parts_of(statement: Vec<u8>, keys: &[&Key]) -> Parts {
    let message = bundle::to_sign(&statement);
    Parts {
        signatures: keys.iter().map(|key| (key.public().id(), key.sign(&message))).collect(),
        objects: SortedMap::from([(Sha256Digest::of(OBJECT), OBJECT.to_vec())]),
        statement,
    }
}

/// What a run said.
pub(crate) struct Run {
    pub(crate) report: Report,
    pub(crate) exit: Exit,
}

impl Run {
    /// State, and the code of its reason, of a stream.
    pub(crate) fn of(&self, stream: &str) -> Option<(StreamState, Option<Code>)> {
        let one = self.report.streams.iter().find(|one| one.stream.as_str() == stream)?;
        Some((one.state, one.reason.as_ref().map(|reason| reason.code)))
    }

    /// The reason's words.
    pub(crate) fn why(&self, stream: &str) -> String {
        let one = self.report.streams.iter().find(|one| one.stream.as_str() == stream).unwrap();
        one.reason.as_ref().map(|reason| reason.message.clone()).unwrap_or_default()
    }

    pub(crate) fn problems(&self) -> Vec<Code> {
        self.report.problems.iter().map(|problem| problem.code).collect()
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.report.trust.version
    }
}

/// The node.
pub(crate) struct Node {
    root: PathBuf,
    /// What runs, as the kernel would know it. Gone with a reboot.
    running: SortedMap<nodeplan::name::StreamName, Vec<Version>>,
    /// Streams that the kernel refuses.
    pub(crate) failing: Vec<&'static str>,
    /// A time that is certain.
    pub(crate) now: Timestamp,
    /// What a clock says that nobody has set.
    pub(crate) unverified: Option<Timestamp>,
}

static NODES: AtomicU32 = AtomicU32::new(0);

impl Node {
    /// A node with nothing.
    pub(crate) fn new() -> Self {
        let name = format!("nodebpf-trust-{}-{}", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        let node = Self {
            root,
            running: SortedMap::new(),
            failing: Vec::new(),
            now: Timestamp::from_unix_seconds(1_800_000_000),
            unverified: None,
        };
        for dir in ["etc/nodebpf/bundles", "usr/lib/nodebpf", "var/lib/nodebpf", "run/nodebpf"] {
            DirBuilder::new().mode(0o755).recursive(true).create(node.path(dir)).unwrap();
            fs::set_permissions(node.path(dir), Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(node.path("etc/nodebpf"), Permissions::from_mode(0o755)).unwrap();
        node
    }

    /// A node with a root-signed trust file of version 1.
    pub(crate) fn trusting() -> Self {
        let node = Self::new();
        let root = Key::new(1);
        node.deliver(&[signed(&document(1, &[&root]), &[&root])]);
        node
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths::new(&self.root)
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// Puts a file there, as a `MachineConfig` or an image would.
    pub(crate) fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let path = self.path(path);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }

    pub(crate) fn deliver(&self, chain: &[Envelope]) {
        self.put("etc/nodebpf/trust.json", &encode_chain(chain.to_vec()));
    }

    pub(crate) fn bake(&self, chain: &[Envelope]) {
        self.put("usr/lib/nodebpf/trust.json", &encode_chain(chain.to_vec()));
    }

    /// A delivered version that only changes the document of version 1, with the one root key.
    pub(crate) fn trust(&self, version: u64, change: impl FnOnce(&mut TrustDocument)) {
        let root = Key::new(1);
        let mut next = document(version, &[&root]);
        change(&mut next);
        self.deliver(&[signed(&next, &[&root])]);
    }

    pub(crate) fn bundle(&self, stream: &str) -> PathBuf {
        self.path(format!("etc/nodebpf/bundles/{stream}.bundle"))
    }

    pub(crate) fn ship_parts(&self, stream: &str, parts: &Parts) {
        self.put(self.bundle(stream), &parts.encode());
    }

    /// Ships a plan under its own name, signed by its owner.
    pub(crate) fn ship(&self, plan: &NodePlan) {
        let key = Key::new(if plan.owner.as_str() == "security" { SECURITY } else { NETOPS });
        self.ship_parts(plan.stream.as_str(), &parts(plan, &[&key]));
    }

    pub(crate) fn remove(&self, stream: &str) {
        fs::remove_file(self.bundle(stream)).unwrap();
    }

    /// All that the kernel holds is gone.
    pub(crate) fn reboot(&mut self) {
        self.running = SortedMap::new();
    }

    /// Revision of a stream that runs.
    pub(crate) fn runs(&self, stream: &str) -> Option<u32> {
        let version = self.running.get(&stream.try_into().ok()?)?.first()?;
        version.plan.as_ref().map(|plan| plan.revision.get())
    }

    /// One run of the loader: all its steps but those of the kernel.
    pub(crate) fn run(&mut self) -> Run {
        let paths = self.paths();
        let identity = Identity {
            kernel: "5.14.0-570.el9.x86_64".to_owned(),
            machine: "x86_64".to_owned(),
            ocp: None,
            now: self.now,
            unverified: self.unverified,
        };
        let Judged { known, kept, mut streams, mut problems, complete } =
            judge::judge(&paths, &identity, self.running.clone());
        problems.extend(known.keep(&paths));
        for (name, stream) in &mut streams {
            self.attach(name.as_str(), stream);
        }
        let reports =
            streams.iter().map(|(name, stream)| StreamReport::new(name.clone(), stream.state, stream.reason.clone()));
        let mut report = Report {
            report_version: REPORT_VERSION,
            loader: String::new(),
            kernel: identity.kernel,
            trust: verify::trust_report(&known.trust),
            problems,
            streams: reports.collect(),
        };
        let exit = apply::exit_of(&report, &streams);
        let mut now = kept.clone();
        memory::learn(&mut now, &streams, &report, exit == Exit::Done, complete);
        report.problems.extend(kept.keep(&now, &paths));
        self.running = streams
            .into_iter()
            .filter_map(|(name, stream)| match stream.goal {
                Goal::Run(target) => Some((name, vec![target.version])),
                Goal::Keep => Some((name, stream.before)).filter(|(_, before)| !before.is_empty()),
                Goal::Load(_) | Goal::End => None,
            })
            .collect();
        Run { report, exit }
    }

    /// What loading and attaching come to.
    fn attach(&self, name: &str, stream: &mut Stream) {
        let Goal::Load(verified) = &stream.goal else { return };
        if self.failing.contains(&name) {
            stream.fail(Reason { code: Code::Verifier, message: "told to fail".to_owned() });
            return;
        }
        let (statement, plan) = (verified.statement_digest(), Rc::clone(verified.plan()));
        let version = Version {
            committed: Some(statement),
            dir: PathBuf::from(statement.to_string()),
            programs: SortedMap::new(),
            plan: Some(Rc::clone(&plan)),
            forbidden: None,
        };
        stream.goal = Goal::Run(Box::new(Target { statement, plan, version }));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
