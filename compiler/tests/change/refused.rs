//! What `diff` makes of objects that the operator does not take, of values that it takes for the same, and of what only
//! new nodes go by.

use std::fs;

use serde_json::{Value, json};

use super::{
    sides::{config, install, with},
    support::{nodebpf, project, stderr, stdout, succeed},
    verdict,
};

fn ignition(section: &str, value: Value) -> Value {
    let mut config = json!({"config": {"ignition": {"version": "3.2.0"}}});
    config["config"][section] = value;
    config
}

fn file(path: &str, source: &str) -> Value {
    ignition(
        "storage",
        json!({"files": [{"path": path, "mode": 420, "contents": {"source": source, "compression": ""}}]}),
    )
}

/// Runs `diff … --exit-code --json`; exit code and report.
fn run(dir: &std::path::Path, args: &str) -> (Option<i32>, Value) {
    let args = format!("diff {args} --exit-code --json");
    let output = nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
    assert_eq!(stderr(&output), "", "{args}");
    (output.status.code(), serde_json::from_str(&stdout(&output)).unwrap())
}

#[test]
fn what_the_operator_refuses_is_refused() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let newer = json!({"config": {"ignition": {"version": "3.6.0"}}});
    for (spec, want) in [
        (newer, "refused: MachineConfig `50-x`: the operator does not read Ignition 3.6.0"),
        (file("/usr/bin/x", "data:,x"), "`storage.files[0].path` is `/usr/bin/x`; it must lie where nodes can write"),
        (file("/etc/x", "http://x/y"), "refused: `/etc/x` has source `http://x/y`; it must be a `data:` URL"),
        (json!({"extensions": ["bogus"]}), "there is no extension `bogus`"),
    ] {
        with(dir, "50-x.yaml", &config("50-x", &spec));
        for policy in ["", " --policy none", " --ocp 4.16-4.22"] {
            let (exit, report) = run(dir, &format!("installed new{policy}"));
            let case = format!("case: {want}{policy}: {report}");
            assert_eq!(exit, Some(1), "{case}");
            assert_eq!(verdict(&report, "worker").as_deref(), Some("refused"), "{case}");
            assert_eq!(report["pools"][0]["outcomes"][0]["actions"], json!([]), "{case}");
            assert!(report.to_string().replace("\\\"", "\"").contains(want), "{case}");
        }
        for form in ["", " --markdown"] {
            // Markdown has no backticks in code.
            let said = stdout(&succeed(dir, &format!("diff installed new{form}"))).replace('`', "'");
            let want = want.replace('`', "'");
            assert!(said.contains("refused: nodes become degraded") && said.contains(&want), "{want}: {said}");
        }
        // The other way round it is mended.
        let (exit, report) = run(dir, "new installed");
        assert_eq!(exit, Some(1), "{want}: {report}");
        assert!(report.to_string().contains("the old side is refused, so nodes have what was before it"), "{report}");
        assert_ne!(verdict(&report, "worker").as_deref(), Some("refused"), "{report}");
        // It is as bad as it was.
        assert_eq!(run(dir, "new new").0, Some(0), "{want}");
        fs::create_dir_all(dir.join("more")).unwrap();
        super::copy(dir, "new", "more");
        fs::write(dir.join("more/51-kargs.yaml"), config("51-kargs", &json!({"kernelArguments": ["a"]}))).unwrap();
        let (_, report) = run(dir, "new more");
        assert_eq!(verdict(&report, "worker").as_deref(), Some("refused"), "with whatever else changes: {report}");
    }
}

#[test]
fn what_some_releases_refuse_is_said_of_those() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    with(dir, "50-x.yaml", &config("50-x", &json!({"config": {"ignition": {"version": "3.5.0"}}})));
    let (exit, report) = run(dir, "installed new --ocp 4.17-4.20");
    let found: Vec<_> = report["pools"][0]["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["releases"].clone(), one["verdict"].clone()))
        .collect();
    let want = [(json!(["4.17", "4.18"]), json!("refused")), (json!(["4.19", "4.20"]), json!("unchanged"))];
    assert_eq!((exit, found.as_slice()), (Some(1), want.as_slice()), "{report}");
    let said = stdout(&succeed(dir, "diff installed new"));
    assert!(said.contains("! refused on 4.17, 4.18: MachineConfig `50-x`: the operator does not read"), "{said}");
    assert_eq!(run(dir, "installed new --ocp 4.19-4.22").0, Some(0));
    // What each release refuses for a reason of its own is refused.
    let mut both = file("/usr/bin/x", "data:,x");
    both["config"]["ignition"]["version"] = json!("3.5.0");
    with(dir, "50-x.yaml", &config("50-x", &both));
    let (_, report) = run(dir, "installed new");
    assert_eq!(verdict(&report, "worker").as_deref(), Some("refused"), "{report}");
    assert!(report.to_string().contains("refused on 4.19, 4.20, 4.21, 4.22: "), "{report}");
}

#[test]
fn what_only_new_nodes_go_by_is_not_passed_over() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let merge = json!({"version": "3.2.0", "config": {"merge": [{"source": "https://x/y"}]}});
    with(dir, "50-x.yaml", &config("50-x", &ignition("ignition", merge)));
    let (exit, report) = run(dir, "installed new");
    assert_eq!((exit, verdict(&report, "worker").as_deref()), (Some(1), Some("none")), "{report}");
    let said = stdout(&succeed(dir, "diff installed new"));
    assert!(said.contains("section ignition") && said.contains("new nodes go by it at their first boot"), "{said}");
}

#[test]
fn values_that_are_the_same_to_the_operator_are_no_change() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let name = "99-worker-nodebpf-trust.yaml";
    let text = fs::read(dir.join("installed").join(name)).unwrap();
    let sound: Value = serde_saphyr::from_slice(&text).unwrap();
    let file = "/spec/config/storage/files/0";
    for (place, key, value) in [
        ("/spec/config", "passwd", json!({})),
        ("/spec/config", "passwd", json!({"users": []})),
        ("/spec/config", "systemd", json!({"units": []})),
        ("/spec/config/storage", "links", json!([])),
        ("/spec/config/ignition", "timeouts", json!({})),
        (file, "user", json!({})),
        (file, "group", json!({})),
    ] {
        let mut other = sound.clone();
        other.pointer_mut(place).unwrap()[key] = value.clone();
        with(dir, name, &other.to_string());
        for sides in ["installed new", "new installed"] {
            let (exit, report) = run(dir, sides);
            assert_eq!(exit, Some(0), "case: {place} {key} {value}: {report}");
        }
    }
    with(dir, "50-x.yaml", &config("50-x", &ignition("storage", json!({"files": []}))));
    assert_eq!(run(dir, "installed new").0, Some(0));
    // So it is with Ignition configs.
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o ign --format ignition");
    super::copy(dir, "ign", "ign-new");
    let path = fs::read_dir(dir.join("ign-new")).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let mut other: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    other["passwd"] = json!({"users": []});
    other["storage"]["files"][0]["user"] = json!({});
    fs::write(&path, other.to_string()).unwrap();
    assert_eq!(run(dir, "ign ign-new").0, Some(0));
    other["ignition"]["config"] = json!({"merge": [{"source": "https://x/y"}]});
    fs::write(&path, other.to_string()).unwrap();
    assert_eq!(run(dir, "ign ign-new").1["others"], json!(["Ignition ignition"]));
}

/// An installation is compared with its tree by nothing: files and units come in another way.
#[test]
fn an_installation_and_its_tree_are_not_compared() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o tree --format tree");
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o ign --format ignition");
    for sides in ["installed tree", "tree installed", "ign tree", "tree ign"] {
        let (exit, report) = run(dir, sides);
        assert_eq!((exit, &report["pools"], &report["trust"]), (Some(0), &json!([]), &json!([])), "{sides}: {report}");
        assert!(report["notes"].to_string().contains("files and units are not"), "{sides}: {report}");
    }
    // With nothing on the other side there is something to say.
    assert_eq!(verdict(&run(dir, "installed empty").1, "worker").as_deref(), Some("fails"));
}

#[test]
fn all_that_is_not_judged_is_named() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    for (out, loader) in [("a", "one"), ("b", "two")] {
        fs::write(dir.join("loader"), super::executable(62, None, loader.as_bytes())).unwrap();
        succeed(dir, &format!("install --pool worker --trust trust.json --loader loader -o {out} --format ignition"));
        let path = fs::read_dir(dir.join(out)).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mut parsed: Value = serde_json::from_str(&text).unwrap();
        let files = parsed["storage"]["files"].as_array_mut().unwrap();
        files.extend(
            (0..3).map(|n| json!({"path": format!("/etc/x{n}"), "contents": {"source": format!("data:,{out}")}})),
        );
        fs::write(&path, parsed.to_string()).unwrap();
    }
    let said = stdout(&succeed(dir, "diff a b"));
    let want = "4 objects that change are not judged, and nodes may act upon them: \
                Ignition /etc/x0, Ignition /etc/x1, Ignition /etc/x2, Ignition /usr/local/bin/nodebpf-loader\n";
    assert!(said.contains(want), "{said}");
    let many = |out: &str| {
        let files: Vec<_> =
            (0..30).map(|n| json!({"path": format!("/etc/{n:02}"), "contents": {"source": out}})).collect();
        let config = json!({"ignition": {"version": "3.2.0"}, "storage": {"files": files}});
        fs::write(dir.join(format!("{out}.ign")), config.to_string()).unwrap();
    };
    many("c");
    many("d");
    let said = stdout(&succeed(dir, "diff c.ign d.ign"));
    assert!(said.contains("Ignition /etc/19 and 10 more, which --json names"), "{said}");
}
