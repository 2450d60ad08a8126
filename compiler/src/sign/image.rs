//! Image: the pieces of an installation in a tree, as `install --format tree` writes it.
//!
//! In:   files and links of ours below a `rootfs/`, the trust file to judge by. Out: [`Found`].
//! May fail with: NB0504 (a binary that no node runs), NB0633 (nodes could not use it), NB0634 (a warning: another trust
//! file, other units).
//!
//! What an image has is what the tree has, modes and links with it.

use std::{collections::BTreeMap, path::Path};

use nodeplan::{digest::Sha256Digest, trust::Trust};

use super::piece::{self, ANEW, Piece};
use crate::{
    diag::{Code, Diagnostic, Diagnostics, shown},
    lower::{
        self,
        install::{self, TRUST_PATH},
        tree::{self, ANCHOR_PATH, Node, ROOT},
        unit::{self, Carrier, IMAGE_DIAG_PATH, IMAGE_LOADER_PATH},
    },
};

/// Something of ours in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path on the node.
    pub path: String,
    /// Path as messages show it.
    pub shown: String,
    /// What it is; the mode of a file is all ones where nobody can tell.
    pub node: Node,
}

/// Mode of a file on a system that has none.
pub const NO_MODE: u32 = u32::MAX;

/// What a tree brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces of the installation, each with the file it is in; units with the tree.
    pub pieces: Vec<(String, Piece)>,
    /// Trust files that are none, and why.
    pub refused: Vec<(String, String)>,
}

/// Path on the node of something in a tree; `None` if it lies in none. The tree's root comes first.
pub fn place(path: &Path) -> Option<(&Path, String)> {
    let root = path.ancestors().find(|above| above.file_name().is_some_and(|name| name == ROOT))?;
    let below = path.strip_prefix(root).ok()?;
    Some((root, format!("/{}", below.to_str()?.replace('\\', "/"))))
}

/// Whether a path on the node is one that [`check`] judges.
pub fn is_ours(path: &str) -> bool {
    let started = ["/systemd/", "/udev/"].iter().any(|folder| path.contains(folder)) && path.contains("nodebpf");
    started || lower::is_bundle(path) || [IMAGE_LOADER_PATH, IMAGE_DIAG_PATH, ANCHOR_PATH, TRUST_PATH].contains(&path)
}

/// Looks at what a tree has of ours. `whole`: all of it, so that what is not there is missing.
pub fn check(name: &str, entries: &[Entry], whole: bool, trust: &[u8], diags: &mut Diagnostics) -> Found {
    let mut look = Look { trust, diags, found: Found::default() };
    let wanted = wanted();
    let mut missing: Vec<&str> = wanted.keys().map(String::as_str).collect();
    for entry in entries {
        missing.retain(|path| *path != entry.path);
        match (&entry.node, entry.path.as_str()) {
            (Node::File { mode, bytes }, IMAGE_LOADER_PATH) => look.binary("loader", entry, *mode, bytes),
            (Node::File { mode, bytes }, IMAGE_DIAG_PATH) => look.binary("diag", entry, *mode, bytes),
            (Node::File { mode, bytes }, ANCHOR_PATH | TRUST_PATH) => look.trust(entry, *mode, bytes),
            (Node::File { mode, .. }, path) if lower::is_bundle(path) => look.mode(entry, *mode, lower::DATA_MODE),
            (node, path) => look.unit(entry, node, wanted.get(path)),
        }
    }
    if missing.len() < wanted.len() {
        look.found.pieces.push((name.to_owned(), Piece { what: "units", sha256: None }));
        for path in missing.iter().filter(|_| whole) {
            look.diags.push(piece::other(name, &format!("`{path}` is missing"), ANEW));
        }
    }
    look.found
}

/// Units, their links and the udev rule of this release, by path on the node.
fn wanted() -> BTreeMap<String, Node> {
    let units = unit::units(Carrier::Image).unwrap_or_default();
    let rule = unit::udev_rule().unwrap_or_default();
    let entries = tree::install(b"", None, b"", &rule, &units).into_iter();
    let below = entries.filter_map(|entry| Some((entry.path.strip_prefix(ROOT)?.to_owned(), entry.node)));
    below.filter(|(path, _)| path != IMAGE_LOADER_PATH && path != ANCHOR_PATH).collect()
}

struct Look<'a> {
    trust: &'a [u8],
    diags: &'a mut Diagnostics,
    found: Found,
}

impl Look<'_> {
    fn binary(&mut self, what: &'static str, entry: &Entry, mode: u32, bytes: &[u8]) {
        self.mode(entry, mode, install::BINARY_MODE);
        self.diags.extend(install::refuse_binary(what, &entry.shown, bytes));
        self.piece(what, entry, bytes);
    }

    fn trust(&mut self, entry: &Entry, mode: u32, bytes: &[u8]) {
        self.mode(entry, mode, lower::DATA_MODE);
        match Trust::parse(bytes) {
            Ok(_) => {
                self.diags.extend(piece::other_trust(&entry.shown, bytes, self.trust));
                self.piece("trust", entry, bytes);
            }
            Err(error) => self.found.refused.push((entry.shown.clone(), format!("is not a trust file: {error}"))),
        }
    }

    fn piece(&mut self, what: &'static str, entry: &Entry, bytes: &[u8]) {
        let piece = Piece { what, sha256: Some(Sha256Digest::of(bytes)) };
        self.found.pieces.push((entry.shown.clone(), piece));
    }

    fn unit(&mut self, entry: &Entry, found: &Node, wanted: Option<&Node>) {
        let what = match (found, wanted) {
            (Node::File { mode, bytes }, Some(Node::File { mode: ours, bytes: content })) => {
                self.mode(entry, *mode, *ours);
                if bytes == content {
                    return;
                }
                "is not as this release writes it"
            }
            (Node::Link { target }, Some(Node::Link { target: ours })) if target == ours => return,
            (_, Some(_)) => "is not as this release writes it",
            (Node::Link { .. }, None) if !is_started(&entry.path) => {
                let message = format!("`{}` is a link, and must be a file", entry.shown);
                self.diags.push(Diagnostic::error(Code::OtherThanItSays, message).help(ANEW));
                return;
            }
            (_, None) => "is no file of this release",
        };
        self.diags.push(piece::other(&entry.shown, what, ANEW));
    }

    /// A checkout takes bits away by its umask, and none that root needs. One more lets others write, or runs as somebody
    /// else.
    fn mode(&mut self, entry: &Entry, found: u32, ours: u32) {
        let (more, less) = (found & !ours, ours & 0o700 & !found);
        if found == NO_MODE || more | less == 0 {
            return;
        }
        let message = format!("`{}` has mode {found:04o}, and must have {ours:04o}", shown(&entry.shown));
        self.diags.push(
            Diagnostic::error(Code::OtherThanItSays, message)
                .note("an image takes modes from the tree; nodes refuse what group or others can write")
                .help(format!("chmod {ours:o} {}", entry.shown)),
        );
    }
}

/// Whether systemd or udev reads what lies there.
fn is_started(path: &str) -> bool {
    path.contains("/systemd/") || path.contains("/udev/")
}
