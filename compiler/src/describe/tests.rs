use nodeplan::plan::NodePlan;
use serde_json::Value;

use super::*;
use crate::describe::lines;

/// A plan in which every field that can be there is there.
fn everything() -> Value {
    let digest = |byte: &str| byte.repeat(32);
    serde_json::json!({
        "planVersion": "1.1", "stream": "netops-x", "owner": "netops", "revision": 3, "intent": "bug-patch",
        "reference": "OCPBUGS-1", "pools": ["edge", "worker"], "audience": ["fleet-prod"],
        "appliesTo": {"kernel": ">=5.14.0-427", "ocp": ">=4.16", "architectures": ["amd64", "arm64"]},
        "expires": "2027-03-31T00:00:00Z", "onExpiry": "detach", "onRemoval": "keep", "rollbackFloor": 2,
        "failurePolicy": "closed", "stage": "early",
        "programs": [
            {"name": "a", "object": {"sha256": digest("aa"), "sourceSha256": digest("ab")},
             "globals": {"mtu_floor": "00000578"},
             "attach": [
                {"xdp": {"interfaces": [{"name": "ens*", "exclude": ["ens3"]}], "mode": "native", "priority": 510,
                         "proceedOn": ["pass", "tx"]}},
                {"tc": {"interfaces": [{"driver": "mlx5_core"}], "direction": "ingress", "priority": 7,
                        "verdicts": ["next", "drop"], "before": "b1", "after": "b2"}},
                {"cgroup": {"path": "/kubepods.slice", "attachType": "connect4"}},
                {"tracepoint": {"category": "sched", "name": "sched_switch"}},
                {"rawTracepoint": {"name": "sched_wakeup"}},
                {"btfTracepoint": {"name": "sched_fork"}},
                {"kprobe": {"function": "tcp_connect", "offset": 16}},
                {"kretprobe": {"function": "tcp_close"}},
                {"fentry": {"function": "tcp_recvmsg"}},
                {"fexit": {"function": "tcp_sendmsg"}},
                {"lsm": {"hook": "file_open"}}
             ]},
            {"name": "b", "object": {"amd64": {"sha256": digest("ba"), "sourceSha256": digest("ba")},
                                     "arm64": {"sha256": digest("bb"), "sourceSha256": digest("bb")}}}
        ],
        "maps": {
            "entries": {"entries": (0..20).map(|n| serde_json::json!({"key": format!("{n:02x}"), "value": "02"}))
                .collect::<Vec<_>>(), "counter": "seen"},
            "ring": {"maxEntries": 4096, "consumer": "collector"},
            "slots": {"slots": [{"index": 3, "program": "b"}]},
            "state": {"persist": true}
        }
    })
}

fn read(value: &Value) -> Option<NodePlan> {
    NodePlan::parse(value.to_string().as_bytes()).ok()
}

/// Pointers to all scalars below `value`.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| leaves(value, &format!("{at}/{n}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(at.to_owned()),
    }
}

/// Other values that could stand in place of `value`.
fn others(value: &Value) -> Vec<Value> {
    let Value::String(text) = value else {
        return vec![
            Value::from(value.as_i64().unwrap_or_default() + 1),
            Value::from(1),
            Value::from(!value.as_bool().unwrap_or_default()),
        ];
    };
    let words = [
        "1.0",
        "bug-patch",
        "feature",
        "keep",
        "detach",
        "open",
        "normal",
        "native",
        "skb",
        "aborted",
        "drop",
        "redirect",
        "pass",
        "ingress",
        "egress",
        "connect6",
        "2028-03-31T00:00:00Z",
        ">=4.17",
        ">=5.14.0-1",
        "a",
        "worker",
        "/x.slice",
        "ff",
        "0000057a",
    ];
    let digest = "cd".repeat(32);
    [format!("{text}x"), format!("x{text}"), digest].iter().map(String::as_str).chain(words).map(Value::from).collect()
}

/// No field of a plan can change unseen by who signs it: each leaf is replaced by whatever the contract accepts there,
/// and each optional field is left out.
#[test]
fn every_change_of_a_plan_is_shown() {
    let whole = everything();
    let old = read(&whole).expect("the plan is sound");
    let mut pointers = Vec::new();
    leaves(&whole, "", &mut pointers);
    let mut stuck = Vec::new();
    for pointer in &pointers {
        let mut accepted = 0;
        for other in others(whole.pointer(pointer).unwrap()) {
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).unwrap() = other;
            let Some(new) = read(&changed).filter(|new| *new != old) else { continue };
            accepted += 1;
            assert!(!changes(&old, &new).is_empty(), "{pointer} changes unseen: {changed}");
            assert!(!changes(&new, &old).is_empty(), "{pointer} changes back unseen");
            assert_ne!(
                lines(&old, &Types::default()),
                lines(&new, &Types::default()),
                "{pointer} changes and is shown alike"
            );
        }
        if accepted == 0 && !pointer.starts_with("/maps/entries/entries/") {
            stuck.push(pointer.as_str());
        }
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut without = whole.clone();
        match without.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(key)),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => unreachable!("a leaf lies in an object or a list"),
        }
        if let Some(new) = read(&without).filter(|new| *new != old) {
            assert!(!changes(&old, &new).is_empty(), "{pointer} goes unseen");
        }
    }
    // These have no other value beside all the rest (defaults are left out, programs are named by slots); that they go
    // was tried above.
    let expected = [
        "/appliesTo/architectures/0",
        "/appliesTo/architectures/1",
        "/failurePolicy",
        "/maps/slots/slots/0/program",
        "/planVersion",
        "/programs/1/name",
        "/stage",
    ];
    assert_eq!(stuck, expected);
    assert_eq!(changes(&old, &old), []);
}

#[test]
fn facts_are_named_once() {
    let plan = read(&everything()).unwrap();
    let mut names: Vec<_> = facts(&plan, &Types::default()).into_iter().map(|fact| (fact.about, fact.what)).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn changes_read_like_a_sentence() {
    let old = read(&everything()).unwrap();
    let mut changed = everything();
    changed["revision"] = 4.into();
    changed["programs"][0]["attach"][0]["xdp"]["priority"] = 400.into();
    changed["maps"].as_object_mut().unwrap().remove("state");
    let new = read(&changed).unwrap();
    let text: Vec<_> = changes(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "~ stream: revision: 3 -> 4",
            "~ program a: xdp on ens* except ens3: priority 510, native mode, the next program runs after pass, tx -> \
             priority 400, native mode, the next program runs after pass, tx",
            "~ order: xdp: a (510) -> a (400)",
            "- map state",
            "- map state: kind: state: survives updates",
        ]
    );
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut changed = everything();
    changed["reference"] = "a\u{1b}[31m\nstream other".into();
    let lines = lines(&read(&changed).expect("a reference is free text"), &Types::default());
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
}
