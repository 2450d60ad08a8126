//! Relocate: what programs ask of a kernel's types, answered without loading anything.
//!
//! In:   an object taken apart, a [`Kernel`]. Out: [`Lack`]s. Cannot fail.
//!
//! Loaders poison an instruction whose relocation has no answer; the verifier refuses the program only if it can be
//! reached. So what a program asks for by `bpf_core_field_exists` and its kin first is not held against it.

pub mod kernel;
pub mod lookup;
pub mod spec;

pub use kernel::Kernel;

use kernel::essential;
use lookup::Answer;
use spec::{Spec, Step};

use crate::object::{
    code::{self, Function},
    ext::Record,
    parts::Parts,
    types::Types,
};

/// Something that a kernel does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// In C's words, such as `struct task_struct.mm`.
    pub what: String,
    /// What the kernel has instead.
    pub why: &'static str,
    /// Whether a question for the same type stands in the program: then the code may not be reached.
    pub perhaps_unreachable: bool,
    /// Function that needs it.
    pub function: String,
    /// Instruction in it.
    pub instruction: u64,
    /// The C line, if the object tells it.
    pub line: Option<Line>,
}

/// A line of C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// File, as the compiler was given it.
    pub file: String,
    /// Number, from 1.
    pub number: u32,
    /// What stands there.
    pub text: String,
}

/// One relocation of a program.
struct Need<'a, 'b> {
    spec: Spec<'a>,
    function: &'b Function,
    offset: u32,
}

/// What `kernel` lacks of what the program `name` needs: each thing once, in the order of the code.
pub fn lacks(parts: &Parts<'_>, name: &str, kernel: &Kernel<'_>) -> Vec<Lack> {
    let Some(types) = &parts.types else { return Vec::new() };
    let needs = needs(parts, name, types);
    let questions: Vec<_> = needs
        .iter()
        .filter(|need| need.spec.ask.is_question())
        .map(|need| (&need.spec, lookup::ask(&need.spec, types, kernel) == Answer::Value(0)))
        .collect();
    let mut lacks: Vec<Lack> = Vec::new();
    for need in needs.iter().filter(|need| !need.spec.ask.is_question()) {
        let why = match lookup::ask(&need.spec, types, kernel) {
            Answer::Value(_) => continue,
            Answer::Missing => "is not there",
            Answer::Ambiguous => "has several meanings",
        };
        let root = essential(types.name(need.spec.root));
        let mut asked = questions.iter().filter(|(question, _)| essential(types.name(question.root)) == root);
        let perhaps_unreachable = asked.clone().next().is_some();
        // Asked for, not there: the program knows.
        if asked.any(|(question, is_absent)| *is_absent && covers(question, &need.spec)) {
            continue;
        }
        let what = need.spec.text(types);
        if lacks.iter().all(|lack| lack.what != what) {
            lacks.push(Lack {
                what,
                why,
                perhaps_unreachable,
                function: need.function.name.clone(),
                instruction: (u64::from(need.offset) - need.function.offset) / code::INSTRUCTION,
                line: line(parts, need.function, need.offset),
            });
        }
    }
    lacks
}

/// All answers for a program, for comparison with other readers: section offset of the instruction, and answer.
pub fn answers(parts: &Parts<'_>, name: &str, kernel: &Kernel<'_>) -> Vec<(String, u32, Answer)> {
    let Some(types) = &parts.types else { return Vec::new() };
    let needs = needs(parts, name, types).into_iter();
    needs.map(|need| (need.function.name.clone(), need.offset, lookup::ask(&need.spec, types, kernel))).collect()
}

fn needs<'a, 'b>(parts: &'b Parts<'a>, name: &str, types: &Types<'a>) -> Vec<Need<'a, 'b>> {
    let root = parts.functions.iter().position(|function| function.is_program && function.name == name);
    let functions = code::reachable(&parts.functions, root).into_iter().map(|index| &parts.functions[index]);
    functions
        .flat_map(|function| {
            parts.records(&parts.ext.relocations, function).filter_map(move |record| {
                let access = types.string(record.word(2));
                let spec = Spec::parse(record.word(3), record.type_id(), access, types)?;
                Some(Need { spec, function, offset: record.offset() })
            })
        })
        .collect()
}

/// Whether `question` asks for just what `spec` needs, or for something on the way to it.
fn covers(question: &Spec<'_>, spec: &Spec<'_>) -> bool {
    let names = |spec: &Spec<'_>| -> Vec<String> {
        let name = |step: &Step<'_>| match step {
            Step::Member { name, .. } | Step::Value(name) => Some(essential(name).to_owned()),
            Step::Index(_) => None,
        };
        spec.steps.iter().filter_map(name).collect()
    };
    names(spec).starts_with(&names(question))
}

fn line(parts: &Parts<'_>, function: &Function, offset: u32) -> Option<Line> {
    let types = parts.types.as_ref()?;
    let before = |record: &Record<'_>| record.offset() <= offset;
    let record = parts.records(&parts.ext.lines, function).filter(before).last()?;
    Some(Line {
        file: types.string(record.word(1)).to_owned(),
        number: record.word(3) >> 10,
        text: types.string(record.word(2)).trim().to_owned(),
    })
}
