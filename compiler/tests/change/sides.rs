//! What `diff` makes of the sides it is given: nothing that nodes would get is passed over.

use std::{fs, os::unix::fs::symlink, path::Path};

use serde_json::{Value, json};

use super::support::{binary, executable, nodebpf, project, stderr, stdout, succeed};
use super::{compile, copy, json, manifest, verdict};

/// The installation, in `installed`.
pub(super) fn install(dir: &Path) {
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), executable(62, None, b"loader")).unwrap();
    fs::write(dir.join("nodebpf-diag"), binary("nodebpf-diag", b"diag")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o installed");
    fs::create_dir_all(dir.join("empty")).unwrap();
}

const LOADER: &str = "99-worker-nodebpf-loader.yaml";

pub(super) fn config(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "machineconfiguration.openshift.io/v1", "kind": "MachineConfig",
        "metadata": {"name": name, "labels": {"machineconfiguration.openshift.io/role": "worker"}},
        "spec": spec
    })
    .to_string()
}

fn policy(name: &str, action: &str) -> String {
    json!({
        "apiVersion": "operator.openshift.io/v1", "kind": "MachineConfiguration", "metadata": {"name": name},
        "spec": {"nodeDisruptionPolicy": {"files": [{"path": "/etc/nodebpf", "actions": [{"type": action}]}]}}
    })
    .to_string()
}

/// Runs `diff` and wants NB0540 with `want` in it.
fn refused(dir: &Path, args: &str, want: &str) {
    let output = nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{args}: {}{said}", stdout(&output));
    assert!(said.contains("NB0540") && said.contains(want), "{args}: {said}");
}

/// Writes one file into a copy of `installed`.
pub(super) fn with(dir: &Path, name: &str, text: &str) {
    let _ = fs::remove_dir_all(dir.join("new"));
    copy(dir, "installed", "new");
    fs::write(dir.join("new").join(name), text).unwrap();
}

#[test]
fn what_cannot_be_read_is_not_passed_over() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let head = config("50-kargs", &json!({}));
    let twice = head.replace("\"spec\":{}", "\"spec\": {\"kernelArguments\": [a], \"kernelArguments\": [nosmt]}");
    let template = head.replace("\"spec\":{}", "\"spec\": {\"kernelArguments\": [{{ .Values.x }}]}");
    assert!(twice != head && template != head);
    let loader = fs::read_to_string(dir.join("installed").join(LOADER)).unwrap();
    for (name, text, want) in [
        ("50-kargs.yaml", twice, "is neither a bundle nor YAML nor JSON"),
        ("50-kargs.yaml", template, "is neither a bundle nor YAML nor JSON"),
        (LOADER, format!("{loader}\n<<<<<<< HEAD\n"), "is neither a bundle nor YAML nor JSON"),
        ("x.json", "{".to_owned(), "is neither a bundle nor YAML nor JSON"),
        ("x.ign", "{".to_owned(), "is neither a bundle nor YAML nor JSON"),
        ("x.yml", "<<<<<<< HEAD".to_owned(), "is neither a bundle nor an object"),
        (
            "50-kargs.yaml",
            config("50-kargs", &json!({"kernelArguments": "nosmt"})),
            "`spec.kernelArguments`, which must be a list of texts",
        ),
        (
            "50-x.yaml",
            config("50-x", &json!({"kernelArgument": ["a"]})),
            "`spec.kernelArgument`, which no MachineConfig has",
        ),
        ("50-x.yaml", config("50-x", &json!({"fips": "yes"})), "`fips`, which must be true or false"),
        (
            "50-x.yaml",
            config("50-x", &json!({"config": {"storage": {"files": {}}}})),
            "`storage.files`, which must be a list",
        ),
        (
            "50-x.yaml",
            config("50-x", &json!({"config": {"systemd": {"units": [{}]}}})),
            "an item of `systemd.units` without `name`",
        ),
        ("50-x.yaml", config("", &json!({})), "no `metadata.name`"),
        (
            "50-x.ign",
            json!({"ignition": {"version": "3.2.0"}, "storage": []}).to_string(),
            "`storage`, which must be a map",
        ),
        // Two of a name, and policies that the cluster would not take.
        ("50-x.yaml", config("99-worker-nodebpf-trust", &json!({})), "another MachineConfig `99-worker-nodebpf-trust`"),
        ("50-x.yaml", policy("mine", "None"), "a MachineConfiguration named `mine`"),
        ("50-x.yaml", policy("cluster", "None"), "another MachineConfiguration than"),
    ] {
        with(dir, name, &text);
        refused(dir, "diff installed new", want);
        refused(dir, "diff new installed", want);
    }
    // The same object twice is that object once.
    with(dir, "50-kargs.yaml", &config("50-kargs", &json!({"kernelArguments": ["a"]})));
    copy(dir, "new", "more");
    fs::copy(dir.join("new/50-kargs.yaml"), dir.join("more/51-copy.yaml")).unwrap();
    assert_eq!(stdout(&succeed(dir, "diff new more --exit-code")), "");
    // What is read says what it is: a boot.
    assert_eq!(verdict(&json(dir, "diff installed new --json"), "worker").as_deref(), Some("reboot"));

    fs::write(dir.join("mine.yaml"), policy("mine", "None")).unwrap();
    let output = nodebpf(dir, &["diff", "installed", "new", "--policy", "mine.yaml"]);
    assert!(stderr(&output).contains("named `mine`"), "{}", stderr(&output));
    fs::write(dir.join("two.yaml"), format!("{}\n---\n{}", policy("cluster", "None"), policy("cluster", "Reboot")))
        .unwrap();
    let output = nodebpf(dir, &["diff", "installed", "new", "--policy", "two.yaml"]);
    assert!(stderr(&output).contains("several MachineConfigurations"), "{}", stderr(&output));
}

#[test]
fn links_and_directories_without_output_are_refused() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    with(dir, "x", "");
    fs::rename(dir.join("new").join(LOADER), dir.join("moved.yaml")).unwrap();
    symlink("../moved.yaml", dir.join("new").join(LOADER)).unwrap();
    refused(dir, "diff installed new", "is a link");
    with(dir, "x", "");
    symlink("../installed", dir.join("new/more")).unwrap();
    refused(dir, "diff installed new", "is a link");
    // A directory named on the command line may be one.
    symlink("installed", dir.join("current")).unwrap();
    assert_eq!(stdout(&succeed(dir, "diff current installed")), "");

    for only in ["only-a", "only-b"] {
        fs::create_dir(dir.join(only)).unwrap();
        fs::copy(dir.join("bpf.yaml"), dir.join(only).join("bpf.yaml")).unwrap();
    }
    refused(dir, "diff only-a only-b", "none of them is compiled output");
    refused(dir, "diff installed only-a --exit-code", "none of them is compiled output");
    // Nothing at all is meant, and Git keeps no empty directory.
    fs::write(dir.join("empty/.gitkeep"), "").unwrap();
    assert!(stdout(&succeed(dir, "diff installed empty")).contains("removed"));
    assert_eq!(stdout(&succeed(dir, "diff empty empty")), "");
}

#[test]
fn a_kustomization_decides_what_is_applied() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o kustomized --format kustomize");
    assert_eq!(stdout(&succeed(dir, "diff installed kustomized --exit-code")), "", "its own form is read");

    let list = |name: &str, change: &dyn Fn(String) -> String| {
        let _ = fs::remove_dir_all(dir.join("new"));
        copy(dir, "kustomized", "new");
        let text = fs::read_to_string(dir.join("kustomized/kustomization.yaml")).unwrap();
        fs::remove_file(dir.join("new/kustomization.yaml")).unwrap();
        let changed = change(text.clone());
        fs::write(dir.join("new").join(name), &changed).unwrap();
        changed != text
    };
    for name in ["kustomization.yaml", "kustomization.yml", "Kustomization"] {
        assert!(list(name, &|text| text.replace(&format!("- '{LOADER}'\n"), "")));
        let said = stdout(&succeed(dir, "diff kustomized new"));
        assert!(said.contains("/usr/local/bin/nodebpf-loader") && said.contains("removed"), "{name}: {said}");
        assert!(said.contains("does not list 1 of the files beside it"), "{name}: {said}");
    }
    assert!(list("kustomization.yaml", &|text| text.replace("order: fifo", "order: legacy")));
    assert_eq!(stdout(&succeed(dir, "diff kustomized new --exit-code")), "");
    for (more, want) in [
        ("patches:\n- patch: '[]'\nresources:\n", "has more in it than a list"),
        ("resources:\n- more.yaml\n", "lists `more.yaml`, which is not there"),
        ("resources:\n- ../installed/99-worker-nodebpf-units.yaml\n", "has more in it than a list"),
    ] {
        let changed = list("kustomization.yaml", &|text| text.replace("resources:\n", more));
        assert!(changed);
        refused(dir, "diff kustomized new", want);
        refused(dir, "diff kustomized new", "kubectl kustomize DIR > new.yaml");
    }
    // One above several, as the guide on GitOps has it.
    fs::create_dir(dir.join("gitops")).unwrap();
    copy(dir, "kustomized", "gitops/install");
    let above = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- install\n";
    fs::write(dir.join("gitops/kustomization.yaml"), above).unwrap();
    assert_eq!(stdout(&succeed(dir, "diff installed gitops --exit-code")), "");
}

#[test]
fn a_restart_that_cannot_work_is_in_the_headline() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    let without = |name: &str, files: &[&str]| {
        copy(dir, "installed", name);
        for file in files {
            fs::remove_file(dir.join(name).join(file)).unwrap();
        }
    };
    without("no-loader", &[LOADER]);
    let others = ["units", "diag", "trust"].map(|what| format!("99-worker-nodebpf-{what}.yaml"));
    let others = others.each_ref().map(String::as_str);
    without("only-loader", &others);
    without("policy", &[&[LOADER][..], &others].concat());
    for (args, want) in [
        ("installed no-loader", "without /usr/local/bin/nodebpf-loader, which it runs"),
        ("policy no-loader", "without /usr/local/bin/nodebpf-loader, which it runs"),
        ("empty no-loader", "without /usr/local/bin/nodebpf-loader, which it runs"),
        ("empty only-loader", "and nothing brings it"),
        ("installed empty", "and removed at once"),
    ] {
        let report = json(dir, &format!("diff {args} --json"));
        assert_eq!(verdict(&report, "worker").as_deref(), Some("fails"), "{args}: {report}");
        let said = stdout(&succeed(dir, &format!("diff {args}")));
        assert!(said.contains(want), "{args}: {said}");
        assert!(said.contains("the restart fails: nodes go back and are degraded\n"), "{args}: {said}");
        assert!(!said.contains("no drain, no reboot"), "{args}: {said}");
        let said = stdout(&succeed(dir, &format!("diff {args} --markdown")));
        let headline = said.lines().find(|line| line.starts_with("| `worker`")).unwrap();
        assert!(headline.contains("the restart fails"), "{args}: {headline}");
        assert!(!said.contains("no drain, no reboot"), "{args}: {said}");
    }
    // All at once, or all there: nothing of that.
    for args in ["empty installed", "policy installed", "no-loader installed"] {
        let report = json(dir, &format!("diff {args} --json"));
        assert_eq!(verdict(&report, "worker").as_deref(), Some("act"), "{args}: {report}");
    }
}

#[test]
fn trees_of_several_pools_are_compared_by_pool() {
    let directory = project();
    let dir = directory.path();
    let tree = |revision: u32, pool: &str, out: &str| {
        fs::write(dir.join("bpf.yaml"), manifest(revision, 503)).unwrap();
        succeed(dir, &format!("compile bpf.yaml --key key.pem{pool} --format tree -o {out}"));
    };
    tree(3, "", "old");
    tree(4, "", "new");
    copy_all(&dir.join("old"), &dir.join("mixed"));
    fs::remove_dir_all(dir.join("mixed/tree/canary")).unwrap();
    copy_all(&dir.join("new/tree/canary"), &dir.join("mixed/tree/canary"));
    for (args, pools) in [
        ("old new", json!(["canary", "worker"])),
        ("old/tree new/tree", json!(["canary", "worker"])),
        ("old mixed", json!(["canary"])),
    ] {
        let report = json(dir, &format!("diff {args} --json"));
        assert_eq!(report["streams"][0]["pools"], pools, "{args}: {report}");
        assert_eq!(report["streams"].as_array().unwrap().len(), 1, "{args}: {report}");
    }
    // Beside MachineConfigs, each image stands for its own pool.
    succeed(dir, "compile bpf.yaml --key key.pem -o configs");
    let report = json(dir, "diff mixed configs --json");
    let revisions: Vec<_> = report["streams"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["old"]["revision"] != one["new"]["revision"])
        .map(|one| (&one["pools"], &one["old"]["revision"], &one["new"]["revision"]))
        .collect();
    assert_eq!(revisions, [(&json!(["worker"]), &json!(3), &json!(4))], "{report}");
    assert_eq!(report["pools"], json!([]), "{report}");
}

/// What comes by images and by Ignition reaches new nodes only; that it differs is said.
#[test]
fn files_of_images_and_ignition_configs_are_not_passed_over() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    for format in ["tree", "ignition"] {
        let install = |loader: &str, out: &str| {
            fs::write(dir.join("loader"), executable(62, None, loader.as_bytes())).unwrap();
            let what =
                format!("install --pool worker --trust trust.json --loader loader --format {format} -o {format}-{out}");
            succeed(dir, &what);
        };
        install("one", "a");
        install("one", "b");
        install("two", "c");
        assert_eq!(stdout(&succeed(dir, &format!("diff {format}-a {format}-b --exit-code"))), "");
        let args = format!("diff {format}-a {format}-c --exit-code");
        let output = nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{args}: {said}{}", stderr(&output));
        assert!(
            said.contains("1 object that changes is not judged") && said.contains("bin/nodebpf-loader\n"),
            "{args}: {said}"
        );
    }
}

#[test]
fn ignition_configs_do_not_hide_each_other() {
    let directory = project();
    let dir = directory.path();
    let ignition = |revision: u32, pool: &str, out: &str| {
        fs::write(dir.join("bpf.yaml"), manifest(revision, 503)).unwrap();
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool {pool} --format ignition -o {out}"));
    };
    ignition(3, "canary", "old");
    ignition(4, "worker", "old");
    refused(dir, "diff old old", "in two Ignition configs, with different values");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn octal_modes_releases_and_other_kinds() {
    let directory = project();
    let dir = directory.path();
    compile(dir, 3, "worker", "old");
    let name = "99-worker-nodebpf-stream-netops-frag.yaml";
    let text = fs::read_to_string(dir.join("old").join(name)).unwrap();
    assert!(text.contains("mode: 420\n"), "{text}");
    copy(dir, "old", "octal");
    fs::write(dir.join("octal").join(name), text.replace("mode: 420\n", "mode: 0644\n")).unwrap();
    assert_eq!(stdout(&succeed(dir, "diff old octal --exit-code")), "");

    let output = nodebpf(dir, &["diff", "old", "octal", "--ocp", "4.14-4.18"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("NB0505"), "{}", stderr(&output));

    let kubelet = |pods: u32| {
        json!({"apiVersion": "machineconfiguration.openshift.io/v1", "kind": "KubeletConfig",
               "metadata": {"name": "k"}, "spec": {"kubeletConfig": {"maxPods": pods}}})
        .to_string()
    };
    for (out, pods) in [("one", 1), ("two", 2)] {
        copy(dir, "old", out);
        fs::write(dir.join(out).join("kubelet.yaml"), kubelet(pods)).unwrap();
    }
    assert_eq!(stdout(&succeed(dir, "diff one one --exit-code")), "");
    let output = nodebpf(dir, &["diff", "one", "two", "--exit-code"]);
    assert_eq!(output.status.code(), Some(1), "something differs");
    let want = "note: 1 object that changes is not judged, and nodes may act upon it: KubeletConfig k\n";
    assert_eq!(stdout(&output), want);
    let said = stdout(&succeed(dir, "diff one two --markdown"));
    assert!(said.contains("KubeletConfig k") && !said.contains("Nothing changes"), "{said}");
    assert_eq!(json(dir, "diff one two --json")["others"], json!(["KubeletConfig k"]));
}

#[test]
fn a_trust_file_that_refuses_what_is_shipped_is_warned_of() {
    let directory = project();
    let dir = directory.path();
    install(dir);
    compile(dir, 3, "worker", "installed");
    let bundle = json(dir, "diff empty installed --json");
    let statement = bundle["streams"][0]["new"]["statement"].as_str().unwrap();
    let policy = fs::read_to_string(dir.join("policy.yaml")).unwrap().replace("version: 1", "version: 2");
    for (more, want) in [
        ("  floors: {netops-frag: 4}\n".to_owned(), "revision 3 is below the floor 4"),
        (format!("  revokedBundles: [\"{statement}\"]\n"), "is revoked; the stream ends; delete its MachineConfig"),
    ] {
        fs::write(dir.join("policy2.yaml"), format!("{policy}{more}")).unwrap();
        let _ = fs::remove_file(dir.join("trust2.json"));
        succeed(dir, "trust build policy2.yaml -o trust2.json");
        let _ = fs::remove_dir_all(dir.join("new"));
        copy(dir, "installed", "new");
        succeed(dir, "install --pool worker --trust trust2.json --loader loader -o new");
        for args in ["diff installed new", "diff installed new --markdown"] {
            let said = stdout(&succeed(dir, args));
            assert!(said.contains("it refuses stream netops-frag") && said.contains(want), "{args}: {said}");
        }
        fs::remove_file(dir.join("new/99-worker-nodebpf-stream-netops-frag.yaml")).unwrap();
        assert!(!stdout(&succeed(dir, "diff installed new")).contains("it refuses"), "deleted in the same change");
    }
}
