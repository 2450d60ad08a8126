//! Ignition 3.2.0: files and units.
//!
//! In:   paths, modes, content. Out: [`Config`]. Cannot fail.
//!
//! Only files and units: the machine config operator refuses changed directories and links. Content is gzip in a data
//! URL; the encoding is part of what the operator compares, so it must never change for equal content.

use std::{io::Write as _, num::NonZeroU64};

use base64ct::{Base64, Encoding};
use flate2::{Compression, GzBuilder};
use ignition_config::v3_2::{Config, File, Ignition, Resource, Storage, Systemd, Unit, Verification};
use nodeplan::digest::to_hex;
use sha2::{Digest, Sha512};
use zopfli::{BlockType, GzipEncoder, Write as _};

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
    pub content: Packed,
}

/// Content as it travels. Packed once, whatever number of pools it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    gzip: Vec<u8>,
    /// Of what was packed.
    sha512: String,
}

impl Packed {
    /// Packed in some milliseconds.
    pub fn usual(content: &[u8]) -> Self {
        Self { gzip: gzip(content), sha512: to_hex(&Sha512::digest(content)) }
    }

    /// Packed as small as deflate can be, which takes a second for a loader and saves 3 %: with them a plain `oc apply`
    /// takes it. What travels so must go on to: the operator compares what is packed.
    pub fn tight(content: &[u8]) -> Self {
        Self { gzip: gzip_tight(content), sha512: to_hex(&Sha512::digest(content)) }
    }
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
        source: Some(format!("data:;base64,{}", Base64::encode_string(&file.content.gzip))),
        // Explicit: a later MachineConfig that overrides the file would inherit it (butane issue 332).
        compression: Some("gzip".to_owned()),
        // Over the decompressed bytes. Ignition checks it at first boot; the operator never does.
        verification: Some(Verification { hash: Some(format!("sha512-{}", file.content.sha512)) }),
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

/// Deterministic gzip as small as deflate can be: no time, operating system 3. More rounds than these save 0.02 %.
fn gzip_tight(content: &[u8]) -> Vec<u8> {
    const ROUNDS: NonZeroU64 = NonZeroU64::new(5).expect("invariant: five is not zero");
    /// What is looked at together, in bytes; zopfli's own.
    const BLOCK_BYTES: usize = 1_000_000;
    let options = zopfli::Options { iteration_count: ROUNDS, ..zopfli::Options::default() };
    let mut encoder =
        GzipEncoder::new(options, BlockType::Dynamic, Vec::new()).expect("invariant: writing to memory does not fail");
    for block in content.chunks(BLOCK_BYTES) {
        encoder.write_all(block).expect("invariant: writing to memory does not fail");
    }
    encoder.finish().expect("invariant: writing to memory does not fail")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// A changed byte here is a drained node: flate2 and `miniz_oxide` must not be updated unawares.
    #[test]
    fn gzip_bytes_never_change() {
        let content: Vec<u8> = (0..20_000u32).flat_map(|n| (n * n % 251).to_le_bytes()).collect();
        let digest = nodeplan::digest::Sha256Digest::of(&gzip(&content)).to_string();
        assert_eq!(digest, "162d883c351bfcb2338a97e3366f516b972c01b1162802a9e770050d105bb4ad");
        assert_eq!(gzip(b"")[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
        let tight = gzip_tight(&content);
        let digest = nodeplan::digest::Sha256Digest::of(&tight).to_string();
        assert_eq!(digest, "be3b8423ca250d77bd0a53587cab24be51b41672e804f1561375a29aaceb5c83");
        assert!(tight.len() < gzip(&content).len());
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&tight[..]).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == content);
        assert_eq!(tight[4..8], [0; 4], "a time is in it");
    }
}
