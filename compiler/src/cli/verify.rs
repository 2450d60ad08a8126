//! `nodebpf verify`: bundles, as a node with a given trust file would judge them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use nodeplan::{
    bundle::{Refusal, Unverified, Verified},
    key::KeyId,
    limits,
    name::{PoolName, StreamName},
    report::Code as LoaderCode,
    time::Timestamp,
    trust::TrustDocument,
};
use serde_json::json;

use super::{
    Exit,
    args::VerifyArgs,
    front, io,
    session::Session,
    walk::{self, Walked},
};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    lower::{self, install::udev_path, unit::LOADER_PATH},
    mco::render,
    sign::{
        carrier::{self, Carried, Unreadable},
        claims::{self, Placed},
        image,
        piece::Piece,
    },
};

/// Largest file with bundles, in bytes: base64 of some of the largest bundles.
pub(super) const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Names of files in directories that are read whatever they begin with.
const EXTENSIONS: [&str; 5] = ["bundle", "yaml", "yml", "json", "ign"];

/// When a stream counts as expired, and when as about to.
struct Expiry {
    at: Timestamp,
    warn_before: u64,
}

/// A run: the rules, and what was found so far.
struct Gate<'a> {
    trust: &'a TrustDocument,
    trust_bytes: &'a [u8],
    expiry: Option<Expiry>,
    text: String,
    verified: Vec<serde_json::Value>,
    refused: Vec<serde_json::Value>,
    installation: Vec<serde_json::Value>,
    skipped: usize,
    /// Whether there is the tree of an image.
    has_tree: bool,
    /// Files of ours in objects: the first one of each role and path.
    placed: BTreeMap<(String, String), Placed>,
    /// Bytes of the verified bundles of each pool, by stream.
    pools: BTreeMap<PoolName, BTreeMap<StreamName, usize>>,
}

pub(super) fn run(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some((trust, trust_bytes)) = front::read_trust(&args.trust, session)? else { return Ok(session.exit()) };
    let mut gate = Gate {
        trust: trust.document(),
        trust_bytes: &trust_bytes,
        expiry: expiry(args)?,
        text: String::new(),
        verified: Vec::new(),
        refused: Vec::new(),
        installation: Vec::new(),
        skipped: 0,
        has_tree: false,
        placed: BTreeMap::new(),
        pools: BTreeMap::new(),
    };
    for path in &args.paths {
        if path.is_dir() {
            gate.directory(path, &mut session.diags)?;
        } else {
            gate.named(path, &mut session.diags)?;
        }
    }
    gate.sums(&mut session.diags);
    gate.installed(&mut session.diags);
    if args.json {
        let report = json!({
            "verified": gate.verified,
            "refused": gate.refused,
            "installation": gate.installation,
            "skipped": gate.skipped,
        });
        io::print(format!("{report}\n").as_bytes())?;
    } else {
        io::print(gate.text.as_bytes())?;
    }
    if args.paths.iter().any(|path| path.is_dir()) {
        let (good, bad) = (gate.verified.len(), gate.refused.len());
        let (installed, skipped) = (gate.installation.len(), gate.skipped);
        session.say(&format!(
            "bundles verified: {good}, refused: {bad}; pieces of the installation: {installed}; other files: {skipped}"
        ));
    }
    session.sound(args.strict);
    Ok(session.exit())
}

/// The clock is asked only where time matters.
fn expiry(args: &VerifyArgs) -> anyhow::Result<Option<Expiry>> {
    let warn_before = args.warn_before.unwrap_or_default();
    let at = match (args.at, args.warn_before) {
        (Some(at), _) => at,
        (None, Some(_)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock")?;
            Timestamp::from_unix_seconds(now.as_secs())
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Expiry { at, warn_before }))
}

impl Gate<'_> {
    fn directory(&mut self, directory: &Path, diags: &mut Diagnostics) -> anyhow::Result<()> {
        let (before, skipped) = (self.found(), self.skipped);
        let mut walked = Walked::default();
        walk::walk(directory, &mut walked)?;
        let ours = self.trees(&walked, diags)?;
        self.skipped += walked.others + walked.links.iter().filter(|path| !ours.contains(*path)).count();
        for path in &walked.files {
            if ours.contains(path) {
                continue;
            }
            let wanted = is_carrier(path);
            let small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= FILE_MAX_BYTES as u64);
            if !wanted && !small {
                self.skipped += 1;
                continue;
            }
            let bytes = io::read_file(path, FILE_MAX_BYTES)?;
            if wanted || carrier::is_archive(&bytes) {
                self.file(path, &bytes, false, diags);
            } else {
                self.skipped += 1;
            }
        }
        if self.found() == before {
            let skipped = self.skipped - skipped;
            let message =
                format!("`{}` has nothing of nodebpf ({skipped} other files)", shown(&directory.display().to_string()));
            diags.push(
                Diagnostic::error(Code::NothingToVerify, message)
                    .note("a check that looked at nothing must not pass")
                    .help("name the directory with the compiled MachineConfigs"),
            );
        }
        Ok(())
    }

    /// Judges the trees of images. Returns what needs no other look.
    fn trees(&mut self, walked: &Walked, diags: &mut Diagnostics) -> anyhow::Result<BTreeSet<PathBuf>> {
        let (mut trees, mut done) = (BTreeMap::<&Path, Vec<image::Entry>>::new(), BTreeSet::new());
        for (path, is_link) in
            walked.files.iter().map(|path| (path, false)).chain(walked.links.iter().map(|path| (path, true)))
        {
            let Some((root, place)) = image::place(path).filter(|(_, place)| image::is_ours(place)) else { continue };
            if is_link || !lower::is_bundle(&place) {
                done.insert(path.clone());
            }
            trees.entry(root).or_default().push(walk::entry(path, place, is_link)?);
        }
        for (root, entries) in trees {
            self.tree(&shown_path(root), &entries, true, diags);
        }
        Ok(done)
    }

    fn tree(&mut self, name: &str, entries: &[image::Entry], whole: bool, diags: &mut Diagnostics) {
        self.has_tree = true;
        let found = image::check(name, entries, whole, self.trust_bytes, diags);
        for (file, piece) in found.pieces {
            self.install(&file, piece);
        }
        for (file, why) in found.refused {
            self.refuse(&file, LoaderCode::BundleDamaged, &format!("`{file}` {why}"), diags);
        }
    }

    /// A file named on the command line: then it must have something of ours.
    fn named(&mut self, path: &Path, diags: &mut Diagnostics) -> anyhow::Result<()> {
        if let Some((_, place)) = image::place(path).filter(|(_, place)| image::is_ours(place)) {
            let is_bundle = lower::is_bundle(&place);
            self.tree(&shown_path(path), &[walk::entry(path, place, false)?], false, diags);
            if !is_bundle {
                return Ok(());
            }
        }
        let bytes = io::read_file(path, FILE_MAX_BYTES)?;
        self.file(path, &bytes, true, diags);
        Ok(())
    }

    /// How much of ours was found so far.
    fn found(&self) -> usize {
        self.verified.len() + self.refused.len() + self.installation.len()
    }

    /// `named` on the command line: then it must have something of ours.
    fn file(&mut self, path: &Path, bytes: &[u8], named: bool, diags: &mut Diagnostics) {
        let name = shown_path(path);
        let parts = match carrier::parts(path, bytes) {
            Ok(parts) => parts,
            Err(Unreadable::Foreign(_)) if !named => Vec::new(),
            Err(Unreadable::Ours(why) | Unreadable::Foreign(why)) => {
                return self.refuse(&name, LoaderCode::BundleDamaged, &format!("`{name}` {why}"), diags);
            }
        };
        let mut found = 0;
        for part in parts {
            found += part.bundles.len();
            let mut bundles = Vec::new();
            for bundle in part.bundles {
                match open(&bundle, self.trust) {
                    Ok(opened) => {
                        self.accept(&name, &opened, bundle.bytes.len(), diags);
                        bundles.push(Some((bundle, opened)));
                    }
                    Err((code, why)) => {
                        self.refuse(&name, code, &format!("`{name}`: {why}"), diags);
                        bundles.push(None);
                    }
                }
            }
            let Some(document) = part.document else { continue };
            let brought = claims::check(&name, &document, &bundles, self.trust_bytes, diags);
            for piece in brought.pieces {
                found += 1;
                self.install(&name, piece);
            }
            for placed in brought.placed {
                self.place(placed, diags);
            }
        }
        if found == 0 && named {
            let why = format!("has no file below {} and nothing of the installation", lower::BUNDLE_DIRECTORY);
            return self.refuse(&name, LoaderCode::BundleDamaged, &format!("`{name}` {why}"), diags);
        }
        self.skipped += usize::from(found == 0);
    }

    fn install(&mut self, name: &str, piece: Piece) {
        let digest = piece.sha256.map_or_else(String::new, |digest| format!(" sha256={digest}"));
        let _ = writeln!(self.text, "{name}: {}{digest}", piece.what);
        self.installation.push(json!({ "file": name, "what": piece.what, "sha256": piece.sha256 }));
    }

    /// Nodes get one file of a path: that of the object whose name comes last.
    fn place(&mut self, placed: Placed, diags: &mut Diagnostics) {
        let key = (placed.role.clone(), placed.path.clone());
        match self.placed.get(&key) {
            Some(first) if first.sha256 != placed.sha256 => {
                let message = format!(
                    "pool `{}` has two contents of `{}`: in `{}` and in `{}`",
                    shown(&placed.role),
                    shown(&placed.path),
                    first.file,
                    placed.file
                );
                let which = if first.object == placed.object {
                    format!("both are object `{}`: the cluster has the one that was applied last", placed.object)
                } else {
                    let last = (&first.object).max(&placed.object);
                    format!("nodes get that of the object whose name comes last, `{last}`")
                };
                diags.push(
                    Diagnostic::warning(Code::OtherInstallation, message)
                        .note(which)
                        .help("remove one of them; verify the directories of several clusters one by one"),
                );
            }
            Some(_) => {}
            None => drop(self.placed.insert(key, placed)),
        }
    }

    /// What nodes of a pool would refuse of its bundles together.
    fn sums(&self, diags: &mut Diagnostics) {
        for (pool, streams) in &self.pools {
            let sum: usize = streams.values().sum();
            if sum > limits::BUNDLES_MAX_BYTES {
                let message = format!(
                    "the bundles of pool `{pool}` have {sum} bytes together; {} are allowed",
                    limits::BUNDLES_MAX_BYTES
                );
                diags.push(
                    Diagnostic::error(LoaderCode::BundlesTooLarge, message)
                        .note("nodes take them by name up to the limit, and refuse the others")
                        .help("remove streams from the pool, or strip their objects with `llvm-strip -g`"),
                );
            }
        }
    }

    /// Pools for which objects have streams, and nothing that would attach them. Without any installation nothing is said:
    /// streams and installation often lie apart.
    fn installed(&self, diags: &mut Diagnostics) {
        let roles = |is: fn(&str) -> bool| -> BTreeSet<&str> {
            self.placed.keys().filter(|(_, path)| is(path)).map(|(role, _)| role.as_str()).collect()
        };
        let installed = roles(|path| path == LOADER_PATH || path == udev_path());
        // Of an image nobody says which pools have it.
        if installed.is_empty() || self.has_tree {
            return;
        }
        let has = |pool: &str| installed.iter().any(|role| render::selects(pool, role));
        for pool in roles(lower::is_bundle).into_iter().filter(|pool| !has(pool)) {
            let having = one_of(installed.iter().copied());
            diags.push(
                Diagnostic::warning(
                    Code::NotInstalled,
                    format!("pool `{}` has streams and no installation; there is one for {}", shown(pool), having),
                )
                .note("nodes without loader and units run no stream; a pool that does not exist reaches no node")
                .help("compare `install --pool` with `pools` of the manifest, and write the wrong one anew"),
            );
        }
    }

    fn refuse(&mut self, name: &str, code: LoaderCode, message: &str, diags: &mut Diagnostics) {
        self.refused.push(json!({ "file": name, "code": code.as_str(), "message": message }));
        diags.push(Diagnostic::error(code, message));
    }

    fn accept(&mut self, name: &str, verified: &Verified, size: usize, diags: &mut Diagnostics) {
        let plan = verified.plan();
        for pool in &plan.pools {
            self.pools.entry(pool.clone()).or_default().insert(plan.stream.clone(), size);
        }
        let signers: Vec<_> = verified.signers().iter().map(KeyId::to_string).collect();
        let expires = plan.expires.map_or_else(String::new, |time| format!(" expires={time}"));
        let _ = writeln!(
            self.text,
            "{name}: stream={} revision={} owner={} statement={}{expires} signers={}",
            plan.stream,
            plan.revision,
            plan.owner,
            verified.statement_digest(),
            signers.join(",")
        );
        self.verified.push(json!({
            "file": name,
            "stream": plan.stream,
            "revision": plan.revision,
            "owner": plan.owner,
            "statement": verified.statement_digest(),
            "expires": plan.expires,
            "signers": signers,
        }));
        let (Some(Expiry { at, warn_before }), Some(expires)) = (&self.expiry, plan.expires) else { return };
        let left = expires.unix_seconds().saturating_sub(at.unix_seconds());
        if left == 0 {
            diags.push(
                Diagnostic::warning(Code::Expired, format!("`{name}`: stream `{}` expired at {expires}", plan.stream))
                    .note(format!("looked at {at}"))
                    .help("remove it, or extend `expires` in a new revision"),
            );
        } else if left <= *warn_before {
            let days = left / 86_400;
            let message = format!("`{name}`: stream `{}` expires at {expires}, in {days} days", plan.stream);
            diags.push(
                Diagnostic::warning(Code::ExpiresSoon, message)
                    .note(format!("looked at {at}"))
                    .help("ship the fix and remove the stream, or extend `expires` in a new revision"),
            );
        }
    }
}

fn open(bundle: &Carried, trust: &TrustDocument) -> Result<Verified, (LoaderCode, String)> {
    let verified = Unverified::decode(&bundle.bytes)
        .and_then(|unverified| unverified.verify(trust))
        .map_err(|refusal: Refusal| (refusal.code(), refusal.to_string()))?;
    match &bundle.stream {
        Some(stream) if stream != verified.plan().stream.as_str() => {
            let why = format!("stream `{}` lies in the file of `{}`", verified.plan().stream, shown(stream));
            Err((LoaderCode::FileName, why))
        }
        _ => Ok(verified),
    }
}

/// Whether a file is read whatever it begins with.
pub(super) fn is_carrier(path: &Path) -> bool {
    path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known))
}

pub(super) fn shown_path(path: &Path) -> String {
    path.display().to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
