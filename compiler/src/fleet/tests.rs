use std::collections::BTreeMap;

use nodeplan::report::Code;
use proptest::prelude::*;

use super::{
    clock::{self, Time},
    judge::{Agreed, Table, Verdict, Voice, judge},
    *,
};
use crate::lock::Lock;

pub(super) const STATEMENT: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// The report of a run, as the loader writes it.
pub(super) fn report(streams: &str) -> String {
    format!(r#"nodebpf-report {{"reportVersion":"1.1","loader":"0.1.0","kernel":"5.14.0","streams":[{streams}]}}"#)
}

pub(super) fn stream(name: &str, state: &str, revision: u32, statement: &str) -> String {
    format!(r#"{{"stream":"{name}","state":"{state}","revision":{revision},"statement":"{statement}"}}"#)
}

pub(super) fn fleet(lines: &[&str]) -> Fleet {
    let mut fleet = Fleet::default();
    for line in lines {
        fleet.line(line.as_bytes());
    }
    fleet.end();
    fleet
}

#[test]
fn without_reports_the_page_says_so() {
    let table = judge(&fleet(&["Nov 22 10:00:00 n1 kubelet[1]: hello"]), &Agreed::default());
    assert_eq!(text::print(&table), "no reports: nothing is known of any node\n");
    assert!(!table.right);
}

/// Node and revision of its only stream.
fn revisions(fleet: &Fleet) -> Vec<(String, Option<u32>)> {
    let revision = |said: &Said| Some(said.summary.as_ref().ok()?.streams.first()?.revision?.get());
    fleet.nodes.iter().map(|(node, said)| (node.clone(), revision(said))).collect()
}

#[test]
fn every_form_of_a_line_is_read() {
    let message = report(&stream("s", "attached", 7, STATEMENT));
    let escaped = serde_json::to_string(&message).unwrap();
    let bytes = serde_json::to_string(message.as_bytes()).unwrap();
    for (name, line, node) in [
        ("short", format!("Nov 22 10:00:00 n1 nodebpf-loader[123]: {message}"), "n1"),
        ("short, day of one digit", format!("Nov  2 10:00:00 n1 nodebpf-loader[123]: {message}"), "n1"),
        ("short, without pid", format!("Nov 22 10:00:00 n1 nodebpf-loader: {message}"), "n1"),
        ("short-precise", format!("Nov 22 10:00:00.123456 n1 nodebpf-loader[1]: {message}"), "n1"),
        ("short-iso", format!("2026-11-22T10:00:00+0000 n1 nodebpf-loader[1]: {message}"), "n1"),
        ("short-iso-precise", format!("2026-11-22T10:00:00.123456+01:00 n1 nodebpf-loader[1]: {message}"), "n1"),
        ("short-full", format!("Sun 2026-11-22 10:00:00 UTC n1 nodebpf-loader[1]: {message}"), "n1"),
        ("short-unix", format!("1795341600.123456 n1 nodebpf-loader[1]: {message}"), "n1"),
        ("oc", format!("n1.example.com Nov 22 10:00:00 n1 nodebpf-loader[123]: {message}"), "n1.example.com"),
        ("oc, name like a number", format!("10.0.0.1 Nov 22 10:00:00 n1 nodebpf-loader[123]: {message}"), "10.0.0.1"),
        ("json", format!(r#"{{"_HOSTNAME":"n1","MESSAGE":{escaped}}}"#), "n1"),
        ("json, own program", format!(r#"{{"_COMM":"nodebpf-loader","_HOSTNAME":"n1","MESSAGE":{escaped}}}"#), "n1"),
        ("json, bytes", format!(r#"{{"_HOSTNAME":"n1","MESSAGE":{bytes}}}"#), "n1"),
        ("oc, json", format!(r#"n1.example.com {{"_HOSTNAME":"n1","MESSAGE":{escaped}}}"#), "n1.example.com"),
        ("with a carriage return", format!("Nov 22 10:00:00 n1 nodebpf-loader[123]: {message}\r"), "n1"),
    ] {
        assert_eq!(revisions(&fleet(&[&line])), [(node.to_owned(), Some(7))], "case: {name}");
    }
    for (name, line) in [
        ("another program", format!("Nov 22 10:00:00 n1 sshd[1]: {message}")),
        ("another program by journal", format!(r#"{{"_COMM":"sshd","_HOSTNAME":"n1","MESSAGE":{escaped}}}"#)),
        ("quoted", format!("Nov 22 10:00:00 n1 nodebpf-loader[1]: said {message}")),
        ("no report", "Nov 22 10:00:00 n1 nodebpf-loader[1]: attached".to_owned()),
        ("json of others", r#"{"_HOSTNAME":"n1","MESSAGE":"x"}"#.to_owned()),
        ("no message", r#"{"_HOSTNAME":"n1"}"#.to_owned()),
        ("null", r#"{"_HOSTNAME":"n1","MESSAGE":null}"#.to_owned()),
        ("a boot", "-- Boot 1 --".to_owned()),
        ("nothing", String::new()),
    ] {
        assert_eq!(fleet(&[&line]), Fleet::default(), "case: {name}");
    }
    for (name, line) in [
        ("-o cat", message.clone()),
        ("a name with control characters", format!(r#"{{"_HOSTNAME":"n\u001b[2J","MESSAGE":{escaped}}}"#)),
    ] {
        let fleet = fleet(&[&line]);
        assert_eq!((fleet.nodes.len(), fleet.nameless), (0, 1), "case: {name}");
    }
}

/// The contract: what nodeplan writes of a run is what is read here, whatever the state and the reason.
#[test]
fn every_report_of_the_loader_is_read() {
    use nodeplan::report::{REPORT_VERSION, SUMMARY_PREFIX, StreamState, StreamSummary};
    let states =
        ["attached", "pending", "notApplicable", "expired", "held", "refused", "failed", "degraded", "removed"];
    let summary = |state: StreamState, code: Code| Summary {
        report_version: REPORT_VERSION,
        loader: "0.1.0".to_owned(),
        kernel: "5.14.0".to_owned(),
        trust: Some(3),
        problems: vec![code],
        streams: vec![StreamSummary {
            stream: "s".try_into().unwrap(),
            state,
            revision: None,
            statement: None,
            code: Some(code),
        }],
    };
    for word in states {
        let state: StreamState = json::parse(format!("\"{word}\"").as_bytes(), 100).unwrap();
        for code in Code::ALL {
            let wanted = summary(state, *code);
            let text = String::from_utf8(json::to_bytes(&wanted)).unwrap();
            let fleet = fleet(&[&format!("Nov 22 10:00:00 n nodebpf-loader[1]: {SUMMARY_PREFIX}{text}")]);
            assert_eq!(fleet.nodes["n"].summary, Ok(wanted), "case: {word} {}", code.as_str());
        }
    }
}

#[test]
fn the_newest_line_counts_by_time_and_else_by_order() {
    let short = |time: &str, revision| {
        format!("{time} n nodebpf-loader[1]: {}", report(&stream("s", "attached", revision, STATEMENT)))
    };
    let json = |micros: &str, revision| {
        let message = serde_json::to_string(&report(&stream("s", "attached", revision, STATEMENT))).unwrap();
        format!(r#"{{"_HOSTNAME":"n","__REALTIME_TIMESTAMP":"{micros}","MESSAGE":{message}}}"#)
    };
    for (name, first, second, want) in [
        ("in order", short("Nov 22 10:00:00", 1), short("Nov 22 10:00:01", 2), 2),
        ("newest first, as journalctl -r", short("Nov 22 10:00:01", 2), short("Nov 22 10:00:00", 1), 2),
        ("across the year", short("Jan  1 00:00:01", 2), short("Dec 31 23:59:59", 1), 2),
        ("across the year, in order", short("Dec 31 23:59:59", 1), short("Jan  1 00:00:01", 2), 2),
        ("equal times: by order", short("Nov 22 10:00:00", 1), short("Nov 22 10:00:00", 2), 2),
        ("microseconds", short("Nov 22 10:00:00.2", 2), short("Nov 22 10:00:00.199999", 1), 2),
        ("json", json("1795341600000001", 2), json("1795341600000000", 1), 2),
        ("zones", short("2026-11-22T10:00:00+0100", 1), short("2026-11-22T09:30:00Z", 2), 2),
        ("zones, newest first", short("2026-11-22T09:30:00Z", 2), short("2026-11-22T10:00:00+0100", 1), 2),
        ("json and iso", json("1795341600000001", 2), short("2026-11-22T09:00:00Z", 1), 2),
        ("two kinds: by order", json("1795341600000001", 1), short("Nov 22 09:00:00", 2), 2),
    ] {
        assert_eq!(revisions(&fleet(&[&first, &second])), [("n".to_owned(), Some(want))], "case: {name}");
    }
    assert_eq!(clock::read(&["2026-11-22T10:00:00+0000"]), Some((Time::Full(1_795_341_600_000_000), 1)));
    for bad in
        [&["Nov", "32", "10:00:00"][..], &["Nov", "2", "25:00:00"], &["Nov"], &["x"], &["2026-13-01T00:00:00"], &[]]
    {
        assert_eq!(clock::read(bad), None, "case: {bad:?}");
    }
}

/// What `journalctl -o json` prints of a node: the JSON fields of when, and the revision.
pub(super) fn json_line(when: &str, revision: u32) -> String {
    let message = serde_json::to_string(&report(&stream("s", "attached", revision, STATEMENT))).unwrap();
    format!(r#"{{"_HOSTNAME":"n",{when},"MESSAGE":{message}}}"#)
}

/// A clock that was ahead, by a dead battery or before chrony: what the node says after it was set is newer.
#[test]
fn a_clock_that_was_ahead_hides_nothing() {
    let short = |time: &str, revision| {
        format!("{time} n nodebpf-loader[1]: {}", report(&stream("s", "attached", revision, STATEMENT)))
    };
    let uptime = |micros: u64, boot: &str, uptime: u64| {
        format!(
            r#""__REALTIME_TIMESTAMP":"{micros}","_BOOT_ID":"{boot}","__MONOTONIC_TIMESTAMP":"{uptime}","_COMM":"nodebpf-loader""#
        )
    };
    let number = |micros: u64, number: u64| {
        format!(r#""__REALTIME_TIMESTAMP":"{micros}","__SEQNUM_ID":"j","__SEQNUM":"{number}""#)
    };
    let (ahead, set) = (2_000_000_000_000_000, 1_795_341_600_000_000);
    let iso = |hour: u32, revision| short(&format!("2026-11-22T{hour:02}:00:00Z"), revision);
    for (name, lines, want, stepped) in [
        ("by uptime", vec![json_line(&uptime(ahead, "b", 1), 1), json_line(&uptime(set, "b", 2), 2)], 2, true),
        (
            "by uptime, newest first",
            vec![json_line(&uptime(set, "b", 2), 2), json_line(&uptime(ahead, "b", 1), 1)],
            2,
            true,
        ),
        ("by number", vec![json_line(&number(ahead, 1), 1), json_line(&number(set, 2), 2)], 2, true),
        ("by number, newest first", vec![json_line(&number(set, 2), 2), json_line(&number(ahead, 1), 1)], 2, true),
        (
            "another boot: by the order, which those of one boot tell",
            vec![
                json_line(&uptime(ahead, "a", 7), 1),
                json_line(&uptime(ahead + 1, "a", 8), 2),
                json_line(&uptime(set, "b", 1), 3),
            ],
            3,
            true,
        ),
        ("short, by the order of most lines", vec![iso(3, 1), iso(4, 2), iso(1, 3), iso(2, 4)], 4, true),
        ("short, newest first", vec![iso(2, 4), iso(1, 3), iso(4, 2), iso(3, 1)], 4, true),
        ("short, only one pair: newest first, as its times say", vec![iso(4, 2), iso(1, 1)], 2, false),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let fleet = fleet(&lines);
        assert_eq!(revisions(&fleet), [("n".to_owned(), Some(want))], "case: {name}");
        assert_eq!(fleet.stepped.contains("n"), stepped, "case: {name}");
        // Said in each case in which nothing but times decides that lines run backwards.
        assert_eq!(fleet.newest_first > 0, name.starts_with("short") && name.contains("newest first"), "case: {name}");
    }
    // Of two files the newer one counts, whichever comes first; and the boot knows better than the clock.
    for (name, first, second, want) in [
        ("by time", iso(2, 2), iso(1, 1), 2),
        ("by uptime", json_line(&uptime(ahead, "b", 1), 1), json_line(&uptime(set, "b", 2), 2), 2),
        ("by uptime, other order", json_line(&uptime(set, "b", 2), 2), json_line(&uptime(ahead, "b", 1), 1), 2),
    ] {
        let mut fleet = fleet(&[&first]);
        fleet.line(second.as_bytes());
        fleet.end();
        assert_eq!(revisions(&fleet), [("n".to_owned(), Some(want))], "case: {name}");
        assert!(fleet.stepped.is_empty() && fleet.newest_first == 0, "case: {name}");
    }
}

/// `journalctl -o json` without `--all` prints `null` for a long message: that is a report, and not the one before it.
#[test]
fn a_report_that_journalctl_left_out_is_not_passed_over() {
    let long = |more: &str, micros: u64| {
        format!(r#"{{"_HOSTNAME":"n",{more}"__REALTIME_TIMESTAMP":"{micros}","MESSAGE":null}}"#)
    };
    let old = json_line(r#""__REALTIME_TIMESTAMP":"1""#, 1);
    let id = r#""MESSAGE_ID":"1479c30662d14fe79cfe51842e18dd2f","#;
    for (name, more, ours) in [
        ("by id", id.to_owned(), true),
        ("by id and program", format!(r#"{id}"_COMM":"nodebpf-loader","#), true),
        ("by program", r#""_COMM":"nodebpf-loader","#.to_owned(), true),
        ("another message of ours", r#""_COMM":"nodebpf-loader","MESSAGE_ID":"x","#.to_owned(), false),
        ("another program", format!(r#"{id}"_COMM":"sshd","#), false),
        ("nobody's", String::new(), false),
    ] {
        let table = judge(&fleet(&[&old, &long(&more, 2)]), &Agreed::default());
        assert_eq!((table.nodes[0].voice == Voice::Unreadable, table.right), (ours, !ours), "case: {name}");
        assert_eq!(
            text::print(&table).contains("n: journalctl prints messages of more than 4096 bytes only with --all"),
            ours
        );
        let mended =
            judge(&fleet(&[&long(&more, 2), &json_line(r#""__REALTIME_TIMESTAMP":"3""#, 2)]), &Agreed::default());
        assert!(mended.right, "case: {name}");
    }
}

#[test]
fn a_report_is_as_old_as_its_line_says() {
    let now = nodeplan::time::Timestamp::try_from("2027-01-01T00:10:00Z").unwrap();
    for (name, time, minutes, stale) in [
        ("fresh", "2027-01-01T00:00:00Z", 15, false),
        ("old", "2027-01-01T00:00:00Z", 9, true),
        ("without a year: of the last one", "Dec 31 23:59:00", 15, false),
        ("without a year, old", "Dec 31 23:50:00", 15, true),
        ("without a year, half a year ago", "Jul  1 00:00:00", 60 * 24 * 100, true),
        ("a leap day, of 2024", "Feb 29 00:00:00", 60 * 24 * 365, true),
        ("from the future: of a clock that nobody can believe", "2027-03-01T00:00:00Z", 15, true),
        ("a little ahead", "2027-01-01T00:11:00Z", 15, false),
    ] {
        let line = format!("{time} n nodebpf-loader[1]: {}", report(&stream("s", "attached", 1, STATEMENT)));
        let fleet = fleet(&[&line]);
        let table = judge(&fleet, &Agreed { age: Some((now, minutes * 60)), ..Agreed::default() });
        assert_eq!((table.nodes[0].stale, table.right), (stale, !stale), "case: {name}");
        let text = text::print(&table);
        assert!(text.contains(&format!("{time}{}\n", if stale { ", stale" } else { "" })), "case {name}: {text}");
        assert_eq!(text.contains("1 stale"), stale, "case {name}: {text}");
        assert!(judge(&fleet, &Agreed::default()).right, "nobody asked: {name}");
    }
    let line = format!("n nodebpf-loader[1]: {}", report(""));
    let table = judge(&fleet(&[&line]), &Agreed { age: Some((now, 60)), ..Agreed::default() });
    assert!(table.nodes[0].stale, "without a time nobody knows");
}

/// A lock with stream `s` for workers and `m` for masters.
pub(super) fn lock() -> Lock {
    let chain = |stream: &str| {
        format!(
            "  - place: xdp\n    interfaces: ens3\n    order:\n    - {{priority: 1, stream: {stream}, program: p, owner: o}}\n"
        )
    };
    let agreed = |stream: &str, revision| {
        format!(
            "  {stream}: {{owner: o, revision: {revision}, statement: '{STATEMENT}', programs: {{p: '{STATEMENT}'}}}}\n"
        )
    };
    let text = format!(
        "apiVersion: nodebpf.io/v1alpha1\nkind: BpfLock\npools:\n  worker:\n{}  master:\n{}streams:\n{}{}",
        chain("s"),
        chain("m"),
        agreed("s", 7),
        agreed("m", 1)
    );
    let mut diags = crate::diag::Diagnostics::default();
    Lock::parse("lock", text.as_bytes(), &mut diags).unwrap_or_else(|| panic!("{diags:?}"))
}

fn judged(streams: &str, pool: &str, accept: Vec<nodeplan::report::StreamState>) -> Table {
    let line = format!("Nov 22 10:00:00 n nodebpf-loader[1]: {}", report(streams));
    let lock = lock();
    let agreed = Agreed { lock: Some(&lock), pool: Some(pool.to_owned()), nodes: None, accept, age: None };
    judge(&fleet(&[&line]), &agreed)
}

#[test]
fn a_stream_is_judged_by_the_lock() {
    use Verdict::{Extra, Missing, NotWorking, Outdated, Right};
    let with = |state: &str| stream("s", state, 7, STATEMENT);
    for (name, streams, want) in [
        ("as agreed", with("attached"), Right),
        ("not for this node", with("notApplicable"), Right),
        ("its time is over", with("expired"), Right),
        ("waits", with("pending"), NotWorking),
        ("held", with("held"), NotWorking),
        ("refused", with("refused"), NotWorking),
        ("failed", with("failed"), NotWorking),
        ("degraded", with("degraded"), NotWorking),
        ("removed", with("removed"), NotWorking),
        ("old revision", stream("s", "attached", 6, OTHER), Outdated),
        ("other content under one revision", stream("s", "attached", 7, OTHER), Outdated),
        ("new revision", stream("s", "attached", 8, OTHER), Outdated),
        ("no digest", r#"{"stream":"s","state":"attached"}"#.to_owned(), Outdated),
        ("nothing", String::new(), Missing),
        ("one more", format!("{},{}", with("attached"), stream("t", "attached", 1, OTHER)), Extra),
        ("one more that was removed", format!("{},{}", with("attached"), stream("t", "removed", 1, OTHER)), Right),
    ] {
        let table = judged(&streams, "worker", Vec::new());
        let worst = table.nodes[0].streams.iter().map(|row| row.verdict).max();
        assert_eq!(worst, Some(want), "case: {name}");
        assert_eq!(table.right, want == Right, "case: {name}");
    }
    let pending = judged(&with("pending"), "worker", vec![nodeplan::report::StreamState::Pending]);
    assert!(pending.right, "--accept pending");
}

#[test]
fn pools_that_the_lock_does_not_know_inherit_from_worker() {
    let good = stream("s", "attached", 7, STATEMENT);
    let gpu = judged(&good, "gpu", Vec::new());
    assert!(gpu.right);
    assert_eq!(gpu.unknown_pools.iter().collect::<Vec<_>>(), ["gpu"]);
    let arbiter = judged(&good, "arbiter", Vec::new());
    assert_eq!(arbiter.nodes[0].streams[0].verdict, Verdict::Extra);
    let master = judged(&good, "master", Vec::new());
    assert_eq!(
        master.nodes[0].streams.iter().map(|row| row.verdict).collect::<Vec<_>>(),
        [Verdict::Missing, Verdict::Extra]
    );
}

#[test]
fn silent_nodes_are_seen_only_with_a_list() {
    let list = r#"{"kind":"List","items":[
        {"kind":"Node","metadata":{"name":"w1","annotations":{"machineconfiguration.openshift.io/desiredConfig":"rendered-worker-00112233445566778899aabbccddeeff"}}},
        {"kind":"Node","metadata":{"name":"w2","labels":{"node-role.kubernetes.io/worker":""}}},
        {"kind":"Node","metadata":{"name":"a1","annotations":{"machineconfiguration.openshift.io/desiredConfig":"rendered-arbiter-00112233445566778899aabbccddeeff"}}}
    ]}"#;
    let line = |node: &str| {
        format!("Nov 22 10:00:00 {node} nodebpf-loader[1]: {}", report(&stream("s", "attached", 7, STATEMENT)))
    };
    let lock = lock();
    let run = |lines: &[String], nodes: Option<BTreeMap<String, String>>| {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let pool = nodes.is_none().then(|| "worker".to_owned());
        judge(&fleet(&lines), &Agreed { lock: Some(&lock), pool, nodes, accept: Vec::new(), age: None })
    };
    let nodes = nodes::read(list.as_bytes()).unwrap();
    let one = run(&[line("w1"), line("gone")], Some(nodes.clone()));
    let voices: Vec<_> = one.nodes.iter().map(|node| (node.node.as_str(), node.voice, node.right)).collect();
    // The arbiter gets nothing, so it owes nothing.
    assert_eq!(
        voices,
        [
            ("a1", Voice::Silent, true),
            ("gone", Voice::NotListed, false),
            ("w1", Voice::Heard, true),
            ("w2", Voice::Silent, false)
        ]
    );
    assert!(!one.right);
    assert!(run(&[line("w1"), line("w2"), line("gone")], Some(nodes)).right, "who is not in the list does not count");
    assert!(run(&[line("w1")], None).right);
    assert!(!judge(&Fleet::default(), &Agreed::default()).right, "nothing is not right");
}

#[test]
fn a_short_name_is_the_only_full_one_that_begins_with_it() {
    let line = |at: &str, node: &str, revision| {
        format!("{at} {node} nodebpf-loader[1]: {}", report(&stream("s", "attached", revision, STATEMENT)))
    };
    let [early, late] = ["Nov 22 10:00:00", "Nov 22 10:00:01"];
    let iso = "2026-11-22T10:00:00Z";
    let list = |names: &[&str]| -> BTreeMap<_, _> {
        names.iter().map(|name| ((*name).to_owned(), "worker".to_owned())).collect()
    };
    let w0 = || line(early, "w-0", 1);
    let full = || line(late, "w-0.a.example", 2);
    for (name, lines, listed, want) in [
        ("the later one", vec![w0(), full()], None, vec![("w-0.a.example", 2)]),
        ("newest first", vec![full(), w0()], None, vec![("w-0.a.example", 2)]),
        ("short is newer", vec![full(), line(late, "w-0", 3)], None, vec![("w-0.a.example", 3)]),
        ("two kinds of time: by order", vec![full(), line(iso, "w-0", 3)], None, vec![("w-0.a.example", 3)]),
        ("two kinds, other order", vec![line(iso, "w-0", 3), full()], None, vec![("w-0.a.example", 2)]),
        (
            "two full ones",
            vec![w0(), full(), line(late, "w-0.b.example", 4)],
            None,
            vec![("w-0", 1), ("w-0.a.example", 2), ("w-0.b.example", 4)],
        ),
        ("a longer name", vec![w0(), line(late, "w-01.a.example", 2)], None, vec![("w-0", 1), ("w-01.a.example", 2)]),
        ("a dash", vec![w0(), line(late, "w-0-x.a", 2)], None, vec![("w-0", 1), ("w-0-x.a", 2)]),
        ("listed short", vec![full()], Some(list(&["w-0"])), vec![("w-0", 2)]),
        ("listed full", vec![w0()], Some(list(&["w-0.a.example"])), vec![("w-0.a.example", 1)]),
        (
            "listed both",
            vec![w0(), full()],
            Some(list(&["w-0", "w-0.a.example"])),
            vec![("w-0", 1), ("w-0.a.example", 2)],
        ),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let table = judge(&fleet(&lines), &Agreed { nodes: listed, ..Agreed::default() });
        let got: Vec<_> =
            table.nodes.iter().map(|node| (node.node.as_str(), node.streams[0].revision.unwrap())).collect();
        assert_eq!(got, want, "case: {name}");
        assert!(table.nodes.iter().all(|node| node.voice == Voice::Heard), "case: {name}");
    }
}

#[test]
fn streams_without_room_in_the_line_are_not_missing() {
    let cut = r#"nodebpf-report {"reportVersion":"1.1","loader":"1","kernel":"k","problems":["NB1510"],"streams":[]}"#;
    let line = format!("Nov 22 10:00:00 n nodebpf-loader[1]: {cut}");
    let lock = lock();
    for lock in [None, Some(&lock)] {
        let agreed = Agreed { lock, pool: Some("worker".to_owned()), ..Agreed::default() };
        let table = judge(&fleet(&[&line]), &agreed);
        assert!(!table.right && table.nodes[0].is_cut());
        assert_eq!(table.nodes[0].streams, [], "nobody knows whether `s` is missing");
        assert_eq!(table.nodes[0].problems, [Code::SummaryTooLong]);
        let text = text::print(&table);
        assert!(text.contains("n: NB1510: its streams are not in the journal"), "{text}");
        assert!(text.contains("read /run/nodebpf/report.json on that node"), "{text}");
        assert!(!text.contains("missing") && !text.contains("no streams"), "{text}");
    }
}

#[test]
fn pools_of_nodes() {
    let pool = |metadata: &str| {
        let list = format!(r#"{{"items":[{{"metadata":{{"name":"n",{metadata}}}}}]}}"#);
        nodes::read(list.as_bytes()).unwrap()["n"].clone()
    };
    let config =
        |value: &str| format!(r#""annotations":{{"machineconfiguration.openshift.io/desiredConfig":"{value}"}}"#);
    let roles = |roles: &[&str]| {
        let labels: Vec<_> = roles.iter().map(|role| format!(r#""node-role.kubernetes.io/{role}":"""#)).collect();
        format!(r#""labels":{{{}}}"#, labels.join(","))
    };
    let hash = "00112233445566778899aabbccddeeff";
    for (name, metadata, want) in [
        ("rendered", config(&format!("rendered-worker-{hash}")), "worker"),
        ("rendered, with a dash", config(&format!("rendered-edge-canary-{hash}")), "edge-canary"),
        ("no hash", config("rendered-worker-x"), ""),
        ("worker", roles(&["worker"]), "worker"),
        ("custom", roles(&["worker", "infra"]), "infra"),
        ("two custom", roles(&["worker", "infra", "gpu"]), ""),
        ("single node", roles(&["master", "worker", "control-plane"]), "master"),
        ("none", roles(&[]), ""),
    ] {
        assert_eq!(pool(&metadata), want, "case: {name}");
    }
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"items":[]}"#,
        r#"{"items":[{}]}"#,
        r#"{"items":[{"kind":"Pod","metadata":{"name":"x"}}]}"#,
    ] {
        assert!(nodes::read(bad.as_bytes()).is_err(), "case: {bad}");
    }
}

#[test]
fn without_a_lock_failures_count() {
    for (state, right) in [
        ("attached", true),
        ("pending", true),
        ("held", true),
        ("refused", false),
        ("failed", false),
        ("degraded", false),
    ] {
        let line = format!("Nov 22 10:00:00 n nodebpf-loader[1]: {}", report(&stream("s", state, 1, STATEMENT)));
        assert_eq!(judge(&fleet(&[&line]), &Agreed::default()).right, right, "case: {state}");
    }
    let problem =
        r#"nodebpf-report {"reportVersion":"1.1","loader":"1","kernel":"k","problems":["NB1110"],"streams":[]}"#;
    let line = format!("Nov 22 10:00:00 n nodebpf-loader[1]: {problem}");
    assert!(!judge(&fleet(&[&line]), &Agreed::default()).right, "a problem of the node");
}

#[test]
fn what_cannot_be_read_is_not_right_and_reaches_no_terminal_raw() {
    for body in ["{", "", "null", r#"{"reportVersion":"1.1","x":"\u001b[2J"}"#, "\u{1b}[2J\u{202e}", "[[[["] {
        let line = format!("Nov 22 10:00:00 n nodebpf-loader[1]: nodebpf-report {body}");
        let fleet = fleet(&[&line]);
        let table = judge(&fleet, &Agreed::default());
        assert_eq!(table.nodes[0].voice, Voice::Unreadable, "case: {body:?}");
        assert!(!table.right);
        let text = text::print(&table);
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "case: {text:?}");
    }
}

#[test]
fn a_flood_of_nodes_and_bytes_is_bounded() {
    let mut fleet = Fleet::default();
    for n in 0..MAX_NODES + 5 {
        fleet.line(format!("Nov 22 10:00:00 n{n} nodebpf-loader[1]: {}", report("")).as_bytes());
    }
    fleet.end();
    assert_eq!((fleet.nodes.len(), fleet.too_many), (MAX_NODES, 5));
    let mut long = format!("Nov 22 10:00:00 n0 nodebpf-loader[1]: {}", report("")).into_bytes();
    long.resize(line::LINE_MAX_BYTES + 1, b' ');
    assert_eq!(line::read(&long), None);
    let large =
        format!("Nov 22 10:00:00 x nodebpf-loader[1]: nodebpf-report {}", " ".repeat(SUMMARY_MAX_BYTES) + "{}x");
    let mut fleet = Fleet::default();
    fleet.line(large.as_bytes());
    fleet.end();
    assert!(fleet.nodes["x"].summary.as_ref().unwrap_err().contains("are allowed"));
}

proptest! {
    #[test]
    fn any_line_is_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut fleet = Fleet::default();
        fleet.line(&bytes);
        fleet.end();
    }

    #[test]
    fn damaged_lines_are_taken(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400, form in 0usize..3) {
        let message = report(&stream("s", "attached", 7, STATEMENT));
        let line = match form {
            0 => format!("n Nov 22 10:00:00 h nodebpf-loader[9]: {message}"),
            1 => format!(r#"{{"_HOSTNAME":"n","__REALTIME_TIMESTAMP":"1","MESSAGE":{}}}"#, serde_json::to_string(&message).unwrap()),
            _ => format!("2026-11-22T10:00:00+0000 n nodebpf-loader[1]: {message}"),
        };
        let mut bytes = line.into_bytes();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut fleet = Fleet::default();
        fleet.line(&bytes);
        fleet.end();
        let text = text::print(&judge(&fleet, &Agreed::default()));
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", text);
    }

    #[test]
    fn clocks_read_any_words(words in proptest::collection::vec("[A-Za-z0-9:.,TZ+-]{0,24}", 0..5)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let time = clock::read(&words).map(|(time, _)| time);
        prop_assert!(!clock::is_older(time, time));
    }
}
