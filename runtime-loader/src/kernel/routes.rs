//! Default routes: which interface leads to the rest of the world.
//!
//! Source: linux `include/uapi/linux/rtnetlink.h`, `struct rtmsg`.

use super::{
    Call, Kernel,
    netlink::{Message, NLM_F_DUMP, attributes, dump, u32_at},
};

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;

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

impl Kernel {
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
}

#[cfg(test)]
mod tests {
    use super::{super::netlink::HEADER_BYTES, *};

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
}
