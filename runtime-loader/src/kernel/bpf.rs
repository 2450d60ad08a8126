//! The bpf(2) commands the loader uses.
#![expect(unsafe_code, reason = "bpf(2) takes addresses in integers")]

use std::{
    ffi::{CStr, CString},
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use super::{Call, CallError, Kernel, attr};

/// Largest verifier log that is asked for, in bytes.
const LOG_BYTES: usize = 1024 * 1024;
/// What the verifier says it did are a few lines; of a program with hundreds of functions one line gets long.
const STATISTICS_BYTES: usize = 64 * 1024;
/// `BPF_LOG_LEVEL1` and `BPF_LOG_STATS`, linux `include/linux/bpf_verifier.h`.
const LOG_ALL: u32 = 1;
const LOG_STATISTICS: u32 = 4;

/// A map to be created.
#[derive(Debug)]
pub struct MapSpec<'a> {
    /// C name; the kernel keeps 15 bytes.
    pub name: &'a str,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Meaning depends on the type.
    pub extra: u64,
    /// BTF with the types of key and value.
    pub btf: Option<(BorrowedFd<'a>, u32, u32)>,
}

/// A program to be loaded.
#[derive(Debug)]
pub struct ProgSpec<'a> {
    /// C name; the kernel keeps 15 bytes.
    pub name: &'a str,
    /// Instructions, 8 bytes each.
    pub insns: &'a [u8],
    /// Licence.
    pub license: &'a CStr,
    /// `BPF_F_*` for `prog_flags`.
    pub flags: u32,
    /// BTF of the object.
    pub btf: Option<BorrowedFd<'a>>,
    /// `bpf_func_info` records and the size of one.
    pub func_info: (&'a [u8], usize),
    /// `bpf_line_info` records and the size of one.
    pub line_info: (&'a [u8], usize),
    /// What kind of program.
    pub kind: Kind<'a>,
    /// Whether the verifier is asked what it did.
    pub statistics: bool,
}

/// What kind of program, and what it is bound to when it is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Kind<'a> {
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// `enum bpf_attach_type`.
    pub attach_type: u32,
    /// BTF id of what it is attached to: a function or tracepoint of the kernel, or of `target`.
    pub btf_id: u32,
    /// For an extension: the program it extends.
    pub target: Option<BorrowedFd<'a>>,
}

impl<'a> Kind<'a> {
    /// `BPF_PROG_TYPE_EXT`.
    pub const EXTENSION: u32 = 28;

    /// An XDP program.
    ///
    /// `BPF_XDP` (37): an extension that libxdp loaded remembers that its target had it, and is refused by a
    /// dispatcher without.
    pub const XDP: Self = Self { prog_type: 6, attach_type: 37, btf_id: 0, target: None };

    /// An extension that replaces a function of `target`.
    pub fn extension(target: BorrowedFd<'a>, function: u32) -> Self {
        Self { prog_type: Self::EXTENSION, attach_type: 0, btf_id: function, target: Some(target) }
    }
}

/// Why a program was not loaded.
#[derive(Debug)]
pub struct LoadError {
    /// The call.
    pub error: CallError,
    /// What the verifier wrote, at most 1 MiB; empty if it did not get that far.
    pub log: String,
}

/// What the kernel says about a loaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgInfo {
    /// Id.
    pub id: u32,
    /// `enum bpf_prog_type`.
    pub prog_type: u32,
    /// First 15 bytes of the name.
    pub name: String,
    /// Digest of the instructions.
    pub tag: [u8; 8],
    /// Nanoseconds since boot.
    pub load_time: u64,
    /// BTF id, 0 for none.
    pub btf_id: u32,
    /// Maps it uses.
    pub map_ids: Vec<u32>,
}

/// What the kernel says about a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInfo {
    /// Id.
    pub id: u32,
    /// First 15 bytes of the name.
    pub name: String,
    /// `enum bpf_map_type`.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Meaning depends on the type.
    pub extra: u64,
    /// BTF id and in it the types of key and value; 0 for none.
    pub btf: [u32; 3],
}

impl MapInfo {
    /// Whether it has one value for each CPU.
    pub fn is_per_cpu(&self) -> bool {
        nodeplan::map_memory::is_per_cpu(self.map_type)
    }
}

pub(super) fn raw_fd(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr() as u64
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("invariant: sizes are bounded by limits")
}

/// The kernel's 16-byte name field: up to 15 bytes that it allows, the rest NUL.
fn kernel_name(name: &str) -> [u8; 16] {
    let mut field = [0; 16];
    for (to, from) in field[..15].iter_mut().zip(name.bytes()) {
        *to = if from.is_ascii_alphanumeric() || from == b'.' { from } else { b'_' };
    }
    field
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn c_path(path: &Path) -> Call<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| CallError {
        call: "path",
        what: path.display().to_string(),
        errno: libc::EINVAL,
    })
}

/// Links that have to do with an XDP program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XdpLinks {
    /// Id of the `bpf_link` by which it is attached, if it is by one.
    pub holder: Option<u32>,
    /// Ids of the programs that extend it.
    pub extensions: Vec<u32>,
}

impl Kernel {
    pub(super) fn bpf<T>(&self, command: (libc::c_int, &'static str), what: &str, attr: &mut T) -> Call<i64> {
        let (number, name) = command;
        self.enter(name)?;
        // SAFETY: `attr` is a structure of `attr`: initialised in every byte, and its addresses point into slices that
        // the caller borrows for longer than this call.
        let result = unsafe { libc::syscall(libc::SYS_bpf, number, std::ptr::from_mut(attr), size_of::<T>()) };
        if result < 0 { Err(CallError::last(name, what)) } else { Ok(result) }
    }

    pub(super) fn bpf_fd<T>(&self, command: (libc::c_int, &'static str), what: &str, attr: &mut T) -> Call<OwnedFd> {
        let fd = self.bpf(command, what, attr)?;
        let fd = libc::c_int::try_from(fd).expect("invariant: the kernel returns a file descriptor");
        // SAFETY: the command returned a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Loads BTF.
    pub fn btf_load(&self, btf: &[u8]) -> Call<OwnedFd> {
        let mut attr = attr::BtfLoad { btf: address(btf), btf_size: count(btf.len()), ..Default::default() };
        self.bpf_fd((attr::BTF_LOAD, "BPF_BTF_LOAD"), "", &mut attr)
    }

    /// Creates a map.
    pub fn map_create(&self, spec: &MapSpec<'_>) -> Call<OwnedFd> {
        let mut attr = attr::MapCreate {
            map_type: spec.map_type,
            key_size: spec.key_size,
            value_size: spec.value_size,
            max_entries: spec.max_entries,
            map_flags: spec.flags,
            map_name: kernel_name(spec.name),
            map_extra: spec.extra,
            ..Default::default()
        };
        if let Some((fd, key, value)) = spec.btf {
            attr.btf_fd = raw_fd(fd);
            attr.btf_key_type_id = key;
            attr.btf_value_type_id = value;
        }
        self.bpf_fd((attr::MAP_CREATE, "BPF_MAP_CREATE"), spec.name, &mut attr)
    }

    /// Sets one entry.
    pub fn map_update(&self, map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> Call<()> {
        let mut attr =
            attr::MapElem { map_fd: raw_fd(map), key: address(key), value: address(value), ..Default::default() };
        self.bpf((attr::MAP_UPDATE_ELEM, "BPF_MAP_UPDATE_ELEM"), "", &mut attr).map(drop)
    }

    /// Reads one entry into `value`, which must be as long as the map's values (per-CPU maps: one 8-byte aligned value
    /// per possible CPU).
    pub fn map_lookup(&self, map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> Call<()> {
        let mut attr = attr::MapElem {
            map_fd: raw_fd(map),
            key: address(key),
            value: value.as_mut_ptr() as u64,
            ..Default::default()
        };
        self.bpf((attr::MAP_LOOKUP_ELEM, "BPF_MAP_LOOKUP_ELEM"), "", &mut attr).map(drop)
    }

    /// Puts the key behind `key` into it, or the first one. `false`: there is none.
    pub fn map_next_key(&self, map: BorrowedFd<'_>, first: bool, key: &mut [u8]) -> Call<bool> {
        let mut next = vec![0; key.len()];
        let mut attr = attr::MapElem {
            map_fd: raw_fd(map),
            key: if first { 0 } else { address(key) },
            value: next.as_mut_ptr() as u64,
            ..Default::default()
        };
        match self.bpf((attr::MAP_GET_NEXT_KEY, "BPF_MAP_GET_NEXT_KEY"), "", &mut attr) {
            Err(error) if error.errno == libc::ENOENT => Ok(false),
            Err(error) => Err(error),
            Ok(_) => {
                key.copy_from_slice(&next);
                Ok(true)
            }
        }
    }

    /// Makes a map read-only for user space.
    pub fn map_freeze(&self, map: BorrowedFd<'_>) -> Call<()> {
        let mut attr = attr::OneFd { fd: raw_fd(map) };
        self.bpf((attr::MAP_FREEZE, "BPF_MAP_FREEZE"), "", &mut attr).map(drop)
    }

    /// Loads a program; after a refusal once more with a log. The text is what the verifier says it did, if asked.
    pub fn prog_load(&self, spec: &ProgSpec<'_>) -> Result<(OwnedFd, String), LoadError> {
        let mut said = vec![0; if spec.statistics { STATISTICS_BYTES } else { 0 }];
        let error = match self.try_prog_load(spec, LOG_STATISTICS, &mut said) {
            Ok(fd) => return Ok((fd, text(&said))),
            Err(error) => error,
        };
        let mut log = vec![0; LOG_BYTES];
        match self.try_prog_load(spec, LOG_ALL, &mut log) {
            Ok(fd) => Ok((fd, String::new())),
            // ENOSPC only says that the log was longer; the first answer is the real one.
            Err(_) => Err(LoadError { error, log: text(&log) }),
        }
    }

    fn try_prog_load(&self, spec: &ProgSpec<'_>, level: u32, log: &mut [u8]) -> Call<OwnedFd> {
        let mut attr = attr::ProgLoad {
            prog_type: spec.kind.prog_type,
            expected_attach_type: spec.kind.attach_type,
            attach_btf_id: spec.kind.btf_id,
            insn_cnt: count(spec.insns.len() / 8),
            insns: address(spec.insns),
            license: spec.license.as_ptr() as u64,
            prog_flags: spec.flags,
            prog_name: kernel_name(spec.name),
            ..Default::default()
        };
        if let Some(btf) = spec.btf {
            attr.prog_btf_fd = raw_fd(btf);
            let records = |(bytes, size): (&[u8], usize)| match size {
                0 => (0, 0, 0),
                size => (address(bytes), count(bytes.len() / size), count(size)),
            };
            (attr.func_info, attr.func_info_cnt, attr.func_info_rec_size) = records(spec.func_info);
            (attr.line_info, attr.line_info_cnt, attr.line_info_rec_size) = records(spec.line_info);
        }
        if let Some(target) = spec.kind.target {
            attr.attach_prog_fd = raw_fd(target);
        }
        if !log.is_empty() {
            attr.log_level = level;
            attr.log_size = count(log.len());
            attr.log_buf = log.as_mut_ptr() as u64;
        }
        self.bpf_fd((attr::PROG_LOAD, "BPF_PROG_LOAD"), spec.name, &mut attr)
    }

    /// Links the extension `name` to a function of `target`. The link holds both.
    pub fn link_extension(
        &self,
        name: &str,
        prog: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        function: u32,
    ) -> Call<OwnedFd> {
        let mut attr = attr::LinkCreate {
            prog_fd: raw_fd(prog),
            target_fd: raw_fd(target),
            target: function,
            ..Default::default()
        };
        self.bpf_fd((attr::LINK_CREATE, "BPF_LINK_CREATE"), name, &mut attr)
    }

    /// Pins a program, map or link.
    pub fn pin(&self, fd: BorrowedFd<'_>, path: &Path) -> Call<()> {
        let pathname = c_path(path)?;
        let mut attr = attr::Obj { pathname: pathname.as_ptr() as u64, bpf_fd: raw_fd(fd), file_flags: 0 };
        self.bpf((attr::OBJ_PIN, "BPF_OBJ_PIN"), &path.display().to_string(), &mut attr).map(drop)
    }

    /// Opens a pinned program, map or link.
    pub fn open_pin(&self, path: &Path) -> Call<OwnedFd> {
        let pathname = c_path(path)?;
        let mut attr = attr::Obj { pathname: pathname.as_ptr() as u64, ..Default::default() };
        self.bpf_fd((attr::OBJ_GET, "BPF_OBJ_GET"), &path.display().to_string(), &mut attr)
    }

    /// Opens a program by id.
    pub fn prog_by_id(&self, id: u32) -> Call<OwnedFd> {
        let mut attr = attr::ById { id, ..Default::default() };
        self.bpf_fd((attr::PROG_GET_FD_BY_ID, "BPF_PROG_GET_FD_BY_ID"), &id.to_string(), &mut attr)
    }

    /// Opens a map by id.
    pub fn map_by_id(&self, id: u32) -> Call<OwnedFd> {
        let mut attr = attr::ById { id, ..Default::default() };
        self.bpf_fd((attr::MAP_GET_FD_BY_ID, "BPF_MAP_GET_FD_BY_ID"), &id.to_string(), &mut attr)
    }

    pub(super) fn info<T>(&self, fd: BorrowedFd<'_>, info: &mut T) -> Call<()> {
        let mut attr = attr::InfoByFd {
            bpf_fd: raw_fd(fd),
            info_len: count(size_of::<T>()),
            info: std::ptr::from_mut(info) as u64,
        };
        self.bpf((attr::OBJ_GET_INFO_BY_FD, "BPF_OBJ_GET_INFO_BY_FD"), "", &mut attr).map(drop)
    }

    /// Describes a loaded program.
    pub fn prog_info(&self, fd: BorrowedFd<'_>) -> Call<ProgInfo> {
        // An XDP dispatcher has one map, ours and others' components a few; ids beyond 64 are of no use to us.
        let mut map_ids = vec![0u32; 64];
        let mut info = attr::ProgInfo {
            nr_map_ids: count(map_ids.len()),
            map_ids: map_ids.as_mut_ptr() as u64,
            ..Default::default()
        };
        self.info(fd, &mut info)?;
        map_ids.truncate(info.nr_map_ids as usize);
        Ok(ProgInfo {
            id: info.id,
            prog_type: info.prog_type,
            name: text(&info.name),
            tag: info.tag,
            load_time: info.load_time,
            btf_id: info.btf_id,
            map_ids,
        })
    }

    /// Describes a map.
    pub fn map_info(&self, fd: BorrowedFd<'_>) -> Call<MapInfo> {
        let mut info = attr::MapInfo::default();
        self.info(fd, &mut info)?;
        Ok(MapInfo {
            id: info.id,
            name: text(&info.name),
            map_type: info.map_type,
            key_size: info.key_size,
            value_size: info.value_size,
            max_entries: info.max_entries,
            flags: info.map_flags,
            extra: info.map_extra,
            btf: [info.btf_id, info.btf_key_type_id, info.btf_value_type_id],
        })
    }

    /// Raw BTF by id.
    pub fn btf_bytes(&self, id: u32) -> Call<Vec<u8>> {
        use std::os::fd::AsFd;
        let mut attr = attr::ById { id, ..Default::default() };
        let fd = self.bpf_fd((attr::BTF_GET_FD_BY_ID, "BPF_BTF_GET_FD_BY_ID"), &id.to_string(), &mut attr)?;
        let mut info = attr::BtfInfo::default();
        self.info(fd.as_fd(), &mut info)?;
        let mut bytes = vec![0u8; info.btf_size as usize];
        let mut info =
            attr::BtfInfo { btf: bytes.as_mut_ptr() as u64, btf_size: count(bytes.len()), ..Default::default() };
        self.info(fd.as_fd(), &mut info)?;
        Ok(bytes)
    }

    /// What a link's extension is attached to: id of the program, and BTF id of the function in it.
    pub fn link_target(&self, link: BorrowedFd<'_>) -> Call<(u32, u32)> {
        let mut info = attr::LinkInfo::default();
        self.info(link, &mut info)?;
        Ok((info.target_obj_id, info.target_btf_id))
    }
}
