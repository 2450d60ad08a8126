//! The folder of signatures beside a manifest: reading and writing it.
//!
//! In:   paths. Out: files for [`crate::sign::store`], which judges them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nodeplan::{
    digest::Sha256Digest,
    key::{KeyId, PublicKey},
    limits,
    name::StreamName,
    sorted::SortedMap,
    trust::TrustDocument,
};

use super::{args::CompileArgs, front::Front, io, session::Session, write};
use crate::{
    diag::{Code, Diagnostic},
    emit::OutputFile,
    sign::store::{self, Earlier, StoredFile},
};

/// The folder of all streams: given, or beside `subject`.
pub(super) fn root(given: Option<&Path>, subject: &Path) -> PathBuf {
    given.map_or_else(|| subject.parent().unwrap_or(Path::new("")).join(store::FOLDER), Path::to_path_buf)
}

/// Signatures that `compile` assembles: those beside the manifest that count.
pub(super) fn stored(
    args: &CompileArgs,
    front: &Front,
    statement: &[u8],
    rules: Option<&TrustDocument>,
    session: &mut Session,
) -> anyhow::Result<SortedMap<KeyId, Vec<u8>>> {
    let root = root(args.signatures.as_deref(), &front.path);
    let folder = folder(&root, &front.plan.stream, Sha256Digest::of(statement));
    let files = read(&folder)?;
    let Some(rules) = rules else {
        if files.iter().any(|file| store::key_of(&file.name).is_some()) {
            session.diags.push(no_rules(&folder, args.keys.is_empty()));
        }
        return Ok(SortedMap::new());
    };
    Ok(store::load(&files, statement, &front.plan.owner, rules, &mut session.diags))
}

/// An error if these signatures were all there is.
fn no_rules(folder: &Path, needed: bool) -> Diagnostic {
    let message = format!("nothing says whose signatures in `{}` count", folder.display());
    let diagnostic = if needed { Diagnostic::error } else { Diagnostic::warning }(Code::NoRules, message.as_str());
    diagnostic.note("they are left out of the bundle").help("give `--policy policy.yaml` or `--trust trust.json`")
}

/// Folder of one statement.
pub(super) fn folder(root: &Path, stream: &StreamName, digest: Sha256Digest) -> PathBuf {
    root.join(stream.as_str()).join(digest.to_string())
}

/// Files of a folder, sorted by name; none if there is no such folder.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Editors and version control leave hidden files; a signature is not hidden.
        if name.starts_with('.') {
            continue;
        }
        let bytes = if path.is_file() { io::read_file(&path, limits::STATEMENT_MAX_BYTES)? } else { Vec::new() };
        files.push(StoredFile { path: path.display().to_string(), name, bytes });
    }
    Ok(files)
}

/// What was signed of `stream` before, other than `digest`.
pub(super) fn earlier(
    root: &Path,
    stream: &StreamName,
    digest: Sha256Digest,
    keys: &[&PublicKey],
    session: &mut Session,
) -> anyhow::Result<Vec<Earlier>> {
    let mut found = Vec::new();
    for path in entries(&root.join(stream.as_str()))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Ok(other) = Sha256Digest::try_from(name.as_str()) else { continue };
        if other != digest {
            found.extend(store::earlier(other, &read(&path)?, keys, &mut session.diags));
        }
    }
    Ok(found)
}

/// Adds signatures, and the statement they are about, to a folder. Files that are there and equal stay untouched.
pub(super) fn write(folder: &Path, statement: &[u8], signatures: &SortedMap<KeyId, Vec<u8>>) -> anyhow::Result<()> {
    let mut files = vec![OutputFile { name: store::STATEMENT_FILE.to_owned(), bytes: statement.to_vec() }];
    files.extend(signatures.iter().map(|(id, bytes)| OutputFile { name: store::file_name(*id), bytes: bytes.clone() }));
    let present = read(folder)?;
    files.retain(|new| !present.iter().any(|old| old.name == new.name && old.bytes == new.bytes));
    if files.is_empty() { Ok(()) } else { write::all_or_none(folder, &files) }
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("reading `{}`", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(context),
    };
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(context)?;
    paths.sort();
    Ok(paths)
}
