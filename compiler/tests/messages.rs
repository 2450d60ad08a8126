//! Messages: order, number, forms and colours, as users and programs see them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::{fs, process::Command};

use serde_json::Value;
use support::{MANIFEST, fail, project, stderr, stdout, succeed};

/// A manifest with `count` programs that are not in the object.
fn many_problems(count: usize) -> String {
    let program = |n| {
        format!(
            "    - {{name: nothing_{n}, object: drop_frag_needed.bpf.o, attach: [{{xdp: {{interfaces: [{{name: ens{n}}}], priority: 510}}}}]}}\n"
        )
    };
    let programs = (0..count).map(program).collect::<Vec<_>>().concat();
    let (head, _) = MANIFEST.split_once("    - name").unwrap();
    head.to_owned() + &programs
}

#[test]
fn problems_come_in_source_order_and_at_most_twenty() {
    let directory = project();
    for (count, shown, tail) in [(20, 20, ""), (21, 20, "… and 1 more\n"), (60, 20, "… and 40 more\n")] {
        fs::write(directory.path().join("bpf.yaml"), many_problems(count)).unwrap();
        let text = fail(directory.path(), "check bpf.yaml --message-format short", 1);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("error[")).collect();
        assert_eq!(lines.len(), shown);
        for (n, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("`nothing_{n}`")), "{line}");
        }
        assert!(text.ends_with(tail), "{count}: {text}");
        let human = fail(directory.path(), "check bpf.yaml", 1);
        assert_eq!(human.matches("error[NB0311]").count(), shown);
        assert!(human.ends_with(tail), "{count}: {human}");
        // Programs get all of them.
        let json = fail(directory.path(), "check bpf.yaml --message-format json", 1);
        assert_eq!(json.lines().count(), count);
    }
}

/// Every key of `value` is in the schema, and every required one is in `value`.
fn matches(value: &Value, schema: &Value, defs: &Value) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => &defs[reference.rsplit('/').next().unwrap()],
        None => schema,
    };
    if let Some(entries) = value.as_object() {
        for (key, value) in entries {
            let property = &schema["properties"][key];
            assert!(property.get("description").is_some(), "`{key}` is not described: {schema}");
            matches(value, property, defs);
        }
        for required in schema["required"].as_array().unwrap() {
            assert!(entries.contains_key(required.as_str().unwrap()), "{required} is missing in {value}");
        }
    }
    for item in value.as_array().into_iter().flatten() {
        matches(item, &schema["items"], defs);
    }
}

#[test]
fn json_lines_have_the_form_that_the_schema_says() {
    let directory = project();
    let dir = directory.path();
    let schema: Value = serde_json::from_slice(&succeed(dir, "schema message").stdout).unwrap();
    let two = MANIFEST.replace("  programs:\n", "  programs:\n    - name: drop_frag_needed\n      object: x.o\n");
    fs::write(dir.join("bpf.yaml"), two).unwrap();
    fs::write(dir.join("sound.yaml"), MANIFEST).unwrap();
    let mut lines = Vec::new();
    for (args, exit) in [("check bpf.yaml", 1), ("check no.yaml", 3), ("compile sound.yaml", 2), ("explain NB9999", 2)]
    {
        let text = fail(dir, &format!("{args} --message-format json"), exit);
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    for line in &lines {
        matches(line, &schema, &schema["$defs"]);
    }
    let code = |code: &str| lines.iter().find(|line| line["code"] == code).unwrap_or_else(|| panic!("no {code}"));
    assert_eq!(code("NB0201")["primary"]["line"], 11);
    assert_eq!(code("NB0601")["severity"], "error");
    assert!(code("NB0601").get("primary").is_none());
    assert!(lines.iter().any(|line| line.get("code").is_none()), "a problem of files has no code");
}

#[test]
fn both_parties_of_a_conflict_have_a_place() {
    let directory = project();
    fs::write(directory.path().join("bpf.yaml"), MANIFEST.replace("pools: [worker, edge]", "pools: [worker, worker]"))
        .unwrap();
    let json = fail(directory.path(), "check bpf.yaml --message-format json", 1);
    let line: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    let column = |place: &Value| (place["line"].clone(), place["column"].clone(), place["endColumn"].clone());
    assert_eq!(column(&line["primary"]), (7.into(), 19.into(), 25.into()));
    assert_eq!(column(&line["secondary"][0]), (7.into(), 11.into(), 17.into()));
    assert_eq!(line["secondary"][0]["file"], "bpf.yaml");
}

#[test]
fn warnings_do_not_change_the_output_and_strict_makes_them_errors() {
    let directory = project();
    let dir = directory.path();
    let plain = succeed(dir, "compile bpf.yaml --key key.pem --pool worker");
    // A release that is not known is a warning, one that reboots a note.
    let warned = succeed(dir, "compile bpf.yaml --key key.pem --pool worker --ocp 4.16 --ocp 4.99");
    assert!(stderr(&warned).contains("warning[NB0506]") && stderr(&warned).contains("note[NB0511]"));
    assert_eq!(plain.stdout, warned.stdout);
    succeed(dir, "keygen -o keys");
    succeed(dir, "compile bpf.yaml --key keys/private.pem --ocp 4.16 --strict -o noted");
    let text = fail(dir, "compile bpf.yaml --key keys/private.pem --ocp 4.99 --strict -o out", 1);
    assert!(text.contains("error[NB0506]") && !dir.join("out").exists(), "{text}");
}

#[test]
fn snippets_of_odd_texts_point_at_the_right_place() {
    let directory = project();
    let odd = MANIFEST.replace("owner: netops, revision: 3", "owner:\t\"漢字\",\t\trevision: 0");
    fs::write(directory.path().join("bpf.yaml"), odd).unwrap();
    let text = fail(directory.path(), "check bpf.yaml", 1);
    let lines: Vec<_> = text.lines().collect();
    // A tab is four columns, a wide character two.
    let at = |needle: &str| lines.iter().position(|line| line.contains(needle)).unwrap();
    let width = |text: &str| text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
    for (message, value) in [("owner", "\"漢字\""), ("revision", "0}")] {
        let source = lines[at(&format!("error[NB030{}]: ", if message == "owner" { '1' } else { '2' })) + 3];
        let marks = lines[lines.iter().position(|line| *line == source).unwrap()..]
            .iter()
            .find(|line| line.contains('^') && width(source.split_once(value).unwrap().0) == line.find('^').unwrap());
        assert!(marks.is_some(), "{message}: the marks are not below the value:\n{text}");
    }
}

#[test]
fn very_long_lines_are_cut() {
    let directory = project();
    let pools = (0..900).map(|n| format!("p{n}, ")).collect::<Vec<_>>().concat();
    // Among them one whose other party is far away on the same line.
    let long = format!("pools: [{pools}BAD, {}, p0]", "b".repeat(40_000));
    let long = MANIFEST.replace("pools: [worker, edge]", &long);
    fs::write(directory.path().join("bpf.yaml"), long).unwrap();
    let text = fail(directory.path(), "check bpf.yaml", 1);
    assert!(text.contains("`BAD`") && text.contains("`p0` is listed twice"), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() < 250, "a line of {} characters", line.chars().count());
    }
}

#[test]
fn characters_that_turn_text_around_are_named() {
    let directory = project();
    fs::write(directory.path().join("bpf.yaml"), MANIFEST.replace("worker, edge", "\"a\u{202e}b\u{200b}\"")).unwrap();
    for format in ["human", "short"] {
        let text = fail(directory.path(), &format!("check bpf.yaml --message-format {format}"), 1);
        // In a snippet a character without width is what stands there; one that turns the line around is not shown.
        assert!(!text.contains('\u{202e}'), "{format}: {text:?}");
        assert!(text.contains("a\\u{202e}b\\u{200b}"), "{format}: {text}");
    }
}

/// What a terminal gets; `script` of bsdutils makes one.
fn on_a_terminal(directory: &std::path::Path, environment: &[(&str, &str)], args: &str) -> String {
    let line = format!("{} {args}", env!("CARGO_BIN_EXE_nodebpf"));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(directory).env_remove("NO_COLOR");
    let output = command.envs(environment.iter().copied()).stdin(std::process::Stdio::null()).output();
    stdout(&output.expect("`script` is not installed: apt-get install bsdutils"))
}

#[test]
fn colours_come_on_terminals_unless_no_color_says_otherwise() {
    let directory = project();
    fs::write(directory.path().join("bpf.yaml"), "").unwrap();
    let dir = directory.path();
    for (environment, args, want) in [
        (&[][..], "check bpf.yaml", true),
        (&[("NO_COLOR", "1")], "check bpf.yaml", false),
        (&[("NO_COLOR", "")], "check bpf.yaml", true),
        (&[("NO_COLOR", "1")], "check bpf.yaml --color always", true),
        (&[], "check bpf.yaml --color never", false),
        (&[], "check bpf.yaml --message-format json", false),
        (&[], "check bpf.yaml --message-format short", false),
    ] {
        let text = on_a_terminal(dir, environment, args);
        assert!(text.contains("NB0104"), "{args}: {text}");
        assert_eq!(text.contains('\x1b'), want, "{args} with {environment:?}: {text:?}");
    }
}
