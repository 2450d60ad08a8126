//! Support: what the machine config operator, Ignition or a node would refuse of an object, found before they see it.
//!
//! In:   a MachineConfig or Ignition config as it is written, parsed again. Out: [`Refusal`]s, and reports of them.
//! May fail with: NB0512.
//!
//! The API server takes any MachineConfig: what stands in it fails later, on the pool or on its nodes. `compile` and
//! `install` look at what they are about to write; `verify` looks at what others may have changed since.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::machineconfig::ROLE_LABEL;
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    source::Span,
};

/// Longest name of a Kubernetes object, in bytes: apimachinery `pkg/util/validation`, `DNS1123SubdomainMaxLength`.
const NAME_MAX_BYTES: usize = 253;

/// Suffixes of units that Ignition takes: ignition `config/v3_2/types/unit.go`, `validateName`.
pub const SUFFIXES: [&str; 12] = [
    "automount",
    "device",
    "mount",
    "path",
    "scope",
    "service",
    "slice",
    "snapshot",
    "socket",
    "swap",
    "target",
    "timer",
];

/// Ignition versions that are taken. Ours are all 3.2.0; what others merge by hand may say more.
const VERSIONS: [&str; 5] = ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0"];

/// When and how a mistake shows, in butane's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The operator cannot read it: the pool becomes degraded.
    Unparsable,
    /// The operator reads and refuses it: the pool becomes degraded.
    Forbidden,
    /// A node that runs already cannot change to it: the node becomes degraded.
    Immutable,
    /// Everybody takes it, and a node fails on it: the node becomes degraded.
    Tripwire,
}

impl Class {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unparsable => "UNPARSABLE",
            Self::Forbidden => "FORBIDDEN",
            Self::Immutable => "IMMUTABLE",
            Self::Tripwire => "TRIPWIRE",
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $class:ident, $text:literal, $source:literal;)*) => {
        /// What is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// How it shows.
            pub fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// What is allowed, in words that follow "it".
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Where the rule comes from.
            pub fn source(self) -> &'static str {
                match self { $(Self::$name => $source,)* }
            }
        }
    };
}

rules! {
    /// Not a MachineConfig of version 1.
    Kind: Unparsable, "is not a MachineConfig of machineconfiguration.openshift.io/v1",
        "openshift/api machineconfiguration/v1/types.go";
    /// A name that Kubernetes refuses.
    Name: Forbidden, "must be lower-case letters, digits, `-` and `.`, 253 bytes at most",
        "apimachinery pkg/util/validation, IsDNS1123Subdomain";
    /// No pool selects it; a set of objects with none is refused.
    Labels: Forbidden, "must have the label machineconfiguration.openshift.io/role with the name of a pool",
        "MCO pkg/controller/common/helpers.go, MergeMachineConfigs";
    /// A version that some supported release does not read.
    Version: Unparsable, "must be Ignition 3.0.0 to 3.4.0, which OpenShift 4.16 and later read",
        "MCO pkg/controller/common/helpers.go, IgnParseWrapper";
    /// Only these parts of a config change on a running node.
    Section: Immutable, "must not be there: only files, units and the user core change on a running node",
        "MCO pkg/controller/common/reconcile.go";
    /// A path with `..`, `//` or without `/`.
    PathUnclean: Unparsable, "must be an absolute path without `.`, `..`, `//` and `/` at its end",
        "ignition config/v3_2/types/path.go, validatePath";
    /// A path on a file system that is read-only on nodes.
    PathReadOnly: Tripwire, "must lie where nodes can write: /etc, /var, /usr/local, /opt, /home, /root, /srv or /mnt",
        "MCO pkg/daemon/file_writers.go writes it; RHCOS mounts /usr read-only";
    /// The path by which the daemon is told to skip its checks.
    PathForce: Forbidden, "must not be /run/machine-config-daemon-force",
        "MCO pkg/controller/common/reconcile.go";
    /// Two entries for one path.
    PathTwice: Unparsable, "must stand once", "ignition config/validate/validate.go, ErrDuplicate";
    /// Missing, or with special bits.
    Mode: Unparsable, "must be a mode of permission bits, 0 to 511 (0777)",
        "MCO refuses more in configs of 3.4 (\"cannot exceed 0777\"), and strips it silently from those of 3.2";
    /// An owner other than root.
    Owner: Tripwire, "must not be there: files belong to root, other names are looked up on each node",
        "MCO pkg/daemon/file_writers.go";
    /// Appended content.
    Append: Forbidden, "must not be there: content is replaced, never appended",
        "MCO pkg/controller/common/reconcile.go";
    /// Content that is fetched.
    Source: Tripwire, "must be a `data:` URL: nodes fetch nothing after their first boot",
        "MCO pkg/controller/common/helpers.go, DecodeIgnitionFileContents";
    /// Compression left out, or one that nobody unpacks.
    Compression: Tripwire, "must say `gzip` or \"\": left out, it is inherited from what the file overrides",
        "butane issue 332; MCO pkg/controller/common/helpers.go";
    /// A digest in another form.
    Hash: Unparsable, "must be `sha512-` or `sha256-` and as many hex digits",
        "ignition config/v3_2/types/verification.go; the operator never compares it, first boots do";
    /// Overwriting left to the default.
    Overwrite: Tripwire, "must be true: without it a first boot refuses a file that the image has",
        "ignition internal/exec/stages/files/filesystemEntries.go, removePathOnOverwrite";
    /// A unit that systemd does not know.
    UnitName: Unparsable, "must be a unit name with a suffix such as `.service`",
        "ignition config/v3_2/types/unit.go, validateName";
    /// Two entries for one unit.
    UnitTwice: Unparsable, "must stand once", "ignition config/validate/validate.go, ErrDuplicate";
    /// `enabled` on a unit that cannot be.
    UnitInstall: Tripwire, "must be there: `enabled` has no effect without it",
        "ignition config/shared/validations/unit.go, ValidateInstallSection (a warning there)";
    /// Text that is no unit.
    UnitText: Unparsable, "must be lines of `[Section]`, `Key=value` and comments",
        "ignition config/shared/parse, ParseUnitContents";
}

/// One thing that would be refused. Shown as what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What rule.
    pub rule: Rule,
    /// Where in the object, such as `spec.config.storage.files[0].mode`.
    pub at: String,
    /// What stands there; empty if nothing does.
    pub found: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self.rule, Rule::Section | Rule::Owner | Rule::Append) {
            f.write_str("is there")
        } else if self.found.is_empty() {
            f.write_str("is missing")
        } else {
            write!(f, "is `{}`", shown(&self.found))
        }
    }
}

/// Reports what would be refused of `document`, at `place` if the manifest is at hand.
pub fn check(name: &str, document: &Value, place: Option<Span>, diags: &mut Diagnostics) {
    for refusal in refusals(document) {
        let class = refusal.rule.class();
        let who = match class {
            Class::Unparsable | Class::Forbidden => "the pool would become degraded",
            Class::Immutable | Class::Tripwire => "each node would become degraded",
        };
        let message = format!("`{}` of `{}` {refusal}", refusal.at, shown(name));
        let diagnostic = Diagnostic::error(Code::Refused, message)
            .note(format!("it {}", refusal.rule.text()))
            .note(format!("MCO class {}: {who}; source: {}", class.as_str(), refusal.rule.source()))
            .help("write the object again with `nodebpf`, and leave it as it is");
        diags.push(match place {
            Some(span) => diagnostic.at(span, "made of this"),
            None => diagnostic,
        });
    }
}

/// Everything that would be refused of a MachineConfig or a plain Ignition config, in the order of the document.
pub fn refusals(document: &Value) -> Vec<Refusal> {
    let mut found = Found(Vec::new());
    if document.get("ignition").is_some() {
        config(document, "", &mut found);
        return found.0;
    }
    metadata(document, &mut found);
    match document.pointer("/spec/config") {
        Some(value) => config(value, "spec.config.", &mut found),
        None => found.push(Rule::Version, "spec.config.ignition.version", None),
    }
    found.0
}

struct Found(Vec<Refusal>);

impl Found {
    fn push(&mut self, rule: Rule, at: impl Into<String>, value: Option<&Value>) {
        let found = match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        self.0.push(Refusal { rule, at: at.into(), found });
    }

    fn unless(&mut self, holds: bool, rule: Rule, at: impl Into<String>, value: Option<&Value>) {
        if !holds {
            self.push(rule, at, value);
        }
    }
}

fn metadata(document: &Value, found: &mut Found) {
    let text = |pointer| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let ours = text("/kind") == "MachineConfig" && text("/apiVersion") == "machineconfiguration.openshift.io/v1";
    found.unless(ours, Rule::Kind, "kind", document.get("kind"));
    found.unless(is_subdomain(text("/metadata/name")), Rule::Name, "metadata.name", document.pointer("/metadata/name"));
    let role = document.pointer("/metadata/labels").and_then(|labels| labels.get(ROLE_LABEL));
    let named = role.and_then(Value::as_str).is_some_and(|role| is_subdomain(role) && role.len() <= 63);
    found.unless(named, Rule::Labels, "metadata.labels", role);
}

/// RFC 1123 labels with dots between them.
fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= NAME_MAX_BYTES && name.split('.').all(label)
}

fn config(config: &Value, prefix: &str, found: &mut Found) {
    let version = config.pointer("/ignition/version");
    let known = version.and_then(Value::as_str).is_some_and(|version| VERSIONS.contains(&version));
    found.unless(known, Rule::Version, format!("{prefix}ignition.version"), version);
    for (section, allowed) in [("storage", &["files"][..]), ("systemd", &["units"]), ("passwd", &["users"])] {
        for key in config.get(section).and_then(Value::as_object).into_iter().flat_map(|entries| entries.keys()) {
            found.unless(allowed.contains(&key.as_str()), Rule::Section, format!("{prefix}{section}.{key}"), None);
        }
    }
    found.unless(config.get("kernelArguments").is_none(), Rule::Section, format!("{prefix}kernelArguments"), None);
    let mut seen = BTreeSet::new();
    for (n, entry) in items(config, "/storage/files").enumerate() {
        file(entry, &format!("{prefix}storage.files[{n}]"), &mut seen, found);
    }
    let mut seen = BTreeSet::new();
    for (n, entry) in items(config, "/systemd/units").enumerate() {
        unit(entry, &format!("{prefix}systemd.units[{n}]"), &mut seen, found);
    }
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn file<'a>(file: &'a Value, at: &str, seen: &mut BTreeSet<&'a str>, found: &mut Found) {
    let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
    let field = |name: &str| format!("{at}.{name}");
    if is_clean(path) {
        found.unless(path != "/run/machine-config-daemon-force", Rule::PathForce, field("path"), file.get("path"));
        found.unless(is_writable(path), Rule::PathReadOnly, field("path"), file.get("path"));
    } else {
        found.push(Rule::PathUnclean, field("path"), file.get("path"));
    }
    found.unless(seen.insert(path), Rule::PathTwice, field("path"), file.get("path"));
    let mode = file.get("mode").and_then(Value::as_u64);
    found.unless(mode.is_some_and(|mode| mode <= 0o777), Rule::Mode, field("mode"), file.get("mode"));
    found.unless(
        file.get("overwrite") == Some(&Value::Bool(true)),
        Rule::Overwrite,
        field("overwrite"),
        file.get("overwrite"),
    );
    for (key, rule) in [("user", Rule::Owner), ("group", Rule::Owner), ("append", Rule::Append)] {
        found.unless(file.get(key).is_none(), rule, field(key), None);
    }
    let contents = |key| file.pointer(&format!("/contents/{key}"));
    let text = |key| contents(key).and_then(Value::as_str);
    let source = text("source").unwrap_or_default();
    found.unless(source.starts_with("data:"), Rule::Source, field("contents.source"), contents("source"));
    let compression = matches!(text("compression"), Some("" | "gzip"));
    found.unless(compression, Rule::Compression, field("contents.compression"), contents("compression"));
    let hash = text("verification/hash");
    found.unless(
        hash.is_some_and(is_hash),
        Rule::Hash,
        field("contents.verification.hash"),
        contents("verification/hash"),
    );
}

fn is_clean(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
        && !path.contains('\0')
}

/// Directories of RHCOS that can be written, or are links into such.
fn is_writable(path: &str) -> bool {
    ["/etc/", "/var/", "/usr/local/", "/opt/", "/home/", "/root/", "/srv/", "/mnt/"]
        .iter()
        .any(|directory| path.starts_with(directory))
}

fn is_hash(hash: &str) -> bool {
    let digits = match hash.split_once('-') {
        Some(("sha512", digits)) if digits.len() == 128 => digits,
        Some(("sha256", digits)) if digits.len() == 64 => digits,
        _ => return false,
    };
    digits.bytes().all(|b| b.is_ascii_hexdigit())
}

fn unit<'a>(unit: &'a Value, at: &str, seen: &mut BTreeSet<&'a str>, found: &mut Found) {
    let name = unit.get("name").and_then(Value::as_str).unwrap_or_default();
    let field = |name: &str| format!("{at}.{name}");
    let sound = name.rsplit_once('.').is_some_and(|(stem, suffix)| {
        let plain = stem.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.@\\-".contains(&b));
        !stem.is_empty() && plain && name.len() <= 255 && SUFFIXES.contains(&suffix)
    });
    found.unless(sound, Rule::UnitName, field("name"), unit.get("name"));
    found.unless(seen.insert(name), Rule::UnitTwice, field("name"), unit.get("name"));
    let Some(text) = unit.get("contents").and_then(Value::as_str) else { return };
    if let Some(line) = bad_line(text) {
        found.push(Rule::UnitText, field("contents"), Some(&Value::String(line.to_owned())));
    }
    let enabled = unit.get("enabled") == Some(&Value::Bool(true));
    found.unless(
        !enabled || text.lines().any(|line| line.trim() == "[Install]"),
        Rule::UnitInstall,
        field("contents[Install]"),
        None,
    );
}

/// The first line that is neither a section, a setting, a comment, empty nor the rest of a continued line.
fn bad_line(text: &str) -> Option<&str> {
    let (mut section, mut continued) = (false, false);
    text.lines().find(|line| {
        let trimmed = line.trim();
        let fits = if continued || trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            true
        } else if trimmed.starts_with('[') {
            section = true;
            trimmed.ends_with(']') && trimmed.len() > 2
        } else {
            section && trimmed.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty())
        };
        continued = trimmed.ends_with('\\');
        !fits
    })
}

#[cfg(test)]
mod tests;
