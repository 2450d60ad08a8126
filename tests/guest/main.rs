//! The guest tests: one static program that runs inside a guest of `cargo xtask vm`.
//!
//! In:  `--filter TEXT`, `--lacks FEATURE`, `--share PLACE/OF`, `--list`, `--bench`; files that xtask put into the guest, such as `/objects`.
//! Out: one line for each test and a last line with the counts, as `xtask/src/vm/guest_report.rs` reads them.
//! Exits with 0 when no test failed, 1 when one did, 2 on wrong usage.
//!
//! To add a test: write a function `fn(&mut Ctx) -> anyhow::Result<()>` in a file below `checks/`, and give it a row
//! in the `TESTS` of that file. A new file gets a line in [`ALL`]. A test runs as root in a process, a
//! network namespace and a mount namespace of its own: see [`sandbox`]. What it needs of the kernel stands in its
//! `needs`; what a kernel is known to lack stands in [`features`].

mod bench;
mod bpf;
mod btf;
mod checks;
mod features;
mod harness;
mod net;
mod node;
mod sandbox;
mod sys;
mod xsk;

use std::process::ExitCode;

use features::Feature;
use harness::{Options, Share, Test};

/// All tests, in the order in which they run.
const ALL: &[&[Test]] = &[
    checks::kernel::TESTS,
    checks::packets::TESTS,
    checks::maps::TESTS,
    checks::objects::TESTS,
    checks::freplace::TESTS,
    checks::tcx::TESTS,
    checks::leaving::TESTS,
    checks::life::TESTS,
    checks::pairs::TESTS,
    checks::held::TESTS,
    checks::memory::TESTS,
    checks::example::TESTS,
    checks::chain::TESTS,
    checks::above::TESTS,
    checks::af_xdp::TESTS,
    checks::versions::TESTS,
    checks::stale::TESTS,
    checks::rehearsal::TESTS,
    checks::room::TESTS,
    checks::hostile::TESTS,
    checks::hook_xdp::TESTS,
    checks::hooks::TESTS,
    checks::lasting::TESTS,
    checks::hook_faults::TESTS,
    checks::diag::TESTS,
    checks::events::TESTS,
    checks::crash::TESTS,
    checks::never_neither::TESTS,
    checks::moves::TESTS,
    checks::together::TESTS,
    checks::truth::TESTS,
    // Last: the kernel keeps a program, and others count what is there.
    checks::bonds::TESTS,
];

const USAGE: &str = "usage: nodebpf-guest [--bench] [--list] [--filter TEXT] [--lacks FEATURE]... [--share PLACE/OF]";

fn main() -> ExitCode {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    // How a test starts a loader that it can kill.
    if std::env::args().nth(1).as_deref() == Some(node::LOADER) {
        return ExitCode::from(nodebpf_loader::cli::run(&std::env::args_os().skip(2).collect::<Vec<_>>()).code());
    }
    if std::env::args().nth(1).as_deref() == Some(bench::MEASURE) {
        return bench::measure(std::env::args_os().skip(2));
    }
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--list", None) => return list(),
            ("--filter", Some(text)) => options.filter = Some(text),
            ("--lacks", Some(name)) => match Feature::named(&name) {
                Some(feature) => options.lacks.push(feature),
                None => return usage(&format!("no feature is called `{name}`; known: {}", Feature::names())),
            },
            ("--share", Some(text)) => match Share::parse(&text) {
                Some(share) => options.share = share,
                None => return usage(&format!("`--share {text}`: a share is like `0/2`")),
            },
            ("--bench", None) => return bench::run(),
            // How a test is started in its own process: only the harness says this.
            (harness::ONE, Some(name)) => options.one = Some(name),
            (other, _) => return usage(&format!("`{other}` is not understood")),
        }
    }
    let tests = ALL.iter().copied().flatten();
    match &options.one {
        Some(name) => harness::run_here(tests, name, &options),
        None => harness::run_all(tests, &options),
    }
}

fn list() -> ExitCode {
    for test in ALL.iter().copied().flatten() {
        println!("{}", test.name);
    }
    ExitCode::SUCCESS
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_single_words_and_unique() {
        let mut names = BTreeSet::new();
        for test in ALL.iter().copied().flatten() {
            assert!(test.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", test.name);
            assert!(names.insert(test.name), "`{}` stands twice", test.name);
        }
    }
}
