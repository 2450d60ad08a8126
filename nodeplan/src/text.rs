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

/// The numbers of so many texts in rising order of the texts. One copy for all sorted maps and sets.
#[inline(never)]
pub fn rising<'a>(count: usize, text: &dyn Fn(usize) -> &'a str) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_unstable_by(|a, b| text(*a).cmp(text(*b)));
    order
}

/// The first text, in rising order, that stands twice. Sorts: comparing each with each costs seconds where there are
/// thousands, and who has signed them is not known yet.
#[inline(never)]
pub fn twice<T: Ord + Copy>(mut texts: Vec<T>) -> Option<T> {
    texts.sort_unstable();
    texts.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, cmp::Ordering};

    /// A number that counts how often it is compared.
    #[derive(Clone, Copy)]
    struct Counted<'a>(usize, &'a Cell<usize>);

    impl Ord for Counted<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.1.set(self.1.get() + 1);
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Counted<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    impl PartialEq for Counted<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other).is_eq()
        }
    }

    impl Eq for Counted<'_> {}

    #[test]
    fn a_hundred_thousand_are_not_compared_each_with_each() {
        const COUNT: usize = 100_000;
        let calls = Cell::new(0);
        let rising = (0..COUNT).map(|number| Counted(number, &calls));
        let mixed = (0..COUNT).map(|number| Counted(number * 7919 % COUNT, &calls));
        for (name, list) in [("rising", rising.collect::<Vec<_>>()), ("mixed", mixed.collect())] {
            calls.set(0);
            assert!(super::twice(list).is_none(), "{name}");
            assert!(calls.get() < 60 * COUNT, "{name}: {} comparisons", calls.get());
        }
    }

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
