//! Gate: what kubelet has to wait for. Pure.
//!
//! In: the streams that the trust file requires, the last report, which bundles are there. Out: those that are not
//! satisfied. A stream without a bundle is one that was removed, or never meant for this node.
//!
//! Only `requiredStreams` of the trust file hold a node back: a plan's `failurePolicy: closed` alone does not.

use nodeplan::{
    name::StreamName,
    report::{Report, StreamReport, StreamState},
    sorted::SortedSet,
};

/// Whether waiting longer makes no sense. `held` is among them: somebody with root on this node, or on its kernel
/// command line, said that the stream is not to be changed now, and no waiting changes that.
fn satisfied(state: StreamState) -> bool {
    match state {
        StreamState::Attached
        | StreamState::NotApplicable
        | StreamState::Expired
        | StreamState::Removed
        | StreamState::Held => true,
        StreamState::Pending | StreamState::Refused | StreamState::Failed | StreamState::Degraded => false,
    }
}

/// Required streams that are not satisfied, with what the report says of them.
pub fn missing<'a>(
    required: &'a SortedSet<StreamName>,
    report: Option<&'a Report>,
    has_bundle: &dyn Fn(&StreamName) -> bool,
) -> Vec<(&'a StreamName, Option<&'a StreamReport>)> {
    let said = |name: &StreamName| report?.streams.iter().find(|one| one.stream == *name);
    let all = required.iter().map(|name| (name, said(name)));
    all.filter(|(name, said)| said.map_or_else(|| has_bundle(name), |one| !satisfied(one.state))).collect()
}

/// One missing stream, for people.
pub fn words(name: &StreamName, said: Option<&StreamReport>) -> String {
    let Some(one) = said else { return format!("`{name}` has a bundle and is in no report: no run has seen it") };
    let why = one.reason.as_ref().map(|reason| format!(": {} {}", reason.code.as_str(), reason.message));
    format!("`{name}` is {}{}", one.state.as_str(), why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use nodeplan::json;

    use super::*;

    fn report(state: &str) -> Report {
        let text = format!(
            r#"{{"reportVersion":"1.0","loader":"0","kernel":"6","trust":{{}},"streams":[{{"stream":"a","state":"{state}"}}]}}"#
        );
        json::parse(text.as_bytes(), text.len()).unwrap()
    }

    #[test]
    fn a_required_stream_is_satisfied_or_waited_for() {
        let required: SortedSet<StreamName> = [StreamName::try_from("a").unwrap()].into();
        for (state, waits) in [
            ("attached", false),
            ("notApplicable", false),
            ("expired", false),
            ("removed", false),
            ("held", false),
            ("pending", true),
            ("refused", true),
            ("failed", true),
            ("degraded", true),
        ] {
            assert_eq!(!missing(&required, Some(&report(state)), &|_| true).is_empty(), waits, "{state}");
        }
        assert_eq!(missing(&required, None, &|_| true).len(), 1, "no run yet");
        assert!(missing(&required, None, &|_| false).is_empty(), "no bundle");
        let other: SortedSet<StreamName> = [StreamName::try_from("b").unwrap()].into();
        assert_eq!(missing(&other, Some(&report("attached")), &|_| true).len(), 1, "a stream that no report names");
        assert!(missing(&SortedSet::new(), None, &|_| true).is_empty(), "nothing required");
    }
}
