//! The command line: the only place that touches files, environment and random numbers.
//!
//! In:   arguments. Out: files, data on stdout, diagnostics on stderr, an exit code.
//! May fail with: everything, as [`Exit`] says.

pub mod args;
mod beside;
mod btf;
mod check;
mod compile;
mod diff;
mod docs;
mod exclusive;
mod explain;
mod fleet;
mod front;
mod init;
mod inspect;
mod install;
mod io;
mod keygen;
mod lock;
mod session;
mod sign;
mod signatures;
mod trust;
mod trust_edit;
mod trust_sign;
mod verify;
mod walk;
mod write;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command, TrustCommand};
use session::Session;

/// Exit codes of `nodebpf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done.
    Done,
    /// The input has errors.
    Errors,
    /// Wrong usage.
    Usage,
    /// A file or the system.
    Io,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0, the rest to stderr with 2; a closed pipe is nobody's problem.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let mut session = Session::new(cli.color, cli.message_format);
    let result = match cli.command {
        Command::Init(args) => init::run(&args, &mut session),
        Command::Keygen(args) => keygen::run(&args, &session),
        Command::Trust { command } => match command {
            TrustCommand::Build(args) => trust::build(&args, &mut session),
            TrustCommand::Sign(args) => trust_sign::run(&args, &mut session),
            TrustCommand::AddKey(args) => trust_edit::add_key(&args, &mut session),
            TrustCommand::Revoke(args) => trust_edit::revoke(&args, &mut session),
            TrustCommand::Floor(args) => trust_edit::floor(&args, &mut session),
            TrustCommand::RotateRoot(args) => trust_edit::rotate_root(&args, &mut session),
            TrustCommand::Show(args) => trust::show(&args, &mut session),
        },
        Command::Check(args) => check::run(&args, &mut session),
        Command::Sign(args) => sign::run(&args, &mut session),
        Command::Compile(args) => compile::run(&args, &mut session),
        Command::Lock(args) => lock::run(&args, &mut session),
        Command::Install(args) => install::run(&args, &mut session),
        Command::Verify(args) => verify::run(&args, &mut session),
        Command::Diff(args) => diff::run(&args, &mut session),
        Command::Fleet(args) => fleet::run(&args, &mut session),
        Command::Inspect(args) => inspect::run(&args, &mut session),
        Command::Explain(args) => explain::run(&args, &mut session),
        Command::Schema { kind } => docs::schema(kind),
        Command::Man { dir } => docs::man(&dir),
    };
    session.finish(result).into()
}
