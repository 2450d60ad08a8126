//! State: what of ours is in the kernel, and the record of why.
//!
//! Truth is the pins below `/sys/fs/bpf/nodebpf/<stream>/<statement digest>/`:
//! `programs/<name>`, `maps/<name>`, `links/<ifindex>_<program>` (second pins: programs stay attached if somebody
//! removes libxdp's directory). Beside it `/run/nodebpf/streams/<stream>.json` keeps the exact statement that was obeyed,
//! so that a stream can be ended or restored when its bundle is gone. Both vanish at reboot, together.

use nodeplan::sorted::SortedMap;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use nodeplan::{
    digest::Sha256Digest,
    limits,
    name::{MapName, ProgramName, StreamName},
    plan::Ending,
    report::Reason,
    statement::Accepted,
};

use crate::{
    kernel::{Call, CallError, Kernel},
    object::Loaded,
    paths::{self, Paths},
    read,
    stream::Target,
};

/// A program of ours that is loaded.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its id.
    pub id: u32,
    /// The program.
    pub fd: Rc<OwnedFd>,
}

/// One version of a stream in the kernel.
#[derive(Clone, Debug)]
pub struct Version {
    /// Digest of the statement that it was committed as; `None` for one that is not committed yet, or by a crash.
    pub committed: Option<Sha256Digest>,
    /// Where it is pinned.
    pub dir: PathBuf,
    /// Its programs.
    pub programs: SortedMap<ProgramName, Program>,
    /// Its plan, if the record is there and belongs to it.
    pub plan: Option<Rc<Accepted>>,
    /// Why it may not run any more, if the security team has decided so since.
    pub forbidden: Option<Reason>,
}

impl Version {
    /// Whether it is this one: no two have one place. Byte for byte, because [`paths`] makes them all.
    pub fn is(&self, other: &Self) -> bool {
        self.dir.as_os_str() == other.dir.as_os_str()
    }

    /// Whether it is to go for that: not if its plan says `onRemoval: keep`.
    pub fn goes(&self) -> bool {
        self.forbidden.is_some() && self.plan.as_ref().is_none_or(|plan| plan.on_removal == Ending::Detach)
    }
}

/// Everything of ours in the kernel, by stream. Normally one version each; of several the one with a plan comes first,
/// and those that a crash left uncommitted come last.
pub fn running(kernel: &Kernel, paths: &Paths) -> Call<SortedMap<StreamName, Vec<Version>>> {
    let mut streams = SortedMap::new();
    for name in kernel.names(&paths::pins())? {
        let Ok(stream) = StreamName::try_from(name.as_str()) else { continue };
        let records = [paths.record(&stream), paths.next_record(&stream)].map(|path| read_record(&path));
        let mut versions = Vec::new();
        let names = match kernel.names(&paths::stream_pins(&stream)) {
            // A stray pin and not a directory: nothing of ours, and no reason to do nothing.
            Err(error) if error.errno == libc::ENOTDIR => continue,
            names => names?,
        };
        for version in names {
            let dir = paths::stream_pins(&stream).join(&version);
            let committed = Sha256Digest::try_from(version.as_str()).ok();
            let plan = records.iter().flatten().find(|record| Some(record.digest()) == committed).cloned();
            let programs = match open_programs(kernel, &dir) {
                Err(error) if error.errno == libc::ENOTDIR => continue,
                programs => programs?,
            };
            let known = |one: &Version| (one.plan.is_none(), one.committed.is_none());
            let version = Version { committed, dir, programs, plan, forbidden: None };
            let behind = versions.iter().position(|other| known(other) > known(&version));
            versions.insert(behind.unwrap_or(versions.len()), version);
        }
        streams.insert(stream, versions);
    }
    Ok(streams)
}

fn open_programs(kernel: &Kernel, dir: &Path) -> Call<SortedMap<ProgramName, Program>> {
    let mut programs = SortedMap::new();
    let dir = dir.join("programs");
    for name in kernel.names(&dir)? {
        let Ok(program) = ProgramName::try_from(name.as_str()) else { continue };
        let fd = kernel.open_pin(&dir.join(&name))?;
        let id = kernel.prog_info(fd.as_fd())?.id;
        programs.insert(program, Program { id, fd: Rc::new(fd) });
    }
    Ok(programs)
}

/// Pins what was loaded as the stream's uncommitted version, and gives it back opened.
pub fn stage(kernel: &Kernel, dir: PathBuf, loaded: Vec<Loaded>, plan: &Rc<Accepted>) -> Call<Version> {
    for sub in ["programs", "maps", "links"] {
        kernel.make_dir(&dir.join(sub))?;
    }
    let mut programs = SortedMap::new();
    for object in loaded {
        for (name, fd) in &object.maps {
            // Sections (.rodata) have a dot, which bpffs refuses; a name with `/` would lead elsewhere.
            if MapName::try_from(name.as_str()).is_ok() {
                kernel.pin(fd.as_fd(), &dir.join("maps").join(name))?;
            }
        }
        for (name, program) in object.programs {
            kernel.pin(program.as_fd(), &dir.join("programs").join(name.as_str()))?;
            let id = kernel.prog_info(program.as_fd())?.id;
            programs.insert(name, Program { id, fd: Rc::new(program) });
        }
    }
    Ok(Version { committed: None, dir, programs, plan: Some(Rc::clone(plan)), forbidden: None })
}

/// Where the next version of a stream is staged: beside all that is pinned of it.
pub fn staged_dir(stream: &StreamName, before: &[Version]) -> PathBuf {
    let mut number = 0;
    loop {
        let dir = paths::staged_pins(stream, number);
        if before.iter().all(|version| version.dir.as_os_str() != dir.as_os_str()) {
            return dir;
        }
        number += 1;
    }
}

/// Makes a staged version the stream's version. Pins of others stay until [`prune`].
///
/// What can fail for want of room comes first: the record is written beside the one that counts, and takes its place
/// when the pins have theirs. A run that is killed in between finds both, and each fits its pins.
pub fn commit(kernel: &Kernel, paths: &Paths, stream: &StreamName, target: &mut Target) -> Result<(), CallError> {
    let dir = paths::version_pins(stream, target.statement);
    let next = paths.next_record(stream);
    write_record(&next, &target.plan)?;
    // The same version, if a crash cut its removal short.
    let renamed = remove(kernel, &dir).and_then(|()| kernel.rename(&target.version.dir, &dir));
    if let Err(error) = renamed {
        let _ = kernel.unpin(&next);
        return Err(error);
    }
    target.version.dir = dir;
    target.version.committed = Some(target.statement);
    let record = paths.record(stream);
    std::fs::rename(&next, &record).map_err(|error| file_error("rename", &record, &error))
}

/// Makes a version that ran before the stream's version.
pub fn keep(paths: &Paths, stream: &StreamName, plan: &Accepted) -> Result<(), CallError> {
    let path = paths.record(stream);
    if read_record(&path).is_some_and(|record| record.digest() == plan.digest()) {
        return Ok(());
    }
    write_record(&path, plan)
}

/// Removes the pins of every version of a stream but `keep`.
pub fn prune(kernel: &Kernel, stream: &StreamName, keep: Sha256Digest) -> Call<()> {
    let dir = paths::stream_pins(stream);
    for name in kernel.names(&dir)? {
        if name != keep.to_string() {
            remove(kernel, &dir.join(name))?;
        }
    }
    Ok(())
}

/// Removes the pins of a version, its programs first: a version that lacks one of them was cut short by a crash, and is
/// never taken for one that can run.
fn remove(kernel: &Kernel, dir: &Path) -> Call<()> {
    kernel.remove_dir(&dir.join("programs"))?;
    kernel.remove_dir(dir)
}

/// Forgets versions of a stream; with the last one its record.
pub fn forget(kernel: &Kernel, paths: &Paths, stream: &StreamName, versions: &[Version]) -> Call<()> {
    for version in versions {
        remove(kernel, &version.dir)?;
    }
    let dir = paths::stream_pins(stream);
    if kernel.names(&dir)?.iter().any(|name| Sha256Digest::try_from(name.as_str()).is_ok()) {
        return Ok(());
    }
    // By the directory the next run knows that something is left to forget.
    kernel.unpin(&paths.next_record(stream))?;
    kernel.unpin(&paths.record(stream))?;
    kernel.remove_dir(&dir)
}

/// The second pin of a link.
pub fn link_pin(dir: &Path, ifindex: u32, program: &ProgramName) -> PathBuf {
    dir.join("links").join(link_pin_name(ifindex, program))
}

/// Its name. Places of other hooks do not begin with a number.
pub fn link_pin_name(ifindex: u32, program: &ProgramName) -> String {
    format!("{ifindex}_{program}")
}

/// Whether a pin of this name is a second one, of a link to an XDP dispatcher.
pub fn is_second_pin(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_digit())
}

/// Whether a pin of this name is one of a link on this interface: `3_p` or `tc,ingress,3_p`.
pub fn is_on(name: &str, ifindex: u32) -> bool {
    let place = name.split_once('_').map_or("", |(place, _)| place);
    let index = place.rsplit_once(',').map_or(place, |(_, index)| index);
    index.parse() == Ok(ifindex)
}

/// Writes the statement of a stream that runs.
fn write_record(path: &Path, plan: &Accepted) -> Result<(), CallError> {
    read::write_atomically(path, plan.bytes()).map_err(|error| file_error("write", path, &error))
}

fn file_error(call: &'static str, path: &Path, error: &io::Error) -> CallError {
    CallError { call, what: path.display().to_string(), errno: error.raw_os_error().unwrap_or(libc::EIO) }
}

/// The record of a stream. One that cannot be read is as good as none: pins are the truth, and the next commit writes
/// it anew.
pub fn read_record(path: &Path) -> Option<Rc<Accepted>> {
    let bytes = read::read(path, limits::STATEMENT_MAX_BYTES).ok()?;
    Accepted::parse(bytes).ok().map(Rc::new)
}

/// The first value of a map that is shown as a counter: `u32` or `u64`, per-CPU values summed.
pub fn counter(kernel: &Kernel, dir: &Path, name: &str) -> Call<u64> {
    let map = kernel.open_pin(&dir.join("maps").join(name))?;
    let info = kernel.map_info(map.as_fd())?;
    // BPF_MAP_TYPE_PERCPU_ARRAY: one 8-byte aligned value per possible CPU.
    let per_cpu = info.map_type == 6;
    let size = info.value_size as usize;
    let stride = if per_cpu { size.next_multiple_of(8) } else { size };
    // The kernel writes as many bytes as the map says, whatever we expect: an array or a per-CPU array of one number.
    if !matches!(info.map_type, 2 | 6) || info.key_size != 4 || !matches!(size, 4 | 8) {
        return Err(CallError { call: "counter", what: name.to_owned(), errno: libc::EINVAL });
    }
    let mut values = vec![0u8; stride * if per_cpu { possible_cpus() } else { 1 }];
    kernel.map_lookup(map.as_fd(), &0u32.to_ne_bytes(), &mut values)?;
    let value = |bytes: &[u8]| match bytes.get(..size) {
        Some(&[a, b, c, d]) => u64::from(u32::from_ne_bytes([a, b, c, d])),
        Some(bytes) => bytes.try_into().map_or(0, u64::from_ne_bytes),
        None => 0,
    };
    Ok(values.chunks(stride).map(value).fold(0, u64::wrapping_add))
}

/// CPUs the kernel may ever have: what it copies per-CPU values for. `0-3` means 4, `0` means 1, `0,2-3` means 4.
pub(crate) fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    cpus_in(&text)
}

fn cpus_in(text: &str) -> usize {
    let last = text.trim().rsplit([',', '-']).next().and_then(|last| last.parse::<usize>().ok());
    // Too many only costs memory; too few would let the kernel write behind the buffer.
    last.map_or(8192, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_name_interfaces() {
        for (name, want) in [
            ("3_p", true),
            ("tc,ingress,3_p_q", true),
            ("tc,egress,33_p", false),
            ("kprobe,f3_3_p", false),
            ("cgroup,connect4,:3_p", false),
            ("", false),
        ] {
            assert_eq!(is_on(name, 3), want, "case: {name}");
        }
    }

    #[test]
    fn possible_cpus_are_counted_from_zero() {
        for (text, want) in [("0\n", 1), ("0-3\n", 4), ("0,2-7", 8), ("", 8192), ("x", 8192)] {
            assert_eq!(cpus_in(text), want, "case: {text:?}");
        }
    }
}
