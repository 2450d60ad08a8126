//! Schema of a trust file: [`nodeplan::trust`].

use nodeplan::{dsse, hook::Hook, limits, trust::HOLD_SECONDS_MAX};
use serde_json::{Value, json};

use super::{
    bounded, dict, digest, flag, format_version, interface_glob, list, may, must, not_empty, number, pool_name,
    priority, record, revision, stream_name, u32_number, word, words,
};

pub(super) fn schema() -> Value {
    let signature = record(vec![
        must("keyid", "SHA-256 of the public key's SubjectPublicKeyInfo.", digest()),
        must("sig", "DER ECDSA P-256 over the DSSE PAE, in base64.", base64()),
    ]);
    let payload = json!({
        "type": "string",
        "contentEncoding": "base64",
        "contentMediaType": "application/json",
        "contentSchema": { "$ref": "#/$defs/document" },
    });
    let envelope = record(vec![
        must("payloadType", "What the payload is.", word(dsse::TRUST_TYPE)),
        must("payload", "The exact bytes that are signed.", payload),
        must("signatures", "Sorted by key.", list(&signature)),
    ]);
    let mut schema = record(vec![must("chain", "Versions, oldest first; the newest rules.", not_empty(&envelope))]);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$defs".to_owned(), json!({ "document": document() }));
    }
    schema
}

fn base64() -> Value {
    json!({ "type": "string", "contentEncoding": "base64" })
}

fn document() -> Value {
    record(vec![
        must("format", "Version of this structure.", format_version()),
        must("version", "Rises with every change.", number(0, u64::MAX)),
        may("audiences", "What these nodes are.", list(&pool_name())),
        may("roots", "Who may write the next version.", key_set()),
        may("owners", "Owners by name.", dict(&stream_name(), &owner())),
        may("reservedInterfaces", "Interfaces that no stream may name.", list(&interface_glob())),
        may("requiredStreams", "Streams for which kubelet waits.", list(&stream_name())),
        may("holdSeconds", "Most seconds that it waits; 300 if absent.", number(1, u64::from(HOLD_SECONDS_MAX))),
        may("floors", "Lowest revision of streams.", dict(&stream_name(), &revision())),
        may("revokedKeys", "Keys that count no more.", list(&digest())),
        may("revokedBundles", "Statements that are refused.", list(&digest())),
    ])
}

fn key_set() -> Value {
    let key = record(vec![
        must("algorithm", "Of the signatures.", words(["ecdsa-p256-sha256"])),
        must("publicKey", "SubjectPublicKeyInfo in DER, in base64.", base64()),
    ]);
    record(vec![
        must("keys", "Each once.", not_empty(&key)),
        must("threshold", "Distinct keys that must have signed.", number(1, u64::MAX)),
    ])
}

fn owner() -> Value {
    let glob = bounded("^[a-z0-9*?-]+$", limits::STREAM_NAME_MAX_BYTES);
    let band = json!({ "type": "array", "items": priority(), "minItems": 2, "maxItems": 2 });
    let rule = record(vec![may("band", "First and last priority, on hooks that have priorities.", band)]);
    let bounds = record(vec![
        may("programs", "Most programs.", u32_number()),
        may("mapBytes", "Most memory of all maps.", number(0, u64::MAX)),
    ]);
    record(vec![
        must("signers", "Who signs for the owner.", key_set()),
        may("streams", "Stream names that belong to the owner, with `*` and `?`.", list(&glob)),
        may("hooks", "Hooks the owner may use.", dict(&words(Hook::ALL.map(Hook::as_str)), &rule)),
        may("mayClose", "Whether its streams may hold back kubelet.", flag()),
        may("limits", "Bounds of each of its streams.", bounds),
    ])
}
