//! Command line of `nodebpf-loader`: arguments in, one command run, exit code out.
//!
//! Commands that only look are those of [`diag`], a binary of its own, so that the one that every node starts at every
//! boot is small. They are typed as all others; this one starts that one. The dry run is not among them: it is a run, and
//! would bring all of this one along.

pub mod diag;
mod words;

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use nodeplan::{
    report::{Code, Exit},
    text,
};

use crate::{
    commands::{
        self,
        apply::Starter,
        hold::{Order, What},
        print,
    },
    kernel::{self, Kernel},
    paths::Paths,
    report,
    stream::Scope,
};
use words::Words;

const HELP: &str = "\
Attach the eBPF programs of this node's signed bundles

Usage: nodebpf-loader [--root DIR] <COMMAND>

Commands:
  apply    Verify all bundles and bring the kernel to what they say
  gate     Wait for the streams that the trust file requires
  status   Print what runs, and why not more
  hold     Leave streams as they are until they are released
  release  Let the next runs change held streams again
  detach   Hold streams and detach what runs of them
  inventory
           Print all eBPF of the node, where it is attached and whose it is
  map dump STREAM MAP
           Print the entries of a map, by their types; --json for tools
  selftest Try every hook with a program that does nothing
  version  Print the version, as -V and --version do

Options of apply:
  --boot    Exit 0 whatever became of single streams
  --update  Exit by the table below (the default); started by a path
            or timer unit of systemd: exit 0
  --early   Only streams with `stage: early`
  --dry-run Load and verify, attach nothing, print a table; or with --json

Options of status:
  --json    Print the report as JSON
  --prometheus
            Print metrics as text

Arguments of hold, release and detach:
  STREAM...      Names of streams
  --all          All streams, also those that come later
  --detach       With hold: detach what runs
  --reason TEXT  With hold and detach: why, for whoever finds it

Options:
  --root DIR  Read and write files below DIR instead of /. Programs, pins
              and cgroups are this machine's all the same: streams of / that
              are not below DIR are taken for removed
  -h, --help  Print this text

Exit codes: 0 done, 1 the run was impossible, 2 wrong usage, 3 a bundle was
refused, 4 the node lacks a feature, 5 the kernel refused something,
6 a change could not be undone, 7 another run holds the lock
";

/// What to do on a node without the other binary.
const HOW_TO_GET_DIAG: &str =
    "let `nodebpf install` ship it (without --no-diag), or copy nodebpf-diag of the same release there";

const COMMANDS: &str = "apply, gate, status, hold, release, detach, inventory, map dump, selftest and version";

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Apply { boot: bool, early: bool },
    DryRun { json: bool },
    Gate,
    Status { json: bool },
    Hold(Order),
    Version,
    Help,
}

/// Runs one command.
pub fn run(args: &[OsString]) -> Exit {
    let parsed = Words::read(args).and_then(|mut words| {
        if diag::is_ours(&words) { Ok(None) } else { Ok(Some((parse(&mut words)?, words.root))) }
    });
    match parsed {
        Ok(Some((command, root))) => execute(&command, &paths(root)),
        Ok(None) => start_diag(args),
        Err(message) => refuse(&message, "nodebpf-loader"),
    }
}

/// Says what is wrong with a command line of this binary.
fn refuse(message: &str, binary: &str) -> Exit {
    report::log(3, message);
    report::log(3, &format!("see {binary} --help"));
    Exit::Usage
}

/// Files below `root`. Below it no link is followed; that it may be reached by one is the caller's business.
fn paths(root: Option<PathBuf>) -> Paths {
    let root = root.unwrap_or_else(|| PathBuf::from("/"));
    Paths::new(&real_path(&root).unwrap_or(root))
}

/// The path without links, as the kernel says it: realpath(3) would ask the same, link by link, in 1 KB of code.
fn real_path(path: &Path) -> io::Result<PathBuf> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

/// Goes on as `nodebpf-diag`, which lies beside this binary. Returns only if it could not.
fn start_diag(args: &[OsString]) -> Exit {
    let error = match std::env::current_exe() {
        Ok(ours) => kernel::exec(&ours.with_file_name("nodebpf-diag"), args).to_string(),
        Err(error) => format!("/proc/self/exe: {error}"),
    };
    report::log(3, &format!("{} {error}; {HOW_TO_GET_DIAG}", Code::NoDiag.as_str()));
    Exit::CannotRun
}

fn parse(words: &mut Words) -> Result<Command, String> {
    if words.help {
        return Ok(Command::Help);
    }
    if words.version {
        return Ok(Command::Version);
    }
    let name = words.command.take().ok_or_else(|| format!("a command is missing: {COMMANDS}"))?;
    let command = match name.as_str() {
        "apply" if words.take("--dry-run") => Command::DryRun { json: words.take("--json") },
        "apply" => {
            let (boot, update, early) = (words.take("--boot"), words.take("--update"), words.take("--early"));
            if boot && update {
                return Err("apply takes --boot or --update, not both".to_owned());
            }
            Command::Apply { boot, early }
        }
        "gate" => Command::Gate,
        "hold" | "detach" => {
            let detach = words.take("--detach") || name == "detach";
            let (streams, reason) = (words.streams()?, words.reason.take().unwrap_or_default());
            Command::Hold(Order { streams, what: What::Hold { detach, reason } })
        }
        "release" => Command::Hold(Order { streams: words.streams()?, what: What::Release }),
        "status" => Command::Status { json: words.take("--json") },
        "version" => Command::Version,
        _ => return Err(format!("unknown command `{name}`; there are {COMMANDS}")),
    };
    let left = text::join(&mut words.rest(), " ");
    if left.is_empty() { Ok(command) } else { Err(format!("{name} does not take {left}")) }
}

fn execute(command: &Command, paths: &Paths) -> Exit {
    let kernel = Kernel::new();
    match command {
        Command::Help => print(HELP),
        Command::Version => print(&format!("nodebpf-loader {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Apply { boot, early } => {
            let scope = if *early { Scope::Early } else { Scope::All };
            commands::apply::run(&kernel, paths, Starter::of(*boot), &scope)
        }
        Command::DryRun { json } => commands::apply::dry_run(&kernel, paths, *json),
        Command::Gate => commands::gate::run(paths),
        Command::Hold(order) => commands::hold::run(&kernel, paths, order),
        Command::Status { json } => commands::status::run(&kernel, paths, *json),
    }
}

#[cfg(test)]
mod tests {
    use nodeplan::name::StreamName;

    use super::*;

    #[test]
    fn a_root_behind_links_is_said_without_them() {
        let dir = std::env::temp_dir().canonicalize().unwrap().join(format!("nodebpf-root-{}", std::process::id()));
        fs::create_dir_all(dir.join("real/below")).unwrap();
        std::os::unix::fs::symlink(dir.join("real"), dir.join("link")).unwrap();
        assert_eq!(real_path(&dir.join("link/./below")).unwrap(), dir.join("real/below"));
        assert_eq!(real_path(Path::new("/")).unwrap(), Path::new("/"));
        assert!(real_path(&dir.join("none")).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn arguments() {
        let parse = |line: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            Words::read(&args).and_then(|mut words| parse(&mut words))
        };
        let order = |names: &[&str], what| {
            let streams = names.iter().map(|name| StreamName::try_from(*name).unwrap()).collect();
            Command::Hold(Order { streams, what })
        };
        let hold = |detach, reason: &str| What::Hold { detach, reason: reason.to_owned() };
        for (line, want) in [
            ("apply", Command::Apply { boot: false, early: false }),
            ("apply --update", Command::Apply { boot: false, early: false }),
            ("apply --boot", Command::Apply { boot: true, early: false }),
            ("apply --early --boot", Command::Apply { boot: true, early: true }),
            ("apply --dry-run", Command::DryRun { json: false }),
            ("apply --json --dry-run", Command::DryRun { json: true }),
            ("gate", Command::Gate),
            ("hold a b --reason slow", order(&["a", "b"], hold(false, "slow"))),
            ("hold --all --detach", order(&[], hold(true, ""))),
            ("detach a", order(&["a"], hold(true, ""))),
            ("release --all", order(&[], What::Release)),
            ("release a", order(&["a"], What::Release)),
            ("--root /x status --json", Command::Status { json: true }),
            ("status", Command::Status { json: false }),
            ("selftest --help", Command::Help),
            ("--help", Command::Help),
            ("apply --help", Command::Help),
            ("version", Command::Version),
            ("--version", Command::Version),
            ("-V", Command::Version),
            ("--root /x --version", Command::Version),
        ] {
            assert_eq!(parse(line), Ok(want), "case: {line}");
        }
        for bad in [
            "",
            "run",
            "apply --json",
            "apply --dry-run --boot",
            "apply status",
            "--root",
            "apply --boot --update",
            "gate --boot",
            "hold",
            "hold a --all",
            "hold A",
            "release",
            "release a --detach",
            "release a --reason x",
            "detach --reason",
            "status x",
        ] {
            assert!(parse(bad).is_err(), "case: {bad}");
        }
    }
}
