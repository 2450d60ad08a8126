//! `nodebpf init`: what it writes is sound, complete and never in the way.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{collections::BTreeSet, fs};

use nodebpf::object;
use nodeplan::bundle::Unverified;
use support::{fail, node_files, nodebpf, stderr, stdout, succeed, workdir};

/// Nothing may be said against it, but that nobody has decided yet (NB0114).
fn check_is_content(directory: &std::path::Path, case: &str) {
    let output = nodebpf(directory, &["check", "bpf.yaml"]);
    let text = stderr(&output);
    assert!(output.status.success(), "{case}: {text}");
    let other = text.lines().find(|line| line.starts_with("warning") && !line.contains("NB0114"));
    assert!(other.is_none(), "{case}: {text}");
}

#[test]
fn a_starter_for_objects_is_sound_as_it_is() {
    for objects in [
        &["values.bpf.o"][..],
        &["hooks.bpf.o"],
        &["drop_frag_needed.bpf.o"],
        &["values.bpf.o", "hooks.bpf.o", "xdp_pass.bpf.o"],
    ] {
        let directory = workdir();
        succeed(directory.path(), &format!("init {}", objects.join(" ")));
        check_is_content(directory.path(), &objects.join(" "));
        let text = fs::read_to_string(directory.path().join("bpf.yaml")).unwrap();
        for object in objects {
            let facts = object::read(&fs::read(directory.path().join(object)).unwrap()).unwrap();
            for program in &facts.programs {
                assert!(text.contains(&format!("- name: {} ", program.name)), "{object}: {}", program.name);
            }
            for map in &facts.maps {
                assert!(text.contains(&format!(" {}: {{", map.name)), "{object}: {}", map.name);
            }
        }
    }
}

#[test]
fn a_starter_without_objects_is_sound_after_its_edits() {
    let directory = workdir();
    succeed(directory.path(), "init");
    let path = directory.path().join("bpf.yaml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(
        stderr(&nodebpf(directory.path(), &["check", "bpf.yaml"])).contains("NB0201"),
        "the object is still a name"
    );
    let edited = text.replace("my_program.bpf.o", "xdp_pass.bpf.o").replace("name: my_program ", "name: xdp_pass_a ");
    for line in edited.lines().filter(|line| line.contains("xdp_pass")) {
        assert!(line.contains("EDIT"), "{line}");
    }
    fs::write(&path, edited).unwrap();
    check_is_content(directory.path(), "edited");
}

/// Uncommented, the variables of the starter are the object's own values.
#[test]
fn variables_are_written_with_the_values_that_they_have() {
    let directory = workdir();
    succeed(directory.path(), "init values.bpf.o");
    let path = directory.path().join("bpf.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let uncommented: Vec<_> = text
        .lines()
        .filter(|line| !(line.starts_with("      #   ") && line.contains(": … ")))
        .map(|line| line.replacen("      # globals:", "      globals:", 1).replacen("      #   ", "        ", 1))
        .collect();
    fs::write(&path, uncommented.join("\n")).unwrap();
    succeed(directory.path(), "compile bpf.yaml --key key.pem -o out");
    let file = fs::read_dir(directory.path().join("out")).unwrap().next().unwrap().unwrap().path();
    let files = node_files(&fs::read(file).unwrap());
    let bundle = Unverified::decode(&files[0].1).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&bundle.parts().statement).unwrap();
    let globals = statement["predicate"]["programs"][0]["globals"].as_object().unwrap();
    let facts = object::read(&fs::read(directory.path().join("values.bpf.o")).unwrap()).unwrap();
    for (name, value) in globals {
        let global = facts.globals.iter().find(|global| global.name == *name).unwrap();
        let hex = nodeplan::digest::to_hex(global.initial.as_ref().unwrap());
        assert_eq!(value.as_str().unwrap(), hex, "{name}");
    }
    assert!(globals.len() >= 14, "{globals:?}");
}

#[test]
fn every_key_of_the_schema_is_explained() {
    fn keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = value.get("properties").and_then(|one| one.as_object()) {
            found.extend(properties.keys().cloned());
        }
        match value {
            serde_json::Value::Object(object) => object.values().for_each(|value| keys(value, found)),
            serde_json::Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let directory = workdir();
    let schema = stdout(&succeed(directory.path(), "schema"));
    let mut wanted = BTreeSet::new();
    keys(&serde_json::from_str(&schema).unwrap(), &mut wanted);
    let starter = stdout(&succeed(directory.path(), "init -o -"));
    assert!(wanted.len() > 50, "{wanted:?}");
    for key in wanted {
        assert!(starter.contains(&format!("{key}:")), "`{key}` is not in the starter");
    }
    assert!(starter.starts_with("# yaml-language-server: $schema="), "{starter}");
}

/// Objects that no manifest can use are refused in our words, and nothing is written.
#[test]
fn what_no_manifest_can_use_is_explained() {
    let directory = workdir();
    let mut swapped = fs::read(directory.path().join("xdp_pass.bpf.o")).unwrap();
    // EI_DATA: big-endian, and the machine in that order.
    swapped[5] = 2;
    swapped[18..20].reverse();
    fs::write(directory.path().join("big.bpf.o"), swapped).unwrap();
    for (object, code, words) in [
        ("big.bpf.o", "NB0205", "endian"),
        ("empty.bpf.o", "NB0205", "variable `nothing`"),
        ("empty_maps.bpf.o", "NB0208", "has no programs"),
        ("badmaps.bpf.o", "NB0205", "hash_of_maps"),
    ] {
        let text = fail(directory.path(), &format!("init {object} -o made.yaml"), 1);
        assert!(text.contains(code) && text.contains(words), "{object}: {text}");
        assert!(!directory.path().join("made.yaml").exists(), "{object}");
    }
}

/// Programs that `check` would refuse stand in comments with the reason; the rest is sound.
#[test]
fn refused_programs_are_left_out_with_the_reason() {
    let directory = workdir();
    succeed(directory.path(), "init mixed.bpf.o xdp_pass.bpf.o xdp_drop_net.bpf.o");
    let text = fs::read_to_string(directory.path().join("bpf.yaml")).unwrap();
    assert!(
        text.contains("# with_kfunc: nodebpf refuses it: it needs the kernel function `bpf_rcu_read_lock`"),
        "{text}"
    );
    assert!(!text.contains("- name: with_kfunc"), "{text}");
    let output = nodebpf(directory.path(), &["check", "bpf.yaml"]);
    assert!(output.status.success(), "{}\n{text}", stderr(&output));
}

/// A stream has one program and one map of a name.
#[test]
fn a_second_program_or_map_of_a_name_is_left_out() {
    let directory = workdir();
    fs::copy(directory.path().join("xdp_pass.bpf.o"), directory.path().join("again.bpf.o")).unwrap();
    succeed(directory.path(), "init xdp_pass.bpf.o again.bpf.o");
    let text = fs::read_to_string(directory.path().join("bpf.yaml")).unwrap();
    assert_eq!(text.matches("- name: xdp_pass_a ").count(), 1, "{text}");
    assert!(text.contains("# again.bpf.o: its map `"), "{text}");
    check_is_content(directory.path(), "xdp_pass.bpf.o again.bpf.o");
}

#[test]
fn nothing_is_overwritten() {
    let directory = workdir();
    fs::write(directory.path().join("bpf.yaml"), "mine").unwrap();
    let text = fail(directory.path(), "init xdp_pass.bpf.o", 3);
    assert!(text.contains("`bpf.yaml` exists already"), "{text}");
    assert_eq!(fs::read_to_string(directory.path().join("bpf.yaml")).unwrap(), "mine");
    succeed(directory.path(), "init xdp_pass.bpf.o -o other.yaml");
    fs::create_dir(directory.path().join("below")).unwrap();
    let text = fail(directory.path(), "init xdp_pass.bpf.o -o below/bpf.yaml", 3);
    assert!(text.contains("is not below"), "{text}");
}

/// Names of an object cannot leave their line or their comment.
#[test]
fn hostile_names_stay_in_their_line() {
    let directory = workdir();
    let object = fs::read(directory.path().join("hooks.bpf.o")).unwrap();
    for (old, new) in [("tracepoint/sched/", "tracepoint/s\nhed/"), ("kprobe/tcp_connect", "kprobe/tcp\nconnect")] {
        let mut bytes = object.clone();
        for at in 0..bytes.len() - old.len() {
            if bytes[at..].starts_with(old.as_bytes()) {
                bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
            }
        }
        assert_ne!(bytes, object, "{old}");
        fs::write(directory.path().join("bad.bpf.o"), bytes).unwrap();
        let output = nodebpf(directory.path(), &["init", "bad.bpf.o", "-o", "-"]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("\\n"), "{}", stdout(&output));
        for line in stdout(&output).lines() {
            assert!(!line.starts_with("hed") && !line.starts_with("connect"), "{line}");
        }
    }
}
