//! YAML text that means the same to a YAML 1.1 and a YAML 1.2 parser.
//!
//! In:   values. Out: text; equal values give equal text. Cannot fail.
//!
//! YAML 1.1, which Kubernetes tools in Go and `PyYAML` read, takes `yes`, `0644`, `12:34:56` and `2027-03-31` for a
//! bool, an octal number, a number to the base of 60 and a time; YAML 1.2 takes them for other things. So a text is
//! written without quotes only if it starts with a letter or a slash, has nothing but plain characters, and is no word
//! of either version. <https://yaml.org/type/> has the types of 1.1, <https://yaml.org/spec/1.2.2/#103-core-schema>
//! those of 1.2.

use std::fmt::Write as _;

use super::Tree;

/// Words that one version or the other takes for a bool or null, in lower case.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// A document, without `---`.
pub(super) fn document(tree: &Tree) -> String {
    let mut out = String::new();
    match tree {
        Tree::Map(entries) if !entries.is_empty() => map(entries, 0, &mut out),
        Tree::List(items) if !items.is_empty() => list(items, 0, &mut out),
        Tree::Scalar(_) | Tree::Map(_) | Tree::List(_) => {
            out.push_str(&inline(tree, 0));
            out.push('\n');
        }
    }
    out
}

fn map(entries: &[(String, Tree)], indent: usize, out: &mut String) {
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            pad(indent, out);
        }
        out.push_str(&one_line(key));
        out.push(':');
        match value {
            Tree::Map(entries) if !entries.is_empty() => {
                out.push('\n');
                pad(indent + 2, out);
                map(entries, indent + 2, out);
            }
            // A list stands at the level of its key, as `oc` and `kubectl` write it.
            Tree::List(items) if !items.is_empty() => {
                out.push('\n');
                pad(indent, out);
                list(items, indent, out);
            }
            Tree::Scalar(_) | Tree::Map(_) | Tree::List(_) => {
                let _ = writeln!(out, " {}", inline(value, indent + 2));
            }
        }
    }
}

fn list(items: &[Tree], indent: usize, out: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            pad(indent, out);
        }
        out.push_str("- ");
        match item {
            Tree::Map(entries) if !entries.is_empty() => map(entries, indent + 2, out),
            Tree::List(items) if !items.is_empty() => list(items, indent + 2, out),
            Tree::Scalar(_) | Tree::Map(_) | Tree::List(_) => {
                let _ = writeln!(out, "{}", inline(item, indent + 2));
            }
        }
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A scalar, or an empty collection. `indent` is that of the lines of a block.
fn inline(tree: &Tree, indent: usize) -> String {
    match tree {
        Tree::Map(_) => "{}".to_owned(),
        Tree::List(_) => "[]".to_owned(),
        Tree::Scalar(serde_json::Value::String(text)) => block(text, indent).unwrap_or_else(|| one_line(text)),
        // Bools, null and decimal numbers are written alike in JSON and both YAMLs.
        Tree::Scalar(scalar) => scalar.to_string(),
    }
}

/// Several lines as a literal block, if they are the same in every parser that way.
fn block(text: &str, indent: usize) -> Option<String> {
    let body = text.strip_suffix('\n')?;
    let readable = body.chars().all(|c| c == '\n' || (' '..='~').contains(&c));
    if !body.contains('\n') || !readable || body.starts_with([' ', '\n']) || body.ends_with('\n') {
        return None;
    }
    let mut out = "|".to_owned();
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, &mut out);
            out.push_str(line);
        }
    }
    Some(out)
}

fn one_line(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if text.chars().all(|c| (' '..='~').contains(&c)) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = "\"".to_owned();
    for c in text.chars() {
        let code = u32::from(c);
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            '\t' => write!(out, "\\t"),
            ' '..='~' => write!(out, "{c}"),
            _ if c.is_alphanumeric() => write!(out, "{c}"),
            _ if code <= 0xff => write!(out, "\\x{code:02x}"),
            _ if code <= 0xffff => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out.push('"');
    out
}

fn is_plain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || " ./_:;,+=-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(inner)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::to_yaml;

    fn written(value: &Value) -> String {
        String::from_utf8(to_yaml(value)).unwrap()
    }

    #[test]
    fn what_a_version_of_yaml_would_take_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "true",
            "False",
            "null",
            "~",
            "",
            "0644",
            "0o644",
            "12:34:56",
            "1e3",
            "2027-03-31",
            "2027-03-31T00:00:00Z",
            "3.2.0",
            "0x1f",
            "1_000",
            "+1",
            "-1",
            ".5",
            ".inf",
            ".NaN",
            "nan",
            "=",
            "<<",
            "- a",
            "a: b",
            "a #b",
            "a:",
            " a",
            "a ",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "[a",
            "{a",
            "|",
            ">",
            "?",
            "? a",
            "'a",
            "\"a\"",
            "a\tb",
            "a\u{85}b",
            "\u{2028}",
            "\u{feff}",
            "\u{ffff}",
            "\u{1f600}",
            "ü",
            "---",
        ] {
            let line = written(&json!({ "k": text }));
            assert!(line.starts_with("k: '") || line.starts_with("k: \""), "case: {text:?}: {line}");
            let back: Value = serde_saphyr::from_str(&line).unwrap();
            assert_eq!(back, json!({ "k": text }), "case: {line}");
        }
        for text in
            ["worker", "/etc/nodebpf/bundles/a.bundle", "data:;base64,H4sIAA+/=", "gzip", "a984933e66d1", "yesterday"]
        {
            assert_eq!(written(&json!(text)), format!("{text}\n"));
        }
    }

    #[test]
    fn units_stay_readable() {
        let unit = "[Unit]\nDescription=x\n\n[Service]\nExecStart=/bin/true\n";
        let text = written(&json!({ "units": [{ "contents": unit, "name": "x.service" }] }));
        let wanted = "units:\n- name: x.service\n  contents: |\n    [Unit]\n    Description=x\n\n    [Service]\n    ExecStart=/bin/true\n";
        assert_eq!(text, wanted);
        // What a block would change is quoted.
        for text in ["a\nb", "\na\nb\n", " a\nb\n", "a\nb\n\n", "a\tb\nc\n", "ü\nb\n"] {
            let line = written(&json!({ "k": text }));
            assert!(line.starts_with("k: \""), "case: {line}");
        }
    }

    #[test]
    fn collections_nest() {
        let value = json!({ "a": [[1, [2, {}]], { "x": { "w": [] }, "z": null }], "b": { "c": true }, "name": "m" });
        let text = written(&value);
        assert_eq!(text, "name: m\na:\n- - 1\n  - - 2\n    - {}\n- x:\n    w: []\nb:\n  c: true\n");
    }

    proptest::proptest! {
        #[test]
        fn every_text_survives_two_readers(text: String, key in "\\PC{1,20}") {
            let value = json!({ key: [text.clone(), { "k": format!("{text}\n{text}\n") }] });
            let yaml = written(&value);
            proptest::prop_assert_eq!(&serde_saphyr::from_str::<Value>(&yaml).unwrap(), &value, "{}", yaml);
            proptest::prop_assert_eq!(&serde_yaml::from_str::<Value>(&yaml).unwrap(), &value, "{}", yaml);
        }
    }
}
