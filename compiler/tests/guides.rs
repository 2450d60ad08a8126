//! The guides of delivery do what they say: each `console` block runs, line by line, in one directory for each guide.
//!
//! ```text
//! $ nodebpf …, $ kubectl …   is run and must succeed
//! $ oc …, $ podman …         needs a cluster or a registry; not run. Files that `oc apply` names must be there, objects
//!                            that `oc delete` names must be what the commands of the guides write
//! $ coreos-installer …       not run; files that it names must be there
//! $ before="$(oc …)", $ rolled_out POOL "$before"
//!                            the wait of the quick start, always in this order; its function is run by a test of its own
//! $ sudo /usr/local/bin/nodebpf-loader …
//!                            every word of it must be in the loader's own help; also behind `oc debug … chroot /host`.
//!                            The whole path: RHEL's `secure_path` has no `/usr/local/bin`
//! yaml manifest              becomes bpf.yaml and must compile
//! yaml file=PATH             becomes that file
//! yaml                       must be YAML
//! text, sh, ini, c           shown; not run
//! ```

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, io::Write as _, path::Path, process::Command};

use support::{crate_dir, stderr, workdir};

/// Below `docs/guides`.
const GUIDES: [&str; 10] = [
    "bug-patch",
    "emergency-stop",
    "gitops-argocd",
    "offline-image",
    "production",
    "quickstart",
    "removal",
    "troubleshooting",
    "upgrade",
    "../../examples/drop-frag-needed/README",
];

/// Info strings and texts of fenced blocks, with their indentation taken off.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(info)) => open = Some((info.to_owned(), line.len() - line.trim_start().len(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take().map(|(info, _, block)| (info, block))),
            (Some((_, indent, block)), None) => block.extend([line.get(*indent..).unwrap_or_default(), "\n"]),
            (None, None) => {}
        }
    }
    found
}

/// A directory with what the guides take for granted: a manifest, a policy, objects, a loader, what a cluster has (`live`).
fn desk() -> tempfile::TempDir {
    let directory = workdir();
    let example = crate_dir().parent().unwrap().join("examples/drop-frag-needed");
    for file in ["bpf.yaml", "policy.yaml"] {
        let text = fs::read_to_string(example.join(file)).unwrap();
        fs::write(directory.path().join(file), in_the_future(&text)).unwrap();
    }
    fs::create_dir(directory.path().join("live")).unwrap();
    for entry in fs::read_dir(crate_dir().parent().unwrap().join("examples/machineconfigs")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join("live").join(path.file_name().unwrap())).unwrap();
    }
    // As `make dist` lays them: all beside each other, and nowhere in the working directory.
    let bin = directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for binary in ["nodebpf-loader", "nodebpf-diag"] {
        fs::write(bin.join(binary), support::binary(binary, b"x")).unwrap();
    }
    let (ours, here) = (env!("CARGO_BIN_EXE_nodebpf"), bin.join("nodebpf"));
    fs::hard_link(ours, &here).or_else(|_| fs::copy(ours, &here).map(drop)).unwrap();
    directory
}

/// Who starts from the example and misspells a pool hears of it from `check`, before anything is compiled.
#[test]
fn the_example_finds_a_misspelled_pool() {
    let directory = desk();
    let dir = directory.path();
    support::succeed(dir, "keygen -o keys");
    support::succeed(dir, "check bpf.yaml --policy policy.yaml --at 2097-01-01T00:00:00Z");
    let text = fs::read_to_string(dir.join("bpf.yaml")).unwrap();
    assert!(text.contains("pools: [worker]"), "{text}");
    fs::write(dir.join("bpf.yaml"), text.replace("pools: [worker]", "pools: [workers]")).unwrap();
    let said = support::fail(dir, "check bpf.yaml --policy policy.yaml --at 2097-01-01T00:00:00Z", 1);
    assert!(said.contains("NB0391") && said.contains("did you mean `worker`?"), "{said}");
}

/// The documents are to be sound after their dates as well.
fn in_the_future(text: &str) -> String {
    text.replace("2027-", "2097-")
}

fn run(dir: &Path, line: &str, usage: &str) -> Result<(), String> {
    let words: Vec<_> = line.split_whitespace().collect();
    match words[0] {
        "nodebpf" => {
            let output = Command::new(dir.join("bin/nodebpf")).args(&words[1..]).current_dir(dir).output().unwrap();
            if output.status.success() { Ok(()) } else { Err(stderr(&output)) }
        }
        "kubectl" => match Command::new("kubectl").args(&words[1..]).current_dir(dir).output() {
            Ok(output) if output.status.success() => Ok(()),
            // Before 1.27 its kustomize has no `sortOptions`; before 1.21, as in Debian 12, no directory under `resources`.
            Ok(output) if ["must be a file", "sortOptions"].iter().any(|text| stderr(&output).contains(text)) => {
                let _ = writeln!(std::io::stderr(), "SKIPPED: this `kubectl` is older than 1.27; not run: {line}");
                Ok(())
            }
            Ok(output) => Err(stderr(&output)),
            Err(error) => Err(format!("{error}; type `cargo xtask setup`, or: apt-get install kubernetes-client")),
        },
        "oc" => of_a_cluster(dir, &words[1..], usage),
        "podman" => Ok(()),
        "coreos-installer" => {
            let missing = words.windows(2).find(|pair| pair[0].ends_with("-ignition") && !dir.join(pair[1]).is_file());
            missing.map_or(Ok(()), |pair| Err(format!("there is no `{}`", pair[1])))
        }
        "rolled_out" if words.len() == 3 && words[2] == "\"$before\"" => Ok(()),
        _ if line == before(line.split_whitespace().nth(3).unwrap_or_default()) => Ok(()),
        "sudo" if words[1] == nodebpf::lower::unit::LOADER_PATH => of_the_loader(&words[2..], usage),
        other => Err(format!("nobody runs `{other}`")),
    }
}

/// The line before a change, for the wait after it.
fn before(pool: &str) -> String {
    format!(r#"before="$(oc get machineconfigpool {pool} -o jsonpath='{{.spec.configuration.name}}')""#)
}

/// What can be said of a command without a cluster.
fn of_a_cluster(dir: &Path, words: &[&str], usage: &str) -> Result<(), String> {
    match words {
        ["debug", _, "--", "chroot", "/host", path, words @ ..] if path.ends_with("nodebpf-loader") => {
            if *path != nodebpf::lower::unit::LOADER_PATH {
                return Err(format!("`{path}`: give the whole path"));
            }
            of_the_loader(words, usage)
        }
        ["apply", .., "-f", path] if !dir.join(path).exists() => Err(format!("there is no `{path}`")),
        ["delete", "machineconfig", names @ ..] => {
            let written = [installed(), streams()].concat();
            match names.iter().find(|name| {
                !name.starts_with('-') && **name != "nodebpf.io/stream" && !written.contains(&(**name).to_owned())
            }) {
                Some(name) => Err(format!("no command writes `{name}`, but {written:?}")),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn of_the_loader(words: &[&str], usage: &str) -> Result<(), String> {
    let known = |word: &&&str| usage.contains(&format!(" {word}")) || usage.contains(&format!("[{word}"));
    let checked = words.iter().filter(|word| word.starts_with("--") || **word == words[0]);
    match checked.clone().find(|word| !known(word)) {
        Some(word) => Err(format!("nodebpf-loader does not know `{word}`")),
        None => Ok(()),
    }
}

/// Names of the MachineConfigs that a command writes on the desk.
fn written(commands: &[&str]) -> Vec<String> {
    let directory = desk();
    for line in commands {
        support::succeed(directory.path(), line);
    }
    let entries = fs::read_dir(directory.path().join("out")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_str().unwrap().strip_suffix(".yaml").unwrap().to_owned());
    names.filter(|name| format!("{name}.yaml") != nodebpf::lower::disruption::FILE_NAME).collect()
}

fn installed() -> Vec<String> {
    let install = "install --pool worker --trust trust.json --loader bin/nodebpf-loader -o out";
    written(&["keygen -o keys", "trust build policy.yaml -o trust.json", install])
}

fn streams() -> Vec<String> {
    written(&["keygen -o keys", "compile bpf.yaml --key keys/private.pem -o out"])
}

#[test]
fn guides_do_what_they_say() {
    let docs = crate_dir().parent().unwrap().join("docs/guides");
    let usage = fs::read_to_string(crate_dir().parent().unwrap().join("runtime-loader/src/cli.rs")).unwrap();
    let mut problems = Vec::new();
    for guide in GUIDES {
        let text = fs::read_to_string(docs.join(format!("{guide}.md"))).unwrap();
        let directory = desk();
        if !text.contains("$ nodebpf keygen -o keys") {
            support::succeed(directory.path(), "keygen -o keys");
            support::succeed(directory.path(), "trust build policy.yaml -o trust.json");
        }
        let mut commands = 0;
        for (info, block) in blocks(&text) {
            let mut say = |what: String| problems.push(format!("{guide}: {what}"));
            let words: Vec<_> = info.split_whitespace().collect();
            match words[..] {
                ["console"] => {
                    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
                        commands += 1;
                        if let Err(error) = run(directory.path(), line, &usage) {
                            say(format!("{line}\n{error}"));
                        }
                    }
                }
                ["yaml", "manifest"] => fs::write(directory.path().join("bpf.yaml"), in_the_future(&block)).unwrap(),
                ["yaml", place] => {
                    let path = directory.path().join(place.strip_prefix("file=").unwrap());
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(path, &block).unwrap();
                }
                ["yaml" | "text" | "sh" | "ini" | "c"] => {}
                _ => say(format!("a block of `{info}`")),
            }
            if words.first() == Some(&"yaml")
                && let Err(error) = serde_saphyr::from_str::<serde_json::Value>(&block)
            {
                say(format!("{error}\n{block}"));
            }
        }
        assert!(commands > 1, "{guide} has no commands");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Removal undoes what `install` covers: every entry of the policy, and no other.
#[test]
fn the_removal_guide_names_every_entry() {
    let directory = desk();
    let dir = directory.path();
    support::succeed(dir, "keygen -o keys");
    support::succeed(dir, "trust build policy.yaml -o trust.json");
    support::succeed(dir, "install --pool worker --trust trust.json --loader bin/nodebpf-loader -o out");
    let guide = fs::read_to_string(crate_dir().parent().unwrap().join("docs/guides/removal.md")).unwrap();
    let (_, block) = blocks(&guide).into_iter().find(|(info, _)| info == "yaml file=remove.yaml").unwrap();
    let entries = |text: &str| {
        let value: serde_json::Value = serde_saphyr::from_str(text).unwrap();
        let lists =
            ["files", "units"].map(|list| value["spec"]["nodeDisruptionPolicy"][list].as_array().unwrap().clone());
        let name = |entry: &serde_json::Value| entry.get("path").or(entry.get("name")).unwrap().clone().to_string();
        let mut names: Vec<_> = lists.iter().flatten().map(name).collect();
        names.sort();
        names
    };
    let policy = fs::read_to_string(dir.join("out/00-nodebpf-machineconfiguration.yaml")).unwrap();
    assert_eq!(entries(&block), entries(&policy));
    // With it the installation goes without a step that could fail; with that of `install` it would not.
    fs::write(dir.join("remove.yaml"), block).unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    for (options, verdict, warned) in [("--policy remove.yaml", "none", false), ("", "fails", true)] {
        let line = format!("diff out empty --json {options}");
        let report: serde_json::Value = serde_json::from_slice(&support::succeed(dir, line.trim_end()).stdout).unwrap();
        let outcome = report.pointer("/pools/0/outcomes/0").unwrap();
        assert_eq!(outcome["verdict"], verdict, "{line}");
        assert_eq!(!outcome["warnings"].as_array().unwrap().is_empty(), warned, "{line}: {outcome}");
    }
}

/// An object of `install` that the guide forgets would come back with its file, or stay.
#[test]
fn the_removal_guide_deletes_every_object() {
    let guide = fs::read_to_string(crate_dir().parent().unwrap().join("docs/guides/removal.md")).unwrap();
    let mut deleted: Vec<_> = guide
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("$ oc delete machineconfig "))
        .flat_map(str::split_whitespace)
        .filter(|name| name.starts_with("99-") && !name.contains("-stream-"))
        .map(str::to_owned)
        .collect();
    deleted.sort();
    let mut installed = installed();
    installed.sort();
    assert_eq!(deleted, installed);
}

/// `rolled_out` of the quick start waits until the operator has rendered the change and all nodes have it, and no longer.
#[test]
fn the_wait_of_the_quick_start_waits() {
    let guide = fs::read_to_string(crate_dir().parent().unwrap().join("docs/guides/quickstart.md")).unwrap();
    let (_, function) = blocks(&guide).into_iter().find(|(info, _)| info == "sh").unwrap();
    // Each line is what one look at the pool finds: configuration wanted, configuration of all nodes, degraded.
    for (name, looks, exit, looked) in [
        ("slow", "a a False\na a False\nb a False\nb b False\n", 0, 4),
        ("at once", "b b False\n", 0, 1),
        ("no answer for a moment", "a a False\n\nb b False\n", 0, 3),
        ("a pool without nodes' configuration yet", "b  False\nb b False\n", 0, 2),
        ("degraded", "b a False\nb a True\n", 1, 2),
        ("a second change on the way", "b a False\nc a False\nc c False\n", 0, 3),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        fs::write(dir.join("looks"), looks).unwrap();
        let script = format!(
            "oc() {{ echo x >> looked; sed -n \"$(wc -l < looked)p\" looks; }}\n\
             sleep() {{ [ \"$(wc -l < looked)\" -lt 9 ] || exit 9; }}\n{function}rolled_out worker a\n"
        );
        for shell in ["sh", "bash"] {
            fs::write(dir.join("looked"), "").unwrap();
            let output = Command::new(shell).args(["-c", &script]).current_dir(dir).output().unwrap();
            assert_eq!(output.status.code(), Some(exit), "{name}, {shell}: {}", stderr(&output));
            let count = fs::read_to_string(dir.join("looked")).unwrap().lines().count();
            assert_eq!(count, looked, "{name}, {shell}");
        }
    }
}
