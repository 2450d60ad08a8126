use std::{fs::File, path::PathBuf};

use nodeplan::plan::NodePlan;

use super::*;
use crate::state::Program;

fn plan(revision: u32, on_removal: &str, on_expiry: &str) -> Rc<Accepted> {
    let object = Sha256Digest::of(b"object");
    let text = format!(
        r#"{{"planVersion":"1.0","stream":"s","owner":"o","revision":{revision},"intent":"feature","pools":["worker"],
        "appliesTo":{{}},"onExpiry":"{on_expiry}","onRemoval":"{on_removal}","programs":[{{"name":"p",
        "object":{{"sha256":"{object}","sourceSha256":"{object}"}},"attach":[{{"xdp":{{"interfaces":[{{"name":"eth0"}}],
        "mode":"native","priority":1,"proceedOn":["pass"]}}}}]}}]}}"#
    );
    let plan = NodePlan::parse(text.as_bytes()).unwrap();
    Rc::new(Accepted::parse(nodeplan::statement::encode(&plan)).unwrap())
}

fn version(committed: Option<&str>, id: u32, plan: Option<Rc<Accepted>>) -> Version {
    let fd = Rc::new(File::open("/dev/null").unwrap().into());
    Version {
        committed: committed.map(|text| Sha256Digest::of(text.as_bytes())),
        dir: PathBuf::from(format!("/pins/{id}")),
        programs: SortedMap::from([("p".try_into().unwrap(), Program { id, fd })]),
        plan,
        forbidden: None,
    }
}

fn reason(code: Code) -> Reason {
    Reason { code, message: "why".to_owned() }
}

/// Revoked: a bundle of which nothing is known.
fn forbidden() -> Verdict {
    Verdict::Forbidden { reason: reason(Code::Revoked), statement: Sha256Digest::of(b"new"), known: false }
}

fn goal(stream: &Stream) -> &'static str {
    match stream.goal {
        Goal::Load(_) => "load",
        Goal::Run(_) => "run",
        Goal::Keep => "keep",
        Goal::End => "end",
    }
}

/// What ran is forbidden, and its successor fails: where nothing took its place, where something did, and when that fails,
/// too.
#[test]
fn what_is_forbidden_is_nothing_to_go_back_to() {
    let forbidden = || {
        let mut old = version(Some("a"), 1, Some(plan(1, "detach", "detach")));
        old.forbidden = Some(Reason { code: Code::Revoked, message: "it is revoked".to_owned() });
        old
    };
    for swapped in [false, true] {
        let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![forbidden()]);
        stream.swapped.set(swapped);
        stream.fail(reason(Code::HeldByLink));
        assert_eq!((stream.state, goal(&stream)), (StreamState::Failed, "end"), "swapped: {swapped}");
        assert_eq!(stream.program_ids(), SortedSet::from([1, 2]), "both versions have to go");
        assert!(stream.reason.as_ref().unwrap().message.contains("; what ran is forbidden: NB1107 it is revoked"));
        stream.fail(reason(Code::Kernel));
        assert_eq!((stream.state, goal(&stream)), (StreamState::Degraded, "keep"), "swapped: {swapped}");
    }
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![forbidden()]);
    stream.lose(reason(Code::TooManyPrograms));
    assert_eq!(goal(&stream), "end", "without room");
    // A crash left two versions: the one that may run stays, and does not go for the other one.
    let good = version(Some("b"), 3, Some(plan(2, "detach", "detach")));
    let mut stream = with_bundle(Verdict::Refused(reason(Code::BundleDamaged)), vec![forbidden(), good]);
    stream.stay();
    let Goal::Run(target) = &stream.goal else { panic!("{}", goal(&stream)) };
    assert_eq!((stream.state, target.plan.revision.get()), (StreamState::Refused, 2));
    // Without a record only its statement is known: that is enough.
    let bare = Version { plan: None, ..forbidden() };
    let mut stream = with_bundle(Verdict::Refused(reason(Code::BundleDamaged)), vec![bare]);
    stream.stay();
    assert_eq!(goal(&stream), "end");
}

/// The rows of the event table that do not need a signed bundle; those that do are in the guest tests.
#[test]
fn events_of_a_stream_that_runs() {
    use StreamState::{Attached, Refused, Removed};
    let ran = |on_removal| vec![version(Some("a"), 1, Some(plan(1, on_removal, "detach")))];
    let cases = [
        ("damaged", with_bundle(Verdict::Refused(reason(Code::BundleDamaged)), ran("detach")), Refused, "keep"),
        ("revoked", with_bundle(forbidden(), ran("detach")), Refused, "end"),
        ("revoked, keep", with_bundle(forbidden(), ran("keep")), Refused, "keep"),
        ("absent", without_bundle(ran("detach"), None), Removed, "end"),
        ("absent, keep", without_bundle(ran("keep"), None), Removed, "keep"),
        ("directory unreadable", without_bundle(ran("detach"), Some("is absent")), Attached, "keep"),
        ("absent, no record", without_bundle(vec![version(Some("a"), 1, None)], None), Removed, "end"),
    ];
    for (name, stream, state, want) in cases {
        assert_eq!((stream.state, goal(&stream)), (state, want), "case: {name}");
    }
}

/// What is forbidden is done as asked if the node had accepted it: it runs, or the node remembers it.
#[test]
fn what_was_accepted_and_is_forbidden_now_is_withdrawn() {
    for (name, ran, statement, known, withdrawn) in [
        ("it runs", Some("a"), "a", false, true),
        ("it is remembered", None, "a", true, true),
        ("another one runs", Some("a"), "b", false, false),
        ("another one runs, and this one is remembered", Some("a"), "b", true, true),
        ("nothing is known of it", None, "a", false, false),
    ] {
        let before = ran.map(|ran| version(Some(ran), 1, Some(plan(1, "detach", "detach"))));
        let statement = Sha256Digest::of(statement.as_bytes());
        for code in [Code::Revoked, Code::BelowFloor, Code::Audience] {
            let verdict = Verdict::Forbidden { reason: reason(code), statement, known };
            let mut stream = with_bundle(verdict, before.clone().into_iter().collect());
            assert_eq!((stream.state, goal(&stream)), (StreamState::Refused, "end"), "case: {name}");
            assert_eq!(stream.is_withdrawn(), withdrawn, "case: {name}");
            assert_eq!(stream.accepted, withdrawn.then_some(statement), "case: {name}");
            // What was to end and does not is no success.
            stream.fail(reason(Code::Kernel));
            assert!(!stream.is_withdrawn(), "case: {name}");
        }
    }
}

#[test]
fn an_absent_directory_is_not_one_that_cannot_be_read() {
    for (strangers, words) in [(vec![], "is absent"), (vec![reason(Code::Read)], "cannot be read")] {
        let before = vec![version(Some("a"), 1, Some(plan(1, "detach", "detach")))];
        let bundles = Bundles { verdicts: SortedMap::new(), directory_read: false, strangers };
        let streams = decide(bundles, [("s".try_into().unwrap(), before)].into(), &Holds::default());
        let stream = streams.values().next().unwrap();
        assert_eq!((stream.state, goal(stream)), (StreamState::Attached, "keep"), "{words}");
        let message = &stream.reason.as_ref().unwrap().message;
        assert!(message.contains(&format!("the directory of bundles {words};")), "{message}");
    }
}

fn run_of(version: Version) -> Goal {
    let statement = version.committed.unwrap_or(Sha256Digest::of(b"new"));
    Goal::Run(Box::new(Target { statement, plan: plan(2, "detach", "detach"), version }))
}

#[test]
fn a_failed_update_goes_back_to_what_ran() {
    let old = version(Some("a"), 1, Some(plan(1, "detach", "detach")));
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![old]);
    stream.fail(reason(Code::Kernel));
    assert_eq!(stream.state, StreamState::Failed);
    let Goal::Run(target) = &stream.goal else { panic!("{}", goal(&stream)) };
    assert_eq!(target.statement, Sha256Digest::of(b"a"));
    assert_eq!(stream.program_ids(), SortedSet::from([1, 2]), "the programs of the failed version have to go");
    stream.fail(reason(Code::Kernel));
    assert_eq!((stream.state, goal(&stream)), (StreamState::Degraded, "keep"));
    assert_eq!(stream.reason.unwrap().code, Code::Undo);
}

#[test]
fn without_a_record_the_new_version_stays_where_it_took_a_place() {
    for (swapped, state, want) in [(false, StreamState::Failed, "end"), (true, StreamState::Degraded, "keep")] {
        let old = version(Some("a"), 1, None);
        let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![old]);
        stream.swapped.set(swapped);
        stream.fail(reason(Code::Kernel));
        assert_eq!((stream.state, goal(&stream)), (state, want), "swapped: {swapped}");
    }
    let mut first = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![]);
    first.swapped.set(true);
    first.fail(reason(Code::Kernel));
    assert_eq!((first.state, goal(&first)), (StreamState::Failed, "end"), "nothing ran before");
}

#[test]
fn a_failed_first_version_goes_away() {
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![]);
    stream.fail(reason(Code::HeldByLink));
    assert_eq!((stream.state, goal(&stream)), (StreamState::Failed, "end"));
    assert_eq!(stream.program_ids(), SortedSet::from([2]));
}

#[test]
fn a_version_that_runs_and_fails_elsewhere_stays_where_it_is() {
    let here = version(Some("a"), 1, Some(plan(1, "detach", "detach")));
    let mut stream = Stream::new(run_of(here.clone()), StreamState::Attached, None, vec![here]);
    stream.fail(reason(Code::HeldByLink));
    assert_eq!((stream.state, goal(&stream)), (StreamState::Failed, "keep"));
}

#[test]
fn who_loses_its_room_goes_back_to_what_ran_then_off_and_may_regain_it() {
    let old = version(Some("a"), 1, Some(plan(1, "detach", "detach")));
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![old]);
    stream.lose(reason(Code::TooManyPrograms));
    let Goal::Run(target) = &stream.goal else { panic!("{}", goal(&stream)) };
    assert_eq!((stream.state, target.statement), (StreamState::Failed, Sha256Digest::of(b"a")));
    stream.lose(reason(Code::TooManyPrograms));
    assert_eq!((stream.state, goal(&stream)), (StreamState::Failed, "end"));
    assert_eq!(stream.program_ids(), SortedSet::from([1, 2]), "the programs of both versions have to go");
    stream.regain();
    let Goal::Run(target) = &stream.goal else { panic!("{}", goal(&stream)) };
    assert_eq!((stream.state, target.statement), (StreamState::Attached, Sha256Digest::of(b"new")));
    assert!(stream.reason.is_none() && stream.before.len() == 1, "as if it had never lost");
    // What failed, or is gone, regains nothing.
    stream.lose(reason(Code::TooManyPrograms));
    stream.lose(reason(Code::TooManyPrograms));
    stream.is_lost();
    stream.regain();
    assert_eq!(goal(&stream), "end");
    let here = version(Some("a"), 1, Some(plan(1, "detach", "detach")));
    let mut stream = Stream::new(run_of(here.clone()), StreamState::Attached, None, vec![here]);
    stream.lose(reason(Code::TooManyPrograms));
    assert_eq!(goal(&stream), "end", "the version that runs goes");
    stream.fail(reason(Code::Kernel));
    stream.regain();
    assert_eq!((stream.state, goal(&stream)), (StreamState::Degraded, "keep"));
}

/// What ran has no record, and went while the stream had no room: its new version is all there is.
#[test]
fn who_regains_its_room_knows_what_was_swapped_meanwhile() {
    let old = version(Some("a"), 1, None);
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![old]);
    stream.lose(reason(Code::TooManyPrograms));
    stream.swapped.set(true);
    stream.regain();
    assert_eq!((stream.state, goal(&stream)), (StreamState::Attached, "run"));
    stream.fail(reason(Code::Kernel));
    assert_eq!((stream.state, goal(&stream)), (StreamState::Degraded, "keep"));
}

/// Off on one interface, and the next one refuses: back to both, or said to be neither here nor there.
#[test]
fn a_removal_that_stops_halfway_is_taken_back() {
    use StreamState::{Degraded, Failed, Held, Refused, Removed};
    for (case, state, record, swapped, forgotten, want) in [
        ("before the first swap", Removed, true, false, false, (Failed, "keep", Code::Kernel)),
        ("after it", Removed, true, true, false, (Failed, "run", Code::Kernel)),
        ("detached by hand", Held, true, true, false, (Degraded, "keep", Code::Undo)),
        ("no record", Removed, false, true, false, (Degraded, "keep", Code::Undo)),
        ("forbidden", Refused, true, true, false, (Degraded, "keep", Code::Undo)),
        ("pins gone", Removed, true, true, true, (Failed, "keep", Code::Kernel)),
    ] {
        let before = version(Some("a"), 1, record.then(|| plan(1, "detach", "detach")));
        let why = (state == Refused).then(|| reason(Code::Revoked));
        let mut stream = Stream::new(Goal::End, state, why, vec![before]);
        stream.swapped.set(swapped);
        if forgotten {
            stream.is_lost();
        }
        stream.fail(reason(Code::Kernel));
        let code = stream.reason.as_ref().unwrap().code;
        assert_eq!((stream.state, goal(&stream), code), want, "case: {case}");
        if let Goal::Run(target) = &stream.goal {
            assert_eq!(target.version.programs.values().next().unwrap().id, 1, "case: {case}");
        }
    }
}

#[test]
fn a_missing_feature_is_a_refusal() {
    let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![]);
    stream.fail(reason(Code::FeatureMissing));
    assert_eq!(stream.state.exit(stream.reason.map(|reason| reason.code)).code(), 4);
}

/// Each row of the event table that says what becomes of what runs.
#[test]
fn the_table_decides() {
    for event in Event::ALL {
        for keep in [false, true] {
            let (on_removal, on_expiry) = if keep { ("keep", Ending::Keep) } else { ("detach", Ending::Detach) };
            let before = vec![version(Some("a"), 1, Some(plan(1, on_removal, "detach")))];
            let run = run_of(version(None, 2, None));
            let stream = row(*event, None, before, on_expiry, Some(run));
            let want = match event.running() {
                Running::Replaced => "run",
                Running::Keeps | Running::KeepsTheRest | Running::AsBefore | Running::Unknown => "keep",
                Running::ByOnRemoval | Running::ByOnExpiry if keep => "keep",
                Running::ByOnRemoval | Running::ByOnExpiry | Running::Detached => "end",
            };
            assert_eq!((stream.state, goal(&stream)), (event.state(), want), "row: {}", event.words());
            // A refusal that was asked for is none: `is_withdrawn`.
            let exit = if *event == Event::Withdrawn { Event::Forbidden.exit() } else { event.exit() };
            assert_eq!(stream.state.exit(None).max(exit), exit, "row: {}", event.words());
        }
    }
}

#[test]
fn a_failure_comes_to_the_state_of_its_row() {
    for code in [Code::Kernel, Code::Verifier, Code::LostRace, Code::FeatureMissing, Code::Policy] {
        let mut stream = Stream::new(run_of(version(None, 2, None)), StreamState::Attached, None, vec![]);
        stream.fail(reason(code));
        assert_eq!(stream.state, Event::of_failure(code).state(), "{}", code.as_str());
    }
}

#[test]
fn a_held_stream_stays_as_it_is() {
    let name = StreamName::try_from("s").unwrap();
    let running = || SortedMap::from([(name.clone(), vec![version(Some("a"), 1, Some(plan(1, "detach", "detach")))])]);
    let bundles = |verdict: Option<Verdict>| Bundles {
        verdicts: verdict.into_iter().map(|verdict| (name.clone(), verdict)).collect(),
        directory_read: true,
        strangers: Vec::new(),
    };
    let mut off = Holds::default();
    off.off = true;
    let refused = || Verdict::Refused(reason(Code::BundleDamaged));
    for (case, bundles, holds, state, want) in [
        ("gone", bundles(None), &off, StreamState::Held, "keep"),
        ("gone and not held", bundles(None), &Holds::default(), StreamState::Removed, "end"),
        ("damaged", bundles(Some(refused())), &off, StreamState::Held, "keep"),
        ("revoked", bundles(Some(forbidden())), &off, StreamState::Refused, "end"),
    ] {
        let streams = decide(bundles, running(), holds);
        let stream = streams.get(&name).unwrap();
        assert_eq!((stream.state, goal(stream)), (state, want), "case: {case}");
        if state == StreamState::Held {
            let held = stream.reason.as_ref().unwrap();
            assert_eq!(held.message.contains("NB1101"), case == "damaged", "{}", held.message);
        }
    }
    // Forbidden, and its plan says `onRemoval: keep`: an administrator can end it all the same.
    let detach = Hold { detach: true, words: String::new() };
    for (case, hold, want) in [("held", Hold::default(), "keep"), ("held and detached", detach, "end")] {
        let running = SortedMap::from([(name.clone(), vec![version(Some("a"), 1, Some(plan(1, "keep", "detach")))])]);
        let streams = decide(bundles(Some(forbidden())), running, &Holds::everything(hold));
        let stream = streams.get(&name).unwrap();
        assert_eq!((stream.state, goal(stream)), (StreamState::Refused, want), "case: {case}");
    }
    let detached = held(
        Stream::new(Goal::Keep, StreamState::Attached, None, vec![]),
        &Hold { detach: true, words: String::new() },
    );
    assert_eq!(goal(&detached), "end");
}

#[test]
fn a_run_is_about_the_streams_of_its_scope() {
    let name = StreamName::try_from("s").unwrap();
    let normal = Stream::new(
        Goal::Keep,
        StreamState::Attached,
        None,
        vec![version(Some("a"), 1, Some(plan(1, "detach", "detach")))],
    );
    let unknown = Stream::new(Goal::Keep, StreamState::Refused, None, vec![]);
    let only = |text: &str| Scope::Only([StreamName::try_from(text).unwrap()].into());
    for (case, scope, stream, want) in [
        ("all", Scope::All, &unknown, true),
        ("early", Scope::Early, &normal, false),
        ("early, no plan known", Scope::Early, &unknown, false),
        ("by name", only("s"), &normal, true),
        ("another name", only("t"), &normal, false),
    ] {
        assert_eq!(scope.has(&name, stream), want, "case: {case}");
    }
}

#[test]
fn staged_versions_do_not_share_a_directory() {
    let name = StreamName::try_from("s").unwrap();
    let first = crate::state::staged_dir(&name, &[]);
    let mut left = version(None, 1, None);
    left.dir.clone_from(&first);
    assert_ne!(crate::state::staged_dir(&name, &[left]), first);
}
