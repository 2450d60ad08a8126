//! Unit text: whether the operator's parser takes the text of a unit or drop-in.
//!
//! In:   text. Out: nothing, or the line it stops at. Cannot fail.
//!
//! coreos/go-systemd `unit/deserialize.go`, step by step; it is not systemd, which passes over what it cannot read. What
//! stands before the first section is passed over by both.

/// The first thing that is no unit text.
pub fn refuse(text: &str) -> Result<(), String> {
    let (mut rest, mut in_section) = (text, false);
    loop {
        let start =
            if in_section { rest.trim_start() } else { rest.find(['[', '#', ';']).map_or("", |at| &rest[at..]) };
        rest = match start.chars().next() {
            None => return Ok(()),
            Some('[') => {
                in_section = true;
                section(start)?
            }
            Some('#' | ';') => comment(start),
            Some(_) => option(start)?,
        };
    }
}

/// `lexSectionName`, `lexSectionSuffixFunc`.
fn section(text: &str) -> Result<&str, String> {
    let (_, after) = text.split_once(']').ok_or_else(|| line(text).0.to_owned())?;
    let (garbage, rest) = line(after);
    if garbage.trim().is_empty() { Ok(rest) } else { Err(garbage.trim().to_owned()) }
}

/// `ignoreLineFunc`: a comment goes on after a backslash, too.
fn comment(text: &str) -> &str {
    let (mut this, mut rest) = line(text);
    while this.strip_suffix(' ').unwrap_or(this).ends_with('\\') {
        (this, rest) = line(rest);
    }
    rest
}

/// `lexOptionNameFunc`, `lexOptionValueFunc`.
fn option(text: &str) -> Result<&str, String> {
    let end = text.find(['=', '\n', '\r']).filter(|at| text[*at..].starts_with('='));
    let value = end.map(|at| &text[at + 1..]).ok_or_else(|| line(text).0.to_owned())?;
    let (mut this, mut rest) = line(value);
    while this.ends_with('\\') {
        (this, rest) = line(rest);
    }
    Ok(rest)
}

fn line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_takes() {
        for text in [
            "",
            "\n\n",
            "Key=before any section\n[Install]\n",
            "text before any section\n",
            "# c \\\n[no section\n[Unit]\nDescription=x\n",
            "[Service]\nExecStart=/bin/true \\\n  --more \\\n  nonsense\n\n[Install]\nWantedBy=y",
            "[Service]\n=value\nEmpty=\n  ; comment\n\t[Install]  \n",
            "[Service]\r\nType=oneshot\r\n",
        ] {
            assert_eq!(refuse(text), Ok(()), "case: {text:?}");
        }
    }

    #[test]
    fn what_the_parser_refuses() {
        for (text, want) in [
            ("[Install]\nnonsense\n", "nonsense"),
            ("[Install]\nnonsense", "nonsense"),
            ("[Install\nA=b\n", "[Install"),
            ("[Install] x\n", "x"),
            ("[Service]\nA=b\\ \nmore\n", "more"),
            ("[Service]\nA=b\n<<<<<<< HEAD\n", "<<<<<<< HEAD"),
        ] {
            assert_eq!(refuse(text), Err(want.to_owned()), "case: {text:?}");
        }
    }
}
