//! BTF: the types of an object and of the kernel, as they stand in the bytes.
//!
//! In: bytes of `.BTF`, `.BTF.ext` or `/sys/kernel/btf/vmlinux`. Out: [`Btf`] and [`Ext`].
//!
//! Types are looked at in place: of the kernel's BTF, with 100,000 types and more, only the place of each is
//! remembered. Parsing checks that every record is whole; what a record says is checked where it is used, and a number
//! that leads nowhere is an absent type.
//!
//! Source: linux `Documentation/bpf/btf.rst`.

use super::bytes;

const MAGIC: u16 = 0xeb9f;
const HEADER_BYTES: usize = 24;

pub(super) const INT: u32 = 1;
pub(super) const PTR: u32 = 2;
pub(super) const ARRAY: u32 = 3;
pub(super) const STRUCT: u32 = 4;
pub(super) const UNION: u32 = 5;
pub(super) const ENUM: u32 = 6;
pub(super) const FWD: u32 = 7;
pub(super) const TYPEDEF: u32 = 8;
pub(super) const VOLATILE: u32 = 9;
pub(super) const CONST: u32 = 10;
pub(super) const RESTRICT: u32 = 11;
pub(super) const FUNC: u32 = 12;
pub(super) const FUNC_PROTO: u32 = 13;
pub(super) const VAR: u32 = 14;
pub(super) const DATASEC: u32 = 15;
pub(super) const FLOAT: u32 = 16;
pub(super) const DECL_TAG: u32 = 17;
pub(super) const TYPE_TAG: u32 = 18;
pub(super) const ENUM64: u32 = 19;

/// More links than any chain of typedefs and qualifiers has.
const MAX_CHAIN: usize = 64;

/// Types with their names.
#[derive(Clone, Debug)]
pub(crate) struct Btf {
    bytes: Vec<u8>,
    /// Where each type begins in `bytes`, by id; the first is `void` and begins nowhere.
    starts: Vec<u32>,
    /// Where names begin and end in `bytes`.
    names: (usize, usize),
}

/// One type: its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type<'a>(&'a [u8]);

const VOID: Type<'_> = Type(&[0; 12]);

impl Type<'_> {
    /// A word of the record; parsing saw to it that those of the kind are there.
    pub(super) fn word(self, at: usize) -> u32 {
        bytes::u32_at(self.0, at * 4).unwrap_or_default()
    }

    /// Offset of the name.
    pub(super) fn name(self) -> u32 {
        self.word(0)
    }

    pub(super) fn kind(self) -> u32 {
        self.word(1) >> 24 & 31
    }

    /// The flag of the kind: signed, bit fields, or forward of a union.
    pub(super) fn flag(self) -> bool {
        self.word(1) >> 31 != 0
    }

    /// Members, parameters, values or variables.
    pub(super) fn count(self) -> usize {
        (self.word(1) & 0xffff) as usize
    }

    /// Size in bytes, or the id of another type, by kind.
    pub(super) fn size_or_type(self) -> u32 {
        self.word(2)
    }

    pub(super) fn is_composite(self) -> bool {
        matches!(self.kind(), STRUCT | UNION)
    }

    pub(super) fn is_enum(self) -> bool {
        matches!(self.kind(), ENUM | ENUM64)
    }

    /// Word `field` of item `index` of the list behind the record; items have `words` words.
    pub(super) fn item(self, index: usize, words: usize, field: usize) -> u32 {
        self.word(3 + index * words + field)
    }

    /// Whether a type of this kind only renames or qualifies another one.
    fn is_modifier(self) -> bool {
        matches!(self.kind(), TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG)
    }
}

/// Bytes of the list behind the 12 that every type has.
fn list_bytes(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        INT | VAR | DECL_TAG => 4,
        PTR | FWD..=FUNC | FLOAT | TYPE_TAG => 0,
        ARRAY => 12,
        STRUCT | UNION | DATASEC | ENUM64 => 12 * count,
        ENUM | FUNC_PROTO => 8 * count,
        _ => return None,
    })
}

impl Btf {
    pub(crate) fn parse(bytes: Vec<u8>) -> Option<Self> {
        if bytes::u16_at(&bytes, 0)? != MAGIC {
            return None;
        }
        let part = |at: usize| {
            let start = bytes::u32_at(&bytes, 4)?.checked_add(bytes::u32_at(&bytes, at)?)?;
            let end = start.checked_add(bytes::u32_at(&bytes, at + 4)?)? as usize;
            (end <= bytes.len()).then_some((start as usize, end))
        };
        let (types, end) = part(8)?;
        let names = part(16)?;
        let mut starts = vec![0];
        let mut at = types;
        while at < end {
            let info = bytes::u32_at(&bytes, at + 4)?;
            starts.push(u32::try_from(at).ok()?);
            at += 12 + list_bytes(info >> 24 & 31, (info & 0xffff) as usize)?;
        }
        (at == end).then_some(Self { bytes, starts, names })
    }

    /// Ids of all types but `void`.
    pub(super) fn ids(&self) -> std::ops::Range<u32> {
        1..u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    /// The type `id`; `void` for 0 and for one that is not there.
    pub(super) fn get(&self, id: u32) -> Type<'_> {
        let start = self.starts.get(id as usize).filter(|start| **start != 0);
        start.and_then(|start| self.bytes.get(*start as usize..)).map_or(VOID, Type)
    }

    /// All names from `offset` on.
    pub(super) fn names_from(&self, offset: u32) -> &[u8] {
        let names = self.bytes.get(self.names.0..self.names.1).unwrap_or_default();
        names.get(offset as usize..).unwrap_or_default()
    }

    /// The name at `offset`; empty for none.
    pub(super) fn string(&self, offset: u32) -> &[u8] {
        bytes::string_at(self.names_from(offset), 0).unwrap_or_default()
    }

    /// The name at `offset`, for people.
    pub(super) fn text(&self, offset: u32) -> &str {
        std::str::from_utf8(self.string(offset)).unwrap_or_default()
    }

    /// The type of this kind and name.
    pub(crate) fn find(&self, kind: u32, name: &str) -> Option<u32> {
        self.ids().find(|&id| {
            let one = self.get(id);
            one.kind() == kind && self.string(one.name()) == name.as_bytes()
        })
    }

    /// Where the number of `__uint(name, …)` stands: the length of the array that the variable points to.
    fn length_at(&self, name: &str) -> Option<usize> {
        let pointer = self.get(self.get(self.find(VAR, name)?).size_or_type());
        let array = pointer.size_or_type();
        let found = pointer.kind() == PTR && self.get(array).kind() == ARRAY;
        found.then_some(())?;
        Some(*self.starts.get(array as usize)? as usize + 5 * 4)
    }

    /// The number of `__uint(name, …)`.
    pub(crate) fn length(&self, name: &str) -> Option<u32> {
        bytes::u32_at(&self.bytes, self.length_at(name)?)
    }

    /// Changes it.
    pub(super) fn set_length(&mut self, name: &str, length: u32) -> Option<()> {
        let at = self.length_at(name)?;
        bytes::put_u32(&mut self.bytes, at, length);
        Some(())
    }

    /// Names of all functions.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        self.ids().map(|id| self.get(id)).filter(|one| one.kind() == FUNC).map(|one| self.text(one.name()))
    }

    /// The type behind typedefs and qualifiers, with its id.
    pub(super) fn plain(&self, id: u32) -> (u32, Type<'_>) {
        let mut id = id;
        for _ in 0..MAX_CHAIN {
            let one = self.get(id);
            if !one.is_modifier() {
                return (id, one);
            }
            id = one.size_or_type();
        }
        (0, VOID)
    }

    /// Size of a value, in bytes.
    pub(super) fn size(&self, id: u32) -> Option<u32> {
        let (mut id, mut items) = (id, 1u32);
        for _ in 0..MAX_CHAIN {
            let one = self.get(id);
            id = match one.kind() {
                INT | STRUCT | UNION | ENUM | ENUM64 | DATASEC | FLOAT => return one.size_or_type().checked_mul(items),
                PTR => return items.checked_mul(8),
                ARRAY => {
                    items = items.checked_mul(one.word(5))?;
                    one.word(3)
                }
                VAR => one.size_or_type(),
                _ if one.is_modifier() => one.size_or_type(),
                _ => return None,
            };
        }
        None
    }

    /// The same types for the kernel, changed record by record. New records and names go behind the old ones, so that
    /// no id changes.
    pub(super) fn edit(&self) -> Edit {
        let types = self.starts.get(1).map_or(0, |start| *start as usize);
        let end = self.starts.last().map_or(0, |last| {
            let (at, one) = (*last as usize, self.get(self.ids().end - 1));
            at + 12 + list_bytes(one.kind(), one.count()).unwrap_or_default()
        });
        Edit {
            types: self.bytes.get(types..end).unwrap_or_default().to_vec(),
            names: self.bytes.get(self.names.0..self.names.1).unwrap_or_default().to_vec(),
            first: types,
            count: self.ids().end,
        }
    }
}

/// BTF while it is changed.
#[derive(Debug)]
pub(super) struct Edit {
    types: Vec<u8>,
    names: Vec<u8>,
    first: usize,
    count: u32,
}

impl Edit {
    /// Sets word `at` of the type that begins where `one` of `btf` does.
    pub(super) fn set(&mut self, btf: &Btf, id: u32, at: usize, value: u32) {
        let start = btf.starts.get(id as usize).and_then(|start| (*start as usize).checked_sub(self.first));
        if let Some(start) = start {
            bytes::put_u32(&mut self.types, start + at * 4, value);
        }
    }

    /// Adds a name.
    pub(super) fn add_name(&mut self, name: &str) -> u32 {
        let at = self.names.len();
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        u32::try_from(at).unwrap_or_default()
    }

    /// Adds a type without name.
    pub(super) fn add_type(&mut self, words: &[u32]) -> u32 {
        for word in words {
            self.types.extend_from_slice(&word.to_le_bytes());
        }
        self.count += 1;
        self.count - 1
    }

    /// The whole, as the kernel takes it.
    pub(super) fn finish(self) -> Vec<u8> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default();
        let (types, names) = (size(&self.types), size(&self.names));
        let mut out = Vec::new();
        // Magic, version 1, no flags.
        for word in [u32::from(MAGIC) | 1 << 16, 24, 0, types, types, names] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        debug_assert_eq!(out.len(), HEADER_BYTES);
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.names);
        out
    }
}

/// The parts of `.BTF.ext`: records about instructions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ext<'a>([&'a [u8]; 3]);

/// A part of `.BTF.ext`, with the fewest bytes that its records have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// `struct bpf_func_info`.
    Functions,
    /// `struct bpf_line_info`.
    Lines,
    /// `struct bpf_core_relo`.
    Core,
}

impl Part {
    fn record_bytes(self) -> usize {
        match self {
            Self::Functions => 8,
            Self::Lines | Self::Core => 16,
        }
    }
}

impl<'a> Ext<'a> {
    pub(super) fn parse(section: &'a [u8]) -> Option<Self> {
        if bytes::u16_at(section, 0)? != MAGIC {
            return None;
        }
        let header = bytes::u32_at(section, 4)? as usize;
        let mut parts = [&[][..]; 3];
        // An older header ends before the place of the last part.
        for (part, at) in parts.iter_mut().zip((8..header).step_by(8)) {
            let start = header.checked_add(bytes::u32_at(section, at)? as usize)?;
            *part = bytes::slice(section, start, bytes::u32_at(section, at + 4)?.into())?;
        }
        Some(Self(parts))
    }

    /// The records of one part about the section `name`, and the size of one; size 0 if there are none.
    pub(super) fn records(&self, part: Part, btf: &Btf, name: &str) -> Option<(usize, &'a [u8])> {
        let all = self.0[part as usize];
        if all.is_empty() {
            return Some((0, &[]));
        }
        let size = bytes::u32_at(all, 0)? as usize;
        // The kernel takes records of at most 252 bytes.
        if size < part.record_bytes() || size > 252 {
            return None;
        }
        let mut rest = all.get(4..)?;
        while !rest.is_empty() {
            let len = size.checked_mul(bytes::u32_at(rest, 4)? as usize)?;
            let records = rest.get(8..)?.get(..len)?;
            if btf.string(bytes::u32_at(rest, 0)?) == name.as_bytes() {
                return Some((size, records));
            }
            rest = rest.get(8 + len..)?;
        }
        Some((0, &[]))
    }
}
