//! Dist: build the binaries as they ship.
//!
//! In:  the workspace; for nodes' binaries also the source of the standard library (component `rust-src`).
//! Out: `target/dist/nodebpf`, `nodebpf-loader` and `nodebpf-diag`, the last two also with `-aarch64`, and a table of
//! their sizes.
//! May fail with: a build that fails, a binary for nodes that is not static, that holds a path of this machine, or that
//! is too big for what carries it (see [`LOADER`] and [`DIAG`]).
//!
//! What nodes run travels inside a MachineConfig, so its standard library is built anew, for size and without the
//! text of panics: with `immediate-abort` a panic is a silent SIGILL, so every failure must be an error value. That takes
//! unstable options, which the pinned stable compiler accepts with `RUSTC_BOOTSTRAP=1`; nothing else in the project
//! does this. Development and tests use the usual standard library, and folders of their own below `target/`.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};

use crate::{
    files, run,
    setup::{self, MUSL, MUSL_AARCH64, Tool},
};

/// A binary that nodes run.
struct ForNodes {
    /// Its name: of the binary, and of the file below `target/dist/`.
    name: &'static str,
    /// Largest size for `x86_64`, gzipped: what it has, and 2 % more. It lies in etcd three times and more.
    limit_bytes: usize,
}

/// What every boot starts. Up to about 203,000 bytes its MachineConfig fits a plain `oc apply` (see [`install`]; the
/// compiler packs 3 % better than `gzip -9`). The goal is 140 KiB (143,360 bytes): lower this with every gain.
const LOADER: ForNodes = ForNodes { name: "nodebpf-loader", limit_bytes: LOADER_LIMIT_BYTES };

/// The commands that only look: nothing that a boot needs, so the other one has no room for them.
const DIAG: ForNodes = ForNodes { name: "nodebpf-diag", limit_bytes: DIAG_LIMIT_BYTES };

const LOADER_LIMIT_BYTES: usize = 202_000;
const DIAG_LIMIT_BYTES: usize = 132_500;

/// Flags of nodes' binaries and of the standard library below them.
const LOADER_FLAGS: &[&str] = &[
    "-Zunstable-options",
    // No text, no places, no unwinding: a panic is one trapping instruction.
    "-Cpanic=immediate-abort",
    "-Zlocation-detail=none",
    // What `{:?}` prints is for developers; nothing that a user sees is printed so.
    "-Zfmt-debug=none",
    // Copies of more than a word or two are calls, and equal tails of blocks are shared however small they are.
    "-Cllvm-args=-max-store-memcpy=1",
    "-Cllvm-args=-max-store-memset=2",
    "-Cllvm-args=-max-store-memmove=2",
    "-Cllvm-args=-tail-merge-size=2",
    // Without it LLVM does not see that code which only frees memory does nothing
    // (docs/adr/0012-memory-that-is-never-freed.md).
    "-Cllvm-args=-sink-common-insts=false",
    "-Cllvm-args=-tail-merge-threshold=5000",
    // A function with many variables stays one of its own: their addresses are shorter there than in a big caller.
    "-Cllvm-args=-inline-max-stacksize=64",
    // Only what is a few instructions is worth more in its caller than the call.
    "-Cllvm-args=-inline-call-penalty=50",
    "-Cllvm-args=-inline-memaccess-cost=2",
    // Registers in one order everywhere, nothing moved to where it would run faster, addresses and constants written
    // out: such code has few forms, and gzip sees each again and again.
    "-Cllvm-args=-regalloc=basic",
    "-Cllvm-args=-pre-RA-sched=list-burr",
    "-Cllvm-args=-disable-sched-physreg-join",
    "-Cllvm-args=-disable-lsr",
    "-Cllvm-args=-disable-machine-licm",
    "-Cllvm-args=-disable-licm-promotion",
    "-Cllvm-args=-disable-constant-hoisting",
    // No second copy of an expression on the paths that lack it.
    "-Cllvm-args=-enable-pre=false",
    "-Cllvm-args=-enable-gvn-memdep=false",
    // Comparisons instead of tables for short lists of cases.
    "-Cllvm-args=-min-jump-table-entries=8",
    "-Cforce-unwind-tables=no",
    // SHA-256 in a loop instead of unrolled, and only once.
    "--cfg=sha2_backend=\"soft\"",
    "--cfg=sha2_backend_soft=\"compact\"",
];

/// A machine type that nodes' binaries are built for.
struct Machine {
    /// Target of the compiler.
    target: &'static str,
    /// What its files below `target/dist/` end with.
    suffix: &'static str,
    /// How it is linked: the linker folds functions that came out equal, packs relocations, and lays similar functions
    /// side by side, which gzip sees.
    link: &'static [&'static str],
    /// `e_machine` of its files: elf(5).
    elf: u16,
}

const X86_64: Machine = Machine {
    target: MUSL,
    suffix: "",
    // The host's C compiler calls the linker of the tool chain.
    link: &[
        "-Clinker-features=+lld",
        "-Clink-self-contained=+linker",
        "-Clink-arg=-Wl,--icf=all,-z,pack-relative-relocs,--build-id=none,--bp-compression-sort=function",
    ],
    elf: 62,
};

/// Linked by the tool chain alone, so that no cross compiler is needed. It never ran on such a machine:
/// it is built to keep it building.
const AARCH64: Machine = Machine {
    target: MUSL_AARCH64,
    suffix: "-aarch64",
    link: &[
        "-Clinker=rust-lld",
        "-Clink-arg=--icf=all",
        "-Clink-arg=-zpack-relative-relocs",
        "-Clink-arg=--build-id=none",
        "-Clink-arg=--bp-compression-sort=function",
    ],
    elf: 183,
};

/// What nodes' binaries have instead of the release profile, which is the compiler's: small, not fast.
const LOADER_PROFILE: [(&str, &str); 3] = [("OPT_LEVEL", "z"), ("LTO", "fat"), ("CODEGEN_UNITS", "1")];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// The binaries that ship.
pub(crate) struct Dist {
    /// The compiler, `nodebpf`.
    pub(crate) compiler: PathBuf,
    /// The loader, `nodebpf-loader`.
    pub(crate) loader: PathBuf,
    /// The commands that only look, `nodebpf-diag`; lies beside the loader.
    pub(crate) diag: PathBuf,
}

/// Runs the task.
pub(crate) fn run(_args: &Args) -> Result<()> {
    check()
}

/// Builds all, prints their sizes and checks those for nodes.
pub(crate) fn check() -> Result<()> {
    let (compiler, for_nodes) = build_with(&[&X86_64, &AARCH64])?;
    install(&compiler)?;
    let mut binaries = vec![(compiler, None)];
    binaries.extend(for_nodes.into_iter().map(|(built, of, machine)| (built, Some((of, machine)))));
    println!("{:<22} {:>10} {:>10}", "binary", "bytes", "gzip -9");
    for (binary, _) in &binaries {
        let bytes = files::read(binary)?;
        let name = binary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        println!("{name:<22} {:>10} {:>10}", bytes.len(), gzipped(&bytes)?);
    }
    for (binary, of) in &binaries {
        let Some((of, machine)) = of else { continue };
        let size = gzipped(&check_for_nodes(binary, machine)?)?;
        // The other machine type's is larger, and nothing carries it yet.
        ensure!(
            machine.elf != X86_64.elf || size <= of.limit_bytes,
            "{} has {size} bytes gzipped; its limit is {}",
            of.name,
            of.limit_bytes
        );
    }
    Ok(())
}

/// Installs what was built with what was built: nothing of it may be worth a warning, such as a MachineConfig that is too
/// large for a plain `oc apply` (NB0502).
fn install(compiler: &Path) -> Result<()> {
    const POLICY: &str = "\
apiVersion: nodebpf.io/v1alpha1
kind: BpfPolicy
metadata: {name: fleet}
spec: {version: 1, owners: [{name: netops, keys: [public.pem], streams: [\"netops-*\"], hooks: {xdp: {band: [500, 599]}}}]}
";
    let dir = &run::root().join("target/dist-build/install");
    // What an earlier build has left there would be warned of.
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("removing `{}`", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("making `{}`", dir.display()))?;
    fs::write(dir.join("policy.yaml"), POLICY).context("writing a policy")?;
    fs::copy(run::root().join("tests/keys/TEST-ONLY-public.pem"), dir.join("public.pem")).context("copying a key")?;
    let nodebpf = |words: &str| run::check(Command::new(compiler).args(words.split(' ')).current_dir(dir));
    nodebpf("trust build policy.yaml -o trust.json")?;
    nodebpf("install --strict --pool worker --trust trust.json -o out")
        .context("what ships cannot be installed plainly")
}

/// Builds all into `target/dist/`, however big they are.
pub(crate) fn build() -> Result<Dist> {
    build_with(&[&X86_64])?;
    Ok(built())
}

/// Builds the compiler, and nodes' binaries for these machine types, at the same time: each has long stretches that take
/// one core.
fn build_with(machines: &[&'static Machine]) -> Result<(PathBuf, Vec<ForMachine>)> {
    thread::scope(|scope| {
        let compiler = scope.spawn(build_compiler);
        let for_nodes = build_for_nodes(&[&LOADER, &DIAG], machines);
        let compiler = compiler.join().map_err(|_| anyhow::anyhow!("building the compiler panicked"))?;
        Ok((compiler?, for_nodes?))
    })
}

/// All as they were built last.
pub(crate) fn built() -> Dist {
    let dist = run::root().join("target/dist");
    Dist { loader: dist.join(LOADER.name), diag: dist.join(DIAG.name), compiler: dist.join("nodebpf") }
}

/// Builds the loader of this machine type into `target/dist/`.
pub(crate) fn loader() -> Result<PathBuf> {
    build_one(&LOADER)
}

/// Builds the commands that only look, of this machine type, into `target/dist/`.
pub(crate) fn diag() -> Result<PathBuf> {
    build_one(&DIAG)
}

fn build_one(of: &'static ForNodes) -> Result<PathBuf> {
    let built = build_for_nodes(&[of], &[&X86_64])?;
    built.into_iter().next().map(|(path, ..)| path).context("invariant: one was asked for")
}

/// A binary, what it is and for which machine type.
type ForMachine = (PathBuf, &'static ForNodes, &'static Machine);

/// Builds these for these machine types into `target/dist/`, all by one call of cargo: what they share is built once, and
/// the standard libraries of several machine types side by side.
fn build_for_nodes(all: &[&'static ForNodes], machines: &[&'static Machine]) -> Result<Vec<ForMachine>> {
    setup::need(&[Tool::Cc, Tool::MuslTarget, Tool::MuslTargetAarch64, Tool::RustSrc])?;
    let names: Vec<&str> = all.iter().map(|of| of.name).collect();
    let mut cargo = cargo("nodebpf-loader", &names);
    let remap = remap()?;
    for machine in machines {
        let flags = LOADER_FLAGS.iter().chain(machine.link).map(|flag| (*flag).to_owned());
        let flags: Vec<String> = flags.chain(remap.iter().cloned()).collect();
        // A list of strings is written in JSON as in TOML.
        let flags = serde_json::to_string(&flags)?;
        cargo.args(["--target", machine.target, "--config", &format!("target.{}.rustflags={flags}", machine.target)]);
        let variable = machine.target.to_uppercase().replace('-', "_");
        cargo.env_remove(format!("CARGO_TARGET_{variable}_RUSTFLAGS"));
    }
    // They would be taken instead, as the one above would be added. So would be `target.….rustflags` of a configuration
    // file of cargo's on this machine, which nothing can take away: whoever wants our bytes has none.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
    // Digests of all objects are most of a run that changes nothing; fast ones cost 224 bytes.
    cargo.args(["--config", "profile.release.package.sha2.opt-level=3"]);
    cargo.env("RUSTC_BOOTSTRAP", "1");
    for (setting, value) in LOADER_PROFILE {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run::check(&mut cargo)?;
    let mut built = Vec::new();
    for of in all {
        for machine in machines {
            let folder = target_folder("nodebpf-loader").join(machine.target).join("release");
            built.push((place(&folder.join(of.name), &format!("{}{}", of.name, machine.suffix))?, *of, *machine));
        }
    }
    Ok(built)
}

/// Builds the compiler into `target/dist/`.
pub(crate) fn build_compiler() -> Result<PathBuf> {
    setup::need(&[Tool::Cc])?;
    // Separated by 0x1f, so that a path may have spaces.
    run::check(cargo("nodebpf", &["nodebpf"]).env("CARGO_ENCODED_RUSTFLAGS", remap()?.join("\x1f")))?;
    place(&target_folder("nodebpf").join("release/nodebpf"), "nodebpf")
}

/// Copies a finished binary to `target/dist/`, as `file`.
fn place(from: &Path, file: &str) -> Result<PathBuf> {
    let _lock = files::lock("dist")?;
    let dist = run::root().join("target/dist");
    fs::create_dir_all(&dist)?;
    let to = dist.join(file);
    // Under another name first: somebody may be running the old one.
    let new = dist.join(format!("{file}.unfinished"));
    fs::copy(from, &new).with_context(|| format!("copying `{}`", from.display()))?;
    fs::rename(&new, &to).with_context(|| format!("renaming `{}`", new.display()))?;
    Ok(to)
}

/// Flags differ, so each package has a folder of its own and spoils nobody's cache.
fn target_folder(package: &str) -> PathBuf {
    run::root().join("target/dist-build").join(package)
}

/// A release build of binaries.
fn cargo(package: &str, binaries: &[&str]) -> Command {
    let mut cargo = run::cargo();
    cargo.args(["build", "--release", "--locked", "--package", package, "--target-dir"]).arg(target_folder(package));
    cargo.args(binaries.iter().flat_map(|binary| ["--bin", binary]));
    cargo
}

/// Flags that keep paths of this machine out of a binary.
fn remap() -> Result<Vec<String>> {
    let paths = machine_paths()?;
    Ok(paths.iter().map(|(path, shown)| format!("--remap-path-prefix={path}={shown}")).collect())
}

/// Folders that a compiler writes into binaries, with what it shall write instead.
fn machine_paths() -> Result<Vec<(String, &'static str)>> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(std::env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?).join(".cargo"),
    };
    let paths = [
        (run::root(), "nodebpf"),
        (home.join("registry/src"), "crates"),
        (setup::sysroot()?.join("lib/rustlib/src/rust"), "rust"),
    ];
    let text = |path: PathBuf| path.into_os_string().into_string();
    paths
        .into_iter()
        .map(|(path, shown)| text(path).map(|path| (path, shown)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|path| anyhow::anyhow!("the path {} must be text", path.display()))
}

/// Checks what must hold of a binary for nodes on any machine, and gives its bytes back.
fn check_for_nodes(binary: &Path, machine: &Machine) -> Result<Vec<u8>> {
    let bytes = files::read(binary)?;
    match has_interpreter(&bytes) {
        Some(false) => {}
        Some(true) => bail!("`{}` is not static: it names an interpreter", binary.display()),
        None => bail!("`{}` is no 64-bit ELF file", binary.display()),
    }
    let found = bytes.get(0x12..).and_then(|rest| rest.first_chunk()).map(|two| u16::from_le_bytes(*two));
    ensure!(found == Some(machine.elf), "`{}` is for machine {found:?}, not {}", binary.display(), machine.elf);
    for (path, _) in machine_paths()? {
        let found = bytes.windows(path.len()).any(|window| window == path.as_bytes());
        ensure!(!found, "`{}` holds a path of this machine: {path}", binary.display());
    }
    Ok(bytes)
}

/// Size of `bytes` after gzip, as a MachineConfig carries them.
fn gzipped(bytes: &[u8]) -> Result<usize> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes).context("compressing")?;
    Ok(gzip.finish().context("compressing")?.len())
}

/// Whether an ELF file needs a dynamic loader: it has a `PT_INTERP` entry. `None` for other files.
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const CLASS_64_LITTLE: &[u8] = b"\x7fELF\x02\x01";
    const ENTRY_SIZE: usize = 56;
    const INTERPRETER: u32 = 3;
    if !elf.starts_with(CLASS_64_LITTLE) {
        return None;
    }
    let start = usize::try_from(u64::from_le_bytes(*elf.get(0x20..)?.first_chunk()?)).ok()?;
    let count = u16::from_le_bytes(*elf.get(0x38..)?.first_chunk()?);
    let table = elf.get(start..)?.get(..usize::from(count) * ENTRY_SIZE)?;
    Some(table.chunks(ENTRY_SIZE).any(|entry| entry.starts_with(&INTERPRETER.to_le_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with one program header of this type.
    fn elf(kind: u32) -> Vec<u8> {
        let mut elf = vec![0; 0x40 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[0x20] = 0x40;
        elf[0x38] = 1;
        elf[0x40..0x44].copy_from_slice(&kind.to_le_bytes());
        elf
    }

    #[test]
    fn an_interpreter_is_found_in_the_program_headers() {
        assert_eq!(has_interpreter(&elf(3)), Some(true));
        assert_eq!(has_interpreter(&elf(1)), Some(false));
        assert_eq!(has_interpreter(b"#!/bin/sh"), None);
        assert_eq!(has_interpreter(&elf(3)[..0x50]), None, "cut off");
    }

    #[test]
    fn equal_bytes_shrink() {
        assert!(gzipped(&[7; 10_000]).unwrap() < 100);
    }
}
