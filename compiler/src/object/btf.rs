//! BTF: the types that a BPF object carries, as a tree that maps, globals and prototypes are read from.
//!
//! In:   [`Types`], which reads them where they stand. Out: [`Btf`], which owns what it says.
//! May fail with: [`BtfError`], for a name that lies outside.
//!
//! Source: linux `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

use super::types::{self, Types, kind};
pub use super::types::{BtfError, TypeId};

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

impl Btf {
    /// Makes the tree.
    pub fn new(types: &Types<'_>) -> Result<Self, BtfError> {
        let void = Type { name: 0, kind: Kind::Void };
        let read = |(_, found): (TypeId, types::Type<'_>)| Type { name: found.name, kind: kind_of(&found) };
        let btf = Self {
            types: std::iter::once(void).chain(types.iter().map(read)).collect(),
            strings: types.strings().to_vec(),
        };
        btf.check_names()?;
        Ok(btf)
    }

    /// Every name is a string of the table.
    fn check_names(&self) -> Result<(), BtfError> {
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

/// A type by what it is. What [`Types`] cannot hold was refused when it was read.
fn kind_of(found: &types::Type<'_>) -> Kind {
    let word = found.word;
    match found.kind() {
        kind::VOID => Kind::Void,
        kind::INT => {
            found.int().map_or(Kind::Other, |int| Kind::Int { size: word, encoding: int.encoding, bits: int.bits })
        }
        kind::PTR => Kind::Pointer(word),
        kind::ARRAY => found.array().map_or(Kind::Other, |(element, _, count)| Kind::Array { element, count }),
        of @ (kind::STRUCT | kind::UNION) => {
            Kind::Composite { size: word, members: found.members().map(member).collect(), union: of == kind::UNION }
        }
        kind::ENUM | kind::ENUM64 => Kind::Enum { size: word, signed: found.flag(), values: values(*found) },
        kind::TYPEDEF => Kind::Typedef(word),
        kind::VOLATILE => Kind::Modifier { to: word, qualifier: Qualifier::Volatile },
        kind::CONST => Kind::Modifier { to: word, qualifier: Qualifier::Const },
        kind::RESTRICT | kind::TYPE_TAG => Kind::Modifier { to: word, qualifier: Qualifier::Other },
        kind::FUNC => Kind::Function { prototype: word, linkage: u16::try_from(found.count()).unwrap_or(u16::MAX) },
        kind::FUNC_PROTO => Kind::Prototype { returns: word, parameters: found.parameters().map(parameter).collect() },
        kind::VAR => Kind::Variable { of: word, linkage: found.extra() },
        kind::DATASEC => Kind::DataSection(found.variables().map(|(id, ..)| id).collect()),
        kind::FLOAT => Kind::Float(word),
        _ => Kind::Other,
    }
}

fn member(found: types::Member) -> Member {
    let types::Member { name, type_id, bit_offset, bit_size } = found;
    let bitfield = u8::try_from(bit_size).ok().filter(|width| *width > 0);
    Member { name, type_id, bit_offset, bitfield }
}

fn parameter((name, type_id): (u32, TypeId)) -> Member {
    Member { name, type_id, bit_offset: 0, bitfield: None }
}

/// Values of an enum, with their sign.
fn values(found: types::Type<'_>) -> Vec<EnumValue> {
    let signed = |bits: u64| if found.flag() { i128::from(bits.cast_signed()) } else { i128::from(bits) };
    found.values().map(|(name, bits)| EnumValue { name, value: signed(bits) }).collect()
}
