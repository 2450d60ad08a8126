//! Changes: in what two rendered configs differ, as the machine config daemon sees it.
//!
//! In:   [`Rendered`] before and after. Out: [`Changes`]. Cannot fail.
//!
//! MCO `pkg/daemon/update.go`, `newMachineConfigDiff`; `pkg/controller/common/helpers.go`, `CalculateConfigFileDiffs` and
//! `GetChangedConfigUnitsByType`: a file or unit that came, went, or is not the same value. Equal content in another
//! encoding is another value.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::render::Rendered;
use crate::sign::carrier;

/// How something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has other values.
    Changed,
    /// Its bytes on the node are the same, written in another way; the operator acts all the same.
    Encoding,
}

/// Everything in which two rendered configs differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files by path.
    pub files: BTreeMap<String, How>,
    /// Units by name.
    pub units: BTreeMap<String, How>,
    /// SSH keys or the password of `core`.
    pub ssh: bool,
    /// `ignition` but for its version, by which new nodes go and no other.
    pub ignition: bool,
    /// Parts of the machine that need a boot whatever the policy says, in words.
    pub machine: Vec<&'static str>,
    /// Parts that a running node cannot change, in words.
    pub fixed: Vec<String>,
}

impl Changes {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares.
pub fn changes(old: &Rendered, new: &Rendered) -> Changes {
    let mut machine = Vec::new();
    for (differs, words) in [
        (old.os_image != new.os_image, "the image of the operating system"),
        (old.kernel_arguments != new.kernel_arguments, "kernel arguments"),
        (old.kernel_type != new.kernel_type, "the kernel type"),
        (old.extensions != new.extensions, "extensions"),
    ] {
        if differs {
            machine.push(words);
        }
    }
    let ssh = old.passwd != new.passwd;
    Changes {
        files: compare(&old.files, &new.files, same_content),
        units: compare(&old.units, &new.units, |_, _| false),
        ssh,
        ignition: old.ignition != new.ignition,
        machine,
        fixed: fixed(old, new),
    }
}

fn compare(
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
    same: impl Fn(&Value, &Value) -> bool,
) -> BTreeMap<String, How> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let how = |name: &String| match (old.get(name), new.get(name)) {
        (Some(was), Some(is)) if was == is => None,
        (Some(was), Some(is)) if same(was, is) => Some(How::Encoding),
        (Some(_), Some(_)) => Some(How::Changed),
        (None, _) => Some(How::Added),
        (Some(_), None) => Some(How::Removed),
    };
    names.into_iter().filter_map(|name| Some((name.clone(), how(name)?))).collect()
}

/// Whether a node would have the same bytes with the same mode and owner.
fn same_content(old: &Value, new: &Value) -> bool {
    let rest = |file: &Value| {
        let mut file = file.clone();
        if let Some(file) = file.as_object_mut() {
            file.remove("contents");
        }
        file
    };
    let bytes = |file: &Value| carrier::content(file).ok();
    rest(old) == rest(new) && bytes(old).is_some() && bytes(old) == bytes(new)
}

/// MCO `pkg/controller/common/reconcile.go`, `isConfigReconcilable`.
fn fixed(old: &Rendered, new: &Rendered) -> Vec<String> {
    let mut found = Vec::new();
    for (section, _) in super::render::FIXED {
        let (was, is) = (old.fixed.get(section), new.fixed.get(section));
        // Links may go, and not come.
        if was != is && (section != "links" || is.is_some()) {
            found.push(section.to_owned());
        }
    }
    found.extend(users(&old.passwd, &new.passwd).map(str::to_owned));
    if old.fips != new.fips {
        found.push("FIPS mode".to_owned());
    }
    let appends = |file: &&Value| file.get("append").and_then(Value::as_array).is_some_and(|parts| !parts.is_empty());
    if new.files.values().find(appends).is_some() {
        found.push("files that are appended to".to_owned());
    }
    if new.files.contains_key(FORCE) {
        found.push(FORCE.to_owned());
    }
    found
}

/// MCO `pkg/daemon/constants/constants.go`, `MachineConfigDaemonForceFile`.
const FORCE: &str = "/run/machine-config-daemon-force";

/// MCO `pkg/controller/common/reconcile.go`, `validatePasswdChanges` and `verifyUserFields`: the new users only are looked
/// at. Users may go; `core` may come or change with keys or a password, and with nothing else.
fn users(old: &Value, new: &Value) -> Option<&'static str> {
    let list = |passwd: &Value, key: &str| passwd.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    if list(old, "groups") != list(new, "groups") {
        return Some("groups");
    }
    let users = list(new, "users");
    if list(old, "users") == users {
        return None;
    }
    let is_core = |user: &Value| user.get("name").and_then(Value::as_str) == Some("core");
    if !users.iter().all(is_core) {
        return Some("users other than core");
    }
    let given = |value: &Value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty());
    let allowed = |user: &Value| {
        let has = |key: &str| user.get(key).is_some_and(given);
        let known = ["name", "sshAuthorizedKeys", "passwordHash"];
        let more =
            user.as_object().into_iter().flatten().any(|(key, value)| !known.contains(&key.as_str()) && given(value));
        (has("passwordHash") || has("sshAuthorizedKeys")) && !more
    };
    users.last().filter(|last| !allowed(last)).map(|_| "of user core anything but SSH keys and password")
}
