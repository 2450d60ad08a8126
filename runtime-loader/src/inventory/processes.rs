//! Processes: who holds which BPF object, which network namespaces there are, and which mounts.
//!
//! In: /proc. Out: [`Seen`]. A process that ends meanwhile, or that cannot be looked at, is left out and counted.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use crate::{kernel::read_link, show::cat};

/// An object of the kernel: `prog`, `map` or `link`, and its id.
pub(super) type Object = (&'static str, u32);

/// A network namespace.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) inode: u64,
    /// Where it was found first.
    pub(super) name: String,
    pub(super) file: File,
}

/// What processes told.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Processes looked at.
    pub(super) processes: u64,
    /// Processes whose descriptors could not be read.
    pub(super) closed: u64,
    /// Network namespaces, each once.
    pub(super) networks: Vec<Network>,
    /// BPF file systems: device, and a path.
    pub(super) bpffs: Vec<(String, String)>,
    /// Roots of the unified hierarchy: device, and a path.
    pub(super) cgroups: Vec<(String, String)>,
    /// Holders of objects.
    pub(super) holders: Vec<(Object, String)>,
    /// Mount namespaces whose tables were read.
    mount_spaces: Vec<u64>,
}

/// Looks at all processes.
pub(super) fn look() -> io::Result<Seen> {
    let mut seen = Seen::default();
    // Ourselves first, so that what we see is called as we see it.
    seen.process("self");
    let own = std::process::id().to_string();
    for entry in fs::read_dir(Path::new("/proc"))? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().filter(|name| name.as_bytes()[0].is_ascii_digit() && *name != own) {
            seen.process(pid);
        }
    }
    Ok(seen)
}

#[inline(never)]
fn inode(path: &str) -> Option<u64> {
    fs::metadata(Path::new(path)).ok().map(|found| found.ino())
}

#[inline(never)]
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(path)).unwrap_or_default()
}

impl Seen {
    fn process(&mut self, pid: &str) {
        let base = cat(&["/proc/", pid]);
        self.processes += 1;
        if let Some(space) = inode(&cat(&[&base, "/ns/mnt"]))
            && !self.mount_spaces.contains(&space)
        {
            self.mount_spaces.push(space);
            self.mounts(&base);
        }
        self.network(&["process ", pid], &cat(&[&base, "/ns/net"]));
        // A thread may have a network of its own.
        for entry in fs::read_dir(Path::new(&cat(&[&base, "/task"]))).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if let Some(task) = name.to_str().filter(|task| *task != pid) {
                self.network(&["a thread of process ", pid], &cat(&[&base, "/task/", task, "/ns/net"]));
            }
        }
        if pid != "self" {
            self.descriptors(&base, pid);
        }
    }

    /// Remembers a network namespace, if it is new.
    #[inline(never)]
    fn network(&mut self, name: &[&str], path: &str) {
        if let Some(inode) = inode(path)
            && !self.networks.iter().any(|known| known.inode == inode)
            && let Ok(file) = File::open(Path::new(path))
        {
            self.networks.push(Network { inode, name: cat(name), file });
        }
    }

    /// Descriptors that lead to namespaces and BPF objects.
    fn descriptors(&mut self, base: &str, pid: &str) {
        let dir = cat(&[base, "/fd/"]);
        let Ok(entries) = fs::read_dir(Path::new(&dir)) else {
            self.closed += 1;
            return;
        };
        let mut path = dir.into_bytes();
        let len = path.len();
        let mut holder = String::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            path.truncate(len);
            path.extend_from_slice(name.as_bytes());
            let mut buffer = [0; 64];
            let target = read_link(&mut path, &mut buffer);
            if target.starts_with(b"net:[") {
                self.network(&["descriptor ", name, " of process ", pid], &cat(&[base, "/fd/", name]));
            } else if target.starts_with(b"anon_inode:bpf") {
                if holder.is_empty() {
                    holder = cat(&[read(&cat(&[base, "/comm"])).trim(), "(", pid, ")"]);
                }
                if let Some(of) = object(&cat(&[base, "/fdinfo/", name])) {
                    self.holders.push((of, holder.clone()));
                }
            }
        }
    }

    /// Mounts of a mount namespace: `36 35 0:29 net:[4026532] /run/netns/x rw - nsfs nsfs rw`.
    fn mounts(&mut self, base: &str) {
        let table = read(&cat(&[base, "/mountinfo"]));
        for line in table.lines() {
            let mut words = line.split(' ').skip(2);
            let (Some(device), Some(root), Some(at)) = (words.next(), words.next(), words.next()) else { continue };
            let kind = words.skip_while(|word| *word != "-").nth(1).unwrap_or_default();
            let path = if base == "/proc/self" { at.to_owned() } else { cat(&[base, "/root", at]) };
            let list = match kind {
                "nsfs" if root.starts_with("net:[") => {
                    self.network(&[at], &path);
                    continue;
                }
                "bpf" => &mut self.bpffs,
                // Part of a hierarchy that is mounted elsewhere as a whole has another root.
                "cgroup2" if root == "/" => &mut self.cgroups,
                _ => continue,
            };
            if !list.iter().any(|(known, _)| known == device) {
                list.push((device.to_owned(), path));
            }
        }
    }
}

/// What a descriptor is, by its file below `fdinfo`.
pub(super) fn object(fdinfo: &str) -> Option<Object> {
    named(&read(fdinfo))
}

/// A link names its program, too, and behind itself.
fn named(text: &str) -> Option<Object> {
    for (key, kind) in [("link_id:", "link"), ("map_id:", "map"), ("prog_id:", "prog")] {
        let mut words = text.split_ascii_whitespace().skip_while(|word| *word != key);
        if let Some(id) = words.nth(1).and_then(|word| word.parse().ok()) {
            return Some((kind, id));
        }
    }
    None
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
