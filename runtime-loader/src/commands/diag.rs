//! The commands that only look: what was typed in, an exit code out. They change nothing and take no lock.

use nodeplan::report::Exit;

use super::{apply, map, show, status};
use crate::{inventory, kernel::Kernel, paths::Paths, report, selftest};

/// A command that only looks.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// What `apply` would come to.
    DryRun,
    /// What runs.
    Status,
    /// What runs, as metrics.
    Metrics,
    /// Entries of a map: stream and map.
    MapDump(String, String),
    /// Everything of everybody.
    Inventory,
    /// What works here.
    Selftest,
}

/// Says why there is nothing to print.
fn fail(error: &dyn std::fmt::Display) -> Exit {
    report::log(3, &error.to_string());
    Exit::CannotRun
}

/// A command that only looks, and how it prints.
#[derive(Debug, PartialEq, Eq)]
pub struct Diag {
    look: Look,
    json: bool,
}

impl Diag {
    /// Reads command, operands and options; `None` if they are no command that only looks.
    pub fn parse(words: &[&str]) -> Option<Self> {
        let json = words.contains(&"--json");
        let rest: Vec<&str> = words.iter().copied().filter(|word| *word != "--json").collect();
        let look = match rest[..] {
            ["apply", "--dry-run"] => Look::DryRun,
            ["status"] => Look::Status,
            ["status", "--prometheus"] if !json => Look::Metrics,
            ["inventory"] => Look::Inventory,
            ["selftest"] => Look::Selftest,
            ["map", "dump", stream, map] if !map.starts_with('-') => Look::MapDump(stream.to_owned(), map.to_owned()),
            _ => return None,
        };
        Some(Self { look, json })
    }

    /// Looks and prints.
    pub fn run(&self, kernel: &Kernel, paths: &Paths) -> Exit {
        match &self.look {
            Look::DryRun => apply::dry_run(kernel, paths, self.json),
            Look::Status if self.json => status::run(kernel, paths, status::Form::Json),
            Look::Status => status::run(kernel, paths, status::Form::Table),
            Look::Metrics => status::run(kernel, paths, status::Form::Prometheus),
            Look::Inventory => match crate::apply::require_root().map(|()| inventory::take(kernel)) {
                Ok(Ok(value)) => show(&value, self.json),
                Ok(Err(error)) => fail(&error),
                Err(cannot) => fail(&cannot),
            },
            Look::Selftest => match crate::apply::require_root() {
                Ok(()) => {
                    let (page, exit) = selftest::run(kernel);
                    exit.max(show(&page, self.json))
                }
                Err(cannot) => fail(&cannot),
            },
            Look::MapDump(stream, name) => map::dump(kernel, stream, name, self.json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let dump = || Look::MapDump("s".to_owned(), "m".to_owned());
        for (line, look, json) in [
            ("apply --dry-run", Some(Look::DryRun), false),
            ("apply --json --dry-run", Some(Look::DryRun), true),
            ("status", Some(Look::Status), false),
            ("status --json", Some(Look::Status), true),
            ("status --prometheus", Some(Look::Metrics), false),
            ("map dump s m", Some(dump()), false),
            ("map dump s m --json", Some(dump()), true),
            ("apply", None, false),
            ("apply --json", None, false),
            ("status --prometheus --json", None, false),
            ("map dump s", None, false),
            ("map dump s --all", None, false),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(Diag::parse(&words), look.map(|look| Diag { look, json }), "case: {line}");
        }
    }
}
