//! Shape: whether a MachineConfig or Ignition config is one that the cluster takes.
//!
//! In:   a document. Out: nothing, or why the API server or Ignition's parser refuses it.
//!
//! What has another type than it must have would else be passed over, as if it were not there.

use serde_json::Value;

use crate::diag::visible;

/// openshift/api `machineconfiguration/v1/types.go`, `MachineConfigSpec`.
const SPEC: [&str; 7] =
    ["config", "kernelArguments", "extensions", "fips", "kernelType", "osImageURL", "baseOSExtensionsContainerImage"];

/// Lists of Ignition whose items have a name, with the key of that name.
const NAMED: [(&str, &str); 9] = [
    ("/storage/files", "path"),
    ("/storage/directories", "path"),
    ("/storage/links", "path"),
    ("/storage/disks", "device"),
    ("/storage/filesystems", "device"),
    ("/storage/raid", "name"),
    ("/storage/luks", "name"),
    ("/systemd/units", "name"),
    ("/passwd/users", "name"),
];

/// Why `document`, a MachineConfig, would be refused.
pub fn refuse_machine_config(document: &Value) -> Result<(), String> {
    if document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().is_empty() {
        return Err("no `metadata.name`".to_owned());
    }
    if !document.pointer("/metadata/labels").is_none_or(|labels| labels.is_object() || labels.is_null()) {
        return Err("`metadata.labels`, which must be a map".to_owned());
    }
    let none = Value::Null;
    let spec = document.get("spec").unwrap_or(&none);
    map(spec, "spec")?;
    if let Some(key) =
        spec.as_object().into_iter().flatten().map(|(key, _)| key).find(|key| !SPEC.contains(&key.as_str()))
    {
        return Err(format!("`spec.{}`, which no MachineConfig has", visible(key)));
    }
    for key in ["kernelArguments", "extensions"] {
        texts(spec.get(key).unwrap_or(&none), &format!("spec.{key}"))?;
    }
    for key in ["kernelType", "osImageURL", "baseOSExtensionsContainerImage"] {
        typed(spec, key, Value::is_string, "text")?;
    }
    typed(spec, "fips", Value::is_boolean, "true or false")?;
    refuse_ignition(spec.get("config").unwrap_or(&none))
}

/// Why `config`, an Ignition config, would be refused.
pub fn refuse_ignition(config: &Value) -> Result<(), String> {
    let none = Value::Null;
    map(config, "config")?;
    for section in ["ignition", "storage", "systemd", "passwd", "kernelArguments"] {
        map(config.get(section).unwrap_or(&none), section)?;
    }
    for key in ["shouldExist", "shouldNotExist"] {
        let list = config.pointer(&format!("/kernelArguments/{key}")).unwrap_or(&none);
        texts(list, &format!("kernelArguments.{key}"))?;
    }
    for (place, key) in NAMED {
        for item in items(config.pointer(place).unwrap_or(&none), place)? {
            if item.get(key).and_then(Value::as_str).is_none() {
                return Err(format!("an item of `{}` without `{key}`", dotted(place)));
            }
            typed(item, "mode", Value::is_u64, "a number")?;
            typed(item, "contents", |contents| contents.is_object() || contents.is_string(), "text or a map")?;
            for key in ["enabled", "mask", "overwrite"] {
                typed(item, key, Value::is_boolean, "true or false")?;
            }
            for dropin in items(item.get("dropins").unwrap_or(&none), "/dropins")? {
                if dropin.get("name").and_then(Value::as_str).is_none() {
                    return Err("an item of `dropins` without `name`".to_owned());
                }
            }
        }
    }
    Ok(())
}

fn map(value: &Value, name: &str) -> Result<(), String> {
    if value.is_null() || value.is_object() { Ok(()) } else { Err(format!("`{name}`, which must be a map")) }
}

fn texts(value: &Value, name: &str) -> Result<(), String> {
    let sound = value.is_null() || value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
    if sound { Ok(()) } else { Err(format!("`{name}`, which must be a list of texts")) }
}

fn items<'a>(value: &'a Value, place: &str) -> Result<&'a [Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(format!("`{}`, which must be a list", dotted(place))),
    }
}

fn typed(item: &Value, key: &str, is: impl Fn(&Value) -> bool, what: &str) -> Result<(), String> {
    let sound = item.get(key).is_none_or(|value| value.is_null() || is(value));
    if sound { Ok(()) } else { Err(format!("`{key}`, which must be {what}")) }
}

fn dotted(place: &str) -> String {
    place.trim_start_matches('/').replace('/', ".")
}
