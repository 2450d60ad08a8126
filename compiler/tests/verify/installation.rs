//! What `nodebpf verify` says of an installation: as objects, as one object, as the tree of an image.

use std::{fs, path::Path};

use nodebpf::sign::carrier;
use serde_json::{Value, json};

use super::{
    CONFIG,
    support::{self, fail, project, stderr, succeed},
};

/// Files of `install` for pool worker, with both binaries, in a directory `I`.
fn installation(format: &str) -> tempfile::TempDir {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"x")).unwrap();
    fs::write(dir.join("diag"), support::binary("nodebpf-diag", b"y")).unwrap();
    succeed(dir, &format!("install --pool worker --trust trust.json --loader loader --diag diag -o I{format}"));
    directory
}

fn object(directory: &Path, what: &str) -> Value {
    let bytes = fs::read(directory.join(format!("I/99-worker-nodebpf-{what}.yaml"))).unwrap();
    carrier::documents(&bytes).unwrap().remove(0)
}

/// What a node could not use, or would use otherwise, is not there.
#[test]
fn a_piece_that_nodes_could_not_use_is_no_piece() {
    let directory = installation("");
    let dir = directory.path();
    let said = succeed(dir, "verify --strict --trust trust.json I");
    assert!(stderr(&said).contains("pieces of the installation: 4;"), "{}", stderr(&said));
    fs::write(dir.join("other"), support::executable(62, None, b"other")).unwrap();
    succeed(dir, "install --pool worker --trust trust.json --loader other --no-diag -o O");
    let mut second =
        carrier::documents(&fs::read(dir.join("O/99-worker-nodebpf-loader.yaml")).unwrap()).unwrap().remove(0);
    second["metadata"]["name"] = "99-worker-zz".into();
    let file = |what: &str, key: &str, value: Value| {
        let mut object = object(dir, what);
        object["spec"]["config"]["storage"]["files"][0][key] = value;
        object
    };
    let units = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut object = object(dir, "units");
        change(object["spec"]["config"]["systemd"]["units"].as_array_mut().unwrap());
        object
    };
    let mut no_rule = object(dir, "units");
    no_rule["spec"]["config"]["storage"]["files"] = json!([]);
    let mut nothing = no_rule.clone();
    nothing["spec"]["config"]["systemd"]["units"] = json!([]);
    let evil = json!({"name": "nodebpf-evil.service", "enabled": true, "contents": "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"});
    let cases: Vec<(&str, Value, i32, &str)> = vec![
        ("a loader that cannot run", file("loader", "mode", json!(0o644)), 1, "has mode 0644, and must have 0755"),
        ("a loader that all may write", file("loader", "mode", json!(0o777)), 1, "has mode 0777"),
        ("another binary that cannot run", file("diag", "mode", json!(0o644)), 1, "has mode 0644"),
        (
            "a trust file that all may write",
            file("trust", "mode", json!(0o666)),
            1,
            "has mode 0666, and must have 0644",
        ),
        ("a rule that all may write", file("units", "mode", json!(0o666)), 1, "has mode 0666"),
        ("a loader of somebody else", file("loader", "user", json!({"id": 1000})), 1, "another user than root"),
        (
            "a loader by another path",
            file("loader", "path", json!("/var/usrlocal/bin/nodebpf-loader")),
            1,
            "another spelling of a path of nodebpf",
        ),
        (
            "a unit less",
            units(&|units| units.retain(|unit| unit["name"] != "nodebpf.service")),
            0,
            "unit `nodebpf.service` is missing",
        ),
        ("no units", units(&|units| units.clear()), 0, "unit `nodebpf-early.service` is missing"),
        ("no rule", no_rule, 0, "`/etc/udev/rules.d/90-nodebpf.rules` is missing"),
        ("neither", nothing, 1, "by its name it brings `units`, and it does not"),
        ("a unit more", units(&|units| units.push(evil.clone())), 0, "this release has no unit `nodebpf-evil.service`"),
        ("another loader", second, 0, "in `I/99-worker-nodebpf-loader.yaml` and in `I/"),
    ];
    for (name, object, exit, want) in cases {
        let own = object["metadata"]["name"].as_str().unwrap().to_owned();
        let place = dir.join(format!("I/{own}.yaml"));
        let before = fs::read(&place).ok();
        fs::write(&place, object.to_string()).unwrap();
        let code = if exit == 1 { "NB0633" } else { "NB0634" };
        for (args, exit) in [("verify --trust trust.json I", exit), ("verify --strict --trust trust.json I", 1)] {
            let output = support::nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(exit), "case {name}: {said}");
            assert!(said.contains(want) && said.contains(code), "case {name}: {said}");
        }
        match before {
            Some(before) => fs::write(&place, before).unwrap(),
            None => fs::remove_file(&place).unwrap(),
        }
    }
    // A bundle that all may write.
    succeed(dir, "compile bpf.yaml --key key.pem --pool worker -o B");
    let place = dir.join("B").join(CONFIG);
    let config = fs::read_to_string(&place).unwrap();
    succeed(dir, "verify --strict --trust trust.json B");
    fs::write(&place, config.replace("mode: 420", "mode: 438")).unwrap();
    assert!(fail(dir, "verify --trust trust.json B", 1).contains("has mode 0666, and must have 0644"));
}

/// `99-<pool>-nodebpf`, which had loader, units and rule in one, still is an installation.
#[test]
fn an_installation_in_one_object_is_one() {
    let directory = installation("");
    let dir = directory.path();
    let (mut one, loader, diag) = (object(dir, "units"), object(dir, "loader"), object(dir, "diag"));
    one["metadata"]["name"] = "99-worker-nodebpf".into();
    one["metadata"]["annotations"] = loader["metadata"]["annotations"].clone();
    let annotations = one["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.extend(diag["metadata"]["annotations"].as_object().unwrap().clone());
    let files = one["spec"]["config"]["storage"]["files"].as_array_mut().unwrap();
    for more in [loader, diag] {
        files.push(more["spec"]["config"]["storage"]["files"][0].clone());
    }
    for what in ["units", "loader", "diag"] {
        fs::remove_file(dir.join(format!("I/99-worker-nodebpf-{what}.yaml"))).unwrap();
    }
    fs::write(dir.join("I/99-worker-nodebpf.yaml"), one.to_string()).unwrap();
    let said = succeed(dir, "verify --strict --trust trust.json I");
    assert!(stderr(&said).contains("pieces of the installation: 4;"), "{}", stderr(&said));
}

/// What somebody does to a tree.
#[cfg(unix)]
type Change<'a> = Box<dyn Fn() + 'a>;

/// The tree of an image is judged as objects are.
#[cfg(unix)]
#[test]
fn an_installation_in_a_tree_is_known() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let directory = installation(" --format tree");
    let dir = directory.path();
    let root = dir.join("I/tree/worker/rootfs");
    let said = succeed(dir, "verify --strict --trust trust.json I");
    // The Containerfile.
    let sound = "bundles verified: 0, refused: 0; pieces of the installation: 4; other files: 1\n";
    assert_eq!(stderr(&said), sound);
    let named = format!("verify --strict --trust trust.json {}", root.join("usr/lib/nodebpf/trust.json").display());
    succeed(dir, &named);
    let units = "usr/lib/systemd/system";
    let chmod = |path: &str, mode| fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).unwrap();
    let append = |path: &str| {
        let bytes = fs::read(root.join(path)).unwrap();
        fs::write(root.join(path), [&bytes[..], b"\ngarbage"].concat()).unwrap();
    };
    let loader = "usr/bin/nodebpf-loader";
    let wants = fs::read_dir(root.join(units)).unwrap().map(|entry| entry.unwrap().path());
    let wants = wants.filter(|path| path.is_dir()).map(|path| path.join("nodebpf.service"));
    let link = wants.filter(|path| path.symlink_metadata().is_ok()).min().unwrap();
    let cases: Vec<(&str, Change, i32, &str)> = vec![
        ("a trust file", Box::new(|| append("usr/lib/nodebpf/trust.json")), 1, "is not a trust file"),
        ("its mode", Box::new(|| chmod("usr/lib/nodebpf/trust.json", 0o664)), 1, "has mode 0664, and must have 0644"),
        ("a loader that cannot run", Box::new(|| chmod(loader, 0o644)), 1, "has mode 0644, and must have 0755"),
        ("a loader that is a script", Box::new(|| fs::write(root.join(loader), "#!/bin/sh").unwrap()), 1, "NB0504"),
        (
            "a loader that is a link",
            Box::new(|| {
                fs::remove_file(root.join(loader)).unwrap();
                symlink("/bin/sh", root.join(loader)).unwrap();
            }),
            1,
            "is a link, and must be a file",
        ),
        ("a unit", Box::new(|| append(&format!("{units}/nodebpf.service"))), 0, "is not as this release writes it"),
        (
            "a unit less",
            Box::new(|| fs::remove_file(root.join(units).join("nodebpf.service")).unwrap()),
            0,
            "`/usr/lib/systemd/system/nodebpf.service` is missing",
        ),
        ("a unit that is off", Box::new(|| fs::remove_file(&link).unwrap()), 0, ".wants/nodebpf.service` is missing"),
        (
            "a unit more",
            Box::new(|| fs::write(root.join(units).join("nodebpf-evil.service"), "x").unwrap()),
            0,
            "is no file of this release",
        ),
        (
            "a unit that is masked",
            Box::new(|| {
                fs::create_dir_all(root.join("etc/systemd/system")).unwrap();
                symlink("/dev/null", root.join("etc/systemd/system/nodebpf.service")).unwrap();
            }),
            0,
            "is no file of this release",
        ),
    ];
    for (name, change, exit, want) in cases {
        change();
        for (args, exit) in [("verify --trust trust.json I", exit), ("verify --strict --trust trust.json I", 1)] {
            let output = support::nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(exit), "case {name}: {said}");
            assert!(said.contains(want), "case {name}: {said}");
        }
        fs::remove_dir_all(dir.join("I")).unwrap();
        succeed(dir, "install --pool worker --trust trust.json --loader loader --diag diag --format tree -o I");
        assert_eq!(stderr(&succeed(dir, "verify --trust trust.json I")), sound, "after case {name}");
    }
    // Without group and others, as a strict umask leaves it, an image works.
    chmod(loader, 0o700);
    chmod("usr/lib/nodebpf/trust.json", 0o600);
    succeed(dir, "verify --strict --trust trust.json I");
}

/// A pool that no installation is for: a name that is misspelled is seen by nobody else.
#[test]
fn streams_without_an_installation_for_their_pool_are_warned_of() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"x")).unwrap();
    let pools = fs::read_to_string(dir.join("bpf.yaml")).unwrap().replace("[worker, edge]", "[worker, edge, master]");
    fs::write(dir.join("bpf.yaml"), pools).unwrap();
    for (case, installed, stream, warned) in [
        ("misspelled", Some("wroker"), "worker", true),
        ("own", Some("worker"), "worker", false),
        ("inherited", Some("worker"), "edge", false),
        ("of its own only", Some("edge"), "edge", false),
        ("not inherited by its parent", Some("edge"), "worker", true),
        ("masters inherit nothing", Some("worker"), "master", true),
        ("apart", None, "worker", false),
    ] {
        let out = format!("{}-{stream}", installed.unwrap_or("nothing"));
        succeed(dir, &format!("compile bpf.yaml --key key.pem --pool {stream} -o {out}"));
        if let Some(pool) = installed {
            succeed(dir, &format!("install --pool {pool} --trust trust.json --loader loader --no-diag -o {out}"));
        }
        for (flag, exit) in [("", 0), (" --strict", i32::from(warned))] {
            let args = format!("verify --trust trust.json{flag} {out}");
            let output = support::nodebpf(dir, &args.split(' ').collect::<Vec<_>>());
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(exit), "case {case}: {said}");
            let want = format!("pool `{stream}` has streams and no installation; there is one for");
            assert_eq!(said.contains("NB0635") && said.contains(&want), warned, "case {case}: {said}");
        }
    }
    // An image may bring it to any pool.
    succeed(dir, "install --pool worker --trust trust.json --loader loader --no-diag --format tree -o wroker-worker");
    succeed(dir, "verify --strict --trust trust.json wroker-worker");
}
