//! Small wrappers around `bpf(2)` for probes and tests that want no library between them and the kernel.
//!
//! In:  kinds and verdicts of programs that consist of two instructions.
//! Out: owned descriptors; the errno of the kernel, untouched.
//!
//! Structures are those of linux `include/uapi/linux/bpf.h`, cut off after the last field that is set here: the
//! kernel takes what is missing for zero.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

use crate::{btf, sys::checked};

/// XDP verdicts.
pub(crate) const XDP_DROP: i32 = 1;
pub(crate) const XDP_PASS: i32 = 2;

/// TC verdict: this program has no opinion, the next one decides.
pub(crate) const TCX_NEXT: i32 = -1;
/// TC verdict: drop.
pub(crate) const TCX_DROP: i32 = 2;

const CMD_PROG_LOAD: libc::c_int = 5;
const CMD_PROG_TEST_RUN: libc::c_int = 10;
const CMD_PROG_QUERY: libc::c_int = 16;
const CMD_BTF_LOAD: libc::c_int = 18;
const CMD_LINK_CREATE: libc::c_int = 28;

/// Kinds of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    SchedCls = 3,
    Xdp = 6,
    Extension = 28,
}

/// Places to attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachType {
    TcxIngress = 46,
    TcxEgress = 47,
}

/// A program that returns a verdict and does nothing else.
pub(crate) struct Program<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) verdict: i32,
    /// For an extension: the program that has [`btf::FUNCTION_ID`].
    pub(crate) replaces: Option<BorrowedFd<'a>>,
}

#[repr(C)]
#[derive(Default)]
struct ProgLoad {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
    btf: u32,
    function_record_size: u32,
    functions: u64,
    function_count: u32,
    line_record_size: u32,
    lines: u64,
    line_count: u32,
    attach_btf_id: u32,
    attach_program: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct BtfLoad {
    btf: u64,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    target_btf_id: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    program: u32,
    verdict: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
#[derive(Default)]
struct ProgQuery {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

/// Loads an XDP program that can be replaced.
pub(crate) fn load_xdp(name: &str, verdict: i32) -> io::Result<OwnedFd> {
    load(&Program { kind: Kind::Xdp, name, verdict, replaces: None })
}

/// Loads an extension that takes the place of `target` when it is linked.
pub(crate) fn load_replacement(name: &str, verdict: i32, target: BorrowedFd) -> io::Result<OwnedFd> {
    load(&Program { kind: Kind::Extension, name, verdict, replaces: Some(target) })
}

/// Loads a program.
pub(crate) fn load(program: &Program) -> io::Result<OwnedFd> {
    let btf = load_btf(&btf::of_xdp_function(program.name))?;
    let [b0, b1, b2, b3] = program.verdict.to_ne_bytes();
    // r0 = verdict; exit
    let instructions: [u8; 16] = [0xb7, 0, 0, 0, b0, b1, b2, b3, 0x95, 0, 0, 0, 0, 0, 0, 0];
    // The function begins at instruction 0.
    let functions = [0_u32, btf::FUNCTION_ID];
    let mut attributes = ProgLoad {
        kind: program.kind as u32,
        instruction_count: 2,
        instructions: address(&instructions),
        license: address(b"GPL\0"),
        expected_attach_type: 0,
        ..ProgLoad::default()
    };
    let length = program.name.len().min(15);
    attributes.name[..length].copy_from_slice(&program.name.as_bytes()[..length]);
    // The function's type names an XDP context, so other kinds go without.
    if program.kind != Kind::SchedCls {
        attributes.btf = descriptor(btf.as_raw_fd());
        attributes.function_record_size = 8;
        attributes.functions = address(&functions);
        attributes.function_count = 1;
    }
    if let Some(target) = program.replaces {
        attributes.attach_btf_id = btf::FUNCTION_ID;
        attributes.attach_program = descriptor(target.as_raw_fd());
    }
    owned(call(CMD_PROG_LOAD, &mut attributes)?)
}

/// Puts a replacement into force, until the link is dropped.
pub(crate) fn link_replacement(program: BorrowedFd, target: BorrowedFd) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        program: descriptor(program.as_raw_fd()),
        target: descriptor(target.as_raw_fd()),
        target_btf_id: btf::FUNCTION_ID,
        ..LinkCreate::default()
    };
    owned(call(CMD_LINK_CREATE, &mut attributes)?)
}

/// Attaches a program to an interface, until the link is dropped.
pub(crate) fn link_interface(program: BorrowedFd, interface: u32, attach_type: AttachType) -> io::Result<OwnedFd> {
    let mut attributes = LinkCreate {
        program: descriptor(program.as_raw_fd()),
        target: interface,
        attach_type: attach_type as u32,
        ..LinkCreate::default()
    };
    owned(call(CMD_LINK_CREATE, &mut attributes)?)
}

/// Runs a program once on a packet and returns its verdict.
pub(crate) fn test_run(program: BorrowedFd, packet: &[u8]) -> io::Result<i32> {
    let mut attributes = TestRun {
        program: descriptor(program.as_raw_fd()),
        size_in: u32::try_from(packet.len()).unwrap_or(u32::MAX),
        data_in: address(packet),
        ..TestRun::default()
    };
    call(CMD_PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.verdict.cast_signed())
}

/// Asks what is attached to an interface; the answer is thrown away.
pub(crate) fn query_interface(interface: u32, attach_type: AttachType) -> io::Result<()> {
    let mut attributes = ProgQuery { target: interface, attach_type: attach_type as u32, ..ProgQuery::default() };
    call(CMD_PROG_QUERY, &mut attributes).map(drop)
}

fn load_btf(bytes: &[u8]) -> io::Result<OwnedFd> {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    owned(call(CMD_BTF_LOAD, &mut BtfLoad { btf: address(bytes), size, ..BtfLoad::default() })?)
}

/// The address of a slice, as the kernel wants it. The slice must outlive the call.
fn address<T>(slice: &[T]) -> u64 {
    slice.as_ptr().addr() as u64
}

fn descriptor(fd: RawFd) -> u32 {
    fd.cast_unsigned()
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the pointer leads to `size_of::<T>()` bytes without hidden padding; addresses inside are those of
    // slices that the callers keep alive.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    let result = checked(result)?;
    RawFd::try_from(result).map_err(|_| io::Error::other("a descriptor beyond all bounds"))
}
