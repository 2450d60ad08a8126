//! What the integration tests share: running the real binary in a directory of its own.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod api;
pub(crate) mod ignition;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The crate's directory.
pub(crate) fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `nodebpf` with arguments, in `directory`, away from the caller's terminal and environment.
pub(crate) fn nodebpf(directory: &Path, args: &[&str]) -> Output {
    command(directory, args).output().unwrap()
}

/// Like [`nodebpf`], not started yet.
pub(crate) fn command(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodebpf"));
    command.args(args).current_dir(directory).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A temporary directory with the objects and the test key that all cases may use.
pub(crate) fn workdir() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let root = crate_dir().parent().unwrap();
    for (from, to) in [
        ("examples/drop-frag-needed/drop_frag_needed.bpf.o", "drop_frag_needed.bpf.o"),
        ("bpf/prebuilt/xdp_pass.bpf.o", "xdp_pass.bpf.o"),
        ("compiler/tests/objects/badmaps.bpf.o", "badmaps.bpf.o"),
        ("bpf/prebuilt/xdp_drop_net.bpf.o", "xdp_drop_net.bpf.o"),
        ("compiler/tests/objects/empty.bpf.o", "empty.bpf.o"),
        ("compiler/tests/objects/empty_maps.bpf.o", "empty_maps.bpf.o"),
        ("compiler/tests/objects/pinned.bpf.o", "pinned.bpf.o"),
        ("compiler/tests/objects/hooks.bpf.o", "hooks.bpf.o"),
        ("compiler/tests/objects/core_ambiguous.bpf.o", "core_ambiguous.bpf.o"),
        ("compiler/tests/objects/core_local.bpf.o", "core_local.bpf.o"),
        ("compiler/tests/objects/kinds.bpf.o", "kinds.bpf.o"),
        ("compiler/tests/objects/large.bpf.o", "large.bpf.o"),
        ("compiler/tests/objects/large_two.bpf.o", "large_two.bpf.o"),
        ("compiler/tests/objects/mixed.bpf.o", "mixed.bpf.o"),
        ("compiler/tests/objects/odd.bpf.o", "odd.bpf.o"),
        ("compiler/tests/objects/chain.bpf.o", "chain.bpf.o"),
        ("compiler/tests/objects/platform.bpf.o", "platform.bpf.o"),
        ("compiler/tests/objects/proprietary.bpf.o", "proprietary.bpf.o"),
        ("compiler/tests/objects/refused.bpf.o", "refused.bpf.o"),
        ("compiler/tests/objects/sections.bpf.o", "sections.bpf.o"),
        ("compiler/tests/objects/values.bpf.o", "values.bpf.o"),
        ("tests/keys/TEST-ONLY-private.pem", "key.pem"),
        ("tests/keys/TEST-ONLY-public.pem", "public.pem"),
    ] {
        fs::copy(root.join(from), directory.path().join(to)).unwrap_or_else(|error| panic!("{from}: {error}"));
    }
    fs::write(directory.path().join("kernel.btf"), kernel_btf()).unwrap();
    directory
}

/// Types of the imaginary kernel of `core_kernel.bpf.c`, as a node would have them in `/sys/kernel/btf/vmlinux`.
pub(crate) fn kernel_btf() -> Vec<u8> {
    let object = fs::read(crate_dir().join("tests/objects/core_kernel.bpf.o")).unwrap();
    nodebpf::object::elf::read(&object).unwrap().data(".BTF").unwrap().to_vec()
}

/// Copies the files of a case, not its expectations.
pub(crate) fn copy_case(case: &Path, to: &Path) {
    for entry in fs::read_dir(case).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() && !matches!(name.as_str(), "stderr" | "cmd" | "statement.json") {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

/// Folders below `tests/cases/<kind>`, sorted; at least one.
pub(crate) fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = crate_dir().join("tests/cases").join(kind);
    let mut cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases
}

/// Name of a case.
pub(crate) fn name(case: &Path) -> String {
    case.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Compares with a file, or writes it if `NODEBPF_BLESS` is set. Returns what differs.
pub(crate) fn golden(path: &Path, found: &[u8]) -> Option<String> {
    if std::env::var_os("NODEBPF_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, found).unwrap();
        return None;
    }
    let wanted = fs::read(path).unwrap_or_default();
    (wanted != found).then(|| {
        format!(
            "{} differs; bless with NODEBPF_BLESS=1\n--- wanted\n{}\n--- found\n{}",
            path.display(),
            String::from_utf8_lossy(&wanted),
            String::from_utf8_lossy(found)
        )
    })
}

/// The script of a case: how to prepare files, and what to run.
///
/// ```text
/// patch FROM TO OLD NEW    copy a file with every OLD replaced by NEW, of equal length
/// fill FILE SIZE           a file of SIZE bytes that do not compress
/// grow FILE SIZE           SIZE bytes that do not compress, behind what is there
/// loader FILE SIZE         a static x86_64 executable of about SIZE bytes that do not compress
/// repeat FILE N TEXT       N lines of TEXT, appended, `{n}` counting from 0
/// leaf DIR NAME TEXT       a file in the first folder without folders below DIR, such as one of signatures
/// mkdir DIR
/// chmod FILE MODE          permission bits, octal
/// hold DIR                 a lock on DIR until the script ends
/// run ARGS                 runs nodebpf; stderr of the last run is compared
/// exit CODE                wanted from the last run; default 1
/// ```
pub(crate) fn play(script: &str, directory: &Path) -> (Output, i32) {
    let (mut last, mut exit) = (None, 1);
    let mut held = Vec::new();
    for line in script.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (verb, rest) = line.split_once(' ').unwrap();
        let words: Vec<_> = rest.split(' ').collect();
        let path = directory.join(words[0]);
        match verb {
            "patch" => {
                let [_, to, old, new] = words[..] else { panic!("{line}") };
                assert_eq!(old.len(), new.len(), "{line}");
                fs::write(directory.join(to), replaced(&fs::read(&path).unwrap(), old, new)).unwrap();
            }
            "fill" => fs::write(path, noise(words[1].parse().unwrap())).unwrap(),
            "grow" => {
                let mut content = fs::read(&path).unwrap();
                content.extend(noise(words[1].parse().unwrap()));
                fs::write(path, content).unwrap();
            }
            "loader" => fs::write(path, executable(62, None, &noise(words[1].parse().unwrap()))).unwrap(),
            "repeat" => {
                let text = rest.splitn(3, ' ').nth(2).unwrap();
                let count: usize = words[1].parse().unwrap();
                let mut content = fs::read_to_string(&path).unwrap_or_default();
                (0..count).for_each(|n| content.push_str(&(text.replace("{n}", &n.to_string()) + "\n")));
                fs::write(path, content).unwrap();
            }
            "leaf" => {
                let mut folder = path;
                while let Some(next) = folders(&folder).into_iter().next() {
                    folder = next;
                }
                fs::write(folder.join(words[1]), words[2]).unwrap();
            }
            "mkdir" => fs::create_dir(path).unwrap(),
            "chmod" => {
                let mode = u32::from_str_radix(words[1], 8).unwrap();
                fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            }
            "hold" => {
                let file = fs::File::open(path).unwrap();
                file.lock().unwrap();
                held.push(file);
            }
            "run" => last = Some(nodebpf(directory, &words)),
            "exit" => exit = words[0].parse().unwrap(),
            _ => panic!("no verb `{verb}`"),
        }
    }
    (last.expect("a script runs something"), exit)
}

/// Folders directly below `folder`, sorted.
pub(crate) fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut count = 0;
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(old.as_bytes()) {
            bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
            count += 1;
        }
    }
    assert!(count > 0, "`{old}` is not there");
    bytes
}

/// Bytes that look random and are the same on every run.
pub(crate) fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(size)
    .collect()
}

/// An ELF executable for `machine` (62 is `x86_64`) with one loadable segment and, if wanted, an interpreter; by its note
/// the loader.
pub(crate) fn executable(machine: u16, interpreter: Option<&str>, content: &[u8]) -> Vec<u8> {
    noted("nodebpf-loader", machine, interpreter, content)
}

/// The same that is `nodebpf-diag`, or what else is wanted.
pub(crate) fn binary(name: &str, content: &[u8]) -> Vec<u8> {
    noted(name, 62, None, content)
}

fn noted(name: &str, machine: u16, interpreter: Option<&str>, content: &[u8]) -> Vec<u8> {
    let note = nodeplan::note::Note::of(name).to_bytes();
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let segments: u16 = if interpreter.is_some() { 3 } else { 2 };
    for half in [2u16, machine] {
        elf.extend(half.to_le_bytes());
    }
    elf.extend(1u32.to_le_bytes());
    for long in [0x40_0000u64, 64, 0] {
        elf.extend(long.to_le_bytes());
    }
    elf.extend(0u32.to_le_bytes());
    for half in [64u16, 56, segments, 64, 0, 0] {
        elf.extend(half.to_le_bytes());
    }
    let behind = 64 + 56 * u64::from(segments);
    let note_bytes = note.len() as u64;
    let usual = |kind: u32| (kind, 0, 0, 0x1000);
    for (kind, offset, size, align) in
        [(4, behind, note_bytes, 4), usual(1)].into_iter().chain(interpreter.map(|_| usual(3)))
    {
        elf.extend(kind.to_le_bytes());
        elf.extend(5u32.to_le_bytes());
        for long in [offset, 0x40_0000, 0x40_0000, size, size, align] {
            elf.extend(long.to_le_bytes());
        }
    }
    elf.extend(note);
    elf.extend(content);
    elf
}

/// Directory with test objects, a sound manifest and policy.
pub(crate) fn project() -> tempfile::TempDir {
    let directory = workdir();
    fs::write(directory.path().join("bpf.yaml"), MANIFEST).unwrap();
    fs::write(directory.path().join("policy.yaml"), POLICY).unwrap();
    directory
}

/// A sound manifest.
pub(crate) const MANIFEST: &str = r#"apiVersion: nodebpf.io/v1alpha1
kind: BpfManifest
metadata: {name: netops-frag, owner: netops, revision: 3}
spec:
  intent: feature
  reference: OCPBUGS-12345
  pools: [worker, edge]
  audience: [fleet-prod]
  programs:
    - name: drop_frag_needed
      object: drop_frag_needed.bpf.o
      attach: [{xdp: {interfaces: [{name: "ens*"}], priority: 510}}]
  maps:
    node_ips: {entries: [{key: 10.0.0.2, value: 1}, {key: 10.0.0.1, value: 1}]}
    dropped: {export: {counter: dropped_packets}}
"#;

/// A policy that permits it to the test key.
pub(crate) const POLICY: &str = r#"apiVersion: nodebpf.io/v1alpha1
kind: BpfPolicy
metadata: {name: fleet}
spec:
  version: 1
  audiences: [fleet-prod]
  owners:
    - name: netops
      keys: [public.pem]
      streams: ["netops-*"]
      hooks: {xdp: {band: [500, 599]}}
"#;

/// Runs `nodebpf` and wants exit code 0.
pub(crate) fn succeed(directory: &Path, args: &str) -> Output {
    let output = nodebpf(directory, &args.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "nodebpf {args}: {:?}\n{}", output.status, stderr(&output));
    output
}

/// Runs `nodebpf` and wants this exit code; returns stderr.
pub(crate) fn fail(directory: &Path, args: &str, exit: i32) -> String {
    let output = nodebpf(directory, &args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(exit), "nodebpf {args}: {}", stderr(&output));
    stderr(&output)
}

/// Content of all files of an Ignition config or MachineConfig, by path.
pub(crate) fn node_files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    use base64ct::Encoding as _;
    use std::io::Read as _;
    let document: serde_json::Value = serde_saphyr::from_slice(bytes).unwrap();
    let config = document.pointer("/spec/config").unwrap_or(&document);
    let files = config.pointer("/storage/files").unwrap().as_array().unwrap();
    files
        .iter()
        .map(|file| {
            let source = file.pointer("/contents/source").unwrap().as_str().unwrap();
            let gz = base64ct::Base64::decode_vec(source.strip_prefix("data:;base64,").unwrap()).unwrap();
            let mut content = Vec::new();
            flate2::read::GzDecoder::new(gz.as_slice()).read_to_end(&mut content).unwrap();
            (file["path"].as_str().unwrap().to_owned(), content)
        })
        .collect()
}
