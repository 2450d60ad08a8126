//! Resolve: paths in a manifest to bytes, digests and what the objects offer.
//!
//! In:   a raw [`Manifest`] and [`Files`]. Out: [`Resolved`].
//! May fail with: NB0201 (missing), NB0202 (leads outside), NB0203 (cannot be read), NB0204 (too large),
//! NB0112, NB0305 (architectures), NB0205 (not a BPF object).

use std::collections::BTreeMap;

use nodeplan::{applies::Architecture, digest::Sha256Digest, limits};

use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    manifest::raw::{Manifest, ObjectPath},
    object::{self, ObjectFacts},
    source::{Span, Spanned},
    suggest::nearest,
    yaml::types::{Dict, Text},
};

/// Read-only files beside a manifest. The only way to files before `cli`.
pub trait Files {
    /// All bytes of the file at `path`, which is relative, with `/`. Reads nothing of files over `max_bytes`.
    fn read(&self, path: &str, max_bytes: usize) -> Result<Vec<u8>, ReadError>;

    /// Names in the directory of `path`, for "did you mean"; none where nobody can tell.
    fn beside(&self, _path: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Why a file was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No such file.
    #[error("does not exist")]
    Missing,
    /// A link that leads out of the directory.
    #[error("leads out of the directory through a link")]
    Escapes,
    /// A directory, device or socket.
    #[error("is not a regular file")]
    NotAFile,
    /// Over the limit.
    #[error("has {size} bytes; {max} are allowed")]
    TooLarge {
        /// Bytes found.
        size: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// What the system says.
    #[error("{0}")]
    System(String),
}

/// An object of a manifest.
#[derive(Clone, Debug)]
pub struct ObjectFile {
    /// As written.
    pub path: String,
    /// Where it was written first.
    pub span: Span,
    /// Content.
    pub bytes: Vec<u8>,
    /// Digest of the content.
    pub sha256: Sha256Digest,
    /// What it offers.
    pub facts: ObjectFacts,
}

/// A manifest and its files.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// As written.
    pub manifest: Manifest,
    /// Objects by digest: two paths with equal bytes are one object.
    pub objects: BTreeMap<Sha256Digest, ObjectFile>,
    /// For each program of the manifest, in written order, its object; that of the first architecture where there is
    /// one for each.
    pub program_objects: Vec<Sha256Digest>,
    /// For each program of the manifest, in written order, its objects by architecture; none where one serves all.
    pub architectures: Vec<Vec<(Spanned<Architecture>, Sha256Digest)>>,
    /// Objects of the other architectures, by digest.
    pub others: BTreeMap<Sha256Digest, ObjectFile>,
}

/// Reads all files that `manifest` names; `None` if an error was reported.
pub fn resolve(manifest: Manifest, files: &dyn Files, diags: &mut Diagnostics) -> Option<Resolved> {
    let mut shelf = Shelf { files, by_path: BTreeMap::new(), found: BTreeMap::new() };
    let (mut program_objects, mut architectures) = (Vec::new(), Vec::new());
    for program in &manifest.spec.programs.value {
        let (first, all) = match &program.object {
            ObjectPath::One(path) => (shelf.get(path, diags), Some(Vec::new())),
            ObjectPath::PerArchitecture(paths) => {
                let all = per_architecture(paths, program.name.span, &mut shelf, diags);
                (all.as_ref().and_then(|all| Some(all.first()?.1)), all)
            }
        };
        program_objects.push(first);
        architectures.push(all);
    }
    let program_objects: Vec<_> = program_objects.into_iter().collect::<Option<_>>()?;
    let architectures = architectures.into_iter().collect::<Option<_>>()?;
    let (objects, others) = shelf.found.into_iter().partition(|(digest, _)| program_objects.contains(digest));
    Some(Resolved { manifest, objects, program_objects, architectures, others })
}

/// Objects of one program, by rising architecture.
fn per_architecture(
    paths: &Dict<Text>,
    program: Span,
    shelf: &mut Shelf<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(Spanned<Architecture>, Sha256Digest)>> {
    if paths.0.is_empty() {
        diags.push(
            Diagnostic::error(Code::EmptyList, "`object` names no architecture")
                .at(program, "of this program")
                .help("write `object: {amd64: FILE, arm64: FILE}`, or one file for all"),
        );
        return None;
    }
    let mut all = Vec::new();
    for (word, path) in &paths.0 {
        let known = [Architecture::Amd64, Architecture::Arm64].into_iter().find(|one| one.as_str() == word.value);
        if known.is_none() {
            diags.push(
                Diagnostic::error(
                    Code::UnknownWord,
                    format!("architecture `{}` is not allowed here", shown(&word.value)),
                )
                .at(word.span, "")
                .help("use `amd64` or `arm64`"),
            );
        }
        let object = shelf.get(path, diags);
        all.push(known.zip(object).map(|(known, object)| (Spanned::new(known, word.span), object)));
    }
    let mut all: Vec<_> = all.into_iter().collect::<Option<_>>()?;
    all.sort_by_key(|(architecture, _)| architecture.value);
    Some(all)
}

/// Files read so far; each is read once.
struct Shelf<'a> {
    files: &'a dyn Files,
    by_path: BTreeMap<String, Option<Sha256Digest>>,
    found: BTreeMap<Sha256Digest, ObjectFile>,
}

impl Shelf<'_> {
    fn get(&mut self, path: &Text, diags: &mut Diagnostics) -> Option<Sha256Digest> {
        if let Some(known) = self.by_path.get(&path.value) {
            return *known;
        }
        let object = read_object(path, self.files, diags);
        let digest = object.map(|object| {
            let digest = object.sha256;
            self.found.entry(digest).or_insert(object);
            digest
        });
        self.by_path.insert(path.value.clone(), digest);
        digest
    }
}

impl Resolved {
    /// All objects, of every architecture.
    pub fn all_objects(&self) -> impl Iterator<Item = &ObjectFile> {
        self.objects.values().chain(self.others.values())
    }
}

fn read_object(path: &Spanned<String>, files: &dyn Files, diags: &mut Diagnostics) -> Option<ObjectFile> {
    if let Some(why) = escape(&path.value) {
        diags.push(
            Diagnostic::error(Code::PathEscapes, format!("object path `{}` {why}", shown(&path.value)))
                .at(path.span, "must stay in the manifest's directory")
                .help("put the object beside the manifest or below it, and write the path from there"),
        );
        return None;
    }
    let bytes = files
        .read(&path.value, limits::OBJECT_MAX_BYTES)
        .map_err(|error| {
            let diagnostic = explain(&error, path, "object");
            let missing = matches!(error, ReadError::Missing);
            diags.push(diagnostic.maybe_help(missing.then(|| missing_help(&path.value, files))));
        })
        .ok()?;
    match object::read(&bytes) {
        Ok(facts) => {
            let sha256 = Sha256Digest::of(&bytes);
            Some(ObjectFile { path: path.value.clone(), span: path.span, bytes, sha256, facts })
        }
        Err(error) => {
            diags.push(
                Diagnostic::error(Code::NotAnObject, format!("object `{}` cannot be used", shown(&path.value)))
                    .at(path.span, "")
                    .note(shown_long(&error.to_string()))
                    .help("compile with `clang -g -O2 -target bpfel -c`, and strip with `llvm-strip -g` only"),
            );
            None
        }
    }
}

/// What to type about an object that is not there.
fn missing_help(path: &str, files: &dyn Files) -> String {
    let (directory, name) = path.rsplit_once('/').map_or(("", path), |(directory, name)| (directory, name));
    let names = files.beside(path);
    // `filter.o` and `filter.bpf.o` are far apart by letters.
    let stem = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let same_stem = || names.iter().find(|other| other.rsplit('.').next() == Some("o") && stem(other) == stem(name));
    let near = nearest(name, names.iter().map(String::as_str));
    if let Some(near) = near.or_else(|| same_stem().map(String::as_str)) {
        let slash = if directory.is_empty() { "" } else { "/" };
        return format!("did you mean `{}`?", shown(&format!("{directory}{slash}{near}")));
    }
    let stem = path.strip_suffix(".bpf.o").or_else(|| path.strip_suffix(".o")).unwrap_or(path);
    format!("compile it: clang -g -O2 -target bpfel -c {} -o {}", shown(&format!("{stem}.bpf.c")), shown(path))
}

/// A file that could not be read, in words.
pub(crate) fn explain(error: &ReadError, path: &Spanned<String>, what: &str) -> Diagnostic {
    let code = match error {
        ReadError::Missing => Code::FileMissing,
        ReadError::Escapes => Code::PathEscapes,
        ReadError::NotAFile | ReadError::System(_) => Code::FileUnreadable,
        ReadError::TooLarge { .. } => Code::FileTooLarge,
    };
    let diagnostic =
        Diagnostic::error(code, format!("{what} `{}` {}", shown(&path.value), verb(error))).at(path.span, "");
    match error {
        ReadError::Missing => diagnostic.note("paths start at the directory of this file"),
        _ => diagnostic,
    }
}

fn verb(error: &ReadError) -> String {
    match error {
        ReadError::System(text) => format!("cannot be read: {}", shown(text)),
        other => other.to_string(),
    }
}

/// Like [`shown`], for texts of other libraries that may be longer than a value.
fn shown_long(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

/// Why `path` is not below the manifest's directory; `None` if it is, links aside.
fn escape(path: &str) -> Option<&'static str> {
    let windows_drive = path.as_bytes().get(1) == Some(&b':');
    if path.is_empty() {
        Some("is empty")
    } else if path.chars().any(char::is_control) {
        Some("has a control character")
    } else if path.starts_with('/') || windows_drive {
        Some("is absolute")
    } else if path.contains('\\') {
        Some("has a `\\`; directories are separated by `/`")
    } else if path.split('/').any(|part| part == "..") {
        Some("has `..`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_are_taken() {
        for good in ["a.o", "./a.o", "build/a.o", "a..b/c.o", "..a"] {
            assert_eq!(escape(good), None, "case: {good}");
        }
        for bad in ["", "/etc/passwd", "../a.o", "a/../../b", "a/..", "C:/x", "a\\b", "a\0b", "a\nb"] {
            assert!(escape(bad).is_some(), "case: {bad}");
        }
    }
}
