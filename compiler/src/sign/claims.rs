//! Claims: what an object says about itself, held against what it carries.
//!
//! In:   a MachineConfig or Ignition config of ours, its verified bundles, the trust file to judge by. Out: [`Found`].
//! May fail with: NB0501 (a pool that was not signed), NB0504 (a binary that no node runs), NB0512 (what a cluster would
//! refuse), NB0633 (metadata and payload differ, or nodes could not use it), NB0634 (a warning: another trust file, other
//! units).
//!
//! Nodes see none of the metadata. It is for people, who believe it because they cannot read base64.

use std::collections::BTreeSet;

use nodeplan::{
    bundle::{Unverified, Verified},
    digest::Sha256Digest,
    name::PoolName,
};
use serde_json::Value;

use super::{
    carrier::{self, Carried},
    piece::{self, ANEW, Piece},
};
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

/// What a document brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces of the installation.
    pub pieces: Vec<Piece>,
    /// Files of ours, for nodes of which role.
    pub placed: Vec<Placed>,
}

/// A file of ours that nodes of a role get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Role of the object.
    pub role: String,
    /// Path on the node.
    pub path: String,
    /// Name of the object, for messages.
    pub object: String,
    /// The file it is in, for messages.
    pub file: String,
    /// Digest of the content.
    pub sha256: Sha256Digest,
}

/// Looks at a document. `name` is what reports call it if it has no name of its own; `bundles` are all that it has,
/// `None` where one was refused: then nobody knows what its metadata should say.
pub fn check(
    name: &str,
    document: &Value,
    bundles: &[Option<(Carried, Verified)>],
    trust: &[u8],
    diags: &mut Diagnostics,
) -> Found {
    let own = document.pointer("/metadata/name").and_then(Value::as_str);
    let file = name;
    let name = shown(own.unwrap_or(file));
    let config = document.pointer("/spec/config").unwrap_or(document);
    let files = config.pointer("/storage/files").and_then(Value::as_array);
    let role = document.pointer("/metadata/labels").and_then(|labels| labels.get(ROLE_LABEL)).and_then(Value::as_str);
    let mut look = Look {
        name: &name,
        file,
        role,
        trust,
        diags,
        found: Found::default(),
        has_rule: false,
        known: About::default(),
    };
    for file in files.into_iter().flatten() {
        look.file(file);
    }
    look.units(config);
    look.named(own.unwrap_or_default());
    for (carried, verified) in bundles.iter().flatten() {
        look.stream(carried, verified);
    }
    let (found, known) = (look.found, look.known);
    if !found.pieces.is_empty() || !bundles.is_empty() || claims(document).next().is_some() {
        support::check(&name, document, None, diags);
        if bundles.iter().all(Option::is_some) {
            compare(&name, document, &known, diags);
        }
    }
    found
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
    file: &'a str,
    role: Option<&'a str>,
    trust: &'a [u8],
    diags: &'a mut Diagnostics,
    found: Found,
    has_rule: bool,
    /// What the metadata should say.
    known: About,
}

impl Look<'_> {
    fn file(&mut self, file: &Value) {
        let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
        let (what, mode) = match path {
            LOADER_PATH => ("loader", install::BINARY_MODE),
            DIAG_PATH => ("diag", install::BINARY_MODE),
            TRUST_PATH => ("trust", lower::DATA_MODE),
            path if path == udev_path() => ("units", lower::DATA_MODE),
            path if lower::is_bundle(path) => ("bundle", lower::DATA_MODE),
            path => return self.disguised(path),
        };
        // Ignition's own where there is none.
        let found = file.get("mode").map_or(Some(u64::from(lower::DATA_MODE)), Value::as_u64);
        if found != Some(u64::from(mode)) {
            self.mode(path, found, mode);
        }
        for who in ["user", "group"] {
            if file.get(who).is_some_and(|owner| !is_root(owner)) {
                self.unusable(&format!("`{path}` has another {who} than root"));
            }
        }
        let bytes = match carrier::content(file) {
            Ok(bytes) => bytes,
            // The carrier said so.
            Err(_) if matches!(what, "trust" | "bundle") => return,
            Err(why) => {
                let message = format!("`{}` has `{path}`, which {why}", self.name);
                self.diags.push(Diagnostic::error(Code::OtherThanItSays, message).help(ANEW));
                return;
            }
        };
        let sha256 = Sha256Digest::of(&bytes);
        if let Some(role) = self.role {
            let (role, path, object) = (role.to_owned(), path.to_owned(), self.name.to_owned());
            self.found.placed.push(Placed { role, path, object, file: self.file.to_owned(), sha256 });
        }
        match what {
            "bundle" => return,
            "loader" | "diag" => {
                let key = if what == "loader" { install::LOADER_DIGEST } else { install::DIAG_DIGEST };
                self.known.annotations.insert(key, sha256.to_string());
                self.diags.extend(install::refuse_binary(what, self.name, &bytes));
            }
            "trust" => {
                self.known.annotations.insert(install::TRUST_DIGEST, sha256.to_string());
                self.diags.extend(piece::other_trust(self.name, &bytes, self.trust));
            }
            _ => {
                self.has_rule = true;
                if unit::udev_rule().is_ok_and(|rule| rule.as_bytes() != bytes) {
                    self.other(&format!("`{path}` is not as this release writes it"));
                }
                return;
            }
        }
        self.found.pieces.push(Piece { what, sha256: Some(sha256) });
    }

    /// `/usr/local` is a link to `/var/usrlocal` on a node.
    fn disguised(&mut self, path: &str) {
        let real = carrier::normal(path).replacen("/var/usrlocal/", "/usr/local/", 1);
        if [LOADER_PATH, DIAG_PATH].contains(&real.trim_end_matches('/')) {
            self.unusable(&format!("`{}` is another spelling of a path of nodebpf", shown(path)));
        }
    }

    /// Nodes refuse what group or others can write, and run nothing that is not executable.
    fn mode(&mut self, path: &str, found: Option<u64>, ours: u32) {
        let found = found.map_or_else(|| "no number".to_owned(), |mode| format!("{mode:04o}"));
        self.unusable(&format!("`{}` has mode {found}, and must have {ours:04o}", shown(path)));
    }

    fn unusable(&mut self, what: &str) {
        let message = format!("`{}`: {what}", self.name);
        self.diags.push(
            Diagnostic::error(Code::OtherThanItSays, message)
                .note("nodes would refuse it, run nothing of it, or let others change it")
                .help(ANEW),
        );
    }

    /// Every unit of ours, as it is in this release, and no other one.
    fn units(&mut self, config: &Value) {
        let units = config.pointer("/systemd/units").and_then(Value::as_array);
        let ours = unit::units(Carrier::MachineConfig).unwrap_or_default();
        let mut names = BTreeSet::new();
        for found in units.into_iter().flatten() {
            let name = found.get("name").and_then(Value::as_str).unwrap_or_default();
            let Some(unit) = ours.iter().find(|unit| unit.name == name) else {
                if name.starts_with("nodebpf") {
                    self.other(&format!("this release has no unit `{}`", shown(name)));
                }
                continue;
            };
            names.insert(unit.name);
            let same = found.get("contents").and_then(Value::as_str) == Some(&unit.content)
                && found.get("enabled").and_then(Value::as_bool) == unit.enabled
                && found.get("mask").and_then(Value::as_bool) != Some(true)
                && found.get("dropins").is_none();
            if !same {
                self.other(&format!("unit `{name}` is not as this release writes it"));
            }
        }
        if names.is_empty() && !self.has_rule {
            return;
        }
        self.found.pieces.push(Piece { what: "units", sha256: None });
        for unit in ours.iter().filter(|unit| !names.contains(unit.name)) {
            self.other(&format!("unit `{}` is missing", unit.name));
        }
        if !self.has_rule {
            self.other(&format!("`{}` is missing", udev_path()));
        }
    }

    /// By its name alone an object can be a piece that was taken out of it.
    fn named(&mut self, name: &str) {
        let Some(role) = self.role else { return };
        let rest = name.strip_prefix("99-").and_then(|rest| rest.strip_prefix(role));
        let Some(what) = rest.and_then(|rest| rest.strip_prefix("-nodebpf-")) else { return };
        let named = ["loader", "diag", "trust", "units"].contains(&what);
        if named && !self.found.pieces.iter().any(|piece| piece.what == what) {
            self.unusable(&format!("by its name it brings `{what}`, and it does not"));
        }
    }

    fn other(&mut self, what: &str) {
        self.diags.push(piece::other(self.name, what, ANEW));
    }

    fn stream(&mut self, carried: &Carried, verified: &Verified) {
        let plan = verified.plan();
        if let Ok(unverified) = Unverified::decode(&carried.bytes) {
            let parts = unverified.parts();
            let signers: Vec<_> = parts.signatures.iter().map(|(id, _)| *id).collect();
            self.known = lower::about(plan, &parts.statement, &signers, &carried.bytes);
        }
        let Some(role) = self.role.filter(|role| plan.pools.iter().all(|pool| pool.as_str() != *role)) else { return };
        let pools: Vec<_> = plan.pools.iter().map(PoolName::as_str).collect();
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

fn is_root(owner: &Value) -> bool {
    let (id, name) = (owner.get("id"), owner.get("name"));
    id.is_none_or(|id| id.is_null() || id == 0) && name.is_none_or(|name| name.is_null() || name == "root")
}
