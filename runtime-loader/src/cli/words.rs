//! Words of a command line, sorted out: the same for both binaries.

use std::{ffi::OsString, path::PathBuf};

use nodeplan::{name::StreamName, sorted::SortedSet};

/// Words of the command line, sorted out.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// `--root`.
    pub(super) root: Option<PathBuf>,
    /// The first word that is no option.
    pub(super) command: Option<String>,
    /// Options without an argument.
    pub(super) options: Vec<String>,
    /// Behind the command.
    pub(super) operands: Vec<String>,
    /// `--reason`.
    pub(super) reason: Option<String>,
    /// Whether somebody asks for help; the words behind are not looked at.
    pub(super) help: bool,
    /// Whether somebody asks which version this is: as the command `version`.
    pub(super) version: bool,
}

impl Words {
    /// Sorts them out.
    pub(super) fn read(args: &[OsString]) -> Result<Self, String> {
        let mut words = Self::default();
        let mut args = args.iter().map(|arg| arg.to_str().ok_or_else(|| format!("{} is not UTF-8", arg.display())));
        while let Some(arg) = args.next().transpose()? {
            match arg {
                "-h" | "--help" => {
                    words.help = true;
                    break;
                }
                "-V" | "--version" => {
                    words.version = true;
                    break;
                }
                "--root" => words.root = Some(args.next().transpose()?.ok_or("--root needs a directory")?.into()),
                "--reason" => words.reason = Some(args.next().transpose()?.ok_or("--reason needs a text")?.to_owned()),
                option if option.starts_with('-') => words.options.push(arg.to_owned()),
                _ if words.command.is_none() => words.command = Some(arg.to_owned()),
                _ => words.operands.push(arg.to_owned()),
            }
        }
        Ok(words)
    }

    /// Whether an option was given; it is done with then.
    pub(super) fn take(&mut self, option: &str) -> bool {
        let at = self.options.iter().position(|one| one == option);
        at.map(|at| self.options.remove(at)).is_some()
    }

    /// What nobody has taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = &str> {
        self.options.iter().chain(&self.operands).chain(&self.reason).map(String::as_str)
    }

    /// Streams of a command that needs names, or `--all`.
    pub(super) fn streams(&mut self) -> Result<SortedSet<StreamName>, String> {
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
