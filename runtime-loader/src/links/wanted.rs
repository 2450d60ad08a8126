//! Wanted: which links a plan wants on this node. Pure.

use std::ptr;

use nodeplan::{
    digest::{Sha256Digest, to_hex},
    hook::{Attachment, CgroupAttachment, Direction, TcAttachment, TracepointAttachment},
    name::ProgramName,
    plan::NodePlan,
    selector::Selector,
};

use super::{TCX_EGRESS, TCX_INGRESS};
use crate::{kernel::Interface, select::Interfaces};

/// Longest place in the name of a pin, in bytes: with a program's name it stays below 255 (`NAME_MAX`).
const PLACE_MAX_BYTES: usize = 110;

/// Where a link leads.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// An interface.
    Tcx {
        /// What the plan says.
        tc: &'a TcAttachment,
        /// Index of the interface.
        ifindex: u32,
        /// Name of the interface.
        interface: &'a str,
        /// Ingress or egress.
        attach_type: u32,
    },
    /// A cgroup.
    Cgroup(&'a CgroupAttachment),
    /// A tracepoint.
    Tracepoint(&'a TracepointAttachment),
    /// A kernel function.
    Probe {
        /// Its name.
        function: &'a str,
        /// Bytes from its start.
        offset: u64,
        /// At its return.
        at_return: bool,
    },
    /// A tracepoint, raw.
    Raw(&'a str),
    /// What the program was loaded for.
    Bound(&'a str),
}

/// A link that a plan wants.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Name of its pin.
    pub pin: String,
    /// Program.
    pub program: &'a ProgramName,
    /// Place.
    pub place: Place<'a>,
    /// What the plan says.
    pub attachment: &'a Attachment,
}

/// Links of a plan, in its order.
pub fn wanted<'a>(plan: &'a NodePlan, interfaces: &'a Interfaces) -> Vec<Wanted<'a>> {
    let mut list = Vec::new();
    add_all(&mut list, plan, &interfaces.all, &|selectors, one| interfaces.selects(selectors, one));
    list
}

/// Links by which a plan may run. Without default route, where `primary` was is not known, nor what `driver` means where
/// an interface does not tell its own: it may be anywhere, by what asks for it if no other attachment of the program means
/// that very place.
pub fn running<'a>(plan: &'a NodePlan, interfaces: &'a Interfaces) -> Vec<Wanted<'a>> {
    let mut list = wanted(plan, interfaces);
    if plan.attachments().iter().any(|one| interfaces.unsure(one.interfaces())) {
        add_all(&mut list, plan, &interfaces.all, &|selectors, _| interfaces.unsure(selectors));
        // While a network is set up again, what else is selected may not be there either.
        add_all(&mut list, plan, &interfaces.all, &|_, _| true);
    }
    list
}

fn add_all<'a>(list: &mut Vec<Wanted<'a>>, plan: &'a NodePlan, interfaces: &'a [Interface], on: &On<'_>) {
    for program in &plan.programs {
        for attachment in &program.attach {
            add(list, &program.name, attachment, interfaces, on);
        }
    }
}

/// Whether these selectors mean an interface.
type On<'a> = dyn Fn(&[Selector], &Interface) -> bool + 'a;

/// Links of one attachment, each place once.
pub fn add<'a>(
    list: &mut Vec<Wanted<'a>>,
    program: &'a ProgramName,
    attachment: &'a Attachment,
    interfaces: &'a [Interface],
    on: &On<'_>,
) {
    let first = list.len();
    let mut add = |place| {
        let pin = pin(attachment, &place, program);
        // Interfaces differ: the same place can only come by what was there before, and of the same program. There may be a
        // thousand of them.
        if list[..first].iter().all(|one| !ptr::eq(one.program, program) || one.pin != pin) {
            list.push(Wanted { pin, program, place, attachment });
        }
    };
    match attachment {
        Attachment::Xdp(_) => {}
        Attachment::Tc(tc) => {
            let attach_type = match tc.direction {
                Direction::Ingress => TCX_INGRESS,
                Direction::Egress => TCX_EGRESS,
            };
            for one in interfaces.iter().filter(|one| on(&tc.interfaces, one)) {
                add(Place::Tcx { tc, ifindex: one.ifindex, interface: &one.name, attach_type });
            }
        }
        Attachment::Cgroup(at) => add(Place::Cgroup(at)),
        Attachment::Tracepoint(at) => add(Place::Tracepoint(at)),
        Attachment::RawTracepoint(at) => add(Place::Raw(at.name.as_str())),
        Attachment::Kprobe(at) => {
            add(Place::Probe { function: at.function.as_str(), offset: at.offset, at_return: false });
        }
        Attachment::Kretprobe(at) => {
            add(Place::Probe { function: at.function.as_str(), offset: 0, at_return: true });
        }
        Attachment::BtfTracepoint(at) => add(Place::Bound(at.name.as_str())),
        Attachment::Fentry(at) | Attachment::Fexit(at) => add(Place::Bound(at.function.as_str())),
        Attachment::Lsm(at) => add(Place::Bound(at.hook.as_str())),
    }
}

/// The name of a pin: equal for equal places and programs, different for others. The BPF file system refuses dots.
fn pin(attachment: &Attachment, place: &Place<'_>, program: &ProgramName) -> String {
    let mut text = attachment.place();
    if let Place::Tcx { ifindex, .. } = place {
        text.push(' ');
        text.push_str(&ifindex.to_string());
    }
    let mut name = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'+' => name.push(char::from(byte)),
            b' ' => name.push(','),
            b'/' => name.push(':'),
            other => {
                name.push('%');
                name.push_str(&to_hex(&[other]));
            }
        }
    }
    if name.len() > PLACE_MAX_BYTES {
        name.truncate(PLACE_MAX_BYTES - 17);
        name.push('~');
        name.push_str(&Sha256Digest::of(text.as_bytes()).to_string()[..16]);
    }
    name.push('_');
    name.push_str(program.as_str());
    name
}

#[cfg(test)]
mod tests {
    use nodeplan::json;

    use super::*;

    /// Without default route a program that is attached by two attachments has one link to each place: by the attachment
    /// that means it, else by the one that asks for `primary`.
    #[test]
    fn without_default_route_a_place_is_one_link() {
        let object = Sha256Digest::of(b"object");
        let at = |selector: &str, priority: u16| {
            format!(
                r#"{{"tc":{{"interfaces":[{{{selector}}}],"direction":"ingress","priority":{priority},
                "verdicts":["next"]}}}}"#
            )
        };
        let attach = [at(r#""name":"eth1""#, 520), at(r#""primary":true"#, 510)].join(",");
        let text = format!(
            r#"{{"planVersion":"1.1","stream":"s","owner":"o","revision":1,"intent":"feature","pools":["worker"],
            "appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{{"name":"p",
            "object":{{"sha256":"{object}","sourceSha256":"{object}"}},"attach":[{attach}]}}]}}"#
        );
        let plan = NodePlan::parse(text.as_bytes()).unwrap();
        let interface =
            |ifindex, name: &str| Interface { name: name.to_owned(), mtu: 1500, ..Interface::bare(ifindex) };
        let mut interfaces = Interfaces::default();
        interfaces.all = vec![interface(2, "eth0"), interface(3, "eth1")];
        let mut found: Vec<_> = running(&plan, &interfaces)
            .into_iter()
            .map(|one| (one.pin, one.attachment.priority().unwrap().get()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [("tc,ingress,2_p".to_owned(), 510), ("tc,ingress,3_p".to_owned(), 520)]);
        assert_eq!(wanted(&plan, &interfaces).len(), 1, "what is to be attached is what is selected");
    }

    #[test]
    fn a_pin_names_place_and_program() {
        let long = format!(r#"{{"cgroup":{{"path":"/{}","attachType":"connect4"}}}}"#, "x".repeat(200));
        for (text, want) in [
            (r#"{"cgroup":{"path":"/a.slice/b-c_d","attachType":"connect4"}}"#, "cgroup,connect4,:a%2eslice:b-c_d_p"),
            (r#"{"tracepoint":{"category":"sched","name":"sched_switch"}}"#, "tracepoint,sched:sched_switch_p"),
            (r#"{"kprobe":{"function":"tcp_connect","offset":16}}"#, "kprobe,tcp_connect+0x10_p"),
            (&long, &format!("cgroup,connect4,:{}~7c09747a59ad45f2_p", "x".repeat(PLACE_MAX_BYTES - 17 - 17))),
        ] {
            let attachment: Attachment = json::parse(text.as_bytes(), 999).unwrap();
            let program = ProgramName::try_from("p").unwrap();
            assert_eq!(pin(&attachment, &Place::Bound(""), &program), want);
        }
    }
}
