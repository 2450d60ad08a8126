//! JSON Schemas of raw types, for editors.
//!
//! In:   a raw type. Out: text. Cannot fail.

use schemars::JsonSchema;

/// JSON Schema of `T`, draft 2020-12, indented, with a line feed at its end; `file` is its name without `.schema.json`.
pub fn of<T: JsonSchema>(title: &str, file: &str) -> String {
    let mut schema = schemars::schema_for!(T);
    schema.insert("$id".to_owned(), format!("https://nodebpf.io/schema/{file}.schema.json").into());
    schema.insert("title".to_owned(), title.into());
    without_null(schema.ensure_object());
    let mut text = serde_json::to_string_pretty(&schema).expect("invariant: a schema is JSON");
    text.push('\n');
    text
}

/// Optional keys may be left out; written without a value they are refused. schemars lets them be null.
fn without_null(object: &mut serde_json::Map<String, serde_json::Value>) {
    use serde_json::Value;
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = object.get("anyOf")
        && let [choice, null] = choices.as_slice()
        && null.get("type").is_some_and(|name| name == "null")
        && let Some(choice) = choice.as_object().cloned()
    {
        object.remove("anyOf");
        object.extend(choice);
    }
    object.values_mut().for_each(|value| match value {
        Value::Object(inner) => without_null(inner),
        Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(without_null),
        _ => {}
    });
}
