//! Links to hooks: create, update, describe, and what has to be asked of the kernel before.
#![expect(unsafe_code, reason = "perf_event_open(2) and addresses in integers")]

use std::{
    ffi::CString,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

use super::{Call, CallError, Kernel, Kind, ProgSpec, attr, bpf::raw_fd};

/// `BPF_F_REPLACE`.
const F_REPLACE: u32 = 1 << 2;
const F_BEFORE: u32 = 1 << 3;
const F_AFTER: u32 = 1 << 4;
const F_ID: u32 = 1 << 5;
const F_LINK: u32 = 1 << 13;
/// `PERF_FLAG_FD_CLOEXEC`.
const PERF_CLOEXEC: libc::c_ulong = 8;
/// `BPF_PERF_EVENT`, linux `include/uapi/linux/bpf.h`, `enum bpf_attach_type`.
const ATTACH_PERF_EVENT: u32 = 41;

/// What the kernel says about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Id.
    pub id: u32,
    /// Id of its program.
    pub prog_id: u32,
    /// Whether it still leads somewhere: links to an interface or a cgroup outlive it.
    pub alive: bool,
    /// Id of the cgroup that it leads to, which is the inode number of the cgroup's directory; else 0.
    pub cgroup: u64,
}

/// Where in a list a link goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Behind everything.
    Last,
    /// Before this entry.
    Before(Neighbour),
    /// Behind this entry.
    After(Neighbour),
}

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Id of its program.
    pub prog_id: u32,
    /// Id of its link, or 0: attached without one.
    pub link_id: u32,
}

/// The programs at one place of an interface, in running order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Rises with every change.
    pub revision: u64,
    /// In running order.
    pub entries: Vec<Neighbour>,
}

/// What a perf event is about.
#[derive(Clone, Copy, Debug)]
pub struct PerfEvent<'a> {
    /// Type of the event source.
    pub source: u32,
    /// Meaning depends on the source.
    pub config: u64,
    /// For probes: the function.
    pub function: &'a str,
    /// For probes: bytes from the function's start.
    pub offset: u64,
}

impl Kernel {
    fn create_link(&self, what: &str, attr: &mut attr::LinkCreate) -> Call<OwnedFd> {
        self.bpf_fd((attr::LINK_CREATE, "BPF_LINK_CREATE"), what, attr)
    }

    /// Attaches a program to a cgroup, given its directory.
    pub fn link_cgroup(
        &self,
        what: &str,
        prog: BorrowedFd<'_>,
        cgroup: BorrowedFd<'_>,
        attach_type: u32,
    ) -> Call<OwnedFd> {
        let (prog_fd, target_fd) = (raw_fd(prog), raw_fd(cgroup));
        self.create_link(what, &mut attr::LinkCreate { prog_fd, target_fd, attach_type, ..Default::default() })
    }

    /// Attaches a program to a perf event; the link holds the event.
    pub fn link_perf(&self, what: &str, prog: BorrowedFd<'_>, event: BorrowedFd<'_>) -> Call<OwnedFd> {
        let (prog_fd, target_fd) = (raw_fd(prog), raw_fd(event));
        let attach_type = ATTACH_PERF_EVENT;
        self.create_link(what, &mut attr::LinkCreate { prog_fd, target_fd, attach_type, ..Default::default() })
    }

    /// Attaches a program to an interface by TCX, if nobody has changed the list since it had `revision` (else ESTALE).
    pub fn link_tcx(
        &self,
        what: &str,
        prog: BorrowedFd<'_>,
        place: (u32, u32),
        position: Position,
        revision: u64,
    ) -> Call<OwnedFd> {
        let (flags, target) = match position {
            Position::Last => (0, 0),
            Position::Before(neighbour) => neighbour.flags(F_BEFORE),
            Position::After(neighbour) => neighbour.flags(F_AFTER),
        };
        let (target_fd, attach_type) = place;
        let mut attr = attr::LinkCreate {
            prog_fd: raw_fd(prog),
            target_fd,
            attach_type,
            flags,
            target,
            pad: 0,
            expected_revision: revision,
        };
        self.create_link(what, &mut attr)
    }

    /// Programs at one place of an interface. EINVAL: this kernel has no TCX.
    pub fn tcx_list(&self, ifindex: u32, attach_type: u32) -> Call<List> {
        // 63 programs at most: `BPF_MPROG_MAX`, linux `include/linux/bpf_mprog.h`.
        let (mut programs, mut links) = (vec![0u32; 64], vec![0u32; 64]);
        let mut attr = attr::ProgQuery {
            target: ifindex,
            attach_type,
            prog_ids: programs.as_mut_ptr() as u64,
            count: 64,
            link_ids: links.as_mut_ptr() as u64,
            ..Default::default()
        };
        self.bpf((attr::PROG_QUERY, "BPF_PROG_QUERY"), "", &mut attr)?;
        let entries = programs.iter().zip(&links).take(attr.count as usize);
        let entries = entries.map(|(&prog_id, &link_id)| Neighbour { prog_id, link_id }).collect();
        Ok(List { revision: attr.revision, entries })
    }

    /// Attaches a program to a tracepoint with its raw arguments, or, without a name, to what it was loaded for.
    pub fn link_raw(&self, what: &str, prog: BorrowedFd<'_>, name: Option<&str>) -> Call<OwnedFd> {
        let text = name.map(c_text).transpose()?;
        let name = text.as_ref().map_or(0, |text| text.as_ptr() as u64);
        let mut attr = attr::RawTracepoint { name, prog_fd: raw_fd(prog), pad: 0 };
        self.bpf_fd((attr::RAW_TRACEPOINT_OPEN, "BPF_RAW_TRACEPOINT_OPEN"), what, &mut attr)
    }

    /// Whether there is a tracepoint of this name to attach to with its raw arguments, also in a module.
    ///
    /// Asks by a program that reads the twelfth argument: the kernel looks for the tracepoint first, and then refuses
    /// the program, because tracepoints have fewer (linux `kernel/trace/bpf_trace.c`, `__bpf_probe_register`). On one
    /// with twelve it would be attached for a moment, and does nothing.
    pub fn has_raw_tracepoint(&self, name: &str) -> Call<bool> {
        // r0 = *(u64 *)(r1 + 88); r0 = 0; exit
        let insns = [0x79, 0x10, 88, 0, 0, 0, 0, 0, 0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        let spec = ProgSpec {
            name: "probe",
            insns: &insns,
            license: c"",
            flags: 0,
            btf: None,
            func_info: (&[], 0),
            line_info: (&[], 0),
            kind: Kind { prog_type: 17, attach_type: 0, btf_id: 0, target: None },
            statistics: false,
        };
        let (probe, _) = self.prog_load(&spec).map_err(|error| error.error)?;
        match self.link_raw(name, probe.as_fd(), Some(name)) {
            Err(error) if error.errno == libc::ENOENT => Ok(false),
            Err(error) if error.errno != libc::EINVAL => Err(error),
            _ => Ok(true),
        }
    }

    /// Puts `new` in the place of `old`, in one step.
    pub fn link_update(&self, what: &str, link: BorrowedFd<'_>, new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Call<()> {
        let (link_fd, new_prog_fd, old_prog_fd) = (raw_fd(link), raw_fd(new), raw_fd(old));
        let mut attr = attr::LinkUpdate { link_fd, new_prog_fd, flags: F_REPLACE, old_prog_fd };
        self.bpf((attr::LINK_UPDATE, "BPF_LINK_UPDATE"), what, &mut attr).map(drop)
    }

    /// Describes a link.
    pub fn link_info(&self, link: BorrowedFd<'_>) -> Call<LinkInfo> {
        let mut info = attr::LinkInfo::default();
        self.info(link, &mut info)?;
        let gone = matches!(info.link_type, attr::LINK_TYPE_CGROUP | attr::LINK_TYPE_TCX)
            && info.word0 == 0
            && (info.link_type == attr::LINK_TYPE_TCX || info.target_obj_id == 0);
        let id = u64::from(info.target_obj_id) << 32 | u64::from(info.word0);
        let cgroup = if info.link_type == attr::LINK_TYPE_CGROUP { id } else { 0 };
        Ok(LinkInfo { id: info.id, prog_id: info.prog_id, alive: !gone, cgroup })
    }

    /// Opens a perf event on all processors and processes. It is held by the link made of it.
    pub fn perf_event(&self, event: PerfEvent<'_>) -> Call<OwnedFd> {
        self.enter("perf_event_open")?;
        let function = c_text(event.function)?;
        let mut attr = attr::PerfEvent {
            kind: event.source,
            size: 72,
            config: event.config,
            sample_period: 1,
            wakeup_events: 1,
            config2: event.offset,
            ..Default::default()
        };
        if !event.function.is_empty() {
            attr.config1 = function.as_ptr() as u64;
        }
        let (all, none): (libc::c_int, libc::c_int) = (-1, -1);
        // SAFETY: `attr` is initialised in every byte and has the size it says; its address leads to a string that
        // lives until the end of this function.
        let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw mut attr, all, 0, none, PERF_CLOEXEC) };
        match libc::c_int::try_from(fd) {
            // SAFETY: the call returned a new descriptor that nobody else owns.
            Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            _ => Err(CallError::last("perf_event_open", event.function)),
        }
    }
}

impl Neighbour {
    fn flags(self, side: u32) -> (u32, u32) {
        if self.link_id == 0 { (side | F_ID, self.prog_id) } else { (side | F_ID | F_LINK, self.link_id) }
    }
}

fn c_text(text: &str) -> Call<CString> {
    CString::new(text).map_err(|_| CallError { call: "name", what: String::new(), errno: libc::EINVAL })
}
