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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// IPv6, which counts only where IPv4 has none.
    pub ipv6: bool,
    /// Lower is better.
    pub metric: u32,
    /// Index of the interface.
    pub ifindex: u32,
}

/// Adds what a `struct rtmsg` with attributes is as a default route, of the main table, unicast, to anywhere: one for each
/// of its next hops. `None`: it is none, or cut short.
fn parse_route(body: &[u8], found: &mut Vec<DefaultRoute>) -> Option<()> {
    const MAIN: u8 = 254;
    const UNICAST: u8 = 1;
    let &[family, destination_bits, _, _, table, _, _, kind, ..] = body else { return None };
    if destination_bits != 0 || table != MAIN || kind != UNICAST {
        return None;
    }
    let ipv6 = i32::from(family) == libc::AF_INET6;
    let (mut metric, first) = (0, found.len());
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            4 => found.push(DefaultRoute { ipv6, metric: 0, ifindex: u32_at(value, 0)? }), // RTA_OIF
            6 => metric = u32_at(value, 0)?,                                               // RTA_PRIORITY
            // RTA_MULTIPATH: a `struct rtnexthop` begins as an attribute does, with its length in two bytes and two more
            // (flags and weight), and goes on with an index.
            9 => {
                for (_, hop) in attributes(value) {
                    found.push(DefaultRoute { ipv6, metric: 0, ifindex: u32_at(hop, 0)? });
                }
            }
            _ => {}
        }
    }
    for one in &mut found[first..] {
        one.metric = metric;
    }
    Some(())
}

/// Keeps those that are as good as the best one.
fn keep_best(routes: &mut Vec<DefaultRoute>) {
    let mut best = None;
    for one in &*routes {
        if best.is_none_or(|best| (one.ipv6, one.metric) < best) {
            best = Some((one.ipv6, one.metric));
        }
    }
    routes.retain(|one| Some((one.ipv6, one.metric)) == best);
}

impl Kernel {
    /// Default routes of the main table, one for each next hop, the best ones: of one family and metric.
    pub fn best_routes(&self) -> Call<Vec<DefaultRoute>> {
        self.enter("RTM_GETROUTE")?;
        let request = Message::new(RTM_GETROUTE, NLM_F_DUMP, 0).finish();
        let mut routes = dump("RTM_GETROUTE", &request, |kind, body, found| {
            if kind == RTM_NEWROUTE {
                parse_route(body, found);
            }
        })?;
        keep_best(&mut routes);
        Ok(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::netlink::HEADER_BYTES, *};

    /// A `struct rtmsg` and attributes.
    fn route(family: i32, destination_bits: u8, table: u8, kind: u8, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Message::new(RTM_NEWROUTE, 0, 0);
        message.0.truncate(HEADER_BYTES);
        let family = u8::try_from(family).unwrap();
        message.0.extend([family, destination_bits, 0, 0, table, 0, 0, kind, 0, 0, 0, 0]);
        for (kind, value) in more {
            message.attribute(*kind, value);
        }
        message.finish()[HEADER_BYTES..].to_vec()
    }

    #[test]
    fn default_routes_are_read() {
        let (metric, out) = (100u32.to_ne_bytes(), 3u32.to_ne_bytes());
        let plain: &[(u16, &[u8])] = &[(6, &metric), (4, &out)];
        // Two `struct rtnexthop`: length, flags, hops, index.
        let hops = [&[8, 0, 0, 0][..], &out, &[8, 0, 0, 0], &9u32.to_ne_bytes()].concat();
        let of = |ipv6, metric, ifindex| DefaultRoute { ipv6, metric, ifindex };
        let found = |ipv6, metric| vec![of(ipv6, metric, 3)];
        let (v4, v6) = (libc::AF_INET, libc::AF_INET6);
        for (case, bytes, want) in [
            ("a metric", route(v4, 0, 254, 1, plain), found(false, 100)),
            ("no metric", route(v4, 0, 254, 1, &plain[1..]), found(false, 0)),
            ("IPv6", route(v6, 0, 254, 1, plain), found(true, 100)),
            ("two ways", route(v4, 0, 254, 1, &[(9, &hops)]), vec![of(false, 0, 3), of(false, 0, 9)]),
            ("a way cut short", route(v4, 0, 254, 1, &[(9, &hops[..14])]), found(false, 0)),
            ("to a network", route(v4, 24, 254, 1, plain), vec![]),
            ("another table", route(v4, 0, 100, 1, plain), vec![]),
            ("unreachable", route(v4, 0, 254, 7, plain), vec![]),
            ("no interface", route(v4, 0, 254, 1, &plain[..1]), vec![]),
            ("an index too short", route(v4, 0, 254, 1, &[(4, &out[..2])]), vec![]),
        ] {
            let mut found = Vec::new();
            parse_route(&bytes, &mut found);
            assert_eq!(found, want, "case: {case}");
            // Cut anywhere it is another route or none, and no panic.
            for len in 0..bytes.len() {
                let _ = parse_route(&bytes[..len], &mut Vec::new());
            }
        }
    }

    #[test]
    fn the_best_routes_are_kept() {
        let of = |ipv6, metric, ifindex| DefaultRoute { ipv6, metric, ifindex };
        let mut routes = vec![of(true, 1, 1), of(false, 200, 2), of(false, 100, 9), of(false, 100, 3)];
        keep_best(&mut routes);
        assert_eq!(routes, [of(false, 100, 9), of(false, 100, 3)]);
        let mut routes = vec![of(true, 2, 1), of(true, 1, 7)];
        keep_best(&mut routes);
        assert_eq!(routes, [of(true, 1, 7)]);
        keep_best(&mut Vec::new());
    }
}
