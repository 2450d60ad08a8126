//! Generated files that are checked in: golden MachineConfigs, JSON Schema, error pages, man pages.
//!
//! In:  the compiler as this tree builds it, the examples, the test-only key.
//! Out: the files in [`run`]'s list; with `--check` nothing is written and each difference is named.
//! May fail with: a file that is out of date (`--check`), what the compiler says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{files, run, setup::children};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a file is out of date
    #[arg(long)]
    check: bool,
}

/// Anybody can sign with it: it only makes golden files the same on every machine.
const TEST_KEY: &str = "tests/keys/TEST-ONLY-private.pem";

/// Kinds of `nodebpf schema` and the files they go to.
const SCHEMAS: [(&str, &str); 6] = [
    ("manifest", "bpf-manifest-v1alpha1"),
    ("policy", "bpf-policy-v1alpha1"),
    ("lock", "bpf-lock-v1alpha1"),
    ("trust", "trust-v1"),
    ("node-plan", "node-plan-v1"),
    ("report", "report-v1"),
];

/// Fails if a generated file is out of date.
pub(crate) fn check() -> Result<()> {
    run(&Args { check: true })
}

/// Generates, or checks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let compiler = build_compiler()?;
    let fresh = run::root().join("target/generated");
    files::empty_folder(&fresh)?;
    for folder in ["schema", "docs", "man", "examples/machineconfigs"] {
        fs::create_dir_all(fresh.join(folder))?;
    }
    for (kind, name) in SCHEMAS {
        files::write(&fresh.join(format!("schema/{name}.schema.json")), print(&compiler, &format!("schema {kind}"))?)?;
    }
    files::write(&fresh.join("docs/errors.md"), print(&compiler, "explain --all")?)?;
    run::check(Command::new(&compiler).arg("man").arg(fresh.join("man")))?;
    golden(&compiler, &fresh.join("examples/machineconfigs"))?;
    let differing = compare(&fresh)?;
    if args.check {
        if differing.is_empty() {
            println!("generated files are up to date");
            return Ok(());
        }
        bail!("out of date: {}; type `cargo xtask generate`", differing.join(", "));
    }
    for file in &differing {
        let to = run::root().join(file);
        fs::create_dir_all(to.parent().context("a generated file lies in a folder")?)?;
        fs::copy(fresh.join(file), &to).with_context(|| format!("writing `{file}`"))?;
        println!("wrote {file}");
    }
    Ok(())
}

fn build_compiler() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run::check(Command::new(cargo).args(["build", "--quiet", "--package", "nodebpf"]).current_dir(run::root()))?;
    Ok(run::root().join("target/debug/nodebpf"))
}

fn print(compiler: &Path, words: &str) -> Result<Vec<u8>> {
    Ok(run::capture(Command::new(compiler).args(words.split(' ')))?.stdout)
}

/// Compiles every example with the test-only key.
fn golden(compiler: &Path, out: &Path) -> Result<()> {
    for example in children(&run::root().join("examples")) {
        let manifest = example.join("bpf.yaml");
        if manifest.exists() {
            let mut command = Command::new(compiler);
            command.arg("compile").arg(&manifest).arg("--key").arg(run::root().join(TEST_KEY)).arg("-o").arg(out);
            run::capture(&mut command)?;
        }
    }
    Ok(())
}

/// Files that differ from the checked-in ones, as paths below the workspace.
fn compare(fresh: &Path) -> Result<Vec<String>> {
    let mut differing = Vec::new();
    let mut folders = vec![fresh.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in children(&folder) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let name = entry.strip_prefix(fresh).context("invariant: listed below it")?;
            if fs::read(run::root().join(name)).ok() != Some(files::read(&entry)?) {
                differing.push(name.display().to_string());
            }
        }
    }
    differing.sort_unstable();
    Ok(differing)
}
