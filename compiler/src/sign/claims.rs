//! Claims: what an object says about itself, held against what it carries.
//!
//! In:   a MachineConfig or Ignition config of ours, its verified bundles, the trust file to judge by. Out: what of the
//! installation it brings.
//! May fail with: NB0501 (a pool that was not signed), NB0504 (a binary that no node runs), NB0512 (what a cluster would
//! refuse), NB0633 (metadata and payload differ), NB0634 (a warning: another trust file, other units).
//!
//! Nodes see none of the metadata. It is for people, who believe it because they cannot read base64.

use nodeplan::{
    bundle::{Unverified, Verified},
    digest::Sha256Digest,
    trust::Trust,
};
use serde_json::Value;

use super::carrier::{self, Carried};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    lower::{
        self,
        install::{self, TRUST_PATH, udev_path},
        machineconfig::{About, PREFIX, ROLE_LABEL},
        support,
        unit::{self, Carrier, DIAG_PATH, LOADER_PATH},
    },
};

/// A piece of the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// `loader`, `diag`, `trust` or `units`.
    pub what: &'static str,
    /// Digest of the file; units have none.
    pub sha256: Option<Sha256Digest>,
}

/// Looks at a document. `name` is what reports call it if it has no name of its own; `bundles` are all that it has,
/// `None` where one was refused: then nobody knows what its metadata should say.
pub fn check(
    name: &str,
    document: &Value,
    bundles: &[Option<(Carried, Verified)>],
    trust: &[u8],
    diags: &mut Diagnostics,
) -> Vec<Piece> {
    let own = document.pointer("/metadata/name").and_then(Value::as_str);
    let name = shown(own.unwrap_or(name));
    let config = document.pointer("/spec/config").unwrap_or(document);
    let files = config.pointer("/storage/files").and_then(Value::as_array);
    let mut look = Look { name: &name, document, trust, diags, pieces: Vec::new(), known: About::default() };
    for file in files.into_iter().flatten() {
        look.file(file);
    }
    look.units(config);
    for (carried, verified) in bundles.iter().flatten() {
        look.stream(carried, verified);
    }
    let (pieces, known) = (look.pieces, look.known);
    if !pieces.is_empty() || !bundles.is_empty() || claims(document).next().is_some() {
        support::check(&name, document, None, diags);
        if bundles.iter().all(Option::is_some) {
            compare(&name, document, &known, diags);
        }
    }
    pieces
}

/// Labels and annotations of ours: kind, whole key, key without prefix, value.
fn claims(document: &Value) -> impl Iterator<Item = (&'static str, &str, &Value)> {
    ["labels", "annotations"].into_iter().flat_map(move |kind| {
        let map = document.pointer(&format!("/metadata/{kind}")).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(move |(key, value)| Some((kind, key.strip_prefix(PREFIX)?.strip_prefix('/')?, value)))
    })
}

/// Metadata of ours may be left out, and must not be wrong.
fn compare(name: &str, document: &Value, known: &About, diags: &mut Diagnostics) {
    for (kind, key, value) in claims(document) {
        // Whoever wrote it; nothing of the payload.
        if key == "compiler-version" {
            continue;
        }
        let payload = if kind == "labels" { known.labels.get(key) } else { known.annotations.get(key) };
        if payload.map(String::as_str) == value.as_str() && payload.is_some() {
            continue;
        }
        let said = shown(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let carries = payload.map_or_else(
            || "what it carries says nothing of it".to_owned(),
            |text| format!("what it carries says `{}`", shown(text)),
        );
        diags.push(
            Diagnostic::error(Code::OtherThanItSays, format!("`{name}` says `{PREFIX}/{key}: {said}`; {carries}"))
                .note("nodes act on what an object carries; its metadata is for who reviews it")
                .help("write it anew with `nodebpf compile` or `nodebpf install`"),
        );
    }
}

struct Look<'a> {
    name: &'a str,
    document: &'a Value,
    trust: &'a [u8],
    diags: &'a mut Diagnostics,
    pieces: Vec<Piece>,
    /// What the metadata should say.
    known: About,
}

impl Look<'_> {
    fn file(&mut self, file: &Value) {
        let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
        let what = match path {
            LOADER_PATH => "loader",
            DIAG_PATH => "diag",
            TRUST_PATH => "trust",
            path if path == udev_path() => "units",
            _ => return,
        };
        let bytes = match carrier::content(file) {
            Ok(bytes) => bytes,
            // Of the trust file, the carrier said so.
            Err(_) if what == "trust" => return,
            Err(why) => {
                let message = format!("`{}` has `{path}`, which {why}", self.name);
                self.diags.push(Diagnostic::error(Code::OtherThanItSays, message).help(ANEW));
                return;
            }
        };
        let sha256 = Sha256Digest::of(&bytes);
        match what {
            "loader" | "diag" => {
                let key = if what == "loader" { install::LOADER_DIGEST } else { install::DIAG_DIGEST };
                self.known.annotations.insert(key, sha256.to_string());
                self.diags.extend(install::refuse_binary(what, self.name, &bytes));
            }
            "trust" => {
                self.known.annotations.insert(install::TRUST_DIGEST, sha256.to_string());
                self.trust(&bytes);
            }
            _ => {
                if unit::udev_rule().is_ok_and(|rule| rule.as_bytes() != bytes) {
                    self.other(&format!("`{path}` is not as this release writes it"), ANEW);
                }
                return;
            }
        }
        self.pieces.push(Piece { what, sha256: Some(sha256) });
    }

    fn trust(&mut self, bytes: &[u8]) {
        if bytes == self.trust {
            return;
        }
        let version = |bytes| Trust::parse(bytes).map_or(0, |trust| trust.document().version);
        let (theirs, ours) = (version(bytes), version(self.trust));
        self.other(
            &format!("its trust file (version {theirs}) is not the one of `--trust` (version {ours})"),
            "write it anew with `nodebpf install --trust`, or judge by the file that is in it",
        );
    }

    /// Every unit of ours, as it is in this release.
    fn units(&mut self, config: &Value) {
        let units = config.pointer("/systemd/units").and_then(Value::as_array);
        let ours = unit::units(Carrier::MachineConfig).unwrap_or_default();
        for found in units.into_iter().flatten() {
            let name = found.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(unit) = ours.iter().find(|unit| unit.name == name) else { continue };
            if !self.pieces.iter().any(|piece| piece.what == "units") {
                self.pieces.push(Piece { what: "units", sha256: None });
            }
            let same = found.get("contents").and_then(Value::as_str) == Some(&unit.content)
                && found.get("enabled").and_then(Value::as_bool) == unit.enabled
                && found.get("mask").and_then(Value::as_bool) != Some(true)
                && found.get("dropins").is_none();
            if !same {
                self.other(&format!("unit `{name}` is not as this release writes it"), ANEW);
            }
        }
    }

    fn other(&mut self, what: &str, help: &str) {
        self.diags.push(
            Diagnostic::warning(Code::OtherInstallation, format!("`{}`: {what}", self.name)).help(help.to_owned()),
        );
    }

    fn stream(&mut self, carried: &Carried, verified: &Verified) {
        let plan = verified.plan();
        if let Ok(unverified) = Unverified::decode(&carried.bytes) {
            let parts = unverified.parts();
            let signers: Vec<_> = parts.signatures.iter().map(|(id, _)| *id).collect();
            self.known = lower::about(plan, &parts.statement, &signers, &carried.bytes);
        }
        let labels = self.document.pointer("/metadata/labels");
        let role = labels.and_then(|labels| labels.get(ROLE_LABEL)).and_then(Value::as_str);
        let Some(role) = role.filter(|role| plan.pools.iter().all(|pool| pool.as_str() != *role)) else { return };
        let pools: Vec<_> = plan.pools.iter().map(|pool| pool.as_str()).collect();
        let message = format!(
            "`{}` is for pool `{}`; stream `{}` was signed for {}",
            self.name,
            shown(role),
            plan.stream,
            crate::diag::one_of(pools)
        );
        self.diags.push(
            Diagnostic::error(Code::PoolNotPermitted, message)
                .note("the list of pools is signed, so that a bundle cannot be sent elsewhere without review")
                .help("write it anew with `nodebpf compile`; to add a pool, raise the revision and sign it again"),
        );
    }
}

const ANEW: &str = "write it anew with `nodebpf install`";
