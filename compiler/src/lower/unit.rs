//! Unit text and the udev rule: the only output that is made of templates.
//!
//! In:   values. Out: text of systemd units and of the rule.
//! May fail with: [`UnitError`], for a value that would change the meaning of its line.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use handlebars::Handlebars;
use serde::Serialize;

use super::ignition::NodeUnit;

/// Where a MachineConfig puts the loader: a directory whose files run as `bin_t` on RHCOS.
pub const LOADER_PATH: &str = "/usr/local/bin/nodebpf-loader";

/// Where an image has the loader: `/usr/local` is `/var/usrlocal` there, which is no part of an image.
pub const IMAGE_LOADER_PATH: &str = "/usr/bin/nodebpf-loader";

/// Beside the loader: what it starts for commands that only look.
pub const DIAG_PATH: &str = "/usr/local/bin/nodebpf-diag";

/// The same in an image.
pub const IMAGE_DIAG_PATH: &str = "/usr/bin/nodebpf-diag";

/// Name of the udev rule; behind `80-net-setup-link.rules`, which finds the driver of an interface.
pub const UDEV_RULE: &str = "90-nodebpf.rules";

/// What the loader may do as root. `CAP_SYS_ADMIN` is for opening programs and links by id.
const CAPABILITIES: &str = "CAP_BPF CAP_NET_ADMIN CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_RESOURCE";

/// Directory of what a boot forgets.
const RUN_PATH: &str = "/run/nodebpf";

/// What the udev rule touches, the path unit watches and each run removes.
const DIRTY_PATH: &str = "/run/nodebpf/dirty";

/// Units, whether they are enabled, and their templates. What has no `[Install]` must not say.
const UNITS: [(&str, Option<bool>, &str); 6] = [
    // Started by the disruption policy, the path unit and the timer.
    ("nodebpf-apply.service", None, include_str!("templates/nodebpf-apply.service.hbs")),
    ("nodebpf-apply.path", Some(true), include_str!("templates/nodebpf-apply.path.hbs")),
    ("nodebpf-apply.timer", Some(true), include_str!("templates/nodebpf-apply.timer.hbs")),
    ("nodebpf-early.service", Some(true), include_str!("templates/nodebpf-early.service.hbs")),
    ("nodebpf-gate.service", Some(true), include_str!("templates/nodebpf-gate.service.hbs")),
    ("nodebpf.service", Some(true), include_str!("templates/nodebpf.service.hbs")),
];

const PARTIALS: [(&str, &str); 2] =
    [("prepare", include_str!("templates/prepare.hbs")), ("sandbox", include_str!("templates/sandbox.hbs"))];

/// A value that does not fit on a line of a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{0}` was given a line break, control character or `%`")]
pub struct UnitError(&'static str);

/// How the loader and its units get onto a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// By a MachineConfig or an Ignition config, into `/etc` and `/usr/local`.
    MachineConfig,
    /// In the image of the node, below `/usr`.
    Image,
}

impl Carrier {
    /// Where the loader lies.
    pub fn loader_path(self) -> &'static str {
        match self {
            Self::MachineConfig => LOADER_PATH,
            Self::Image => IMAGE_LOADER_PATH,
        }
    }

    /// Where the binary for support lies.
    pub fn diag_path(self) -> &'static str {
        match self {
            Self::MachineConfig => DIAG_PATH,
            Self::Image => IMAGE_DIAG_PATH,
        }
    }
}

#[derive(Serialize)]
struct Values<'a> {
    loader_path: &'a str,
    diag_path: &'a str,
    capabilities: &'a str,
    run_path: &'a str,
    dirty_path: &'a str,
    /// Whether somebody replaces the loader without a label; an image has its labels.
    relabel: bool,
}

impl Values<'static> {
    fn of(carrier: Carrier) -> Self {
        Self {
            loader_path: carrier.loader_path(),
            diag_path: carrier.diag_path(),
            capabilities: CAPABILITIES,
            run_path: RUN_PATH,
            dirty_path: DIRTY_PATH,
            relabel: carrier == Carrier::MachineConfig,
        }
    }
}

/// The units of `install`, sorted by name.
pub fn units(carrier: Carrier) -> Result<Vec<NodeUnit>, UnitError> {
    let values = Values::of(carrier);
    UNITS
        .iter()
        .map(|(name, enabled, template)| {
            Ok(NodeUnit { name, enabled: *enabled, content: render(name, template, &values)? })
        })
        .collect()
}

/// Text of the udev rule.
pub fn udev_rule() -> Result<String, UnitError> {
    let template = include_str!("templates/90-nodebpf.rules.hbs");
    render(UDEV_RULE, template, &Values::of(Carrier::MachineConfig))
}

/// Units that pull `unit` in once it is enabled: the words of `WantedBy=`.
pub fn wanted_by(unit: &NodeUnit) -> Vec<&str> {
    let lists = unit.content.lines().filter_map(|line| line.strip_prefix("WantedBy="));
    lists.flat_map(str::split_whitespace).collect()
}

/// Strict: an unknown name in a template is an error, and so is a value that would end its line or start a specifier.
fn render(name: &'static str, template: &str, values: &impl Serialize) -> Result<String, UnitError> {
    let refused = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&refused);
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    registry.register_escape_fn(move |value| {
        if value.chars().any(|c| c.is_control() || c == '%') {
            flag.store(true, Ordering::Relaxed);
        }
        value.to_owned()
    });
    for (name, partial) in PARTIALS {
        registry.register_partial(name, partial).expect("invariant: our templates are well-formed");
    }
    let text = registry.render_template(template, values).expect("invariant: our templates fit their values");
    if refused.load(Ordering::Relaxed) { Err(UnitError(name)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_line() {
        let render = |value: &str| {
            let values = Values { loader_path: value, ..Values::of(Carrier::Image) };
            render("test", "ExecStart={{loader_path}}\n", &values)
        };
        assert_eq!(render("/bin/x").unwrap(), "ExecStart=/bin/x\n");
        for bad in ["/bin/x\nExecStartPost=/bin/sh", "/bin/%n", "a\rb", "a\0b"] {
            assert!(render(bad).is_err(), "case: {bad:?}");
        }
    }

    #[test]
    fn units_are_filled_in_and_carry_no_version() {
        for carrier in [Carrier::MachineConfig, Carrier::Image] {
            for unit in units(carrier).unwrap() {
                assert!(!unit.content.contains("{{"), "{}", unit.name);
                assert!(!unit.content.contains(env!("CARGO_PKG_VERSION")), "{}: a version is a node action", unit.name);
                assert_eq!(unit.name.ends_with(".service"), unit.content.contains(carrier.loader_path()));
                assert_eq!(unit.enabled.is_some(), !wanted_by(&unit).is_empty(), "{}", unit.name);
                assert!(!unit.content.contains("\n\n\n"), "{}:\n{}", unit.name, unit.content);
            }
        }
    }

    /// What kubelet requires must never be stopped, missing or masked by us; and the first boot may run an older kernel.
    #[test]
    fn nobody_requires_our_units_and_none_runs_before_the_pivot() {
        for unit in units(Carrier::MachineConfig).unwrap() {
            for word in ["RequiredBy=", "Requires=", "BindsTo=", "PartOf=", "Restart="] {
                assert!(!unit.content.lines().any(|line| line.starts_with(word)), "{}: {word}", unit.name);
            }
            let pivot = "ConditionPathExists=!/etc/ignition-machine-config-encapsulated.json\n";
            assert!(unit.content.contains(pivot), "{}", unit.name);
        }
    }

    /// `After=firstboot-osupdate.target` together with `Before=network-pre.target` is an ordering cycle.
    #[test]
    fn the_early_unit_does_not_wait_for_the_first_boot() {
        let units = units(Carrier::MachineConfig).unwrap();
        let early = units.iter().find(|unit| unit.name == "nodebpf-early.service").unwrap();
        let order = early.content.lines().filter(|line| line.starts_with("After="));
        assert!(order.clone().count() == 1 && !order.clone().any(|line| line.contains("firstboot")), "{early:?}");
    }
}
