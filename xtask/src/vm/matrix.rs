//! What the guest tests proved of each hook on each kernel.
//!
//! In:  the lines `PROVED hook=… at=… step=…` of tests that passed; `tests/guest/matrix.json`.
//! Out: that file, written anew; its differences from a run; the table in docs/loader.md.
//! May fail with: a line or file that cannot be read, results that differ from the file.
//!
//! Nobody writes a cell by hand: the file comes from a run, the table from the file, and a full run that says less or
//! other than the file fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Context as _, Result, bail, ensure};
use nodeplan::hook::Hook;
use serde::{Deserialize, Serialize};

use super::{
    guest_report::{GuestReport, Outcome},
    summary::KernelRun,
};
use crate::{files, run};

const FILE: &str = "tests/guest/matrix.json";

/// What a hook must be seen to do, as `Step` in tests/guest/harness.rs says it.
const STEPS: [&str; 5] = ["attached", "effect", "unchanged", "updated", "detached"];

/// What a step is called by which a kernel refuses, before the code.
const REFUSED: &str = "refused-";

/// Steps by hook and by what was attached to.
type Proved = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// One kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OnKernel {
    /// Its `uname -r`.
    release: String,
    proved: Proved,
}

/// All kernels, by their short names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matrix(BTreeMap<String, OnKernel>);

impl Matrix {
    /// The committed one.
    pub(crate) fn committed() -> Result<Self> {
        let bytes = files::read(&run::root().join(FILE))?;
        serde_json::from_slice(&bytes)
            .with_context(|| format!("reading `{FILE}`; type `cargo xtask vm --write-matrix`"))
    }

    /// The one of a run.
    fn of(runs: &[KernelRun]) -> Result<Self> {
        let mut matrix = Self::default();
        for run in runs {
            let proved = proved(&run.report).with_context(|| format!("kernel {}", run.kernel))?;
            matrix.0.insert(run.kernel.clone(), OnKernel { release: run.release.clone(), proved });
        }
        Ok(matrix)
    }

    /// Hooks of which nothing is known on some kernel.
    fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        for (kernel, on) in &self.0 {
            let missing = Hook::ALL.iter().filter(|hook| !on.proved.contains_key(hook.as_str()));
            gaps.extend(missing.map(|hook| format!("{kernel}: {hook}: no test proved anything")));
        }
        gaps
    }

    /// Where `fresh` says less or other, in words. Kernels that only one of them knows are passed over.
    fn differences(&self, fresh: &Self) -> Vec<String> {
        let mut told = Vec::new();
        for (kernel, new) in &fresh.0 {
            let Some(old) = self.0.get(kernel) else { continue };
            let (had, has) = (facts(&old.proved), facts(&new.proved));
            told.extend(had.difference(&has).map(|fact| format!("{kernel}: {fact}: in the file, not proved")));
            told.extend(has.difference(&had).map(|fact| format!("{kernel}: {fact}: proved, not in the file")));
        }
        told
    }

    /// The table, as Markdown.
    pub(crate) fn markdown(&self) -> String {
        let releases: Vec<String> = self.0.iter().map(|(name, on)| format!("{name} is {}", on.release)).collect();
        let mut out = format!("Kernels: {}.\n\n| hook | attached to | how | update |", releases.join(", "));
        for name in self.0.keys() {
            let _ = write!(out, " {name} |");
        }
        let _ = writeln!(out, "\n|---|---|---|---|{}", "---|".repeat(self.0.len()));
        for hook in Hook::ALL {
            // Places with equal cells share a row.
            let mut rows: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
            for at in self.places(hook) {
                let cells: Vec<String> = self.0.values().map(|on| cell(&on.proved, hook, at)).collect();
                match rows.iter_mut().find(|(others, _)| *others == cells) {
                    Some((_, places)) => places.push(at),
                    None => rows.push((cells, vec![at])),
                }
            }
            let update = if hook.updates_atomically() { "atomic" } else { "overlap" };
            for (cells, places) in rows {
                let (places, cells, how) = (places.join(", "), cells.join(" | "), how(hook));
                let _ = writeln!(out, "| `{hook}` | {places} | {how} | {update} | {cells} |");
            }
        }
        out
    }

    /// What a hook was tried on, on any kernel.
    fn places(&self, hook: Hook) -> BTreeSet<&str> {
        let on = self.0.values().filter_map(|on| on.proved.get(hook.as_str()));
        on.flat_map(|places| places.keys().map(String::as_str)).collect()
    }
}

/// How the loader attaches.
fn how(hook: Hook) -> &'static str {
    match hook {
        Hook::Xdp => "libxdp dispatcher, netlink",
        Hook::Tc => "TCX link, at its place by priority",
        Hook::Cgroup => "link",
        Hook::Tracepoint => "perf event and link",
        Hook::RawTracepoint => "raw tracepoint link",
        Hook::Kprobe | Hook::Kretprobe => "perf event of the kprobe source and link",
        Hook::BtfTracepoint | Hook::Fentry | Hook::Fexit => "link, bound when loaded",
        Hook::Lsm => "link, bound when loaded; needs `bpf` in `/sys/kernel/security/lsm`",
    }
}

fn cell(proved: &Proved, hook: Hook, at: &str) -> String {
    let Some(steps) = proved.get(hook.as_str()).and_then(|places| places.get(at)) else {
        return "not tried".to_owned();
    };
    let seen: Vec<&str> = STEPS.into_iter().filter(|step| steps.contains(*step)).collect();
    let refused = steps.iter().find_map(|step| step.strip_prefix(REFUSED));
    match (seen.len(), refused) {
        (0, Some(code)) => format!("refused, {code}"),
        (_, Some(code)) => format!("both {} and refused, {code}", seen.join(", ")),
        (all, None) if all == STEPS.len() => "yes".to_owned(),
        (_, None) => format!("only {}", seen.join(", ")),
    }
}

/// One text for each step, to compare.
fn facts(proved: &Proved) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for (hook, places) in proved {
        for (at, steps) in places {
            facts.extend(steps.iter().map(|step| format!("{hook} at {at}: {step}")));
        }
    }
    facts
}

/// What the tests that passed have proved.
fn proved(report: &GuestReport) -> Result<Proved> {
    let mut proved = Proved::new();
    for test in report.tests.iter().filter(|test| test.outcome == Outcome::Passed) {
        for fact in test.details.iter().filter_map(|line| line.strip_prefix("PROVED ")) {
            let (hook, at, step) = parse(fact).with_context(|| format!("`{}`: `PROVED {fact}`", test.name))?;
            proved
                .entry(hook.as_str().to_owned())
                .or_default()
                .entry(at.to_owned())
                .or_default()
                .insert(step.to_owned());
        }
    }
    Ok(proved)
}

/// Reads `hook=tc at=egress step=attached`.
fn parse(fact: &str) -> Result<(Hook, &str, &str)> {
    let mut fields = fact.split(' ');
    let mut field = |key: &str| {
        let value = fields.next().and_then(|field| field.strip_prefix(key)?.strip_prefix('='));
        value.filter(|value| !value.is_empty()).with_context(|| format!("`{key}=` must come next"))
    };
    let (word, at, step) = (field("hook")?, field("at")?, field("step")?);
    ensure!(fields.next().is_none(), "more than three fields");
    let hook = Hook::ALL.into_iter().find(|hook| hook.as_str() == word);
    let hook = hook.with_context(|| format!("there is no hook `{word}`"))?;
    let known = STEPS.contains(&step) || step.strip_prefix(REFUSED).is_some_and(|code| code.starts_with("NB"));
    ensure!(known, "there is no step `{step}`");
    Ok((hook, at, step))
}

/// Writes the file anew. Kernels that did not run keep what they have.
pub(super) fn write(runs: &[KernelRun]) -> Result<()> {
    let fresh = Matrix::of(runs)?;
    let gaps = fresh.gaps();
    ensure!(gaps.is_empty(), "`{FILE}` is not written: {}", gaps.join("; "));
    let mut all = if run::root().join(FILE).exists() { Matrix::committed()? } else { Matrix::default() };
    all.0.extend(fresh.0);
    files::write(&run::root().join(FILE), serde_json::to_string_pretty(&all)? + "\n")?;
    println!("wrote {FILE}; type `cargo xtask generate`");
    Ok(())
}

/// Fails if a full run says less or other than the file.
pub(super) fn compare(runs: &[KernelRun]) -> Result<()> {
    let (committed, fresh) = (Matrix::committed()?, Matrix::of(runs)?);
    for (kernel, on) in &fresh.0 {
        match committed.0.get(kernel) {
            None => println!("`{FILE}` does not know kernel {kernel}"),
            Some(old) if old.release != on.release => {
                println!("`{FILE}` is of {}, this run of {}", old.release, on.release);
            }
            Some(_) => {}
        }
    }
    let told = committed.differences(&fresh);
    if !told.is_empty() {
        bail!(
            "`{FILE}` says other things; run `cargo xtask vm --write-matrix` if the tests are right:\n{}",
            told.join("\n")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kernel: &str, text: &str) -> KernelRun {
        let report = GuestReport::parse(text.lines());
        KernelRun { kernel: kernel.to_owned(), release: format!("{kernel}.9"), report }
    }

    fn all_steps(hook: &str, at: &str) -> String {
        STEPS.map(|step| format!("| PROVED hook={hook} at={at} step={step}\n")).concat()
    }

    #[test]
    fn every_hook_has_a_row_on_every_kernel() {
        let committed = Matrix::committed().unwrap();
        assert!(committed.0.len() >= 2, "{:?}", committed.0.keys());
        assert_eq!(committed.gaps(), Vec::<String>::new());
        // What the file says is what a report could have said.
        for on in committed.0.values() {
            for fact in facts(&on.proved) {
                let (place, step) = fact.rsplit_once(": ").unwrap();
                let (hook, at) = place.split_once(" at ").unwrap();
                parse(&format!("hook={hook} at={at} step={step}")).unwrap();
            }
        }
    }

    #[test]
    fn a_hook_that_no_test_touches_is_a_gap() {
        let matrix = Matrix::of(&[run("6.12", &format!("PASS hook-tc\n{}", all_steps("tc", "egress")))]).unwrap();
        let gaps = matrix.gaps();
        assert_eq!(gaps.len(), Hook::ALL.len() - 1);
        assert_eq!(gaps[0], "6.12: xdp: no test proved anything");
    }

    #[test]
    fn only_tests_that_passed_prove_something() {
        let text =
            "FAIL a: boom\n| PROVED hook=tc at=egress step=attached\nPASS b\n| PROVED hook=xdp at=skb step=effect\n";
        let facts = facts(&proved(&GuestReport::parse(text.lines())).unwrap());
        assert_eq!(facts.into_iter().collect::<Vec<_>>(), ["xdp at skb: effect"]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error() {
        for line in [
            "hook=tc at=egress",
            "hook=netkit at=x step=attached",
            "hook=tc at=egress step=guessed",
            "hook=tc at= step=attached",
            "hook=tc at=egress step=attached more=1",
        ] {
            let text = format!("PASS a\n| PROVED {line}\n");
            assert!(proved(&GuestReport::parse(text.lines())).is_err(), "case: {line}");
        }
    }

    #[test]
    fn less_and_other_are_differences() {
        let full = format!("PASS a\n{}", all_steps("tc", "egress"));
        let less = "PASS a\n| PROVED hook=tc at=egress step=refused-NB1203\n";
        let old = Matrix::of(&[run("6.1", &full), run("6.12", &full)]).unwrap();
        assert_eq!(old.differences(&old), Vec::<String>::new());
        // A kernel that did not run tells nothing.
        assert_eq!(old.differences(&Matrix::of(&[run("6.12", &full)]).unwrap()), Vec::<String>::new());
        let told = old.differences(&Matrix::of(&[run("6.1", less)]).unwrap());
        assert_eq!(told.len(), 6);
        assert_eq!(told[0], "6.1: tc at egress: attached: in the file, not proved");
        assert_eq!(told[5], "6.1: tc at egress: refused-NB1203: proved, not in the file");
    }

    #[test]
    fn the_table_joins_places_with_equal_cells() {
        let new = ["bind4", "connect4", "egress"].map(|at| all_steps("cgroup", at)).concat();
        let runs = [
            run(
                "6.1",
                "PASS a\n| PROVED hook=cgroup at=bind4 step=attached\n| PROVED hook=cgroup at=egress step=refused-NB1203\n",
            ),
            run("6.12", &format!("PASS a\n{new}")),
        ];
        let want = "\
Kernels: 6.1 is 6.1.9, 6.12 is 6.12.9.

| hook | attached to | how | update | 6.1 | 6.12 |
|---|---|---|---|---|---|
| `cgroup` | bind4 | link | atomic | only attached | yes |
| `cgroup` | connect4 | link | atomic | not tried | yes |
| `cgroup` | egress | link | atomic | refused, NB1203 | yes |
";
        assert_eq!(Matrix::of(&runs).unwrap().markdown(), want);
    }
}
