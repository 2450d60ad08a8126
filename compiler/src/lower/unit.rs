//! Unit text: the only output that is made of templates.
//!
//! In:   values. Out: text of systemd units.
//! May fail with: [`UnitError`], for a value that would change the meaning of its line.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use handlebars::Handlebars;
use serde::Serialize;

use super::ignition::NodeUnit;

/// Where `install` puts the loader: a directory whose files run as `bin_t` on RHCOS.
pub const LOADER_PATH: &str = "/usr/local/bin/nodebpf-loader";

/// What the loader may do as root. `CAP_SYS_ADMIN` is for opening programs and links by id.
const CAPABILITIES: &str = "CAP_BPF CAP_NET_ADMIN CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_RESOURCE";

/// A value that does not fit on a line of a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unit template `{0}` was given a line break, control character or `%`")]
pub struct UnitError(&'static str);

#[derive(Serialize)]
struct Values<'a> {
    loader_path: &'a str,
    capabilities: &'a str,
}

/// The units of `install`.
pub fn units() -> Result<Vec<NodeUnit>, UnitError> {
    let values = Values { loader_path: LOADER_PATH, capabilities: CAPABILITIES };
    let unit = |name, enabled, template| Ok(NodeUnit { name, enabled, content: render(name, template, &values)? });
    Ok(vec![
        unit("nodebpf.service", Some(true), include_str!("templates/nodebpf.service.hbs"))?,
        // Started by the disruption policy, never at boot: it has no [Install].
        unit("nodebpf-apply.service", None, include_str!("templates/nodebpf-apply.service.hbs"))?,
    ])
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
    let text = registry.render_template(template, values).expect("invariant: our templates fit their values");
    if refused.load(Ordering::Relaxed) { Err(UnitError(name)) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_line() {
        let render = |value: &str| {
            render("test", "ExecStart={{loader_path}}\n", &Values { loader_path: value, capabilities: "" })
        };
        assert_eq!(render("/bin/x").unwrap(), "ExecStart=/bin/x\n");
        for bad in ["/bin/x\nExecStartPost=/bin/sh", "/bin/%n", "a\rb", "a\0b"] {
            assert!(render(bad).is_err(), "case: {bad:?}");
        }
    }

    #[test]
    fn units_are_filled_in_and_carry_no_version() {
        for unit in units().unwrap() {
            assert!(!unit.content.contains("{{"), "{}", unit.name);
            assert!(unit.content.contains(LOADER_PATH), "{}", unit.name);
            assert!(!unit.content.contains(env!("CARGO_PKG_VERSION")), "{}: a version is a node action", unit.name);
        }
    }
}
