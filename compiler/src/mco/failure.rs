//! Failure: restarts that cannot work on the node as the change leaves it.
//!
//! In:   actions, rendered configs before and after. Out: [`Found`]. Cannot fail.
//!
//! MCO `pkg/daemon/update.go`, `performPostConfigChangeNodeDisruptionAction`: a restart that fails is an error of the whole
//! update; files and units go back, and the node is degraded.

use serde_json::Value;

use super::{
    changes::{Changes, How},
    policy::Action,
    render::Rendered,
};
use crate::{
    diag::visible,
    lower::unit::{Carrier, LOADER_PATH, units},
};

/// What is wrong with restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// They fail.
    pub failures: Vec<String>,
    /// They fail on nodes that do not get what is missing from elsewhere.
    pub doubts: Vec<String>,
}

/// How names of our units begin.
const OURS: &str = "nodebpf";

/// Units that every node has and that the operator's own policies restart.
const PLATFORM: [&str; 3] = ["crio.service", "kubelet.service", "coreos-update-ca-trust.service"];

/// Looks at each unit that `actions` restart or reload.
pub fn look(actions: &[Action], changes: &Changes, old: &Rendered, new: &Rendered) -> Found {
    let mut found = Found::default();
    let mut seen: Vec<&str> = Vec::new();
    for action in actions {
        let (Action::Restart(unit) | Action::Reload(unit)) = action else { continue };
        if !seen.contains(&unit.as_str()) {
            seen.push(unit);
            one(unit, changes, old, new, &mut found);
        }
    }
    found
}

fn one(unit: &str, changes: &Changes, old: &Rendered, new: &Rendered, found: &mut Found) {
    let shown = visible(unit);
    let mut fails = |why: String| {
        found
            .failures
            .push(format!("{shown} is restarted {why}: the restart fails, the node goes back and is degraded"));
    };
    let (was, is) = (old.units.get(unit), new.units.get(unit));
    if let Some(is) = is {
        if is.get("mask").and_then(Value::as_bool) == Some(true) {
            return fails("and masked".to_owned());
        }
        for path in executables(is) {
            let (had, has) = (old.files.contains_key(path), new.files.contains_key(path));
            if has || !(had || path == LOADER_PATH) {
                continue;
            }
            let shown_path = visible(path);
            if had || changes.units.get(unit) == Some(&How::Added) {
                return fails(format!("without {shown_path}, which it runs"));
            }
            found.doubts.push(doubt(&shown, &shown_path));
        }
        return;
    }
    // Without a file of its own the unit is one of the platform.
    if was.is_some_and(has_content) {
        return fails("and removed at once".to_owned());
    }
    if was.is_some() || PLATFORM.contains(&unit) {
        return;
    }
    if !unit.starts_with(OURS) {
        return found.doubts.push(doubt(&shown, "the unit"));
    }
    let known = units(Carrier::MachineConfig).is_ok_and(|units| units.iter().any(|known| known.name == unit));
    if !known {
        fails("and does not exist; `nodebpf install` writes no such unit".to_owned());
    } else if changes.files.get(LOADER_PATH) == Some(&How::Added) {
        fails("and nothing brings it; the loader comes with its units".to_owned());
    }
}

fn doubt(unit: &str, what: &str) -> String {
    format!("{unit} is restarted, and nothing here brings {what}: where a node does not have it, the restart fails")
}

fn has_content(unit: &Value) -> bool {
    unit.get("contents").and_then(Value::as_str).is_some_and(|contents| !contents.is_empty())
}

/// What a unit must be able to run; commands that may fail are left out.
fn executables(unit: &Value) -> Vec<&str> {
    let contents = unit.get("contents").and_then(Value::as_str).unwrap_or_default();
    let lines = contents.lines().filter_map(|line| {
        let (key, value) = line.trim().split_once('=')?;
        matches!(key.trim_end(), "ExecStart" | "ExecStartPre").then_some(value.trim_start())
    });
    lines.filter_map(must_run).collect()
}

/// Path of a command whose failure counts.
fn must_run(command: &str) -> Option<&str> {
    let word = command.split_whitespace().next()?;
    let path = word.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let may_fail = word[..word.len() - path.len()].contains('-');
    (!may_fail && path.starts_with('/')).then_some(path)
}
