//! Keys and values of maps, and global variables: from what a person writes to bytes in the node's order.
//!
//! In:   a literal and the C type it must fit. Out: exactly as many bytes as the type has.
//! May fail with: NB0319 or NB0326, as the caller says; all problems of one literal at once.

use crate::{
    diag::{Code, Diagnostic, Diagnostics, one_of, shown},
    object::shape::{Field, Form, Shape},
    source::{Span, Spanned},
    suggest::nearest,
    yaml::types::{Literal, Scalar, Text},
};

use super::scalars::{self, Misfit};

/// Largest value that is encoded, in bytes. Ours: values travel in the statement.
const VALUE_MAX_BYTES: usize = 64 * 1024;

/// What a literal is, for messages.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    /// "key" or "value".
    pub(super) what: &'static str,
    /// What has the value, such as a variable; empty for entries of maps.
    pub(super) name: &'a str,
    /// Code of misfits.
    pub(super) code: Code,
}

/// The bytes of `literal`.
pub(super) fn encode(
    literal: &Spanned<Literal>,
    shape: &Shape,
    subject: Subject<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<u8>> {
    let size = shape.size as usize;
    let mut writer = Writer { subject, diags, path: subject.name.to_owned() };
    if size > VALUE_MAX_BYTES {
        let message = format!("does not fit: its type has {size} bytes; {VALUE_MAX_BYTES} are allowed");
        writer.report(literal, shape, Misfit::new(message, "use a smaller type in the C source"));
        return None;
    }
    let mut bytes = vec![0; size];
    writer.write(literal, shape, &mut bytes).then_some(bytes)
}

struct Writer<'a, 'd> {
    subject: Subject<'a>,
    diags: &'d mut Diagnostics,
    /// Name, members and indices of the value, such as `limits.ports[3]`.
    path: String,
}

impl Writer<'_, '_> {
    /// Writes a literal to `out`, which has the size of its shape; `false` if a problem was reported.
    fn write(&mut self, literal: &Spanned<Literal>, shape: &Shape, out: &mut [u8]) -> bool {
        let misfit = match (&literal.value, &shape.form) {
            (Literal::Scalar(scalar), _) => match scalars::to_bytes(scalar, shape) {
                Ok(bytes) if bytes.len() == out.len() => {
                    out.copy_from_slice(&bytes);
                    return true;
                }
                Ok(_) => scalars::wrong_kind(shape),
                Err(misfit) => misfit,
            },
            (Literal::List(items), Form::Array { element, count }) if items.len() == *count as usize => {
                return self.write_items(items, element, out);
            }
            (Literal::List(items), Form::Array { count, .. }) => {
                Misfit::new(format!("has {}; {count} are needed", counted(items.len())), "write all of them, zeros too")
            }
            (Literal::Struct(members), Form::Struct(fields)) => {
                return self.write_members(members, fields, literal.span, shape, out);
            }
            (Literal::List(_) | Literal::Struct(_), _) => scalars::wrong_kind(shape),
        };
        self.report(literal, shape, misfit);
        false
    }

    fn write_items(&mut self, items: &[Spanned<Literal>], element: &Shape, out: &mut [u8]) -> bool {
        let mut sound = true;
        let size = (element.size as usize).max(1);
        for (index, (item, out)) in items.iter().zip(out.chunks_exact_mut(size)).enumerate() {
            sound &= self.below(&format!("[{index}]"), |writer| writer.write(item, element, out));
        }
        sound
    }

    fn write_members(
        &mut self,
        members: &[(Text, Spanned<Literal>)],
        fields: &[Field],
        span: Span,
        shape: &Shape,
        out: &mut [u8],
    ) -> bool {
        let mut sound = true;
        for (name, member) in members {
            let Some(field) = fields.iter().find(|field| field.name == name.value) else {
                self.no_such_member(name, fields, shape);
                sound = false;
                continue;
            };
            // Checked when the shape was made: no member lies outside.
            let range = field.offset as usize..(field.offset + field.shape.size) as usize;
            let Some(out) = out.get_mut(range) else { continue };
            sound &= self.below(&format!(".{}", name.value), |writer| writer.write(member, &field.shape, out));
        }
        let missing: Vec<_> = fields
            .iter()
            .filter(|field| !field.is_padding() && members.iter().all(|(name, _)| name.value != field.name))
            .map(|field| field.name.as_str())
            .collect();
        // An unknown member that was meant to be one of them is enough of a report.
        if !missing.is_empty() && sound {
            let list: Vec<_> = missing.iter().map(|name| format!("`{}`", shown(name))).collect();
            let message = format!("{} has no {}", self.place(), list.join(", "));
            let span = members.first().map_or(span, |(name, _)| name.span);
            self.diags.push(
                Diagnostic::error(self.subject.code, message)
                    .at(span, format_args!("must have all members of {}", shown(&shape.c_type)))
                    .note("members named pad, padding, reserved or unused may be left out, and are zero")
                    .help(format!("add `{}: …`", shown(missing[0]))),
            );
            sound = false;
        }
        sound
    }

    fn below<T>(&mut self, step: &str, run: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push_str(step);
        let result = run(self);
        self.path.truncate(length);
        result
    }

    /// Which value is meant, such as "value of `ports[3]`".
    fn place(&self) -> String {
        format!("{}{}", self.subject.what, self.of())
    }

    fn of(&self) -> String {
        match self.path.trim_start_matches('.') {
            "" => String::new(),
            path => format!(" of `{}`", shown(path)),
        }
    }

    fn no_such_member(&mut self, name: &Text, fields: &[Field], shape: &Shape) {
        let known = || fields.iter().map(|field| field.name.as_str());
        let help = match nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its members are {}", one_of(known())),
        };
        let message = format!("{} has no member `{}`", self.place(), shown(&name.value));
        self.diags.push(
            Diagnostic::error(self.subject.code, message)
                .at(name.span, format_args!("not in {}", shown(&shape.c_type)))
                .help(help),
        );
    }

    fn report(&mut self, literal: &Spanned<Literal>, shape: &Shape, misfit: Misfit) {
        let message = match &literal.value {
            Literal::Scalar(scalar) => {
                format!("{} {} {}", self.subject.what, [written(scalar), self.of()].concat(), misfit.message)
            }
            Literal::List(_) | Literal::Struct(_) => format!("{} {}", self.place(), misfit.message),
        };
        self.diags.push(
            Diagnostic::error(self.subject.code, message)
                .at(place(literal), format_args!("must fit {}", shown(&shape.c_type)))
                .help(misfit.help),
        );
    }
}

/// Where to point: lists and maps have a start only, so their first scalar or member is shown.
fn place(literal: &Spanned<Literal>) -> Span {
    match &literal.value {
        Literal::Scalar(_) => literal.span,
        Literal::List(items) => items.first().map_or(literal.span, place),
        Literal::Struct(members) => members.first().map_or(literal.span, |(name, _)| name.span),
    }
}

/// A value for messages.
pub(super) fn written(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Int(number) => format!("`{number}`"),
        Scalar::Bool(value) => format!("`{value}`"),
        Scalar::Text(text) => format!("`{}`", shown(text)),
    }
}

fn counted(items: usize) -> String {
    if items == 1 { "1 item".to_owned() } else { format!("{items} items") }
}
