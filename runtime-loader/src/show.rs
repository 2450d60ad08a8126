//! Show: one value, as JSON for tools or as a page for people.
//!
//! In: a [`Value`], which commands build as a [`Row`]. Out: text. Cannot fail.
//!
//! Every diagnostic command prints through these two functions, so that a new one costs no printing code of its own.

use nodeplan::json::Value;

/// An object while it is built, field by field. Commands are mostly calls of these, so they are never inlined.
#[derive(Debug, Default)]
pub struct Row(Vec<(String, Value)>);

impl Row {
    /// Adds a field.
    #[inline(never)]
    pub fn put(&mut self, key: &str, value: Value) {
        self.0.push((key.to_owned(), value));
    }

    /// Adds a text.
    #[inline(never)]
    pub fn text(&mut self, key: &str, value: &str) {
        self.put(key, text(value));
    }

    /// Adds a number.
    #[inline(never)]
    pub fn number(&mut self, key: &str, value: u64) {
        self.put(key, number(value));
    }

    /// Adds a list of texts.
    #[inline(never)]
    pub fn texts(&mut self, key: &str, list: &[&str]) {
        let mut values = Vec::new();
        for one in list {
            values.push(text(one));
        }
        self.put(key, Value::List(values));
    }

    /// The object.
    pub fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// One text of many: what `format!` does, in less code.
#[inline(never)]
pub fn cat(parts: &[&str]) -> String {
    let mut out = String::new();
    for part in parts {
        out.push_str(part);
    }
    out
}

/// Whether a text has this part, one that is not empty: without the searcher of the standard library, which is fast in
/// long texts.
#[inline(never)]
pub fn has(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len().max(1)).any(|found| found == part.as_bytes())
}

/// A number in digits.
#[inline(never)]
pub fn digits(number: u64) -> String {
    number.to_string()
}

/// A text.
#[inline(never)]
pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A number; what JSON readers would round is a text.
#[inline(never)]
pub fn number(number: u64) -> Value {
    match i64::try_from(number) {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::Text(number.to_string()),
    }
}

/// Writes a text between quotes, as JSON and the Prometheus text format both read it.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for one in text.chars() {
        match one {
            '"' | '\\' => {
                out.push('\\');
                out.push(one);
            }
            '\n' => out.push_str("\\n"),
            one if one < ' ' => {
                out.push_str("\\u00");
                for digit in [one as u32 >> 4, one as u32 & 15] {
                    out.extend(char::from_digit(digit, 16));
                }
            }
            one => out.push(one),
        }
    }
    out.push('"');
}

/// Writes compact JSON.
pub fn json(out: &mut String, value: &Value) {
    let mut comma = "";
    match value {
        Value::Text(text) => quote(out, text),
        Value::List(items) => {
            out.push('[');
            for item in items {
                out.push_str(comma);
                json(out, item);
                comma = ",";
            }
            out.push(']');
        }
        Value::Object(fields) => {
            out.push('{');
            for (key, value) in fields {
                out.push_str(comma);
                quote(out, key);
                out.push(':');
                json(out, value);
                comma = ",";
            }
            out.push('}');
        }
        plain => cell(out, plain),
    }
}

/// Writes a value on one line, for people.
fn cell(out: &mut String, value: &Value) {
    let mut space = "";
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Text(text) => out.push_str(text),
        Value::List(items) => {
            for item in items {
                out.push_str(space);
                cell(out, item);
                space = ", ";
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                out.push_str(space);
                out.push_str(key);
                out.push('=');
                cell(out, value);
                space = " ";
            }
        }
    }
}

/// Writes a page: a line for each field, a table for each list of objects.
pub fn page(out: &mut String, value: &Value) {
    let Value::Object(fields) = value else {
        cell(out, value);
        out.push('\n');
        return;
    };
    for (key, value) in fields {
        match value {
            Value::List(items) if matches!(items.first(), Some(Value::Object(_))) => {
                out.push('\n');
                out.push_str(key);
                out.push_str(":\n");
                out.push_str(&align(&rows(items)));
            }
            value => {
                out.push_str(key);
                out.push_str(": ");
                let start = out.len();
                cell(out, value);
                if out.len() == start {
                    out.push_str("none");
                }
                out.push('\n');
            }
        }
    }
}

/// A row of heads, and one row for each object: columns in the order in which keys first come up.
fn rows(items: &[Value]) -> Vec<Vec<String>> {
    let mut rows = vec![Vec::new()];
    for item in items {
        let Value::Object(fields) = item else { continue };
        let mut row = Vec::new();
        for (key, value) in fields {
            let head = key.to_ascii_uppercase();
            let at = rows[0].iter().position(|known| *known == head).unwrap_or_else(|| {
                rows[0].push(head);
                rows[0].len() - 1
            });
            while row.len() <= at {
                row.push(String::new());
            }
            cell(&mut row[at], value);
        }
        for empty in row.iter_mut().filter(|text| text.is_empty()) {
            empty.push('-');
        }
        rows.push(row);
    }
    rows
}

/// Columns as wide as their widest cell.
pub fn align(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            match widths.get_mut(at) {
                Some(width) => *width = (*width).max(cell.len()),
                None => widths.push(cell.len()),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let start = text.len();
        for (width, cell) in widths.iter().zip(row) {
            text.push_str(cell);
            for _ in cell.len()..width + 2 {
                text.push(' ');
            }
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, name: &str, flags: &[&str]) -> Value {
        let mut row = Row::default();
        row.number("id", id);
        if flags.is_empty() {
            row.text("name", name);
        } else {
            row.texts("flags", flags);
        }
        row.done()
    }

    fn sample(list: Vec<Value>) -> Value {
        let mut page = Row::default();
        page.text("kernel", "6.12");
        page.put("list", Value::List(list));
        page.done()
    }

    #[test]
    fn json_is_what_readers_read() {
        let mut out = String::new();
        let value = || sample(vec![row(7, "one\"\\\n\u{1}", &[]), row(u64::MAX, "", &["a"]), Value::Bool(true)]);
        json(&mut out, &value());
        assert_eq!(nodeplan::json::parse_value(out.as_bytes(), 1000).unwrap(), value());
        let want = "\"one\\\"\\\\\\n\\u0001\"";
        assert!(out.contains(want), "{out}");
    }

    #[test]
    fn a_page_has_tables_with_all_columns() {
        let mut out = String::new();
        page(&mut out, &sample(vec![row(7, "one", &[]), row(123, "", &["a", "b"])]));
        assert_eq!(out, "kernel: 6.12\n\nlist:\nID   NAME  FLAGS\n7    one\n123  -     a, b\n");
        out.clear();
        page(&mut out, &sample(Vec::new()));
        assert_eq!(out, "kernel: 6.12\nlist: none\n", "nothing to list");
    }
}
