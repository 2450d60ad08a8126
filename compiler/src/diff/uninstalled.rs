//! Uninstalled: pools that get streams, and nothing that would attach them.
//!
//! In:   the new side, what nodes of its pools do. Out: warnings. Cannot fail.
//!
//! Streams and installation often lie apart, so a side without any installation says nothing. One that has it for another
//! pool is a sign of a misspelled name, which no object and no operator would notice.

use super::{pools::PoolDiff, side::Side};
use crate::{
    diag::{one_of, visible},
    lower::{self, disruption::APPLY, unit::LOADER_PATH},
    mco::{
        policy::Action,
        render::{self, Rendered},
    },
};

/// Warnings, of each pool that has streams and no installation, own or inherited; those that change are doubted, too.
pub(super) fn warnings(new: &Side, changed: &mut [PoolDiff]) -> Vec<String> {
    // An image may bring it to any pool.
    if new.others.has_image() {
        return Vec::new();
    }
    let rendered = |pool: &String| render::render(&new.configs, Some(pool));
    let pools: Vec<_> = render::pools(&new.configs).into_iter().map(|pool| (rendered(&pool), pool)).collect();
    let installed: Vec<_> =
        pools.iter().filter(|(node, _)| is_installed(node)).map(|(_, pool)| pool.as_str()).collect();
    if installed.is_empty() {
        return Vec::new();
    }
    let having = one_of(installed);
    let mut warnings = Vec::new();
    for (_, pool) in pools.iter().filter(|(node, _)| has_streams(node) && !is_installed(node)) {
        for on in changed.iter_mut().filter(|diff| diff.pool == *pool).flat_map(|diff| &mut diff.outcomes) {
            if on.outcome.actions.contains(&Action::Restart(APPLY.to_owned())) {
                let doubt =
                    format!("nothing here brings {APPLY} to this pool: where nodes do not have it, the restart fails");
                on.outcome.warnings.push(doubt);
            }
        }
        warnings.push(format!(
            "pool `{}` has streams and no installation, own or inherited, though the new side has one for {having}: its nodes \
             run nothing of them, unless it comes from elsewhere; compare the names of `install --pool` and of the streams' \
             pools",
            visible(pool)
        ));
    }
    warnings
}

fn has_streams(node: &Rendered) -> bool {
    node.files.keys().any(|path| lower::is_bundle(path))
}

/// Either half of it; that the other one is missing, others say.
fn is_installed(node: &Rendered) -> bool {
    node.files.contains_key(LOADER_PATH) || node.units.contains_key(APPLY)
}
