//! Show: one value, as JSON for tools or as a page for people.
//!
//! In: a [`Value`], which commands build with [`object`]. Out: text. Cannot fail.
//!
//! Every diagnostic command prints through these two functions, so that a new one costs no printing code of its own.

use nodeplan::json::Value;

/// An object with these fields, in this order.
pub fn object(fields: Vec<(&str, Value)>) -> Value {
    let mut list = Vec::new();
    for (key, value) in fields {
        list.push((key.to_owned(), value));
    }
    Value::Object(list)
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
                cell(out, value);
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

    fn sample() -> Value {
        let row = |id, name: &str| object(vec![("id", number(id)), ("name", text(name))]);
        let odd = object(vec![("id", number(u64::MAX)), ("flags", Value::List(vec![text("a"), Value::Bool(true)]))]);
        object(vec![("kernel", text("6.12")), ("programs", Value::List(vec![row(7, "one\"\\\n\u{1}"), odd]))])
    }

    #[test]
    fn json_is_what_readers_read() {
        let mut out = String::new();
        json(&mut out, &sample());
        assert_eq!(nodeplan::json::parse_value(out.as_bytes(), 1000).unwrap(), sample());
        let want = "\"one\\\"\\\\\\n\\u0001\"";
        assert!(out.contains(want), "{out}");
    }

    #[test]
    fn a_page_has_tables_with_all_columns() {
        let row = |id, name: &str| object(vec![("id", number(id)), ("name", text(name))]);
        let odd = object(vec![("id", number(123)), ("flags", Value::List(vec![text("a"), text("b")]))]);
        let mut out = String::new();
        page(&mut out, &object(vec![("kernel", text("6.12")), ("list", Value::List(vec![row(7, "one"), odd]))]));
        assert_eq!(out, "kernel: 6.12\n\nlist:\nID   NAME  FLAGS\n7    one\n123  -     a, b\n");
    }
}
