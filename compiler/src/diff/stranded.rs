//! Stranded: streams that go together with what would detach them.
//!
//! In:   what nodes of a pool get before and after, what they do. Out: what goes, in words. Cannot fail.
//!
//! The loader alone detaches programs, and `nodebpf-apply.service` alone runs it after a change. The operator removes
//! files and units and stops nothing; no unit of ours has a command for being stopped. So what is attached stays until a
//! boot, by which pins and links end.

use serde_json::Value;

use super::pools::PoolDiff;
use crate::{
    lower::{disruption::APPLY, unit::LOADER_PATH},
    mco::{outcome::Verdict, render::Rendered},
};

/// Why nobody detaches what leaves a pool, if nobody does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stranded {
    what: &'static str,
    /// On some of the releases nodes boot.
    some_boot: bool,
}

impl Stranded {
    /// `None` if the loader stays, or all nodes boot.
    pub(super) fn of(was: &Rendered, is: &Rendered, pool: Option<&PoolDiff>) -> Option<Self> {
        let what = if was.files.contains_key(LOADER_PATH) && !is.files.contains_key(LOADER_PATH) {
            "the loader"
        } else if runs(was) && !runs(is) {
            APPLY
        } else {
            return None;
        };
        let verdicts: Vec<_> = pool?.outcomes.iter().map(|on| &on.outcome.verdict).collect();
        let boots = verdicts.iter().filter(|verdict| ***verdict == Verdict::Reboot).count();
        (boots < verdicts.len()).then_some(Self { what, some_boot: boots > 0 })
    }

    /// What to mind.
    pub(super) fn warning(&self) -> String {
        let until = if self.some_boot {
            "where nodes do not boot, it runs until they do"
        } else {
            "it runs until the next boot"
        };
        format!(
            "{} goes too: nobody detaches the stream, and {until}; remove the streams first, and the installation when \
             nodes are without them",
            self.what
        )
    }
}

/// Whether nodes have the unit, and not masked.
fn runs(rendered: &Rendered) -> bool {
    rendered.units.get(APPLY).is_some_and(|unit| unit.get("mask").and_then(Value::as_bool) != Some(true))
}
