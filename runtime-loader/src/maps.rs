//! Maps: what the plan says about them, beyond what the object says: slots of program arrays, state that survives
//! updates, and the memory that all of it takes.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nodeplan::{
    map_memory,
    name::{MapName, ProgramName},
    plan::{Map, Slot},
    report::{Code, Reason},
    sorted::SortedMap,
    text,
};

use crate::{
    kernel::{Call, Kernel, MapInfo},
    object::{Btf, Loaded, ObjectError, shape},
    show, state,
};

/// Finds the map of a name in what ran before.
pub type Kept<'a> = &'a dyn Fn(&str) -> Call<Option<OwnedFd>>;

/// Refuses two objects with a map of one name: each would have a map of its own, and the plan and the pins of the
/// stream know one of that name. Sections have a dot, are pinned nowhere, and may be of one name.
pub fn named_once(loaded: &[Loaded]) -> Result<(), Reason> {
    let mut names = Vec::new();
    for object in loaded {
        names.extend(object.maps.iter().map(|(name, _)| &**name).filter(|name| MapName::try_from(*name).is_ok()));
    }
    match text::twice(names) {
        None => Ok(()),
        Some(name) => {
            let message = format!("two of its objects have a map `{name}`; rename one");
            Err(Reason { code: Code::MapTwice, message })
        }
    }
}

/// What the plan says about the map `name`.
pub fn said<'a>(maps: &'a SortedMap<MapName, Map>, name: &str) -> Option<&'a Map> {
    maps.get(&MapName::try_from(name).ok()?)
}

/// Puts programs into a program array, and freezes it: a tail call takes what the bundle says, for as long as it runs.
pub fn fill_slots(
    kernel: &Kernel,
    map: BorrowedFd<'_>,
    slots: &[Slot],
    programs: &SortedMap<ProgramName, OwnedFd>,
) -> Result<(), ObjectError> {
    for slot in slots {
        let Some(program) = programs.get(&slot.program) else {
            let text = format!("slot {} needs program `{}` in the same object", slot.index, slot.program);
            return Err(ObjectError::Elf(text));
        };
        kernel.map_update(map, &slot.index.to_ne_bytes(), &program.as_fd().as_raw_fd().to_ne_bytes())?;
    }
    if slots.is_empty() { Ok(()) } else { Ok(kernel.map_freeze(map)?) }
}

/// The state map of what ran before if it has the shape of the new one, else the new one.
pub fn kept(kernel: &Kernel, kept: Kept<'_>, name: &str, new: OwnedFd) -> Call<OwnedFd> {
    let Some(old) = kept(name)? else { return Ok(new) };
    // No state: nobody could write to it any more. Without a record only the map itself says so.
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", old.as_raw_fd())).unwrap_or_default();
    if show::has(&info, "frozen:\t1") {
        return Ok(new);
    }
    let same = same_shape(kernel, &kernel.map_info(old.as_fd())?, &kernel.map_info(new.as_fd())?)?;
    Ok(if same { old } else { new })
}

/// Whether two maps are equal in type, sizes, flags, and the types of keys and values.
pub fn same_shape(kernel: &Kernel, a: &MapInfo, b: &MapInfo) -> Call<bool> {
    let plain =
        |info: &MapInfo| (info.map_type, info.key_size, info.value_size, info.max_entries, info.flags, info.extra);
    if plain(a) != plain(b) || (a.btf[0] == 0) != (b.btf[0] == 0) {
        return Ok(false);
    }
    if a.btf[0] == 0 || a.btf == b.btf {
        return Ok(true);
    }
    let (x, y) = (kernel.btf_bytes(a.btf[0])?, kernel.btf_bytes(b.btf[0])?);
    let (Some(x), Some(y)) = (Btf::parse(x), Btf::parse(y)) else { return Ok(false) };
    Ok((1..3).all(|at| match (shape(&x, a.btf[at]), shape(&y, b.btf[at])) {
        (Some(x), Some(y)) => x == y,
        _ => false,
    }))
}

/// Memory that a map can come to take on this node, in bytes.
pub fn memory(info: &MapInfo) -> u64 {
    map_memory::bytes(info.map_type, info.key_size, info.value_size, info.max_entries, state::possible_cpus())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_map_name_is_one_objects() {
        let object = |names: &[&str]| Loaded {
            programs: SortedMap::new(),
            maps: names.iter().map(|name| ((*name).to_owned(), File::open("/dev/null").unwrap().into())).collect(),
        };
        assert!(named_once(&[object(&["a", ".rodata"]), object(&["b", ".rodata"])]).is_ok(), "sections are no maps");
        let reason = named_once(&[object(&["a"]), object(&["b", "a"])]).unwrap_err();
        assert!(reason.code == Code::MapTwice && reason.message.contains("`a`"), "{reason:?}");
    }
}
