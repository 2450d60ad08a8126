use nodeplan::{json, trust::TrustDocument};
use serde_json::Value;

use super::*;
use crate::describe::diff::trust_changes;

/// A document in which every field that can be there is there.
fn everything() -> Value {
    let key = |name: &str| {
        let pem = match name {
            "a" => include_bytes!("../../../tests/keys/TEST-ONLY-public.pem").as_slice(),
            _ => include_bytes!("../../tests/cases/err/NB0606-wrong-signer/other.pem").as_slice(),
        };
        serde_json::to_value(crate::sign::key::public_from_pem(pem).unwrap()).unwrap()
    };
    serde_json::json!({
        "format": "1.1", "version": 3, "audiences": ["fleet-prod"],
        "roots": {"keys": [key("a"), key("b")], "threshold": 2},
        "owners": {"netops": {
            "signers": {"keys": [key("a"), key("b")], "threshold": 1}, "streams": ["netops-*"],
            "hooks": {"xdp": {"band": [500, 599]}, "kprobe": {}}, "mayClose": true,
            "limits": {"programs": 3, "mapBytes": 4096}
        }},
        "reservedInterfaces": ["br-ex"], "requiredStreams": ["netops-x"], "holdSeconds": 60, "floors": {"netops-x": 3},
        "revokedKeys": ["aa".repeat(32)], "revokedBundles": ["bb".repeat(32)]
    })
}

fn read(value: &Value) -> Option<TrustDocument> {
    let document: TrustDocument = json::parse(value.to_string().as_bytes(), 1 << 20).ok()?;
    document.check().is_ok().then_some(document)
}

fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            vec![(number + 1).into(), (number - 1).into()]
        }
        Value::Bool(value) => vec![(!value).into()],
        _ => ["staging", "storage-*", "eth9", "x"]
            .into_iter()
            .map(Value::from)
            .chain([Value::from("cd".repeat(32))])
            .collect(),
    }
}

fn visit(at: &str, value: &Value, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(&format!("{at}/{key}"), value, found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| visit(&format!("{at}/{n}"), item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// No field of a trust document changes unseen by who signs it: every value is replaced by what the contract accepts
/// there, and everything that may be absent is left out.
#[test]
fn every_change_of_a_trust_document_is_shown() {
    let whole = everything();
    let old = read(&whole).expect("the document is sound");
    let mut pointers = Vec::new();
    visit("", &whole, &mut pointers);
    let mut changed = 0;
    for pointer in pointers.iter().filter(|pointer| !pointer.is_empty()) {
        let mut variants: Vec<Value> = Vec::new();
        if !whole.pointer(pointer).unwrap().is_object() && !whole.pointer(pointer).unwrap().is_array() {
            for other in others(whole.pointer(pointer).unwrap()) {
                let mut variant = whole.clone();
                *variant.pointer_mut(pointer).unwrap() = other;
                variants.push(variant);
            }
        }
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut without = whole.clone();
        match without.pointer_mut(parent).unwrap() {
            Value::Object(fields) => drop(fields.remove(key)),
            Value::Array(items) => drop(items.remove(key.parse().unwrap())),
            _ => unreachable!("a value lies in an object or a list"),
        }
        variants.push(without);
        for new in variants.iter().filter_map(read).filter(|new| *new != old) {
            changed += 1;
            assert!(!trust_changes(&old, &new).is_empty(), "{pointer} changes unseen");
            assert_ne!(lines(&old), lines(&new), "{pointer} changes and is shown alike");
        }
    }
    assert!(changed > 25, "{changed} variants were accepted");
    assert_eq!(trust_changes(&old, &old), []);
}
