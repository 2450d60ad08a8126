//! Golden cases: `tests/cases/err/<code>-<name>` with the exact diagnostics, `tests/cases/ok/<name>` with the exact
//! output. Bless with `NODEBPF_BLESS=1 cargo test -p nodebpf --test golden`.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use nodebpf::diag::Code;
use nodeplan::bundle::Unverified;
use support::{cases, copy_case, golden, name, node_files, nodebpf, play, stderr, workdir};

#[test]
fn problems_are_reported_byte_for_byte() {
    let mut failures = Vec::new();
    for case in cases("err") {
        let directory = workdir();
        copy_case(&case, directory.path());
        let script = fs::read_to_string(case.join("cmd")).unwrap_or_else(|_| "run check bpf.yaml".to_owned());
        let before = listing(directory.path());
        let (output, exit) = play(&script, directory.path());
        let text = stderr(&output);
        let code = name(&case).split('-').next().unwrap().to_owned();
        if output.status.code() != Some(exit) {
            failures.push(format!("{}: exit {:?}, wanted {exit}\n{text}", name(&case), output.status.code()));
        }
        if !text.contains(&format!("[{code}]")) {
            failures.push(format!("{}: {code} is not reported\n{text}", name(&case)));
        }
        if exit != 0 && !script.contains("-o") && !script.contains("fill") && listing(directory.path()) != before {
            let prepared = script.lines().any(|line| !line.starts_with("run") && !line.starts_with("exit"));
            if !prepared {
                failures.push(format!("{}: files were written", name(&case)));
            }
        }
        failures.extend(golden(&case.join("stderr"), text.as_bytes()));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn listing(directory: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_code_has_a_case() {
    let cases: Vec<_> = cases("err").iter().map(|case| name(case)).collect();
    for code in Code::ALL {
        let prefix = format!("{}-", code.as_str());
        assert!(cases.iter().any(|case| case.starts_with(&prefix)), "{prefix} has no case in tests/cases/err");
    }
    for case in &cases {
        let known = Code::ALL.iter().any(|code| case.starts_with(&format!("{}-", code.as_str())));
        assert!(known, "{case} has no code");
    }
}

/// What was signed, indented for reviewers.
fn statement(out: &std::path::Path) -> Vec<u8> {
    let file = fs::read(out.join(&listing(out)[0])).unwrap();
    let files = node_files(&file);
    let bundle = Unverified::decode(&files[0].1).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&bundle.parts().statement).unwrap();
    (serde_json::to_string_pretty(&statement).unwrap() + "\n").into_bytes()
}

/// Each folder has `bpf.yaml`, perhaps `cmd` with more arguments, `expected/` with all files written and
/// `statement.json` with what was signed.
#[test]
fn output_is_the_same_byte_for_byte() {
    let mut failures = Vec::new();
    for case in cases("ok") {
        let directory = workdir();
        copy_case(&case, directory.path());
        let more = fs::read_to_string(case.join("cmd")).unwrap_or_default();
        let mut args = vec!["compile", "bpf.yaml", "--key", "key.pem", "-o", "out"];
        args.extend(more.split_whitespace());
        let output = nodebpf(directory.path(), &args);
        if !output.status.success() {
            failures.push(format!("{}: {:?}\n{}", name(&case), output.status.code(), stderr(&output)));
            continue;
        }
        failures.extend(golden(&case.join("stderr"), &output.stderr));
        let found = listing(&directory.path().join("out"));
        for file in &found {
            let bytes = fs::read(directory.path().join("out").join(file)).unwrap();
            failures.extend(golden(&case.join("expected").join(file), &bytes));
        }
        let statement = statement(&directory.path().join("out"));
        failures.extend(golden(&case.join("statement.json"), &statement));
        let wanted = listing(&case.join("expected"));
        if wanted != found {
            failures.push(format!("{}: wrote {found:?}, wanted {wanted:?}", name(&case)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
