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

use super::{processes::Network, words};
use crate::{
    kernel::{Kernel, XdpState},
    show::{cat, digits},
};

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
    #[inline(never)]
    fn note(&mut self, what: &str, error: &dyn std::fmt::Display) {
        self.failed.push(cat(&[what, ": ", &error.to_string()]));
    }

    /// Asks what is attached by one attach type.
    #[inline(never)]
    fn query(
        &mut self,
        kernel: &Kernel,
        target: u32,
        place: u32,
        before: &str,
        behind: &str,
    ) -> crate::kernel::Call<()> {
        let mut ids = [0; 64];
        let count = kernel.attached(target, place, &mut ids)?;
        for &id in &ids[..count] {
            self.found.push((id, cat(&[before, &words::place(place), " ", behind])));
        }
        Ok(())
    }

    /// Looks at one network namespace, by going there. `types` are the types of programs that exist at all.
    pub(super) fn network(&mut self, kernel: &Kernel, network: &Network, types: &[u32]) {
        let whose = cat(&[" in netns ", &digits(network.inode), " (", &network.name, ")"]);
        let entered = kernel.enter_network(network.file.as_fd());
        let interfaces = match entered.and_then(|()| kernel.interfaces()) {
            Ok(interfaces) => interfaces,
            Err(error) => return self.note(&whose, &error),
        };
        self.networks += 1;
        for one in &interfaces {
            self.interfaces += 1;
            let at = cat(&[&one.name, &whose]);
            match one.xdp {
                XdpState::Empty => {}
                XdpState::One(attached) => {
                    self.found.push((attached.prog_id, cat(&["xdp ", attached.mode.as_str(), " ", &at])));
                }
                XdpState::Other => self.note(&at, &"XDP is offloaded or in two modes"),
            }
            // TCX, and what netkit has in its place. EINVAL and the like: a kernel without it has nothing there.
            let places: &[u32] = if one.kind == "netkit" { &[46, 47, 54, 55] } else { &[46, 47] };
            for &place in places.iter().filter(|_| types.contains(&3)) {
                let _ = self.query(kernel, one.ifindex, place, "", &at);
            }
        }
        if types.contains(&3) {
            match kernel.filters() {
                Ok(filters) => {
                    for filter in filters {
                        let on = interfaces.iter().find(|one| one.ifindex == filter.ifindex);
                        let side = match filter.parent & 0xffff {
                            0xfff2 => "tc ingress ",
                            0xfff3 => "tc egress ",
                            _ => "tc qdisc ",
                        };
                        let (priority, handle) = (digits(filter.priority.into()), digits(filter.handle.into()));
                        let name = on.map_or("?", |one| &one.name);
                        let at = cat(&[side, name, " priority ", &priority, " handle ", &handle, &whose]);
                        self.found.push((filter.prog_id, at));
                    }
                }
                Err(error) => self.note(&whose, &error),
            }
        }
        // What a network namespace has itself.
        for (prog_type, place) in [(22, 17), (30, 36)] {
            if types.contains(&prog_type) {
                let _ = self.query(kernel, raw(&network.file), place, "", &whose);
            }
        }
    }

    /// Looks at a cgroup and at all below it, at these attach types.
    pub(super) fn cgroup(&mut self, kernel: &Kernel, root: usize, path: &Path, places: &[u32]) {
        let dir = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path);
        let dir = match dir {
            Ok(dir) => dir,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return, // gone meanwhile
            Err(error) => return self.note(&path.to_string_lossy(), &error),
        };
        self.cgroups += 1;
        let full = path.to_string_lossy();
        let name = full.get(root..).filter(|name| !name.is_empty()).unwrap_or("/");
        for &place in places {
            match self.query(kernel, raw(&dir), place, "cgroup ", name) {
                // EINVAL: this kernel has no such place.
                Err(error) if error.errno != libc::EINVAL => self.note(name, &error),
                _ => {}
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
