use serde_json::{Value, json};

use super::*;

fn plan(programs: &Value) -> NodePlan {
    let digest = "aa".repeat(32);
    let mut programs = programs.clone();
    for program in programs.as_array_mut().unwrap() {
        program["object"] = json!({"sha256": digest, "sourceSha256": digest});
    }
    let plan = json!({
        "planVersion": "1.0", "stream": "s", "owner": "o", "revision": 1, "intent": "feature", "pools": ["worker"],
        "appliesTo": {}, "onExpiry": "detach", "onRemoval": "detach", "programs": programs
    });
    let mut plan = NodePlan::parse(plan.to_string().as_bytes());
    for minor in 1..9 {
        if plan.is_ok() {
            break;
        }
        let mut value = plan_value(&programs);
        value["planVersion"] = format!("1.{minor}").into();
        plan = NodePlan::parse(value.to_string().as_bytes());
    }
    plan.unwrap()
}

fn plan_value(programs: &Value) -> Value {
    json!({
        "planVersion": "1.0", "stream": "s", "owner": "o", "revision": 1, "intent": "feature", "pools": ["worker"],
        "appliesTo": {}, "onExpiry": "detach", "onRemoval": "detach", "programs": programs
    })
}

fn xdp(name: &str, priority: u16, mode: &str) -> Value {
    json!({"xdp": {"interfaces": [{"name": name}], "mode": mode, "priority": priority, "proceedOn": ["pass"]}})
}

fn tc(name: &str, priority: u16, before: Option<&str>) -> Value {
    let mut tc =
        json!({"interfaces": [{"name": name}], "direction": "ingress", "priority": priority, "verdicts": ["next"]});
    if let Some(before) = before {
        tc["before"] = before.into();
    }
    json!({ "tc": tc })
}

#[test]
fn each_hook_has_the_class_that_the_loader_has() {
    use UpdateClass::{Atomic, Move, New, Overlap, Refused, Removed};
    let none = Value::Null;
    for (name, old, new, want) in [
        ("xdp", xdp("a", 1, "native"), xdp("a", 1, "native"), Atomic),
        ("xdp, other priority: one swap of the dispatcher", xdp("a", 1, "native"), xdp("a", 9, "native"), Atomic),
        ("xdp, other mode", xdp("a", 1, "native"), xdp("a", 1, "skb"), Refused),
        ("xdp, other interfaces", xdp("a", 1, "native"), xdp("b", 1, "native"), Move),
        ("tc", tc("a", 1, None), tc("a", 1, None), Atomic),
        ("tc, other priority: a link cannot move in a list", tc("a", 1, None), tc("a", 9, None), Overlap),
        ("tc, other anchor", tc("a", 1, None), tc("a", 1, Some("x")), Overlap),
        ("tc, other interfaces", tc("a", 1, None), tc("b", 9, None), Move),
        (
            "cgroup",
            json!({"cgroup": {"path": "/", "attachType": "connect4"}}),
            json!({"cgroup": {"path": "/", "attachType": "connect4"}}),
            Atomic,
        ),
        ("kprobe", json!({"kprobe": {"function": "f"}}), json!({"kprobe": {"function": "f"}}), Overlap),
        ("kprobe elsewhere", json!({"kprobe": {"function": "f"}}), json!({"kprobe": {"function": "g"}}), New),
        ("lsm", json!({"lsm": {"hook": "file_open"}}), json!({"lsm": {"hook": "file_open"}}), Overlap),
        ("fentry", json!({"fentry": {"function": "f"}}), json!({"fentry": {"function": "f"}}), Overlap),
        ("new", none.clone(), xdp("a", 1, "native"), New),
        ("removed", xdp("a", 1, "native"), none.clone(), Removed),
    ] {
        let side = |at: &Value| (!at.is_null()).then(|| plan(&json!([{"name": "p", "attach": [at]}])));
        let (old, new) = (side(&old), side(&new));
        let steps = steps(old.as_ref(), new.as_ref());
        assert!(steps.iter().any(|step| step.class == want), "case {name}: {steps:?}");
        let elsewhere = name.contains("elsewhere");
        assert_eq!(steps.len(), if elsewhere { 2 } else { 1 }, "case {name}: {steps:?}");
    }
}

#[test]
fn attachments_are_matched_by_program_place_and_interfaces() {
    let old = plan(&json!([
        {"name": "a", "attach": [tc("x", 1, None), tc("y", 2, None)]},
        {"name": "b", "attach": [xdp("x", 1, "native")]}
    ]));
    let new = plan(&json!([
        {"name": "a", "attach": [tc("y", 2, None), tc("z", 1, None)]},
        {"name": "c", "attach": [xdp("x", 1, "native")]}
    ]));
    let found: Vec<_> = steps(Some(&old), Some(&new))
        .into_iter()
        .map(|step| format!("{} {} on {}: {}", step.program, step.place, step.interfaces, step.class.as_str()))
        .collect();
    assert_eq!(
        found,
        ["a tc ingress on y: atomic", "a tc ingress on z: move", "b xdp on x: removed", "c xdp on x: new"]
    );
}

#[test]
fn a_stream_that_stays_when_removed_is_not_called_removed() {
    let mut old = plan(&json!([{"name": "p", "attach": [xdp("a", 1, "native")]}]));
    old.on_removal = Ending::Keep;
    let classes = |new: Option<&NodePlan>| steps(Some(&old), new).iter().map(|step| step.class).collect::<Vec<_>>();
    assert_eq!(classes(None), [UpdateClass::Kept]);
    let other = plan(&json!([{"name": "q", "attach": [xdp("a", 1, "native")]}]));
    assert_eq!(classes(Some(&other)), [UpdateClass::Removed, UpdateClass::New], "a new revision without it ends it");
}
