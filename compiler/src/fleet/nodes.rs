//! Nodes: which there should be, and of which pool each is.
//!
//! In:   `oc get nodes -o json`. Out: pools by node.
//! May fail with: why the text is none of that (NB0551).

use std::collections::BTreeMap;

use serde_json::Value;

/// What the operator wants a node to have: `rendered-<pool>-<md5>`.
///
/// Source: MCO `pkg/daemon/constants/constants.go`, `DesiredMachineConfigAnnotationKey`; `pkg/controller/render/hash.go`.
const DESIRED: &str = "machineconfiguration.openshift.io/desiredConfig";

const ROLE: &str = "node-role.kubernetes.io/";

/// Pools by node; the empty name where none can be told.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let list: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is not JSON: {error}"))?;
    let items = list.get("items").and_then(Value::as_array).ok_or("it has no `items`")?;
    let mut nodes = BTreeMap::new();
    for item in items {
        if item.get("kind").and_then(Value::as_str).is_some_and(|kind| kind != "Node") {
            return Err("an item is not a Node".to_owned());
        }
        let name = item.pointer("/metadata/name").and_then(Value::as_str).ok_or("an item has no `metadata.name`")?;
        nodes.insert(name.to_owned(), by_config(item).or_else(|| by_role(item)).unwrap_or_default());
    }
    if nodes.is_empty() { Err("it lists no node".to_owned()) } else { Ok(nodes) }
}

fn by_config(node: &Value) -> Option<String> {
    let rendered = node.pointer("/metadata/annotations")?.get(DESIRED)?.as_str()?;
    let (pool, hash) = rendered.strip_prefix("rendered-")?.rsplit_once('-')?;
    let is_hash = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| pool.to_owned())
}

/// MCO `pkg/helpers/helpers.go`, `GetPoolsForNode`: master first, then a custom pool, then worker. Pools whose
/// `nodeSelector` is not a role are not seen here.
fn by_role(node: &Value) -> Option<String> {
    let labels = node.pointer("/metadata/labels")?.as_object()?;
    let roles: Vec<&str> = labels.keys().filter_map(|label| label.strip_prefix(ROLE)).collect();
    let has = |role: &str| roles.contains(&role);
    if has("master") || has("control-plane") {
        return Some("master".to_owned());
    }
    let mut custom = roles.iter().filter(|role| **role != "worker");
    match (custom.next(), custom.next()) {
        (Some(one), None) => Some((*one).to_owned()),
        (None, _) if has("worker") => Some("worker".to_owned()),
        // Two custom roles: the operator takes neither.
        _ => None,
    }
}
