//! Place: an attachment and where each part of it was written.
//!
//! Everything behind [`super::check`] that judges attachments (conflicts, rights, order) speaks of places, so that its
//! reports point into the manifest.

use nodeplan::{hook::Attachment, selector::Selector};

use crate::source::{Span, Spanned};

/// One sound attachment and its places in the manifest.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What goes into the plan; its selectors are sorted.
    pub(crate) attachment: Attachment,
    /// The key that names the hook.
    pub(crate) hook: Span,
    /// What it is attached to: the key of the interfaces, or the name of the thing.
    pub(crate) span: Span,
    /// Selectors as they were written, in that order.
    pub(crate) interfaces: Vec<Spanned<Selector>>,
    /// The priority, or [`Place::span`].
    pub(crate) priority: Span,
    /// What says how: the XDP mode, the direction of tc or the cgroup's attach type, or where it would stand.
    pub(crate) variant: Span,
    /// What ends the chain: `proceedOn` or `verdicts`, or where it would stand.
    pub(crate) verdicts: Span,
    /// `before` and `after`, or where they would stand.
    pub(crate) anchors: [Span; 2],
}

impl Place {
    /// Two selectors, one of each place, that may mean one interface.
    pub(crate) fn meeting<'a>(&'a self, other: &'a Self) -> Option<(&'a Spanned<Selector>, &'a Spanned<Selector>)> {
        use nodeplan::selector::Overlap;
        self.interfaces.iter().find_map(|one| {
            let other = other.interfaces.iter().find(|other| one.value.overlap(&other.value) == Overlap::Perhaps)?;
            Some((one, other))
        })
    }
}
