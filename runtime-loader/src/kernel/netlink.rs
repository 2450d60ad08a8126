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
/// In an answer: the request is not repeated in it, and attributes follow.
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
pub(super) const NLM_F_DUMP: u16 = 0x300;
pub(super) const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

pub(super) const HEADER_BYTES: usize = 16;
pub(super) const IFINFO_BYTES: usize = 16;

/// Longest text that is taken from the kernel, in bytes; its own buffer has 80 (`NETLINK_MAX_FMTMSG_LEN`).
const MAX_TEXT_BYTES: usize = 200;

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: io::Error,
    /// The reason in the kernel's words; empty if it gives none.
    pub(super) text: String,
}

impl<E: Into<io::Error>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { error: error.into(), text: String::new() }
    }
}

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

/// Sends one request and hands every answering message to `each`, until the kernel says it is done. A dump that the
/// kernel calls inconsistent ends with `EINTR`: see [`dump`].
#[expect(clippy::large_stack_arrays, reason = "memory is never freed, and an inventory talks to many namespaces")]
pub(super) fn talk(request: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> Result<(), Refused> {
    // SAFETY: plain system calls; the descriptor is owned from here on.
    let socket = unsafe {
        let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_ROUTE);
        if fd < 0 {
            return Err(io::Error::last_os_error().into());
        }
        OwnedFd::from_raw_fd(fd)
    };
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        let on = 1u32.to_ne_bytes();
        // Without them a refusal has its number only.
        // SAFETY: the kernel reads the 4 bytes of `on`.
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, on.as_ptr().cast(), 4) };
    }
    // SAFETY: the kernel reads `request.len()` bytes of `request`.
    let sent = unsafe { libc::send(socket.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
    if sent < 0 {
        return Err(io::Error::last_os_error().into());
    }
    // Dumps come in 32 KiB at most.
    let mut buffer = [0u8; 64 * 1024];
    loop {
        // SAFETY: the kernel writes at most `buffer.len()` bytes to `buffer`.
        let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(got) = usize::try_from(got) else { return Err(io::Error::last_os_error().into()) };
        if read(&buffer[..got], each)? {
            return Ok(());
        }
    }
}

/// Hands the messages of one datagram to `each`. Whether the kernel says that it is done.
fn read(datagram: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> Result<bool, Refused> {
    let mut rest = datagram;
    while let (Some(len), Some(kind), Some(flags)) = (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6)) {
        if flags & NLM_F_DUMP_INTR != 0 {
            return Err(io::Error::from_raw_os_error(libc::EINTR).into());
        }
        let body = rest.get(HEADER_BYTES..len as usize).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            // Both begin with how it ended; a list that ended with an error is not whole.
            NLMSG_DONE | NLMSG_ERROR => {
                let errno = u32_at(body, 0).ok_or(io::ErrorKind::InvalidData)?.cast_signed();
                if errno >= 0 {
                    return Ok(true);
                }
                let text = if kind == NLMSG_ERROR { said(flags, body).unwrap_or_default() } else { String::new() };
                return Err(Refused { error: io::Error::from_raw_os_error(errno.wrapping_neg()), text });
            }
            kind => each(kind, body),
        }
        rest = rest.get((len as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The kernel's words in the body of an error: behind its number, the header of the request, and, unless left out, the
/// rest of the request.
fn said(flags: u16, body: &[u8]) -> Option<String> {
    let request = if flags & NLM_F_CAPPED == 0 { u32_at(body, 4)? as usize } else { HEADER_BYTES };
    let rest = body.get(4usize.checked_add(request)?.checked_next_multiple_of(4)?..)?;
    let mut found = attributes(rest).filter(|(kind, _)| *kind == NLMSGERR_ATTR_MSG && flags & NLM_F_ACK_TLVS != 0);
    let text = found.next()?.1.strip_suffix(&[0])?;
    let plain = text.len() <= MAX_TEXT_BYTES && text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    plain.then(|| String::from_utf8_lossy(text).into_owned())
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
        match talk(request, &mut |kind, body| parse(kind, body, &mut found)) {
            Err(refused) if refused.error.kind() == io::ErrorKind::Interrupted && tries < MAX_DUMPS => {}
            Err(refused) => return Err(CallError::of(call, "", &refused.error)),
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
            (result.map_err(|refused| refused.error.kind()), kinds)
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

    /// An answer as kernels give it: with the request in it or without, the text behind.
    #[test]
    fn a_refusal_has_the_kernels_words() {
        let request = Message::new(19, 0, 5).finish();
        let answer = |flags: u16, request: &[u8], kind: u16, text: &[u8]| {
            let mut words = Message(Vec::new());
            words.attribute(kind, text);
            let body = [&(-libc::EBUSY).to_ne_bytes(), request, &words.0].concat();
            let mut message = Message::new(NLMSG_ERROR, flags, 0);
            message.0.truncate(HEADER_BYTES);
            message.0.extend_from_slice(&body);
            message.finish()
        };
        let text = |datagram: &[u8]| {
            let refused = read(datagram, &mut |_, _| ()).unwrap_err();
            assert_eq!(refused.error.raw_os_error(), Some(libc::EBUSY));
            refused.text
        };
        let (both, long) = (NLM_F_CAPPED | NLM_F_ACK_TLVS, [b'x'; MAX_TEXT_BYTES + 2]);
        let mut endless = request.clone();
        endless[..4].fill(0xff);
        for (name, flags, request, kind, said, want) in [
            ("capped", both, &request[..HEADER_BYTES], 1, &b"in use\0"[..], "in use"),
            ("whole", NLM_F_ACK_TLVS, &request[..], 1, b"in use\0", "in use"),
            ("no attributes", NLM_F_CAPPED, &request[..HEADER_BYTES], 1, b"in use\0", ""),
            ("another attribute", both, &request[..HEADER_BYTES], 2, b"in use\0", ""),
            ("no end", both, &request[..HEADER_BYTES], 1, b"in use", ""),
            ("a control character", both, &request[..HEADER_BYTES], 1, b"in\x1buse\0", ""),
            ("too long", both, &request[..HEADER_BYTES], 1, &long[..], ""),
            ("a request without end", NLM_F_ACK_TLVS, &endless[..], 1, b"in use\0", ""),
        ] {
            assert_eq!(text(&answer(flags, request, kind, said)), want, "case: {name}");
        }
        let whole = answer(NLM_F_ACK_TLVS, &request, 1, b"in use\0");
        for len in HEADER_BYTES + 4..whole.len() - 1 {
            let mut cut = whole[..len].to_vec();
            cut[..4].copy_from_slice(&u32::try_from(len).unwrap().to_ne_bytes());
            assert_eq!(text(&cut), "", "{len} bytes");
        }
    }
}
