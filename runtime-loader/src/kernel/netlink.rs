//! rtnetlink: interfaces with their XDP state, and the swap of an XDP program with the old one expected.
//!
//! Source: linux `include/uapi/linux/if_link.h` (`IFLA_XDP*`, `XDP_FLAGS_*`), `net/core/rtnetlink.c`.
#![expect(unsafe_code, reason = "sockets")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use nodeplan::xdp::XdpMode;

use super::{Call, CallError, Kernel};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
/// Interfaces came or went while the kernel listed them; some may be missing.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const RTM_GETQDISC: u16 = 38;
const RTM_GETTFILTER: u16 = 46;
const TCMSG_BYTES: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_DRV_PROG_ID: u16 = 5;
const IFLA_XDP_SKB_PROG_ID: u16 = 6;
const IFLA_XDP_EXPECTED_FD: u16 = 8;
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const XDP_FLAGS_REPLACE: u32 = 1 << 4;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;

const HEADER_BYTES: usize = 16;
const IFINFO_BYTES: usize = 16;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Index in this network namespace.
    pub ifindex: u32,
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// What XDP does there.
    pub xdp: XdpState,
    /// MAC address now; zeros for none.
    pub mac: [u8; 6],
    /// MAC address that the hardware came with.
    pub permanent_mac: Option<[u8; 6]>,
    /// Index of the bond, bridge or switch that it is a member of, or 0.
    pub master: u32,
    /// Index of the interface that it stands on (of a VLAN), or 0.
    pub lower: u32,
    /// Kind of a virtual interface, such as `vlan` or `bond`; empty for hardware.
    pub kind: String,
}

/// A default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DefaultRoute {
    /// IPv6, which counts only where IPv4 has none.
    pub ipv6: bool,
    /// Lower is better.
    pub metric: u32,
    /// Index of the interface.
    pub ifindex: u32,
}

/// A filter that runs a program, below a qdisc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Index of the interface.
    pub ifindex: u32,
    /// What it hangs on: the place of `clsact`, or a qdisc.
    pub parent: u32,
    /// Lower runs first.
    pub priority: u32,
    /// Handle.
    pub handle: u32,
    /// Id of its program.
    pub prog_id: u32,
}

/// XDP on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpState {
    /// Nothing attached.
    Empty,
    /// One program, in the driver or in the generic path.
    One(XdpAttached),
    /// Offloaded to hardware, or several modes at once.
    Other,
}

/// An attached XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpAttached {
    /// Mode.
    pub mode: XdpMode,
    /// Id of the program.
    pub prog_id: u32,
}

/// Why a swap did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwapError {
    /// Another program is attached than the expected one: somebody was faster (EEXIST).
    Raced,
    /// A `bpf_link` holds the interface (EBUSY); trying again is of no use.
    HeldByLink,
    /// Anything else.
    Call(CallError),
}

/// A request under construction.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, ifindex: u32) -> Self {
        let mut bytes = vec![0; HEADER_BYTES + IFINFO_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        bytes[8..12].copy_from_slice(&1u32.to_ne_bytes()); // sequence number
        bytes[20..24].copy_from_slice(&ifindex.to_ne_bytes());
        Self(bytes)
    }

    /// A request for all of something below `parent`: a `struct tcmsg` has 4 bytes more than the other header.
    fn traffic(kind: u16, ifindex: u32, parent: u32) -> Vec<u8> {
        let mut message = Self::new(kind, NLM_F_DUMP, ifindex);
        message.0[28..32].copy_from_slice(&parent.to_ne_bytes());
        message.0.extend_from_slice(&[0; 4]);
        message.finish()
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(4 + value.len()).expect("invariant: our attributes are short");
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("invariant: our messages are short");
        self.0[..4].copy_from_slice(&len.to_ne_bytes());
        self.0
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Attributes of `bytes`: kind without flags, and value.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn parse_link(body: &[u8]) -> Option<Interface> {
    let ifindex = u32_at(body, 4)?;
    let mut interface = Interface {
        name: String::new(),
        ifindex,
        mtu: 0,
        xdp: XdpState::Empty,
        mac: [0; 6],
        permanent_mac: None,
        master: 0,
        lower: 0,
        kind: String::new(),
    };
    for (kind, value) in attributes(body.get(IFINFO_BYTES..)?) {
        match kind {
            IFLA_IFNAME => {
                interface.name = text(value);
            }
            IFLA_MTU => interface.mtu = u32_at(value, 0)?,
            IFLA_XDP => interface.xdp = parse_xdp(value),
            IFLA_ADDRESS => interface.mac = value.try_into().unwrap_or_default(),
            IFLA_PERM_ADDRESS => interface.permanent_mac = value.try_into().ok(),
            IFLA_MASTER => interface.master = u32_at(value, 0)?,
            IFLA_LINK => interface.lower = u32_at(value, 0)?,
            IFLA_LINKINFO => {
                // Hardware that is a port of something has the kind of its master alone.
                let mut info = attributes(value);
                let kind = info.find(|(kind, _)| *kind == IFLA_INFO_KIND);
                interface.kind = kind.map_or_else(String::new, |(_, kind)| text(kind));
            }
            _ => {}
        }
    }
    Some(interface)
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
}

/// Of a `struct rtmsg` with attributes what it is as a default route: of the main table, unicast, to anywhere.
fn parse_route(body: &[u8]) -> Option<DefaultRoute> {
    const MAIN: u8 = 254;
    const UNICAST: u8 = 1;
    let &[family, destination_bits, _, _, table, _, _, kind, ..] = body else { return None };
    if destination_bits != 0 || table != MAIN || kind != UNICAST {
        return None;
    }
    let mut route = DefaultRoute { ipv6: i32::from(family) == libc::AF_INET6, metric: 0, ifindex: 0 };
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            4 => route.ifindex = u32_at(value, 0)?, // RTA_OIF
            6 => route.metric = u32_at(value, 0)?,  // RTA_PRIORITY
            // RTA_MULTIPATH: the first `struct rtnexthop` is as good as any.
            9 if route.ifindex == 0 => route.ifindex = u32_at(value, 4)?,
            _ => {}
        }
    }
    (route.ifindex != 0).then_some(route)
}

/// Of a qdisc what filters may hang on: interface and parent. Handle 0 is the default one, which takes none.
fn parse_qdisc(body: &[u8]) -> Option<Vec<(u32, u32)>> {
    let (ifindex, handle) = (u32_at(body, 4)?, u32_at(body, 8)?);
    let (_, kind) = attributes(body.get(TCMSG_BYTES..)?).find(|(kind, _)| *kind == TCA_KIND)?;
    Some(match kind {
        // `TC_H_MIN_INGRESS` and `TC_H_MIN_EGRESS`, linux `include/uapi/linux/pkt_sched.h`.
        b"clsact\0" => vec![(ifindex, handle | 0xfff2), (ifindex, handle | 0xfff3)],
        _ if handle == 0 => Vec::new(),
        _ => vec![(ifindex, handle)],
    })
}

fn parse_filter(body: &[u8]) -> Option<Filter> {
    let (mut is_bpf, mut prog_id) = (false, None);
    for (kind, value) in attributes(body.get(TCMSG_BYTES..)?) {
        match kind {
            TCA_KIND => is_bpf = value == b"bpf\0",
            TCA_OPTIONS => {
                prog_id = attributes(value).find(|(kind, _)| *kind == TCA_BPF_ID).and_then(|(_, id)| u32_at(id, 0));
            }
            _ => {}
        }
    }
    let filter = |prog_id| {
        let priority = u32_at(body, 16)? >> 16;
        Some(Filter {
            ifindex: u32_at(body, 4)?,
            parent: u32_at(body, 12)?,
            priority,
            handle: u32_at(body, 8)?,
            prog_id,
        })
    };
    filter(prog_id.filter(|_| is_bpf)?)
}

fn parse_xdp(nested: &[u8]) -> XdpState {
    let (mut attached, mut prog, mut drv, mut skb) = (0, None, None, None);
    for (kind, value) in attributes(nested) {
        match kind {
            IFLA_XDP_ATTACHED => attached = value.first().copied().unwrap_or_default(),
            IFLA_XDP_PROG_ID => prog = u32_at(value, 0),
            IFLA_XDP_DRV_PROG_ID => drv = u32_at(value, 0),
            IFLA_XDP_SKB_PROG_ID => skb = u32_at(value, 0),
            _ => {}
        }
    }
    let one = |mode, prog_id: Option<u32>| {
        prog_id.map_or(XdpState::Other, |prog_id| XdpState::One(XdpAttached { mode, prog_id }))
    };
    match attached {
        0 => XdpState::Empty,
        XDP_ATTACHED_DRV => one(XdpMode::Native, drv.or(prog)),
        XDP_ATTACHED_SKB => one(XdpMode::Skb, skb.or(prog)),
        _ => XdpState::Other,
    }
}

fn io_call(call: &'static str) -> impl Fn(io::Error) -> CallError {
    move |error| CallError::of(call, "", &error)
}

/// Sends one request and hands every answering message to `each`, until the kernel says it is done. A dump that the
/// kernel calls inconsistent ends with `EINTR`: see [`dump`].
#[expect(clippy::large_stack_arrays, reason = "memory is never freed, and an inventory talks to many namespaces")]
fn talk(request: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
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
        let mut rest = &buffer[..got];
        while let (Some(len), Some(kind), Some(flags)) = (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6)) {
            if flags & NLM_F_DUMP_INTR != 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let body = rest.get(HEADER_BYTES..len as usize).ok_or(io::ErrorKind::InvalidData)?;
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let errno = u32_at(body, 0).ok_or(io::ErrorKind::InvalidData)?.cast_signed();
                    return if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-errno)) };
                }
                kind => each(kind, body),
            }
            rest = rest.get((len as usize).next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Dumps that others may spoil by what they change meanwhile, before giving up.
const MAX_DUMPS: usize = 10;

/// What `parse` makes of the answers to a request. A list that the kernel calls inconsistent is asked for again: for an
/// interface that is missing from it, programs would be detached.
fn dump<T>(call: &'static str, request: &[u8], mut parse: impl FnMut(u16, &[u8], &mut Vec<T>)) -> Call<Vec<T>> {
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

impl Kernel {
    /// All interfaces of this network namespace, by index.
    pub fn interfaces(&self) -> Call<Vec<Interface>> {
        self.enter("RTM_GETLINK")?;
        let request = Message::new(RTM_GETLINK, NLM_F_DUMP, 0).finish();
        let mut interfaces = dump("RTM_GETLINK", &request, |kind, body, found| {
            if kind == RTM_NEWLINK {
                found.extend(parse_link(body));
            }
        })?;
        interfaces.sort_unstable_by_key(|interface| interface.ifindex);
        Ok(interfaces)
    }

    /// Default routes of the main table, the best one first.
    pub fn default_routes(&self) -> Call<Vec<DefaultRoute>> {
        self.enter("RTM_GETROUTE")?;
        let request = Message::new(RTM_GETROUTE, NLM_F_DUMP, 0).finish();
        let mut routes = dump("RTM_GETROUTE", &request, |kind, body, found| {
            if kind == RTM_NEWROUTE {
                found.extend(parse_route(body));
            }
        })?;
        routes.sort_unstable();
        Ok(routes)
    }

    /// Filters of `cls_bpf` on all interfaces of this network namespace.
    pub fn filters(&self) -> Call<Vec<Filter>> {
        self.enter("RTM_GETQDISC")?;
        let qdiscs = Message::traffic(RTM_GETQDISC, 0, 0);
        let parents =
            dump("RTM_GETQDISC", &qdiscs, |_, body, found| found.extend(parse_qdisc(body).into_iter().flatten()))?;
        let mut filters = Vec::new();
        for (ifindex, parent) in parents {
            self.enter("RTM_GETTFILTER")?;
            let request = Message::traffic(RTM_GETTFILTER, ifindex, parent);
            filters.extend(dump("RTM_GETTFILTER", &request, |_, body, found| found.extend(parse_filter(body)))?);
        }
        Ok(filters)
    }

    /// Name of the driver of an interface, as `ethtool -i` shows it; empty if it has none.
    pub fn driver(&self, interface: &str) -> Call<String> {
        const SIOCETHTOOL: libc::c_ulong = 0x8946;
        const ETHTOOL_GDRVINFO: u32 = 3;
        self.enter("ETHTOOL_GDRVINFO")?;
        // `struct ethtool_drvinfo`: the command, then the driver's name in 32 bytes, then 160 bytes of other things.
        let mut info = [0u32; 49];
        info[0] = ETHTOOL_GDRVINFO;
        // `struct ifreq`: a name in 16 bytes, then an address; 40 bytes in all.
        let mut request = [0u64; 5];
        let mut name = [0; 16];
        for (to, from) in name[..15].iter_mut().zip(interface.bytes()) {
            *to = from;
        }
        let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| name[at + byte]));
        (request[0], request[1], request[2]) = (half(0), half(8), info.as_mut_ptr() as u64);
        // SAFETY: plain system calls; the request has the size of a `struct ifreq`, and its address leads to the 196
        // bytes of a `struct ethtool_drvinfo`.
        let result = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
            if fd < 0 {
                return Err(CallError::last("socket", ""));
            }
            let socket = OwnedFd::from_raw_fd(fd);
            libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, request.as_mut_ptr())
        };
        if result < 0 {
            let error = CallError::last("ETHTOOL_GDRVINFO", interface);
            let none = matches!(error.errno, libc::EOPNOTSUPP | libc::ENODEV);
            return if none { Ok(String::new()) } else { Err(error) };
        }
        let bytes: Vec<u8> = info[1..9].iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(text(bytes.split(|&byte| byte == 0).next().unwrap_or_default()))
    }

    /// Attaches `new` (or nothing) where exactly `expected` (or nothing) is attached; both at once or neither.
    ///
    /// `XDP_FLAGS_REPLACE` with an expected descriptor of -1 is the uniform first attach: a lost race is EEXIST, and
    /// EBUSY then always means a `bpf_link`. Seen on 6.1 and 6.12.
    pub fn xdp_swap(
        &self,
        ifindex: u32,
        mode: XdpMode,
        new: Option<BorrowedFd<'_>>,
        expected: Option<BorrowedFd<'_>>,
    ) -> Result<(), SwapError> {
        self.enter("RTM_SETLINK").map_err(SwapError::Call)?;
        let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |fd| fd.as_raw_fd()).to_ne_bytes();
        let mode = match mode {
            XdpMode::Native => XDP_FLAGS_DRV_MODE,
            XdpMode::Skb => XDP_FLAGS_SKB_MODE,
        };
        let mut xdp = Message(Vec::new());
        xdp.attribute(IFLA_XDP_FD, &raw(new));
        xdp.attribute(IFLA_XDP_FLAGS, &(XDP_FLAGS_REPLACE | mode).to_ne_bytes());
        xdp.attribute(IFLA_XDP_EXPECTED_FD, &raw(expected));
        let mut request = Message::new(RTM_SETLINK, NLM_F_ACK, ifindex);
        request.attribute(IFLA_XDP | NLA_F_NESTED, &xdp.0);
        talk(&request.finish(), |_, _| ()).map_err(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => SwapError::Raced,
            Some(libc::EBUSY) => SwapError::HeldByLink,
            _ => SwapError::Call(CallError::of("RTM_SETLINK", format!("XDP on interface {ifindex}"), &error)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_message_is_read() {
        let mut xdp = Message(Vec::new());
        xdp.attribute(IFLA_XDP_ATTACHED, &[XDP_ATTACHED_DRV]);
        xdp.attribute(IFLA_XDP_PROG_ID, &77u32.to_ne_bytes());
        let mut message = Message::new(RTM_NEWLINK, 0, 5);
        message.attribute(IFLA_IFNAME, b"eth0\0");
        message.attribute(IFLA_MTU, &1500u32.to_ne_bytes());
        message.attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]);
        message.attribute(IFLA_MASTER, &7u32.to_ne_bytes());
        let mut info = Message(Vec::new());
        info.attribute(IFLA_INFO_KIND, b"vlan\0");
        message.attribute(IFLA_LINKINFO, &info.0);
        message.attribute(IFLA_XDP | NLA_F_NESTED, &xdp.0);
        let want = Interface {
            name: "eth0".to_owned(),
            ifindex: 5,
            mtu: 1500,
            xdp: XdpState::One(XdpAttached { mode: XdpMode::Native, prog_id: 77 }),
            mac: [2, 0, 0, 0, 0, 1],
            permanent_mac: None,
            master: 7,
            lower: 0,
            kind: "vlan".to_owned(),
        };
        assert_eq!(parse_link(&message.finish()[HEADER_BYTES..]), Some(want));
    }

    /// As a network card in a bond, a bridge or Open vSwitch: seen with `virtio_net` behind `br-ex`.
    #[test]
    fn hardware_that_is_a_port_is_read() {
        const IFLA_INFO_SLAVE_KIND: u16 = 4;
        let mut message = Message::new(RTM_NEWLINK, 0, 2);
        message.attribute(IFLA_IFNAME, b"ens3\0");
        let mut info = Message(Vec::new());
        info.attribute(IFLA_INFO_SLAVE_KIND, b"openvswitch\0");
        message.attribute(IFLA_LINKINFO, &info.0);
        message.attribute(IFLA_MASTER, &3u32.to_ne_bytes());
        let read = parse_link(&message.finish()[HEADER_BYTES..]).unwrap();
        assert_eq!((read.name.as_str(), read.kind.as_str(), read.master), ("ens3", "", 3));
    }

    #[test]
    fn a_default_route_is_read() {
        let mut message = Message::new(RTM_NEWROUTE, 0, 0);
        message.0.truncate(HEADER_BYTES);
        message.0.extend([2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0]);
        message.attribute(6, &100u32.to_ne_bytes());
        message.attribute(4, &3u32.to_ne_bytes());
        let bytes = message.finish();
        let want = DefaultRoute { ipv6: false, metric: 100, ifindex: 3 };
        assert_eq!(parse_route(&bytes[HEADER_BYTES..]), Some(want));
        let mut other = bytes;
        other[HEADER_BYTES + 1] = 24; // to a network
        assert_eq!(parse_route(&other[HEADER_BYTES..]), None);
        assert_eq!(parse_route(&[]), None);
    }

    #[test]
    fn damaged_messages_are_no_panic() {
        let mut message = Message::new(RTM_NEWLINK, 0, 5);
        message.attribute(IFLA_IFNAME, b"eth0\0");
        let bytes = message.finish();
        for len in 0..bytes.len() {
            let _ = parse_link(&bytes[..len]);
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[0, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn the_loopback_interface_is_listed() {
        let interfaces = Kernel::new().interfaces().unwrap();
        assert!(interfaces.iter().any(|interface| interface.name == "lo" && interface.mtu > 0));
    }
}
