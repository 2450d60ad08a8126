//! Spec: what a CO-RE relocation asks for, in the object's own types.
//!
//! In:   a record of `.BTF.ext`. Out: [`Spec`], which names fields, and not their numbers. `None` for one that makes
//! no sense.
//!
//! Source: linux `include/uapi/linux/bpf.h`, `struct bpf_core_relo`; libbpf `src/relo_core.c`, `bpf_core_parse_spec`.

use crate::object::{
    btf::TypeId,
    types::{Types, kind},
};

/// What is asked about a type: `enum bpf_core_relo_kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the kernel's names")]
pub enum Ask {
    FieldByteOffset,
    FieldByteSize,
    FieldExists,
    FieldSigned,
    FieldLeftShift,
    FieldRightShift,
    TypeIdLocal,
    TypeIdTarget,
    TypeExists,
    TypeSize,
    EnumExists,
    EnumValue,
    TypeMatches,
}

impl Ask {
    /// By the kernel's number.
    pub fn from_number(number: u32) -> Option<Self> {
        const ALL: [Ask; 13] = [
            Ask::FieldByteOffset,
            Ask::FieldByteSize,
            Ask::FieldExists,
            Ask::FieldSigned,
            Ask::FieldLeftShift,
            Ask::FieldRightShift,
            Ask::TypeIdLocal,
            Ask::TypeIdTarget,
            Ask::TypeExists,
            Ask::TypeSize,
            Ask::EnumExists,
            Ask::EnumValue,
            Ask::TypeMatches,
        ];
        ALL.get(number as usize).copied()
    }

    /// Whether it asks only if something is there: then its absence is an answer.
    pub fn is_question(self) -> bool {
        matches!(self, Self::FieldExists | Self::TypeExists | Self::EnumExists | Self::TypeMatches)
    }

    /// Whether it is about a field.
    pub fn is_field(self) -> bool {
        matches!(
            self,
            Self::FieldByteOffset
                | Self::FieldByteSize
                | Self::FieldExists
                | Self::FieldSigned
                | Self::FieldLeftShift
                | Self::FieldRightShift
        )
    }

    /// Whether it is about a value of an enum.
    pub fn is_enum(self) -> bool {
        matches!(self, Self::EnumExists | Self::EnumValue)
    }
}

/// One step from a type into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Element of an array, or of what a pointer points to.
    Index(u32),
    /// A named member, of the type given.
    Member {
        /// Its name.
        name: &'a str,
        /// Its type in the object.
        type_id: TypeId,
    },
    /// A name of an enum.
    Value(&'a str),
}

/// A relocation, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec<'a> {
    /// What is asked.
    pub ask: Ask,
    /// Type it starts from, in the object.
    pub root: TypeId,
    /// The way into it.
    pub steps: Vec<Step<'a>>,
}

/// Longest way that libbpf follows: `BPF_CORE_SPEC_MAX_LEN`.
const MAX_STEPS: usize = 64;

impl<'a> Spec<'a> {
    /// Understands a record: kind, type and access string.
    pub fn parse(ask: u32, root: TypeId, access: &str, types: &Types<'a>) -> Option<Self> {
        let ask = Ask::from_number(ask)?;
        let numbers: Vec<u32> = access.split(':').map(|text| text.parse().ok()).collect::<Option<_>>()?;
        let (first, rest) = numbers.split_first().filter(|_| numbers.len() <= MAX_STEPS)?;
        let mut steps = Vec::new();
        if ask.is_enum() {
            let (name, _) = types.get(types.strip(root)).values().nth(*first as usize)?;
            steps.push(Step::Value(types.string(name)));
        } else if ask.is_field() {
            steps.push(Step::Index(*first));
            let mut id = types.strip(root);
            for &number in rest {
                let found = types.get(id);
                if let Some((element, _, _)) = found.array() {
                    steps.push(Step::Index(number));
                    id = types.strip(element);
                } else {
                    let member = found.member(number as usize)?;
                    let name = types.string(member.name);
                    // What stands in a nameless struct is found by its own name.
                    if !name.is_empty() {
                        steps.push(Step::Member { name, type_id: member.type_id });
                    }
                    id = types.strip(member.type_id);
                }
            }
        }
        Some(Self { ask, root, steps })
    }

    /// In C's words, such as `struct task_struct.mm.pgd[0]`.
    pub fn text(&self, types: &Types<'_>) -> String {
        let word = match types.get(self.root).kind() {
            kind::STRUCT => "struct ",
            kind::UNION => "union ",
            kind::ENUM | kind::ENUM64 => "enum ",
            _ => "",
        };
        let name = types.name(self.root);
        let mut text = format!("{word}{}", if name.is_empty() { "(nameless)" } else { name });
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Index(0) if at == 0 => {}
                Step::Index(index) => text.extend(["[", &index.to_string(), "]"]),
                Step::Member { name, .. } => text.extend([".", name]),
                Step::Value(name) => text.extend([" ", name]),
            }
        }
        text
    }
}
