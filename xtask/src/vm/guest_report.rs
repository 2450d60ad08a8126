//! Read what the guest tests print.
//!
//! In:  the lines of the report port of one boot.
//! Out: one result for each test, and everything that is wrong with the report itself.
//! Cannot fail: a damaged report has problems, and a report with problems is no success.
//!
//! The lines, written by `tests/guest`:
//!
//! ```text
//! PASS name
//! FAIL name: reason
//! REFUSED name: reason          the kernel lacks a feature, as was written down beforehand
//! | more about the test above
//! | PROVED hook=tc at=egress step=attached    a fact for the matrix in docs/loader.md: `matrix.rs`
//! | took 1.25 s, 0.50 s of it at work
//! DONE passed=N failed=N refused=N
//! ```
//!
//! Pure.

/// How one test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Refused(String),
}

/// One test of one boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TestResult {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// What the test printed on the way.
    pub(crate) details: Vec<String>,
}

impl TestResult {
    /// How long it took, in seconds, and how long processors were at work for it.
    pub(crate) fn seconds(&self) -> Option<(f32, f32)> {
        let (took, work) = self.details.last()?.strip_prefix("took ")?.split_once(" s, ")?;
        Some((took.parse().ok()?, work.strip_suffix(" s of it at work")?.parse().ok()?))
    }
}

/// All of one boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuestReport {
    pub(crate) tests: Vec<TestResult>,
    /// What is wrong with the report; empty for a sound one.
    pub(crate) problems: Vec<String>,
}

/// Numbers of passed, failed and refused tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) refused: usize,
}

impl GuestReport {
    /// The report of a guest that was not even started.
    pub(crate) fn of_problem(error: &anyhow::Error) -> Self {
        Self { tests: Vec::new(), problems: vec![format!("{error:#}")] }
    }

    /// Reads the lines of a report.
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut report = Self::default();
        let mut done: Option<Counts> = None;
        for line in lines {
            if done.is_some() && !line.is_empty() {
                report.problems.push(format!("after DONE there is more: `{line}`"));
            } else if let Some(rest) = line.strip_prefix("DONE ") {
                match parse_counts(rest) {
                    Some(counts) => done = Some(counts),
                    None => report.problems.push(format!("`{line}` cannot be read")),
                }
            } else if let Some(result) = parse_result(line) {
                report.add(result);
            } else if let Some(detail) = line.strip_prefix("| ")
                && let Some(last) = report.tests.last_mut()
            {
                last.details.push(detail.to_owned());
            } else if !line.is_empty() {
                report.problems.push(format!("`{line}` cannot be read"));
            }
        }
        report.compare(done);
        report
    }

    fn add(&mut self, result: TestResult) {
        if self.tests.iter().any(|other| other.name == result.name) {
            self.problems.push(format!("`{}` is reported twice", result.name));
        }
        self.tests.push(result);
    }

    fn compare(&mut self, done: Option<Counts>) {
        let counted = self.counts();
        match done {
            None => self.problems.push("there is no DONE line: the guest ended early".to_owned()),
            Some(done) if done != counted => {
                self.problems.push(format!("DONE says {done:?}, the lines above say {counted:?}"));
            }
            Some(_) => {}
        }
        if self.tests.is_empty() {
            self.problems.push("no test ran".to_owned());
        }
    }

    /// Counts the results.
    pub(crate) fn counts(&self) -> Counts {
        let count = |wanted: fn(&Outcome) -> bool| self.tests.iter().filter(|test| wanted(&test.outcome)).count();
        Counts {
            passed: count(|outcome| matches!(outcome, Outcome::Passed)),
            failed: count(|outcome| matches!(outcome, Outcome::Failed(_))),
            refused: count(|outcome| matches!(outcome, Outcome::Refused(_))),
        }
    }

    /// The result of the test with this name.
    pub(crate) fn outcome(&self, name: &str) -> Option<&Outcome> {
        self.tests.iter().find(|test| test.name == name).map(|test| &test.outcome)
    }
}

fn parse_result(line: &str) -> Option<TestResult> {
    let (word, rest) = line.split_once(' ')?;
    let with_reason = || rest.split_once(": ").map(|(name, reason)| (name, reason.to_owned()));
    let (name, outcome) = match word {
        "PASS" => (rest, Outcome::Passed),
        "FAIL" => with_reason().map(|(name, reason)| (name, Outcome::Failed(reason)))?,
        "REFUSED" => with_reason().map(|(name, reason)| (name, Outcome::Refused(reason)))?,
        _ => return None,
    };
    let is_name = !name.is_empty() && !name.contains([' ', ':']);
    is_name.then(|| TestResult { name: name.to_owned(), outcome, details: Vec::new() })
}

/// Reads `passed=1 failed=0 refused=0`.
fn parse_counts(text: &str) -> Option<Counts> {
    let mut fields = text.split(' ');
    let mut field = |key: &str| fields.next()?.strip_prefix(key)?.strip_prefix('=')?.parse().ok();
    let counts = Counts { passed: field("passed")?, failed: field("failed")?, refused: field("refused")? };
    fields.next().is_none().then_some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> GuestReport {
        GuestReport::parse(text.lines())
    }

    #[test]
    fn a_sound_report_has_results_and_no_problems() {
        let report = parse(
            "PASS boots\nFAIL drops: 3 frames, wanted 2\n| sent 4\n| got 3\nREFUSED tcx: no TCX: errno 22\n\
             DONE passed=1 failed=1 refused=1\n",
        );
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(report.counts(), Counts { passed: 1, failed: 1, refused: 1 });
        assert_eq!(report.tests[1].details, ["sent 4", "got 3"]);
        assert_eq!(report.outcome("tcx"), Some(&Outcome::Refused("no TCX: errno 22".to_owned())));
        assert_eq!(report.outcome("absent"), None);
    }

    #[test]
    fn the_time_of_a_test_is_its_last_line() {
        let report = parse("PASS a\n| took 9 s, on the way\n| took 1.25 s, 0.50 s of it at work\nPASS b\n| 1 s: said");
        assert_eq!(report.tests[0].seconds(), Some((1.25, 0.5)));
        assert_eq!(report.tests[1].seconds(), None);
    }

    #[test]
    fn a_damaged_report_says_what_is_wrong() {
        let cases: &[(&str, &str, &str)] = &[
            ("empty", "", "no DONE"),
            ("cut off", "PASS a\n", "no DONE"),
            ("no test", "DONE passed=0 failed=0 refused=0", "no test ran"),
            ("counts differ", "PASS a\nDONE passed=2 failed=0 refused=0", "DONE says"),
            ("twice", "PASS a\nPASS a\nDONE passed=2 failed=0 refused=0", "twice"),
            ("noise", "PASS a\nhello\nDONE passed=1 failed=0 refused=0", "`hello` cannot be read"),
            ("reason missing", "FAIL a\nDONE passed=0 failed=0 refused=0", "`FAIL a` cannot be read"),
            ("name missing", "PASS \nDONE passed=0 failed=0 refused=0", "cannot be read"),
            ("counts damaged", "PASS a\nDONE passed=1", "cannot be read"),
            ("more", "PASS a\nDONE passed=1 failed=0 refused=0\nPASS b", "after DONE"),
        ];
        for (name, text, want) in cases {
            let report = parse(text);
            assert!(report.problems.iter().any(|problem| problem.contains(want)), "case: {name}: {report:?}");
        }
    }
}
