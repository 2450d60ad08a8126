//! `map dump`: the entries of a stream's map, by their types.

use std::os::fd::{AsFd, OwnedFd};

use nodeplan::{
    json::Value,
    report::{Code, Exit, Reason},
};

use super::show;
use crate::{
    apply,
    kernel::{Call, Kernel, MapInfo},
    object::{Btf, hex, network},
    paths, report,
    show::{Row, cat, digits},
    state,
};

/// Most entries that are shown.
const MAX_ENTRIES: u32 = 65_536;

/// Map types without keys to walk: queue, stack, ring buffers, bloom filter, arena; and storages, whose keys are no bytes.
const WITHOUT_KEYS: &[u32] = &[19, 21, 22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33];

/// `BPF_MAP_TYPE_LPM_TRIE`.
const LPM_TRIE: u32 = 11;

/// Prints a map.
pub fn dump(kernel: &Kernel, stream: &str, map: &str, as_json: bool) -> Exit {
    match apply::require_kernel(kernel).map_err(|cannot| cannot.reason).and_then(|()| read(kernel, stream, map)) {
        Ok(value) => show(&value, as_json),
        Err(Reason { code, message }) => {
            report::log(3, &cat(&[code.as_str(), " ", &message]));
            Exit::CannotRun
        }
    }
}

fn read(kernel: &Kernel, stream: &str, name: &str) -> Result<Value, Reason> {
    let call = |error: crate::kernel::CallError| Reason { code: Code::Kernel, message: error.to_string() };
    let absent = |what: &str| Reason {
        code: Code::NoSuchMap,
        message: cat(&[
            "stream `",
            stream,
            "` has ",
            what,
            " `",
            name,
            "`; nodebpf-loader inventory lists what there is",
        ]),
    };
    let fd = match find(kernel, stream, name).map_err(call)? {
        Found::Map(fd) => fd,
        Found::NoMap => return Err(absent("no map")),
        Found::NoStream => {
            let message = cat(&["stream `", stream, "` is not loaded; nodebpf-loader status lists the streams"]);
            return Err(Reason { code: Code::NoSuchMap, message });
        }
    };
    let info = kernel.map_info(fd.as_fd()).map_err(call)?;
    if WITHOUT_KEYS.contains(&info.map_type) {
        return Err(absent("no keys to walk in"));
    }
    entries(kernel, &fd, &info).map_err(call)
}

/// What there is of a map.
enum Found {
    Map(OwnedFd),
    NoMap,
    NoStream,
}

/// The map in the version that runs.
fn find(kernel: &Kernel, stream: &str, map: &str) -> Call<Found> {
    let mut found = Found::NoStream;
    // Names from the command line are looked for among those that are there: no path is made of them.
    let dir = paths::pins();
    for stream in kernel.names(&dir)?.iter().filter(|one| *one == stream) {
        let dir = dir.join(stream);
        for version in kernel.names(&dir)? {
            found = Found::NoMap;
            let dir = dir.join(version).join("maps");
            if kernel.names(&dir)?.iter().any(|one| one == map) {
                return kernel.open_pin(&dir.join(map)).map(Found::Map);
            }
        }
    }
    Ok(found)
}

fn entries(kernel: &Kernel, fd: &OwnedFd, info: &MapInfo) -> Call<Value> {
    let btf = match info.btf[0] {
        0 => None,
        id => Btf::parse(kernel.btf_bytes(id)?),
    };
    let typed = |at: usize, bytes: &[u8]| match &btf {
        Some(btf) => btf.render(info.btf[at], bytes),
        None => hex(bytes),
    };
    let size = info.value_size as usize;
    let copies = if info.is_per_cpu() { state::possible_cpus() } else { 1 };
    let stride = size.next_multiple_of(8);
    let mut value = vec![0; (stride * copies).max(8)];
    let mut key = vec![0; info.key_size as usize];
    let (mut first, mut list, mut left) = (true, Vec::new(), info.max_entries);
    while kernel.map_next_key(fd.as_fd(), first, &mut key)? {
        first = false;
        // A hash that changes meanwhile may begin anew for ever.
        if left == 0 || list.len() >= MAX_ENTRIES as usize {
            report::log(4, &cat(&["only the first ", &digits(list.len() as u64), " entries are shown"]));
            break;
        }
        left -= 1;
        let mut row = Row::default();
        let shown = if info.map_type == LPM_TRIE { network(&key) } else { None };
        row.put("key", shown.unwrap_or_else(|| typed(1, &key)));
        match kernel.map_lookup(fd.as_fd(), &key, &mut value) {
            Ok(()) if copies > 1 || info.is_per_cpu() => {
                let each = value.chunks(stride).take(copies);
                let each = each.map(|one| typed(2, one.get(..size).unwrap_or_default()));
                row.put("values", Value::List(each.collect()));
            }
            Ok(()) => row.put("value", typed(2, value.get(..size).unwrap_or_default())),
            // An empty slot of an array of programs, or gone meanwhile.
            Err(error) if error.errno == libc::ENOENT => continue,
            Err(error) => row.text("error", &error.to_string()),
        }
        list.push(row.done());
    }
    let mut page = Row::default();
    page.number("type", info.map_type.into());
    page.number("maxEntries", info.max_entries.into());
    page.put("entries", Value::List(list));
    Ok(page.done())
}
