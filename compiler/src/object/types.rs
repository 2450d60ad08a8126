//! Types: BTF of any size, read in place.
//!
//! In:   the bytes of a `.BTF` section, or of a kernel's `/sys/kernel/btf/vmlinux`. Out: [`Types`].
//! May fail with: [`BtfError`]. Nothing is copied: a type is read where it stands, when it is asked for.
//!
//! [`super::btf`] makes a tree of it, for maps, globals and prototypes; of all types of a kernel that would take long.
//! Source: linux `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

/// What is wrong with the BTF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its BTF is damaged: {0}")]
pub struct BtfError(pub &'static str);

/// Number of a type; 0 is `void`.
pub type TypeId = u32;

/// `BTF_KIND_*`.
#[expect(missing_docs, reason = "the kernel's names")]
pub mod kind {
    pub const VOID: u8 = 0;
    pub const INT: u8 = 1;
    pub const PTR: u8 = 2;
    pub const ARRAY: u8 = 3;
    pub const STRUCT: u8 = 4;
    pub const UNION: u8 = 5;
    pub const ENUM: u8 = 6;
    pub const FWD: u8 = 7;
    pub const TYPEDEF: u8 = 8;
    pub const VOLATILE: u8 = 9;
    pub const CONST: u8 = 10;
    pub const RESTRICT: u8 = 11;
    pub const FUNC: u8 = 12;
    pub const FUNC_PROTO: u8 = 13;
    pub const VAR: u8 = 14;
    pub const DATASEC: u8 = 15;
    pub const FLOAT: u8 = 16;
    pub const DECL_TAG: u8 = 17;
    pub const TYPE_TAG: u8 = 18;
    pub const ENUM64: u8 = 19;
}

/// Longest chain of typedefs, modifiers and arrays that is followed; BTF may contain loops.
const MAX_CHAIN: usize = 32;

/// All types of an object or a kernel.
#[derive(Clone, Debug)]
pub struct Types<'a> {
    table: &'a [u8],
    strings: &'a [u8],
    /// Where type `n + 1` stands in `table`.
    offsets: Vec<u32>,
}

/// One type.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    /// Offset of its name in the strings.
    pub name: u32,
    /// Kind, flag and number of what follows, packed.
    pub info: u32,
    /// Its size, or the type it refers to.
    pub word: u32,
    rest: &'a [u8],
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Offset of its name.
    pub name: u32,
    /// Its type.
    pub type_id: TypeId,
    /// Place in the struct, in bits.
    pub bit_offset: u32,
    /// Width in bits if it is a bitfield, else 0.
    pub bit_size: u32,
}

/// Content of an `int`.
#[derive(Clone, Copy, Debug)]
pub struct Int {
    /// Encoding bits: 1 signed, 2 char, 4 bool.
    pub encoding: u8,
    /// First bit.
    pub offset: u8,
    /// Width in bits.
    pub bits: u8,
    /// The whole word.
    pub raw: u32,
}

fn word(bytes: &[u8], index: usize) -> u32 {
    bytes
        .get(index * 4..index * 4 + 4)
        .map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("invariant: four bytes")))
}

impl<'a> Type<'a> {
    const VOID: Type<'static> = Type { name: 0, info: 0, word: 0, rest: &[] };

    /// `BTF_KIND_*`.
    pub fn kind(&self) -> u8 {
        u8::try_from(self.info >> 24 & 0x1f).expect("invariant: masked to five bits")
    }

    /// Number of members, parameters, values or variables.
    pub fn count(&self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// The flag, whose meaning depends on the kind.
    pub fn flag(&self) -> bool {
        self.info >> 31 == 1
    }

    /// Whether it is a struct or union.
    pub fn is_composite(&self) -> bool {
        matches!(self.kind(), kind::STRUCT | kind::UNION)
    }

    /// Whether it is an enum of any width.
    pub fn is_enum(&self) -> bool {
        matches!(self.kind(), kind::ENUM | kind::ENUM64)
    }

    /// Member `index` of a struct or union.
    pub fn member(&self, index: usize) -> Option<Member> {
        if !self.is_composite() || index >= self.count() {
            return None;
        }
        let (name, type_id, place) =
            (word(self.rest, index * 3), word(self.rest, index * 3 + 1), word(self.rest, index * 3 + 2));
        let (bit_offset, bit_size) = if self.flag() { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
        Some(Member { name, type_id, bit_offset, bit_size })
    }

    /// All members.
    pub fn members(self) -> impl Iterator<Item = Member> + use<'a> {
        (0..self.count()).map_while(move |index| self.member(index))
    }

    /// Names and types of the parameters of a prototype.
    pub fn parameters(self) -> impl Iterator<Item = (u32, TypeId)> + use<'a> {
        let count = if self.kind() == kind::FUNC_PROTO { self.count() } else { 0 };
        (0..count).map(move |index| (word(self.rest, index * 2), word(self.rest, index * 2 + 1)))
    }

    /// Names and values of an enum; values as the kernel would store them in 64 bits.
    pub fn values(self) -> impl Iterator<Item = (u32, u64)> + use<'a> {
        let count = if self.is_enum() { self.count() } else { 0 };
        (0..count).map(move |index| {
            if self.kind() == kind::ENUM64 {
                let (low, high) = (word(self.rest, index * 3 + 1), word(self.rest, index * 3 + 2));
                (word(self.rest, index * 3), u64::from(high) << 32 | u64::from(low))
            } else {
                let value = word(self.rest, index * 2 + 1);
                let wide = if self.flag() { i64::from(value.cast_signed()).cast_unsigned() } else { u64::from(value) };
                (word(self.rest, index * 2), wide)
            }
        })
    }

    /// Type, offset and size of each variable of a data section.
    pub fn variables(self) -> impl Iterator<Item = (TypeId, u32, u32)> + use<'a> {
        let count = if self.kind() == kind::DATASEC { self.count() } else { 0 };
        (0..count).map(move |index| {
            (word(self.rest, index * 3), word(self.rest, index * 3 + 1), word(self.rest, index * 3 + 2))
        })
    }

    /// Element type, index type and length of an array.
    pub fn array(&self) -> Option<(TypeId, TypeId, u32)> {
        (self.kind() == kind::ARRAY).then(|| (word(self.rest, 0), word(self.rest, 1), word(self.rest, 2)))
    }

    /// Content of an `int`.
    pub fn int(&self) -> Option<Int> {
        let raw = word(self.rest, 0);
        let [bits, _, offset, encoding] = raw.to_le_bytes();
        (self.kind() == kind::INT).then_some(Int { encoding: encoding & 0xf, offset, bits, raw })
    }

    /// The word behind a variable (its linkage) or a declaration tag (the member it means).
    pub fn extra(&self) -> u32 {
        word(self.rest, 0)
    }

    /// Bytes behind the first three words.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Bytes that follow the three words of a type.
fn rest_length(kind: u8, count: usize) -> Option<usize> {
    Some(match kind {
        kind::INT | kind::VAR | kind::DECL_TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => count * 12,
        kind::ENUM | kind::FUNC_PROTO => count * 8,
        kind::PTR
        | kind::FWD
        | kind::TYPEDEF
        | kind::VOLATILE
        | kind::CONST
        | kind::RESTRICT
        | kind::FUNC
        | kind::FLOAT
        | kind::TYPE_TAG => 0,
        _ => return None,
    })
}

impl<'a> Types<'a> {
    /// Reads a BTF blob.
    pub fn parse(blob: &'a [u8]) -> Result<Self, BtfError> {
        if blob.get(..3) != Some(&[0x9f, 0xeb, 1]) {
            return Err(BtfError("its magic or version is unknown"));
        }
        if blob.len() < 24 {
            return Err(BtfError("its header is too short"));
        }
        let header = word(blob, 1) as usize;
        let table = |offset: u32, length: u32| {
            let start = header.checked_add(offset as usize)?;
            blob.get(start..start.checked_add(length as usize)?)
        };
        let outside = BtfError("a table lies outside");
        let types = table(word(blob, 2), word(blob, 3)).ok_or(outside.clone())?;
        let strings = table(word(blob, 4), word(blob, 5)).ok_or(outside)?;
        if strings.last() != Some(&0) {
            return Err(BtfError("its strings do not end"));
        }
        let mut offsets = Vec::new();
        let mut at = 0;
        while at < types.len() {
            let head = types.get(at..at + 12).ok_or(BtfError("it ends too early"))?;
            let info = word(head, 1);
            let kind = u8::try_from(info >> 24 & 0x1f).expect("invariant: masked to five bits");
            let rest = rest_length(kind, (info & 0xffff) as usize)
                .ok_or(BtfError("it has a kind of type that nodebpf does not know"))?;
            if types.len() - at - 12 < rest {
                return Err(BtfError("it ends too early"));
            }
            offsets.push(u32::try_from(at).map_err(|_| BtfError("it is larger than 4 GiB"))?);
            at += 12 + rest;
        }
        Ok(Self { table: types, strings, offsets })
    }

    /// Type `id`; 0 and what points outside is `void`.
    pub fn get(&self, id: TypeId) -> Type<'a> {
        let Some(&at) = (id as usize).checked_sub(1).and_then(|index| self.offsets.get(index)) else {
            return Type::VOID;
        };
        let bytes = &self.table[at as usize..];
        let (info, rest) = (word(bytes, 1), &bytes[12..]);
        let kind = u8::try_from(info >> 24 & 0x1f).expect("invariant: masked to five bits");
        let length = rest_length(kind, (info & 0xffff) as usize).unwrap_or(0);
        Type { name: word(bytes, 0), info, word: word(bytes, 2), rest: &rest[..length] }
    }

    /// Largest id.
    pub fn last(&self) -> TypeId {
        TypeId::try_from(self.offsets.len()).unwrap_or(TypeId::MAX)
    }

    /// All types but `void`.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, Type<'a>)> {
        (1..=self.last()).map(|id| (id, self.get(id)))
    }

    /// Bytes of the name at `offset`, without the closing NUL; `None` if it lies outside.
    pub fn bytes(&self, offset: u32) -> Option<&'a [u8]> {
        let tail = self.strings.get(offset as usize..)?;
        tail.iter().position(|&byte| byte == 0).map(|end| &tail[..end])
    }

    /// The name at `offset`; empty if there is none.
    pub fn string(&self, offset: u32) -> &'a str {
        self.bytes(offset).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Name of a type; empty for nameless ones.
    pub fn name(&self, id: TypeId) -> &'a str {
        self.string(self.get(id).name)
    }

    /// All strings.
    pub fn strings(&self) -> &'a [u8] {
        self.strings
    }

    /// Follows typedefs, modifiers and type tags.
    pub fn strip(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_CHAIN {
            let found = self.get(id);
            match found.kind() {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => id = found.word,
                _ => break,
            }
        }
        id
    }

    /// Size of a value in bytes; `None` for what has none or does not fit 32 bits.
    pub fn size(&self, id: TypeId) -> Option<u32> {
        let (mut id, mut factor) = (id, 1u32);
        for _ in 0..MAX_CHAIN {
            id = self.strip(id);
            let found = self.get(id);
            match found.kind() {
                kind::ARRAY => {
                    let (element, _, count) = found.array()?;
                    factor = factor.checked_mul(count)?;
                    id = element;
                }
                kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT | kind::DATASEC => {
                    return factor.checked_mul(found.word);
                }
                kind::PTR => return factor.checked_mul(8),
                kind::VAR => id = found.word,
                _ => return None,
            }
        }
        None
    }
}
