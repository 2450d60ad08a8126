//! BTF: the types that a BPF object carries.
//!
//! In:   the section `.BTF`. Out: [`Btf`].
//! May fail with: [`BtfError`], for every table that is cut short or points outside.
//!
//! Source: linux `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

/// What is wrong with the BTF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its BTF is damaged: {0}")]
pub struct BtfError(pub &'static str);

/// Number of a type; 0 is `void`.
pub type TypeId = u32;

/// A member of a struct or union, or a parameter of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    name: u32,
    /// Its type.
    pub type_id: TypeId,
    /// Where it starts in its struct, in bits; 0 for parameters.
    pub bit_offset: u32,
    /// Its width in bits, if it is a bitfield.
    pub bitfield: Option<u8>,
}

/// A name of an enum and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumValue {
    name: u32,
    /// The value.
    pub value: i128,
}

/// What a modifier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// `const`.
    Const,
    /// `volatile`.
    Volatile,
    /// `restrict` or a type tag.
    Other,
}

/// A type, reduced to what nodebpf asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Number 0.
    Void,
    /// `int` and its kin.
    Int {
        /// Size in bytes.
        size: u32,
        /// Encoding bits: 1 signed, 2 char, 4 bool.
        encoding: u8,
        /// Width in bits.
        bits: u8,
    },
    /// A pointer.
    Pointer(TypeId),
    /// An array.
    Array {
        /// Type of its elements.
        element: TypeId,
        /// Their number.
        count: u32,
    },
    /// A struct or union.
    Composite {
        /// Size in bytes.
        size: u32,
        /// Members.
        members: Vec<Member>,
        /// Whether the members lie in one place.
        union: bool,
    },
    /// An enum of 32 or 64 bits.
    Enum {
        /// Size in bytes.
        size: u32,
        /// Whether its values have a sign.
        signed: bool,
        /// Its names, in written order.
        values: Vec<EnumValue>,
    },
    /// A name for another type.
    Typedef(TypeId),
    /// `const`, `volatile`, `restrict` or a type tag.
    Modifier {
        /// The type that is modified.
        to: TypeId,
        /// Which of them.
        qualifier: Qualifier,
    },
    /// A function.
    Function {
        /// Its prototype.
        prototype: TypeId,
        /// 0 static, 1 global, 2 extern.
        linkage: u16,
    },
    /// A prototype.
    Prototype {
        /// What it returns.
        returns: TypeId,
        /// Parameters.
        parameters: Vec<Member>,
    },
    /// A variable.
    Variable {
        /// Its type.
        of: TypeId,
        /// 0 static, 1 global, 2 extern.
        linkage: u32,
    },
    /// A section of variables, by their ids. Their offsets stand in the symbols: clang leaves them 0 here.
    DataSection(Vec<TypeId>),
    /// `float` or `double`.
    Float(u32),
    /// A forward declaration, or a declaration tag.
    Other,
}

/// A type with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    name: u32,
    /// What it is.
    pub kind: Kind,
}

/// All types of an object.
#[derive(Clone, Debug)]
pub struct Btf {
    types: Vec<Type>,
    strings: Vec<u8>,
}

/// Longest chain of typedefs, modifiers and arrays that is followed; BTF may contain loops.
const MAX_CHAIN: usize = 32;

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BtfError> {
        let (head, rest) = self.bytes.split_at_checked(length).ok_or(BtfError("it ends too early"))?;
        self.bytes = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, BtfError> {
        let bytes = self.take(4)?.try_into().expect("invariant: four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    /// A table of `length` bytes at `offset` of what is left.
    fn table(&self, offset: u32, length: u32) -> Result<Reader<'a>, BtfError> {
        let (start, length) = (offset as usize, length as usize);
        let bytes = start.checked_add(length).and_then(|end| self.bytes.get(start..end));
        Ok(Reader { bytes: bytes.ok_or(BtfError("a table lies outside"))? })
    }
}

/// Header of both sections: magic 0xeb9f little-endian, version 1; leaves the reader behind the header.
fn open(bytes: &[u8]) -> Result<(Vec<u32>, Reader<'_>), BtfError> {
    let mut reader = Reader { bytes };
    if reader.take(4)?.get(..3) != Some(&[0x9f, 0xeb, 1]) {
        return Err(BtfError("its magic or version is unknown"));
    }
    let header_length = reader.u32()? as usize;
    let rest = header_length.checked_sub(8).ok_or(BtfError("its header is too short"))?;
    let mut header = Reader { bytes: reader.take(rest)? };
    let mut words = Vec::new();
    while header.bytes.len() >= 4 && words.len() < 16 {
        words.push(header.u32()?);
    }
    if words.len() < 4 {
        return Err(BtfError("its header is too short"));
    }
    Ok((words, reader))
}

impl Btf {
    /// Reads `.BTF`.
    pub fn parse(section: &[u8]) -> Result<Self, BtfError> {
        let (header, body) = open(section)?;
        let mut reader = body.table(header[0], header[1])?;
        let strings = body.table(header[2], header[3])?.bytes.to_vec();
        let mut types = vec![Type { name: 0, kind: Kind::Void }];
        while !reader.bytes.is_empty() {
            types.push(read_type(&mut reader)?);
        }
        let btf = Self { types, strings };
        btf.check_names()?;
        Ok(btf)
    }

    /// Every name is a string of the table.
    fn check_names(&self) -> Result<(), BtfError> {
        if self.strings.last() != Some(&0) {
            return Err(BtfError("its strings do not end"));
        }
        let inner = |kind: &Kind| match kind {
            Kind::Composite { members, .. } => members.iter().map(|member| member.name).collect(),
            Kind::Prototype { parameters, .. } => parameters.iter().map(|member| member.name).collect(),
            Kind::Enum { values, .. } => values.iter().map(|value| value.name).collect(),
            _ => Vec::new(),
        };
        let names = self.types.iter().flat_map(|item| inner(&item.kind).into_iter().chain([item.name]));
        match names.max() {
            Some(last) if last as usize >= self.strings.len() => Err(BtfError("a name lies outside")),
            _ => Ok(()),
        }
    }

    /// Type `id`; what points outside is nothing.
    pub fn get(&self, id: TypeId) -> &Type {
        const OTHER: Type = Type { name: 0, kind: Kind::Other };
        self.types.get(id as usize).unwrap_or(&OTHER)
    }

    fn string(&self, offset: u32) -> &str {
        let tail = self.strings.get(offset as usize..).unwrap_or_default();
        let end = tail.iter().position(|&byte| byte == 0).unwrap_or(tail.len());
        std::str::from_utf8(&tail[..end]).unwrap_or_default()
    }

    /// Name of a type; empty for nameless ones.
    pub fn name(&self, id: TypeId) -> &str {
        self.string(self.get(id).name)
    }

    /// Name of a member or parameter.
    pub fn member_name(&self, member: &Member) -> &str {
        self.string(member.name)
    }

    /// Name of an enum's value.
    pub fn enum_name(&self, value: &EnumValue) -> &str {
        self.string(value.name)
    }

    /// All types with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &Type)> {
        (0..).zip(&self.types)
    }

    /// Follows typedefs and modifiers.
    pub fn strip(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_CHAIN {
            match self.get(id).kind {
                Kind::Typedef(to) | Kind::Modifier { to, .. } => id = to,
                _ => break,
            }
        }
        id
    }

    /// Names of the typedefs between `id` and its plain type, outermost first.
    pub fn typedef_names(&self, mut id: TypeId) -> Vec<&str> {
        let mut names = Vec::new();
        for _ in 0..MAX_CHAIN {
            match self.get(id).kind {
                Kind::Typedef(to) => {
                    names.push(self.name(id));
                    id = to;
                }
                Kind::Modifier { to, .. } => id = to,
                _ => break,
            }
        }
        names
    }

    /// Size of a value of type `id`, in bytes; `None` for what has none or does not fit 32 bits.
    pub fn size(&self, id: TypeId) -> Option<u32> {
        let (mut id, mut factor) = (id, 1u32);
        for _ in 0..MAX_CHAIN {
            id = self.strip(id);
            match self.get(id).kind {
                Kind::Array { element, count } => {
                    factor = factor.checked_mul(count)?;
                    id = element;
                }
                Kind::Int { size, .. } | Kind::Composite { size, .. } | Kind::Enum { size, .. } | Kind::Float(size) => {
                    return factor.checked_mul(size);
                }
                Kind::Pointer(_) => return factor.checked_mul(8),
                _ => return None,
            }
        }
        None
    }
}

fn members(reader: &mut Reader<'_>, count: u16, stride: usize, with_bitfields: bool) -> Result<Vec<Member>, BtfError> {
    (0..count)
        .map(|_| {
            let mut item = Reader { bytes: reader.take(stride)? };
            let (name, type_id) = (item.u32()?, item.u32()?);
            let word = if item.bytes.is_empty() { 0 } else { item.u32()? };
            // With bitfields in the struct, the highest byte is a width.
            let [.., width] = word.to_le_bytes();
            let bitfield = Some(width).filter(|width| with_bitfields && *width > 0);
            let bit_offset = if with_bitfields { word & 0x00ff_ffff } else { word };
            Ok(Member { name, type_id, bit_offset, bitfield })
        })
        .collect()
}

/// Values of an enum; those of 64 bits are in two words.
fn enum_values(reader: &mut Reader<'_>, count: u16, signed: bool, wide: bool) -> Result<Vec<EnumValue>, BtfError> {
    (0..count)
        .map(|_| {
            let (name, low) = (reader.u32()?, reader.u32()?);
            let high = if wide { reader.u32()? } else { 0 };
            let bits = u64::from(high) << 32 | u64::from(low);
            let value = match (signed, wide) {
                (false, _) => i128::from(bits),
                (true, true) => i128::from(bits.cast_signed()),
                (true, false) => i128::from(low.cast_signed()),
            };
            Ok(EnumValue { name, value })
        })
        .collect()
}

fn read_type(reader: &mut Reader<'_>) -> Result<Type, BtfError> {
    let (name, info, word) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let vlen = u16::try_from(info & 0xffff).expect("invariant: masked to 16 bits");
    let flag = info >> 31 == 1;
    let kind = match info >> 24 & 0x1f {
        1 => {
            let [bits, _, _, encoding] = reader.u32()?.to_le_bytes();
            Kind::Int { size: word, encoding: encoding & 0xf, bits }
        }
        2 => Kind::Pointer(word),
        3 => {
            let (element, _, count) = (reader.u32()?, reader.u32()?, reader.u32()?);
            Kind::Array { element, count }
        }
        kind @ (4 | 5) => Kind::Composite { size: word, members: members(reader, vlen, 12, flag)?, union: kind == 5 },
        6 => Kind::Enum { size: word, signed: flag, values: enum_values(reader, vlen, flag, false)? },
        7 => Kind::Other,
        8 => Kind::Typedef(word),
        9 => Kind::Modifier { to: word, qualifier: Qualifier::Volatile },
        10 => Kind::Modifier { to: word, qualifier: Qualifier::Const },
        11 | 18 => Kind::Modifier { to: word, qualifier: Qualifier::Other },
        12 => Kind::Function { prototype: word, linkage: vlen },
        13 => Kind::Prototype { returns: word, parameters: members(reader, vlen, 8, false)? },
        14 => Kind::Variable { of: word, linkage: reader.u32()? },
        15 => {
            // The variable's type id comes first, then offset and size.
            let ids = (0..vlen).map(|_| Reader { bytes: reader.take(12)? }.u32()).collect::<Result<_, _>>()?;
            Kind::DataSection(ids)
        }
        16 => Kind::Float(word),
        17 => {
            reader.u32()?;
            Kind::Other
        }
        19 => Kind::Enum { size: word, signed: flag, values: enum_values(reader, vlen, flag, true)? },
        _ => return Err(BtfError("it has a kind of type that nodebpf does not know")),
    };
    Ok(Type { name, kind })
}
