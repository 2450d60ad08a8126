//! JSON Schemas of what nodes read and write: trust file, node plan, report.
//!
//! In:   nothing. Out: text. Cannot fail.
//!
//! Written down here and not derived: nodeplan's types are the loader's, and leave out everything that it does not need.
//! A schema may take more than nodeplan's own reader does; it never refuses what that reader takes
//! (`tests/schema.rs`).

mod plan;
mod report;
mod trust;

use nodeplan::limits;
use serde_json::{Map, Value, json};

/// The predicate of a statement: what one stream wants of one node.
pub fn node_plan() -> String {
    document("NodePlan", "node-plan-v1", plan::schema())
}

/// A `trust.json`, and as `#/$defs/document` the payload of each of its envelopes.
pub fn trust() -> String {
    document("TrustFile", "trust-v1", trust::schema())
}

/// What `nodebpf-loader` writes to its report.
pub fn report() -> String {
    document("Report", "report-v1", report::schema())
}

/// Text of a schema, indented, with a line feed at its end; `file` is its name without `.schema.json`.
fn document(title: &str, file: &str, schema: Value) -> String {
    let mut document = Map::new();
    document.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    document.insert("$id".to_owned(), format!("https://nodebpf.io/schema/{file}.schema.json").into());
    document.insert("title".to_owned(), title.into());
    if let Value::Object(schema) = schema {
        document.extend(schema);
    }
    let mut text = serde_json::to_string_pretty(&document).expect("invariant: a schema is JSON");
    text.push('\n');
    text
}

/// A field of a record.
struct Field {
    name: &'static str,
    schema: Value,
    required: bool,
}

/// A field that must be there.
fn must(name: &'static str, description: &str, schema: Value) -> Field {
    Field { name, schema: described(description, schema), required: true }
}

/// A field that may be left out.
fn may(name: &'static str, description: &str, schema: Value) -> Field {
    Field { name, schema: described(description, schema), required: false }
}

fn described(description: &str, mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}

/// An object of these fields and no others.
fn record(fields: Vec<Field>) -> Value {
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let properties: Map<_, _> = fields.into_iter().map(|field| (field.name.to_owned(), field.schema)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An object with free keys of one kind.
fn dict(keys: &Value, values: &Value) -> Value {
    json!({ "type": "object", "propertyNames": keys, "additionalProperties": values })
}

/// An object with exactly one of these keys.
fn one_key(choices: Vec<(&str, Value)>) -> Value {
    let choices: Vec<_> = choices
        .into_iter()
        .map(|(key, value)| {
            json!({
                "type": "object",
                "properties": { key: value },
                "required": [key],
                "additionalProperties": false,
            })
        })
        .collect();
    json!({ "oneOf": choices })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn not_empty(items: &Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1 })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn pattern(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

fn word(word: &str) -> Value {
    json!({ "type": "string", "const": word })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn number(min: u64, max: u64) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max })
}

fn u32_number() -> Value {
    number(0, u64::from(u32::MAX))
}

fn revision() -> Value {
    number(1, u64::from(u32::MAX))
}

fn priority() -> Value {
    number(0, u64::from(limits::PRIORITY_MAX))
}

fn format_version() -> Value {
    pattern(r"^1\.[0-9]+$")
}

fn digest() -> Value {
    pattern("^[0-9a-f]{64}$")
}

fn bounded(pattern: &str, max: usize) -> Value {
    json!({ "type": "string", "pattern": pattern, "minLength": 1, "maxLength": max })
}

fn dns_label(max: usize) -> Value {
    bounded("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max)
}

fn identifier(max: usize) -> Value {
    bounded("^[A-Za-z_][A-Za-z0-9_]*$", max)
}

fn stream_name() -> Value {
    dns_label(limits::STREAM_NAME_MAX_BYTES)
}

fn pool_name() -> Value {
    dns_label(limits::POOL_NAME_MAX_BYTES)
}

fn program_name() -> Value {
    identifier(limits::PROGRAM_NAME_MAX_BYTES)
}

fn interface_name() -> Value {
    bounded("^[!-)+-.0-9;->@-~]+$", limits::IF_NAME_MAX_BYTES)
}

fn interface_glob() -> Value {
    bounded("^[!-.0-9;-~]+$", limits::IF_NAME_MAX_BYTES * 2)
}

fn timestamp() -> Value {
    pattern(r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")
}
