//! Every road to a node brings the same: MachineConfig, Ignition, a GitOps directory, the image of a node.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeMap, fs, io::Write as _, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::Value;
use support::{fail, node_files, project, stdout, succeed};

const BOTH: &str = "--format machineconfig,ignition,kustomize,tree";

/// Everything of a stream and an installation, on all roads, in `out/app` and `out/base`.
fn delivered() -> tempfile::TempDir {
    let directory = project();
    let dir = directory.path();
    fs::write(dir.join("loader"), support::executable(62, None, &support::noise(3000))).unwrap();
    fs::write(dir.join("nodebpf-diag"), support::binary("nodebpf-diag", b"diag")).unwrap();
    succeed(dir, "trust build policy.yaml -o trust.json");
    succeed(dir, &format!("install --pool worker --trust trust.json --loader loader -o out/base {BOTH}"));
    succeed(dir, &format!("compile bpf.yaml --key key.pem --pool worker -o out/app {BOTH}"));
    directory
}

/// Files below `root`: mode and bytes; a link's target stands for its bytes.
fn files(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let meta = path.symlink_metadata().unwrap();
            let name = format!("/{}", path.strip_prefix(root).unwrap().display());
            if meta.is_symlink() {
                found.insert(name, (0, fs::read_link(&path).unwrap().to_str().unwrap().into()));
            } else if meta.is_dir() {
                folders.push(path);
            } else {
                found.insert(name, (meta.permissions().mode() & 0o7777, fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// What an image has elsewhere than a MachineConfig writes it.
const MOVED: [(&str, &str); 4] = [
    ("/etc/nodebpf/trust.json", "/usr/lib/nodebpf/trust.json"),
    ("/etc/systemd/system/", "/usr/lib/systemd/system/"),
    ("/etc/udev/rules.d/", "/usr/lib/udev/rules.d/"),
    ("/usr/local/bin/", "/usr/bin/"),
];

/// The text of a unit as an image has it: another path of the loader, and nothing relabels it.
fn of_image(unit: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(unit.to_vec()).unwrap();
    let relabels = |line: &&str| line.contains("restorecon") || line.contains("relabelling");
    let lines: Vec<_> = text.lines().filter(|line| !relabels(line)).collect();
    (lines.join("\n") + "\n").replace("/usr/local/bin/nodebpf-loader", "/usr/bin/nodebpf-loader").into()
}

#[test]
fn an_image_has_what_ignition_lays() {
    let directory = delivered();
    let dir = directory.path();
    let configs: Vec<_> = [
        "base/99-worker-nodebpf-units",
        "base/99-worker-nodebpf-diag",
        "base/99-worker-nodebpf-loader",
        "base/99-worker-nodebpf-trust",
        "app/99-worker-nodebpf-stream-netops-frag",
    ]
    .map(|name| serde_json::from_slice(&fs::read(dir.join(format!("out/{name}.ign"))).unwrap()).unwrap())
    .into();
    support::ignition::lay(&configs, dir).unwrap();
    let mut laid = files(&dir.join("root"));
    let preset = laid.remove("/etc/systemd/system-preset/20-ignition.preset").unwrap().1;
    // Ignition's own.
    laid.remove("/etc/.ignition-result.json");
    laid.remove("/etc/selinux/config");
    let laid: BTreeMap<_, _> = laid
        .into_iter()
        .map(|(path, (mode, bytes))| {
            let moved = MOVED.iter().find_map(|(from, to)| Some(format!("{to}{}", path.strip_prefix(from)?)));
            let bytes = if path.contains("/systemd/") { of_image(&bytes) } else { bytes };
            (moved.unwrap_or(path), (mode, bytes))
        })
        .collect();
    // The tree as an image would have it: both trees over one root.
    let root = dir.join("image");
    for tree in ["base", "app"] {
        let from = dir.join(format!("out/{tree}/tree/worker/rootfs/."));
        fs::create_dir_all(&root).unwrap();
        let copied = Command::new("cp").arg("-a").arg(from).arg(&root).status().unwrap();
        assert!(copied.success());
    }
    let (links, image): (BTreeMap<_, _>, _) = files(&root).into_iter().partition(|(_, (mode, _))| *mode == 0);
    assert_eq!(image.keys().collect::<Vec<_>>(), laid.keys().collect::<Vec<_>>());
    for (path, (mode, bytes)) in &laid {
        assert_eq!(image[path].0, *mode, "{path}");
        assert_eq!(String::from_utf8_lossy(&image[path].1), String::from_utf8_lossy(bytes), "{path}");
    }
    // Enabled here by links, there by the presets of a first boot: the same units.
    let preset = String::from_utf8(preset).unwrap();
    let mut enabled: Vec<_> = preset.lines().filter_map(|line| line.strip_prefix("enable ")).collect();
    enabled.sort_unstable();
    let mut linked: Vec<_> = links.keys().map(|path| path.rsplit('/').next().unwrap()).collect();
    linked.sort_unstable();
    linked.dedup();
    assert_eq!(linked, enabled);
    assert_eq!(linked.len(), 5);
}

#[test]
fn every_format_carries_the_same_files() {
    let directory = delivered();
    let out = directory.path().join("out");
    for stem in [
        "base/99-worker-nodebpf-units",
        "base/99-worker-nodebpf-diag",
        "base/99-worker-nodebpf-loader",
        "base/99-worker-nodebpf-trust",
        "app/99-worker-nodebpf-stream-netops-frag",
    ] {
        let read = |end: &str| node_files(&fs::read(out.join(format!("{stem}.{end}"))).unwrap());
        assert_eq!(read("yaml"), read("ign"), "{stem}");
    }
    // One format at a time writes what all at once write.
    let dir = directory.path();
    for format in ["machineconfig", "ignition", "kustomize", "tree"] {
        succeed(
            dir,
            &format!("install --pool worker --trust trust.json --loader loader -o one/base --format {format}"),
        );
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool worker -o one/app --format {format}"));
    }
    assert_eq!(files(&dir.join("one")), files(&out));
}

#[test]
fn modes_in_a_tree_do_not_depend_on_the_umask() {
    let directory = delivered();
    let dir = directory.path();
    let line = format!(
        "umask 077; exec {} install --pool worker --trust trust.json --loader loader -o strict --format tree",
        env!("CARGO_BIN_EXE_nodebpf")
    );
    assert!(Command::new("sh").args(["-c", &line]).current_dir(dir).status().unwrap().success());
    assert_eq!(files(&dir.join("strict/tree")), files(&dir.join("out/base/tree")));
    for binary in ["nodebpf-loader", "nodebpf-diag"] {
        assert_eq!(files(&dir.join("strict/tree"))[&format!("/worker/rootfs/usr/bin/{binary}")].0, 0o755);
    }
}

#[test]
fn a_tree_is_written_whole_or_not_at_all() {
    let directory = delivered();
    let dir = directory.path();
    // A directory where a unit has to go: the last step fails.
    fs::create_dir_all(dir.join("broken/tree/worker/rootfs/usr/lib/udev/rules.d/90-nodebpf.rules")).unwrap();
    fail(dir, &format!("install --pool worker --trust trust.json --loader loader -o broken {BOTH}"), 3);
    assert_eq!(files(&dir.join("broken")), BTreeMap::new());
}

#[test]
fn stdout_takes_one_document_format_only() {
    let directory = project();
    for format in ["kustomize", "tree", "machineconfig,ignition"] {
        fail(directory.path(), &format!("compile bpf.yaml --key key.pem --format {format}"), 2);
    }
}

/// `kubectl kustomize`, whose `kustomize` is the library that Argo CD uses.
#[test]
fn kustomize_builds_the_directory() {
    let directory = delivered();
    let dir = directory.path();
    let kubectl = |words: &[&str]| {
        Command::new("kubectl").args(words).current_dir(dir).output().unwrap_or_else(|error| {
            panic!("kubectl: {error}; type `cargo xtask setup`, or: apt-get install kubernetes-client")
        })
    };
    // Debian 12's has kustomize 2.0, which knows no order and takes no directory under `resources`.
    let ordered = stdout(&kubectl(&["version", "--client"])).contains("Kustomize Version: v5");
    let (list, order) = if ordered { ("resources", "sortOptions:\n  order: fifo\n") } else { ("bases", "") };
    let above =
        format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{list}: [base, app]\n{order}");
    fs::write(dir.join("out/kustomization.yaml"), above).unwrap();
    if !ordered {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: this `kubectl` is older than 1.27; order in kustomizations not tried"
        );
        for part in ["base", "app"] {
            let path = dir.join("out").join(part).join("kustomization.yaml");
            let text = fs::read_to_string(&path).unwrap().replace("sortOptions:\n  order: fifo\n", "");
            fs::write(path, text).unwrap();
        }
    }
    let output = kubectl(&["kustomize", "out"]);
    assert!(output.status.success(), "{}", support::stderr(&output));
    let built: Vec<Value> = serde_saphyr::from_slice_multiple(&output.stdout).unwrap();
    let kinds: Vec<_> = built.iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "MachineConfig").count(), 5, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "MachineConfiguration").count(), 1, "{kinds:?}");
    // What nodes need first comes first: the policy, binaries, the trust file, units.
    let names: Vec<_> = built.iter().map(|one| one["metadata"]["name"].as_str().unwrap()).collect();
    let wanted = [
        "cluster",
        "99-worker-nodebpf-diag",
        "99-worker-nodebpf-loader",
        "99-worker-nodebpf-trust",
        "99-worker-nodebpf-units",
        "99-worker-nodebpf-stream-netops-frag",
    ];
    assert!(!ordered || names == wanted, "{names:?}");
    // What it built is what we wrote.
    for path in ["base/00-nodebpf-machineconfiguration.yaml", "base/99-worker-nodebpf-units.yaml"] {
        let ours: Value = serde_saphyr::from_slice(&fs::read(dir.join("out").join(path)).unwrap()).unwrap();
        assert!(built.contains(&ours), "{path}");
    }
}

/// A `kustomization.yaml` is replaced by one over the same files, and by nothing else.
#[test]
fn a_second_run_replaces_its_own_kustomization() {
    let directory = delivered();
    let dir = directory.path();
    let line = format!("compile bpf.yaml --key key.pem --pool worker -o out/app {BOTH}");
    let before = files(&dir.join("out"));
    succeed(dir, &line);
    assert_eq!(files(&dir.join("out")), before);
    let text = fail(dir, "compile bpf.yaml --key key.pem --pool worker -o out/base --format kustomize", 1);
    assert!(text.contains("NB0520"), "{text}");
    assert_eq!(files(&dir.join("out")), before);
}

/// An upgrade of the loader changes one file, so that nodes restart one service.
#[test]
fn a_new_loader_changes_one_file_and_no_unit() {
    let directory = delivered();
    let dir = directory.path();
    fs::write(dir.join("loader"), support::executable(62, None, &support::noise(4000))).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader loader -o new");
    let config = |path: &str| -> Value {
        let document: Value = serde_saphyr::from_slice(&fs::read(dir.join(path)).unwrap()).unwrap();
        document["spec"]["config"].clone()
    };
    let units = |from: &str| fs::read(dir.join(from).join("99-worker-nodebpf-units.yaml")).unwrap();
    assert_eq!(units("out/base"), units("new"));
    let loader = |from: &str| config(&format!("{from}/99-worker-nodebpf-loader.yaml"));
    let (old, new) = (loader("out/base"), loader("new"));
    let lists = [&old, &new].map(|config| config.pointer("/storage/files").unwrap().as_array().unwrap().clone());
    let changed: Vec<_> = lists[0].iter().zip(&lists[1]).filter(|(a, b)| a != b).map(|(a, _)| &a["path"]).collect();
    assert_eq!(changed, ["/usr/local/bin/nodebpf-loader"]);
    assert_eq!((lists[0].len(), old.get("systemd")), (1, None), "all else is in objects that did not change");
    let policy: Value =
        serde_saphyr::from_slice(&fs::read(dir.join("new/00-nodebpf-machineconfiguration.yaml")).unwrap()).unwrap();
    let files = policy.pointer("/spec/nodeDisruptionPolicy/files").unwrap().as_array().unwrap();
    let entry = files.iter().find(|file| file["path"] == "/usr/local/bin/nodebpf-loader").unwrap();
    let wanted = serde_json::json!([
        {"type": "DaemonReload"},
        {"type": "Restart", "restart": {"serviceName": "nodebpf-apply.service"}},
    ]);
    assert_eq!(entry["actions"], wanted);
    // The other binary has an object of its own, and nothing is to be done when it changes.
    let read = |from: &str| fs::read(dir.join(from).join("99-worker-nodebpf-diag.yaml")).unwrap();
    assert_eq!(read("out/base"), read("new"));
    let entry = files.iter().find(|file| file["path"] == "/usr/local/bin/nodebpf-diag").unwrap();
    assert_eq!(entry["actions"], serde_json::json!([{"type": "None"}]));
}

#[test]
fn without_diag_nothing_of_it_is_written() {
    let directory = delivered();
    let dir = directory.path();
    succeed(dir, &format!("install --pool worker --trust trust.json --loader loader -o less {BOTH} --no-diag"));
    let (with, without) = (files(&dir.join("out/base")), files(&dir.join("less")));
    let mut gone: Vec<_> = with.keys().filter(|name| !without.contains_key(*name)).map(String::as_str).collect();
    gone.sort_unstable();
    let wanted =
        ["/99-worker-nodebpf-diag.ign", "/99-worker-nodebpf-diag.yaml", "/tree/worker/rootfs/usr/bin/nodebpf-diag"];
    assert_eq!(gone, wanted);
    // All else is as before, but for the list of what there is.
    for (name, content) in without.iter().filter(|(name, _)| *name != "/kustomization.yaml") {
        assert_eq!(Some(content), with.get(name), "{name}");
    }
    fs::remove_file(dir.join("nodebpf-diag")).unwrap();
    let text = fail(dir, "install --pool worker --trust trust.json --loader loader -o none", 3);
    assert!(text.contains("--no-diag") && text.contains("nodebpf-diag`"), "{text}");
}
