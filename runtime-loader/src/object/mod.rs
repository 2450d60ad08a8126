//! Object: from the bytes of a verified ELF object to maps and programs in the kernel.
//!
//! In: object bytes, the programs wanted of it, what the plan says about its maps.
//! Out: [`Loaded`]: owned descriptors; dropping them leaves nothing behind.
//! Fails with [`ObjectError`]: the ELF or BTF cannot be used, or the kernel refused a map or a program.
//!
//! The reader is our own, because it is a third of the size of `aya-obj` and because damaged bytes are an error of it
//! and never a panic (docs/adr/0011-own-object-reader.md); `aya-obj` is the oracle of its tests. `elf` and `btf` read,
//! `fix` makes BTF that the kernel takes, `maps` finds the maps, `link` puts a program together, `core` adapts it, `shape`
//! compares types of maps.
//! The kernel's own BTF is read at most once a run, and only for an object with CO-RE relocations.

mod btf;
mod bytes;
mod core;
mod elf;
mod fix;
mod link;
mod maps;
mod render;
mod shape;
#[cfg(test)]
mod tests;

use nodeplan::sorted::SortedMap;
use std::{
    cell::{OnceCell, RefCell},
    ffi::CStr,
    fmt, fs,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nodeplan::{
    entry::MapEntry,
    limits::MAP_MAX_MEMORY_BYTES,
    map_memory,
    name::{MapName, ProgramName},
    plan::Map as PlanMap,
    report::Code,
};

use self::{
    btf::Part,
    elf::Elf,
    link::{Function, Insn},
    maps::Map,
};
use crate::{
    kernel::{CallError, Kernel, Kind, LoadError, MapSpec, ProgSpec},
    maps::{self as plan_maps, Kept},
    verifier,
};

pub(crate) use self::{
    btf::Btf,
    render::{hex, network},
    shape::shape,
};

/// `BPF_F_SLEEPABLE`.
const F_SLEEPABLE: u32 = 1 << 4;

const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_ARRAY: u32 = 2;
const MAP_TYPE_PROG_ARRAY: u32 = 3;
const MAP_TYPE_LPM_TRIE: u32 = 11;

/// Map types whose values are descriptors that somebody must fill in: hash and array of maps.
const UNSUPPORTED_MAP_TYPES: &[(u32, &str)] = &[(12, "array_of_maps"), (13, "hash_of_maps")];

/// The kernel's `ENOTSUPP`, which libc does not know: a map of this type takes no types of keys and values.
const ENOTSUPP: i32 = 524;

/// Why an object is not in the kernel.
#[derive(Debug)]
pub enum ObjectError {
    /// ELF, BTF or relocation.
    Elf(String),
    /// A call other than loading a program.
    Call(CallError),
    /// The verifier, or the load before it.
    Program {
        /// Which one.
        program: String,
        /// What the kernel said.
        error: LoadError,
    },
}

impl ObjectError {
    /// Its code. A program that is refused for want of something is none that the verifier refused.
    pub fn code(&self) -> Code {
        match self {
            Self::Elf(_) => Code::Object,
            Self::Program { error, .. } if !matches!(error.error.errno, libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
                Code::Verifier
            }
            Self::Call(_) | Self::Program { .. } => Code::Kernel,
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elf(text) => f.write_str(text),
            Self::Call(error) => error.fmt(f),
            Self::Program { error, .. } => error.error.fmt(f),
        }
    }
}

impl From<CallError> for ObjectError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Result of reading an object.
type Read<T> = Result<T, ObjectError>;

/// The error that says what is wrong, and with what; `name` may be empty.
#[inline(never)]
fn broken(what: &str, name: &str) -> ObjectError {
    ObjectError::Elf(if name.is_empty() { what.to_owned() } else { format!("{what} `{name}`") })
}

/// The running kernel's BTF, read when first needed.
#[derive(Debug, Default)]
pub struct KernelBtf(OnceCell<Option<Btf>>);

impl KernelBtf {
    const PATH: &'static str = "/sys/kernel/btf/vmlinux";

    fn get(&self) -> Read<&Btf> {
        let read = self.0.get_or_init(|| Btf::parse(fs::read(Self::PATH).ok()?));
        read.as_ref().ok_or_else(|| broken("the types of the running kernel cannot be read from", Self::PATH))
    }

    /// Id of the kernel's function `name`.
    pub fn function(&self, name: &str) -> Result<u32, ObjectError> {
        self.find(btf::FUNC, name)
    }

    /// Id of the kernel's type definition `name`; tracepoints have one called `btf_trace_NAME`.
    pub fn typedef(&self, name: &str) -> Result<u32, ObjectError> {
        self.find(btf::TYPEDEF, name)
    }

    /// Name of a type, such as of a function.
    pub fn name(&self, id: u32) -> Option<String> {
        let btf = self.get().ok()?;
        Some(btf.text(btf.get(id).name()).to_owned())
    }

    fn find(&self, kind: u32, name: &str) -> Read<u32> {
        self.get()?.find(kind, name).ok_or_else(|| broken("the kernel's types have no", name))
    }
}

/// What is wanted of an object.
pub struct Request<'a> {
    /// Programs by C name, and what they become.
    pub programs: &'a [(&'a ProgramName, Kind<'a>)],
    /// What the plan says about maps.
    pub maps: &'a SortedMap<MapName, PlanMap>,
    /// State maps of what ran before.
    pub kept: Kept<'a>,
    /// What the programs that extensions call become where the kernel takes no XDP programs for that.
    pub called: Option<Kind<'a>>,
    /// Flags of XDP programs. Extensions have none, and so has what they call, or the kernel forbids the call: the
    /// dispatcher has them for all.
    pub xdp_flags: u32,
    /// Where the verifier's words about each program go, in a rehearsal: what it did, or why it refused. Then a refused
    /// program does not keep the others from being looked at.
    pub rehearsal: Option<&'a Rehearsal>,
}

/// What the verifier said about programs.
pub type Rehearsal = RefCell<Vec<(ProgramName, Result<String, String>)>>;

/// An object taken apart, borrowed from its bytes.
#[derive(Debug)]
pub struct Image<'a> {
    elf: Elf<'a>,
    btf: Option<Btf>,
    ext: btf::Ext<'a>,
    maps: Vec<Map<'a>>,
    /// For each section with code what its instructions are relocated against; see [`Elf::relocations`].
    code: Vec<Option<Vec<u32>>>,
    functions: Vec<Function<'a>>,
}

/// Maps and programs of one object.
#[derive(Debug)]
pub struct Loaded {
    /// All maps, by C name.
    pub maps: Vec<(String, OwnedFd)>,
    /// Wanted programs, by C name.
    pub programs: SortedMap<ProgramName, OwnedFd>,
}

impl<'a> Image<'a> {
    /// Reads an object. `globals` are written over the initial values of its variables.
    pub fn parse(bytes: &'a [u8], globals: &[(&str, &[u8])]) -> Read<Self> {
        let elf = Elf::parse(bytes)?;
        let mut btf = None;
        if let Some(section) = elf.section(".BTF") {
            let types = Btf::parse(section.data.to_vec());
            btf = Some(types.ok_or_else(|| broken("its BTF is damaged", ""))?);
        }
        let mut ext = btf::Ext::default();
        if let Some(section) = elf.section(".BTF.ext") {
            ext = btf::Ext::parse(section.data).ok_or_else(|| broken("its section is damaged,", ".BTF.ext"))?;
        }
        let mut code = Vec::new();
        for (number, section) in elf.sections.iter().enumerate() {
            code.push(if section.is_code() { Some(elf.relocations(number)?) } else { None });
        }
        let functions = link::functions(&elf.symbols, &code)?;
        let mut maps = maps::read(&elf, btf.as_ref())?;
        for (name, value) in globals {
            set_global(&elf, &mut maps, name, value)?;
        }
        Ok(Self { elf, btf, ext, maps, code, functions })
    }

    /// Gives its read-only variables another content, of any size, and their map another name.
    pub fn set_constants(&mut self, name: &'a str, bytes: Vec<u8>) {
        if let Some(map) = self.maps.iter_mut().find(|map| map.is_read_only()) {
            map.name = name;
            map.value_size = u32::try_from(bytes.len()).unwrap_or_default();
            map.data = Some(bytes);
        }
    }

    /// Changes what `__uint(name, …)` says.
    pub fn set_length(&mut self, name: &str, length: u32) -> Read<()> {
        let set = self.btf.as_mut().and_then(|btf| btf.set_length(name, length));
        set.ok_or_else(|| broken("its BTF has no number", name))
    }

    /// BTF id of the function `name`.
    pub fn function(&self, name: &str) -> Read<u32> {
        let id = self.btf.as_ref().and_then(|btf| btf.find(btf::FUNC, name));
        id.ok_or_else(|| broken("its BTF has no function", name))
    }

    /// Section of the program `name`, such as `xdp.frags`.
    pub fn section(&self, name: &str) -> Read<&'a str> {
        let function = self.program(name)?;
        Ok(self.elf.sections.get(function.section).map_or("", |section| section.name))
    }

    /// A function of a section that says what kind of program it is: not `.text`, which holds what programs call.
    fn program(&self, name: &str) -> Read<Function<'a>> {
        let text = self.elf.sections.iter().position(|section| section.name == ".text");
        let mut named = self.functions.iter().filter(|one| one.name == name && Some(one.section) != text);
        named.next().copied().ok_or_else(|| broken("it has no program", name))
    }

    /// Loads the programs wanted and all maps, and fills the slots of program arrays.
    pub fn load(self, kernel: &Kernel, kernel_btf: &KernelBtf, request: &Request<'_>) -> Read<Loaded> {
        let btf = self.load_btf(kernel)?;
        let btf = btf.as_ref().map(OwnedFd::as_fd);
        let mut maps = Vec::new();
        for map in &self.maps {
            let said = plan_maps::said(request.maps, map.name);
            let size = said.and_then(|said| said.max_entries).unwrap_or(map.max_entries);
            if said.is_some_and(|said| !said.slots.is_empty()) {
                takes_slots(map)?;
            }
            let mut fd = create_map(kernel, btf, map, size)?;
            if said.is_some_and(|said| said.persist) {
                fd = plan_maps::kept(kernel, request.kept, map.name, fd)?;
            }
            if let Some(said) = said.filter(|said| said.is_config()) {
                fill(kernel, &fd, map, &said.entries)?;
            }
            maps.push((map.name.to_owned(), fd));
        }
        let rehearsal = request.rehearsal;
        let (candidates, xdp_flags) = (Vec::new(), request.xdp_flags);
        let mut node = Node { image: &self, kernel_btf, maps: &maps, candidates, xdp_flags, rehearsal };
        let mut refused = None;
        let mut programs = SortedMap::new();
        for (name, kind) in request.programs {
            match self.load_program(kernel, name, btf, *kind, &mut node) {
                Ok(fd) => drop(programs.insert((*name).clone(), fd)),
                Err(error) if rehearsal.is_some() => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        for (name, fd) in &maps {
            let Some(said) = plan_maps::said(request.maps, name) else { continue };
            match (plan_maps::fill_slots(kernel, fd.as_fd(), &said.slots, &programs), request.called) {
                // 6.1 demands equal attach types of both ends of a tail call, and counts an extension's for none;
                // 6.12 counts those of its target. Seen on 6.1.192 and 6.12.117.
                (Err(ObjectError::Call(error)), Some(kind)) if error.errno == libc::EINVAL => {
                    for slot in &said.slots {
                        let program = self.load_program(kernel, &slot.program, btf, kind, &mut node)?;
                        programs.insert(slot.program.clone(), program);
                    }
                    plan_maps::fill_slots(kernel, fd.as_fd(), &said.slots, &programs)?;
                }
                (filled, _) => filled?,
            }
        }
        Ok(Loaded { maps, programs })
    }

    fn load_btf(&self, kernel: &Kernel) -> Read<Option<OwnedFd>> {
        let Some(btf) = &self.btf else { return Ok(None) };
        match kernel.btf_load(&fix::fix(btf, &self.elf, false)?) {
            Err(error) if error.errno == libc::EINVAL => Ok(Some(kernel.btf_load(&fix::fix(btf, &self.elf, true)?)?)),
            result => Ok(Some(result?)),
        }
    }

    fn load_program(
        &self,
        kernel: &Kernel,
        name: &ProgramName,
        btf: Option<BorrowedFd<'_>>,
        kind: Kind<'_>,
        node: &mut Node<'_, '_>,
    ) -> Read<OwnedFd> {
        let main = self.program(name.as_str())?;
        let section = self.section(name.as_str())?.split('/').next().unwrap_or_default();
        let flags = match section {
            "xdp" | "xdp.frags" => node.xdp_flags,
            _ if kind.target.is_some() || kind.prog_type == Kind::XDP.prog_type => {
                return Err(broken("not in section `xdp` or `xdp.frags` is program", name.as_str()));
            }
            "lsm.s" | "fentry.s" | "fexit.s" => F_SLEEPABLE,
            _ => 0,
        };
        let code = link::link(self, main, node)?;
        // The kernel takes no licence for one that is not GPL.
        let license = self.elf.section("license").and_then(|section| CStr::from_bytes_until_nul(section.data).ok());
        let spec = ProgSpec {
            name: name.as_str(),
            insns: &code.insns,
            license: license.unwrap_or_default(),
            flags,
            btf,
            func_info: (&code.func_info.0, code.func_info.1),
            line_info: (&code.line_info.0, code.line_info.1),
            kind,
            statistics: node.rehearsal.is_some(),
        };
        let loaded = kernel.prog_load(&spec);
        if let Some(list) = node.rehearsal {
            let said = loaded.as_ref().map(|(_, said)| said.clone()).map_err(|refused| match &*refused.log {
                // Not the verifier, but the call.
                "" => refused.error.to_string(),
                log => verifier::refusal(log),
            });
            list.borrow_mut().push((name.clone(), said));
        }
        match loaded {
            Ok((fd, _)) => Ok(fd),
            Err(error) => Err(ObjectError::Program { program: name.to_string(), error }),
        }
    }

    /// The records of `.BTF.ext` about one section.
    fn records(&self, part: Part, btf: &Btf, section: &str) -> Read<(usize, &'a [u8])> {
        self.ext.records(part, btf, section).ok_or_else(|| broken("its `.BTF.ext` is damaged, about section", section))
    }
}

/// What a program becomes on this node.
struct Node<'i, 'a> {
    image: &'i Image<'a>,
    kernel_btf: &'i KernelBtf,
    maps: &'i [(String, OwnedFd)],
    candidates: core::Candidates,
    xdp_flags: u32,
    rehearsal: Option<&'i Rehearsal>,
}

impl link::Resolve for Node<'_, '_> {
    fn adapt(&mut self, function: Function<'_>, insns: &mut [Insn]) -> Read<()> {
        let Some(btf) = &self.image.btf else { return Ok(()) };
        core::adapt(self.image, btf, &mut self.candidates, function, insns, &mut || self.kernel_btf.get())
    }

    fn map_fd(&self, map: usize) -> i32 {
        self.maps.get(map).map_or(-1, |(_, fd)| fd.as_raw_fd())
    }
}

/// Writes `value` over the variable `name`.
fn set_global(elf: &Elf<'_>, maps: &mut [Map<'_>], name: &str, value: &[u8]) -> Read<()> {
    let wrong = || broken("it has no variable of the size wanted, of the name", name);
    let symbol = elf.symbols.iter().find(|symbol| symbol.name == name && symbol.section != 0).ok_or_else(wrong)?;
    let map = maps.iter_mut().find(|map| map.section == symbol.section);
    let data = map.and_then(|map| map.data.as_mut()).ok_or_else(wrong)?;
    let place = data.get_mut(symbol.value..).and_then(|rest| rest.get_mut(..value.len()));
    match place {
        Some(place) if symbol.size == value.len() => place.copy_from_slice(value),
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Refuses a map that takes too much, on one CPU: what fits does not depend on the node.
fn bounded(map: &Map<'_>, max_entries: u32) -> Read<()> {
    let bytes = map_memory::bytes(map.kind, map.key_size, map.value_size, max_entries, 1);
    if bytes > MAP_MAX_MEMORY_BYTES {
        let name = map.name;
        return Err(ObjectError::Elf(format!("map `{name}` takes {bytes} bytes; {MAP_MAX_MEMORY_BYTES} are allowed")));
    }
    Ok(())
}

/// Refuses slots of what is no array of programs: the kernel copies as many bytes as the map's keys and values have.
fn takes_slots(map: &Map<'_>) -> Read<()> {
    if (map.kind, map.key_size, map.value_size) == (MAP_TYPE_PROG_ARRAY, 4, 4) {
        return Ok(());
    }
    Err(broken("no prog_array with keys of 4 bytes, so without slots, is map", map.name))
}

fn create_map(kernel: &Kernel, btf: Option<BorrowedFd<'_>>, map: &Map<'_>, max_entries: u32) -> Read<OwnedFd> {
    let name = map.name;
    if let Some((_, kind)) = UNSUPPORTED_MAP_TYPES.iter().find(|(number, _)| *number == map.kind) {
        return Err(ObjectError::Elf(format!("map `{name}` is a {kind}, which this loader does not fill")));
    }
    bounded(map, max_entries)?;
    let (key, value) = map.types;
    let mut spec = MapSpec {
        name,
        map_type: map.kind,
        key_size: map.key_size,
        value_size: map.value_size,
        max_entries,
        flags: map.flags,
        extra: map.extra,
        btf: btf.filter(|_| value != 0).map(|fd| (fd, key, value)),
    };
    let fd = match kernel.map_create(&spec) {
        Err(error) if error.errno == ENOTSUPP && spec.btf.is_some() => {
            spec.btf = None;
            kernel.map_create(&spec)
        }
        result => result,
    }?;
    if let Some(data) = map.data.as_ref().filter(|data| !data.is_empty()) {
        // The kernel copies value_size bytes, however long our buffer is.
        if data.len() != map.value_size as usize {
            return Err(broken("its size is not that of its content: section", name));
        }
        kernel.map_update(fd.as_fd(), &0u32.to_ne_bytes(), data)?;
    }
    if map.is_read_only() {
        // The verifier takes the values of a frozen map for constants.
        kernel.map_freeze(fd.as_fd())?;
    }
    Ok(fd)
}

fn fill(kernel: &Kernel, fd: &OwnedFd, map: &Map<'_>, entries: &[MapEntry]) -> Read<()> {
    let name = map.name;
    // Of other types the kernel would copy more than one value: of per-CPU maps one for each possible CPU.
    if !matches!(map.kind, MAP_TYPE_HASH | MAP_TYPE_ARRAY | MAP_TYPE_LPM_TRIE) {
        return Err(broken("neither hash, array nor lpm_trie, so without entries, is map", name));
    }
    for entry in entries {
        let (key, value) = (entry.key.as_bytes(), entry.value.as_bytes());
        // The kernel copies key_size and value_size bytes, however long our buffers are.
        if key.len() != map.key_size as usize || value.len() != map.value_size as usize {
            return Err(ObjectError::Elf(format!(
                "an entry of map `{name}` has {} and {} bytes; the map has {} and {}",
                key.len(),
                value.len(),
                map.key_size,
                map.value_size
            )));
        }
        kernel.map_update(fd.as_fd(), key, value)?;
    }
    kernel.map_freeze(fd.as_fd())?;
    Ok(())
}
