//! Words for people.

/// The items with `separator` between them. One copy for all kinds of lists.
pub fn join(items: &mut dyn Iterator<Item = &str>, separator: &str) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push_str(separator);
        }
        text.push_str(item);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn separators_stand_between() {
        for (items, want) in [(&[][..], ""), (&["a"], "a"), (&["a", "b", "c"], "a, b, c")] {
            assert_eq!(super::join(&mut items.iter().copied(), ", "), want);
        }
    }
}
