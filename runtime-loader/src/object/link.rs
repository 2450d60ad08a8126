//! Link: one program with all functions that it calls, as one run of instructions.
//!
//! In: an [`Image`] with its maps created. Out: [`Code`]. Fails with [`ObjectError::Elf`] for what refers to nothing.
//!
//! Functions follow the program in the order in which they are first met. Records about functions and lines move with
//! their instructions; the kernel takes them only whole, so they are left out if one is missing.
//!
//! Source: linux `Documentation/bpf/llvm_reloc.rst`, `include/uapi/linux/bpf.h` (`BPF_PSEUDO_*`).

use super::{Image, ObjectError, Read, broken, btf::Part, elf::Symbol};

/// `BPF_LD | BPF_IMM | BPF_DW`: two instructions with one 64-bit value.
pub(super) const LOAD_64: u8 = 0x18;
/// `BPF_JMP | BPF_CALL`.
pub(super) const CALL: u8 = 0x85;

const PSEUDO_MAP_FD: u8 = 1;
const PSEUDO_MAP_VALUE: u8 = 2;
const PSEUDO_FUNC: u8 = 4;
const PSEUDO_CALL: u8 = 1;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Insn {
    pub(super) code: u8,
    /// Destination register in the low, source register in the high half.
    pub(super) registers: u8,
    pub(super) offset: i16,
    pub(super) imm: i32,
}

impl Insn {
    fn source(self) -> u8 {
        self.registers >> 4
    }

    fn set_source(&mut self, source: u8) {
        self.registers = self.registers & 15 | source << 4;
    }
}

pub(super) fn decode(bytes: &[u8]) -> Vec<Insn> {
    let one = |b: &[u8; 8]| Insn {
        code: b[0],
        registers: b[1],
        offset: i16::from_le_bytes([b[2], b[3]]),
        imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    };
    bytes.as_chunks().0.iter().map(one).collect()
}

/// A program, ready for the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    /// Instructions, 8 bytes each.
    pub(super) insns: Vec<u8>,
    /// `bpf_func_info` records and the size of one.
    pub(super) func_info: (Vec<u8>, usize),
    /// `bpf_line_info` records and the size of one.
    pub(super) line_info: (Vec<u8>, usize),
}

/// A function where it stands in its section, in instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) section: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The kernel's `BPF_COMPLEXITY_LIMIT_INSNS` and `BPF_MAX_SUBPROGS`: more of a program is never loaded, and must not take
/// the node's memory first. Source: linux `include/linux/bpf.h`, `include/linux/bpf_verifier.h`.
const MAX_INSNS: usize = 1_000_000;
const MAX_FUNCTIONS: usize = 256;

/// All functions of the code sections, by section and start. Two may be names of one range, and overlap no other way:
/// of functions inside of each other a small object has instructions without end.
pub(super) fn functions<'a>(symbols: &[Symbol<'a>], code: &[Option<Vec<u32>>]) -> Read<Vec<Function<'a>>> {
    let mut functions = Vec::new();
    for symbol in symbols.iter().filter(|symbol| symbol.is_function()) {
        let Some(relocations) = code.get(symbol.section).and_then(Option::as_ref) else { continue };
        let end = symbol.value.saturating_add(symbol.size);
        if end / 8 > relocations.len() || symbol.value % 8 != 0 || symbol.size % 8 != 0 || symbol.size == 0 {
            return Err(broken("a function lies outside of its section", symbol.name));
        }
        functions.push(Function { name: symbol.name, section: symbol.section, start: symbol.value / 8, end: end / 8 });
    }
    functions.sort_unstable_by_key(|one| (one.section, one.start, one.end, one.name));
    for pair in functions.windows(2) {
        let [one, next] = pair else { continue };
        if one.section == next.section && next.start < one.end && (one.start, one.end) != (next.start, next.end) {
            return Err(ObjectError::Elf(format!("functions `{}` and `{}` overlap", one.name, next.name)));
        }
    }
    Ok(functions)
}

/// What relocating one instruction needs to know about the rest.
pub(super) trait Resolve {
    /// Changes the instructions `insns`, from `start` of the function's section, for the running kernel.
    fn adapt(&mut self, function: Function<'_>, insns: &mut [Insn]) -> Read<()>;

    /// Descriptor of the map number `map`.
    fn map_fd(&self, map: usize) -> i32;
}

/// Links the program `main`.
pub(super) fn link(object: &Image<'_>, main: Function<'_>, resolve: &mut dyn Resolve) -> Read<Code> {
    let mut linker = Linker { object, insns: Vec::new(), linked: Vec::new() };
    linker.add(main, resolve)?;
    let mut done = 0;
    while let Some(&(function, base)) = linker.linked.get(done) {
        linker.relocate(function, base, resolve)?;
        done += 1;
    }
    let mut code = Code::default();
    for insn in &linker.insns {
        code.insns.extend_from_slice(&[insn.code, insn.registers]);
        code.insns.extend_from_slice(&insn.offset.to_le_bytes());
        code.insns.extend_from_slice(&insn.imm.to_le_bytes());
    }
    let functions = linker.records(Part::Functions)?;
    let lines = linker.records(Part::Lines)?;
    // Lines are not taken without functions.
    if let Some(functions) = functions {
        code.func_info = functions;
        code.line_info = lines.unwrap_or_default();
    }
    Ok(code)
}

struct Linker<'a, 'o> {
    object: &'o Image<'a>,
    insns: Vec<Insn>,
    /// Functions with the number of their first instruction in `insns`.
    linked: Vec<(Function<'a>, usize)>,
}

impl<'a> Linker<'a, '_> {
    /// Appends a function, unless it is there; returns its first instruction.
    fn add(&mut self, function: Function<'a>, resolve: &mut dyn Resolve) -> Read<usize> {
        if let Some((_, base)) = self.linked.iter().find(|(other, _)| *other == function) {
            return Ok(*base);
        }
        let base = self.insns.len();
        let bytes = self.object.elf.sections.get(function.section).map_or(&[][..], |section| section.data);
        let bytes = bytes.get(function.start * 8..function.end * 8).unwrap_or_default();
        if base + bytes.len() / 8 > MAX_INSNS || self.linked.len() >= MAX_FUNCTIONS {
            return Err(broken(
                "a program with all that it calls is more than the kernel takes, at function",
                function.name,
            ));
        }
        let mut insns = decode(bytes);
        resolve.adapt(function, &mut insns)?;
        self.insns.extend_from_slice(&insns);
        self.linked.push((function, base));
        Ok(base)
    }

    /// The function that begins at instruction `start` of a section.
    fn function_at(&self, section: usize, start: i64, caller: &str) -> Read<Function<'a>> {
        let functions = &self.object.functions;
        let at = usize::try_from(start)
            .ok()
            .and_then(|start| functions.binary_search_by_key(&(section, start), |one| (one.section, one.start)).ok());
        at.map(|at| functions[at]).ok_or_else(|| broken("a call leads to no function, from", caller))
    }

    fn relocate(&mut self, function: Function<'a>, base: usize, resolve: &mut dyn Resolve) -> Read<()> {
        let relocations = self.object.code.get(function.section).and_then(Option::as_deref).unwrap_or_default();
        let relocations = relocations.get(function.start..function.end).unwrap_or_default();
        let mut wide = false;
        for (index, &symbol) in relocations.iter().enumerate() {
            let at = base + index;
            // The second half of a 64-bit load is no instruction, whatever its code says.
            if std::mem::take(&mut wide) {
                continue;
            }
            let Some(&insn) = self.insns.get(at) else { continue };
            wide = insn.code == LOAD_64;
            let symbol = match symbol {
                0 => None,
                number => self.object.elf.symbols.get(number as usize),
            };
            match (insn.code, symbol) {
                (CALL, None) if insn.source() == PSEUDO_CALL => {
                    let here = i64::try_from(function.start + index).unwrap_or(i64::MAX);
                    let start = here.saturating_add(i64::from(insn.imm) + 1);
                    let callee = self.function_at(function.section, start, function.name)?;
                    let target = self.add(callee, resolve)?;
                    self.point(at, target)?;
                }
                (CALL, Some(symbol)) => {
                    defined(symbol)?;
                    let start =
                        i64::try_from(symbol.value / 8).unwrap_or(i64::MAX).saturating_add(i64::from(insn.imm) + 1);
                    let callee = self.function_at(symbol.section, start, function.name)?;
                    let target = self.add(callee, resolve)?;
                    self.set(at, PSEUDO_CALL, insn.imm);
                    self.point(at, target)?;
                }
                (LOAD_64, Some(symbol)) => self.load(function, at, insn.imm, symbol, resolve)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// A 64-bit load of something with an address: a map, a variable or a function.
    fn load(
        &mut self,
        function: Function<'a>,
        at: usize,
        imm: i32,
        symbol: &Symbol<'a>,
        resolve: &mut dyn Resolve,
    ) -> Read<()> {
        if symbol.section == 0 && symbol.is_weak() {
            return Ok(()); // stays 0, for the program to ask
        }
        defined(symbol)?;
        let target = i64::try_from(symbol.value).unwrap_or(i64::MAX).saturating_add(imm.into());
        if self.object.code.get(symbol.section).is_some_and(Option::is_some) {
            let callee = self.function_at(symbol.section, target / 8, function.name)?;
            let target = self.add(callee, resolve)?;
            self.set(at, PSEUDO_FUNC, 0);
            return self.point(at, target);
        }
        let number = self.object.maps.iter().position(|map| {
            // A section of variables is one map; of `.maps` each definition is one.
            map.section == symbol.section && (map.data.is_some() || i64::try_from(map.offset) == Ok(target))
        });
        let Some(number) = number else {
            return Err(broken("an instruction refers to something that is no map", symbol.name));
        };
        let fd = resolve.map_fd(number);
        if self.object.maps[number].data.is_some() {
            let place = i32::try_from(target).map_err(|_| broken("a variable lies outside of its map", symbol.name))?;
            self.set(at, PSEUDO_MAP_VALUE, fd);
            self.set_imm(at + 1, place)
        } else {
            self.set(at, PSEUDO_MAP_FD, fd);
            Ok(())
        }
    }

    fn set(&mut self, at: usize, source: u8, imm: i32) {
        if let Some(insn) = self.insns.get_mut(at) {
            insn.set_source(source);
            insn.imm = imm;
        }
    }

    fn set_imm(&mut self, at: usize, imm: i32) -> Read<()> {
        match self.insns.get_mut(at) {
            Some(insn) => insn.imm = imm,
            None => return Err(broken("a 64-bit load is cut off", "")),
        }
        Ok(())
    }

    /// Makes the instruction `at` point to the instruction `target`: distances count from the next one.
    fn point(&mut self, at: usize, target: usize) -> Read<()> {
        let distance = |from: usize, to: usize| Some(i32::try_from(to).ok()? - i32::try_from(from).ok()? - 1);
        let imm = distance(at, target).ok_or_else(|| broken("it has too many instructions", ""))?;
        self.set_imm(at, imm)
    }

    /// The records of one part for everything that is linked; `None` if some are missing.
    fn records(&self, part: Part) -> Read<Option<(Vec<u8>, usize)>> {
        let (mut out, mut size) = (Vec::new(), 0);
        let Some(btf) = &self.object.btf else { return Ok(None) };
        for (function, base) in &self.linked {
            let section = self.object.elf.sections.get(function.section).map_or("", |section| section.name);
            let (record_size, records) = self.object.records(part, btf, section)?;
            let mut at_start = false;
            for record in records.chunks_exact(record_size.max(1)) {
                let offset = super::bytes::u32_at(record, 0).unwrap_or_default() as usize / 8;
                if (function.start..function.end).contains(&offset) {
                    at_start |= offset == function.start;
                    let moved = u32::try_from(base + offset - function.start).unwrap_or_default();
                    out.extend_from_slice(&moved.to_le_bytes());
                    out.extend_from_slice(record.get(4..).unwrap_or_default());
                }
            }
            if !at_start {
                return Ok(None);
            }
            size = record_size;
        }
        Ok(Some((out, size)))
    }
}

fn defined(symbol: &Symbol<'_>) -> Read<()> {
    if symbol.section == 0 {
        return Err(broken("it refers to something that it does not define", symbol.name));
    }
    Ok(())
}
