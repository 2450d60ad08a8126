//! Schemas against documents and against the readers: whatever nodeplan's own reader takes, the schema takes.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use jsonschema::Validator;
use nodebpf::{lock::Lock, manifest, policy, schema, yaml};
use nodeplan::{json, plan::NodePlan, report::Report, trust::TrustDocument};
use serde_json::{Value, json};
use support::{MANIFEST, cases, crate_dir, name, project, succeed};

const MAX: usize = 1 << 20;

fn value(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::validator_for(schema).unwrap()
}

/// A plan that says everything a plan can say.
fn whole_plan() -> Value {
    let sha = "ab".repeat(32);
    let object = json!({ "sha256": sha, "sourceSha256": sha });
    let interfaces = json!([
        { "name": "ens*", "exclude": ["ens3", "ens4"] }, { "primary": true }, { "driver": "mlx5_core" },
        { "mac": "52:54:00:12:34:56" }, { "membersOf": "bond0" },
    ]);
    json!({
        "planVersion": "1.1", "stream": "netops-x", "owner": "netops", "revision": 3, "intent": "bug-patch",
        "reference": "OCPBUGS-1", "pools": ["edge", "worker"], "audience": ["prod"],
        "appliesTo": { "kernel": ">=5.14.0-427", "ocp": ">=4.16 <4.20", "architectures": ["amd64", "arm64"] },
        "expires": "2027-03-31T00:00:00Z", "onExpiry": "detach", "onRemoval": "keep", "rollbackFloor": 2,
        "failurePolicy": "closed",
        "programs": [
            { "name": "a", "object": { "amd64": object, "arm64": object }, "globals": { "mtu": "dc05" }, "attach": [
                { "xdp": { "interfaces": interfaces, "mode": "native", "priority": 510, "proceedOn": ["drop", "pass"] } },
                { "tc": { "interfaces": interfaces, "direction": "egress", "priority": 0, "verdicts": ["next", "drop"],
                    "before": "cil_to_netdev", "after": "other" } },
                { "cgroup": { "path": "/kubepods.slice/x", "attachType": "connect4" } },
                { "tracepoint": { "category": "sched", "name": "sched_switch" } },
                { "rawTracepoint": { "name": "sys_enter" } }, { "btfTracepoint": { "name": "sys_enter" } },
                { "kprobe": { "function": "tcp_connect.isra.0", "offset": 16 } },
                { "kretprobe": { "function": "tcp_connect" } }, { "fentry": { "function": "tcp_connect" } },
                { "fexit": { "function": "tcp_connect" } }, { "lsm": { "hook": "file_open" } },
            ] },
            { "name": "b", "object": object },
        ],
        "maps": {
            "config": { "entries": [{ "key": "01", "value": "0203" }, { "key": "02", "value": "0203" }] },
            "flows": { "persist": true, "maxEntries": 4096, "counter": "flows" },
            "jumps": { "slots": [{ "index": 1, "program": "b" }] },
            "ring": { "consumer": "the collector" },
        },
    })
}

fn whole_report() -> Value {
    let reason = json!({ "code": "NB1301", "message": "no interface `ens9`" });
    json!({
        "reportVersion": "1.1", "loader": "0.1.0", "kernel": "5.14.0-570.el9.x86_64",
        "trust": { "version": 3, "anchor": "rootSigned", "reason": reason }, "problems": [reason],
        "streams": [{
            "stream": "netops-x", "state": "pending", "reason": reason, "owner": "netops", "revision": 3,
            "intent": "security", "statement": "ab".repeat(32),
            "attachments": [{ "hook": "xdp", "place": "xdp", "program": "p", "programId": 7, "interface": "ens3", "ifindex": 2,
                "mode": "skb", "priority": 510, "attached": true }],
            "counters": { "dropped": 12 },
        }],
    })
}

/// A trust document with everything, as `trust build` makes it, and the file it is in.
fn whole_trust() -> (Value, Value) {
    let directory = project();
    let policy = r#"apiVersion: nodebpf.io/v1alpha1
kind: BpfPolicy
metadata: {name: fleet}
spec:
  version: 1
  audiences: [fleet-prod]
  roots: {keys: [public.pem]}
  reservedInterfaces: [br-ex]
  floors: {netops-a: 2}
  revokedKeys: ["KEY"]
  revokedBundles: ["KEY"]
  owners:
    - name: netops
      keys: [public.pem]
      streams: ["netops-*", "net?"]
      hooks: {xdp: {band: [500, 599]}, tc: {band: [1, 2]}, cgroup: {}, lsm: {}}
      mayClose: true
      limits: {programs: 4, mapBytes: 16Mi}
"#;
    fs::write(directory.path().join("policy.yaml"), policy.replace("KEY", &"ab".repeat(32))).unwrap();
    succeed(directory.path(), "trust build policy.yaml --root-key key.pem -o trust.json");
    let file: Value = serde_json::from_slice(&fs::read(directory.path().join("trust.json")).unwrap()).unwrap();
    let payload = file["chain"][0]["payload"].as_str().unwrap();
    let payload = <base64ct::Base64 as base64ct::Encoding>::decode_vec(payload).unwrap();
    (serde_json::from_slice(&payload).unwrap(), file)
}

/// Values to put where others were.
fn others() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(1001),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("1.0"),
        json!("1.9"),
        json!("A b"),
        json!("*"),
        json!("early"),
        json!("normal"),
        json!("ab".repeat(32)),
        json!("a".repeat(200)),
        json!("/"),
        json!("2027-13-01T00:00:00Z"),
        json!([]),
        json!([1]),
        json!(["a", "a"]),
        json!(["b", "a"]),
        json!({}),
        json!({ "name": "a" }),
    ]
}

/// All pointers into `value`, the root's first.
fn pointers(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), all));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| pointers(field, &format!("{at}/{key}"), all));
        }
        _ => {}
    }
}

/// Every document that is one change away.
fn mutations(document: &Value) -> Vec<Value> {
    let (mut all, mut out) = (Vec::new(), Vec::new());
    pointers(document, "", &mut all);
    for at in &all {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut copy = document.clone();
            change(copy.pointer_mut(at).unwrap());
            copy
        };
        out.extend(others().iter().map(|other| changed(&|value| *value = other.clone())));
        match document.pointer(at).unwrap() {
            Value::Object(fields) => {
                for key in fields.keys() {
                    out.push(changed(&|value| drop(value.as_object_mut().unwrap().remove(key))));
                }
                out.push(changed(&|value| drop(value.as_object_mut().unwrap().insert("unknown".to_owned(), json!(1)))));
            }
            Value::Array(items) => {
                out.push(changed(&|value| value.as_array_mut().unwrap().reverse()));
                if let Some(first) = items.first() {
                    out.push(changed(&|value| value.as_array_mut().unwrap().push(first.clone())));
                }
            }
            _ => {}
        }
    }
    out
}

/// `takes` is the reader: the schema must take all that it takes, and refuse some of what it refuses.
fn compare(name: &str, schema: &Value, document: &Value, takes: &dyn Fn(&[u8]) -> Result<(), String>) {
    let validator = validator(schema);
    let read = |document: &Value| takes(&serde_json::to_vec(document).unwrap());
    read(document).unwrap_or_else(|error| panic!("{name}: {error}"));
    validator.validate(document).unwrap_or_else(|error| panic!("{name}: {error} at {}", error.instance_path()));
    let (mut both, mut neither) = (0, 0);
    for mutated in mutations(document) {
        match (read(&mutated).is_ok(), validator.is_valid(&mutated)) {
            (true, true) => both += 1,
            (false, false) => neither += 1,
            (false, true) => {}
            (true, false) => {
                let error = validator.validate(&mutated).unwrap_err();
                panic!("{name}: the reader takes it, the schema says: {error} at {}\n{mutated}", error.instance_path());
            }
        }
    }
    assert!(both > 10 && neither > 100, "{name}: {both} taken by both, {neither} by neither");
}

#[test]
fn node_plans() {
    let schema = value(&schema::node_plan());
    let takes = |bytes: &[u8]| NodePlan::parse(bytes).map(|_| ()).map_err(|error| error.to_string());
    compare("everything", &schema, &whole_plan(), &takes);
    let mut golden = 0;
    for case in cases("ok") {
        let statement: Value = serde_json::from_slice(&fs::read(case.join("statement.json")).unwrap()).unwrap();
        compare(&name(&case), &schema, &statement["predicate"], &takes);
        golden += 1;
    }
    assert!(golden > 0);
}

#[test]
fn trust_files() {
    let (document, file) = whole_trust();
    let schema = value(&schema::trust());
    let takes = |bytes: &[u8]| {
        let document: TrustDocument = json::parse(bytes, MAX).map_err(|error| error.to_string())?;
        document.check().map_err(|error| error.to_string())
    };
    compare("document", &schema["$defs"]["document"], &document, &takes);
    let takes = |bytes: &[u8]| {
        let bytes = [bytes, b"\n"].concat();
        nodeplan::trust::Trust::parse(&bytes).map(|_| ()).map_err(|error| error.to_string())
    };
    let validator = validator(&schema);
    assert!(validator.is_valid(&file));
    for mutated in mutations(&file) {
        let taken = takes(&serde_json::to_vec(&mutated).unwrap()).is_ok();
        assert!(!taken || validator.is_valid(&mutated), "{mutated}");
    }
}

#[test]
fn reports() {
    let takes = |bytes: &[u8]| json::parse::<Report>(bytes, MAX).map(|_| ()).map_err(|error| error.to_string());
    compare("report", &value(&schema::report()), &whole_report(), &takes);
}

/// Manifests and policies of the golden cases that are sound, by the schemas for editors.
#[test]
fn what_people_write() {
    let manifests = validator(&value(&yaml::schema::of::<manifest::raw::Manifest>("BpfManifest", "m")));
    let policies = validator(&value(&yaml::schema::of::<policy::raw::Policy>("BpfPolicy", "p")));
    let read = |path: &std::path::Path| -> Option<Value> { serde_saphyr::from_slice(&fs::read(path).ok()?).ok() };
    let mut seen = 0;
    for case in cases("err").iter().filter(|case| name(case).as_str() > "NB033" && name(case).as_str() < "NB05") {
        for entry in fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()) {
            let Some(document) = read(&entry) else { continue };
            let validator = match document["kind"].as_str() {
                Some("BpfManifest") => &manifests,
                Some("BpfPolicy") => &policies,
                _ => continue,
            };
            let bad_on_purpose =
                ["NB0341", "NB0343", "NB0345", "NB0396", "NB0404"].iter().any(|code| name(case).starts_with(code));
            let result = validator.validate(&document);
            assert!(result.is_ok() || bad_on_purpose, "{}: {}", entry.display(), result.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} documents");
    assert!(!manifests.is_valid(&json!({ "kind": "BpfManifest" })));
}

#[test]
fn locks() {
    let directory = project();
    let second = MANIFEST.replace("netops-frag", "netops-two").replace("510", "520");
    fs::write(directory.path().join("two.yaml"), second).unwrap();
    succeed(directory.path(), "lock bpf.yaml two.yaml --policy policy.yaml");
    let document: Value = serde_saphyr::from_slice(&fs::read(directory.path().join("bpf.lock.yaml")).unwrap()).unwrap();
    let validator = validator(&value(&yaml::schema::of::<Lock>("BpfLock", "l")));
    validator.validate(&document).unwrap();
    // The reader is YAML's, to which 1 is text as well: what it takes of mutated locks says nothing.
    let refused = mutations(&document).iter().filter(|mutated| !validator.is_valid(mutated)).count();
    assert!(refused > 500, "{refused} refused");
}

/// What is checked in is what this compiler prints.
#[test]
fn schemas_are_checked_in() {
    for (file, text) in
        [("node-plan-v1", schema::node_plan()), ("trust-v1", schema::trust()), ("report-v1", schema::report())]
    {
        let path = crate_dir().parent().unwrap().join(format!("schema/{file}.schema.json"));
        assert_eq!(fs::read_to_string(path).unwrap(), text, "{file}: type `cargo xtask generate`");
    }
}
