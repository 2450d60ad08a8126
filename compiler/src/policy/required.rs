//! Required streams of a policy, and how long kubelet waits for them.
//!
//! In:   the raw policy and its owners, as far as they are sound. Out: names and seconds.
//! May fail with: NB0301, NB0302, NB0305, NB0306 (names, numbers, lists), NB0650 (nobody's, or of an owner that may not
//! hold back kubelet).
//!
//! Not here: on which pools a required stream may be ([`crate::check`], by the manifest's pools).

use nodeplan::{
    name::{OwnerName, StreamName},
    sorted::{SortedMap, SortedSet},
    trust::{HOLD_SECONDS, HOLD_SECONDS_MAX, OwnerTrust},
};

use super::raw;
use crate::{
    check::metadata_names as names,
    diag::{Code, Diagnostic, Diagnostics},
    source::Spanned,
};

type Owners = SortedMap<OwnerName, OwnerTrust>;

pub(super) fn check(
    spec: &raw::Spec,
    owners: Option<&Owners>,
    diags: &mut Diagnostics,
) -> Option<(SortedSet<StreamName>, u16)> {
    let streams = match &spec.required_streams {
        Some(list) => names::<StreamName>(list, "requiredStreams", "stream name", diags),
        None => Some(Vec::new()),
    };
    let seconds = spec.hold_seconds.as_ref().map_or(Some(HOLD_SECONDS), |number| seconds(number, diags));
    let (streams, owners) = (streams?, owners?);
    let before = diags.error_count();
    for stream in &streams {
        owned(stream, owners, diags);
    }
    let streams = streams.into_iter().map(|stream| stream.value).collect();
    Some((streams, seconds?)).filter(|_| diags.error_count() == before)
}

fn seconds(number: &Spanned<i64>, diags: &mut Diagnostics) -> Option<u16> {
    let seconds = u16::try_from(number.value).ok().filter(|seconds| (1..=HOLD_SECONDS_MAX).contains(seconds));
    if seconds.is_none() {
        let message = format!("`holdSeconds` must be from 1 to {HOLD_SECONDS_MAX}, not {}", number.value);
        diags.push(Diagnostic::error(Code::OutOfRange, message).at(number.span, "out of range"));
    }
    seconds
}

/// A stream that nobody can sign would be waited for in vain; and whoever may not hold back kubelet by a stream's own
/// `failurePolicy` may not do it by being required either.
fn owned(stream: &Spanned<StreamName>, owners: &Owners, diags: &mut Diagnostics) {
    let mine = |owner: &&OwnerTrust| owner.streams.iter().any(|glob| glob.matches(&stream.value));
    let found = owners.iter().find(|(_, owner)| mine(owner));
    let (message, help) = match found {
        Some((_, owner)) if owner.may_close => return,
        Some((name, _)) => (
            format!("`{}` is required, but owner `{name}` may not hold back kubelet", stream.value),
            format!("write `mayClose: true` at owner `{name}`, or remove the stream from `requiredStreams`"),
        ),
        None => (
            format!("`{}` is required, but belongs to no owner", stream.value),
            "let a glob of one owner's `streams` match it".to_owned(),
        ),
    };
    diags.push(
        Diagnostic::error(Code::RequiredStream, message)
            .at(stream.span, "kubelet would wait for this stream")
            .help(help),
    );
}
