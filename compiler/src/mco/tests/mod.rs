//! What the operator does, case by case. Each case names where in the MCO (release-4.20 unless said) it was read.

mod nodes;
mod policies;
mod refusals;
mod rendered;
mod warnings;

use serde_json::{Value, json};

use super::{
    changes::{Changes, How, changes},
    config::Config,
    outcome::{Outcome, Rules, Verdict, predict},
    policy::{Action, Policy},
    render::{Rendered, render},
};
use crate::lower::unit::DIAG_PATH;

/// A MachineConfig with a `spec`.
fn config(name: &str, role: &str, spec: &Value) -> Config {
    let document = json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": role}},
        "spec": spec
    });
    Config::read(&document, "").unwrap()
}

fn file(path: &str, content: &str) -> Value {
    use base64ct::Encoding as _;
    let source = format!("data:;base64,{}", base64ct::Base64::encode_string(content.as_bytes()));
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source, "compression": ""}})
}

fn gzipped(path: &str, content: &str) -> Value {
    use base64ct::Encoding as _;
    let gz = crate::lower::ignition::gzip(content.as_bytes());
    let source = format!("data:;base64,{}", base64ct::Base64::encode_string(&gz));
    json!({"path": path, "mode": 420, "overwrite": true, "contents": {"source": source, "compression": "gzip"}})
}

fn unit(name: &str, content: &str) -> Value {
    json!({"name": name, "enabled": true, "contents": content})
}

fn spec(files: &[Value], units: &[Value]) -> Value {
    json!({"config": {"ignition": {"version": "3.2.0"}, "storage": {"files": files}, "systemd": {"units": units}}})
}

const BUNDLE: &str = "/etc/nodebpf/bundles/x.bundle";
const OTHER: &str = "/etc/nodebpf/bundles/y.bundle";
const LOADER: &str = "/usr/local/bin/nodebpf-loader";
const CLOSEST: &str = "pkg/controller/common/helpers.go FindClosestFilePolicyPathMatch";
const FILES: &str = "pkg/controller/common/helpers.go CalculateConfigFileDiffs";

fn policy(text: &Value) -> Policy {
    let document = json!({"kind": "MachineConfiguration", "spec": {"nodeDisruptionPolicy": text}});
    Policy::read(&document).unwrap().unwrap()
}

fn entry(key: &str, of: &str, actions: &Value) -> Value {
    json!({key: of, "actions": actions})
}

fn reload_restart() -> Value {
    json!([{"type": "DaemonReload"}, {"type": "Restart", "restart": {"serviceName": "nodebpf-apply.service"}}])
}

/// The policy that users write for us.
fn ours() -> Policy {
    policy(&json!({
        "files": [entry("path", "/etc/nodebpf", &reload_restart()), entry("path", LOADER, &reload_restart())],
        "units": [entry("name", "nodebpf-apply.service", &reload_restart())]
    }))
}

fn worker(spec: &Value) -> Rendered {
    render(&[config("99-worker-x", "worker", spec)], Some("worker"))
}

fn run(old: &Rendered, new: &Rendered, rules: &Rules) -> (Changes, Outcome) {
    let changes = changes(old, new);
    let outcome = predict(&changes, old, new, rules);
    (changes, outcome)
}
