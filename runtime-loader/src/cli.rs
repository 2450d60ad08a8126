//! Command line: arguments in, one command run, exit code out.

use std::{ffi::OsString, path::PathBuf};

use nodeplan::{report::Exit, text};

use crate::{
    commands::{self, print},
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
  version  Print the version

Options of apply:
  --boot    Exit 0 whatever became of single streams
  --update  Exit by the table below (the default)

Options of status:
  --json    Print the report as JSON

Options:
  --root DIR  Read and write files below DIR instead of /
  -h, --help  Print this text

Exit codes: 0 done, 1 the run was impossible, 2 wrong usage, 3 a bundle was
refused, 4 the node lacks a feature, 5 the kernel refused something,
6 a change could not be undone, 7 another run holds the lock
";

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Apply { boot: bool },
    Status { json: bool },
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

fn parse(args: impl Iterator<Item = OsString>) -> Result<(Command, PathBuf), String> {
    let (mut root, mut command, mut options) = (PathBuf::from("/"), None, Vec::new());
    let mut args = args.map(|arg| arg.into_string().map_err(|arg| format!("{} is not UTF-8", arg.display())));
    while let Some(arg) = args.next().transpose()? {
        match arg.as_str() {
            "-h" | "--help" => return Ok((Command::Help, root)),
            "--root" => root = PathBuf::from(args.next().transpose()?.ok_or("--root needs a directory")?),
            option if option.starts_with('-') => options.push(arg),
            _ if command.is_none() => command = Some(arg),
            _ => return Err(format!("unexpected argument `{arg}`")),
        }
    }
    let command = command.ok_or("a command is missing: apply, status or version")?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let command = match (command.as_str(), &options[..]) {
        ("apply", [] | ["--update"]) => Command::Apply { boot: false },
        ("apply", ["--boot"]) => Command::Apply { boot: true },
        ("status", []) => Command::Status { json: false },
        ("status", ["--json"]) => Command::Status { json: true },
        ("version", []) => Command::Version,
        ("apply" | "status" | "version", _) => {
            return Err(format!("{command} does not take {}", text::join(&mut options.iter().copied(), " ")));
        }
        _ => return Err(format!("unknown command `{command}`; there are apply, status and version")),
    };
    Ok((command, root))
}

fn execute(command: &Command, paths: &Paths) -> Exit {
    let kernel = Kernel::new();
    match command {
        Command::Help => print(HELP),
        Command::Version => print(&format!("nodebpf-loader {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Apply { boot } => commands::apply::run(&kernel, paths, *boot),
        Command::Status { json } => commands::status::run(&kernel, paths, *json),
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
            ("--root /x status --json", Command::Status { json: true }),
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
