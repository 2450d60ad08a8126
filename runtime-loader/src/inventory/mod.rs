//! Inventory: every program, map, link and BTF of the kernel, where it is attached, who holds it, and whose it is.
//!
//! In: the kernel, /proc, all BPF file systems, all network namespaces and cgroups that can be reached.
//! Out: one value, shown by `inventory`. What could not be looked at, and what could not be told, stands in it.
//! Fails only where objects cannot be listed at all.
//!
//! Ours is what is pinned below our directory, and what such a program uses. libxdp's is what is pinned in its
//! directories, and the dispatchers themselves. A name alone is no evidence: 15 bytes that anybody can choose.

mod places;
mod processes;
mod words;

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::Path,
};

use nodeplan::{digest::to_hex, json::Value};

use self::{
    places::Places,
    processes::{Object, Seen},
};
use crate::{
    kernel::{Call, CallError, Kernel, LinkDetail, Listed, MapInfo, ProgInfo},
    object::KernelBtf,
    paths,
    show::{Row, cat, digits, text},
};

/// How libxdp's directories begin.
const DISPATCH: &str = "/xdp/dispatch-";
const LIBXDP: &str = "libxdp";

/// Slots of a program array that are looked at.
const MAX_SLOTS: u32 = 4096;

/// Everything of one kind; the ids that could not be opened are noted.
#[inline(never)]
fn all(
    kernel: &Kernel,
    of: Listed,
    hidden: &mut Vec<String>,
    describe: &mut dyn FnMut(u32, BorrowedFd<'_>) -> Call<()>,
) -> Call<()> {
    let mut id = 0;
    while let Some(next) = kernel.next_id(of, id)? {
        id = next;
        match kernel.by_id(of, id).and_then(|fd| describe(id, fd.as_fd())) {
            Ok(()) => {}
            // Gone between two calls.
            Err(error) if error.errno == libc::ENOENT => {}
            Err(error) => hidden.push(error.to_string()),
        }
    }
    Ok(())
}

/// What the kernel holds.
#[derive(Default)]
struct Objects {
    programs: Vec<ProgInfo>,
    maps: Vec<MapInfo>,
    /// With their ids and places.
    links: Vec<(u32, LinkDetail, String)>,
    btf: Vec<(u32, String, bool)>,
    /// Programs, and where tail calls end in them.
    slots: Vec<(u32, String)>,
}

impl Objects {
    fn list(kernel: &Kernel, hidden: &mut Vec<String>) -> Call<Self> {
        let mut found = Self::default();
        all(kernel, Listed::Program, hidden, &mut |_, fd| {
            found.programs.push(kernel.prog_info(fd)?);
            Ok(())
        })?;
        all(kernel, Listed::Map, hidden, &mut |id, fd| {
            let info = kernel.map_info(fd)?;
            // BPF_MAP_TYPE_PROG_ARRAY: a value is the id of a program.
            let slots = if info.map_type == 3 { info.max_entries.min(MAX_SLOTS) } else { 0 };
            found.maps.push(info);
            for index in 0..slots {
                let mut value = [0; 4];
                if kernel.map_lookup(fd, &index.to_ne_bytes(), &mut value).is_ok() {
                    let at = cat(&["slot ", &digits(index.into()), " of map ", &digits(id.into())]);
                    found.slots.push((u32::from_ne_bytes(value), at));
                }
            }
            Ok(())
        })?;
        all(kernel, Listed::Btf, hidden, &mut |id, fd| {
            let (name, of_kernel) = kernel.btf_name(fd)?;
            found.btf.push((id, name, of_kernel));
            Ok(())
        })?;
        // The kernel's types are read only if a link leads to one of its functions.
        let types = KernelBtf::default();
        let vmlinux = found.btf.iter().find(|(_, name, _)| name == "vmlinux").map(|(id, ..)| *id);
        let mut function = |btf, id| if Some(btf) == vmlinux { types.name(id) } else { None };
        all(kernel, Listed::Link, hidden, &mut |id, fd| {
            let detail = kernel.link_detail(fd)?;
            let place = words::target(&detail, &mut function);
            found.links.push((id, detail, place));
            Ok(())
        })?;
        Ok(found)
    }
}

/// Pins below `dir`, by what they are.
fn pins(kernel: &Kernel, dir: &Path, found: &mut Vec<(Object, String)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pins(kernel, &path, found);
        } else if let Ok(fd) = kernel.open_pin(&path) {
            let info = cat(&["/proc/self/fdinfo/", &digits(fd.as_raw_fd().unsigned_abs().into())]);
            if let Some(of) = processes::object(&info) {
                found.push((of, path.to_string_lossy().into_owned()));
            }
        }
    }
}

/// Whose the pin is, if its place tells.
fn owner(pin: &str) -> Option<String> {
    let ours = pin.strip_prefix(&*paths::pins().to_string_lossy()).and_then(|rest| rest.strip_prefix('/'));
    match ours {
        Some(rest) => Some(cat(&["nodebpf/", rest.split('/').next().unwrap_or_default()])),
        None => pin.contains(DISPATCH).then(|| LIBXDP.to_owned()),
    }
}

/// Of `…/xdp/dispatch-<ifindex>-<program>/…` the program.
fn dispatcher(pin: &str) -> Option<u32> {
    let rest = pin.get(pin.find(DISPATCH)? + DISPATCH.len()..)?;
    rest.split('/').next()?.rsplit('-').next()?.parse().ok()
}

/// Owners by what they own. The first one counts.
#[derive(Default)]
struct Owners(Vec<(Object, String)>);

impl Owners {
    fn get(&self, of: Object) -> Option<&str> {
        self.0.iter().find(|(one, _)| *one == of).map(|(_, owner)| owner.as_str())
    }

    #[inline(never)]
    fn add(&mut self, of: Object, owner: &str) {
        if self.get(of).is_none() {
            self.0.push((of, owner.to_owned()));
        }
    }

    fn find(objects: &Objects, pins: &[(Object, String)]) -> Self {
        let mut owners = Self::default();
        // A program of ours is pinned in libxdp's directory, too: ours first.
        for ours in [true, false] {
            for (of, pin) in pins {
                if let Some(owner) = owner(pin).filter(|owner| (owner != LIBXDP) == ours) {
                    owners.add(*of, &owner);
                }
            }
        }
        for (_, pin) in pins {
            if let Some(dispatcher) = dispatcher(pin) {
                owners.add(("prog", dispatcher), LIBXDP);
            }
        }
        for program in &objects.programs {
            let Some(owner) = owners.get(("prog", program.id)).map(str::to_owned) else { continue };
            for id in program.map_ids.iter().filter(|_| owner != LIBXDP) {
                owners.add(("map", *id), &owner);
            }
            for (id, ..) in objects.links.iter().filter(|(_, link, _)| link.prog_id == program.id) {
                owners.add(("link", *id), &owner);
            }
        }
        owners
    }
}

/// Everything that rows are made of.
struct Found {
    objects: Objects,
    seen: Seen,
    pins: Vec<(Object, String)>,
    owners: Owners,
    places: Places,
}

/// Adds those texts that are about one thing.
#[inline(never)]
fn about<T: PartialEq>(row: &mut Row, key: &str, list: &[(T, String)], of: &T) {
    let mut texts: Vec<&str> = Vec::new();
    for (one, name) in list {
        if one == of && texts.last() != Some(&name.as_str()) {
            texts.push(name);
        }
    }
    if !texts.is_empty() {
        row.texts(key, &texts);
    }
}

impl Found {
    /// The beginning of a row, and its end.
    #[inline(never)]
    fn row(&self, of: Object, kind: &str, middle: &[(&str, &str)]) -> Value {
        let mut row = Row::default();
        row.number("id", of.1.into());
        row.text("type", kind);
        for (key, value) in middle {
            row.text(key, value);
        }
        if of.0 == "prog" {
            about(&mut row, "places", &self.places.found, &of.1);
        }
        row.text("owner", self.owners.get(of).unwrap_or("unknown"));
        about(&mut row, "pins", &self.pins, &of);
        about(&mut row, "processes", &self.seen.holders, &of);
        row.done()
    }

    fn page(&self, hidden: &[String]) -> Value {
        let (mut programs, mut links, mut maps, mut btf) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut nowhere = Vec::new();
        for one in &self.objects.programs {
            let tag = to_hex(&one.tag);
            let names = [("name", one.name.as_str()), ("tag", &tag)];
            programs.push(self.row(("prog", one.id), &words::program(one.prog_type), &names));
            if !self.places.found.iter().any(|(id, _)| *id == one.id) {
                nowhere.push(Value::Integer(one.id.into()));
            }
        }
        for (id, link, place) in &self.objects.links {
            let names = [("program", &*digits(link.prog_id.into())), ("place", place.as_str())];
            links.push(self.row(("link", *id), &words::link(link.link_type), &names));
        }
        for one in &self.objects.maps {
            maps.push(self.row(("map", one.id), &words::map(one.map_type), &[("name", &one.name)]));
        }
        for (id, name, of_kernel) in &self.objects.btf {
            let kind = if *of_kernel { "kernel" } else { "program" };
            btf.push(self.row(("btf", *id), kind, &[("name", name)]));
        }
        let mut searched = Row::default();
        for (key, count) in [
            ("processes", self.seen.processes),
            ("processesClosed", self.seen.closed),
            ("networkNamespaces", self.places.networks),
            ("interfaces", self.places.interfaces),
            ("cgroups", self.places.cgroups),
            ("bpffs", self.seen.bpffs.len() as u64),
        ] {
            searched.number(key, count);
        }
        let mut failed = Vec::new();
        for line in hidden.iter().chain(&self.places.failed) {
            failed.push(text(line));
        }
        let mut page = Row::default();
        for (key, list) in [("programs", programs), ("links", links), ("maps", maps), ("btf", btf)] {
            page.put(key, Value::List(list));
        }
        page.put("searched", searched.done());
        page.put("notSearched", Value::List(failed));
        page.put("withoutPlace", Value::List(nowhere));
        page.done()
    }
}

/// Takes the inventory.
pub fn take(kernel: &Kernel) -> Result<Value, CallError> {
    let mut hidden = Vec::new();
    let objects = Objects::list(kernel, &mut hidden)?;
    let seen = processes::look().map_err(|_| CallError { call: "readdir", what: "/proc".into(), errno: libc::EIO })?;
    let mut found = Vec::new();
    for (_, root) in &seen.bpffs {
        pins(kernel, Path::new(root), &mut found);
    }
    let owners = Owners::find(&objects, &found);
    let mut types = Vec::new();
    for program in &objects.programs {
        if !types.contains(&program.prog_type) {
            types.push(program.prog_type);
        }
    }
    let mut places = Places::default();
    let mut kinds = Vec::new();
    for prog_type in &types {
        kinds.extend_from_slice(words::cgroup_places(*prog_type));
    }
    for (_, root) in &seen.cgroups {
        places.cgroup(kernel, root.len(), Path::new(root), &kinds);
    }
    let home = fs::File::open(Path::new("/proc/self/ns/net"));
    for one in &seen.networks {
        places.network(kernel, one, &types);
    }
    if let Ok(home) = home {
        // The process ends soon; nothing is looked at any more.
        let _ = kernel.enter_network(home.as_fd());
    }
    places.found.extend_from_slice(&objects.slots);
    for (_, link, place) in &objects.links {
        // Links to interfaces and cgroups say less than the walk; only where it did not find them they speak.
        let walked = matches!(link.link_type, 3 | 5 | 6 | 11 | 13);
        if !walked || !places.found.iter().any(|(id, _)| *id == link.prog_id) {
            let unfound = if walked { " (not found there)" } else { "" };
            places.found.push((link.prog_id, cat(&[place, unfound])));
        }
    }
    Ok(Found { objects, seen, pins: found, owners, places }.page(&hidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_tell_owners() {
        for (pin, whose, dispatches) in [
            ("/sys/fs/bpf/nodebpf/netops-drop/abc/programs/p", Some("nodebpf/netops-drop"), None),
            ("/sys/fs/bpf/xdp/dispatch-2-77/prog0-prog", Some("libxdp"), Some(77)),
            ("/proc/9/root/run/x/xdp/dispatch-2-8/prog0-link", Some("libxdp"), Some(8)),
            ("/sys/fs/bpf/nodebpfx/netops-drop", None, None),
            ("/sys/fs/bpf/cilium/x", None, None),
        ] {
            assert_eq!(owner(pin).as_deref(), whose, "{pin}");
            assert_eq!(dispatcher(pin), dispatches, "{pin}");
        }
    }
}
