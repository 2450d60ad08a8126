//! What reports say of places, streams that are gone, and trust.

use std::{fs, fs::File, rc::Rc};

use nodeplan::{digest::Sha256Digest, xdp::XdpMode};

use super::*;
use crate::{
    kernel::Interface,
    state::Program,
    xdp::{chain, config},
};

/// One attachment for each of two interfaces: neither row says that it runs on the other one, too.
#[test]
fn a_program_is_reported_where_and_how_it_runs() {
    let object = Sha256Digest::of(b"object");
    let at = |selector: &str, mode: &str, priority: u16| {
        format!(
            r#"{{"xdp":{{"interfaces":[{{{selector}}}],"mode":"{mode}","priority":{priority},
            "proceedOn":["pass"]}}}}"#
        )
    };
    let interface = |ifindex, name: &str| Interface { name: name.to_owned(), mtu: 1500, ..Interface::bare(ifindex) };
    let member =
        chain::Member { prog_id: 7, name: "p".to_owned(), tag: [0; 8], load_time: 0, priority: 510, mask: 4, flags: 0 };
    let attached = Observed::Dispatcher(chain::Attached {
        mode: XdpMode::Native,
        prog_id: 8,
        version: config::Version::default(),
        frags: false,
        members: vec![member],
        linked: true,
        former: None,
    });
    let mut interfaces = Interfaces::default();
    interfaces.all = vec![interface(2, "eth0"), interface(3, "eth1"), interface(4, "eth2")];
    let snapshot = Snapshot { interfaces, xdp: vec![attached.clone(), attached, Observed::Empty] };
    // By name; the second time `eth0` is where `primary` was, and no default route says so now.
    for first in [r#""name":"eth0""#, r#""primary":true"#] {
        let both = [at(r#""name":"eth1""#, "skb", 520), at(first, "native", 510)].join(",");
        let text = format!(
            r#"{{"planVersion":"1.1","stream":"s","owner":"o","revision":1,"intent":"feature","pools":["worker"],
            "appliesTo":{{}},"onExpiry":"detach","onRemoval":"detach","programs":[{{"name":"p",
            "object":{{"sha256":"{object}","sourceSha256":"{object}"}},"attach":[{both}]}}]}}"#
        );
        let plan = NodePlan::parse(text.as_bytes()).unwrap();
        let program = Program { id: 7, fd: Rc::new(File::open("/dev/null").unwrap().into()) };
        let programs = SortedMap::from([("p".try_into().unwrap(), program)]);
        let version = Version { committed: None, dir: "/pins".into(), programs, plan: None, forbidden: None };
        let rows = snapshot.attachments(&Kernel::new(), &plan, Path::new("/pins"), &version);
        let mut rows: Vec<_> = rows
            .iter()
            .map(|row| (row.interface.as_ref().unwrap().as_str(), row.priority.unwrap().get(), row.attached))
            .collect();
        rows.sort_unstable();
        assert_eq!(rows, [("eth0", 510, true), ("eth1", 520, true)], "{first}");
    }
}

#[test]
fn what_a_run_was_about_and_did_not_find_is_gone() {
    let dir = env::temp_dir().join(format!("nodebpf-others-{}", std::process::id()));
    let paths = Paths::new(&dir);
    let text = r#"{"reportVersion":"1.1","loader":"0","kernel":"6","trust":{},"problems":[],"streams":[
        {"stream":"other","state":"attached"},{"stream":"went","state":"removed"}]}"#;
    let last: Report = json::parse(text.as_bytes(), text.len()).unwrap();
    write(&paths, &last).unwrap();
    let only = |name: &str| Scope::Only([StreamName::try_from(name).unwrap()].into());
    for (scope, want) in [(only("went"), 1), (only("other"), 1), (only("third"), 2), (Scope::Early, 2)] {
        let mut report = Report { streams: Vec::new(), ..last.clone() };
        keep_others(&paths, &scope, &mut report);
        assert_eq!(report.streams.len(), want, "{scope:?}");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_table_says_which_trust_rules_and_by_whom() {
    let page = |trust: &str| {
        let text = format!(
            r#"{{"reportVersion":"1.1","loader":"0","kernel":"6","trust":{trust},"problems":[],"streams":[]}}"#
        );
        table(&json::parse(text.as_bytes(), text.len()).unwrap())
    };
    for anchor in ["rootSigned", "coDelivered"] {
        let page = page(&format!(r#"{{"version":7,"anchor":"{anchor}"}}"#));
        assert!(page.contains(&format!("\ntrust: version 7, {anchor}\n")), "{page}");
    }
    let none = page(r#"{"reason":{"code":"NB1109","message":"missing"}}"#);
    assert!(none.contains("\ntrust: NB1109 missing\n") && !none.contains("version"), "{none}");
}

#[test]
fn a_refused_stream_that_runs_is_both() {
    let shown = |state: &str, attached: bool| {
        let text = format!(
            r#"{{"reportVersion":"1.1","loader":"0","kernel":"6","trust":{{}},"problems":[],"streams":[{{"stream":"s",
            "state":"{state}","revision":2,"reason":{{"code":"NB1101","message":"damaged"}},"attachments":[{{
            "hook":"lsm","program":"p","attached":{attached}}}]}}]}}"#
        );
        table(&json::parse(text.as_bytes(), text.len()).unwrap())
    };
    for (state, attached, cell, says) in [
        ("refused", true, " refused, runs ", true),
        ("refused", false, " refused ", false),
        ("held", true, " held, runs ", true),
        ("failed", true, " failed, runs ", true),
        ("attached", true, " attached ", false),
        ("pending", true, " pending ", false),
    ] {
        let page = shown(state, attached);
        assert!(page.contains(cell), "{page}");
        assert_eq!(page.contains("s: revision 2 keeps running\n"), says, "{page}");
        assert!(page.contains("s: NB1101 damaged\n"), "{page}");
    }
}
