//! What is not known is not right: order of lines, damaged lines, other versions, pools.

use nodeplan::time::Timestamp;

use super::{
    judge::{Agreed, Doubt, Voice, judge},
    tests::{STATEMENT, fleet, json_line, lock, report, stream},
    *,
};

/// Two readings of a clock that was set look like `journalctl -r`: nobody knows then which report is the newest.
#[test]
fn a_node_that_is_right_only_one_way_is_ambiguous() {
    let line = |time: &str, node: &str, state: &str| {
        format!("Nov 22 {time} {node} nodebpf-loader[1]: {}", report(&stream("s", state, 1, STATEMENT)))
    };
    let json = |micros: u64, number: u64, state: &str| {
        let message = serde_json::to_string(&report(&stream("s", state, 1, STATEMENT))).unwrap();
        format!(
            r#"{{"_HOSTNAME":"n1","__REALTIME_TIMESTAMP":"{micros}","__SEQNUM_ID":"j","__SEQNUM":"{number}","MESSAGE":{message}}}"#
        )
    };
    let many: Vec<_> = (0..40).rev().map(|minute| line(&format!("11:{minute:02}:00"), "n1", "attached")).collect();
    let mut oldest_failed = many.clone();
    oldest_failed.push(line("10:59:00", "n1", "failed"));
    let set = vec![line("12:00:00", "n1", "attached"), line("11:59:00", "n1", "failed")];
    let mended = vec![line("12:00:00", "n1", "failed"), line("11:59:00", "n1", "attached")];
    let mut beside = set.clone();
    beside.extend([line("12:00:00", "n2", "attached"), line("11:59:00", "n2", "attached")]);
    let (newest, oldest) = (Some(Order::NewestFirst), Some(Order::OldestFirst));
    for (name, lines, order, right, ambiguous) in [
        ("a clock that was set, or backwards", &set, None, false, true),
        ("the same, mended", &mended, None, false, true),
        ("somebody says that it is backwards", &set, newest, true, false),
        ("somebody says that it is not", &set, oldest, false, false),
        ("mended, and it is not backwards", &mended, oldest, true, false),
        ("backwards, right either way", &many, None, true, false),
        ("backwards, and once not right", &oldest_failed, None, false, true),
        ("the same, by who knows", &oldest_failed, newest, true, false),
        ("one of two", &beside, None, false, true),
        ("the journal's own numbers", &vec![json(9, 2, "attached"), json(8, 1, "failed")], None, true, false),
        ("those, whatever somebody says", &vec![json(9, 2, "attached"), json(8, 1, "failed")], oldest, true, false),
        ("rising", &vec![line("11:59:00", "n1", "failed"), line("12:00:00", "n1", "attached")], None, true, false),
    ] {
        let mut fleet = Fleet { order, ..Fleet::default() };
        for line in lines {
            fleet.line(line.as_bytes());
        }
        fleet.end();
        let table = judge(&fleet, &Agreed::default());
        assert_eq!((table.right, table.nodes[0].doubt), (right, ambiguous.then_some(Doubt::Ambiguous)), "case: {name}");
        assert!(table.nodes.iter().skip(1).all(|node| node.right && node.doubt.is_none()), "case: {name}");
        let text = text::print(&table);
        assert_eq!(text.contains("n1: right or not by the order of its lines"), ambiguous, "case {name}: {text}");
        assert_eq!(text.contains("1 ambiguous"), ambiguous, "case {name}: {text}");
        assert!(!ambiguous || text.contains("--order newest-first"), "case {name}: {text}");
    }
    // The far end of a long journal is old, and no sign of anything.
    let fleet = fleet(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let now = Timestamp::try_from("2026-11-22T11:40:00Z").unwrap();
    assert!(judge(&fleet, &Agreed { age: Some((now, 300)), ..Agreed::default() }).right);
}

/// A line that was cut in a transfer is the newest word of its node all the same.
#[test]
fn a_damaged_line_does_not_bring_an_older_one_back() {
    let when = |number: u64| format!(r#""__REALTIME_TIMESTAMP":"{number}","__SEQNUM_ID":"j","__SEQNUM":"{number}""#);
    let old = json_line(&when(1), 1);
    let new = json_line(&when(2), 2);
    let cut = |by: usize| new[..new.len() - by].to_owned();
    let spaced = cut(9).replace("\":", "\" : ");
    let id = r#"{"_HOSTNAME":"n","MESSAGE_ID":"1479c30662d14fe79cfe51842e18dd2f","MESS"#;
    let nameless = cut(9).replace(r#""_HOSTNAME":"n","#, "");
    let named = format!("n {nameless}");
    let escaped = nameless.replace("nodebpf-report ", r#"nodebpf-report \"_HOSTNAME\":\"n\""#);
    let other = cut(9).replace('{', r#"{"_COMM":"sshd","#);
    for (name, line, node, damaged) in [
        ("its end", cut(1), true, 0),
        ("more", cut(40), true, 0),
        ("spaces, as systemd 239", spaced, true, 0),
        ("before the message", id.to_owned(), true, 0),
        ("oc", named, true, 0),
        ("no name", nameless, false, 1),
        ("a name in the message alone", escaped, false, 1),
        ("another program", other, false, 0),
        ("nothing of ours", r#"{"_HOSTNAME":"n","MESSAGE":"x"#.to_owned(), false, 0),
    ] {
        let fleet = fleet(&[&old, &line]);
        let table = judge(&fleet, &Agreed::default());
        assert_eq!(table.nodes[0].voice == Voice::Unreadable, node, "case: {name}");
        assert_eq!((fleet.damaged, table.right), (damaged, !node && damaged == 0), "case: {name}");
        // Newest first: the journal's numbers tell.
        if name == "its end" {
            assert_eq!(judge(&self::fleet(&[&line, &old]), &Agreed::default()).nodes[0].voice, Voice::Unreadable);
        }
        let mended = judge(&self::fleet(&[&line, &json_line(&when(3), 3)]), &Agreed::default());
        assert_eq!(mended.right, damaged == 0, "case: {name}");
    }
    let short = |bytes: &[u8]| [b"Nov 22 10:00:00 n nodebpf-loader[1]: ", bytes].concat();
    let mut fleet = Fleet::default();
    fleet.line(&short(report("").as_bytes()));
    fleet.line(&short(&[report("").replace("5.14.0", "5.14").as_bytes(), b"\xff"].concat()));
    fleet.end();
    assert!(fleet.nodes["n"].summary.is_err(), "bytes that no journal has");
}

#[test]
fn a_report_of_another_major_version_is_not_read_as_ours() {
    for (version, right) in [("1.0", true), ("1.1", true), ("1.9", true), ("2.0", false), ("0.9", false)] {
        let message = report(&stream("s", "attached", 1, STATEMENT)).replace("1.1", version);
        let table = judge(&fleet(&[&format!("Nov 22 10:00:00 n nodebpf-loader[1]: {message}")]), &Agreed::default());
        assert_eq!((table.right, table.nodes[0].voice == Voice::Heard), (right, right), "case: {version}");
        let why = format!("n: its report has version {version}; this release reads version 1.x");
        assert_eq!(text::print(&table).contains(&why), !right, "case: {version}");
    }
}

/// Where the lock has nothing for a node because nobody knows its pool, that is no agreement.
#[test]
fn without_a_pool_nothing_is_right_by_a_lock() {
    let list = r#"{"items":[{"metadata":{"name":"n","labels":{"node-role.kubernetes.io/infra":"","node-role.kubernetes.io/canary":""}}}]}"#;
    let nodes = nodes::read(list.as_bytes()).unwrap();
    let lock = lock();
    for (name, lines) in
        [("no streams", vec![format!("Nov 22 10:00:00 n nodebpf-loader[1]: {}", report(""))]), ("silent", Vec::new())]
    {
        let fleet = fleet(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let agreed = Agreed { lock: Some(&lock), nodes: Some(nodes.clone()), ..Agreed::default() };
        let table = judge(&fleet, &agreed);
        assert!(!table.right && table.nodes[0].doubt == Some(Doubt::NoPool), "case: {name}");
        assert!(text::print(&table).contains("n: nothing tells its pool"), "case: {name}");
        let table = judge(&fleet, &Agreed { lock: None, ..agreed });
        assert_eq!(table.right, !lines.is_empty(), "case {name}: without a lock pools do not matter");
    }
}
