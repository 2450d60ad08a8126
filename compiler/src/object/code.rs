//! Code: functions, and what each of them calls and touches.
//!
//! In:   [`Elf`]. Out: [`Function`]s, by section and offset. May fail with: [`ElfError`], for code that no reader could
//! link: calls into nowhere, relocations of other instructions than calls and 64-bit loads.
//!
//! Source: linux `Documentation/bpf/standardization/instruction-set.rst`; relocations: linux
//! `Documentation/bpf/llvm_reloc.rst`.

use std::collections::{BTreeMap, BTreeSet};

use super::elf::{Elf, ElfError, Relocation, Symbol};

/// A function of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// C name.
    pub name: String,
    /// Index of its section.
    pub section: usize,
    /// Index of its symbol.
    pub symbol: usize,
    /// Offset in the section, in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    /// Whether the symbol is global.
    pub global: bool,
    /// Whether it is a program of its own, not only called by programs.
    pub is_program: bool,
    /// Helpers it calls: number, and index of the first instruction that does.
    pub helpers: BTreeMap<u32, u64>,
    /// Functions of the object that it calls or points to, as indices of the list.
    pub calls: Vec<usize>,
    /// What is defined elsewhere, by the name of the symbol.
    pub externs: Vec<Extern>,
    /// Indices of the sections whose data it touches.
    pub data: Vec<usize>,
    /// Indices of the symbols that it refers to in data sections.
    pub symbols: Vec<usize>,
}

/// Something of the kernel that an object refers to by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extern {
    /// Name of the symbol.
    pub name: String,
    /// Whether it is called.
    pub is_call: bool,
}

/// Bytes of an instruction.
pub const INSTRUCTION: u64 = 8;

const CALL: u8 = 0x85;
const LOAD_64: u8 = 0x18;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_KFUNC: u8 = 2;
const PSEUDO_FUNC: u8 = 4;

/// An instruction: code, source register and constant.
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    source: u8,
    constant: i32,
}

fn decode(bytes: &[u8]) -> Instruction {
    let constant = bytes.get(4..8).map_or(0, |bytes| i32::from_le_bytes(bytes.try_into().expect("invariant: 4 bytes")));
    Instruction { code: bytes[0], source: bytes.get(1).map_or(0, |byte| byte >> 4), constant }
}

fn damaged(why: String) -> ElfError {
    ElfError::Damaged(why)
}

/// All functions, by section and offset.
pub fn read(elf: &Elf<'_>) -> Result<Vec<Function>, ElfError> {
    let mut functions = Vec::new();
    for (index, symbol) in elf.symbols.iter().enumerate() {
        let Some(section) = symbol.section.filter(|_| symbol.is_function) else { continue };
        let place = &elf.sections[section];
        if !place.is_code() {
            continue;
        }
        if symbol.size == 0 || symbol.size % INSTRUCTION != 0 || symbol.offset % INSTRUCTION != 0 {
            return Err(damaged(format!("function `{}` is not a number of instructions", symbol.name)));
        }
        functions.push(Function {
            name: symbol.name.to_owned(),
            section,
            symbol: index,
            offset: symbol.offset,
            size: symbol.size,
            global: symbol.global,
            is_program: !place.is_text(),
            helpers: BTreeMap::new(),
            calls: Vec::new(),
            externs: Vec::new(),
            data: Vec::new(),
            symbols: Vec::new(),
        });
    }
    functions.sort_by(|a, b| (a.section, a.offset, &a.name).cmp(&(b.section, b.offset, &b.name)));
    covered(elf, &functions)?;
    let starts: BTreeMap<(usize, u64), usize> =
        functions.iter().enumerate().map(|(index, function)| ((function.section, function.offset), index)).collect();
    for function in &mut functions {
        scan(function, elf, &starts)?;
    }
    functions.iter().enumerate().filter(|(_, one)| one.is_program).try_for_each(|(at, _)| bounded(&functions, at))?;
    Ok(functions)
}

/// The kernel's `BPF_MAX_SUBPROGS` and `BPF_COMPLEXITY_LIMIT_INSNS`: linux `include/linux/bpf_verifier.h`,
/// `include/linux/bpf.h`.
const MAX_FUNCTIONS: usize = 256;
const MAX_INSTRUCTIONS: u64 = 1_000_000;

/// Refuses a program that no kernel takes: in a chain of calls that is itself one of programs, what is said of each
/// program would have no end.
fn bounded(functions: &[Function], program: usize) -> Result<(), ElfError> {
    let (mut seen, mut open, mut instructions) = (BTreeSet::new(), vec![program], 0);
    while let Some(index) = open.pop() {
        if seen.insert(index) {
            instructions += functions[index].size / INSTRUCTION;
            if seen.len() > MAX_FUNCTIONS || instructions > MAX_INSTRUCTIONS {
                return Err(ElfError::TooLarge(functions[program].name.clone()));
            }
            open.extend(&functions[index].calls);
        }
    }
    Ok(())
}

/// Functions must not overlap, and called ones must fill their section: what a reader assumes.
fn covered(elf: &Elf<'_>, functions: &[Function]) -> Result<(), ElfError> {
    for (index, section) in elf.sections.iter().enumerate().filter(|(_, section)| section.is_code()) {
        let mut end = 0;
        for function in functions.iter().filter(|function| function.section == index) {
            if function.offset < end || (section.is_text() && function.offset != end) {
                return Err(damaged(format!("function `{}` overlaps another one", function.name)));
            }
            end = function.offset + function.size;
        }
        if section.is_text() && end != section.size() {
            return Err(damaged(format!("section `{}` has code outside functions", section.name)));
        }
    }
    Ok(())
}

fn scan(function: &mut Function, elf: &Elf<'_>, starts: &BTreeMap<(usize, u64), usize>) -> Result<(), ElfError> {
    let section = &elf.sections[function.section];
    let end = function.offset + function.size;
    let mut at = function.offset;
    while at < end {
        let start = usize::try_from(at).map_err(|_| damaged("it is larger than memory".to_owned()))?;
        let bytes = section.data.get(start..start + 8).ok_or_else(|| damaged("code lies outside".to_owned()))?;
        let instruction = decode(bytes);
        let relocation = relocation_at(&section.relocations, at);
        let index = (at - function.offset) / INSTRUCTION;
        let wide = instruction.code == LOAD_64;
        if wide && at + 2 * INSTRUCTION > end {
            return Err(damaged(format!("function `{}` ends in the middle of an instruction", function.name)));
        }
        match (instruction.code, relocation) {
            (CALL, Some(relocation)) => {
                let symbol = &elf.symbols[relocation.symbol];
                link(function, symbol, relocation.symbol, i64::from(instruction.constant) + 1, true, elf, starts)?;
            }
            (LOAD_64, Some(relocation)) => {
                let symbol = &elf.symbols[relocation.symbol];
                link(function, symbol, relocation.symbol, i64::from(instruction.constant) / 8, false, elf, starts)?;
            }
            (_, Some(_)) => {
                return Err(damaged(format!("function `{}` has a relocation that is no call or load", function.name)));
            }
            (CALL, None) => call(function, instruction, at, index, starts)?,
            (LOAD_64, None) if instruction.source == PSEUDO_FUNC => {
                return Err(damaged(format!("function `{}` points to code without relocation", function.name)));
            }
            _ => {}
        }
        at += if wide { 2 * INSTRUCTION } else { INSTRUCTION };
    }
    let inside = |relocation: &&Relocation| (function.offset..end).contains(&relocation.offset);
    if section.relocations.iter().filter(inside).any(|relocation| relocation.offset % INSTRUCTION != 0) {
        return Err(damaged("a relocation lies inside an instruction".to_owned()));
    }
    function.calls.sort_unstable();
    function.calls.dedup();
    function.externs.sort();
    function.externs.dedup();
    function.data.sort_unstable();
    function.data.dedup();
    function.symbols.sort_unstable();
    function.symbols.dedup();
    Ok(())
}

fn relocation_at(relocations: &[Relocation], offset: u64) -> Option<&Relocation> {
    let index = relocations.binary_search_by_key(&offset, |relocation| relocation.offset).ok()?;
    relocations.get(index)
}

/// A call without relocation: a helper, or a function of the same section.
fn call(
    function: &mut Function,
    instruction: Instruction,
    at: u64,
    index: u64,
    starts: &BTreeMap<(usize, u64), usize>,
) -> Result<(), ElfError> {
    match instruction.source {
        0 => {
            function.helpers.entry(instruction.constant.cast_unsigned()).or_insert(index);
        }
        PSEUDO_CALL => {
            let target = at.cast_signed() / 8 + i64::from(instruction.constant) + 1;
            let callee = u64::try_from(target).ok().and_then(|target| starts.get(&(function.section, target * 8)));
            function.calls.push(*callee.ok_or_else(|| nowhere(function))?);
        }
        PSEUDO_KFUNC => {
            function.externs.push(Extern { name: format!("BTF id {}", instruction.constant), is_call: true });
        }
        _ => return Err(nowhere(function)),
    }
    Ok(())
}

fn nowhere(function: &Function) -> ElfError {
    damaged(format!("function `{}` calls code that is not there", function.name))
}

/// An instruction that refers to a symbol; `slots` is what the instruction adds, in instructions.
fn link(
    function: &mut Function,
    symbol: &Symbol<'_>,
    index: usize,
    slots: i64,
    is_call: bool,
    elf: &Elf<'_>,
    starts: &BTreeMap<(usize, u64), usize>,
) -> Result<(), ElfError> {
    let Some(section) = symbol.section else {
        function.externs.push(Extern { name: symbol.name.to_owned(), is_call });
        return Ok(());
    };
    if elf.sections[section].is_code() {
        let offset = match (symbol.is_function, symbol.is_section) {
            (true, _) => Some(symbol.offset),
            (false, true) => slots.checked_mul(8).and_then(|offset| u64::try_from(offset).ok()),
            // A label: no reader knows what it is.
            (false, false) => None,
        };
        let callee = offset.and_then(|offset| starts.get(&(section, offset)));
        function.calls.push(*callee.ok_or_else(|| nowhere(function))?);
    } else if is_call {
        return Err(nowhere(function));
    } else {
        function.data.push(section);
        function.symbols.push(index);
    }
    Ok(())
}

/// `roots` and everything they call, as indices, rising.
pub fn reachable(functions: &[Function], roots: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut seen = vec![false; functions.len()];
    let mut open: Vec<usize> = roots.into_iter().collect();
    while let Some(index) = open.pop() {
        if let Some(mark) = seen.get_mut(index).filter(|mark| !**mark) {
            *mark = true;
            open.extend(&functions[index].calls);
        }
    }
    seen.iter().enumerate().filter_map(|(index, seen)| seen.then_some(index)).collect()
}
