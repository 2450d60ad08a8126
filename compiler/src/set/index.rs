//! Index: which of many selectors may mean an interface that another one means.
//!
//! In:   selectors with numbers. Out: numbers, by [`Index::visit`]. Cannot fail.
//!
//! Equal selectors are looked at once. Exact names are found by their text; globs by the text before their first
//! wildcard, which the other name must begin with, or the other way round. Selectors by driver, MAC address, bond and
//! the like may mean what any name means, and are few.

use std::collections::BTreeMap;

use nodeplan::selector::{Overlap, Selector, Target};

use crate::source::Spanned;

/// Selectors of many attachments.
pub(crate) struct Index<'a> {
    /// Distinct selectors and what has them.
    selectors: Vec<(&'a Selector, Vec<usize>)>,
    /// Positions in `selectors` of exact names, by name.
    exact: BTreeMap<&'a str, Vec<usize>>,
    /// Positions of globs, by the text before the first wildcard.
    globs: BTreeMap<&'a str, Vec<usize>>,
    /// Positions of all others.
    others: Vec<usize>,
}

/// The text of a glob before its first wildcard.
fn literal(glob: &str) -> &str {
    glob.find(['*', '?']).map_or(glob, |at| &glob[..at])
}

impl<'a> Index<'a> {
    /// An index of attachments by number, each with its selectors.
    pub(crate) fn new(attachments: impl IntoIterator<Item = (usize, &'a [Spanned<Selector>])>) -> Self {
        let mut by_selector: BTreeMap<&'a Selector, Vec<usize>> = BTreeMap::new();
        for (number, selectors) in attachments {
            for selector in selectors {
                by_selector.entry(&selector.value).or_default().push(number);
            }
        }
        let mut index = Self {
            selectors: by_selector.into_iter().collect(),
            exact: BTreeMap::new(),
            globs: BTreeMap::new(),
            others: Vec::new(),
        };
        for (at, (selector, _)) in index.selectors.iter().enumerate() {
            match &selector.target {
                Target::Name(glob) if glob.is_exact() => index.exact.entry(glob.as_str()).or_default().push(at),
                Target::Name(glob) => index.globs.entry(literal(glob.as_str())).or_default().push(at),
                Target::Primary | Target::Driver(_) | Target::Mac(_) | Target::MembersOf(_) => index.others.push(at),
            }
        }
        index
    }

    /// Distinct selectors and the attachments that have them, in the order of the selectors.
    pub(crate) fn selectors(&self) -> &[(&'a Selector, Vec<usize>)] {
        &self.selectors
    }

    /// Calls `visit` with each attachment that has a selector which may mean an interface that `selector` means.
    pub(crate) fn visit(&self, selector: &Selector, mut visit: impl FnMut(usize)) {
        let mut look = |positions: &[usize]| {
            for (other, numbers) in positions.iter().map(|at| &self.selectors[*at]) {
                if selector.overlap(other) == Overlap::Perhaps {
                    for number in numbers {
                        visit(*number);
                    }
                }
            }
        };
        look(&self.others);
        let Target::Name(glob) = &selector.target else {
            self.exact.values().chain(self.globs.values()).for_each(|positions| look(positions));
            return;
        };
        let text = literal(glob.as_str());
        for end in 0..=text.len() {
            // Names are ASCII; `get` only keeps that from being a matter of life and death.
            if let Some(positions) = text.get(..end).and_then(|prefix| self.globs.get(prefix)) {
                look(positions);
            }
        }
        if glob.is_exact() {
            self.exact.get(text).into_iter().for_each(|positions| look(positions));
        } else {
            let longer = self.globs.range(text..).skip_while(|(prefix, _)| **prefix == text);
            longer.take_while(|(prefix, _)| prefix.starts_with(text)).for_each(|(_, positions)| look(positions));
            let names = self.exact.range(text..).take_while(|(name, _)| name.starts_with(text));
            names.for_each(|(_, positions)| look(positions));
        }
    }

    /// Attachments that select the interface of this name alone.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = usize> {
        self.exact.get(name).into_iter().flatten().flat_map(|at| self.selectors[*at].1.iter().copied())
    }

    /// Attachments that surely mean every interface that the distinct selector at `at` means: those with that selector
    /// and, for an exact name, those with a glob that matches it. Rising, each once.
    pub(crate) fn surely(&self, at: usize) -> Vec<usize> {
        let (selector, numbers) = &self.selectors[at];
        let mut all = numbers.clone();
        if let Target::Name(name) = &selector.target
            && name.is_exact()
        {
            let text = name.as_str();
            let candidates = (0..=text.len()).filter_map(|end| self.globs.get(text.get(..end)?)).flatten();
            let same_name = self.exact.get(text).into_iter().flatten().filter(|other| **other != at);
            for (other, numbers) in candidates.chain(same_name).map(|at| &self.selectors[*at]) {
                let matches = matches!(&other.target, Target::Name(glob) if glob.matches(text));
                if matches && !other.excludes(text) {
                    all.extend(numbers);
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use nodeplan::name::{DriverName, IfGlob, IfName};
    use proptest::prelude::*;

    use super::*;
    use crate::source::{SourceMap, Span};

    fn selector() -> impl Strategy<Value = Selector> {
        let glob = || "[ab*?]{1,4}".prop_map(|text| IfGlob::try_from(text.as_str()).unwrap());
        let target = prop_oneof![
            6 => glob().prop_map(Target::Name),
            1 => Just(Target::Primary),
            1 => "[ab]".prop_map(|text| Target::Driver(DriverName::try_from(text.as_str()).unwrap())),
            1 => "[ab]".prop_map(|text| Target::MembersOf(IfName::try_from(text.as_str()).unwrap())),
        ];
        (target, proptest::collection::vec(glob(), 0..2)).prop_map(|(target, exclude)| Selector { target, exclude })
    }

    proptest! {
        /// The index finds what comparing all with all finds.
        #[test]
        fn nothing_is_missed(selectors in proptest::collection::vec(selector(), 1..20), query in selector()) {
            let file = SourceMap::default().add("x", "");
            let span = Span { file, start: 0, end: 0 };
            let lists: Vec<_> = selectors.iter().map(|one| vec![Spanned::new(one.clone(), span)]).collect();
            let index = Index::new(lists.iter().map(Vec::as_slice).enumerate());
            let mut found = Vec::new();
            index.visit(&query, |at| found.push(at));
            found.sort_unstable();
            let wanted: Vec<_> = (0..selectors.len())
                .filter(|at| query.overlap(&selectors[*at]) == Overlap::Perhaps)
                .collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
