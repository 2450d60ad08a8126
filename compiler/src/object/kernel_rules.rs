//! Kernel rules: what `BPF_BTF_LOAD` refuses of an object's BTF, as far as it can be told without the kernel.
//!
//! In:   the bytes that a loader would give the kernel. Out: nothing. May fail with: a sentence that names the type.
//!
//! Source: linux `kernel/bpf/btf.c`: `btf_parse_hdr`, `btf_check_all_metas` (`btf_*_check_meta`) and
//! `btf_check_all_types` (`btf_*_resolve`, `btf_func_check`).

use super::{
    btf::TypeId,
    types::{Type, Types, kind},
};

/// Longest chain that the kernel follows while it resolves one type: `MAX_RESOLVE_DEPTH`.
const MAX_DEPTH: usize = 32;
/// `BTF_MAX_TYPE` and `BTF_MAX_NAME_OFFSET`, linux `include/uapi/linux/btf.h`.
const MAX_TYPE: u32 = 0x000f_ffff;
const MAX_NAME_OFFSET: usize = 0x00ff_ffff;
/// `KSYM_NAME_LEN` with the closing NUL.
const NAME_BYTES: usize = 512;

type Verdict = Result<(), &'static str>;

/// Checks a whole BTF blob.
pub fn check(blob: &[u8]) -> Result<(), String> {
    layout(blob).map_err(str::to_owned)?;
    let types = Types::parse(blob).map_err(|error| error.0.to_owned())?;
    let strings = types.strings();
    if strings.first() != Some(&0) || strings.len() - 1 > MAX_NAME_OFFSET {
        return Err("its strings do not begin with an empty one".to_owned());
    }
    let named = |id: TypeId, why: &str| {
        let name: String = types.name(id).chars().filter(|c| !c.is_control()).take(60).collect();
        if name.is_empty() { format!("type {id} {why}") } else { format!("type {id} (`{name}`) {why}") }
    };
    for (id, found) in types.iter() {
        meta(&types, &found).map_err(|why| named(id, why))?;
    }
    for (id, found) in types.iter() {
        meaning(&types, id, &found).map_err(|why| named(id, why))?;
    }
    Ok(())
}

/// The header: types first, strings behind them, nothing else.
fn layout(blob: &[u8]) -> Verdict {
    let word = |index: usize| {
        let bytes = blob.get(index * 4..index * 4 + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let (Some(header), Some(types), Some(type_bytes), Some(strings), Some(string_bytes)) =
        (word(1), word(2), word(3), word(4), word(5))
    else {
        return Err("its header is too short");
    };
    if blob.get(3) != Some(&0) {
        return Err("its header has flags");
    }
    let total = 24u64 + u64::from(type_bytes) + u64::from(string_bytes);
    let ordered = header == 24 && types == 0 && strings == type_bytes && total == blob.len() as u64;
    if !ordered || type_bytes % 4 != 0 {
        return Err("its tables do not follow each other");
    }
    if type_bytes == 0 || string_bytes == 0 {
        return Err("it has no types or no strings");
    }
    Ok(())
}

fn is_name(bytes: &[u8]) -> bool {
    let first = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.'));
    first
        && bytes.len() < NAME_BYTES
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
}

/// What is judged of one type alone.
fn meta(types: &Types<'_>, found: &Type<'_>) -> Verdict {
    if found.info & !0x9f00_ffff != 0 {
        return Err("has unknown bits");
    }
    let name = types.bytes(found.name).ok_or("has a name outside the strings")?;
    let named = || if is_name(name) { Ok(()) } else { Err("has a name that is none") };
    let nameless = || if found.name == 0 { Ok(()) } else { Err("must not have a name") };
    let perhaps_named = || if found.name == 0 { Ok(()) } else { named() };
    let plain = || if found.count() == 0 && !found.flag() { Ok(()) } else { Err("has a count or flag") };
    let refers = || if found.word <= MAX_TYPE { Ok(()) } else { Err("refers to a type that cannot be") };
    match found.kind() {
        kind::INT => plain().and_then(|()| int(found)),
        kind::PTR | kind::VOLATILE | kind::CONST | kind::RESTRICT => plain().and(nameless()).and(refers()),
        kind::TYPE_TAG | kind::DECL_TAG if name.is_empty() => Err("has no text"),
        kind::TYPE_TAG => plain().and(refers()),
        kind::ARRAY => plain().and(nameless()).and_then(|()| array(found)),
        kind::STRUCT | kind::UNION => perhaps_named().and_then(|()| composite(types, found)),
        kind::ENUM | kind::ENUM64 => perhaps_named().and_then(|()| values(types, found)),
        kind::FWD if found.count() != 0 || found.word != 0 => Err("has a count or type"),
        kind::FWD => named(),
        kind::FUNC if found.flag() || found.count() > 1 => Err("has a linkage that is neither static nor global"),
        kind::FUNC => named().and(refers()),
        kind::FUNC_PROTO if found.flag() => Err("has a flag"),
        kind::FUNC_PROTO => nameless(),
        kind::VAR if found.extra() > 1 => Err("has a linkage that is neither static nor global"),
        kind::VAR if found.word == 0 => Err("has no type"),
        kind::TYPEDEF | kind::VAR => plain().and(named()).and(refers()),
        kind::DATASEC => section(found, name),
        kind::FLOAT if !matches!(found.word, 2 | 4 | 8 | 12 | 16) => Err("has a size that no float has"),
        kind::DECL_TAG if found.extra().cast_signed() < -1 => Err("means a component that cannot be"),
        kind::FLOAT | kind::DECL_TAG => plain(),
        _ => Err("is of a kind that is unknown"),
    }
}

fn int(found: &Type<'_>) -> Verdict {
    let int = found.int().ok_or("is cut off")?;
    let bits = u32::from(int.bits) + u32::from(int.offset);
    if int.raw & !0x0fff_ffff != 0 || int.raw & 0x0000_ff00 != 0 {
        return Err("has unknown bits");
    }
    if bits > 128 || bits.div_ceil(8) > found.word {
        return Err("has more bits than bytes");
    }
    if matches!(int.encoding, 0 | 1 | 2 | 4) { Ok(()) } else { Err("has an unknown encoding") }
}

fn array(found: &Type<'_>) -> Verdict {
    let (element, index, _) = found.array().ok_or("is cut off")?;
    if found.word != 0 {
        return Err("has a size of its own");
    }
    let is_type = |id: u32| id != 0 && id <= MAX_TYPE;
    if is_type(element) && is_type(index) { Ok(()) } else { Err("has elements or an index without type") }
}

fn composite(types: &Types<'_>, found: &Type<'_>) -> Verdict {
    let mut last = 0;
    for member in found.members() {
        let name = types.bytes(member.name).ok_or("has a member with a name outside the strings")?;
        if member.name != 0 && !is_name(name) {
            return Err("has a member with a name that is none");
        }
        if member.type_id == 0 || member.type_id > MAX_TYPE {
            return Err("has a member without type");
        }
        if found.kind() == kind::UNION && member.bit_offset != 0 {
            return Err("has a member that does not start at 0");
        }
        if member.bit_offset < last || member.bit_offset.div_ceil(8) > found.word {
            return Err("has members out of order, or outside");
        }
        last = member.bit_offset;
    }
    Ok(())
}

fn values(types: &Types<'_>, found: &Type<'_>) -> Verdict {
    if !matches!(found.word, 1 | 2 | 4 | 8) {
        return Err("has a size that no enum has");
    }
    let sound = found.values().all(|(name, _)| name != 0 && types.bytes(name).is_some_and(is_name));
    if sound { Ok(()) } else { Err("has a value whose name is none") }
}

fn section(found: &Type<'_>, name: &[u8]) -> Verdict {
    if found.word == 0 || found.flag() {
        return Err("has no size");
    }
    if name.is_empty() || name.len() >= NAME_BYTES || !name.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err("has a name that is none");
    }
    let (mut end, mut sum) = (0u64, 0u64);
    for (variable, offset, size) in found.variables() {
        let (offset, size, limit) = (u64::from(offset), u64::from(size), u64::from(found.word));
        if variable == 0 || variable > MAX_TYPE {
            return Err("has a variable without type");
        }
        if offset < end || offset >= limit || size == 0 || size > limit || offset + size > limit {
            return Err("has variables that overlap or lie outside");
        }
        end = offset + size;
        sum += size;
    }
    if sum > u64::from(found.word) { Err("has more variables than room") } else { Ok(()) }
}

/// What is judged of a type together with those it refers to.
fn meaning(types: &Types<'_>, id: TypeId, found: &Type<'_>) -> Verdict {
    let exists = |id: TypeId| if id <= types.last() { Ok(()) } else { Err("refers to a type that is not there") };
    match found.kind() {
        kind::PTR => exists(found.word).and_then(|()| pointer(types, found.word)),
        kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
            exists(found.word)?;
            pointer(types, found.word)?;
            // To void and to forward declarations is fine; what has a size must have one that can be told.
            acyclic(types, id, 0)
        }
        kind::ARRAY => {
            let (element, index, _) = found.array().ok_or("is cut off")?;
            exists(element).and(exists(index))?;
            acyclic(types, id, 0)?;
            if !is_regular(types, index) {
                return Err("has an index that is no integer");
            }
            let is_int = types.get(types.strip(element)).kind() == kind::INT;
            if is_int && !is_regular(types, element) {
                return Err("has integers as elements that do not fill their bytes");
            }
            size(types, id).map(|_| ()).ok_or("has elements without size, or too many")
        }
        kind::STRUCT | kind::UNION => {
            acyclic(types, id, 0)?;
            found.members().try_for_each(|member| exists(member.type_id).and_then(|()| fits(types, found, &member)))
        }
        kind::FUNC_PROTO => prototype(types, found),
        kind::FUNC => {
            exists(found.word)?;
            let prototype = types.get(found.word);
            if prototype.kind() != kind::FUNC_PROTO {
                return Err("has no prototype");
            }
            if prototype.parameters().any(|(name, of)| name == 0 && of != 0) {
                return Err("has a parameter without name");
            }
            Ok(())
        }
        kind::VAR => {
            exists(found.word)?;
            size(types, found.word).map(|_| ()).ok_or("has a type without size")
        }
        kind::DATASEC => found.variables().try_for_each(|(variable, _, size)| {
            let is_variable = variable <= types.last() && types.get(variable).kind() == kind::VAR;
            match types.size(variable).filter(|_| is_variable) {
                Some(wanted) if wanted <= size => Ok(()),
                _ => Err("has a variable that is none, or larger than its place"),
            }
        }),
        kind::DECL_TAG => {
            exists(found.word)?;
            declaration(types, found)
        }
        _ => Ok(()),
    }
}

/// Size of a value; `None` for what is no type of a value, or has none.
fn size(types: &Types<'_>, id: TypeId) -> Option<u32> {
    let mut inner = types.strip(id);
    for _ in 0..MAX_DEPTH {
        match types.get(inner).array() {
            Some((element, _, _)) => inner = types.strip(element),
            None => break,
        }
    }
    let is_value = id <= types.last() && !matches!(types.get(inner).kind(), kind::VAR | kind::DATASEC);
    types.size(id).filter(|_| is_value)
}

/// A pointer may point to anything that is a type; pointers to pointers have an end.
fn pointer(types: &Types<'_>, to: TypeId) -> Verdict {
    let mut id = to;
    for _ in 0..MAX_DEPTH {
        let found = types.get(id);
        id = match found.kind() {
            // To a function the kernel takes it or not, by the order of the types.
            kind::VAR | kind::DATASEC | kind::FUNC | kind::DECL_TAG => {
                return Err("points to something that is no type of a value");
            }
            kind::ARRAY => found.array().map_or(0, |(element, _, _)| element),
            kind::PTR | kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => found.word,
            _ => return Ok(()),
        };
    }
    Err("is nested too deep, or in itself")
}

/// Whether `id` is an integer that fills its bytes: `btf_type_int_is_regular`.
fn is_regular(types: &Types<'_>, id: TypeId) -> bool {
    let found = types.get(types.strip(id));
    let fills = |int: super::types::Int| int.offset == 0 && u32::from(int.bits) == found.word * 8;
    matches!(found.word, 1 | 2 | 4 | 8 | 16) && found.int().is_some_and(fills)
}

/// Values that hold themselves have no end. Pointers end the search.
fn acyclic(types: &Types<'_>, id: TypeId, depth: usize) -> Verdict {
    if depth >= MAX_DEPTH {
        return Err("is nested too deep, or in itself");
    }
    let found = types.get(id);
    match found.kind() {
        kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
            acyclic(types, found.word, depth + 1)
        }
        kind::ARRAY => acyclic(types, found.array().ok_or("is cut off")?.0, depth + 1),
        kind::VAR | kind::DATASEC | kind::FUNC | kind::DECL_TAG => {
            Err("refers to something that is no type of a value")
        }
        // Only of the struct that was asked for: each of them is asked for once.
        kind::STRUCT | kind::UNION if depth == 0 => {
            found.members().try_for_each(|member| acyclic_member(types, id, member.type_id))
        }
        _ => Ok(()),
    }
}

/// A struct in a struct: followed in a loop of bounded length, breadth first, with each struct seen once.
fn acyclic_member(types: &Types<'_>, outer: TypeId, first: TypeId) -> Verdict {
    let (mut open, mut seen) = (vec![first], Vec::new());
    while let Some(id) = open.pop() {
        let mut id = types.strip(id);
        for _ in 0..MAX_DEPTH {
            match types.get(id).array() {
                Some((element, _, _)) => id = types.strip(element),
                None => break,
            }
        }
        if id == outer {
            return Err("holds itself");
        }
        let found = types.get(id);
        if found.is_composite() && !seen.contains(&id) && seen.len() < 4096 {
            seen.push(id);
            open.extend(found.members().map(|member| member.type_id));
        }
    }
    Ok(())
}

fn fits(types: &Types<'_>, found: &Type<'_>, member: &super::types::Member) -> Verdict {
    let size = size(types, member.type_id).ok_or("has a member without size")?;
    let inner = types.get(types.strip(member.type_id));
    let bits = if member.bit_size == 0 { u64::from(size) * 8 } else { u64::from(member.bit_size) };
    let bits = match inner.int() {
        Some(int) if !found.flag() => u64::from(int.offset) + u64::from(int.bits),
        _ => bits,
    };
    if member.bit_size != 0 && !matches!(inner.kind(), kind::INT | kind::ENUM | kind::ENUM64) {
        return Err("has a bitfield that is neither integer nor enum");
    }
    if found.flag() && inner.kind() == kind::INT && !is_regular(types, member.type_id) {
        return Err("has a bitfield of integers that do not fill their bytes");
    }
    if member.bit_size == 0 && (found.flag() || inner.kind() != kind::INT) && !member.bit_offset.is_multiple_of(8) {
        return Err("has a member that starts inside a byte");
    }
    if (u64::from(member.bit_offset) + bits).div_ceil(8) > u64::from(found.word) {
        return Err("has a member that ends outside");
    }
    Ok(())
}

fn prototype(types: &Types<'_>, found: &Type<'_>) -> Verdict {
    let sized = |id: TypeId| size(types, id).is_some();
    // A result of void is fine, also `const void`.
    if found.word > types.last() || !(sized(found.word) || types.strip(found.word) == 0) {
        return Err("returns something without size");
    }
    let last = found.count().saturating_sub(1);
    for (index, (name, of)) in found.parameters().enumerate() {
        if of == 0 && index == last {
            // `...`
            return if name == 0 { Ok(()) } else { Err("has a name for `...`") };
        }
        if !sized(of) {
            return Err("has a parameter without size");
        }
        if name != 0 && !types.bytes(name).is_some_and(is_name) {
            return Err("has a parameter with a name that is none");
        }
    }
    Ok(())
}

fn declaration(types: &Types<'_>, found: &Type<'_>) -> Verdict {
    let target = types.get(found.word);
    let component = found.extra().cast_signed();
    let parts = match target.kind() {
        kind::STRUCT | kind::UNION => target.count(),
        kind::FUNC => types.get(target.word).count(),
        kind::VAR | kind::TYPEDEF if component == -1 => 0,
        _ => return Err("tags something that cannot have a tag"),
    };
    match usize::try_from(component) {
        Ok(component) if component >= parts => Err("tags a component that is not there"),
        _ => Ok(()),
    }
}
