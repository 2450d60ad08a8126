//! Refusal: what of a pool's MachineConfigs the operator does not render, or its nodes cannot write.
//!
//! In:   [`Config`]s, what they render to, a release. Out: reasons. Cannot fail.
//!
//! MCO `pkg/controller/common/helpers.go`, `ValidateMachineConfig`, `MergeMachineConfigs` (the pool becomes degraded and
//! keeps the config it has) and `DecodeIgnitionFileContents` (each node becomes degraded when it writes). The rules are
//! those of NB0512 where those are what it refuses; some are only good advice, and not looked at here.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    config::Config,
    render::{Rendered, selects},
    unit_text,
};
use crate::{
    diag::{shown, visible},
    lower::support::{self, Rule},
    platform::table::{self, Fact, NEWEST},
};

/// Kernel types besides none: `pkg/controller/common/constants.go`.
const KERNEL_TYPES: [&str; 3] = ["default", "realtime", "64k-pages"];

/// Extensions with the minor releases that have them: `SupportedExtensions` of release-4.16 to -4.22.
const EXTENSIONS: [(&str, u16, u16); 8] = [
    ("ipsec", 16, u16::MAX),
    ("kerberos", 16, u16::MAX),
    ("kernel-devel", 16, u16::MAX),
    ("sandboxed-containers", 16, u16::MAX),
    ("sysstat", 18, u16::MAX),
    ("two-node-ha", 19, u16::MAX),
    ("usbguard", 16, u16::MAX),
    ("wasm", 16, 21),
];

/// Versions of the old specification, which the operator converts.
const OLD_VERSIONS: [&str; 3] = ["2.0.0", "2.1.0", "2.2.0"];

/// First version whose modes may not have special bits; of those before it the bits are dropped.
const NO_SPECIAL_BITS: &str = "3.4.0";

/// What is, or leads, into the part of the system that no node can write. `/usr/local` is in `/var`.
const READ_ONLY: [&str; 5] = ["/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/"];

/// All reasons why the operator of a minor release, or each node, refuses what nodes of `pool` would get.
pub fn refusals(configs: &[Config], pool: &str, rendered: &Rendered, minor: u16) -> BTreeSet<String> {
    let selected = configs.iter().filter(|config| config.role.as_deref().is_some_and(|role| selects(pool, role)));
    let mut found = BTreeSet::new();
    for config in selected {
        let of_one = one(config, minor);
        found.extend(of_one.into_iter().map(|why| format!("MachineConfig `{}`: {why}", visible(&config.name))));
    }
    for (path, file) in &rendered.files {
        found.extend(content(file).map(|why| format!("`{}` {why}", visible(path))));
    }
    let kernel_devel = rendered.extensions.iter().any(|extension| extension == "kernel-devel");
    if kernel_devel && !rendered.kernel_type.is_empty() {
        found.insert(format!("extension `kernel-devel` beside kernel type `{}`", visible(&rendered.kernel_type)));
    }
    found
}

/// What is refused of one MachineConfig, whatever the others say.
fn one(config: &Config, minor: u16) -> Vec<String> {
    let mut found = Vec::new();
    if !config.kernel_type.is_empty() && !KERNEL_TYPES.contains(&config.kernel_type.as_str()) {
        found.push(format!("there is no kernel type `{}`", shown(&config.kernel_type)));
    }
    for extension in config.extensions.iter().filter_map(Value::as_str) {
        let has = |(name, from, to): &(&str, u16, u16)| *name == extension && (*from..=*to).contains(&minor);
        if !EXTENSIONS.iter().any(has) {
            found.push(format!("there is no extension `{}`", shown(extension)));
        }
    }
    // An object without Ignition config is one with kernel arguments, say.
    if !config.ignition.is_null() {
        ignition(&config.ignition, minor, &mut found);
    }
    found
}

fn ignition(ignition: &Value, minor: u16, found: &mut Vec<String>) {
    let version = ignition.pointer("/ignition/version").and_then(Value::as_str).unwrap_or_default();
    if !reads(version, newest(minor)) {
        // The same words for each release. Nothing else of it is read.
        found.push(match version {
            "" => "it has no `ignition.version`".to_owned(),
            other => format!("the operator does not read Ignition {}", shown(other)),
        });
        return;
    }
    let old = OLD_VERSIONS.contains(&version);
    for refusal in support::refusals(ignition) {
        let value = refusal.found.as_str();
        // For each rule: whether it is the operator's, or that of whoever writes good MachineConfigs.
        let refused = match refusal.rule {
            // The parser: `ign3.ParseCompatibleVersion`, with what each type of Ignition validates.
            Rule::PathUnclean => true,
            // `removeIgnDuplicateFilesUnitsUsers` keeps one of them in configs of the old specification.
            Rule::PathTwice | Rule::UnitTwice => !old,
            Rule::Compression => !matches!(value, "" | "gzip"),
            Rule::Hash => !value.is_empty() && !has_length(value),
            Rule::UnitName => !value.rsplit_once('.').is_some_and(|(_, suffix)| support::SUFFIXES.contains(&suffix)),
            Rule::Mode => version >= NO_SPECIAL_BITS && value.parse::<u64>().is_ok_and(|mode| mode > 0o777),
            // Elsewhere a node may or may not be able to write, so that it is no more than advice.
            Rule::PathReadOnly => {
                READ_ONLY.iter().any(|directory| value.starts_with(directory)) && !value.starts_with("/usr/local/")
            }
            // The first three are looked at as the operator does it: here, and `Source` in what is rendered;
            // the next three are a matter of what changes, and not of what is there; the rest is the API server's, or
            // nothing to a node that runs.
            Rule::UnitText
            | Rule::Version
            | Rule::Source
            | Rule::Section
            | Rule::PathForce
            | Rule::Append
            | Rule::Kind
            | Rule::Name
            | Rule::Labels
            | Rule::Owner
            | Rule::Overwrite
            | Rule::UnitInstall => false,
        };
        if refused {
            found.push(format!("`{}` {refusal}; it {}", refusal.at, refusal.rule.text()));
        }
    }
    for unit in items(ignition, "/systemd/units") {
        let name = unit.get("name").and_then(Value::as_str).unwrap_or_default();
        let dropins = items(unit, "/dropins");
        let dropin = |part: &Value| part.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        for (part, of) in std::iter::once((unit, String::new())).chain(dropins.map(|part| (part, dropin(part)))) {
            let text = part.get("contents").and_then(Value::as_str).unwrap_or_default();
            let place = if of.is_empty() { visible(name) } else { visible(&format!("{name}.d/{of}")) };
            if let Err(line) = unit_text::refuse(text) {
                found.push(format!("unit `{place}` has `{}`; it {}", shown(&line), Rule::UnitText.text()));
            }
        }
    }
}

/// `DecodeIgnitionFileContents`, and `File.validateOverwrite` of what is rendered, where each file overwrites.
fn content(file: &Value) -> Option<String> {
    match file.pointer("/contents/source").and_then(Value::as_str) {
        Some(source) if source.starts_with("data:") => None,
        Some(source) => Some(format!("has source `{}`; it {}", shown(source), Rule::Source.text())),
        None if file.get("append").is_some() => None,
        None => Some(format!("has no content; it {}", Rule::Source.text())),
    }
}

fn newest(minor: u16) -> &'static str {
    let release = nodeplan::applies::OcpVersion { major: NEWEST.major, minor: minor.min(NEWEST.minor) };
    let fact = table::about(release).find_map(|line| match line.fact {
        Fact::Ignition(newest) => Some(newest),
        _ => None,
    });
    fact.unwrap_or("3.0.0")
}

/// `IgnParseWrapper`: no version between those that there are, and none that is only like one.
fn reads(version: &str, newest: &str) -> bool {
    let known = matches!(version.as_bytes(), [b'3', b'.', b'0'..=b'9', b'.', b'0']) && version <= newest;
    known || OLD_VERSIONS.contains(&version)
}

/// ignition `config/v3_5/types/verification.go`: digits are not looked at, only counted.
fn has_length(hash: &str) -> bool {
    match hash.split_once('-') {
        Some(("sha512", digits)) => digits.len() == 128,
        Some(("sha256", digits)) => digits.len() == 64,
        _ => false,
    }
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}
