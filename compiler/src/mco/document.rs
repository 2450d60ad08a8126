//! Documents: YAML and JSON, read as Kubernetes reads them.
//!
//! In:   bytes of a file. Out: its objects, lists taken apart.
//! May fail with: why they are no documents.
//!
//! `oc` reads YAML 1.1: `mode: 0644` is 420 to it, and a key that is there twice is an error.

use serde_json::Value;

use crate::diag::visible;

/// The objects of a file. Lists such as `oc get -o yaml` prints are taken apart, empty documents left out.
pub fn documents(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let documents = match serde_json::from_slice(bytes) {
        Ok(document) => vec![document],
        Err(_) => yaml(bytes)?,
    };
    let mut found = Vec::new();
    for document in documents {
        take_apart(document, &mut found);
    }
    if found.iter().any(Value::is_string) {
        return Err("is neither a bundle nor an object, but text".to_owned());
    }
    Ok(found)
}

fn yaml(bytes: &[u8]) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_slice_multiple_with_options(bytes, options).map_err(|error| {
        let why = error.to_string();
        let why = why.lines().next().unwrap_or_default();
        format!("is neither a bundle nor YAML nor JSON: {}", visible(why))
    })
}

fn take_apart(mut document: Value, found: &mut Vec<Value>) {
    if let Some(items) = document.get_mut("items").and_then(Value::as_array_mut) {
        for item in std::mem::take(items) {
            take_apart(item, found);
        }
    } else if !document.is_null() {
        found.push(document);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_those_of_kubernetes() {
        let cases = [
            ("mode: 0644", json!([{"mode": 420}])),
            ("mode: 0o644", json!([{"mode": 420}])),
            ("mode: 420", json!([{"mode": 420}])),
            ("mode: \"0644\"", json!([{"mode": "0644"}])),
            ("enabled: yes", json!([{"enabled": true}])),
            ("enabled: \"yes\"", json!([{"enabled": "yes"}])),
            ("{\"mode\": 420}", json!([{"mode": 420}])),
            ("a: 1\n---\n---\nb: 2", json!([{"a": 1}, {"b": 2}])),
            ("kind: List\nitems: [{a: 1}, {kind: List, items: [{b: 2}]}]", json!([{"a": 1}, {"b": 2}])),
            ("# nothing\n", json!([])),
            ("", json!([])),
        ];
        for (text, want) in cases {
            assert_eq!(documents(text.as_bytes()).map(Value::from), Ok(want), "case: {text}");
        }
    }

    #[test]
    fn what_kubernetes_does_not_read_is_an_error() {
        for text in [
            "kernelArguments: [a]\nkernelArguments: [nosmt]",
            "kernelArguments: [{{ .Values.x }}]",
            "{{- if .Values.on }}\na: 1\n{{- end }}",
            "a: 1\n<<<<<<< HEAD\n",
            "<<<<<<< HEAD",
            "a: \"",
            "{\"a\": 1",
        ] {
            assert!(documents(text.as_bytes()).is_err(), "case: {text}");
        }
    }
}
