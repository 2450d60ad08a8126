//! `nodebpf fleet`: journals of many nodes against the lock.

use std::{fs, io::Write as _, path::Path, process::Stdio};

use serde_json::Value;

use super::{check, compile, manifest, support};
use support::{command, fail, nodebpf, project, stderr, stdout, succeed};

/// A node's journal line.
pub(super) fn line(node: &str, streams: &[(&str, &str, u32, &str)]) -> String {
    let streams: Vec<_> = streams
        .iter()
        .map(|(stream, state, revision, statement)| {
            format!(r#"{{"stream":"{stream}","state":"{state}","revision":{revision},"statement":"{statement}"}}"#)
        })
        .collect();
    format!(
        "Nov 22 10:00:00 {node} nodebpf-loader[77]: nodebpf-report {{\"reportVersion\":\"1.1\",\"loader\":\"0.1.0\",\
         \"kernel\":\"5.14.0-427.42.1.el9_4.x86_64\",\"trust\":1,\"streams\":[{}]}}\n",
        streams.join(",")
    )
}

/// Locks revision 3; returns the statement's digest.
pub(super) fn locked(dir: &Path) -> String {
    compile(dir, 3, "worker", "out");
    fs::write(dir.join("bpf.yaml"), manifest(3, 503).replace("[canary, worker]", "[worker]")).unwrap();
    succeed(dir, "lock bpf.yaml --policy policy.yaml -o bpf.lock.yaml");
    let lock = fs::read_to_string(dir.join("bpf.lock.yaml")).unwrap();
    let at = lock.find("statement: ").unwrap() + "statement: ".len();
    lock[at..].trim_start_matches('\'').chars().take(64).collect()
}

#[test]
fn a_fleet_is_compared_with_the_lock() {
    let directory = project();
    let dir = directory.path();
    let statement = locked(dir);
    let old = "2".repeat(64);
    let good = [("netops-frag", "attached", 3, statement.as_str())];
    let journal = [
        line("w1", &[("netops-frag", "attached", 2, &old)]),
        line("w1", &good),
        line("w2", &[("netops-frag", "attached", 2, &old)]),
        line("w3", &[("netops-frag", "failed", 3, &statement)]),
        line("w4", &[]),
        line("w5", &[good[0], ("zz-left", "attached", 1, &old)]),
        "Nov 22 10:00:00 w6 nodebpf-loader[77]: nodebpf-report {\"reportVersion\":\"2.0\"}\n".to_owned(),
        "Nov 22 10:00:00 w1 kubelet[1]: nothing of ours\n".to_owned(),
        line("old", &good),
    ];
    fs::write(dir.join("journal"), journal.concat()).unwrap();
    let node = |name: &str| {
        let rendered = "rendered-worker-00112233445566778899aabbccddeeff";
        serde_json::json!({"kind": "Node", "metadata": {"name": name,
            "annotations": {"machineconfiguration.openshift.io/desiredConfig": rendered}}})
    };
    let nodes: Vec<_> = ["w1", "w2", "w3", "w4", "w5", "w6", "w7"].map(node).into();
    fs::write(dir.join("nodes.json"), serde_json::json!({"kind": "List", "items": nodes}).to_string()).unwrap();

    let output = nodebpf(dir, &["fleet", "journal", "--lock", "bpf.lock.yaml", "--nodes", "nodes.json"]);
    assert_eq!(output.status.code(), Some(1));
    check("fleet.txt", &output.stdout);
    let output = nodebpf(dir, &["fleet", "journal", "--lock", "bpf.lock.yaml", "--nodes", "nodes.json", "--json"]);
    check("fleet.json", &output.stdout);

    fs::write(dir.join("good"), [line("w1", &good), line("w2", &good)].concat()).unwrap();
    check("fleet-right.txt", &succeed(dir, "fleet good --lock bpf.lock.yaml --pool worker").stdout);
    check("fleet-plain.txt", &succeed(dir, "fleet good").stdout);
}

#[test]
fn exit_codes_of_fleet() {
    let directory = project();
    let dir = directory.path();
    let statement = locked(dir);
    fs::write(dir.join("good"), line("w1", &[("netops-frag", "attached", 3, &statement)])).unwrap();
    fs::write(dir.join("held"), line("w1", &[("netops-frag", "held", 3, &statement)])).unwrap();
    fs::write(dir.join("nothing"), "Nov 22 10:00:00 w1 kubelet[1]: x\n").unwrap();
    fs::write(dir.join("cut"), "{\"MESSAGE\":\"nodebpf-report {\\\"reportVer").unwrap();
    let early = line("w1", &[("netops-frag", "failed", 3, &statement)]).replace("10:00:00", "09:59:59");
    fs::write(dir.join("set"), [line("w1", &[("netops-frag", "attached", 3, &statement)]), early].concat()).unwrap();
    for (args, exit) in [
        ("fleet good", 0),
        ("fleet good --lock bpf.lock.yaml --pool worker", 0),
        ("fleet good --lock bpf.lock.yaml --pool gpu", 0),
        ("fleet good --lock bpf.lock.yaml --pool master", 1),
        ("fleet held --lock bpf.lock.yaml --pool worker", 1),
        ("fleet held --lock bpf.lock.yaml --pool worker --accept held", 0),
        ("fleet held good --lock bpf.lock.yaml --pool worker", 0),
        ("fleet good --max-age 15m --at 2026-11-22T10:05:00Z", 0),
        ("fleet good --max-age 15m --at 2026-11-22T10:20:00Z", 1),
        ("fleet good cut", 1),
        ("fleet set", 1),
        ("fleet set --order newest-first", 0),
        ("fleet set --order oldest-first", 1),
        ("fleet set --order up", 2),
        ("fleet good --max-age 15", 2),
        ("fleet good --at 2026-11-22T10:05:00Z", 2),
        ("fleet nothing", 1),
        ("fleet good --lock bpf.yaml --pool worker", 1),
        ("fleet good --nodes bpf.yaml", 1),
        ("fleet good --lock bpf.lock.yaml", 2),
        ("fleet good --pool worker --nodes x", 2),
        ("fleet", 2),
        ("fleet nowhere", 3),
    ] {
        let output = nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(exit), "{args}: {}{}", stdout(&output), stderr(&output));
    }
    let said = fail(dir, "fleet good --lock bpf.lock.yaml", 2);
    assert!(said.contains("--nodes FILE"), "{said}");
    let said = fail(dir, "fleet good cut", 1);
    assert!(said.contains("damaged and name no node, so that not all is right: 1"), "{said}");
    // A lock without masters: they have nothing, and inherit nothing.
    for (pool, want) in [("gpu", "judged by `worker`"), ("master", "does not inherit"), ("arbiter", "does not inherit")]
    {
        let said = stderr(&nodebpf(dir, &["fleet", "good", "--lock", "bpf.lock.yaml", "--pool", pool]));
        assert!(said.contains("NB0553") && said.contains(want), "case {pool}: {said}");
        assert_eq!(said.contains("judged by"), pool == "gpu", "case {pool}: {said}");
    }
}

#[test]
fn a_fleet_is_read_from_stdin_and_long_lines_are_passed_over() {
    let directory = project();
    let mut child = command(directory.path(), &["fleet", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(&vec![b'x'; 3 * 1024 * 1024]).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.write_all(line("w1", &[("s", "attached", 1, &"1".repeat(64))]).as_bytes()).unwrap();
        stdin.write_all(&[0xff, 0, b'\n', 0x1b, b'[']).unwrap();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let table: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(table["nodes"][0]["node"], "w1");
    assert!(stderr(&output).contains("not read: 1"), "{}", stderr(&output));
}
