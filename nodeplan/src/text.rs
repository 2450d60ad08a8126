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

/// The first text, in rising order, that stands twice.
#[inline(never)]
pub fn twice(mut texts: Vec<&str>) -> Option<&str> {
    texts.sort_unstable();
    texts.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_stands_twice_is_found() {
        for (texts, want) in
            [(vec![], None), (vec!["b", "a"], None), (vec!["b", "a", "b"], Some("b")), (vec!["", "a", ""], Some(""))]
        {
            assert_eq!(super::twice(texts), want);
        }
    }

    #[test]
    fn separators_stand_between() {
        for (items, want) in [(&[][..], ""), (&["a"], "a"), (&["a", "b", "c"], "a, b, c")] {
            assert_eq!(super::join(&mut items.iter().copied(), ", "), want);
        }
    }
}
