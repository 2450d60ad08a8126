//! Filters of `cls_bpf`: TC programs that are attached without TCX.
//!
//! Source: linux `include/uapi/linux/rtnetlink.h` (`struct tcmsg`), `include/uapi/linux/pkt_cls.h` (`TCA_BPF_*`).

use super::{
    Call, Kernel,
    netlink::{Message, attributes, dump, u32_at},
};

const RTM_GETQDISC: u16 = 38;
const RTM_GETTFILTER: u16 = 46;
const TCMSG_BYTES: usize = 20;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;

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

impl Kernel {
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
}
