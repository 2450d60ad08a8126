//! Gaps: what was taken out of a document, and which reports are only about that.
//!
//! In:   gaps, a report. Out: whether the gap explains the report. Cannot fail.

use std::collections::BTreeSet;

use crate::diag::{AnyCode, Code, Diagnostic};

/// Text of stand-ins. A report that quotes it is about a gap.
pub(super) const STAND_IN: &str = "nodebpf-stand-in";

/// Something that is missing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Gap {
    /// `metadata.name`, `metadata.owner` or `pools`.
    Identity,
    /// Another required value, or an optional one whose absence nobody minds.
    Value,
    /// `reference`.
    Reference,
    /// `expires`.
    Expires,
    /// A part of `appliesTo`.
    AppliesTo,
    /// A program.
    Program,
    /// An attachment, or all of a program.
    Attachment,
    /// A value of a variable.
    Global,
    /// A map, or all of them.
    Map,
}

/// All gaps of a document.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeSet<Gap>);

impl Gaps {
    pub(super) fn add(&mut self, gap: Gap) {
        self.0.insert(gap);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn identity(&self) -> bool {
        self.0.contains(&Gap::Identity)
    }

    /// Whether a report is about a stand-in, or may be there only because something is missing.
    pub(super) fn explain(&self, item: &Diagnostic) -> bool {
        let quoted = |text: &String| text.contains(STAND_IN);
        let mut labels = item.primary.iter().chain(&item.secondary);
        if labels.any(|label| label.span.is_nowhere() || quoted(&label.text)) {
            return true;
        }
        if quoted(&item.message) || item.notes.iter().chain(&item.helps).any(quoted) {
            return true;
        }
        let AnyCode::Compiler(code) = item.code else { return false };
        self.0.iter().any(|gap| follow_ups(*gap).contains(&code))
    }
}

/// What is said of a document because of a gap, whether it held for the whole document or not.
fn follow_ups(gap: Gap) -> &'static [Code] {
    match gap {
        Gap::Identity | Gap::Value | Gap::Global => &[],
        Gap::Reference => &[Code::NoReference],
        Gap::Expires => &[Code::NoExpiry, Code::NothingExpires, Code::LivesTooLong],
        Gap::AppliesTo => &[
            Code::ArchitectureMissing,
            Code::NeverOnRelease,
            Code::NeverOnKernel,
            Code::ReleaseLacks,
            Code::ReleaseUncertain,
        ],
        Gap::Program => &[
            Code::EmptyList,
            Code::BadSlot,
            Code::MapNotInObject,
            Code::NotReached,
            Code::KindUnknown,
            Code::AnchorUnknown,
        ],
        Gap::Attachment => &[Code::NotReached, Code::KindUnknown, Code::AnchorUnknown, Code::BadSlot],
        Gap::Map => &[
            Code::NotReached,
            Code::KindUnknown,
            Code::MapSize,
            Code::MapMemory,
            Code::MapRefused,
            Code::Consumer,
            Code::OverLimit,
        ],
    }
}
