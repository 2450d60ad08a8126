//! What `install` puts on nodes: the loader with its units and its udev rule, the binary for support, the trust file.
//!
//! In:   bytes of both binaries and the trust file, a pool. Out: a `MachineConfig` for each.
//! May fail with: NB0504 (not a static `x86_64` executable).

use std::collections::BTreeMap;

use nodeplan::{digest::Sha256Digest, name::PoolName};
use object::{
    Endianness, elf,
    read::elf::{FileHeader, ProgramHeader},
};

use super::{
    DATA_MODE,
    ignition::{NodeFile, NodeUnit, Packed},
    machineconfig::{About, MachineConfig},
    unit::{DIAG_PATH, LOADER_PATH, UDEV_RULE},
};
use crate::diag::{Code, Diagnostic, shown};

/// Where nodes have their trust file.
pub const TRUST_PATH: &str = "/etc/nodebpf/trust.json";

/// Annotations with the digest of what an object brings; without prefix.
pub const LOADER_DIGEST: &str = "loader-sha256";
/// As [`LOADER_DIGEST`].
pub const DIAG_DIGEST: &str = "diag-sha256";
/// As [`LOADER_DIGEST`].
pub const TRUST_DIGEST: &str = "trust-sha256";

/// Mode of the binaries, `rwxr-xr-x`.
pub const BINARY_MODE: u32 = 0o755;

/// Where nodes have the udev rule.
pub fn udev_path() -> String {
    format!("/etc/udev/rules.d/{UDEV_RULE}")
}

/// A binary of ours: what it is, and what nodes get of it.
#[derive(Clone, Debug)]
pub struct Binary {
    sha256: Sha256Digest,
    packed: Packed,
}

impl Binary {
    /// Takes a second.
    pub fn pack(bytes: &[u8]) -> Self {
        Self { sha256: Sha256Digest::of(bytes), packed: Packed::tight(bytes) }
    }

    /// A file of it.
    fn at(&self, path: &str) -> NodeFile {
        NodeFile { path: path.to_owned(), mode: BINARY_MODE, content: self.packed.clone() }
    }
}

/// Udev rule and units of one pool: what one reads in a review. By its name it is applied after what the units start:
/// Argo CD and kubectl go by names, and a pool may be rendered in between.
pub fn units(pool: &PoolName, rule: &str, units: &[NodeUnit]) -> MachineConfig {
    let file = NodeFile { path: udev_path(), mode: DATA_MODE, content: Packed::usual(rule.as_bytes()) };
    MachineConfig::new(format!("99-{pool}-nodebpf-units"), pool, About::default(), &[file], units)
}

/// The loader of one pool: an object of its own, as the binary for support is, so that none is too big for a plain
/// `oc apply`.
pub fn loader(pool: &PoolName, loader: &Binary) -> MachineConfig {
    let about = digest(LOADER_DIGEST, loader.sha256);
    MachineConfig::new(format!("99-{pool}-nodebpf-loader"), pool, about, &[loader.at(LOADER_PATH)], &[])
}

/// The binary for support of one pool.
pub fn diag(pool: &PoolName, diag: &Binary) -> MachineConfig {
    let about = digest(DIAG_DIGEST, diag.sha256);
    MachineConfig::new(format!("99-{pool}-nodebpf-diag"), pool, about, &[diag.at(DIAG_PATH)], &[])
}

/// Trust file of one pool.
pub fn trust(pool: &PoolName, trust: &[u8]) -> MachineConfig {
    let file = NodeFile { path: TRUST_PATH.to_owned(), mode: DATA_MODE, content: Packed::usual(trust) };
    let about = digest(TRUST_DIGEST, Sha256Digest::of(trust));
    MachineConfig::new(format!("99-{pool}-nodebpf-trust"), pool, about, &[file], &[])
}

/// So that a reviewer sees from the metadata alone whether the content is the one he knows.
fn digest(key: &'static str, content: Sha256Digest) -> About {
    About { annotations: BTreeMap::from([(key, content.to_string())]), ..About::default() }
}

/// Why a node could not run these bytes, `loader` or `diag`, whatever else is on it; `None` if it could.
pub fn refuse_binary(what: &str, name: &str, bytes: &[u8]) -> Option<Diagnostic> {
    let why = why_not(bytes)?;
    let help = format!("build it with `cargo xtask dist`, and give it with `--{what} target/dist/nodebpf-{what}`");
    Some(
        Diagnostic::error(Code::NotALoader, format!("{what} `{}` {why}", shown(name)))
            .note(format!(
                "the {what} must be one static x86_64 ELF executable, so that nothing on the node can break it"
            ))
            .help(help),
    )
}

fn why_not(bytes: &[u8]) -> Option<&'static str> {
    let damaged = "has damaged ELF headers";
    if !bytes.starts_with(&elf::ELFMAG) {
        return Some("is not an ELF file");
    }
    if bytes.get(4) != Some(&elf::ELFCLASS64) {
        return Some("is not a 64-bit executable");
    }
    let Ok(header) = elf::FileHeader64::<Endianness>::parse(bytes) else { return Some(damaged) };
    let Ok(endian) = header.endian() else { return Some(damaged) };
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Some("is not for x86_64");
    }
    // ET_DYN is what a static position-independent executable is.
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Some("is not an executable");
    }
    let Ok(segments) = header.program_headers(endian, bytes) else { return Some(damaged) };
    if segments.iter().any(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        return Some("is dynamically linked (it has PT_INTERP)");
    }
    if !segments.iter().any(|segment| segment.p_type(endian) == elf::PT_LOAD) {
        return Some("has nothing to load");
    }
    None
}
