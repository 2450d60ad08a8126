//! MachineConfigs and Ignition configs, as far as the operator looks at them.
//!
//! In:   documents of any origin. Out: [`Config`]; `None` for what is neither.
//!
//! Values stay what they are (`serde_json::Value`): the operator compares values, not meanings.

use serde_json::Value;

use crate::lower::machineconfig::ROLE_LABEL;

/// One MachineConfig, or one Ignition config.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Name; decides the order of a merge.
    pub name: String,
    /// Pool by label; `None` for an Ignition config, which belongs to none.
    pub role: Option<String>,
    /// The Ignition config.
    pub ignition: Value,
    /// Kernel arguments.
    pub kernel_arguments: Vec<Value>,
    /// Extensions.
    pub extensions: Vec<Value>,
    /// Image of the operating system, or nothing.
    pub os_image: String,
    /// Kernel type, or nothing.
    pub kernel_type: String,
    /// FIPS mode.
    pub fips: bool,
}

impl Config {
    /// Reads a document. `name` is for Ignition configs, which have none.
    pub fn read(document: &Value, name: &str) -> Option<Self> {
        if document.get("kind").and_then(Value::as_str) == Some("MachineConfig") {
            return Some(Self::machine_config(document));
        }
        let is_ignition = document.pointer("/ignition/version").is_some();
        is_ignition.then(|| Self { name: name.to_owned(), ignition: document.clone(), ..Self::default() })
    }

    fn machine_config(document: &Value) -> Self {
        let text = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list = |path: &str| document.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
        let label = document.pointer("/metadata/labels").and_then(|labels| labels.get(ROLE_LABEL));
        Self {
            name: text("/metadata/name"),
            // Without label no pool selects it.
            role: Some(label.and_then(Value::as_str).unwrap_or_default().to_owned()),
            ignition: document.pointer("/spec/config").cloned().unwrap_or(Value::Null),
            kernel_arguments: list("/spec/kernelArguments"),
            extensions: list("/spec/extensions"),
            os_image: text("/spec/osImageURL"),
            kernel_type: text("/spec/kernelType"),
            fips: document.pointer("/spec/fips").and_then(Value::as_bool).unwrap_or_default(),
        }
    }
}
