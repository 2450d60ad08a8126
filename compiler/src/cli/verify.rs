//! `nodebpf verify`: bundles, as a node with a given trust file would judge them.

use std::{fmt::Write as _, io::Read as _, path::Path};

use base64ct::{Base64, Encoding};
use flate2::read::GzDecoder;
use nodeplan::{
    bundle::{Refusal, Unverified, Verified},
    digest::to_hex,
    key::KeyId,
    limits,
    report::Code as LoaderCode,
    trust::TrustDocument,
};
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::{Exit, args::VerifyArgs, front, io, session::Session};
use crate::{
    diag::{Diagnostic, Diagnostics, shown},
    lower::BUNDLE_DIRECTORY,
};

/// Largest file with bundles, in bytes: base64 of some of the largest bundles.
pub(super) const FILE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A bundle and the stream its place says.
pub(super) struct Found {
    stream: Option<String>,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn run(args: &VerifyArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let Some((trust, _)) = front::read_trust(&args.trust, session)? else { return Ok(session.exit()) };
    let mut out = String::new();
    for path in &args.paths {
        let bytes = io::read_file(path, FILE_MAX_BYTES)?;
        verify_file(path, &bytes, trust.document(), &mut out, &mut session.diags);
    }
    io::print(out.as_bytes())?;
    Ok(session.exit())
}

fn verify_file(path: &Path, bytes: &[u8], trust: &TrustDocument, out: &mut String, diags: &mut Diagnostics) {
    let name = shown(&path.display().to_string());
    let found = match bundles(path, bytes) {
        Ok(found) => found,
        Err(why) => {
            diags.push(Diagnostic::error(LoaderCode::BundleDamaged, format!("`{name}` {why}")));
            return;
        }
    };
    for bundle in found {
        match open(&bundle, trust) {
            Ok(verified) => describe(&name, &verified, out),
            Err((code, why)) => diags.push(Diagnostic::error(code, format!("`{name}`: {why}"))),
        }
    }
}

fn open(bundle: &Found, trust: &TrustDocument) -> Result<Verified, (LoaderCode, String)> {
    let verified = Unverified::decode(&bundle.bytes)
        .and_then(|unverified| unverified.verify(trust))
        .map_err(|refusal: Refusal| (refusal.code(), refusal.to_string()))?;
    match &bundle.stream {
        Some(stream) if stream != verified.plan().stream.as_str() => {
            let why = format!("stream `{}` lies in the file of `{}`", verified.plan().stream, shown(stream));
            Err((LoaderCode::FileName, why))
        }
        _ => Ok(verified),
    }
}

fn describe(name: &str, verified: &Verified, out: &mut String) {
    let plan = verified.plan();
    let signers = verified.signers().iter().map(KeyId::to_string).collect::<Vec<_>>().join(",");
    let _ = writeln!(
        out,
        "{name}: stream={} revision={} owner={} statement={} signers={signers}",
        plan.stream,
        plan.revision,
        plan.owner,
        verified.statement_digest()
    );
}

/// The bundles of a file: itself, or those inside a MachineConfig or Ignition config.
pub(super) fn bundles(path: &Path, bytes: &[u8]) -> Result<Vec<Found>, String> {
    if bytes.get(257..262) == Some(b"ustar") || path.extension().is_some_and(|extension| extension == "bundle") {
        let stem = path.file_stem().filter(|_| path.extension().is_some_and(|extension| extension == "bundle"));
        return Ok(vec![Found { stream: stem.map(|stem| stem.to_string_lossy().into_owned()), bytes: bytes.to_vec() }]);
    }
    let documents: Vec<Value> = match serde_json::from_slice(bytes) {
        Ok(document) => vec![document],
        Err(_) => serde_saphyr::from_slice_multiple(bytes)
            .map_err(|_| "is neither a bundle nor a MachineConfig nor Ignition".to_owned())?,
    };
    let mut found = Vec::new();
    for document in &documents {
        let config = document.pointer("/spec/config").unwrap_or(document);
        for file in config.pointer("/storage/files").and_then(Value::as_array).into_iter().flatten() {
            let path = file.get("path").and_then(Value::as_str).unwrap_or_default();
            let name = path.strip_prefix(BUNDLE_DIRECTORY).and_then(|rest| rest.strip_prefix('/'));
            if let Some(name) = name {
                let bytes = content(file).map_err(|why| format!("has `{}`, which {why}", shown(path)))?;
                found.push(Found { stream: Some(name.trim_end_matches(".bundle").to_owned()), bytes });
            }
        }
    }
    if found.is_empty() { Err(format!("has no file below {BUNDLE_DIRECTORY}")) } else { Ok(found) }
}

/// Content of an Ignition file entry, decompressed and compared with its verification hash.
fn content(file: &Value) -> Result<Vec<u8>, &'static str> {
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
            GzDecoder::new(raw.as_slice()).take(max).read_to_end(&mut bytes).map_err(|_| "is not gzip")?;
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
