//! Command line: arguments in, one command run, exit code out.

use std::{ffi::OsString, path::PathBuf};

use nodeplan::{report::Exit, text};

use crate::{
    commands::{self, diag::Diag, print},
    kernel::Kernel,
    paths::Paths,
    report,
};

const HELP: &str = "\
Attach the eBPF programs of this node's signed bundles

Usage: nodebpf-loader [--root DIR] <COMMAND>

Commands:
  apply    Verify all bundles and bring the kernel to what they say
  status   Print what runs, and why not more
  inventory
           Print all eBPF of the node, where it is attached and whose it is
  map dump STREAM MAP
           Print the entries of a map, by their types; --json for tools
  selftest Try every hook with a program that does nothing
  version  Print the version

Options of apply:
  --boot    Exit 0 whatever became of single streams
  --update  Exit by the table below (the default)
  --dry-run Load and verify, attach nothing, print a table; or with --json

Options of status:
  --json    Print the report as JSON
  --prometheus
            Print metrics as text

Options:
  --root DIR  Read and write files below DIR instead of /
  -h, --help  Print this text

Exit codes: 0 done, 1 the run was impossible, 2 wrong usage, 3 a bundle was
refused, 4 the node lacks a feature, 5 the kernel refused something,
6 a change could not be undone, 7 another run holds the lock
";

const COMMANDS: &str = "apply, status, inventory, map dump, selftest and version";

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Apply { boot: bool },
    Diag(Diag),
    Version,
    Help,
}

/// Runs one command.
pub fn run(args: impl Iterator<Item = OsString>) -> Exit {
    match parse(args) {
        Ok((command, root)) => execute(&command, &Paths::new(&root)),
        Err(message) => {
            report::log(3, &message);
            report::log(3, "see nodebpf-loader --help");
            Exit::Usage
        }
    }
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<(Command, PathBuf), String> {
    let (mut root, mut command, mut options) = (PathBuf::from("/"), None, Vec::new());
    let mut operands = Vec::new();
    let mut args = args.map(|arg| arg.into_string().map_err(|arg| format!("{} is not UTF-8", arg.display())));
    while let Some(arg) = args.next().transpose()? {
        match arg.as_str() {
            "-h" | "--help" => return Ok((Command::Help, root)),
            "--root" => root = PathBuf::from(args.next().transpose()?.ok_or("--root needs a directory")?),
            option if option.starts_with('-') => options.push(arg),
            _ if command.is_none() => command = Some(arg),
            _ => operands.push(arg),
        }
    }
    let command = command.ok_or(format!("a command is missing: {COMMANDS}"))?;
    let words: Vec<&str> = [&command].into_iter().chain(&operands).chain(&options).map(String::as_str).collect();
    if let Some(diag) = Diag::parse(&words) {
        return Ok((Command::Diag(diag), root));
    }
    let options = &words[1..];
    let command = match (command.as_str(), options) {
        ("apply", [] | ["--update"]) => Command::Apply { boot: false },
        ("apply", ["--boot"]) => Command::Apply { boot: true },
        ("version", []) => Command::Version,
        ("apply" | "status" | "inventory" | "map" | "selftest" | "version", _) => {
            return Err(format!("{command} does not take {}", text::join(&mut options.iter().copied(), " ")));
        }
        _ => return Err(format!("unknown command `{command}`; there are {COMMANDS}")),
    };
    Ok((command, root))
}

fn execute(command: &Command, paths: &Paths) -> Exit {
    let kernel = Kernel::new();
    match command {
        Command::Help => print(HELP),
        Command::Version => print(&format!("nodebpf-loader {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Apply { boot } => commands::apply::run(&kernel, paths, *boot),
        Command::Diag(diag) => diag.run(&kernel, paths),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse = |line: &str| parse(line.split_whitespace().map(OsString::from)).map(|(command, _)| command);
        for (line, want) in [
            ("apply", Command::Apply { boot: false }),
            ("apply --boot", Command::Apply { boot: true }),
            ("--root /x status --json", Command::Diag(Diag::parse(&["status", "--json"]).unwrap())),
            ("--help", Command::Help),
            ("apply --help", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(want), "case: {line}");
        }
        for bad in ["", "run", "apply --json", "apply status", "--root", "apply --boot --update"] {
            assert!(parse(bad).is_err(), "case: {bad}");
        }
    }
}
