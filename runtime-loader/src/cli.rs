//! Command line: arguments in, one command run, exit code out.

use std::{ffi::OsString, path::PathBuf};

use nodeplan::{name::StreamName, report::Exit, sorted::SortedSet, text};

use crate::{
    commands::{
        self,
        apply::Starter,
        diag::Diag,
        hold::{Order, What},
        print,
    },
    kernel::Kernel,
    paths::Paths,
    report,
    stream::Scope,
};

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
  version  Print the version

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
  --root DIR  Read and write files below DIR instead of /
  -h, --help  Print this text

Exit codes: 0 done, 1 the run was impossible, 2 wrong usage, 3 a bundle was
refused, 4 the node lacks a feature, 5 the kernel refused something,
6 a change could not be undone, 7 another run holds the lock
";

const COMMANDS: &str = "apply, gate, status, hold, release, detach, inventory, map dump, selftest and version";

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Apply { boot: bool, early: bool },
    Diag(Diag),
    Gate,
    Hold(Order),
    Version,
    Help,
}

/// Runs one command.
pub fn run(args: impl Iterator<Item = OsString>) -> Exit {
    match parse(args) {
        // Below it no link is followed; that it may be reached by one is the caller's business.
        Ok((command, root)) => execute(&command, &Paths::new(&root.canonicalize().unwrap_or(root))),
        Err(message) => {
            report::log(3, &message);
            report::log(3, "see nodebpf-loader --help");
            Exit::Usage
        }
    }
}

/// Words of the command line, sorted out.
#[derive(Default)]
struct Words {
    root: Option<PathBuf>,
    command: Option<String>,
    options: Vec<String>,
    /// Behind the command.
    operands: Vec<String>,
    reason: Option<String>,
}

impl Words {
    /// Whether an option was given; it is done with then.
    fn take(&mut self, option: &str) -> bool {
        let at = self.options.iter().position(|one| one == option);
        at.map(|at| self.options.remove(at)).is_some()
    }

    /// What nobody has taken.
    fn rest(&self) -> impl Iterator<Item = &str> {
        self.options.iter().chain(&self.operands).chain(&self.reason).map(String::as_str)
    }

    /// Streams of a command that needs names, or `--all`.
    fn streams(&mut self) -> Result<SortedSet<StreamName>, String> {
        let all = self.take("--all");
        let mut streams = SortedSet::new();
        for name in self.operands.drain(..) {
            let stream = StreamName::try_from(name.as_str()).map_err(|error| format!("`{name}`: {error}"))?;
            streams.insert(stream);
        }
        match (all, streams.is_empty()) {
            (true, false) => Err("name streams, or give --all, not both".to_owned()),
            (false, true) => Err("name streams, or give --all".to_owned()),
            _ => Ok(streams),
        }
    }
}

/// The command that only looks, if these words are one.
fn looks(name: &str, words: &Words) -> Option<Diag> {
    let shape = words.operands.iter().chain(&words.options).map(String::as_str);
    let shape: Vec<&str> = [name].into_iter().chain(shape).collect();
    Diag::parse(&shape).filter(|_| words.reason.is_none())
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<(Command, PathBuf), String> {
    let mut words = Words::default();
    let mut args = args.map(|arg| arg.into_string().map_err(|arg| format!("{} is not UTF-8", arg.display())));
    while let Some(arg) = args.next().transpose()? {
        match arg.as_str() {
            "-h" | "--help" => return Ok((Command::Help, PathBuf::new())),
            "--root" => words.root = Some(PathBuf::from(args.next().transpose()?.ok_or("--root needs a directory")?)),
            "--reason" => words.reason = Some(args.next().transpose()?.ok_or("--reason needs a text")?),
            option if option.starts_with('-') => words.options.push(arg),
            _ if words.command.is_none() => words.command = Some(arg),
            _ => words.operands.push(arg),
        }
    }
    let root = words.root.take().unwrap_or_else(|| PathBuf::from("/"));
    let name = words.command.take().ok_or_else(|| format!("a command is missing: {COMMANDS}"))?;
    if let Some(diag) = looks(&name, &words) {
        return Ok((Command::Diag(diag), root));
    }
    let command = match name.as_str() {
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
        "status" | "inventory" | "selftest" => {
            return Err(format!("{name} does not take {}", text::join(&mut words.rest(), " ")));
        }
        "map" => return Err("map dump takes a stream, a map and perhaps --json".to_owned()),
        "version" => Command::Version,
        _ => return Err(format!("unknown command `{name}`; there are {COMMANDS}")),
    };
    let left = text::join(&mut words.rest(), " ");
    if left.is_empty() { Ok((command, root)) } else { Err(format!("{name} does not take {left}")) }
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
        Command::Gate => commands::gate::run(paths),
        Command::Hold(order) => commands::hold::run(&kernel, paths, order),
        Command::Diag(diag) => diag.run(&kernel, paths),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse = |line: &str| parse(line.split_whitespace().map(OsString::from)).map(|(command, _)| command);
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
            ("gate", Command::Gate),
            ("hold a b --reason slow", order(&["a", "b"], hold(false, "slow"))),
            ("hold --all --detach", order(&[], hold(true, ""))),
            ("detach a", order(&["a"], hold(true, ""))),
            ("release --all", order(&[], What::Release)),
            ("release a", order(&["a"], What::Release)),
            ("--root /x status --json", Command::Diag(Diag::parse(&["status", "--json"]).unwrap())),
            ("--help", Command::Help),
            ("apply --help", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(want), "case: {line}");
        }
        for bad in [
            "",
            "run",
            "apply --json",
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
