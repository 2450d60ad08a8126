//! Shapes: the C type of a map's key or value, or of a global variable, as a tree that manifests are read by.
//!
//! In:   a type of [`Btf`]. Out: [`Shape`]. Cannot fail: what has no form that can be written is [`Form::Opaque`].
//!
//! BTF is not trusted: types may point at themselves, and few types can unfold to many. Depth and number of nodes are
//! bounded; what is beyond is opaque.

use super::btf::{Btf, Kind, Member, TypeId};

/// Deepest nesting that is unfolded.
const MAX_DEPTH: usize = 8;

/// Most nodes of one tree.
const MAX_NODES: usize = 1024;

/// Size and form of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size in bytes; 0 if there is none.
    pub size: u32,
    /// How manifests write it.
    pub form: Form,
    /// C type for messages, such as `__be32` or `struct key (8 bytes)`.
    pub c_type: String,
}

/// How a value is written in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A number in the order of the machine.
    Int {
        /// Whether it has a sign.
        signed: bool,
    },
    /// `char`: alone a number, in an array text.
    Char,
    /// A number in network order; of 4 bytes also an IPv4 address.
    Network,
    /// A truth value.
    Bool,
    /// One of several names, or a number.
    Enum {
        /// Whether its values have a sign.
        signed: bool,
        /// Names and values, in written order.
        values: Vec<(String, i128)>,
    },
    /// A list; of bytes also an address or hexadecimal, of `char` text.
    Array {
        /// What it is a list of.
        element: Box<Shape>,
        /// How many.
        count: u32,
    },
    /// `struct in6_addr`: an IPv6 address.
    Ipv6,
    /// A map, by member.
    Struct(Vec<Field>),
    /// Bytes only, as hexadecimal.
    Opaque {
        /// Why it has no better form, such as "it is a union"; empty if BTF says nothing about it.
        why: String,
    },
}

/// A member of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// C name.
    pub name: String,
    /// Where it starts, in bytes.
    pub offset: u32,
    /// Its type.
    pub shape: Shape,
}

impl Field {
    /// Whether it only fills space: such members may be left out, and are zero.
    pub fn is_padding(&self) -> bool {
        let plain = self.name.trim_matches('_').trim_end_matches(|c: char| c.is_ascii_digit());
        matches!(plain.trim_end_matches('_'), "pad" | "padding" | "reserved" | "rsvd" | "unused")
    }
}

impl Shape {
    /// Bytes of which nothing is known.
    pub fn bytes(size: u32) -> Self {
        Self { size, form: Form::Opaque { why: String::new() }, c_type: format!("{size} bytes") }
    }

    /// The type `id`; `None` if it has no size.
    pub fn of(btf: &Btf, id: TypeId) -> Option<Self> {
        Builder { btf, nodes: 0 }.shape(id, 0)
    }

    /// Whether it is an array of bytes that are no text.
    pub fn is_bytes(&self) -> bool {
        matches!(&self.form, Form::Array { element, .. } if element.size == 1 && matches!(element.form, Form::Int { .. }))
    }

    /// Whether it is an array of `char`.
    pub fn is_text(&self) -> bool {
        matches!(&self.form, Form::Array { element, .. } if element.form == Form::Char)
    }
}

struct Builder<'a> {
    btf: &'a Btf,
    nodes: usize,
}

impl Builder<'_> {
    fn shape(&mut self, id: TypeId, depth: usize) -> Option<Shape> {
        let size = self.btf.size(id)?;
        self.nodes += 1;
        let form = if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            opaque("it is nested too deeply")
        } else {
            self.form(id, size, depth)
        };
        Some(Shape { size, c_type: c_type(self.btf, id, size), form })
    }

    fn form(&mut self, id: TypeId, size: u32, depth: usize) -> Form {
        let btf = self.btf;
        let plain = btf.strip(id);
        let network = btf.typedef_names(id).iter().any(|name| matches!(*name, "__be16" | "__be32" | "__be64"));
        match &btf.get(plain).kind {
            Kind::Int { encoding, .. } if encoding & 4 != 0 => Form::Bool,
            Kind::Int { .. } if network => Form::Network,
            // clang does not set the encoding bit of `char`; its plain type has the name.
            Kind::Int { encoding, .. } if size == 1 && (encoding & 2 != 0 || btf.name(plain) == "char") => Form::Char,
            Kind::Int { encoding, bits, .. } if size <= 8 && u32::from(*bits) == size * 8 => {
                Form::Int { signed: encoding & 1 != 0 }
            }
            Kind::Int { .. } => opaque("it is an integer of an unusual width"),
            Kind::Enum { signed, values, .. } if matches!(size, 1 | 2 | 4 | 8) => {
                let named = values.iter().map(|value| (btf.enum_name(value).to_owned(), value.value));
                Form::Enum { signed: *signed, values: named.collect() }
            }
            Kind::Array { element, count } => match self.shape(*element, depth + 1) {
                Some(element) => Form::Array { element: Box::new(element), count: *count },
                None => opaque("its elements have no size"),
            },
            Kind::Composite { union: true, .. } => opaque("it is a union"),
            Kind::Composite { .. } if btf.name(plain) == "in6_addr" && size == 16 => Form::Ipv6,
            Kind::Composite { members, .. } => match self.fields(members, size, depth) {
                Ok(fields) => Form::Struct(fields),
                Err(why) => Form::Opaque { why },
            },
            Kind::Pointer(_) => opaque("it is a pointer"),
            Kind::Float(_) => opaque("it is a floating-point number"),
            Kind::Enum { .. }
            | Kind::Void
            | Kind::Typedef(_)
            | Kind::Modifier { .. }
            | Kind::Function { .. }
            | Kind::Prototype { .. }
            | Kind::Variable { .. }
            | Kind::DataSection(_)
            | Kind::Other => opaque(""),
        }
    }

    /// Members with those of unnamed structs among them, as C sees them.
    fn fields(&mut self, members: &[Member], size: u32, depth: usize) -> Result<Vec<Field>, String> {
        let mut fields = Vec::new();
        for member in members {
            let name = self.btf.member_name(member).to_owned();
            if member.bitfield.is_some() || !member.bit_offset.is_multiple_of(8) {
                return Err(format!("its member `{name}` is a bitfield"));
            }
            let offset = member.bit_offset / 8;
            let shape =
                self.shape(member.type_id, depth + 1).ok_or_else(|| format!("its member `{name}` has no size"))?;
            // What encodes trusts these.
            if offset.checked_add(shape.size).is_none_or(|end| end > size) {
                return Err(format!("its member `{name}` lies outside"));
            }
            if !name.is_empty() {
                fields.push(Field { name, offset, shape });
            } else if let Form::Struct(inner) = shape.form {
                fields.extend(inner.into_iter().map(|field| Field { offset: offset + field.offset, ..field }));
            } else {
                return Err("it has an unnamed union".to_owned());
            }
        }
        Ok(fields)
    }
}

fn opaque(why: &str) -> Form {
    Form::Opaque { why: why.to_owned() }
}

/// Longest chain of arrays in a name.
const MAX_DIMENSIONS: usize = 4;

/// The C type as people write it.
fn c_type(btf: &Btf, id: TypeId, size: u32) -> String {
    let typedefs = btf.typedef_names(id);
    let plain = btf.strip(id);
    let typedef = typedefs.first().copied().filter(|name| !name.is_empty());
    match (&btf.get(plain).kind, typedef) {
        (Kind::Composite { .. } | Kind::Array { .. }, Some(name)) => format!("{name} ({size} bytes)"),
        (Kind::Composite { union, .. }, None) => {
            let word = if *union { "union" } else { "struct" };
            match btf.name(plain) {
                "" => format!("{size} bytes"),
                name => format!("{word} {name} ({size} bytes)"),
            }
        }
        (Kind::Array { .. }, None) => array_type(btf, plain),
        (Kind::Enum { .. }, None) if !btf.name(plain).is_empty() => format!("enum {}", btf.name(plain)),
        (_, Some(name)) => name.to_owned(),
        (_, None) if btf.name(plain).is_empty() => format!("{size} bytes"),
        (_, None) => btf.name(plain).to_owned(),
    }
}

fn array_type(btf: &Btf, id: TypeId) -> String {
    let (mut id, mut dimensions) = (id, Vec::new());
    for _ in 0..MAX_DIMENSIONS {
        let Kind::Array { element, count } = btf.get(btf.strip(id)).kind else { break };
        dimensions.push(format!("[{count}]"));
        id = element;
    }
    let dimensions = dimensions.concat();
    let plain = btf.strip(id);
    let word = match btf.get(plain).kind {
        Kind::Composite { union: true, .. } => "union ",
        Kind::Composite { .. } => "struct ",
        Kind::Enum { .. } => "enum ",
        _ => "",
    };
    match (btf.typedef_names(id).first(), btf.name(plain)) {
        (Some(typedef), _) => format!("{typedef}{dimensions}"),
        (None, "") => format!("unnamed{dimensions}"),
        (None, name) => format!("{word}{name}{dimensions}"),
    }
}
