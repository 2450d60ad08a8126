//! Processes: who holds which BPF object, which network namespaces there are, and which mounts.
//!
//! In: /proc. Out: [`Seen`]. A process that ends meanwhile, or that cannot be looked at, is left out and counted.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

use nodeplan::sorted::{SortedMap, SortedSet};

use crate::kernel::read_link;

/// An object of the kernel: `prog`, `map` or `link`, and its id.
pub(super) type Object = (&'static str, u32);

/// What processes told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Processes looked at.
    pub(super) processes: u64,
    /// Processes whose descriptors could not be read.
    pub(super) closed: u64,
    /// Network namespaces by inode: how one is called, and its file.
    pub(super) networks: SortedMap<u64, (String, File)>,
    /// BPF file systems by device: a path to each.
    pub(super) bpffs: SortedMap<String, PathBuf>,
    /// Roots of the unified hierarchy, by device.
    pub(super) cgroups: SortedMap<String, PathBuf>,
    /// Holders of objects.
    pub(super) holders: Vec<(Object, String)>,
}

/// Looks at all processes.
pub(super) fn look() -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut mount_spaces = SortedSet::new();
    // Ourselves first, so that what we see is called as we see it.
    process(&mut seen, &mut mount_spaces, "self");
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().filter(|name| name.starts_with(|c: char| c.is_ascii_digit()) && *name != own) {
            process(&mut seen, &mut mount_spaces, pid);
        }
    }
    Ok(seen)
}

fn process(seen: &mut Seen, mount_spaces: &mut SortedSet<u64>, pid: &str) {
    let base = format!("/proc/{pid}");
    seen.processes += 1;
    if let Ok(space) = fs::metadata(format!("{base}/ns/mnt"))
        && mount_spaces.insert(space.ino())
    {
        mounts(seen, &base);
    }
    network(seen, || format!("process {pid}"), PathBuf::from(format!("{base}/ns/net")));
    // A thread may have a network of its own.
    for entry in fs::read_dir(format!("{base}/task")).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes() != pid.as_bytes() {
            network(seen, || format!("a thread of process {pid}"), entry.path().join("ns/net"));
        }
    }
    if pid != "self" {
        descriptors(seen, &base, pid);
    }
}

/// Remembers a network namespace by its inode, if it is new.
fn network(seen: &mut Seen, name: impl FnOnce() -> String, path: PathBuf) {
    if let Ok(found) = fs::metadata(&path)
        && !seen.networks.contains_key(&found.ino())
        && let Ok(file) = File::open(path)
    {
        seen.networks.insert(found.ino(), (name(), file));
    }
}

/// Descriptors that lead to namespaces and BPF objects.
fn descriptors(seen: &mut Seen, base: &str, pid: &str) {
    let Ok(entries) = fs::read_dir(format!("{base}/fd")) else {
        seen.closed += 1;
        return;
    };
    let mut path = format!("{base}/fd/").into_bytes();
    let len = path.len();
    let mut holder = String::new();
    for entry in entries.flatten() {
        path.truncate(len);
        path.extend_from_slice(entry.file_name().as_encoded_bytes());
        let mut buffer = [0; 64];
        let target = read_link(&mut path, &mut buffer);
        if target.starts_with(b"net:[") {
            let name = || format!("descriptor {} of process {pid}", entry.file_name().display());
            network(seen, name, entry.path());
        } else if target.starts_with(b"anon_inode:bpf") {
            if holder.is_empty() {
                let name = fs::read_to_string(format!("{base}/comm")).unwrap_or_default();
                holder = format!("{}({pid})", name.trim());
            }
            let of = object(&format!("{base}/fdinfo/{}", entry.file_name().display()));
            seen.holders.extend(of.map(|of| (of, holder.clone())));
        }
    }
}

/// What a descriptor is, by its file below `fdinfo`.
pub(super) fn object(fdinfo: &str) -> Option<Object> {
    named(&fs::read_to_string(fdinfo).ok()?)
}

/// A link names its program, too, and behind itself.
fn named(text: &str) -> Option<Object> {
    let id = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok());
    let link = id("link_id").map(|id| ("link", id));
    link.or_else(|| Some(("map", id("map_id")?))).or_else(|| Some(("prog", id("prog_id")?)))
}

/// Mounts of a mount namespace: `36 35 0:29 net:[4026532] /run/netns/x rw - nsfs nsfs rw`.
fn mounts(seen: &mut Seen, base: &str) {
    let table = fs::read_to_string(format!("{base}/mountinfo")).unwrap_or_default();
    for line in table.lines() {
        let Some((mount, kind)) = line.split_once(" - ") else { continue };
        let mut words = mount.split(' ').skip(2);
        let (Some(device), Some(root), Some(at)) = (words.next(), words.next(), words.next()) else { continue };
        let path = || if base == "/proc/self" { PathBuf::from(at) } else { PathBuf::from(format!("{base}/root{at}")) };
        match kind.split(' ').next() {
            Some("nsfs") if root.starts_with("net:[") => network(seen, || at.to_owned(), path()),
            // Part of a file system that is mounted elsewhere as a whole has another root.
            Some("bpf") if !seen.bpffs.contains_key(device) => drop(seen.bpffs.insert(device.to_owned(), path())),
            Some("cgroup2") if root == "/" && !seen.cgroups.contains_key(device) => {
                seen.cgroups.insert(device.to_owned(), path());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_told_apart() {
        for (text, want) in [
            ("pos:\t0\nprog_type:\t6\nprog_id:\t7\n", Some(("prog", 7))),
            ("map_type:\t1\nmap_id:\t12\nfrozen:\t0\n", Some(("map", 12))),
            ("link_type:\ttracing\nlink_id:\t3\nprog_tag:\tab\nprog_id:\t7\n", Some(("link", 3))),
            ("pos:\t0\nflags:\t02\n", None),
        ] {
            assert_eq!(named(text), want);
        }
    }

    #[test]
    fn this_process_is_seen() {
        let seen = look().unwrap();
        assert!(seen.processes > 0 && !seen.networks.is_empty());
    }
}
