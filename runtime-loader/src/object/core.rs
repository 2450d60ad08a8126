//! CO-RE: instructions that depend on the layout of the kernel's types are changed for the running kernel.
//!
//! In: a program's instructions, the records of `.BTF.ext` about them, the object's BTF and the kernel's.
//! Out: changed instructions. One that depends on something that this kernel lacks becomes a call that the verifier
//! refuses, if it is ever reached. Fails with [`ObjectError::Elf`] for a record that has no sense, or that two types of
//! the kernel answer differently.
//!
//! Source of the rules: linux `Documentation/bpf/llvm_reloc.rst`, "CO-RE Relocations", and `tools/lib/bpf/relo_core.c`
//! (also part of the kernel), whose verdicts these are.

use super::{
    Image, Read, broken,
    btf::{ARRAY, Btf, ENUM64, FLOAT, FUNC_PROTO, FWD, INT, PTR, Part, STRUCT, Type, UNION},
    bytes,
    link::{CALL, Function, Insn, LOAD_64},
};

/// `enum bpf_core_relo_kind`.
const FIELD_OFFSET: u32 = 0;
const FIELD_SIZE: u32 = 1;
const FIELD_EXISTS: u32 = 2;
const FIELD_SIGNED: u32 = 3;
const FIELD_LSHIFT: u32 = 4;
const FIELD_RSHIFT: u32 = 5;
/// The one kind that asks nothing of the kernel's types.
const TYPE_LOCAL_ID: u32 = 6;
const TYPE_TARGET_ID: u32 = 7;
const TYPE_EXISTS: u32 = 8;
const TYPE_SIZE: u32 = 9;
const VALUE_EXISTS: u32 = 10;
const VALUE: u32 = 11;
const TYPE_MATCHES: u32 = 12;

/// Argument of the call that stands for what cannot be; libbpf's number, which its users know from verifier logs.
const IMPOSSIBLE: i32 = 0x0bad_2310;

/// More levels than any access or type has.
const MAX_DEPTH: usize = 64;

/// One `struct bpf_core_relo`.
#[derive(Clone, Copy, Debug)]
struct Record {
    /// Instruction in its section.
    insn: usize,
    type_id: u32,
    access: u32,
    kind: u32,
}

impl Record {
    fn read(record: &[u8]) -> Option<Self> {
        Some(Self {
            insn: bytes::u32_at(record, 0)? as usize / 8,
            type_id: bytes::u32_at(record, 4)?,
            access: bytes::u32_at(record, 8)?,
            kind: bytes::u32_at(record, 12)?,
        })
    }
}

/// One step of an access: a member of a structure, an item of an array, a value of an enumeration.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The structure or enumeration; of an array the type of the items.
    type_id: u32,
    index: usize,
    /// Whether it is found by name.
    named: bool,
}

/// A place in a type: the type, the way there, the distance in bits.
#[derive(Clone, Debug, Default)]
struct Place {
    root: u32,
    steps: Vec<Step>,
    bits: u32,
}

/// What a record asks for, in one BTF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    value: u64,
    /// Size and type of what is loaded or stored; 0 if the question is another one.
    size: u32,
    type_id: u32,
    /// Whether the instruction must have had this value.
    certain: bool,
}

/// Types of the object beside those of the kernel.
#[derive(Clone, Copy, Debug)]
struct Sides<'a> {
    local: &'a Btf,
    kernel: &'a Btf,
}

/// Types of the kernel that have the name of one of ours, by our id: looking through all of them takes milliseconds.
pub(super) type Candidates = Vec<(u32, Vec<u32>)>;

/// Changes the instructions of `function`. The kernel's types are asked for only if they are needed.
pub(super) fn adapt<'k>(
    image: &Image<'_>,
    local: &Btf,
    known: &mut Candidates,
    function: Function<'_>,
    insns: &mut [Insn],
    kernel: &mut dyn FnMut() -> Read<&'k Btf>,
) -> Read<()> {
    let section = image.elf.sections.get(function.section).map_or("", |section| section.name);
    let (size, records) = image.records(Part::Core, local, section)?;
    for record in records.chunks_exact(size.max(1)).filter_map(Record::read) {
        if (function.start..function.end).contains(&record.insn) {
            let kernel = if record.kind == TYPE_LOCAL_ID { local } else { kernel()? };
            apply(local, kernel, known, &record, insns, record.insn - function.start)?;
        }
    }
    Ok(())
}

/// Changes the instruction that `record` is about; `at` is its number in `insns`. `kernel` may be any BTF if the
/// record is of kind [`TYPE_LOCAL_ID`].
fn apply(
    local: &Btf,
    kernel: &Btf,
    known: &mut Candidates,
    record: &Record,
    insns: &mut [Insn],
    at: usize,
) -> Read<()> {
    let name = local.text(local.get(record.type_id).name());
    let wrong = || broken("a CO-RE record has no sense, about type", name);
    let place = parse(local, record, local.text(record.access)).ok_or_else(wrong)?;
    let ours = answer(local, &place, record.kind).ok_or_else(wrong)?;
    if record.kind == TYPE_LOCAL_ID {
        return patch(insns, at, ours, Some(ours), false).ok_or_else(wrong);
    }
    let sides = Sides { local, kernel };
    let mut found: Option<(Answer, u32)> = None;
    for &id in candidates(sides, known, record.type_id) {
        let Some(there) = match_place(sides, &place, record.kind, id) else { continue };
        let theirs = answer(kernel, &there, record.kind).ok_or_else(wrong)?;
        match found {
            None => found = Some((theirs, there.bits)),
            Some((other, bits)) if (other.value, bits) == (theirs.value, there.bits) => {}
            Some(_) => return Err(broken("the kernel has types that differ, of the name", name)),
        }
    }
    let theirs = match found {
        Some((theirs, _)) => Some(theirs),
        None => absent(record.kind),
    };
    let fixed_size = theirs.is_some_and(|theirs| !resizable(sides, ours, theirs));
    patch(insns, at, ours, theirs, fixed_size)
        .ok_or_else(|| broken("a CO-RE record does not fit its instruction, about type", name))
}

fn candidates<'k>(sides: Sides<'_>, known: &'k mut Candidates, id: u32) -> &'k [u32] {
    let at = known.iter().position(|(local, _)| *local == id).unwrap_or_else(|| {
        known.push((id, sides.kernel.ids().filter(|&kernel| is_candidate(sides, id, kernel)).collect()));
        known.len() - 1
    });
    &known[at].1
}

/// Name without flavour: `task_struct___old` is another view of `task_struct`.
fn essential(name: &[u8]) -> &[u8] {
    let flavour = name.windows(5).rposition(|part| part[0] != b'_' && &part[1..4] == b"___" && part[4] != b'_');
    flavour.map_or(name, |at| &name[..=at])
}

fn same_name(sides: Sides<'_>, local: u32, kernel: u32) -> bool {
    essential(sides.local.string(local)) == essential(sides.kernel.string(kernel))
}

fn same_kind(a: Type<'_>, b: Type<'_>) -> bool {
    a.kind() == b.kind() || (a.is_enum() && b.is_enum())
}

fn is_candidate(sides: Sides<'_>, local: u32, kernel: u32) -> bool {
    let (ours, theirs) = (sides.local.get(local), sides.kernel.get(kernel));
    if !same_kind(ours, theirs) {
        return false;
    }
    let name = essential(sides.local.string(ours.name()));
    !name.is_empty()
        && sides.kernel.names_from(theirs.name()).starts_with(name)
        && same_name(sides, ours.name(), theirs.name())
}

/// Values of an enumeration have a name and one or two words.
fn value_words(one: Type<'_>) -> usize {
    if one.kind() == ENUM64 { 3 } else { 2 }
}

/// The access text, such as `0:1:2`, as a place.
fn parse(btf: &Btf, record: &Record, access: &str) -> Option<Place> {
    let mut place = Place { root: record.type_id, ..Place::default() };
    let mut numbers = access.split(':').map(|number| number.parse::<u32>().ok());
    let first = numbers.next()??;
    match record.kind {
        TYPE_LOCAL_ID | TYPE_TARGET_ID | TYPE_EXISTS | TYPE_SIZE | TYPE_MATCHES => {
            return (first == 0 && numbers.next().is_none()).then_some(place);
        }
        VALUE_EXISTS | VALUE => {
            let (type_id, one) = btf.plain(record.type_id);
            place.steps.push(Step { type_id, index: first as usize, named: true });
            return (one.is_enum() && (first as usize) < one.count() && numbers.next().is_none()).then_some(place);
        }
        FIELD_OFFSET..=FIELD_RSHIFT => {}
        _ => return None,
    }
    let (mut id, _) = btf.plain(record.type_id);
    place.steps.push(Step { type_id: id, index: first as usize, named: false });
    place.bits = item_bits(btf, id, first)?;
    for number in numbers.take(MAX_DEPTH) {
        let number = number?;
        let one = btf.get(id);
        if one.is_composite() {
            let index = number as usize;
            if index >= one.count() {
                return None;
            }
            place.bits = place.bits.checked_add(member_offset(one, index))?;
            if !btf.string(one.item(index, 3, 0)).is_empty() {
                place.steps.push(Step { type_id: id, index, named: true });
            }
            id = btf.plain(one.item(index, 3, 1)).0;
        } else if one.kind() == ARRAY {
            let open = is_open(btf, &place, one);
            id = btf.plain(one.word(3)).0;
            if number >= one.word(5) && !open {
                return None;
            }
            place.steps.push(Step { type_id: id, index: number as usize, named: false });
            place.bits = place.bits.checked_add(item_bits(btf, id, number)?)?;
        } else {
            return None;
        }
    }
    Some(place)
}

/// Whether an array without length ends its structure, so that every index is in it.
fn is_open(btf: &Btf, place: &Place, array: Type<'_>) -> bool {
    let Some(last) = place.steps.last().filter(|step| step.named) else { return false };
    array.word(5) == 0 && last.index + 1 == btf.get(last.type_id).count()
}

fn item_bits(btf: &Btf, id: u32, index: u32) -> Option<u32> {
    if index == 0 { Some(0) } else { btf.size(id)?.checked_mul(8)?.checked_mul(index) }
}

/// Offset of a member, in bits. With the flag of its structure the upper byte is the width of a bit field.
fn member_offset(one: Type<'_>, index: usize) -> u32 {
    let offset = one.item(index, 3, 2);
    if one.flag() { offset & 0x00ff_ffff } else { offset }
}

fn member_width(one: Type<'_>, index: usize) -> u32 {
    if one.flag() { one.item(index, 3, 2) >> 24 } else { 0 }
}

/// The place of the kernel's type `id` that corresponds to ours.
fn match_place(sides: Sides<'_>, ours: &Place, kind: u32, id: u32) -> Option<Place> {
    let mut theirs = Place { root: id, ..Place::default() };
    match kind {
        TYPE_MATCHES => return types_match(sides, ours.root, id, false, MAX_DEPTH).then_some(theirs),
        TYPE_TARGET_ID | TYPE_EXISTS | TYPE_SIZE => {
            return types_fit(sides, ours.root, id, MAX_DEPTH).then_some(theirs);
        }
        VALUE_EXISTS | VALUE => {
            let step = ours.steps.first()?;
            let local = sides.local.get(step.type_id);
            let name = local.item(step.index, value_words(local), 0);
            let (type_id, one) = sides.kernel.plain(id);
            let words = value_words(one);
            let same = |&index: &usize| same_name(sides, name, one.item(index, words, 0));
            let index = (0..one.count()).find(same).filter(|_| one.is_enum())?;
            theirs.steps.push(Step { type_id, index, named: true });
            return Some(theirs);
        }
        _ => {}
    }
    let mut id = sides.kernel.plain(id).0;
    for (level, step) in ours.steps.iter().enumerate() {
        if step.named {
            id = match_member(sides, step, id, &mut theirs, MAX_DEPTH)?;
            continue;
        }
        if level > 0 {
            let array = sides.kernel.get(id);
            let inside = step.index < array.word(5) as usize || is_open(sides.kernel, &theirs, array);
            if array.kind() != ARRAY || !inside {
                return None;
            }
            id = sides.kernel.plain(array.word(3)).0;
        }
        theirs.steps.push(Step { type_id: id, ..*step });
        theirs.bits = theirs.bits.checked_add(item_bits(sides.kernel, id, u32::try_from(step.index).ok()?)?)?;
    }
    Some(theirs)
}

/// Finds the member of the name, also in members without name; returns its type.
fn match_member(sides: Sides<'_>, step: &Step, id: u32, theirs: &mut Place, depth: usize) -> Option<u32> {
    let ours = sides.local.get(step.type_id);
    let (id, one) = sides.kernel.plain(id);
    if depth == 0 || !one.is_composite() {
        return None;
    }
    for index in 0..one.count() {
        let before = theirs.bits;
        theirs.bits = before.checked_add(member_offset(one, index))?;
        let (name, member) = (sides.kernel.string(one.item(index, 3, 0)), one.item(index, 3, 1));
        if name.is_empty() {
            if let Some(found) = match_member(sides, step, member, theirs, depth - 1) {
                return Some(found);
            }
        } else if name == sides.local.string(ours.item(step.index, 3, 0)) {
            if !fields_fit(sides, ours.item(step.index, 3, 1), member, depth) {
                return None;
            }
            theirs.steps.push(Step { type_id: id, index, named: true });
            return Some(sides.kernel.plain(member).0);
        }
        theirs.bits = before;
    }
    None
}

/// Whether a field of our type may be read as one of theirs.
fn fields_fit(sides: Sides<'_>, local: u32, kernel: u32, depth: usize) -> bool {
    let ((_, ours), (_, theirs)) = (sides.local.plain(local), sides.kernel.plain(kernel));
    if ours.is_composite() && theirs.is_composite() {
        return true;
    }
    if depth == 0 || !same_kind(ours, theirs) {
        return false;
    }
    match ours.kind() {
        PTR | FLOAT => true,
        FWD => fits_by_name(sides, ours, theirs),
        _ if ours.is_enum() => fits_by_name(sides, ours, theirs),
        // The old spelling of bit fields fits nothing.
        INT => int_offset(ours) == 0 && int_offset(theirs) == 0,
        ARRAY => fields_fit(sides, ours.word(3), theirs.word(3), depth - 1),
        _ => false,
    }
}

fn fits_by_name(sides: Sides<'_>, ours: Type<'_>, theirs: Type<'_>) -> bool {
    let unnamed = sides.local.string(ours.name()).is_empty() || sides.kernel.string(theirs.name()).is_empty();
    unnamed || same_name(sides, ours.name(), theirs.name())
}

fn int_offset(one: Type<'_>) -> u32 {
    one.word(3) >> 16 & 0xff
}

/// `BTF_INT_SIGNED`.
fn int_signed(one: Type<'_>) -> bool {
    one.word(3) >> 24 & 1 != 0
}

/// Whether types of one name are the same in kind: what they are made of is not looked at.
fn types_fit(sides: Sides<'_>, local: u32, kernel: u32, depth: usize) -> bool {
    let ((_, ours), (_, theirs)) = (sides.local.plain(local), sides.kernel.plain(kernel));
    if depth == 0 || !same_kind(ours, theirs) {
        return false;
    }
    match ours.kind() {
        0 | STRUCT | UNION | FWD => true,
        _ if ours.is_enum() => true,
        INT => int_offset(ours) == 0 && int_offset(theirs) == 0,
        PTR => types_fit(sides, ours.size_or_type(), theirs.size_or_type(), depth - 1),
        ARRAY => types_fit(sides, ours.word(3), theirs.word(3), depth - 1),
        FUNC_PROTO => prototypes(ours, theirs, &mut |a, b| types_fit(sides, a, b, depth - 1)),
        _ => false,
    }
}

/// Whether two prototypes have the same number of parameters, and all types are `same`.
fn prototypes(ours: Type<'_>, theirs: Type<'_>, same: &mut dyn FnMut(u32, u32) -> bool) -> bool {
    ours.count() == theirs.count()
        && (0..ours.count()).all(|index| same(ours.item(index, 2, 1), theirs.item(index, 2, 1)))
        && same(ours.size_or_type(), theirs.size_or_type())
}

/// Whether all that our type says is so in theirs. Behind a pointer a structure is its name.
fn types_match(sides: Sides<'_>, local: u32, kernel: u32, behind: bool, depth: usize) -> bool {
    let ((_, ours), (_, theirs)) = (sides.local.plain(local), sides.kernel.plain(kernel));
    if depth == 0 || !same_name(sides, ours.name(), theirs.name()) {
        return false;
    }
    let union_behind = |composite: Type<'_>, forward: Type<'_>| (composite.kind() == UNION) == forward.flag();
    let same = ours.kind() == theirs.kind();
    let deeper = |a, b, behind| types_match(sides, a, b, behind, depth - 1);
    match ours.kind() {
        0 => same,
        FWD if same => ours.flag() == theirs.flag(),
        FWD => behind && theirs.is_composite() && union_behind(theirs, ours),
        STRUCT | UNION if behind => same || (theirs.kind() == FWD && union_behind(ours, theirs)),
        STRUCT | UNION => same && composites_match(sides, ours, theirs, depth),
        INT => same && ours.size_or_type() == theirs.size_or_type() && int_signed(ours) == int_signed(theirs),
        PTR => same && deeper(ours.size_or_type(), theirs.size_or_type(), true),
        ARRAY => same && ours.word(5) == theirs.word(5) && deeper(ours.word(3), theirs.word(3), behind),
        FUNC_PROTO => same && prototypes(ours, theirs, &mut |a, b| deeper(a, b, false)),
        _ => ours.is_enum() && theirs.is_enum() && values_match(sides, ours, theirs),
    }
}

fn composites_match(sides: Sides<'_>, ours: Type<'_>, theirs: Type<'_>, depth: usize) -> bool {
    (0..ours.count()).all(|a| {
        (0..theirs.count()).any(|b| {
            same_name(sides, ours.item(a, 3, 0), theirs.item(b, 3, 0))
                && types_match(sides, ours.item(a, 3, 1), theirs.item(b, 3, 1), false, depth - 1)
        })
    })
}

fn values_match(sides: Sides<'_>, ours: Type<'_>, theirs: Type<'_>) -> bool {
    let (our_words, their_words) = (value_words(ours), value_words(theirs));
    (0..ours.count()).all(|a| {
        (0..theirs.count()).any(|b| same_name(sides, ours.item(a, our_words, 0), theirs.item(b, their_words, 0)))
    })
}

/// Answer of a kernel that has no such place; `None`: there is none, and who asks must not get that far.
fn absent(kind: u32) -> Option<Answer> {
    matches!(kind, FIELD_EXISTS | TYPE_EXISTS | TYPE_MATCHES | VALUE_EXISTS).then(Answer::default)
}

/// What the record asks for, of a place in one BTF. `None`: that cannot be asked of it.
fn answer(btf: &Btf, place: &Place, kind: u32) -> Option<Answer> {
    let (value, certain) = match kind {
        FIELD_EXISTS | TYPE_EXISTS | TYPE_MATCHES | VALUE_EXISTS => (1, true),
        // Ids of two kernels have nothing to do with each other.
        TYPE_LOCAL_ID | TYPE_TARGET_ID => (place.root.into(), false),
        TYPE_SIZE => (btf.size(place.root)?.into(), true),
        VALUE => {
            let step = place.steps.first()?;
            let one = btf.get(step.type_id);
            let low = one.item(step.index, value_words(one), 1);
            let value = match one.kind() {
                ENUM64 => u64::from(low) | u64::from(one.item(step.index, 3, 2)) << 32,
                _ if one.flag() => i64::from(low.cast_signed()).cast_unsigned(),
                _ => low.into(),
            };
            // Older compilers do not say which enumerations have a sign.
            (value, one.kind() == ENUM64 || one.flag() || low >> 31 == 0)
        }
        _ => return field_answer(btf, place, kind),
    };
    Some(Answer { value, certain, ..Answer::default() })
}

fn field_answer(btf: &Btf, place: &Place, kind: u32) -> Option<Answer> {
    let step = place.steps.last()?;
    let mut answer = Answer { certain: true, ..Answer::default() };
    if !step.named {
        let size = btf.size(step.type_id)?;
        match kind {
            FIELD_OFFSET => {
                (answer.value, answer.size, answer.type_id) = ((place.bits / 8).into(), size, step.type_id);
            }
            FIELD_SIZE => answer.value = size.into(),
            _ => return None,
        }
        return Some(answer);
    }
    let one = btf.get(step.type_id);
    let (type_id, member) = btf.plain(one.item(step.index, 3, 1));
    let width = member_width(one, step.index);
    let (bits, mut size) = (place.bits, btf.size(type_id)?);
    let mut start = bits / 8;
    if width != 0 {
        // The smallest aligned number that has all bits of the field.
        if !(1..=8).contains(&size) {
            return None;
        }
        start = start / size * size;
        while bits - start * 8 + width > size * 8 {
            if size >= 8 {
                return None;
            }
            size *= 2;
            start = bits / 8 / size * size;
        }
        answer.certain = matches!(kind, FIELD_SIGNED | FIELD_RSHIFT);
    }
    let width = if width == 0 { size.checked_mul(8)? } else { width };
    answer.value = match kind {
        FIELD_OFFSET => {
            if answer.certain {
                (answer.size, answer.type_id) = (size, type_id);
            }
            start.into()
        }
        FIELD_SIZE => size.into(),
        FIELD_SIGNED => u64::from((member.is_enum() && member.flag()) || (member.kind() == INT && int_signed(member))),
        // From the left, so that the field ends up where the number begins.
        FIELD_LSHIFT => 64u64.wrapping_sub((bits - start * 8).wrapping_add(width).into()),
        FIELD_RSHIFT => 64u64.wrapping_sub(width.into()),
        _ => return None,
    };
    Some(answer)
}

/// Whether a load or store of one size may become one of the other: pointers and numbers without sign keep their value.
fn resizable(sides: Sides<'_>, ours: Answer, theirs: Answer) -> bool {
    let (a, b) = (sides.local.plain(ours.type_id).1, sides.kernel.plain(theirs.type_id).1);
    ours.size == theirs.size
        || (a.kind() == PTR && b.kind() == PTR)
        || (a.kind() == INT && b.kind() == INT && !int_signed(a) && !int_signed(b))
}

/// Size of what an instruction loads or stores, and the bits that say so.
const SIZES: [(u32, u8); 4] = [(4, 0x00), (2, 0x08), (1, 0x10), (8, 0x18)];
const SIZE_BITS: u8 = 0x18;

/// Writes the answer into the instruction. `None`: it is none that asks.
fn patch(insns: &mut [Insn], at: usize, ours: Answer, theirs: Option<Answer>, fixed_size: bool) -> Option<()> {
    let (first, rest) = insns.get_mut(at..)?.split_first_mut()?;
    let theirs = match (theirs, first.code & 7) {
        // BPF_LDX, BPF_ST, BPF_STX
        (Some(_), 1..=3) if fixed_size => None,
        (theirs, _) => theirs,
    };
    let Some(theirs) = theirs else {
        if first.code == LOAD_64 {
            *rest.first_mut()? = impossible();
        }
        *first = impossible();
        return Some(());
    };
    let (low, high) = ((theirs.value & 0xffff_ffff) as u32, (theirs.value >> 32) as u32);
    let fits = |found: u64| !ours.certain || found == ours.value;
    match first.code & 7 {
        // BPF_ALU, BPF_ALU64: with a constant only
        4 | 7 if first.code & 8 == 0 => {
            let found = first.imm.cast_unsigned();
            if ours.certain && u64::from(found) != ours.value & 0xffff_ffff {
                return None;
            }
            first.imm = low.cast_signed();
        }
        1..=3 => {
            if !fits(u64::try_from(first.offset).unwrap_or(u64::MAX)) {
                return None;
            }
            first.offset = i16::try_from(theirs.value).ok()?;
            if theirs.size != ours.size {
                let bits = first.code & SIZE_BITS;
                SIZES.iter().find(|(size, code)| (*size, *code) == (ours.size, bits))?;
                let (_, code) = SIZES.iter().find(|(size, _)| *size == theirs.size)?;
                first.code = first.code & !SIZE_BITS | code;
            }
        }
        0 if first.code == LOAD_64 => {
            let second = rest.first_mut()?;
            let found = u64::from(first.imm.cast_unsigned()) | u64::from(second.imm.cast_unsigned()) << 32;
            if first.registers >> 4 != 0 || !fits(found) {
                return None;
            }
            first.imm = low.cast_signed();
            second.imm = high.cast_signed();
        }
        _ => return None,
    }
    Some(())
}

fn impossible() -> Insn {
    Insn { code: CALL, registers: 0, offset: 0, imm: IMPOSSIBLE }
}
