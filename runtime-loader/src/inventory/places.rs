//! Places: what is attached to interfaces of all network namespaces, and to all cgroups.
//!
//! In: namespaces and roots of hierarchies. Out: [`Places`]: for each program where it runs, and what was searched.
//! What cannot be looked at is noted, and the rest goes on.

use std::{
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use nodeplan::sorted::SortedSet;

use super::words;
use crate::kernel::{Kernel, XdpState};

/// What was found, and where it was looked for.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Program and place.
    pub(super) found: Vec<(u32, String)>,
    pub(super) networks: u64,
    pub(super) interfaces: u64,
    pub(super) cgroups: u64,
    /// What could not be looked at.
    pub(super) failed: Vec<String>,
}

impl Places {
    fn note(&mut self, what: &str, error: &dyn std::fmt::Display) {
        self.failed.push(format!("{what}: {error}"));
    }

    /// Looks at one network namespace, by going there. `types` are the types of programs that exist at all.
    pub(super) fn network(&mut self, kernel: &Kernel, name: &str, inode: u64, file: &File, types: &SortedSet<u32>) {
        if let Err(error) = kernel.enter_network(file.as_fd()) {
            return self.note(name, &error);
        }
        self.networks += 1;
        let interfaces = match kernel.interfaces() {
            Ok(interfaces) => interfaces,
            Err(error) => return self.note(name, &error),
        };
        let whose = |at: &str| format!("{at} in netns {inode} ({name})");
        let mut ids = [0; 64];
        let traffic = types.contains(&3) || types.contains(&4);
        for one in &interfaces {
            self.interfaces += 1;
            match one.xdp {
                XdpState::Empty => {}
                XdpState::One(attached) => {
                    let at = format!("xdp {} {}", attached.mode.as_str(), one.name);
                    self.found.push((attached.prog_id, whose(&at)));
                }
                XdpState::Other => self.note(&whose(&one.name), &"XDP is offloaded or in two modes"),
            }
            // TCX, and what netkit has in its place. EINVAL and the like: a kernel without it has nothing there.
            let places: &[u32] = if one.kind == "netkit" { &[46, 47, 54, 55] } else { &[46, 47] };
            for &place in places.iter().filter(|_| types.contains(&3)) {
                let count = kernel.attached(one.ifindex, place, &mut ids).unwrap_or_default();
                for &id in &ids[..count] {
                    self.found.push((id, whose(&format!("{} {}", words::place(place), one.name))));
                }
            }
        }
        if traffic {
            match kernel.filters() {
                Ok(filters) => {
                    for filter in filters {
                        let on = interfaces.iter().find(|one| one.ifindex == filter.ifindex);
                        let side = match filter.parent & 0xffff {
                            0xfff2 => "ingress".to_owned(),
                            0xfff3 => "egress".to_owned(),
                            _ => format!("parent {:x}", filter.parent),
                        };
                        let at = format!(
                            "tc {side} {} priority {} handle {:x}",
                            on.map_or("?", |one| &one.name),
                            filter.priority,
                            filter.handle
                        );
                        self.found.push((filter.prog_id, whose(&at)));
                    }
                }
                Err(error) => self.note(name, &error),
            }
        }
        // What a network namespace has itself.
        for (prog_type, place) in [(22, 17), (30, 36)] {
            if types.contains(&prog_type) {
                let count = kernel.attached(raw(file), place, &mut ids).unwrap_or_default();
                for &id in &ids[..count] {
                    self.found.push((id, whose(&words::place(place))));
                }
            }
        }
    }

    /// Looks at a cgroup and at all below it, at these attach types.
    pub(super) fn cgroup(&mut self, kernel: &Kernel, root: usize, path: &Path, places: &[u32]) {
        let dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path);
        let dir = match dir {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return, // gone meanwhile
            Err(error) => return self.note(&path.display().to_string(), &error),
        };
        self.cgroups += 1;
        let mut ids = [0; 64];
        for &place in places {
            let count = match kernel.attached(raw(&dir), place, &mut ids) {
                Ok(count) => count,
                // EINVAL: this kernel has no such place.
                Err(error) if error.errno == libc::EINVAL => continue,
                Err(error) => {
                    self.note(&path.display().to_string(), &error);
                    continue;
                }
            };
            for &id in &ids[..count] {
                let name = path.to_string_lossy();
                let name = name.get(root..).filter(|name| !name.is_empty()).unwrap_or("/");
                self.found.push((id, format!("cgroup {} {name}", words::place(place))));
            }
        }
        // A directory has a link for each one in it and two more: most cgroups have none, and need not be read.
        if dir.metadata().is_ok_and(|info| info.nlink() == 2) {
            return;
        }
        drop(dir);
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.cgroup(kernel, root, &entry.path(), places);
            }
        }
    }
}

fn raw(file: &File) -> u32 {
    file.as_raw_fd().cast_unsigned()
}
