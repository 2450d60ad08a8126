//! The summary of all boots: a table of tests and kernels, and everything that was refused or failed.
//!
//! In:  one [`GuestReport`] for each kernel.
//! Out: text; the totals that decide over success.
//! Cannot fail. Pure.

use std::fmt::Write as _;

use super::guest_report::{GuestReport, Outcome};

/// The report of one kernel.
pub(crate) struct KernelRun {
    /// Name of the kernel, as in the table.
    pub(crate) kernel: String,
    /// Its `uname -r`.
    pub(crate) release: String,
    pub(crate) report: GuestReport,
}

/// Totals over all kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    /// Failed tests, and reports with problems: each counts as one.
    pub(crate) failed: usize,
}

/// Adds everything up.
pub(crate) fn totals(runs: &[KernelRun]) -> Totals {
    let passed = runs.iter().map(|run| run.report.counts().passed).sum();
    let failed = runs.iter().map(|run| run.report.counts().failed + usize::from(!run.report.problems.is_empty())).sum();
    Totals { passed, failed }
}

/// The tests that took longest, on whichever kernel, with their seconds.
pub(crate) fn slowest(runs: &[KernelRun]) -> String {
    const SHOWN: usize = 10;
    let mut all: Vec<(f32, f32, &str, &str)> = Vec::new();
    for run in runs {
        all.extend(run.report.tests.iter().filter_map(|test| {
            let (took, work) = test.seconds()?;
            Some((took, work, test.name.as_str(), run.kernel.as_str()))
        }));
    }
    all.sort_by(|one, other| other.0.total_cmp(&one.0));
    all.truncate(SHOWN);
    let mut out = String::from("slowest tests: seconds, and seconds at work\n");
    for (took, work, test, kernel) in all {
        let _ = writeln!(out, "{took:8.1} {work:8.1}  {test} ({kernel})");
    }
    out
}

/// Draws the table and what must be said below it.
pub(crate) fn render(runs: &[KernelRun]) -> String {
    let mut out = table(runs);
    for run in runs {
        for test in &run.report.tests {
            let (word, reason) = match &test.outcome {
                Outcome::Passed => continue,
                Outcome::Refused(reason) => ("refused", reason),
                Outcome::Failed(reason) => ("FAILED", reason),
            };
            let _ = writeln!(out, "{word} on {} ({}): {}: {}", run.kernel, run.release, test.name, short(reason));
            if word == "FAILED" {
                for line in &test.details {
                    let _ = writeln!(out, "    {line}");
                }
            }
        }
        for problem in &run.report.problems {
            let _ = writeln!(out, "FAILED on {} ({}): {problem}", run.kernel, run.release);
        }
    }
    out
}

/// Enough of a reason to recognise it; the whole stands above and in `report.log`.
fn short(reason: &str) -> String {
    const CHARS: usize = 300;
    match reason.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{} … ({} bytes in all)", &reason[..end], reason.len()),
        None => reason.to_owned(),
    }
}

fn table(runs: &[KernelRun]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for test in runs.iter().flat_map(|run| &run.report.tests) {
        if !names.contains(&test.name.as_str()) {
            names.push(&test.name);
        }
    }
    let first = names.iter().map(|name| name.len()).max().unwrap_or_default().max("test".len());
    let width = |run: &KernelRun| run.kernel.len().max("refused".len());
    let mut out = format!("{:first$}", "test");
    for run in runs {
        let _ = write!(out, "  {:width$}", run.kernel, width = width(run));
    }
    for name in names {
        let _ = write!(out, "\n{name:first$}");
        for run in runs {
            let cell = match run.report.outcome(name) {
                Some(Outcome::Passed) => "pass",
                Some(Outcome::Failed(_)) => "FAIL",
                Some(Outcome::Refused(_)) => "refused",
                None => "-",
            };
            let _ = write!(out, "  {cell:width$}", width = width(run));
        }
    }
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &str, text: &str) -> KernelRun {
        let report = GuestReport::parse(text.lines());
        KernelRun { kernel: kernel.to_owned(), release: format!("{kernel}.9"), report }
    }

    #[test]
    fn the_table_has_a_row_for_each_test_and_a_column_for_each_kernel() {
        let runs = [
            run("6.12", "PASS boots\nPASS tcx\nDONE passed=2 failed=0 refused=0"),
            run("6.1", "PASS boots\nREFUSED tcx: no TCX\nDONE passed=1 failed=0 refused=1"),
        ];
        let want = "\
test   6.12     6.1
boots  pass     pass
tcx    pass     refused
refused on 6.1 (6.1.9): tcx: no TCX
";
        assert_eq!(render(&runs), want);
        assert_eq!(totals(&runs), Totals { passed: 3, failed: 0 });
    }

    #[test]
    fn the_slowest_come_first_and_at_most_ten() {
        let text = (0..12).map(|n| format!("PASS t{n}\n| took {n}.50 s, 0.25 s of it at work\n"));
        let text = text.collect::<Vec<_>>().concat();
        let told = slowest(&[run("6.12", &text), run("6.1", "PASS a\n| took 9.75 s, 9.00 s of it at work\nPASS b")]);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 11);
        assert_eq!(lines[1], "    11.5      0.2  t11 (6.12)");
        assert_eq!(lines[3], "     9.8      9.0  a (6.1)");
    }

    #[test]
    fn a_long_reason_is_cut() {
        assert_eq!(short("why"), "why");
        let text = short(&"é".repeat(301));
        assert_eq!(text, format!("{} … (602 bytes in all)", "é".repeat(300)));
    }

    #[test]
    fn a_guest_that_ended_early_is_a_failure() {
        let runs = [run("6.12", "PASS boots\nFAIL tcx: boom\n| more\n")];
        assert_eq!(totals(&runs), Totals { passed: 1, failed: 2 });
        let text = render(&runs);
        assert!(text.contains("FAILED on 6.12 (6.12.9): tcx: boom\n    more\n"), "{text}");
        assert!(text.contains("there is no DONE line"), "{text}");
    }
}
