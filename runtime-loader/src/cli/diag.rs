//! Command line of `nodebpf-diag`: the commands that only look. They change nothing.

use std::ffi::OsString;

use nodeplan::{report::Exit, text};

use super::{paths, refuse, words::Words};
use crate::{
    apply, commands,
    commands::{print, show, status},
    inventory,
    kernel::Kernel,
    paths::Paths,
    selftest,
};

const HELP: &str = "\
Look at the eBPF of this node, and change nothing

nodebpf-loader starts it for the commands that it leaves to it.

Usage: nodebpf-diag [--root DIR] <COMMAND>

Commands:
  inventory
           Print all eBPF of the node, where it is attached and whose it is
  map dump STREAM MAP
           Print the entries of a map, by their types
  selftest Try every hook with a program that does nothing
  status --prometheus
           Print metrics as text
  version  Print the version, as -V and --version do

Options:
  --json      Print JSON instead of a table
  --root DIR  Read files below DIR instead of /
  -h, --help  Print this text

Exit codes are those of nodebpf-loader.
";

const COMMANDS: &str = "inventory, map dump, selftest, status --prometheus and version";

/// A command that only looks.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// What runs, as metrics.
    Metrics,
    /// Entries of a map: stream and map.
    MapDump(String, String),
    /// Everything of everybody.
    Inventory,
    /// What works here.
    Selftest,
    /// Which one this is.
    Version,
    /// What it can do.
    Help,
}

/// Whether the loader leaves a command line to `nodebpf-diag`.
pub(super) fn is_ours(words: &Words) -> bool {
    match words.command.as_deref() {
        _ if words.help || words.version => false,
        Some("inventory" | "map" | "selftest") => true,
        Some("status") => words.options.iter().any(|one| one == "--prometheus"),
        _ => false,
    }
}

/// Runs one command.
pub fn run(args: &[OsString]) -> Exit {
    let parsed = Words::read(args).and_then(|mut words| parse(&mut words).map(|(look, json)| (look, json, words.root)));
    match parsed {
        Ok((look, json, root)) => execute(&look, json, &Kernel::new(), &paths(root)),
        Err(message) => refuse(&message, "nodebpf-diag"),
    }
}

fn parse(words: &mut Words) -> Result<(Look, bool), String> {
    if words.help {
        return Ok((Look::Help, false));
    }
    if words.version {
        return Ok((Look::Version, false));
    }
    let name = words.command.take().ok_or_else(|| format!("a command is missing: {COMMANDS}"))?;
    let json = words.take("--json");
    let look = match name.as_str() {
        "status" if !json && words.take("--prometheus") => Look::Metrics,
        "status" if json => return Err("status takes --prometheus or --json, not both".to_owned()),
        "inventory" => Look::Inventory,
        "selftest" => Look::Selftest,
        "map" => match <[String; 3]>::try_from(std::mem::take(&mut words.operands)) {
            Ok([dump, stream, map]) if dump == "dump" => Look::MapDump(stream, map),
            _ => return Err("map dump takes a stream, a map and perhaps --json".to_owned()),
        },
        "version" => Look::Version,
        _ => return Err(format!("unknown command `{name}`; there are {COMMANDS}")),
    };
    let left = text::join(&mut words.rest(), " ");
    if left.is_empty() { Ok((look, json)) } else { Err(format!("{name} does not take {left}")) }
}

fn execute(look: &Look, json: bool, kernel: &Kernel, paths: &Paths) -> Exit {
    match look {
        Look::Help => print(HELP),
        Look::Version => print(&format!("nodebpf-diag {}\n", env!("CARGO_PKG_VERSION"))),
        Look::Metrics => status::metrics(kernel, paths),
        Look::Inventory => match apply::require_root().map(|()| inventory::take(kernel)) {
            Ok(Ok(value)) => show(&value, json),
            Ok(Err(error)) => status::fail(&error),
            Err(cannot) => status::fail(&cannot),
        },
        Look::Selftest => match apply::require_root() {
            Ok(()) => {
                let (page, exit) = selftest::run(kernel);
                exit.max(show(&page, json))
            }
            Err(cannot) => status::fail(&cannot),
        },
        Look::MapDump(stream, name) => commands::map::dump(kernel, stream, name, json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Words {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        Words::read(&args).unwrap()
    }

    #[test]
    fn arguments() {
        let dump = || Look::MapDump("s".to_owned(), "m".to_owned());
        for (line, want) in [
            ("status --prometheus", Some((Look::Metrics, false))),
            ("--root /x map dump s m", Some((dump(), false))),
            ("map dump s m --json", Some((dump(), true))),
            ("inventory", Some((Look::Inventory, false))),
            ("selftest --json", Some((Look::Selftest, true))),
            ("version", Some((Look::Version, false))),
            ("--version", Some((Look::Version, false))),
            ("-V", Some((Look::Version, false))),
            ("inventory --help", Some((Look::Help, false))),
            ("", None),
            ("apply", None),
            ("apply --dry-run", None),
            ("status", None),
            ("status --prometheus --json", None),
            ("map dump s", None),
            ("map dump s --all", None),
            ("map show s m", None),
            ("inventory x", None),
            ("selftest --reason x", None),
        ] {
            assert_eq!(parse(&mut words(line)).ok(), want, "case: {line}");
        }
    }

    /// What the loader leaves to this binary is what this binary takes.
    #[test]
    fn what_is_left_to_it() {
        for (line, ours) in [
            ("apply --dry-run", false),
            ("status --prometheus", true),
            ("map dump s m", true),
            ("inventory --json", true),
            ("selftest", true),
            ("apply --boot", false),
            ("status --json", false),
            ("version", false),
            ("inventory --help", false),
            ("--version", false),
            ("inventory --version", false),
        ] {
            let mut words = words(line);
            assert_eq!(is_ours(&words), ours, "case: {line}");
            assert!(parse(&mut words).is_ok() || !ours, "case: {line}");
        }
    }
}
