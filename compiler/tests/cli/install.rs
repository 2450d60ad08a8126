//! What `install` is given, and where its files go.

use std::fs;

use super::support::{self, fail, nodebpf, project, stderr, succeed};

#[test]
fn loaders_must_run_anywhere() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    for (name, bytes, want) in [
        ("dynamic", support::executable(62, Some("/lib64/ld-linux-x86-64.so.2"), b""), "is dynamically linked"),
        ("arm", support::executable(183, None, b""), "is not for x86_64"),
        ("script", b"#!/bin/sh\n".to_vec(), "is not an ELF file"),
        ("empty", Vec::new(), "is not an ELF file"),
        ("cut", support::executable(62, None, b"")[..100].to_vec(), "has damaged ELF headers"),
    ] {
        fs::write(dir.join("loader"), bytes).unwrap();
        let text = fail(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out", 1);
        assert!(text.contains("NB0504") && text.contains(want), "{name}: {text}");
        let line = "install --pool worker --trust trust.json --loader good --diag loader -o out";
        fs::write(dir.join("good"), support::executable(62, None, b"")).unwrap();
        let text = fail(dir, line, 1);
        assert!(text.contains("NB0504") && text.contains(want) && text.contains("diag `loader`"), "{name}: {text}");
    }
    assert!(!dir.join("out").exists());
}

#[test]
fn a_binary_given_for_the_other_is_refused() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    let mut without = support::executable(62, None, b"");
    let note = without.windows(8).position(|bytes| bytes == b"nodebpf\0").unwrap();
    without[note] = b'N';
    for (file, bytes) in [
        ("loader", support::binary("nodebpf-loader", b"")),
        ("diag", support::binary("nodebpf-diag", b"")),
        ("busybox", without),
    ] {
        fs::write(dir.join(file), bytes).unwrap();
    }
    for (binaries, want) in [
        ("--loader diag --diag loader", "loader `diag` says that it is `nodebpf-diag`"),
        ("--loader loader --diag loader", "diag `loader` says that it is `nodebpf-loader`"),
        ("--loader diag --no-diag", "loader `diag` says that it is `nodebpf-diag`"),
        ("--loader busybox --no-diag", "does not say that it is `nodebpf-loader`"),
    ] {
        let text = fail(dir, &format!("install --pool worker --trust trust.json {binaries} -o out"), 1);
        assert!(text.contains("NB0504") && text.contains(want), "{binaries}: {text}");
    }
    assert!(!dir.join("out").exists());
    succeed(dir, "install --pool worker --trust trust.json --loader loader --diag diag -o out");
}

#[test]
fn a_warning_does_not_depend_on_what_lies_there() {
    let directory = project();
    let dir = directory.path();
    for (options, exit) in [("new.json --strict", 1), ("trust.json", 0), ("trust.json", 0), ("trust.json --strict", 1)]
    {
        let line = format!("trust build policy.yaml -o {options}");
        let output = nodebpf(dir, &line.split(' ').collect::<Vec<_>>());
        assert!(stderr(&output).contains("NB0609") && output.status.code() == Some(exit), "{line}: {output:?}");
    }
    assert!(!dir.join("new.json").exists());
}

#[test]
fn a_directory_in_the_place_of_a_file_is_named() {
    let directory = project();
    let dir = directory.path();
    succeed(dir, "trust build policy.yaml -o trust.json");
    fs::write(dir.join("loader"), support::executable(62, None, b"")).unwrap();
    fs::create_dir_all(dir.join("out/99-worker-nodebpf-trust.yaml")).unwrap();
    let text = fail(dir, "install --pool worker --trust trust.json --loader loader --no-diag -o out", 3);
    let want = "`out/99-worker-nodebpf-trust.yaml` is a directory, and a file is to be written there";
    assert!(text.contains(want), "{text}");
    assert_eq!(fs::read_dir(dir.join("out")).unwrap().count(), 1, "nothing was written");
}
