//! System calls that neither the standard library nor `ip` offers.
//!
//! In:  plain values.
//! Out: owned descriptors; errors with the name of the call and its errno.
//!
//! The only unsafe code beside `bpf.rs` and `xsk.rs`.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};

/// File systems that tests mount.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fs {
    Bpf,
    Cgroup2,
    Debugfs,
    Securityfs,
    Sysfs,
    Tmpfs,
    Tracefs,
}

impl Fs {
    fn name(self) -> &'static str {
        match self {
            Fs::Bpf => "bpf",
            Fs::Cgroup2 => "cgroup2",
            Fs::Debugfs => "debugfs",
            Fs::Securityfs => "securityfs",
            Fs::Sysfs => "sysfs",
            Fs::Tmpfs => "tmpfs",
            Fs::Tracefs => "tracefs",
        }
    }
}

/// Turns the result of a system call into a value or the errno.
pub(crate) fn checked<T: PartialOrd + Default>(result: T) -> io::Result<T> {
    if result < T::default() { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Gives this process a network of its own, and mounts that no other process sees.
pub(crate) fn unshare_network_and_mounts() -> Result<()> {
    // SAFETY: no pointers; the process has one thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) }).context("unshare")?;
    raw_mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE)
}

/// Gives this thread a network of its own.
pub(crate) fn unshare_network() -> Result<()> {
    // SAFETY: no pointers.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) }).context("unshare").map(drop)
}

/// Moves this thread into the network of `namespace`.
pub(crate) fn enter_network(namespace: BorrowedFd) -> Result<()> {
    // SAFETY: no pointers; the descriptor is open.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).context("setns").map(drop)
}

/// Leaves a command no other capabilities than these: what a unit's `CapabilityBoundingSet=` does to root.
pub(crate) fn limit_capabilities(command: &mut Command, keep: Vec<i32>) {
    let drop = move || {
        for capability in (0..=63).filter(|one| !keep.contains(one)) {
            // SAFETY: no pointers. EINVAL: a capability that the kernel does not know.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(drop) };
}

/// Mounts a fresh file system of this kind.
pub(crate) fn mount(kind: Fs, path: &str) -> Result<()> {
    raw_mount(Some(kind.name()), path, Some(kind.name()), 0)
}

/// Makes the folder `from` appear at `to`.
pub(crate) fn bind(from: &str, to: &str) -> Result<()> {
    raw_mount(Some(from), to, None, libc::MS_BIND)
}

fn raw_mount(source: Option<&str>, path: &str, kind: Option<&str>, flags: libc::c_ulong) -> Result<()> {
    let text = |text: Option<&str>| text.map(CString::new).transpose();
    let (source, target, kind) = (text(source)?, CString::new(path)?, text(kind)?);
    let pointer = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: every pointer is null or leads to a string that lives until the end of this function.
    let result = unsafe { libc::mount(pointer(&source), target.as_ptr(), pointer(&kind), flags, std::ptr::null()) };
    checked(result).with_context(|| format!("mount on {path}")).map(drop)
}

/// What ended and awaited children of this process, and theirs, took.
fn usage_of_children() -> libc::rusage {
    // SAFETY: all zeros is a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer leads to one `rusage`. The call fails for wrong arguments only; then it is zero.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    usage
}

/// How long children were at work.
pub(crate) fn work_of_children() -> Duration {
    let usage = usage_of_children();
    [usage.ru_utime, usage.ru_stime].iter().map(duration).sum()
}

/// The largest peak of memory among children, in KiB. It counts what a child held before it became another program: a copy
/// of its parent, so a small process must be the parent.
pub(crate) fn peak_of_children() -> i64 {
    usage_of_children().ru_maxrss
}

fn duration(time: &libc::timeval) -> Duration {
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0)) + Duration::from_micros(micros)
}

/// Ends every process of a group; one that is gone is fine.
pub(crate) fn kill_group(group: u32) {
    if let Ok(group) = libc::pid_t::try_from(group) {
        // SAFETY: no pointers.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

/// Index of an interface of this thread's network.
pub(crate) fn interface_index(name: &str) -> Result<u32> {
    let text = CString::new(name)?;
    // SAFETY: the pointer leads to a string that lives until the end of this function.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::last_os_error()).with_context(|| format!("interface {name}")),
        index => Ok(index),
    }
}

/// Opens a socket that sends and receives whole frames on one interface.
pub(crate) fn packet_socket(interface: u32) -> Result<OwnedFd> {
    let all = u16::try_from(libc::ETH_P_ALL)?.to_be();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the result is checked before it becomes an owned descriptor.
    let socket =
        unsafe { OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_PACKET, kind, all.into())).context("socket")?) };
    // SAFETY: all zeros is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET)?;
    address.sll_protocol = all;
    address.sll_ifindex = i32::try_from(interface)?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>())?;
    // SAFETY: the pointer leads to a `sockaddr_ll` of `length` bytes.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) }).context("bind")?;
    Ok(socket)
}

/// Sends one frame.
pub(crate) fn send(socket: BorrowedFd, frame: &[u8]) -> Result<()> {
    // SAFETY: pointer and length are those of a slice.
    checked(unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) }).context("send").map(drop)
}

/// Receives one frame with the direction in which it went, or `None` when none comes in time.
pub(crate) fn receive(socket: BorrowedFd, wait: Duration) -> Result<Option<(Vec<u8>, Direction)>> {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer leads to one `pollfd`.
    if checked(unsafe { libc::poll(&raw mut poll, 1, millis) }).context("poll")? == 0 {
        return Ok(None);
    }
    let mut frame = vec![0_u8; 65536];
    // SAFETY: all zeros is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>())?;
    let from = (&raw mut address).cast();
    // SAFETY: the buffer is a slice, the address has `length` bytes.
    let size = checked(unsafe {
        libc::recvfrom(socket.as_raw_fd(), frame.as_mut_ptr().cast(), frame.len(), 0, from, &raw mut length)
    })
    .context("recvfrom")?;
    frame.truncate(usize::try_from(size)?);
    let out = address.sll_pkttype == libc::PACKET_OUTGOING;
    Ok(Some((frame, if out { Direction::Out } else { Direction::In })))
}

/// Which way a frame went through an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}
