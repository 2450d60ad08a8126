//! Targets: what reads the input, and which sound inputs the damaged ones are made of.
//!
//! In:   bytes. Out: whether they were taken. May fail with: a panic, which is what is looked for.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use nodebpf::{
    check::{self, Checked},
    diag::{Diagnostics, render_human, render_json},
    manifest, object, plan, platform, policy, recover,
    resolve::{self, Files, ReadError},
    sign::{self, Signer, key::FileKey},
    source::SourceMap,
};
use nodeplan::{bundle::Unverified, plan::NodePlan, sorted::SortedMap, statement, trust::TrustDocument};

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A manifest or a policy.
    Manifest,
    /// A BPF object.
    Object,
    /// A bundle, or the statement in one.
    Bundle,
}

/// What a target works with.
pub(crate) struct Seeds {
    /// Sound inputs.
    pub(crate) files: Vec<Vec<u8>>,
    /// Words worth inserting.
    pub(crate) words: &'static [&'static str],
    objects: BTreeMap<String, Vec<u8>>,
    trust: Option<TrustDocument>,
    signer: Option<FileKey>,
}

/// Objects by file name, whatever folder a manifest means.
struct Disk<'a>(&'a BTreeMap<String, Vec<u8>>);

impl Files for Disk<'_> {
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError> {
        let bytes = self.0.get(path.rsplit('/').next().unwrap_or(path)).ok_or(ReadError::Missing)?;
        if bytes.len() > max_bytes {
            return Err(ReadError::TooLarge { size: bytes.len() as u64, max: max_bytes });
        }
        Ok(bytes.clone())
    }
}

const YAML: &[&str] = &[
    "\n",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "|\n",
    ">-\n",
    "---\n",
    "...\n",
    "#",
    "\"",
    "'",
    "\\u0000",
    "\u{feff}",
    "~",
    "null",
    "yes",
    "0x7fffffffffffffff",
    "-1",
    "1e999",
    ".inf",
    "9223372036854775808",
    "xdp",
    "tc",
    "cgroup",
    "kprobe",
    "tracepoint",
    "lsm",
    "fentry",
    "interfaces",
    "priority",
    "proceedOn",
    "exclude",
    "primary: true",
    "membersOf: bond0",
    "globals",
    "maps",
    "entries",
    "key",
    "value",
    "persist",
    "maxEntries",
    "appliesTo",
    "kernel",
    ">=5.14.0-427",
    "expires",
    "2027-03-31T00:00:00Z",
    "\u{202e}",
    "漢",
];

const ELF: &[&str] = &[
    "xdp",
    "xdp.frags",
    "tcx/ingress",
    "classifier",
    "tc",
    "kprobe/x",
    "fentry/x",
    "lsm/x",
    "struct_ops",
    "?xdp",
    ".maps",
    "maps",
    ".rodata",
    ".data",
    ".bss",
    ".kconfig",
    ".ksyms",
    "license",
    ".BTF",
    ".BTF.ext",
    ".text",
    "\0",
    "\u{7f}ELF",
];

const BUNDLE: &[&str] = &[
    "statement.json",
    "signatures/",
    ".sig",
    "objects/",
    ".o",
    "ustar\0",
    "0000644\0",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "1e999",
    "\\u0000",
    "planVersion",
    "1.0",
    "2.0",
    "predicate",
    "subject",
    "sha256",
    "stream",
    "/",
    "..",
    "\0",
];

impl Target {
    pub(crate) fn of(name: &str) -> Option<Self> {
        [Self::Manifest, Self::Object, Self::Bundle].into_iter().find(|target| target.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Object => "object",
            Self::Bundle => "bundle",
        }
    }

    /// Everything sound that this repository has of the kind.
    pub(crate) fn seeds(self) -> Seeds {
        let all = below(&root());
        let of =
            |ending: &'static str| all.iter().filter(move |path| path.to_string_lossy().ends_with(ending)).cloned();
        let read = |path: PathBuf| fs::read(&path).ok();
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let objects: BTreeMap<_, _> = of(".bpf.o").filter_map(|path| Some((name(&path)?, read(path)?))).collect();
        let signer = fs::read(root().join("tests/keys/TEST-ONLY-private.pem")).ok();
        let signer = signer.and_then(|pem| FileKey::from_pem(&pem).ok());
        let (files, words, trust): (Vec<_>, _, _) = match self {
            // Cases of errors too: they lead to code that sound manifests do not reach.
            Self::Manifest => (of("bpf.yaml").chain(of("policy.yaml")).filter_map(read).collect(), YAML, None),
            Self::Object => (objects.values().cloned().collect(), ELF, None),
            Self::Bundle => {
                let (bundles, trust) = bundles(of("bpf.yaml").filter_map(read), &objects, signer.as_ref());
                (bundles, BUNDLE, trust)
            }
        };
        assert!(!files.is_empty(), "no seeds for `{}` below `{}`", self.name(), root().display());
        Seeds { files, words, objects, trust, signer }
    }

    /// Whether `input` is taken.
    pub(crate) fn run(self, seeds: &Seeds, input: &[u8]) -> bool {
        match self {
            Self::Manifest => manifest_or_policy(input, seeds),
            Self::Object => object(input, seeds),
            Self::Bundle => bundle(input, seeds),
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All files below the folders with sound and broken inputs, sorted.
fn below(root: &Path) -> Vec<PathBuf> {
    let mut open: Vec<_> =
        ["compiler/tests", "examples", "bpf", "tests/cases"].iter().map(|folder| root.join(folder)).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        match fs::read_dir(&path) {
            Ok(entries) => open.extend(entries.flatten().map(|entry| entry.path())),
            Err(_) => files.push(path),
        }
    }
    files.sort();
    files
}

fn compile(input: &[u8], objects: &BTreeMap<String, Vec<u8>>) -> Option<(NodePlan, Checked)> {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let checked = manifest::parse("bpf.yaml", input, &mut sources, &mut diags)
        .and_then(|manifest| resolve::resolve(manifest, &Disk(objects), &mut diags))
        .and_then(|resolved| check::check(&resolved, &mut diags));
    let plan = checked.as_ref().and_then(|checked| plan::plan(checked, &mut diags));
    let errors = diags.has_errors();
    if let (Some(plan), Some(checked)) = (&plan, &checked) {
        let releases: Vec<_> = platform::table::releases().collect();
        platform::check(plan, checked, &releases, &mut diags);
    }
    shown(&diags, &sources);
    assert_eq!(plan.is_none(), errors, "no plan and no reason, or both");
    rest(input, objects);
    plan.zip(checked)
}

/// What is left behind errors is judged, too.
fn rest(input: &[u8], objects: &BTreeMap<String, Vec<u8>>) {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let files = Disk(objects);
    recover::judge("bpf.yaml", input, &files, &mut sources, &mut diags, |resolved, _, diags| {
        check::check(resolved, diags)
    });
    shown(&diags, &sources);
}

/// Renders everything: positions must lie in their texts.
fn shown(diags: &Diagnostics, sources: &SourceMap) {
    let human = render_human::render(diags, sources, true);
    let short = render_human::render_short(diags, sources);
    assert_eq!(human.is_empty(), short.is_empty());
    assert!(!short.contains('\x1b'), "control characters reach the terminal");
    let _ = render_json::render(diags, sources);
}

fn manifest_or_policy(input: &[u8], seeds: &Seeds) -> bool {
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let policy = policy::parse("policy.yaml", input, &Disk(&seeds.objects), &mut sources, &mut diags);
    shown(&diags, &sources);
    policy.is_some() || compile(input, &seeds.objects).is_some()
}

/// What is read from an object, and a manifest for its first program.
fn object(input: &[u8], seeds: &Seeds) -> bool {
    let Ok(facts) = object::read(input) else { return false };
    let Some(program) = facts.programs.first() else { return true };
    let name = program.name.escape_default();
    let manifest = format!(
        "apiVersion: nodebpf.io/v1alpha1\nkind: BpfManifest\nmetadata: {{name: a, owner: b, revision: 1}}\n\
         spec: {{intent: feature, pools: [worker], programs: [{{name: \"{name}\", object: fuzz.o, \
         attach: [{{xdp: {{interfaces: [{{name: eth0}}], priority: 1}}}}]}}]}}\n"
    );
    let mut objects = BTreeMap::from([("fuzz.o".to_owned(), input.to_vec())]);
    objects.extend(seeds.objects.iter().map(|(name, bytes)| (name.clone(), bytes.clone())).take(1));
    let _ = compile(manifest.as_bytes(), &objects);
    true
}

/// What a node does with a bundle. A statement alone is signed first: damage to a bundle ends at its digests, and what
/// lies behind the signature must stand it too.
fn bundle(input: &[u8], seeds: &Seeds) -> bool {
    if input.get(257..262) == Some(b"ustar") {
        return unpack(input, seeds);
    }
    let signers: Vec<&dyn Signer> = seeds.signer.iter().map(|key| key as &dyn Signer).collect();
    let bundle = sign::bundle(input, &SortedMap::new(), &signers).encode();
    let _ = unpack(&bundle, seeds);
    let Ok(plan) = statement::decode(input) else { return false };
    // Signed bytes need not be canonical, but what was read from them survives our own writing.
    assert_eq!(statement::decode(&statement::encode(&plan)), Ok(plan), "a plan changes when it is written again");
    true
}

fn unpack(bundle: &[u8], seeds: &Seeds) -> bool {
    let Ok(unverified) = Unverified::decode(bundle) else { return false };
    assert_eq!(unverified.parts().encode(), bundle, "two texts for one bundle");
    seeds.trust.as_ref().is_some_and(|trust| unverified.verify(trust).is_ok())
}

/// Bundles and statements of all sound manifests, and a policy that trusts the public test key.
fn bundles(
    manifests: impl Iterator<Item = Vec<u8>>,
    objects: &BTreeMap<String, Vec<u8>>,
    signer: Option<&FileKey>,
) -> (Vec<Vec<u8>>, Option<TrustDocument>) {
    let signers: Vec<&dyn Signer> = signer.into_iter().map(|key| key as &dyn Signer).collect();
    let bundles = manifests.filter_map(|text| compile(&text, objects)).flat_map(|(plan, checked)| {
        let statement = statement::encode(&plan);
        let bundle = sign::bundle(&statement, checked.objects(), &signers).encode();
        [bundle, statement]
    });
    let key = fs::read(root().join("tests/keys/TEST-ONLY-public.pem")).unwrap_or_default();
    let files = BTreeMap::from([("public.pem".to_owned(), key)]);
    let (mut sources, mut diags) = (SourceMap::default(), Diagnostics::default());
    let trust = policy::parse("policy.yaml", POLICY.as_bytes(), &Disk(&files), &mut sources, &mut diags);
    (bundles.collect(), trust.map(|policy| policy.trust))
}

const POLICY: &str = r#"apiVersion: nodebpf.io/v1alpha1
kind: BpfPolicy
metadata: {name: fleet}
spec:
  version: 1
  owners:
    - {name: netops, keys: [public.pem], streams: ["netops-*"], hooks: {xdp: {band: [0, 1000]}}}
"#;
