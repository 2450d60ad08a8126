//! Setup: install what the tasks need and this machine lacks.
//!
//! In:   [`table::TABLE`], PATH, the files of the machine.
//! Out:  the missing Debian packages and Rust parts installed; nothing is touched when nothing is missing.
//! May fail with: no right to install (one line to type), `apt-get` or `rustup` failing.
//!
//! A task asks for its tools by [`need`], so that `cargo xtask vm` works on a bare machine.

pub(crate) mod apt;
mod table;

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{files, run};
pub(crate) use table::{MUSL, MUSL_AARCH64, Tool};
use table::{Presence, Row, Source, TABLE};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Report what is missing, install nothing
    #[arg(long)]
    check: bool,
}

/// Installs everything in the table, or reports what is missing.
pub(crate) fn run(args: &Args) -> Result<()> {
    let rows: Vec<&Row> = TABLE.iter().collect();
    let missing = missing(&rows)?;
    report(&rows, &missing);
    if args.check && !missing.is_empty() {
        bail!("{} of {} tools are missing; type `cargo xtask setup`", missing.len(), rows.len());
    }
    everything()?;
    println!("nothing is missing");
    Ok(())
}

/// Makes sure that everything in the table is there, installing what is missing.
pub(crate) fn everything() -> Result<()> {
    need(&TABLE.iter().map(|row| row.tool).collect::<Vec<Tool>>())
}

/// Makes sure that `tools` are there, installing what is missing.
pub(crate) fn need(tools: &[Tool]) -> Result<()> {
    let rows: Vec<&Row> = TABLE.iter().filter(|row| tools.contains(&row.tool)).collect();
    let missing = missing(&rows)?;
    for row in &missing {
        eprintln!("missing: {} ({})", row.name(), row.why);
    }
    install(&missing)
}

/// Where the program or file of a tool lies.
pub(crate) fn path_of(tool: Tool) -> Result<PathBuf> {
    let row = TABLE.iter().find(|row| row.tool == tool).context("invariant: every tool has a row")?;
    find(row).with_context(|| format!("{} is not installed; type `cargo xtask setup`", row.name()))
}

/// A command that runs QEMU: the installed one, or the one below `target/tools/` with its own libraries.
pub(crate) fn qemu() -> Result<Command> {
    let program = path_of(Tool::Qemu)?;
    let mut command = Command::new(&program);
    let row = &TABLE[Tool::Qemu as usize];
    let root = apt::private_root(row.name());
    if program.starts_with(&root) {
        let libraries = children(&root.join("usr/lib")).into_iter().chain(children(&root.join("lib")));
        command.env("LD_LIBRARY_PATH", std::env::join_paths(libraries)?);
        if let Some(modules) =
            children(&root.join("usr/lib")).iter().map(|lib| lib.join("qemu")).find(|dir| dir.exists())
        {
            command.env("QEMU_MODULE_DIR", modules);
        }
        for firmware in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(root.join(firmware));
        }
    }
    Ok(command)
}

/// The first executable called `program` on PATH or in a system folder (PATH of a plain user lacks sbin).
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

/// Files that match `pattern`, sorted; `*` stands for any one path component.
pub(crate) fn glob(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found
            .into_iter()
            .flat_map(|folder| if part == "*" { children(&folder) } else { vec![folder.join(part)] })
            .filter(|path| path.exists())
            .collect();
    }
    found
}

/// What lies in `folder`, sorted; nothing where it cannot be read.
pub(crate) fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Where the thing lies that shows the presence of a row.
fn find(row: &Row) -> Option<PathBuf> {
    match row.presence {
        Presence::Program(program) => find_program(program).or_else(|| {
            let file = apt::private_root(row.name()).join("usr/bin").join(program);
            is_executable(&file).then_some(file)
        }),
        Presence::File(pattern) => glob(pattern).into_iter().next(),
        Presence::RustLib(path) => {
            sysroot().ok().map(|root| root.join("lib/rustlib").join(path)).filter(|path| path.exists())
        }
    }
}

fn missing<'a>(rows: &[&'a Row]) -> Result<Vec<&'a Row>> {
    if rows.iter().any(|row| matches!(row.presence, Presence::RustLib(_))) {
        sysroot()?;
    }
    Ok(rows.iter().copied().filter(|row| find(row).is_none()).collect())
}

/// Folder of the active Rust tool chain.
pub(crate) fn sysroot() -> Result<PathBuf> {
    let output = run::capture(Command::new("rustc").args(["--print", "sysroot"]).current_dir(run::root())).context(
        "asking rustc for its folder; rustup installs Rust, `rustup toolchain install` here the right version",
    )?;
    Ok(PathBuf::from(String::from_utf8(output.stdout).context("reading the path of the Rust tool chain")?.trim()))
}

fn report(rows: &[&Row], missing: &[&Row]) {
    println!("{:<26} {:<8} {:<16} why", "package", "state", "needed by");
    for row in rows {
        let lacks = missing.iter().any(|other| other.tool == row.tool);
        println!("{:<26} {:<8} {:<16} {}", row.name(), if lacks { "MISSING" } else { "there" }, row.tasks, row.why);
    }
}

fn install(missing: &[&Row]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let _lock = files::lock("setup")?;
    // Another run may have installed it meanwhile.
    let missing = self::missing(missing)?;
    let mut packages: Vec<&str> = Vec::new();
    let mut unpackable: Vec<&str> = Vec::new();
    for row in &missing {
        if let Source::Debian(package) = row.source
            && !packages.contains(&package)
        {
            packages.push(package);
            // QEMU is one program with its own data; it also runs from a folder.
            if row.tool == Tool::Qemu {
                unpackable.push(package);
            }
        }
    }
    if !packages.is_empty() {
        apt::install(&packages, &unpackable)?;
    }
    for row in &missing {
        match row.source {
            Source::Debian(_) => {}
            Source::RustTarget(target) => rustup("target", target)?,
            Source::RustComponent(component) => rustup("component", component)?,
        }
    }
    Ok(())
}

fn rustup(kind: &str, name: &str) -> Result<()> {
    let line = format!("rustup {kind} add {name}");
    if find_program("rustup").is_none() {
        bail!(
            "the Rust tool chain lacks `{name}` and there is no rustup to add it; install rustup, then type in the \
             folder of this repository: {line}"
        );
    }
    eprintln!("running: {line}");
    run::check(Command::new("rustup").args([kind, "add", name]).current_dir(run::root()))
        .with_context(|| format!("adding a part of the Rust tool chain; by hand: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glob_takes_a_star_as_one_component() {
        assert_eq!(glob("/proc/self/status"), [PathBuf::from("/proc/self/status")]);
        assert!(glob("/proc/*/stat").len() > 1);
        assert!(glob("/proc/no-such-folder/*").is_empty());
    }

    #[test]
    fn programs_of_sbin_are_found_without_it_on_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
