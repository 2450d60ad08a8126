//! Object: from the bytes of a verified ELF object to maps and programs in the kernel.
//!
//! In: object bytes, the programs wanted of it, what the plan says about its maps.
//! Out: [`Loaded`]: owned descriptors; dropping them leaves nothing behind.
//! Fails with [`ObjectError`]: the ELF or BTF cannot be used, or the kernel refused a map or a program.
//!
//! ELF, BTF fix-ups, CO-RE and call relocation are `aya-obj`'s; every call to the kernel is ours. The kernel's own BTF
//! is parsed at most once a run, and only for an object with CO-RE relocations: it costs 20 MB and 60 ms.

use nodeplan::sorted::SortedMap;
use std::{
    cell::OnceCell,
    collections::{HashMap, HashSet},
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use aya_obj::{
    EbpfSectionKind, Features, Function, Map as ObjMap, Object, ProgramSection,
    btf::{Btf, BtfFeatures, BtfKind},
};
use nodeplan::{
    entry::MapEntry,
    name::{MapName, ProgramName},
    plan::Map,
};

use crate::{
    kernel::{CallError, Kernel, Kind, LoadError, MapSpec, ProgSpec},
    maps::{self, Kept},
};

/// `BPF_F_XDP_HAS_FRAGS`, linux `include/uapi/linux/bpf.h`.
pub const F_XDP_HAS_FRAGS: u32 = 1 << 5;

/// `BPF_F_SLEEPABLE`.
const F_SLEEPABLE: u32 = 1 << 4;

const MAP_TYPE_HASH: u32 = 1;
const MAP_TYPE_ARRAY: u32 = 2;

/// Most bytes of keys and values of one map, on one CPU. Ours: a map is allocated before kubelet runs.
const MAP_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Map types whose values are descriptors that somebody must fill in: hash and array of maps.
const UNSUPPORTED_MAP_TYPES: &[(u32, &str)] = &[(12, "array_of_maps"), (13, "hash_of_maps")];

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

fn elf<E: fmt::Display>(error: E) -> ObjectError {
    elf_error(&error)
}

// One copy, not one for each of aya-obj's error types.
#[inline(never)]
fn elf_error(error: &dyn fmt::Display) -> ObjectError {
    ObjectError::Elf(error.to_string())
}

/// The running kernel's BTF, parsed when first needed.
#[derive(Debug, Default)]
pub struct KernelBtf(OnceCell<Result<Btf, String>>);

impl KernelBtf {
    fn get(&self) -> Result<&Btf, ObjectError> {
        self.0.get_or_init(|| Btf::from_sys_fs().map_err(|error| error.to_string())).as_ref().map_err(elf)
    }

    /// Id of the kernel's function `name`.
    pub fn function(&self, name: &str) -> Result<u32, ObjectError> {
        self.get()?.id_by_type_name_kind(name, BtfKind::Func).map_err(elf)
    }

    /// Id of the kernel's type definition `name`; tracepoints have one called `btf_trace_NAME`.
    pub fn typedef(&self, name: &str) -> Result<u32, ObjectError> {
        self.get()?.id_by_type_name_kind(name, BtfKind::Typedef).map_err(elf)
    }
}

/// What is wanted of an object.
pub struct Request<'a> {
    /// Programs by C name, and what they become.
    pub programs: &'a [(&'a ProgramName, Kind<'a>)],
    /// What the plan says about maps.
    pub maps: &'a SortedMap<MapName, Map>,
    /// State maps of what ran before.
    pub kept: Kept<'a>,
    /// What the programs that extensions call become where the kernel takes no XDP programs for that.
    pub called: Option<Kind<'a>>,
}

/// An object taken apart, its BTF ready for the kernel.
#[derive(Debug)]
pub struct Image {
    object: Object,
}

/// Maps and programs of one object.
#[derive(Debug)]
pub struct Loaded {
    /// All maps, by C name.
    pub maps: SortedMap<String, OwnedFd>,
    /// Wanted programs, by C name.
    pub programs: SortedMap<ProgramName, OwnedFd>,
}

/// Everything that [`BtfFeatures`] can leave out: RHEL 9.4 (5.14 with backports) and newer have all of it.
fn modern_btf() -> BtfFeatures {
    BtfFeatures::new(true, true, true, true, true, true, true, true)
}

/// Without the kinds that 5.14 as released lacks: declaration tags, type tags and 64-bit enumerations.
fn plain_btf() -> BtfFeatures {
    BtfFeatures::new(true, true, true, true, true, false, false, false)
}

impl Image {
    /// Reads an object. `globals` are written over the initial values of its variables.
    pub fn parse(bytes: &[u8], globals: HashMap<&str, (&[u8], bool)>) -> Result<Self, ObjectError> {
        let mut object = Object::parse(bytes).map_err(elf)?;
        object.patch_map_data(globals).map_err(elf)?;
        Ok(Self { object })
    }

    /// BTF id of the function `name`.
    pub fn function(&self, name: &str) -> Result<u32, ObjectError> {
        let btf = self.object.btf.as_ref().ok_or_else(|| elf("the object has no BTF"))?;
        btf.id_by_type_name_kind(name, BtfKind::Func).map_err(elf)
    }

    /// Loads the programs wanted and all maps, and fills the slots of program arrays.
    pub fn load(
        mut self,
        kernel: &Kernel,
        kernel_btf: &KernelBtf,
        request: &Request<'_>,
    ) -> Result<Loaded, ObjectError> {
        let btf = self.load_btf(kernel)?;
        if self.object.has_btf_relocations() {
            self.object.relocate_btf(kernel_btf.get()?).map_err(elf)?;
        }
        let map_fds = self.create_maps(kernel, btf.as_ref().map(OwnedFd::as_fd), request)?;
        self.relocate(&map_fds)?;
        let mut programs = SortedMap::new();
        for (name, kind) in request.programs {
            let program = self.load_program(kernel, name, btf.as_ref().map(OwnedFd::as_fd), *kind)?;
            programs.insert((*name).clone(), program);
        }
        for (name, fd) in &map_fds {
            if let Some(said) = maps::said(request.maps, name) {
                match (maps::fill_slots(kernel, fd.as_fd(), &said.slots, &programs), request.called) {
                    // 6.1 demands equal attach types of both ends of a tail call, and counts an extension's for none;
                    // 6.12 counts those of its target. Seen on 6.1.192 and 6.12.117.
                    (Err(ObjectError::Call(error)), Some(kind)) if error.errno == libc::EINVAL => {
                        for slot in &said.slots {
                            let program =
                                self.load_program(kernel, &slot.program, btf.as_ref().map(OwnedFd::as_fd), kind)?;
                            programs.insert(slot.program.clone(), program);
                        }
                        maps::fill_slots(kernel, fd.as_fd(), &said.slots, &programs)?;
                    }
                    (filled, _) => filled?,
                }
            }
        }
        Ok(Loaded { maps: map_fds, programs })
    }

    fn load_btf(&mut self, kernel: &Kernel) -> Result<Option<OwnedFd>, ObjectError> {
        let Some(btf) = self.object.fixup_and_sanitize_btf(&modern_btf()).map_err(elf)? else { return Ok(None) };
        match kernel.btf_load(&btf.to_bytes()) {
            Ok(fd) => Ok(Some(fd)),
            Err(error) if error.errno == libc::EINVAL => {
                // Fixing up again only takes more kinds away.
                let btf = self.object.fixup_and_sanitize_btf(&plain_btf()).map_err(elf)?;
                let bytes = btf.ok_or_else(|| elf("the object has no BTF"))?.to_bytes();
                Ok(Some(kernel.btf_load(&bytes)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn create_maps(
        &self,
        kernel: &Kernel,
        btf: Option<BorrowedFd<'_>>,
        request: &Request<'_>,
    ) -> Result<SortedMap<String, OwnedFd>, ObjectError> {
        let mut fds = SortedMap::new();
        // Sorted, so that two runs make the same calls in the same order.
        let sorted: SortedMap<&String, &ObjMap> = self.object.maps.iter().collect();
        for (name, map) in sorted {
            let said = maps::said(request.maps, name);
            let size = said.and_then(|said| said.max_entries).unwrap_or_else(|| map.max_entries());
            let mut fd = create_map(kernel, btf, name, map, size)?;
            if said.is_some_and(|said| said.persist) {
                fd = maps::kept(kernel, request.kept, name, fd)?;
            }
            if let Some(said) = said.filter(|said| said.is_config()) {
                fill(kernel, name, &fd, map, &said.entries)?;
            }
            fds.insert(name.clone(), fd);
        }
        Ok(fds)
    }

    fn relocate(&mut self, maps: &SortedMap<String, OwnedFd>) -> Result<(), ObjectError> {
        let sections: HashSet<usize> = self.object.functions.keys().map(|(section, _)| *section).collect();
        let defs = std::mem::take(&mut self.object.maps);
        let all = maps.iter().filter_map(|(name, fd)| Some((name.as_str(), fd.as_raw_fd(), defs.get(name)?)));
        self.object.relocate_maps(all, &sections).map_err(elf)?;
        self.object.relocate_calls(&sections).map_err(elf)?;
        self.object.sanitize_functions(&Features::new(true, true, true, true, true, true, true, Some(modern_btf())));
        Ok(())
    }

    fn load_program(
        &self,
        kernel: &Kernel,
        name: &ProgramName,
        btf: Option<BorrowedFd<'_>>,
        kind: Kind<'_>,
    ) -> Result<OwnedFd, ObjectError> {
        let program = self
            .object
            .programs
            .get(name.as_str())
            .ok_or_else(|| ObjectError::Elf(format!("the object has no program `{name}`")))?;
        let flags = match program.section {
            // Extensions carry no flags of their own: the dispatcher does.
            ProgramSection::Xdp { frags: true, .. } if kind.target.is_none() => F_XDP_HAS_FRAGS,
            ProgramSection::Xdp { .. } => 0,
            _ if kind.target.is_some() || kind.prog_type == Kind::XDP.prog_type => {
                return Err(ObjectError::Elf(format!("program `{name}` is not in section `xdp` or `xdp.frags`")));
            }
            ProgramSection::Lsm { sleepable: true, .. }
            | ProgramSection::FEntry { sleepable: true, .. }
            | ProgramSection::FExit { sleepable: true, .. } => F_SLEEPABLE,
            _ => 0,
        };
        let function = self
            .object
            .functions
            .get(&program.function_key())
            .ok_or_else(|| ObjectError::Elf(format!("program `{name}` has no instructions")))?;
        let spec = ProgSpec {
            name: name.as_str(),
            insns: &instruction_bytes(function),
            license: &program.license,
            flags,
            btf,
            func_info: (&function.func_info.func_info_bytes(), function.func_info_rec_size),
            line_info: (&function.line_info.line_info_bytes(), function.line_info_rec_size),
            kind,
        };
        kernel.prog_load(&spec).map_err(|error| ObjectError::Program { program: name.to_string(), error })
    }
}

fn create_map(
    kernel: &Kernel,
    btf: Option<BorrowedFd<'_>>,
    name: &str,
    map: &ObjMap,
    max_entries: u32,
) -> Result<OwnedFd, ObjectError> {
    if let Some((_, kind)) = UNSUPPORTED_MAP_TYPES.iter().find(|(number, _)| *number == map.map_type()) {
        return Err(ObjectError::Elf(format!("map `{name}` is a {kind}, which this loader does not fill")));
    }
    let bytes = u64::from(max_entries) * (u64::from(map.key_size()) + u64::from(map.value_size()));
    if bytes > MAP_MAX_BYTES {
        return Err(ObjectError::Elf(format!("map `{name}` takes {bytes} bytes; {MAP_MAX_BYTES} are allowed")));
    }
    let types = match map {
        ObjMap::Btf(map) if map.def.btf_key_type_id != 0 || map.def.btf_value_type_id != 0 => {
            btf.map(|fd| (fd, map.def.btf_key_type_id, map.def.btf_value_type_id))
        }
        _ => None,
    };
    let fd = kernel.map_create(&MapSpec {
        name,
        map_type: map.map_type(),
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries,
        flags: map.map_flags(),
        extra: map.map_extra(),
        btf: types,
    })?;
    match map.section_kind() {
        EbpfSectionKind::Data | EbpfSectionKind::Rodata => {
            if map.data().len() != map.value_size() as usize {
                return Err(ObjectError::Elf(format!("section `{name}` has no content")));
            }
            kernel.map_update(fd.as_fd(), &0u32.to_ne_bytes(), map.data())?;
        }
        _ => {}
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        // The verifier takes the values of a frozen map for constants.
        kernel.map_freeze(fd.as_fd())?;
    }
    Ok(fd)
}

fn fill(kernel: &Kernel, name: &str, fd: &OwnedFd, map: &ObjMap, entries: &[MapEntry]) -> Result<(), ObjectError> {
    // Of other types the kernel would copy more than one value: of per-CPU maps one for each possible CPU.
    if !matches!(map.map_type(), MAP_TYPE_HASH | MAP_TYPE_ARRAY) {
        return Err(ObjectError::Elf(format!("map `{name}` cannot have entries: it is neither hash nor array")));
    }
    for entry in entries {
        let (key, value) = (entry.key.as_bytes(), entry.value.as_bytes());
        // The kernel copies key_size and value_size bytes, however long our buffers are.
        if key.len() != map.key_size() as usize || value.len() != map.value_size() as usize {
            return Err(ObjectError::Elf(format!(
                "an entry of map `{name}` has {} and {} bytes; the map has {} and {}",
                key.len(),
                value.len(),
                map.key_size(),
                map.value_size()
            )));
        }
        kernel.map_update(fd.as_fd(), key, value)?;
    }
    kernel.map_freeze(fd.as_fd())?;
    Ok(())
}

/// The 8-byte instructions as the kernel reads them.
fn instruction_bytes(function: &Function) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(function.instructions.len() * 8);
    for insn in &function.instructions {
        let registers = insn.dst_reg() & 15 | insn.src_reg() << 4;
        bytes.extend_from_slice(&[insn.code, registers]);
        bytes.extend_from_slice(&insn.off.to_ne_bytes());
        bytes.extend_from_slice(&insn.imm.to_ne_bytes());
    }
    bytes
}
