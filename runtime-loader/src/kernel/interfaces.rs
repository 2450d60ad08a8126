//! Interfaces with their XDP state, and the swap of an XDP program with the old one expected.
//!
//! Source: linux `include/uapi/linux/if_link.h` (`IFLA_XDP*`, `XDP_FLAGS_*`), `net/core/rtnetlink.c`.

use std::os::fd::{AsRawFd, BorrowedFd};

use nodeplan::xdp::XdpMode;

use super::{
    Call, CallError, Kernel,
    netlink::{IFINFO_BYTES, Message, NLA_F_NESTED, NLM_F_DUMP, attributes, dump, talk, text, u32_at},
};
use crate::show;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const NLM_F_ACK: u16 = 0x04;
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

/// In the kernel's words if what stands on the interface has XDP: `dev_xdp_attach`, linux `net/core/dev.c`. The number is
/// that of a lost race, and every change gets it.
const UPPER: &str = "upper device";

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

impl Interface {
    /// One of which nothing is known but its index.
    pub(crate) fn bare(ifindex: u32) -> Self {
        Self {
            name: String::new(),
            ifindex,
            mtu: 0,
            xdp: XdpState::Empty,
            mac: [0; 6],
            permanent_mac: None,
            master: 0,
            lower: 0,
            kind: String::new(),
        }
    }

    /// Whether it stands on another one: as its bond, bridge or switch, or as a VLAN, macvlan or the like. What a veth
    /// names as `lower` is its peer, which may be in another network.
    pub fn stands_on(&self, lower: &Self) -> bool {
        self.ifindex == lower.master || (self.lower == lower.ifindex && show::has(&self.kind, "vlan"))
    }

    /// Whether an XDP program runs there.
    pub fn has_xdp(&self) -> bool {
        self.xdp != XdpState::Empty
    }
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

fn parse_link(body: &[u8]) -> Option<Interface> {
    let ifindex = u32_at(body, 4)?;
    let mut interface = Interface::bare(ifindex);
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
        talk(&request.finish(), &mut |_, _| ()).map_err(|refused| match refused.error.raw_os_error() {
            Some(libc::EEXIST) if !show::has(&refused.text, UPPER) => SwapError::Raced,
            Some(libc::EBUSY) => SwapError::HeldByLink,
            _ => {
                let mut what = format!("XDP on interface {ifindex}");
                if !refused.text.is_empty() {
                    what = format!("{what} (\"{}\")", refused.text);
                }
                SwapError::Call(CallError::of("RTM_SETLINK", what, &refused.error))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::netlink::HEADER_BYTES, *};

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
    fn damaged_messages_are_no_panic() {
        let mut message = Message::new(RTM_NEWLINK, 0, 5);
        message.attribute(IFLA_IFNAME, b"eth0\0");
        let bytes = message.finish();
        for len in 0..bytes.len() {
            let _ = parse_link(&bytes[..len]);
        }
    }

    #[test]
    fn the_loopback_interface_is_listed() {
        let interfaces = Kernel::new().interfaces().unwrap();
        assert!(interfaces.iter().any(|interface| interface.name == "lo" && interface.mtu > 0));
    }
}
