//! Tree: what goes into the image of a node, as an overlay of its root file system.
//!
//! In:   both binaries, trust file, units and bundles. Out: files and links below `rootfs/`, and a Containerfile. Cannot fail.
//!
//! Binaries, units and udev rule lie below `/usr`, which an update of the image replaces; the trust file too, as the
//! anchor of what nodes accept later. Units are enabled by links, because presets are applied on first boots only.
//! Bundles lie in `/etc`: an update of the image merges it, and a bundle that left the image leaves the node.

use nodeplan::name::StreamName;

use super::{
    BUNDLE_DIRECTORY, DATA_MODE,
    ignition::NodeUnit,
    install::BINARY_MODE,
    unit::{IMAGE_DIAG_PATH, IMAGE_LOADER_PATH, UDEV_RULE, wanted_by},
};

/// Where an image has the trust file.
pub const ANCHOR_PATH: &str = "/usr/lib/nodebpf/trust.json";

/// Where an image has units.
pub const UNIT_DIRECTORY: &str = "/usr/lib/systemd/system";

/// Where an image has udev rules.
pub const RULE_DIRECTORY: &str = "/usr/lib/udev/rules.d";

/// Folder of the overlay beside the Containerfile.
pub const ROOT: &str = "rootfs";

/// How an image is built of it.
const CONTAINERFILE: &str = "\
# From nodebpf: an image of a node with loader, units, trust anchor and streams below rootfs/.
# OpenShift: podman build --build-arg BASE=$(oc adm release info --image-for rhel-coreos) .
# bootc and MicroShift: BASE is the bootc image that the node runs.
ARG BASE
FROM ${BASE}
COPY rootfs/ /
";

/// Something of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path below the directory of the tree.
    pub path: String,
    /// What it is.
    pub node: Node,
}

/// A file or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file with its permission bits.
    File {
        /// Permission bits.
        mode: u32,
        /// Content.
        bytes: Vec<u8>,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
}

/// The tree of `install`, with the binary for support if it is to be there; `units` are those for images.
pub fn install(loader: &[u8], diag: Option<&[u8]>, trust: &[u8], rule: &str, units: &[NodeUnit]) -> Vec<Entry> {
    let mut entries = vec![
        containerfile(),
        file(IMAGE_LOADER_PATH, BINARY_MODE, loader),
        file(ANCHOR_PATH, DATA_MODE, trust),
        file(&format!("{RULE_DIRECTORY}/{UDEV_RULE}"), DATA_MODE, rule.as_bytes()),
    ];
    entries.extend(diag.map(|diag| file(IMAGE_DIAG_PATH, BINARY_MODE, diag)));
    for unit in units {
        entries.push(file(&format!("{UNIT_DIRECTORY}/{}", unit.name), DATA_MODE, unit.content.as_bytes()));
        entries.extend(wanted_by(unit).into_iter().map(|target| Entry {
            path: format!("{ROOT}{UNIT_DIRECTORY}/{target}.wants/{}", unit.name),
            node: Node::Link { target: format!("../{}", unit.name) },
        }));
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

/// The tree of one stream.
pub fn stream(stream: &StreamName, bundle: &[u8]) -> Vec<Entry> {
    vec![containerfile(), file(&format!("{BUNDLE_DIRECTORY}/{stream}.bundle"), DATA_MODE, bundle)]
}

fn containerfile() -> Entry {
    let node = Node::File { mode: DATA_MODE, bytes: CONTAINERFILE.into() };
    Entry { path: "Containerfile".to_owned(), node }
}

fn file(path: &str, mode: u32, bytes: &[u8]) -> Entry {
    Entry { path: format!("{ROOT}{path}"), node: Node::File { mode, bytes: bytes.to_vec() } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::unit::{Carrier, units};

    #[test]
    fn every_link_leads_to_a_unit_of_the_tree() {
        let entries = install(b"l", Some(b"d"), b"t", "r", &units(Carrier::Image).unwrap());
        let has = |path: &str| entries.iter().any(|entry| entry.path == path);
        let mut links = 0;
        for entry in &entries {
            if let Node::Link { target } = &entry.node {
                let name = target.strip_prefix("../").unwrap();
                assert!(has(&format!("{ROOT}{UNIT_DIRECTORY}/{name}")) && entry.path.ends_with(name), "{entry:?}");
                links += 1;
            }
        }
        assert_eq!(links, 7, "early, path, timer once; boot and gate twice");
        assert!(has("Containerfile") && has("rootfs/usr/lib/nodebpf/trust.json"));
    }

    /// What `/usr` has is the image's: nothing of it may lie where only a running node can write.
    #[test]
    fn nothing_lies_in_var_or_usr_local() {
        for entry in install(b"l", Some(b"d"), b"t", "r", &units(Carrier::Image).unwrap()) {
            assert!(!entry.path.contains("/var/") && !entry.path.contains("/usr/local/"), "{}", entry.path);
        }
    }
}
