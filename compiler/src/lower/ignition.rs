//! Ignition 3.2.0: files and units.
//!
//! In:   paths, modes, content. Out: [`Config`]. Cannot fail.
//!
//! Only files and units: the machine config operator refuses changed directories and links. Content is gzip in a data
//! URL; the encoding is part of what the operator compares, so it must never change for equal content.

use std::io::Write as _;

use base64ct::{Base64, Encoding};
use flate2::{Compression, GzBuilder};
use ignition_config::v3_2::{Config, File, Ignition, Resource, Storage, Systemd, Unit, Verification};
use nodeplan::digest::to_hex;
use sha2::{Digest, Sha512};

/// Ignition version of all output.
pub const VERSION: &str = "3.2.0";

/// A file on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFile {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

/// A systemd unit on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUnit {
    /// Name with suffix.
    pub name: &'static str,
    /// Whether it is enabled; a unit without `[Install]` must not say.
    pub enabled: Option<bool>,
    /// Content.
    pub content: String,
}

/// A config with these files and units, sorted by path and name.
pub fn config(files: &[NodeFile], units: &[NodeUnit]) -> Config {
    let mut files: Vec<_> = files.iter().map(file).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut units: Vec<_> = units.iter().map(unit).collect();
    units.sort_by(|a, b| a.name.cmp(&b.name));
    Config {
        ignition: Ignition { version: Some(VERSION.to_owned()), ..Ignition::default() },
        passwd: None,
        storage: Some(Storage { files: Some(files).filter(|files| !files.is_empty()), ..Storage::default() }),
        systemd: Some(Systemd { units: Some(units) }).filter(|systemd| systemd.units != Some(Vec::new())),
    }
}

fn file(file: &NodeFile) -> File {
    let mut entry = File::new(file.path.clone());
    entry.mode = Some(file.mode.into());
    entry.overwrite = Some(true);
    entry.contents = Some(Resource {
        source: Some(format!("data:;base64,{}", Base64::encode_string(&gzip(&file.content)))),
        // Explicit: a later MachineConfig that overrides the file would inherit it (butane issue 332).
        compression: Some("gzip".to_owned()),
        // Over the decompressed bytes. Ignition checks it at first boot; the operator never does.
        verification: Some(Verification { hash: Some(format!("sha512-{}", to_hex(&Sha512::digest(&file.content)))) }),
        http_headers: None,
    });
    entry
}

fn unit(unit: &NodeUnit) -> Unit {
    let mut entry = Unit::new(unit.name.to_owned());
    entry.enabled = unit.enabled;
    entry.contents = Some(unit.content.clone());
    entry
}

/// Deterministic gzip: level 9, no time, operating system 255 ("unknown"; RFC 1952 section 2.3.1).
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(content).expect("invariant: writing to memory does not fail");
    encoder.finish().expect("invariant: writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A changed byte here is a drained node: flate2 and `miniz_oxide` must not be updated unawares.
    #[test]
    fn gzip_bytes_never_change() {
        let content: Vec<u8> = (0..20_000u32).flat_map(|n| (n * n % 251).to_le_bytes()).collect();
        let digest = nodeplan::digest::Sha256Digest::of(&gzip(&content)).to_string();
        assert_eq!(digest, "162d883c351bfcb2338a97e3366f516b972c01b1162802a9e770050d105bb4ad");
        assert_eq!(gzip(b"")[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }
}
