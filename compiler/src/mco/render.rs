//! Render: the one config that the nodes of a pool get, out of all MachineConfigs of the pool.
//!
//! In:   [`Config`]s and a pool. Out: [`Rendered`]. Cannot fail.
//!
//! MCO `pkg/controller/common/helpers.go`, `MergeMachineConfigs`: first those of role `worker` by name, then the others by
//! name; files by path, units and drop-ins by name, field by field; the later one wins. So a custom pool's always wins
//! over worker's, whatever its name (OpenShift 4.15 and later; before, by name alone).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::config::Config;

/// Pools that do not inherit from `worker`: MCO `pkg/controller/common/constants.go`.
const NO_WORKERS: [&str; 2] = ["master", "arbiter"];

/// Name of the pool that custom pools inherit from.
pub const WORKER: &str = "worker";

/// What nodes of a pool get.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// File entries by path.
    pub files: BTreeMap<String, Value>,
    /// Unit entries by name.
    pub units: BTreeMap<String, Value>,
    /// `passwd`.
    pub passwd: Value,
    /// `ignition` but for its version: what only first boots go by.
    pub ignition: Value,
    /// Sections of Ignition that a running node cannot change, by name.
    pub fixed: BTreeMap<&'static str, Vec<Value>>,
    /// Kernel arguments of all, in order.
    pub kernel_arguments: Vec<Value>,
    /// Extensions of all, in order.
    pub extensions: Vec<Value>,
    /// The last image that one names.
    pub os_image: String,
    /// The last kernel type other than the default.
    pub kernel_type: String,
    /// Whether one asks for FIPS mode.
    pub fips: bool,
}

/// Sections that a running node cannot change, with their place in Ignition.
pub(super) const FIXED: [(&str, &str); 8] = [
    ("directories", "/storage/directories"),
    ("links", "/storage/links"),
    ("disks", "/storage/disks"),
    ("filesystems", "/storage/filesystems"),
    ("raid", "/storage/raid"),
    ("luks", "/storage/luks"),
    // Not `spec.kernelArguments`, which boots: the operator does not implement those of Ignition.
    ("kernel arguments of Ignition", "/kernelArguments/shouldExist"),
    ("kernel arguments of Ignition that are to go", "/kernelArguments/shouldNotExist"),
];

/// Whether nodes of `pool` get MachineConfigs of `role`.
pub fn selects(pool: &str, role: &str) -> bool {
    role == pool || (role == WORKER && !NO_WORKERS.contains(&pool) && !pool.is_empty())
}

/// Pools that any of `configs` is for, sorted.
pub fn pools<'a>(configs: impl IntoIterator<Item = &'a Config>) -> BTreeSet<String> {
    configs.into_iter().filter_map(|config| config.role.clone()).collect()
}

/// Merges what is for `pool`; `None` merges the Ignition configs, which are for none.
pub fn render(configs: &[Config], pool: Option<&str>) -> Rendered {
    let wanted = |config: &&Config| match (pool, &config.role) {
        (Some(pool), Some(role)) => selects(pool, role),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let mut ordered: Vec<&Config> = configs.iter().filter(wanted).collect();
    ordered.sort_by_key(|config| (config.role.as_deref() != Some(WORKER), &config.name));
    let mut rendered = Rendered::default();
    for config in ordered {
        rendered.add(config);
    }
    rendered.finish();
    rendered
}

impl Rendered {
    fn add(&mut self, config: &Config) {
        let ignition = &config.ignition;
        for mut file in list(ignition, "/storage/files") {
            // "" wins over an inherited "gzip", which a missing one would not: `ignitionMergeSetFilesDefaultCompression`.
            if let Some(contents) = file.get_mut("contents").and_then(Value::as_object_mut) {
                contents.entry("compression").and_modify(null_to_empty).or_insert_with(|| json!(""));
            }
            merge_named(&mut self.files, "path", file);
        }
        for unit in list(ignition, "/systemd/units") {
            merge_named(&mut self.units, "name", unit);
        }
        if let Some(passwd) = ignition.get("passwd") {
            merge(&mut self.passwd, passwd.clone());
        }
        if let Some(Value::Object(section)) = ignition.get("ignition") {
            let mut section = section.clone();
            // The rendered config has the operator's own.
            section.remove("version");
            merge(&mut self.ignition, Value::Object(section));
        }
        for (name, place) in FIXED {
            let items = list(ignition, place);
            if !items.is_empty() {
                self.fixed.entry(name).or_default().extend(items);
            }
        }
        self.kernel_arguments.extend(config.kernel_arguments.iter().cloned());
        self.extensions.extend(config.extensions.iter().cloned());
        if !config.os_image.is_empty() {
            self.os_image.clone_from(&config.os_image);
        }
        if !matches!(config.kernel_type.as_str(), "" | "default") {
            self.kernel_type.clone_from(&config.kernel_type);
        }
        self.fips |= config.fips;
    }

    /// What the operator fills in, and what means the same to it.
    fn finish(&mut self) {
        for entry in self.files.values_mut() {
            if let Some(file) = entry.as_object_mut() {
                if let Some(contents) = file.get_mut("contents").and_then(Value::as_object_mut)
                    && contents.get("compression").and_then(Value::as_str) == Some("")
                {
                    contents.remove("compression");
                }
                let overwrite = file.entry("overwrite").or_insert(Value::Bool(true));
                if overwrite.is_null() {
                    *overwrite = Value::Bool(true);
                }
            }
        }
        let sections = self.fixed.values_mut().flatten();
        let entries = self.files.values_mut().chain(self.units.values_mut()).chain(sections);
        for value in entries.chain([&mut self.passwd, &mut self.ignition]) {
            *value = serialised(std::mem::take(value));
        }
    }
}

fn null_to_empty(value: &mut Value) {
    if value.is_null() {
        *value = json!("");
    }
}

fn list(ignition: &Value, place: &str) -> Vec<Value> {
    ignition.pointer(place).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn merge_named(all: &mut BTreeMap<String, Value>, key: &str, item: Value) {
    let name = item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    merge(all.entry(name).or_insert(Value::Null), item);
}

/// Ignition's merge: a field that is there replaces, objects go field by field, lists by `name` or one after the other.
///
/// Source: coreos/ignition `config/merge/merge.go`.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (_, Value::Null) => {}
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for item in from {
                let twin = |other: &&mut Value| item.get("name").is_some() && other.get("name") == item.get("name");
                match into.iter_mut().find(twin) {
                    Some(same) => merge(same, item),
                    None => into.push(item),
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// A value as Go writes it again: fields that are null, an empty map or an empty list are left out, whatever map is empty
/// without them, too, and one that is nothing but that is null. An empty text stays: it is a pointer to one.
///
/// Source: coreos/ignition `config/v3_5/types/schema.go`, where each list, map and pointer is `omitempty` and maps are
/// structs, which are not nil. Items of lists stay what they are.
pub fn serialised(value: Value) -> Value {
    let value = match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key, serialised(value)));
            Value::Object(fields.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(item).collect()),
        other => other,
    };
    match &value {
        Value::Object(fields) if fields.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        _ => value,
    }
}

/// An item that has nothing in it is there all the same.
fn item(value: Value) -> Value {
    let is_map = value.is_object();
    match serialised(value) {
        Value::Null if is_map => Value::Object(Map::new()),
        other => other,
    }
}
