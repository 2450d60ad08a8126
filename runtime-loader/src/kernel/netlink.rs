//! rtnetlink, as far as it does not matter what is asked: messages, attributes, lists.
//!
//! Source: linux `include/uapi/linux/netlink.h`.
#![expect(unsafe_code, reason = "sockets")]

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use super::{Call, CallError};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x01;
/// Interfaces came or went while the kernel listed them; some may be missing.
const NLM_F_DUMP_INTR: u16 = 0x10;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const IFINFO_BYTES: usize = 16;

/// A request under construction.
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    pub(super) fn new(kind: u16, flags: u16, ifindex: u32) -> Self {
        let mut bytes = vec![0; HEADER_BYTES + IFINFO_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes[8..12].copy_from_slice(&1u32.to_ne_bytes()); // sequence number
        bytes[20..24].copy_from_slice(&ifindex.to_ne_bytes());
        Self(bytes)
    }

    /// A request for all of something below `parent`: a `struct tcmsg` has 4 bytes more than the other header.
    pub(super) fn traffic(kind: u16, ifindex: u32, parent: u32) -> Vec<u8> {
        let mut message = Self::new(kind, NLM_F_DUMP, ifindex);
        message.0[28..32].copy_from_slice(&parent.to_ne_bytes());
        message.0.extend_from_slice(&[0; 4]);
        message.finish()
    }

    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(4 + value.len()).expect("invariant: our attributes are short");
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("invariant: our messages are short");
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Attributes of `bytes`: kind without flags, and value.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

fn io_call(call: &'static str) -> impl Fn(io::Error) -> CallError {
    move |error| CallError::of(call, "", &error)
}

/// Sends one request and hands every answering message to `each`, until the kernel says it is done. A dump that the
/// kernel calls inconsistent ends with `EINTR`: see [`dump`].
#[expect(clippy::large_stack_arrays, reason = "memory is never freed, and an inventory talks to many namespaces")]
pub(super) fn talk(request: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    // SAFETY: plain system calls; the descriptor is owned from here on.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    // SAFETY: the kernel reads `request.len()` bytes of `request`.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    // Dumps come in 32 KiB at most.
    let mut buffer = [0u8; 64 * 1024];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(got) = usize::try_from(got) else { return Err(io::Error::last_os_error()) };
        if read(&buffer[..got], &mut each)? {
            return Ok(());
        }
    }
}

/// Hands the messages of one datagram to `each`. Whether the kernel says that it is done.
fn read(datagram: &[u8], each: &mut impl FnMut(u16, &[u8])) -> io::Result<bool> {
    let mut rest = datagram;
    while let (Some(len), Some(kind), Some(flags)) = (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6)) {
        if flags & NLM_F_DUMP_INTR != 0 {
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        let body = rest.get(HEADER_BYTES..len as usize).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            // Both begin with how it ended; a list that ended with an error is not whole.
            NLMSG_DONE | NLMSG_ERROR => {
                let errno = u32_at(body, 0).ok_or(io::ErrorKind::InvalidData)?.cast_signed();
                return if errno < 0 { Err(io::Error::from_raw_os_error(errno.wrapping_neg())) } else { Ok(true) };
            }
            kind => each(kind, body),
        }
        rest = rest.get((len as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// Dumps that others may spoil by what they change meanwhile, before giving up.
const MAX_DUMPS: usize = 10;

/// What `parse` makes of the answers to a request. A list that the kernel calls inconsistent is asked for again: for an
/// interface that is missing from it, programs would be detached.
pub(super) fn dump<T>(
    call: &'static str,
    request: &[u8],
    mut parse: impl FnMut(u16, &[u8], &mut Vec<T>),
) -> Call<Vec<T>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut found = Vec::new();
        match talk(request, |kind, body| parse(kind, body, &mut found)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && tries < MAX_DUMPS => {}
            Err(error) => return Err(io_call(call)(error)),
            Ok(()) => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_attributes_are_no_panic() {
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
    }

    /// Without what is missing in it programs would be detached.
    #[test]
    fn an_inconsistent_list_is_no_list() {
        let one = |flags| Message::new(16, flags, 5).finish();
        let done = || Message::new(NLMSG_DONE, 0, 0).finish();
        let ask = |datagram: &[u8]| {
            let mut kinds = Vec::new();
            let result = read(datagram, &mut |kind, _| kinds.push(kind));
            (result.map_err(|error| error.kind()), kinds)
        };
        assert_eq!(ask(&one(0)), (Ok(false), vec![16]));
        assert_eq!(ask(&[one(0), done()].concat()), (Ok(true), vec![16]));
        let spoilt = [one(0), one(NLM_F_DUMP_INTR), done()].concat();
        assert_eq!(ask(&spoilt), (Err(io::ErrorKind::Interrupted), vec![16]));
        let failed = |errno: i32| {
            let mut done = done();
            done[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&errno.to_ne_bytes());
            ask(&[one(0), done].concat())
        };
        assert_eq!(failed(-libc::EINTR), (Err(io::ErrorKind::Interrupted), vec![16]), "the errno of the dump");
        assert_eq!(failed(-libc::ENOMEM), (Err(io::ErrorKind::OutOfMemory), vec![16]));
        assert_eq!(ask(&one(0)[..20]), (Err(io::ErrorKind::InvalidData), vec![]));
    }
}
