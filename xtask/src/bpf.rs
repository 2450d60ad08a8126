//! BPF objects: build our C with the pinned clang, or compare the committed objects with a fresh build.
//!
//! In:   the sources that [`OBJECTS`] lists; clang-19, llvm-strip-19, the headers of libbpf and of the kernel.
//! Out:  the objects, `bpf/prebuilt/SHA256SUMS` and `bpf/prebuilt/TOOLCHAIN`; `--check` writes below `target/` only.
//! May fail with: a tool that is missing, what clang refuses, committed files that differ from the fresh ones.
//!
//! Equal sources give equal bytes in every directory: clang runs in the workspace root with relative paths and
//! takes "." for its name, and no configuration or include path of the machine's owner reaches it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::ErrorKind,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    run::{capture, check, root},
    setup::{Tool, need},
};

/// One object: the same source may be built more than once, with other defines.
struct Object {
    /// C source, from the workspace root.
    source: &'static str,
    /// Macros to define, without `-D`.
    defines: &'static [&'static str],
    /// Where the object is committed, from the workspace root.
    output: &'static str,
}

/// Everything that is built. A new object is a line here.
const OBJECTS: &[Object] = &[
    Object { source: "bpf/dispatcher/xdp_dispatcher.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_dispatcher.bpf.o" },
    Object {
        source: "bpf/programs/dispatcher_other.bpf.c",
        defines: &["DISPATCHER_VERSION=1"],
        output: "bpf/prebuilt/dispatcher_v1.bpf.o",
    },
    Object {
        source: "bpf/programs/dispatcher_other.bpf.c",
        defines: &["DISPATCHER_VERSION=3"],
        output: "bpf/prebuilt/dispatcher_v3.bpf.o",
    },
    Object { source: "bpf/programs/core_task.bpf.c", defines: &[], output: "bpf/prebuilt/core_task.bpf.o" },
    Object { source: "bpf/programs/hooks.bpf.c", defines: &[], output: "bpf/prebuilt/hooks.bpf.o" },
    Object { source: "bpf/programs/lsm_deny_ext.bpf.c", defines: &[], output: "bpf/prebuilt/lsm_deny_ext.bpf.o" },
    Object { source: "bpf/programs/tail.bpf.c", defines: &[], output: "bpf/prebuilt/tail.bpf.o" },
    Object { source: "bpf/programs/timer.bpf.c", defines: &[], output: "bpf/prebuilt/timer.bpf.o" },
    Object { source: "bpf/programs/xdp_bad.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_bad.bpf.o" },
    Object { source: "bpf/programs/xdp_drop_net.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_drop_net.bpf.o" },
    Object {
        source: "bpf/programs/xdp_drop_udp_port.bpf.c",
        defines: &[],
        output: "bpf/prebuilt/xdp_drop_udp_port.bpf.o",
    },
    Object { source: "bpf/programs/xdp_frags.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_frags.bpf.o" },
    Object { source: "bpf/programs/xdp_impostor.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_impostor.bpf.o" },
    Object { source: "bpf/programs/xdp_pass.bpf.c", defines: &[], output: "bpf/prebuilt/xdp_pass.bpf.o" },
    Object {
        source: "examples/drop-frag-needed/drop_frag_needed.bpf.c",
        defines: &[],
        output: "examples/drop-frag-needed/drop_frag_needed.bpf.o",
    },
    Object {
        source: "runtime-loader/tests/objects/core.bpf.c",
        defines: &[],
        output: "runtime-loader/tests/objects/core.bpf.o",
    },
    Object {
        source: "runtime-loader/tests/objects/core.bpf.c",
        defines: &["MATCHES"],
        output: "runtime-loader/tests/objects/core_matches.bpf.o",
    },
    Object {
        source: "runtime-loader/tests/objects/core_kernel.bpf.c",
        defines: &[],
        output: "runtime-loader/tests/objects/core_kernel.bpf.o",
    },
    Object {
        source: "runtime-loader/tests/objects/shapes.bpf.c",
        defines: &[],
        output: "runtime-loader/tests/objects/shapes.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/core_kernel.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/core_kernel.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/core_local.bpf.c",
        defines: &["AMBIGUOUS"],
        output: "compiler/tests/objects/core_ambiguous.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/core_local.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/core_local.bpf.o",
    },
    Object { source: "compiler/tests/objects/empty.bpf.c", defines: &[], output: "compiler/tests/objects/empty.bpf.o" },
    Object {
        source: "compiler/tests/objects/empty.bpf.c",
        defines: &["NO_PROGRAM"],
        output: "compiler/tests/objects/empty_maps.bpf.o",
    },
    Object { source: "compiler/tests/objects/mixed.bpf.c", defines: &[], output: "compiler/tests/objects/mixed.bpf.o" },
    Object {
        source: "compiler/tests/objects/pinned.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/pinned.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/proprietary.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/proprietary.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/refused.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/refused.bpf.o",
    },
    Object {
        source: "compiler/tests/objects/sections.bpf.c",
        defines: &[],
        output: "compiler/tests/objects/sections.bpf.o",
    },
];

const CLANG: &str = "clang-19";
const STRIP: &str = "llvm-strip-19";

/// The kernel's `asm/` headers lie below the host's triplet on Debian, and `-target bpfel` does not look there.
const CLANG_FLAGS: &[&str] = &[
    "--no-default-config",
    "-g",
    "-O2",
    "-target",
    "bpfel",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffile-compilation-dir=.",
    "-idirafter",
    "/usr/include/x86_64-linux-gnu",
    "-idirafter",
    "/usr/include/aarch64-linux-gnu",
];

/// Drops DWARF; BTF and `.BTF.ext` stay.
const STRIP_FLAGS: &[&str] = &["-g"];

/// Environment that would change what clang includes or how it is run.
const CLANG_ENVIRONMENT: &[&str] = &["CPATH", "C_INCLUDE_PATH", "CCC_OVERRIDE_OPTIONS"];

const PREBUILT: &str = "bpf/prebuilt";
const SUMS: &str = "bpf/prebuilt/SHA256SUMS";
const TOOLCHAIN: &str = "bpf/prebuilt/TOOLCHAIN";

/// Contents by path from the workspace root.
type Files = BTreeMap<String, Vec<u8>>;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rebuild into target/bpf/ and compare with the committed files, writing none of them
    #[arg(long)]
    check: bool,
}

/// Fails unless the committed objects are what the sources give.
pub(crate) fn up_to_date() -> Result<()> {
    run(&Args { check: true })
}

/// Runs the task.
pub(crate) fn run(args: &Args) -> Result<()> {
    need(&[Tool::Clang, Tool::LlvmStrip, Tool::LibbpfHeaders, Tool::KernelHeaders])?;
    let clang = version_line(CLANG)?;
    version_line(STRIP)?;
    let root = root();
    let mut fresh = build_all(&root)?;
    fresh.insert(SUMS.to_owned(), sums(&fresh).into_bytes());
    fresh.insert(TOOLCHAIN.to_owned(), toolchain(&clang).into_bytes());
    if args.check { compare(&root, &fresh) } else { install(&root, &fresh) }
}

/// First line of `tool --version`, which names the release.
fn version_line(tool: &str) -> Result<String> {
    let output = match Command::new(tool).arg("--version").output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "`{tool}` is not installed; type `cargo xtask setup`, or `apt-get install clang-19 llvm-19 libbpf-dev`"
        ),
        Err(error) => return Err(error).with_context(|| format!("starting `{tool}`")),
        Ok(output) => output,
    };
    first_line(&output).with_context(|| format!("`{tool} --version` printed nothing"))
}

fn first_line(output: &Output) -> Option<String> {
    String::from_utf8_lossy(&output.stdout).lines().next().map(|line| line.trim().to_owned())
}

/// Builds every object below `target/bpf/`, so that a build that fails half-way leaves the committed ones alone.
fn build_all(root: &Path) -> Result<Files> {
    let scratch = root.join("target/bpf");
    fs::create_dir_all(&scratch).with_context(|| format!("creating `{}`", scratch.display()))?;
    OBJECTS.iter().map(|object| Ok((object.output.to_owned(), build(root, object)?))).collect()
}

/// Builds one object and returns its bytes.
fn build(root: &Path, object: &Object) -> Result<Vec<u8>> {
    let name = Path::new(object.output).file_name().expect("invariant: every output in OBJECTS is a file");
    let scratch = Path::new("target/bpf").join(name);
    let mut clang = Command::new(CLANG);
    for variable in CLANG_ENVIRONMENT {
        clang.env_remove(variable);
    }
    clang
        .current_dir(root)
        .args(CLANG_FLAGS)
        .args(object.defines.iter().map(|define| format!("-D{define}")))
        .args(["-c", object.source, "-o"])
        .arg(&scratch);
    check(&mut clang).with_context(|| {
        format!("compiling `{}` (a header that is not found: `apt-get install libbpf-dev`)", object.source)
    })?;
    capture(Command::new(STRIP).current_dir(root).args(STRIP_FLAGS).arg(&scratch))?;
    fs::read(root.join(&scratch)).with_context(|| format!("reading `{}`", scratch.display()))
}

/// Writes what differs, and says so.
fn install(root: &Path, fresh: &Files) -> Result<()> {
    for (path, bytes) in fresh {
        let target = root.join(path);
        if read_if_there(&target)?.as_ref() == Some(bytes) {
            continue;
        }
        if let Some(folder) = target.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
        }
        fs::write(&target, bytes).with_context(|| format!("writing `{path}`"))?;
        println!("wrote {path}");
    }
    println!("{} objects are up to date", OBJECTS.len());
    Ok(())
}

/// Compares the committed files with the fresh ones; an error names each difference.
fn compare(root: &Path, fresh: &Files) -> Result<()> {
    let committed = committed(root, fresh)?;
    let found = differences(&committed, fresh);
    let compiler = other_compiler(&committed, fresh);
    if !found.is_empty() {
        let note = compiler.map(|line| format!("\nnote: {line}")).unwrap_or_default();
        bail!(
            "committed BPF objects are out of date:\n  {}{note}\nhelp: type `cargo xtask bpf` and commit what it wrote",
            found.join("\n  ")
        );
    }
    if let Some(line) = compiler {
        println!("note: {line}; the bytes are the same");
    }
    println!("{} committed objects are what the sources give", OBJECTS.len());
    Ok(())
}

/// What is committed at the paths of `fresh`, and every other object that lies among the prebuilt ones.
fn committed(root: &Path, fresh: &Files) -> Result<Files> {
    let mut files = Files::new();
    for path in fresh.keys() {
        if let Some(bytes) = read_if_there(&root.join(path))? {
            files.insert(path.clone(), bytes);
        }
    }
    let folder = root.join(PREBUILT);
    for entry in fs::read_dir(&folder).with_context(|| format!("listing `{PREBUILT}`"))? {
        let path = entry.with_context(|| format!("listing `{PREBUILT}`"))?.path();
        if path.extension().is_some_and(|extension| extension == "o") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let bytes = fs::read(&path).with_context(|| format!("reading `{}`", path.display()))?;
            files.insert(format!("{PREBUILT}/{name}"), bytes);
        }
    }
    Ok(files)
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some).with_context(|| format!("reading `{}`", path.display())),
    }
}

/// One line per difference, in the order of the paths. Pure.
fn differences(committed: &Files, fresh: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, want) in fresh {
        match committed.get(path) {
            None => found.push(format!("`{path}` is missing")),
            Some(have) if path == TOOLCHAIN && recipe(have) == recipe(want) => {}
            Some(have) if have != want => found.push(describe(path, have, want)),
            Some(_) => {}
        }
    }
    for path in committed.keys().filter(|path| !fresh.contains_key(*path)) {
        found.push(format!("`{path}` is built from nothing: no line of OBJECTS names it; type `git rm {path}`"));
    }
    if let Some(text) = committed.get(SUMS) {
        found.extend(broken_sums(&String::from_utf8_lossy(text), committed));
    }
    found
}

fn describe(path: &str, have: &[u8], want: &[u8]) -> String {
    let place = have.iter().zip(want).take_while(|(a, b)| a == b).count();
    format!("`{path}` has {} bytes, a fresh build {}; they part at byte {place}", have.len(), want.len())
}

/// What `sha256sum -c` would complain about.
fn broken_sums(text: &str, committed: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((digest, path)) = line.split_once("  ") else {
            found.push(format!("`{SUMS}` has the line `{line}`, which is no `<sha256>  <path>`"));
            continue;
        };
        match committed.get(path).map(|bytes| hex_digest(bytes)) {
            None => found.push(format!("`{SUMS}` names `{path}`, which is not there")),
            Some(actual) if actual != digest => {
                found.push(format!("`{SUMS}` says {digest} for `{path}`, which has {actual}"));
            }
            Some(_) => {}
        }
    }
    found
}

/// The compiler, where it is not the one that built the committed objects.
fn other_compiler(committed: &Files, fresh: &Files) -> Option<String> {
    let line = |files: &Files| {
        let text = String::from_utf8_lossy(files.get(TOOLCHAIN)?).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let (theirs, ours) = (line(committed)?, line(fresh)?);
    (theirs != ours).then(|| format!("the committed objects were built by `{theirs}`, here is `{ours}`"))
}

/// `TOOLCHAIN` without its first line: how objects are built, whoever packaged the compiler.
fn recipe(toolchain: &[u8]) -> &[u8] {
    let end = toolchain.iter().position(|byte| *byte == b'\n').unwrap_or(toolchain.len());
    &toolchain[end..]
}

fn toolchain(clang: &str) -> String {
    format!("{clang}\n{CLANG} {}\n{STRIP} {}\n", CLANG_FLAGS.join(" "), STRIP_FLAGS.join(" "))
}

/// The text that `sha256sum -c` reads, from the workspace root.
fn sums(files: &Files) -> String {
    files.iter().fold(String::new(), |mut text, (path, bytes)| {
        writeln!(text, "{}  {path}", hex_digest(bytes)).expect("invariant: writing to a String cannot fail");
        text
    })
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("invariant: writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> Files {
        let mut files = Files::from([("bpf/prebuilt/a.bpf.o".to_owned(), b"abc".to_vec())]);
        files.insert(SUMS.to_owned(), sums(&files).into_bytes());
        files.insert(TOOLCHAIN.to_owned(), toolchain("clang version 19").into_bytes());
        files
    }

    #[test]
    fn sums_are_what_sha256sum_reads() {
        let files = Files::from([("bpf/prebuilt/a.bpf.o".to_owned(), b"abc".to_vec())]);
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  bpf/prebuilt/a.bpf.o\n";
        assert_eq!(sums(&files), want);
    }

    #[test]
    fn each_difference_is_named() {
        type Damage = fn(&mut Files);
        let cases: &[(&str, Damage, &[&str])] = &[
            ("nothing", |_| {}, &[]),
            ("object gone", |files| drop(files.remove("bpf/prebuilt/a.bpf.o")), &["is missing", "is not there"]),
            (
                "object changed",
                |files| drop(files.insert("bpf/prebuilt/a.bpf.o".to_owned(), b"abd".to_vec())),
                &["they part at byte 2", "`bpf/prebuilt/SHA256SUMS` says ba7816bf"],
            ),
            (
                "object of no source",
                |files| drop(files.insert("bpf/prebuilt/b.bpf.o".to_owned(), Vec::new())),
                &["type `git rm bpf/prebuilt/b.bpf.o`"],
            ),
            (
                "no digest",
                |files| drop(files.insert(SUMS.to_owned(), b"x\n".to_vec())),
                &["a fresh build 87", "has the line `x`"],
            ),
            (
                "other flags",
                |files| drop(files.insert(TOOLCHAIN.to_owned(), b"clang version 19\n-O3\n".to_vec())),
                &["`bpf/prebuilt/TOOLCHAIN` has 21 bytes"],
            ),
            (
                "other packager",
                |files| drop(files.insert(TOOLCHAIN.to_owned(), toolchain("Debian clang version 19").into_bytes())),
                &[],
            ),
        ];
        for (name, damage, want) in cases {
            let mut committed = built();
            damage(&mut committed);
            let found = differences(&committed, &built());
            assert_eq!(found.len(), want.len(), "case: {name}: {found:?}");
            for (line, part) in found.iter().zip(*want) {
                assert!(line.contains(part), "case: {name}: {line}");
            }
        }
    }

    #[test]
    fn another_compiler_is_told() {
        let mut committed = built();
        assert_eq!(other_compiler(&committed, &built()), None);
        committed.insert(TOOLCHAIN.to_owned(), toolchain("clang version 18").into_bytes());
        let told = other_compiler(&committed, &built()).unwrap();
        assert_eq!(told, "the committed objects were built by `clang version 18`, here is `clang version 19`");
    }
}
