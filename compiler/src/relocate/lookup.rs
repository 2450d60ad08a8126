//! Lookup: the answer of a kernel to a CO-RE relocation.
//!
//! In:   [`Spec`], the object's types, a [`Kernel`]. Out: [`Answer`].
//!
//! Source of the rules: libbpf `src/relo_core.c`: `bpf_core_add_cands`, `bpf_core_spec_match`, `bpf_core_match_member`,
//! `bpf_core_fields_are_compat`, `__bpf_core_types_are_compat`, `__bpf_core_types_match`, `bpf_core_calc_relo`.

use super::{
    kernel::{Kernel, essential},
    spec::{Ask, Spec, Step},
};
use crate::object::{
    btf::TypeId,
    types::{Member, Type, Types, kind},
};

/// What a kernel answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The number that the instruction gets.
    Value(u64),
    /// It is not there.
    Missing,
    /// Several types of that name would give different numbers.
    Ambiguous,
}

/// Deepest nesting that is compared.
const MAX_DEPTH: u32 = 32;

/// Asks `kernel`.
pub fn ask(spec: &Spec<'_>, local: &Types<'_>, kernel: &Kernel<'_>) -> Answer {
    if spec.ask == Ask::TypeIdLocal {
        return Answer::Value(u64::from(spec.root));
    }
    let root = local.get(spec.root);
    let pair = Pair { local, target: &kernel.types };
    let candidates = kernel.named(local.name(spec.root)).iter().copied();
    let mut found: Option<(u64, u64)> = None;
    for candidate in candidates.filter(|id| same_kind(&root, &kernel.types.get(*id))) {
        let Some(answer) = pair.answer(spec, candidate) else { continue };
        match found {
            // Ids of types differ between equal types; libbpf does not take that either.
            Some(first) if first != answer => return Answer::Ambiguous,
            _ => found = Some(answer),
        }
    }
    match found {
        Some((value, _)) => Answer::Value(value),
        None if spec.ask.is_question() => Answer::Value(0),
        None => Answer::Missing,
    }
}

/// Enums of 32 and 64 bits are the same to libbpf.
fn same_kind(one: &Type<'_>, other: &Type<'_>) -> bool {
    one.kind() == other.kind() || (one.is_enum() && other.is_enum())
}

/// Types of the object and of a kernel.
#[derive(Clone, Copy)]
struct Pair<'a> {
    local: &'a Types<'a>,
    target: &'a Types<'a>,
}

/// Where a way into a type of the kernel leads.
struct Found {
    type_id: TypeId,
    bit_offset: u64,
    /// The last step, if it is a member.
    member: Option<Member>,
}

impl Pair<'_> {
    /// Number that `candidate` gives, and the place in bits that must be equal among candidates.
    fn answer(&self, spec: &Spec<'_>, candidate: TypeId) -> Option<(u64, u64)> {
        if spec.ask.is_field() {
            let found = self.follow(spec, candidate)?;
            return Some((self.field(spec.ask, &found)?, found.bit_offset));
        }
        if let Some(Step::Value(name)) = spec.steps.first() {
            let values = self.target.get(self.target.strip(candidate)).values();
            let mut same = values.filter(|(other, _)| essential(self.target.string(*other)) == essential(name));
            let (_, value) = same.next()?;
            return Some((if spec.ask == Ask::EnumExists { 1 } else { value }, 0));
        }
        let fits = match spec.ask {
            Ask::TypeMatches => self.types_match(spec.root, candidate, false, 0),
            _ => self.types_fit(spec.root, candidate, 0),
        };
        let value = match spec.ask {
            Ask::TypeIdTarget => u64::from(candidate),
            Ask::TypeSize => u64::from(self.target.size(candidate)?),
            _ => 1,
        };
        fits.then_some((value, 0))
    }

    fn follow(&self, spec: &Spec<'_>, candidate: TypeId) -> Option<Found> {
        let mut found = Found { type_id: candidate, bit_offset: 0, member: None };
        for (at, step) in spec.steps.iter().enumerate() {
            let id = self.target.strip(found.type_id);
            match step {
                Step::Member { name, type_id } => {
                    let (member, offset) = self.member(id, name, *type_id, 0)?;
                    found = Found {
                        type_id: member.type_id,
                        bit_offset: found.bit_offset.checked_add(offset)?,
                        member: Some(member),
                    };
                }
                Step::Index(index) => {
                    let element = if at == 0 {
                        id
                    } else {
                        let (element, _, count) = self.target.get(id).array()?;
                        // An array without length at the end of a struct may be as long as it wants.
                        if count != 0 && *index >= count {
                            return None;
                        }
                        self.target.strip(element)
                    };
                    let bits = u64::from(*index).checked_mul(u64::from(self.target.size(element)?))?.checked_mul(8)?;
                    found = Found { type_id: element, bit_offset: found.bit_offset.checked_add(bits)?, member: None };
                }
                Step::Value(_) => return None,
            }
        }
        Some(found)
    }

    /// Member `name` of struct `id` or of a nameless struct in it, and its place from the start of `id`, in bits.
    fn member(&self, id: TypeId, name: &str, local: TypeId, depth: u32) -> Option<(Member, u64)> {
        for member in self.target.get(id).members().filter(|_| depth < MAX_DEPTH) {
            let found = self.target.string(member.name);
            if found.is_empty() {
                let inner = self.target.strip(member.type_id);
                if let Some((inner, offset)) = self.member(inner, name, local, depth + 1) {
                    return Some((inner, offset + u64::from(member.bit_offset)));
                }
            } else if found == name {
                let place = (member, u64::from(member.bit_offset));
                return self.fields_fit(local, member.type_id, 0).then_some(place);
            }
        }
        None
    }

    fn fields_fit(&self, local: TypeId, target: TypeId, depth: u32) -> bool {
        let (local, target) = (self.local.strip(local), self.target.strip(target));
        let (one, other) = (self.local.get(local), self.target.get(target));
        if one.is_composite() && other.is_composite() {
            return true;
        }
        if !same_kind(&one, &other) || depth > MAX_DEPTH {
            return false;
        }
        match one.kind() {
            kind::PTR | kind::FLOAT => true,
            kind::FWD | kind::ENUM | kind::ENUM64 => {
                let (one, other) = (self.local.name(local), self.target.name(target));
                one.is_empty() || other.is_empty() || essential(one) == essential(other)
            }
            kind::INT => whole(&one) && whole(&other),
            kind::ARRAY => match (one.array(), other.array()) {
                (Some((one, _, _)), Some((other, _, _))) => self.fields_fit(one, other, depth + 1),
                _ => false,
            },
            _ => false,
        }
    }

    fn types_fit(&self, local: TypeId, target: TypeId, depth: u32) -> bool {
        let (one, other) = (self.local.get(self.local.strip(local)), self.target.get(self.target.strip(target)));
        if !same_kind(&one, &other) || depth > MAX_DEPTH {
            return false;
        }
        match one.kind() {
            kind::VOID | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FWD => true,
            kind::INT => whole(&one) && whole(&other),
            kind::PTR => self.types_fit(one.word, other.word, depth + 1),
            kind::ARRAY => match (one.array(), other.array()) {
                (Some((one, _, _)), Some((other, _, _))) => self.types_fit(one, other, depth + 1),
                _ => false,
            },
            kind::FUNC_PROTO => {
                one.count() == other.count()
                    && one.parameters().zip(other.parameters()).all(|((_, a), (_, b))| self.types_fit(a, b, depth + 1))
                    && self.types_fit(one.word, other.word, depth + 1)
            }
            _ => false,
        }
    }

    /// Stricter: members and values of the local type must be there, by name.
    fn types_match(&self, local: TypeId, target: TypeId, behind_pointer: bool, depth: u32) -> bool {
        let (local, target) = (self.local.strip(local), self.target.strip(target));
        let (one, other) = (self.local.get(local), self.target.get(target));
        if essential(self.local.name(local)) != essential(self.target.name(target)) || depth > MAX_DEPTH {
            return false;
        }
        let forward = |item: &Type<'_>| item.kind() == kind::FWD;
        if behind_pointer && (forward(&one) || forward(&other)) {
            return (forward(&one) || one.is_composite()) && (forward(&other) || other.is_composite());
        }
        if !same_kind(&one, &other) {
            return false;
        }
        match one.kind() {
            kind::STRUCT | kind::UNION => {
                behind_pointer || one.members().all(|member| self.member_matches(&member, &other, depth))
            }
            kind::ENUM | kind::ENUM64 => {
                let has = |name: u32| {
                    let wanted = essential(self.local.string(name));
                    other.values().any(|(name, _)| essential(self.target.string(name)) == wanted)
                };
                behind_pointer || one.values().all(|(name, _)| has(name))
            }
            kind::PTR => self.types_match(one.word, other.word, true, depth + 1),
            kind::INT => {
                one.word == other.word && one.int().map(|int| int.encoding) == other.int().map(|int| int.encoding)
            }
            kind::ARRAY => match (one.array(), other.array()) {
                (Some((one, _, length)), Some((other, _, other_length))) => {
                    length == other_length && self.types_match(one, other, false, depth + 1)
                }
                _ => false,
            },
            kind::FUNC_PROTO => {
                one.count() == other.count()
                    && one
                        .parameters()
                        .zip(other.parameters())
                        .all(|((_, a), (_, b))| self.types_match(a, b, behind_pointer, depth + 1))
                    && self.types_match(one.word, other.word, behind_pointer, depth + 1)
            }
            _ => true,
        }
    }

    fn member_matches(&self, member: &Member, other: &Type<'_>, depth: u32) -> bool {
        let name = self.local.string(member.name);
        let same = |found: &Member| essential(self.target.string(found.name)) == essential(name);
        other.members().any(|found| same(&found) && self.types_match(member.type_id, found.type_id, false, depth + 1))
    }

    /// Number for a field: linux `include/uapi/linux/bpf.h` says of each what it is.
    fn field(&self, ask: Ask, found: &Found) -> Option<u64> {
        if ask == Ask::FieldExists {
            return Some(1);
        }
        let size = u64::from(self.target.size(found.type_id)?);
        let Some(member) = &found.member else {
            return match ask {
                Ask::FieldByteOffset => Some(found.bit_offset / 8),
                Ask::FieldByteSize => Some(size),
                _ => None,
            };
        };
        let (mut bytes, mut offset, mut bits) = (size, found.bit_offset / 8, size * 8);
        if member.bit_size != 0 {
            bits = u64::from(member.bit_size);
            offset = found.bit_offset / 8 / bytes.max(1) * bytes;
            while found.bit_offset + bits - offset * 8 > bytes * 8 {
                // The bits lie across two words: a word of twice the size.
                bytes *= 2;
                if bytes > 8 {
                    return None;
                }
                offset = found.bit_offset / 8 / bytes * bytes;
            }
        }
        let plain = self.target.get(self.target.strip(found.type_id));
        Some(match ask {
            Ask::FieldByteOffset => offset,
            Ask::FieldByteSize => bytes,
            Ask::FieldSigned if plain.is_enum() => u64::from(plain.flag()),
            Ask::FieldSigned => u64::from(plain.int().is_some_and(|int| int.encoding & 1 != 0)),
            // Little-endian.
            Ask::FieldLeftShift => 64u64.checked_sub(bits + found.bit_offset - offset * 8)?,
            Ask::FieldRightShift => 64u64.checked_sub(bits)?,
            _ => return None,
        })
    }
}

/// An integer that begins at its first bit: others are bitfields of an old kind.
fn whole(item: &Type<'_>) -> bool {
    item.int().is_none_or(|int| int.offset == 0)
}
