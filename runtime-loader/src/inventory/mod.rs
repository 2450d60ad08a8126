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
    os::fd::{AsFd, AsRawFd},
    path::Path,
};

use nodeplan::{
    digest::to_hex,
    json::Value,
    sorted::{SortedMap, SortedSet},
};

use self::{places::Places, processes::Object};
use crate::{
    kernel::{Call, CallError, Kernel, LinkDetail, Listed, MapInfo, ProgInfo},
    object::KernelBtf,
    paths,
    show::{number, object, text},
};

/// Slots of a program array that are looked at.
const MAX_SLOTS: u32 = 4096;

/// Everything of one kind, and the ids that could not be opened.
fn all<T>(
    kernel: &Kernel,
    of: Listed,
    hidden: &mut Vec<String>,
    describe: impl Fn(u32, std::os::fd::OwnedFd) -> Call<T>,
) -> Call<Vec<T>> {
    let (mut list, mut id) = (Vec::new(), 0);
    while let Some(next) = kernel.next_id(of, id)? {
        id = next;
        match kernel.by_id(of, id).and_then(|fd| describe(id, fd)) {
            Ok(one) => list.push(one),
            // Gone between two calls.
            Err(error) if error.errno == libc::ENOENT => {}
            Err(error) => hidden.push(error.to_string()),
        }
    }
    Ok(list)
}

/// What the kernel holds.
struct Objects {
    programs: Vec<ProgInfo>,
    maps: Vec<MapInfo>,
    /// With their ids and places.
    links: Vec<(u32, LinkDetail, String)>,
    btf: Vec<(u32, String, bool)>,
    /// Program, map and index: ends of tail calls.
    slots: Vec<(u32, String)>,
}

impl Objects {
    fn list(kernel: &Kernel, hidden: &mut Vec<String>) -> Call<Self> {
        let programs = all(kernel, Listed::Program, hidden, |_, fd| kernel.prog_info(fd.as_fd()))?;
        let slots = std::cell::RefCell::new(Vec::new());
        let maps = all(kernel, Listed::Map, hidden, |id, fd| {
            let info = kernel.map_info(fd.as_fd())?;
            // BPF_MAP_TYPE_PROG_ARRAY: a value is the id of a program.
            if info.map_type == 3 {
                let mut value = [0; 8];
                for index in 0..info.max_entries.min(MAX_SLOTS) {
                    if kernel.map_lookup(fd.as_fd(), &index.to_ne_bytes(), &mut value).is_ok() {
                        let [a, b, c, d, ..] = value;
                        let at = format!("slot {index} of map {id}");
                        slots.borrow_mut().push((u32::from_ne_bytes([a, b, c, d]), at));
                    }
                }
            }
            Ok(info)
        })?;
        let btf = all(kernel, Listed::Btf, hidden, |id, fd| {
            let (name, of_kernel) = kernel.btf_name(fd.as_fd())?;
            Ok((id, name, of_kernel))
        })?;
        let links = all(kernel, Listed::Link, hidden, |id, fd| Ok((id, kernel.link_detail(fd.as_fd())?)))?;
        // The kernel's types are read only if a link leads to one of its functions.
        let types = KernelBtf::default();
        let vmlinux = btf.iter().find(|(_, name, _)| name == "vmlinux").map(|(id, ..)| *id);
        let mut function = |btf, id| if Some(btf) == vmlinux { types.name(id) } else { None };
        let mut named = Vec::new();
        for (id, detail) in links {
            let place = words::target(&detail, &mut function);
            named.push((id, detail, place));
        }
        Ok(Self { programs, maps, links: named, btf, slots: slots.into_inner() })
    }
}

/// Pins below `dir`, by what they are.
fn pins(kernel: &Kernel, dir: &Path, found: &mut Vec<(Object, String)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pins(kernel, &path, found);
        } else if let Ok(fd) = kernel.open_pin(&path) {
            let of = processes::object(&format!("/proc/self/fdinfo/{}", fd.as_raw_fd()));
            found.extend(of.map(|of| (of, path.display().to_string())));
        }
    }
}

/// Whose the pin is, if its place tells.
fn owner(pin: &str) -> Option<String> {
    let ours = pin.strip_prefix(&*paths::pins().to_string_lossy()).and_then(|rest| rest.strip_prefix('/'));
    match ours {
        Some(rest) => Some(format!("nodebpf/{}", rest.split('/').next().unwrap_or_default())),
        None => pin.contains("/xdp/dispatch-").then(|| "libxdp".to_owned()),
    }
}

/// Of `…/xdp/dispatch-<ifindex>-<program>/…` the program.
fn dispatcher(pin: &str) -> Option<u32> {
    let (_, rest) = pin.split_once("/xdp/dispatch-")?;
    rest.split('/').next()?.rsplit('-').next()?.parse().ok()
}

/// Who owns what.
fn owners(objects: &Objects, pins: &[(Object, String)]) -> SortedMap<Object, String> {
    let mut owners = SortedMap::new();
    for (of, pin) in pins {
        if let Some(dispatcher) = dispatcher(pin) {
            owners.insert(("prog", dispatcher), "libxdp".to_owned());
        }
        // A program of ours is pinned in libxdp's directory, too.
        if let Some(owner) = owner(pin)
            && (owner != "libxdp" || !owners.contains_key(of))
        {
            owners.insert(*of, owner);
        }
    }
    for program in &objects.programs {
        let Some(owner) = owners.get(&("prog", program.id)).cloned() else { continue };
        for id in program.map_ids.iter().filter(|_| owner != "libxdp") {
            owners.insert(("map", *id), owner.clone());
        }
        for (id, ..) in objects.links.iter().filter(|(_, link, _)| link.prog_id == program.id) {
            owners.insert(("link", *id), owner.clone());
        }
    }
    owners
}

/// Takes the inventory.
pub fn take(kernel: &Kernel) -> Result<Value, CallError> {
    let mut hidden = Vec::new();
    let objects = Objects::list(kernel, &mut hidden)?;
    let seen = processes::look().map_err(|_| CallError { call: "readdir", what: "/proc".into(), errno: libc::EIO })?;
    let mut found = Vec::new();
    for root in seen.bpffs.values() {
        pins(kernel, root, &mut found);
    }
    let owners = owners(&objects, &found);
    let mut types = SortedSet::new();
    for program in &objects.programs {
        types.insert(program.prog_type);
    }
    let mut places = Places::default();
    let mut kinds = Vec::new();
    for prog_type in &types {
        kinds.extend_from_slice(words::cgroup_places(*prog_type));
    }
    for root in seen.cgroups.values() {
        places.cgroup(kernel, root.as_os_str().len(), root, &kinds);
    }
    let home = fs::File::open("/proc/self/ns/net");
    for (inode, (name, file)) in &seen.networks {
        places.network(kernel, name, *inode, file, &types);
    }
    if let Ok(home) = home {
        // The process ends soon; nothing is looked at any more.
        let _ = kernel.enter_network(home.as_fd());
    }
    places.found.extend(objects.slots.iter().cloned());
    for (_, link, place) in &objects.links {
        // Links to interfaces and cgroups say less than the walk; only where it did not find them they speak.
        let walked = matches!(link.link_type, 3 | 5 | 6 | 11 | 13);
        if !walked || !places.found.iter().any(|(id, _)| *id == link.prog_id) {
            let unfound = if walked { " (not found there)" } else { "" };
            places.found.push((link.prog_id, format!("{place}{unfound}")));
        }
    }
    let about = |of: Object| {
        let mut row = vec![("owner", text(owners.get(&of).map_or("unknown", String::as_str)))];
        for (key, list) in [("pins", &found), ("processes", &seen.holders)] {
            let mut names: Vec<&String> = list.iter().filter(|(one, _)| *one == of).map(|(_, name)| name).collect();
            names.dedup();
            if !names.is_empty() {
                row.push((key, Value::List(names.into_iter().map(|name| text(name)).collect())));
            }
        }
        row
    };
    let (mut programs, mut unattributed) = (Vec::new(), Vec::new());
    for one in &objects.programs {
        let mut row = vec![
            ("id", number(one.id.into())),
            ("type", text(&words::program(one.prog_type))),
            ("name", text(&one.name)),
            ("tag", text(&to_hex(&one.tag))),
        ];
        let at: Vec<Value> = places.found.iter().filter(|(id, _)| *id == one.id).map(|(_, at)| text(at)).collect();
        if at.is_empty() {
            unattributed.push(number(one.id.into()));
        } else {
            row.push(("places", Value::List(at)));
        }
        row.extend(about(("prog", one.id)));
        programs.push(object(row));
    }
    let mut links = Vec::new();
    for (id, link, place) in &objects.links {
        let mut row = vec![
            ("id", number((*id).into())),
            ("type", text(&words::link(link.link_type))),
            ("program", number(link.prog_id.into())),
            ("place", text(place)),
        ];
        row.extend(about(("link", *id)));
        links.push(object(row));
    }
    let mut maps = Vec::new();
    for one in &objects.maps {
        let mut row =
            vec![("id", number(one.id.into())), ("type", text(&words::map(one.map_type))), ("name", text(&one.name))];
        row.extend(about(("map", one.id)));
        maps.push(object(row));
    }
    let mut btf = Vec::new();
    for (id, name, of_kernel) in &objects.btf {
        let row = vec![("id", number((*id).into())), ("name", text(name)), ("kernel", Value::Bool(*of_kernel))];
        btf.push(object(row));
    }
    let searched = object(vec![
        ("processes", number(seen.processes)),
        ("processesClosed", number(seen.closed)),
        ("networkNamespaces", number(places.networks)),
        ("interfaces", number(places.interfaces)),
        ("cgroups", number(places.cgroups)),
        ("bpffs", Value::List(seen.bpffs.values().map(|path| text(&path.to_string_lossy())).collect())),
    ]);
    let failed = hidden.iter().chain(&places.failed).map(|line| text(line)).collect();
    Ok(object(vec![
        ("programs", Value::List(programs)),
        ("links", Value::List(links)),
        ("maps", Value::List(maps)),
        ("btf", Value::List(btf)),
        ("searched", searched),
        ("notSearched", Value::List(failed)),
        ("withoutPlace", Value::List(unattributed)),
    ]))
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
