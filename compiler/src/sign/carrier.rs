//! What carries bundles: bundle files, MachineConfigs, Ignition configs, and lists of them.
//!
//! In:   name and bytes of a file. Out: the bundles in it, each with the stream that its place says.
//! May fail with: why a file that is ours cannot be read.
//!
//! Contents are what Ignition and the machine config operator would write on a node: base64 data URL, gzip as Go reads
//! it (several members in a row), verification hash compared.

use std::{io::Read as _, path::Path};

use base64ct::{Base64, Encoding};
use flate2::read::MultiGzDecoder;
use nodeplan::{digest::to_hex, limits, name::StreamName, trust::Trust};
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::{
    diag::shown,
    lower::{BUNDLE_DIRECTORY, install::TRUST_PATH},
};

/// Everything of ours on a node lies below.
const OUR_DIRECTORY: &str = "/etc/nodebpf/";

/// A bundle and the stream its place says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Stream in the file's name; `None` if the file has another kind of name.
    pub stream: Option<String>,
    /// The bundle, not looked at.
    pub bytes: Vec<u8>,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It has something of ours, and must not be passed over.
    Ours(String),
    /// It is no kind of file that could carry a bundle, and does not speak of us.
    Foreign(String),
}

/// A part of a file that may carry bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The document; `None` if the file is a bundle.
    pub document: Option<Value>,
    /// The bundles in it.
    pub bundles: Vec<Carried>,
}

/// The bundles of a file; none, if the file has nothing of ours.
pub fn bundles(path: &Path, bytes: &[u8]) -> Result<Vec<Carried>, Unreadable> {
    Ok(parts(path, bytes)?.into_iter().flat_map(|part| part.bundles).collect())
}

/// A bundle, or each document of a file with what it carries.
pub fn parts(path: &Path, bytes: &[u8]) -> Result<Vec<Part>, Unreadable> {
    let named = path.extension().is_some_and(|extension| extension == "bundle");
    let ours = named || path.file_name().is_some_and(|name| mentions_us(name.to_string_lossy().as_bytes()));
    if bytes.is_empty() {
        let why = "is empty".to_owned();
        return Err(if ours { Unreadable::Ours(why) } else { Unreadable::Foreign(why) });
    }
    if named || is_archive(bytes) {
        let stem = path.file_stem().filter(|_| named).map(|stem| stem.to_string_lossy().into_owned());
        return Ok(vec![Part { document: None, bundles: vec![Carried { stream: stem, bytes: bytes.to_vec() }] }]);
    }
    let part = |document: Value| {
        let mut bundles = Vec::new();
        let config = document.pointer("/spec/config").unwrap_or(&document);
        for file in config.pointer("/storage/files").and_then(Value::as_array).into_iter().flatten() {
            let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
            let why = |why| Unreadable::Ours(format!("has `{}`, which {why}", shown(path)));
            bundles.extend(carried(path, file).map_err(why)?);
        }
        Ok(Part { document: Some(document), bundles })
    };
    let documents = documents(bytes).map_err(|error| match error {
        Unreadable::Foreign(why) if ours => Unreadable::Ours(why),
        error => error,
    })?;
    documents.into_iter().map(part).collect()
}

/// The JSON or YAML documents of a file, lists taken apart.
pub fn documents(bytes: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let documents: Vec<Value> = match serde_json::from_slice(bytes) {
        Ok(document) => vec![document],
        Err(_) => serde_saphyr::from_slice_multiple(bytes)
            .map_err(|_| "is neither a bundle nor a MachineConfig nor Ignition".to_owned())
            .map_err(if mentions_us(bytes) { Unreadable::Ours } else { Unreadable::Foreign })?,
    };
    Ok(documents.into_iter().flat_map(items).collect())
}

/// Whether bytes begin as a bundle does.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"statement.json\0") && bytes.get(257..262) == Some(b"ustar")
}

/// Whether a text speaks of us: all that we put on nodes has the word in its path or its metadata.
fn mentions_us(bytes: &[u8]) -> bool {
    let needle = b"nodebpf";
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// A document, or the documents of a `kind: List`.
fn items(mut document: Value) -> Vec<Value> {
    match document.get_mut("items").and_then(Value::as_array_mut) {
        Some(items) => std::mem::take(items),
        None => vec![document],
    }
}

/// The bundle of an Ignition file entry; `None` if it is for something else.
pub fn carried(path: &str, file: &Value) -> Result<Option<Carried>, String> {
    let Some(rest) = path.strip_prefix(OUR_DIRECTORY) else {
        let ours = normal(path).starts_with(OUR_DIRECTORY);
        return if ours { Err("is another spelling of a path of nodebpf".to_owned()) } else { Ok(None) };
    };
    if file.get("append").and_then(Value::as_array).is_some_and(|parts| !parts.is_empty()) {
        return Err("is appended to".to_owned());
    }
    let bytes = content(file)?;
    if path == TRUST_PATH {
        return Trust::parse(&bytes).map(|_| None).map_err(|error| format!("is not a trust file: {error}"));
    }
    if !path.starts_with(BUNDLE_DIRECTORY) {
        return Ok(None);
    }
    let name = rest.strip_prefix("bundles/").and_then(|name| name.strip_suffix(".bundle"));
    match name.filter(|name| StreamName::try_from(*name).is_ok()) {
        Some(name) => Ok(Some(Carried { stream: Some(name.to_owned()), bytes })),
        None => Err("is not named `<stream>.bundle`; nodes would not read it".to_owned()),
    }
}

/// A path as the kernel would walk it, links aside: `/etc//./x/../nodebpf/` is `/etc/nodebpf/`.
pub(super) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}/", parts.join("/"))
}

/// Content of an Ignition file entry, decompressed and compared with its verification hash.
pub fn content(file: &Value) -> Result<Vec<u8>, &'static str> {
    let contents = file.get("contents").ok_or("has no contents")?;
    let text = |key| contents.pointer(key).and_then(Value::as_str);
    let data = text("/source").and_then(|source| source.strip_prefix("data:"));
    let (_, base64) = data.and_then(|data| data.split_once(";base64,")).ok_or("has no base64 data URL")?;
    let raw = Base64::decode_vec(base64).map_err(|_| "is not base64")?;
    let bytes = match text("/compression").unwrap_or_default() {
        "" => raw,
        "gzip" => {
            let mut bytes = Vec::new();
            let max = limits::BUNDLE_MAX_BYTES as u64 + 1;
            MultiGzDecoder::new(raw.as_slice()).take(max).read_to_end(&mut bytes).map_err(|_| "is not gzip")?;
            bytes
        }
        _ => return Err("has another compression than gzip"),
    };
    let hash = format!("sha512-{}", to_hex(&Sha512::digest(&bytes)));
    match text("/verification/hash") {
        Some(wanted) if wanted != hash => Err("does not have the content its verification hash says"),
        _ => Ok(bytes),
    }
}
