//! What `install` puts on nodes: the loader with its units and its udev rule, the binary for support, the trust file.
//!
//! In:   bytes of both binaries and the trust file, a pool. Out: a `MachineConfig` for each.
//! May fail with: NB0504 (not a static `x86_64` executable), NB0521 (what an earlier run wrote).

use std::collections::BTreeMap;

use nodeplan::{digest::Sha256Digest, name::PoolName, note};
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
use crate::{
    diag::{Code, Diagnostic, shown},
    emit::OutputFile,
};

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
    let why = match why_not(bytes) {
        Some(why) => why.to_owned(),
        None => match binary_of(bytes) {
            Some(name) if name == format!("nodebpf-{what}") => return None,
            Some(name) => format!("says that it is `{}`", shown(&name)),
            None => format!("does not say that it is `nodebpf-{what}` (it has no note of ours)"),
        },
    };
    let help = format!("build it with `cargo xtask dist`, and give it with `--{what} target/dist/nodebpf-{what}`");
    Some(
        Diagnostic::error(Code::NotALoader, format!("{what} `{}` {why}", shown(name)))
            .note(format!(
                "the {what} must be one static x86_64 ELF executable, so that nothing on the node can break it"
            ))
            .help(help),
    )
}

/// Names of a directory that are parts of an installation for these pools and that this run does not write, in the formats
/// that it writes: all that is called as [`units`] and the others call theirs.
pub fn stale(names: &[String], pools: &[PoolName], files: &[OutputFile], directory: &str) -> Vec<Diagnostic> {
    let format = |name: &str| name.rsplit_once('.').map(|(_, extension)| extension.to_owned());
    let is_stale = |name: &&String| {
        let of_pool = |pool: &PoolName| {
            let rest = name.strip_prefix(format!("99-{pool}-nodebpf").as_str());
            rest.is_some_and(|rest| rest.starts_with(['.', '-']) && !rest.starts_with("-stream-"))
        };
        pools.iter().any(of_pool)
            && files.iter().any(|file| format(&file.name) == format(name))
            && files.iter().all(|file| file.name != **name)
    };
    let report = |name: &String| {
        let path = shown(&format!("{}/{name}", directory.trim_end_matches('/')));
        Diagnostic::warning(
            Code::StaleObjects,
            format!("`{path}` is of an earlier run, and this one does not write it"),
        )
        .note("`oc apply -f` of the directory goes on delivering it, beside what is new")
        .help("remove it, and delete the object where it was applied; `nodebpf diff` says what nodes do then")
    };
    names.iter().filter(is_stale).map(report).collect()
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

/// Which binary a file says that it is: see [`note`].
fn binary_of(bytes: &[u8]) -> Option<String> {
    let header = elf::FileHeader64::<Endianness>::parse(bytes).ok()?;
    let endian = header.endian().ok()?;
    for segment in header.program_headers(endian, bytes).ok()? {
        let Ok(Some(mut notes)) = segment.notes(endian, bytes) else { continue };
        while let Ok(Some(found)) = notes.next() {
            if found.name_bytes() == note::OWNER && found.n_type(endian) == note::BINARY {
                return Some(String::from_utf8_lossy(found.desc()).trim_end_matches('\0').to_owned());
            }
        }
    }
    None
}
