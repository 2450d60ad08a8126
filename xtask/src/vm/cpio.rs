//! The archive that a kernel unpacks into its first root file system ("newc" cpio).
//!
//! In:  paths and contents; later additions replace earlier ones.
//! Out: bytes, equal for equal input; everything belongs to root, times are zero.
//! May fail with: a path that is not below `/`, a file over 4 GiB.
//!
//! Pure. Format: linux `Documentation/driver-api/early-userspace/buffer-format.rst`.
//! Not compressed: an emulated processor unpacks slower than it copies.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    File { mode: u32, bytes: Vec<u8> },
    Link { target: String },
}

/// A root file system in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive {
    nodes: BTreeMap<String, Node>,
}

const TYPE_FOLDER: u32 = 0o040_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_LINK: u32 = 0o120_000;

impl Archive {
    /// Puts a file at `path`, such as `/etc/hosts`, with the folders above it.
    pub(crate) fn file(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<()> {
        self.put(path, Node::File { mode: mode & 0o7777, bytes })
    }

    /// Puts a symbolic link at `path`.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.put(path, Node::Link { target: target.to_owned() })
    }

    /// Puts a folder at `path`, with the folders above it.
    pub(crate) fn folder(&mut self, path: &str) -> Result<()> {
        self.put(path, Node::Folder)
    }

    /// Whether something stands at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path.trim_start_matches('/'))
    }

    /// Puts everything of `other` over what is there.
    pub(crate) fn extend(&mut self, other: &Self) -> Result<()> {
        other.nodes.iter().try_for_each(|(name, node)| self.put(&format!("/{name}"), node.clone()))
    }

    fn put(&mut self, path: &str, node: Node) -> Result<()> {
        let name = path.strip_prefix('/').with_context(|| format!("`{path}` must start with `/`"))?;
        if name.split('/').any(|part| part.is_empty() || part == "." || part == "..") || name.contains('\0') {
            bail!("`{path}` must be a plain path below `/`");
        }
        for (at, _) in name.match_indices('/') {
            match self.nodes.entry(name[..at].to_owned()).or_insert(Node::Folder) {
                Node::Folder => {}
                Node::File { .. } | Node::Link { .. } => bail!("`{path}`: `/{}` is not a folder", &name[..at]),
            }
        }
        match (self.nodes.get(name), &node) {
            (Some(Node::Folder), Node::Folder) => {}
            (Some(Node::Folder), _) => bail!("`{path}` is already a folder"),
            _ => drop(self.nodes.insert(name.to_owned(), node)),
        }
        Ok(())
    }

    /// The archive as the kernel reads it.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        // Folders come before what is in them: `a` sorts before `a/b`.
        for (number, (name, node)) in self.nodes.iter().enumerate() {
            let (mode, data) = match node {
                Node::Folder => (TYPE_FOLDER | 0o755, &[][..]),
                Node::File { mode, bytes } => (TYPE_FILE | mode, bytes.as_slice()),
                Node::Link { target } => (TYPE_LINK | 0o777, target.as_bytes()),
            };
            entry(&mut out, number + 1, name, mode, data)?;
        }
        entry(&mut out, 0, "TRAILER!!!", 0, &[])?;
        Ok(out)
    }
}

fn entry(out: &mut Vec<u8>, inode: usize, name: &str, mode: u32, data: &[u8]) -> Result<()> {
    let size = u32::try_from(data.len()).with_context(|| format!("`/{name}` must be smaller than 4 GiB"))?;
    let name_size = u32::try_from(name.len() + 1).with_context(|| format!("the path `/{name}` is too long"))?;
    let inode = u32::try_from(inode).context("too many files for one archive")?;
    out.extend_from_slice(b"070701");
    // inode, mode, uid, gid, links, time, size, device (2), device of a node (2), size of the name, checksum
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        out.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    out.extend_from_slice(data);
    pad(out);
    Ok(())
}

/// Names and contents end at a multiple of four bytes.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_encoded_as_the_kernel_documents_it() {
        let mut archive = Archive::default();
        archive.file("/a/b", 0o644, b"hello".to_vec()).unwrap();
        let bytes = archive.encode().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(bytes.len() % 4, 0);
        let headers: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(headers.len(), 3, "a folder, a file and the trailer");
        let file = &text[headers[1]..headers[2]];
        assert_eq!(&file[14..22], "000081a4", "a plain file with mode 644");
        assert_eq!(&file[54..62], "00000005", "size");
        assert_eq!(&file[94..102], "00000004", "size of the name `a/b` with its NUL");
        assert!(file[110..].starts_with("a/b\0\0\0hello\0\0\0"), "{file:?}");
        assert!(text.contains("TRAILER!!!"));
    }

    #[test]
    fn order_of_additions_does_not_show() {
        let (mut one, mut two) = (Archive::default(), Archive::default());
        one.file("/x", 0o600, vec![1]).unwrap();
        one.link("/bin/sh", "busybox").unwrap();
        two.link("/bin/sh", "busybox").unwrap();
        two.file("/x", 0o600, vec![1]).unwrap();
        assert_eq!(one.encode().unwrap(), two.encode().unwrap());
    }

    #[test]
    fn later_files_replace_earlier_ones() {
        let mut archive = Archive::default();
        archive.file("/x", 0o600, b"old".to_vec()).unwrap();
        let mut other = Archive::default();
        other.file("/x", 0o600, b"new".to_vec()).unwrap();
        archive.extend(&other).unwrap();
        let bytes = archive.encode().unwrap();
        assert!(!bytes.windows(3).any(|window| window == b"old"));
    }

    #[test]
    fn odd_paths_are_refused() {
        for path in ["x", "/", "/a//b", "/a/../b", "/./a", "/a/", "/a\0"] {
            assert!(Archive::default().file(path, 0o600, Vec::new()).is_err(), "path {path:?}");
        }
        let mut archive = Archive::default();
        archive.file("/a", 0o600, Vec::new()).unwrap();
        assert!(archive.file("/a/b", 0o600, Vec::new()).is_err(), "a file is not a folder");
        archive.folder("/d").unwrap();
        assert!(archive.link("/d", "a").is_err(), "a folder stays one");
    }
}
