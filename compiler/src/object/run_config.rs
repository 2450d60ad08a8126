//! `.xdp_run_config`: the place in a chain that an object asks for, in libxdp's words.
//!
//! In:   BTF. Out: [`RunConfig`]s, by program. Cannot fail: what is not written that way is not listed.
//!
//! Source: xdp-tools `lib/libxdp/protocol.org`, "Specifying metadata for component programs": a variable `_NAME` in
//! section `.xdp_run_config`, a struct whose members are pointers to arrays, whose lengths are the values.

use std::collections::BTreeMap;

use nodeplan::xdp::XdpAction;

use super::types::{Types, kind};

/// What an object says about one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Priority, if it is given.
    pub priority: Option<u32>,
    /// Verdicts after which the chain goes on; `None` if none is named.
    pub proceed_on: Option<Vec<XdpAction>>,
}

/// All of an object.
pub fn read(types: &Types<'_>) -> BTreeMap<String, RunConfig> {
    let section =
        types.iter().find(|(id, found)| found.kind() == kind::DATASEC && types.name(*id) == ".xdp_run_config");
    let Some((_, section)) = section else { return BTreeMap::new() };
    section
        .variables()
        .filter_map(|(variable, _, _)| {
            let name = types.name(variable).strip_prefix('_')?;
            Some((name.to_owned(), read_one(types, types.strip(types.get(variable).word))))
        })
        .collect()
}

fn read_one(types: &Types<'_>, id: u32) -> RunConfig {
    let mut config = RunConfig::default();
    for member in types.get(id).members() {
        let pointer = types.get(types.strip(member.type_id));
        let array = (pointer.kind() == kind::PTR).then(|| types.get(types.strip(pointer.word)).array()).flatten();
        let Some((_, _, value)) = array else { continue };
        let action = match types.string(member.name) {
            "priority" => {
                config.priority = Some(value);
                continue;
            }
            "XDP_ABORTED" => XdpAction::Aborted,
            "XDP_DROP" => XdpAction::Drop,
            "XDP_PASS" => XdpAction::Pass,
            "XDP_TX" => XdpAction::Tx,
            "XDP_REDIRECT" => XdpAction::Redirect,
            _ => continue,
        };
        let actions = config.proceed_on.get_or_insert_default();
        if value != 0 {
            actions.push(action);
        }
    }
    config
}
