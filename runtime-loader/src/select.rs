//! Select: which interfaces of this node a selector means.
//!
//! In: interfaces, default routes and drivers, looked at once. Out: the same answers for everybody in one run.
//!
//! `mac` is the address that the hardware came with: members of a bond all show the bond's. Only where no interface
//! came with it does the address of the moment count.
//! `primary` starts at the best default route (IPv4 first), at every next hop of it, and goes down: a VLAN to the
//! interface below it, a bond to its members, an internal port of Open vSwitch (`br-ex`) to the ports of the switch with
//! its address, which is how ovs-configuration makes it. So the answer is the same before and after `br-ex` exists.

use std::rc::Rc;

use nodeplan::{
    name::IfGlob,
    plan::NodePlan,
    report::{Code, Reason},
    selector::{Selector, Target},
    statement::Accepted,
};

use crate::kernel::{Call, CallError, Interface, Kernel};

/// Steps from a default route down to hardware.
const MAX_STEPS: usize = 8;

/// The interfaces of this network namespace at one moment.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    /// By index.
    pub all: Vec<Interface>,
    /// Indices of the physical uplinks.
    primary: Vec<u32>,
    /// Drivers by place in `all`; empty if nobody asks.
    drivers: Vec<String>,
    /// Interfaces that do not tell theirs, and why.
    untold: Vec<(u32, String)>,
}

/// Looks that renaming may spoil, before giving up.
const MAX_LOOKS: usize = 10;

/// Selectors of a plan.
fn selectors(plan: &NodePlan) -> Vec<&Selector> {
    let mut all = Vec::new();
    for attachment in plan.attachments() {
        all.extend(attachment.interfaces());
    }
    all
}

impl Interfaces {
    /// Looks, at what the selectors of these plans ask for.
    pub fn take(kernel: &Kernel, plans: &[Rc<Accepted>]) -> Call<Self> {
        let (mut routes, mut drivers) = (false, false);
        for plan in plans {
            for selector in selectors(plan) {
                routes |= selector.target == Target::Primary;
                drivers |= matches!(selector.target, Target::Driver(_));
            }
        }
        let mut found = Self { all: kernel.interfaces()?, ..Self::default() };
        for look in 0.. {
            if !drivers {
                break;
            }
            (found.drivers, found.untold) = (Vec::new(), Vec::new());
            for one in &found.all {
                // A card that is broken is no reason to do nothing on all others.
                found.drivers.push(kernel.driver(&one.name).unwrap_or_else(|error| {
                    found.untold.push((one.ifindex, format!("an interface does not tell its driver: {error}")));
                    String::new()
                }));
            }
            // Drivers are asked for by name: under another one it looks as if an interface had none, or another's.
            let now = kernel.interfaces()?;
            let renamed =
                |one: &&Interface| now.iter().any(|other| other.ifindex == one.ifindex && other.name != one.name);
            let Some(one) = found.all.iter().find(renamed) else { break };
            if look == MAX_LOOKS {
                return Err(CallError { call: "ETHTOOL_GDRVINFO", what: one.name.clone(), errno: libc::EAGAIN });
            }
            found.all = now;
        }
        if routes {
            for best in kernel.best_routes()? {
                found.primary.extend(below(&found.all, best.ifindex));
            }
        }
        Ok(found)
    }

    /// Takes over what an earlier look of the same run knew and this one does not. What a run has begun with it goes on
    /// with: half of it is done by then, and nothing but the whole is as it should be.
    pub fn remember(&mut self, former: &Self) {
        if self.primary.is_empty() {
            self.primary.clone_from(&former.primary);
        }
        for (one, driver) in self.all.iter().zip(&mut self.drivers) {
            for (was, told) in former.all.iter().zip(&former.drivers) {
                if was.ifindex == one.ifindex && driver.is_empty() && !told.is_empty() {
                    driver.clone_from(told);
                    self.untold.retain(|(other, _)| *other != one.ifindex);
                }
            }
        }
    }

    /// Whether a selector means this interface.
    pub fn means(&self, selector: &Selector, one: &Interface) -> bool {
        let target = match &selector.target {
            Target::Name(glob) => glob.matches(&one.name),
            Target::Primary => self.primary.contains(&one.ifindex),
            Target::Driver(driver) => {
                let at = self.all.iter().position(|other| other.ifindex == one.ifindex);
                at.and_then(|at| self.drivers.get(at)).is_some_and(|found| found == driver.as_str())
            }
            Target::Mac(mac) => {
                let mac = mac.bytes();
                let came_with = |one: &Interface| one.permanent_mac == Some(mac);
                if self.all.iter().any(came_with) { came_with(one) } else { one.mac == mac }
            }
            Target::MembersOf(bond) => {
                self.all.iter().any(|other| other.ifindex == one.master && other.name == bond.as_str())
            }
        };
        target && !selector.excludes(&one.name)
    }

    /// Whether any of the selectors means this interface.
    pub fn selects(&self, selectors: &[Selector], one: &Interface) -> bool {
        selectors.iter().any(|selector| self.means(selector, one))
    }

    /// Interfaces that any of the selectors means, by index.
    pub fn selected<'a>(&'a self, selectors: &'a [Selector]) -> impl Iterator<Item = &'a Interface> {
        self.all.iter().filter(move |one| self.selects(selectors, one))
    }

    /// Selectors of a plan that mean no interface, for people.
    pub fn absent(&self, plan: &NodePlan) -> Vec<String> {
        let mut absent = selectors(plan);
        absent.retain(|selector| !self.all.iter().any(|one| self.means(selector, one)));
        absent.iter().map(|selector| format!("`{selector}`")).collect()
    }

    /// Whether a plan asks for the uplink and no default route says which one that is.
    pub fn without_primary(&self, plan: &NodePlan) -> bool {
        self.primary.is_empty() && selectors(plan).iter().any(|selector| selector.target == Target::Primary)
    }

    /// Interfaces that do not tell their driver, and why, for people; none if a plan does not ask.
    pub fn untold(&self, plan: &NodePlan) -> &[(u32, String)] {
        let asks = selectors(plan).iter().any(|selector| matches!(selector.target, Target::Driver(_)));
        if asks { &self.untold } else { &[] }
    }

    /// Whether these selectors may have meant more than they mean now: the uplink without a default route, or an interface
    /// that does not tell its driver.
    pub fn unsure(&self, selectors: &[Selector]) -> bool {
        selectors.iter().any(|selector| match selector.target {
            Target::Primary => self.primary.is_empty(),
            Target::Driver(_) => !self.untold.is_empty(),
            Target::Name(_) | Target::Mac(_) | Target::MembersOf(_) => false,
        })
    }

    /// What only the node can tell of a plan: a reserved interface that a selector means, or one that a program would
    /// run on twice.
    pub fn refuse(&self, plan: &NodePlan, reserved: &[IfGlob]) -> Option<Reason> {
        for program in &plan.programs {
            for one in &self.all {
                let mut places: Vec<String> = Vec::new();
                for attachment in &program.attach {
                    let Some(selector) = attachment.interfaces().iter().find(|selector| self.means(selector, one))
                    else {
                        continue;
                    };
                    if let Some(glob) = reserved.iter().find(|glob| glob.matches(&one.name)) {
                        let message = format!(
                            "program `{}` selects `{}` by `{selector}`; `{glob}` is reserved by the trust file",
                            program.name, one.name
                        );
                        return Some(Reason { code: Code::Policy, message });
                    }
                    let place = attachment.place();
                    if places.contains(&place) {
                        let message =
                            format!("program `{}` would run twice at {place} of `{}`", program.name, one.name);
                        return Some(Reason { code: Code::Order, message });
                    }
                    places.push(place);
                }
            }
        }
        None
    }
}

/// Physical interfaces below one.
fn below(all: &[Interface], start: u32) -> Vec<u32> {
    let mut found = vec![start];
    for _ in 0..MAX_STEPS {
        let mut next = Vec::new();
        for &ifindex in &found {
            next.extend(step(all, ifindex));
        }
        if next == found {
            break;
        }
        found = next;
    }
    found
}

/// One step down; the same interface if there is nothing below.
fn step(all: &[Interface], ifindex: u32) -> Vec<u32> {
    let Some(one) = all.iter().find(|one| one.ifindex == ifindex) else { return Vec::new() };
    let ids = |wanted: &dyn Fn(&Interface) -> bool| -> Vec<u32> {
        all.iter().filter(|one| wanted(one)).map(|one| one.ifindex).collect()
    };
    let switch = |master: u32| all.iter().any(|other| other.ifindex == master && other.kind == "openvswitch");
    let down = match one.kind.as_str() {
        "vlan" => ids(&|other| other.ifindex == one.lower),
        "bond" | "team" => ids(&|other| other.master == ifindex),
        "openvswitch" => ids(&|other| other.kind != "openvswitch" && other.mac == one.mac && switch(other.master)),
        _ => Vec::new(),
    };
    if down.is_empty() { vec![ifindex] } else { down }
}

#[cfg(test)]
mod tests {
    use nodeplan::json;

    use super::*;
    use crate::kernel::XdpState;

    /// `name kind lower master mac`, by index from 1.
    fn node(lines: &[(&str, &str, u32, u32, u8)]) -> Vec<Interface> {
        lines
            .iter()
            .zip(1..)
            .map(|((name, kind, lower, master, mac), ifindex)| Interface {
                name: (*name).to_owned(),
                ifindex,
                mtu: 1500,
                xdp: XdpState::Empty,
                mac: [2, 0, 0, 0, 0, *mac],
                permanent_mac: None,
                master: *master,
                lower: *lower,
                kind: (*kind).to_owned(),
            })
            .collect()
    }

    #[test]
    fn primary_is_the_same_before_and_after_ovs() {
        let plain = node(&[("lo", "", 0, 0, 0), ("ens3", "", 0, 0, 3), ("ens4", "", 0, 0, 4)]);
        assert_eq!(below(&plain, 2), [2]);
        let ovs = node(&[
            ("lo", "", 0, 0, 0),
            ("ens3", "", 0, 4, 3),
            ("ens4", "", 0, 0, 4),
            ("ovs-system", "openvswitch", 0, 0, 9),
            ("br-ex", "openvswitch", 0, 0, 3),
            ("genev_sys_6081", "geneve", 0, 4, 8),
        ]);
        assert_eq!(below(&ovs, 5), [2]);
        // br-ex over a VLAN over a bond.
        let deep = node(&[
            ("ens3", "", 0, 3, 3),
            ("ens4", "", 0, 3, 3),
            ("bond0", "bond", 0, 0, 3),
            ("bond0.7", "vlan", 3, 5, 3),
            ("ovs-system", "openvswitch", 0, 0, 9),
            ("br-ex", "openvswitch", 0, 0, 3),
        ]);
        assert_eq!(below(&deep, 6), [1, 2]);
        assert_eq!(below(&deep, 99), [0u32; 0]);
        // Two VLANs on each other are not followed for ever.
        let circle = node(&[("a", "vlan", 2, 0, 1), ("b", "vlan", 1, 0, 1)]);
        assert_eq!(below(&circle, 1).len(), 1);
    }

    /// A driver that an interface does not tell any more is the one that it told in this run; one that it never told is none.
    #[test]
    fn what_was_seen_is_remembered() {
        let of = |drivers: [&str; 3], untold: &[u32], primary: Vec<u32>| Interfaces {
            all: node(&[("lo", "", 0, 0, 0), ("ens3", "", 0, 0, 3), ("ens4", "", 0, 0, 4)]),
            primary,
            drivers: drivers.map(str::to_owned).to_vec(),
            untold: untold.iter().map(|one| (*one, String::new())).collect(),
        };
        let former = of(["", "ice", ""], &[3], vec![2]);
        let mut now = of(["", "", ""], &[2, 3], vec![]);
        now.remember(&Interfaces::default());
        assert_eq!((now.primary.len(), now.untold.len()), (0, 2), "the first look has nothing to remember");
        now.remember(&former);
        assert_eq!((&now.primary, &now.drivers, now.untold.len()), (&vec![2], &former.drivers, 1));
        assert_eq!(now.untold[0].0, 3);
        let mut moved = of(["", "ice", ""], &[], vec![3]);
        moved.remember(&former);
        assert_eq!(moved.primary, [3], "a route that moved has moved");
    }

    #[test]
    fn selectors() {
        let mut all =
            node(&[("lo", "", 0, 0, 0), ("ens3", "", 0, 4, 7), ("ens4", "", 0, 4, 7), ("bond0", "bond", 0, 0, 7)]);
        all[1].permanent_mac = Some([2, 0, 0, 0, 0, 1]);
        let drivers = ["", "mlx5_core", "ice", ""].map(str::to_owned).to_vec();
        let interfaces = Interfaces { all, primary: vec![2, 3], drivers, untold: Vec::new() };
        for (text, want) in [
            (r#"{"name":"ens*"}"#, vec![2, 3]),
            (r#"{"name":"ens*","exclude":["ens4"]}"#, vec![2]),
            (r#"{"primary":true}"#, vec![2, 3]),
            (r#"{"primary":true,"exclude":["ens3"]}"#, vec![3]),
            (r#"{"driver":"ice"}"#, vec![3]),
            (r#"{"mac":"02:00:00:00:00:01"}"#, vec![2]),
            (r#"{"mac":"02:00:00:00:00:07"}"#, vec![2, 3, 4]),
            (r#"{"membersOf":"bond0"}"#, vec![2, 3]),
            (r#"{"membersOf":"bond1"}"#, vec![]),
        ] {
            let selectors = [json::parse::<Selector>(text.as_bytes(), 999).unwrap()];
            let got: Vec<u32> = interfaces.selected(&selectors).map(|one| one.ifindex).collect();
            assert_eq!(got, want, "case: {text}");
        }
    }
}
