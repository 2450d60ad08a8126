//! Run tests, each in a process of its own, and report.
//!
//! In:  the registry, what the command line asks for.
//! Out: the lines that `xtask/src/vm/guest_report.rs` documents.
//! A test that panics, crashes or hangs has failed; it takes none of the others with it. So has one that leaves programs.
//!
//! A test process says by its exit status how it ended, and why by the last line that it prints.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, PipeReader},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nodeplan::{hook::Hook, report::Code};

use crate::{
    features::{self, Feature, Verdict},
    sandbox, sys,
};

/// A test.
pub(crate) struct Test {
    /// Lower-case words with dashes.
    pub(crate) name: &'static str,
    /// What the kernel must have; where it lacks one as expected, the test is refused.
    pub(crate) needs: &'static [Feature],
    pub(crate) run: fn(&mut Ctx) -> Result<()>,
}

const KERNEL_KEEPS: &str = "the kernel keeps program ";

/// Which of several guests this one is, counted from 0, and how many there are.
///
/// A test that makes each kernel call fail in turn does the same hundreds of times. Guests on different kernels share
/// those: each call is tried on one of them. Alone, a guest has them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    place: usize,
    of: usize,
}

impl Share {
    const WHOLE: Self = Self { place: 0, of: 1 };

    /// `0/2`: the first of two.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (place, of) = text.split_once('/')?;
        let share = Self { place: place.parse().ok()?, of: of.parse().ok()? };
        (share.place < share.of).then_some(share)
    }

    fn has(self, n: usize) -> bool {
        n % self.of == self.place
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.place, self.of)
    }
}

/// What a test gets.
pub(crate) struct Ctx {
    started: Instant,
    share: Share,
}

impl Ctx {
    /// Whether the `n`-th of many equal rounds is this guest's.
    pub(crate) fn mine(&self, n: usize) -> bool {
        self.share.has(n)
    }

    /// Notes something for the report, with the time since the test began.
    /// A program stays in the kernel, and nobody can mend that: the test has made sure that it is no fault of ours.
    pub(crate) fn say_kernel_keeps(&self, program: u32) {
        self.say(&format!("{KERNEL_KEEPS}{program}"));
    }

    pub(crate) fn say(&self, text: &str) {
        eprintln!("{:.2} s: {text}", self.started.elapsed().as_secs_f32());
    }
}

/// What a test saw of a hook.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The kernel runs a program there, and the report says so.
    Attached,
    /// The program ran, or its verdict had its effect.
    Effect,
    /// A second run changed nothing, ids included.
    Unchanged,
    /// A new revision took its place, and ran.
    Updated,
    /// Gone with its bundle; the kernel holds what it held before.
    Detached,
    /// Refused with this code before anything was attached.
    Refused(Code),
}

/// Notes a fact for the matrix in docs/loader.md; it counts if the test passes. `at` is one word: what was attached to.
pub(crate) fn prove(hook: Hook, at: &str, step: Step) {
    let step = match step {
        Step::Attached => "attached",
        Step::Effect => "effect",
        Step::Unchanged => "unchanged",
        Step::Updated => "updated",
        Step::Detached => "detached",
        Step::Refused(code) => &format!("refused-{}", code.as_str()),
    };
    eprintln!("PROVED hook={hook} at={at} step={step}");
}

/// What the command line asks for.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) filter: Option<String>,
    /// Features that this kernel is expected to lack, beyond the table.
    pub(crate) lacks: Vec<Feature>,
    /// The rounds that are this guest's.
    pub(crate) share: Share,
    /// Run this test here, in this process.
    pub(crate) one: Option<String>,
}

/// Option that starts one test in its own process.
pub(crate) const ONE: &str = "--one";

/// No test may take longer.
const LIMIT: Duration = Duration::from_mins(15);

const STATUS_FAILED: u8 = 1;
const STATUS_REFUSED: u8 = 3;

/// Runs all tests that the options name, and reports.
pub(crate) fn run_all<'a>(tests: impl Iterator<Item = &'a Test>, options: &Options) -> ExitCode {
    let (mut passed, mut failed, mut refused) = (0, 0, 0);
    let wanted = |test: &&Test| {
        options.filter.as_ref().is_none_or(|texts| texts.split(',').any(|text| test.name.contains(text)))
    };
    let mut programs = loaded();
    for test in tests.filter(wanted) {
        let (started, worked) = (Instant::now(), sys::work_of_children());
        let outcome =
            run_apart(test.name, options).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}"), Vec::new()));
        let outcome = match outcome {
            Outcome::Passed(details) => {
                programs
                    .extend(details.iter().filter_map(|line| line.rsplit_once(KERNEL_KEEPS)?.1.parse::<u32>().ok()));
                let left = left(&programs);
                programs.extend(&left);
                if left.is_empty() {
                    Outcome::Passed(details)
                } else {
                    Outcome::Failed(format!("it leaves programs in the kernel: {left:?}"), details)
                }
            }
            outcome => outcome,
        };
        let (line, details) = match outcome {
            Outcome::Passed(details) => {
                passed += 1;
                (format!("PASS {}", test.name), details)
            }
            Outcome::Failed(reason, details) => {
                failed += 1;
                (format!("FAIL {}: {reason}", test.name), details)
            }
            Outcome::Refused(reason, details) => {
                refused += 1;
                (format!("REFUSED {}: {reason}", test.name), details)
            }
        };
        println!("{line}");
        for detail in details {
            println!("| {detail}");
        }
        let work = sys::work_of_children().saturating_sub(worked);
        println!("| took {:.2} s, {:.2} s of it at work", started.elapsed().as_secs_f32(), work.as_secs_f32());
    }
    println!("DONE passed={passed} failed={failed} refused={refused}");
    ExitCode::from(u8::from(failed > 0))
}

/// Programs that are in the kernel.
fn loaded() -> BTreeSet<u32> {
    aya::programs::loaded_programs().filter_map(Result::ok).map(|program| program.id()).collect()
}

/// Programs that a test has loaded and that did not go with it: the next ones would see them. The kernel takes seconds to
/// let go of what hangs on its functions.
fn left(before: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut left = BTreeSet::new();
    for _ in 0..500 {
        left = &loaded() - before;
        if left.is_empty() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    left
}

/// How a test process ended, with what it printed before its reason.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed(Vec<String>),
    Failed(String, Vec<String>),
    Refused(String, Vec<String>),
}

/// Runs one test in a process of its own.
fn run_apart(name: &str, options: &Options) -> Result<Outcome> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let mut command = Command::new("/proc/self/exe");
    for feature in &options.lacks {
        command.args(["--lacks", feature.name()]);
    }
    command.args(["--share", &options.share.to_string()]);
    command.args([ONE, name]).stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    // A group of its own, so that nothing that it started outlives it.
    let mut child = command.process_group(0).spawn().context("starting the test process")?;
    drop(command);
    let lines = collect(reader);
    let status = wait(&mut child)?;
    sys::kill_group(child.id());
    let lines = lines.recv_timeout(LIMIT).context("reading what the test printed")?;
    Ok(judge(status, lines))
}

/// Reads lines in the background and hands them over when the last writer is gone.
fn collect(reader: PipeReader) -> mpsc::Receiver<Vec<String>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).split(b'\n').map_while(Result::ok);
        let lines = lines.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned());
        sender.send(lines.filter(|line| !line.is_empty()).collect())
    });
    receiver
}

/// Waits for a child, no longer than [`LIMIT`]; `None` for one that took too long.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().context("waiting for the test process")? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().context("ending a test that hangs")?;
    child.wait().context("waiting for the test process")?;
    Ok(None)
}

fn judge(status: Option<ExitStatus>, mut lines: Vec<String>) -> Outcome {
    let Some(status) = status else {
        return Outcome::Failed(format!("did not end within {} s", LIMIT.as_secs()), lines);
    };
    if status.success() {
        return Outcome::Passed(lines);
    }
    if let Some(signal) = status.signal() {
        return Outcome::Failed(format!("ended by signal {signal}"), lines);
    }
    let reason = lines.pop().unwrap_or_else(|| format!("ended with {status} and said nothing"));
    if status.code() == Some(STATUS_REFUSED.into()) {
        return Outcome::Refused(reason, lines);
    }
    Outcome::Failed(reason, lines)
}

/// Runs the test called `name` in this process.
pub(crate) fn run_here<'a>(mut tests: impl Iterator<Item = &'a Test>, name: &str, options: &Options) -> ExitCode {
    // One line, so that it can be the reason.
    std::panic::set_hook(Box::new(|panic| eprintln!("{}", panic.to_string().replace('\n', " "))));
    let Some(test) = tests.find(|test| test.name == name) else {
        eprintln!("there is no test `{name}`");
        return ExitCode::from(STATUS_FAILED);
    };
    let verdict = sandbox::enter().and_then(|()| features::judge(test.needs, &options.lacks));
    let result = match verdict {
        Ok(Verdict::Run) => (test.run)(&mut Ctx { started: Instant::now(), share: options.share }),
        Ok(Verdict::Refuse(reason)) => {
            eprintln!("{reason}");
            return ExitCode::from(STATUS_REFUSED);
        }
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let lines = format!("{error:#}");
            eprintln!("{}", lines.trim_end().replace('\n', " / "));
            ExitCode::from(STATUS_FAILED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shares_are_the_whole_and_nothing_is_in_both() {
        let [one, other] = ["0/2", "1/2"].map(|text| Share::parse(text).unwrap());
        assert!((0..9).all(|n| one.has(n) != other.has(n) && Share::default().has(n)));
        assert_eq!(["", "1", "2/2", "0/0", "a/2"].map(Share::parse), [None; 5]);
        assert_eq!(other.to_string(), "1/2");
    }

    #[test]
    fn a_status_and_the_last_line_tell_how_a_test_ended() {
        let lines = || vec!["on the way".to_owned(), "the reason".to_owned()];
        let exit = |code: i32| Some(ExitStatus::from_raw(code << 8));
        let rest = vec!["on the way".to_owned()];
        assert_eq!(judge(exit(0), lines()), Outcome::Passed(lines()));
        assert_eq!(judge(exit(1), lines()), Outcome::Failed("the reason".to_owned(), rest.clone()));
        assert_eq!(judge(exit(101), lines()), Outcome::Failed("the reason".to_owned(), rest.clone()));
        assert_eq!(judge(exit(3), lines()), Outcome::Refused("the reason".to_owned(), rest));
        assert_eq!(
            judge(Some(ExitStatus::from_raw(11)), lines()),
            Outcome::Failed("ended by signal 11".to_owned(), lines())
        );
        let limit = format!("did not end within {} s", LIMIT.as_secs());
        assert_eq!(judge(None, lines()), Outcome::Failed(limit, lines()));
    }
}
