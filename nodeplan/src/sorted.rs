//! Small maps and sets: sorted vectors.
//!
//! The standard library's B-trees cost the loader some 2.5 KB for each pair of key and value types; here it is a few
//! hundred bytes. All our maps are small, so nothing is lost. Iteration is in rising order of keys, as with B-trees.
//!
//! What is read from files may be large, and who has signed it is not known yet: it is read in rising order of its texts, so
//! that each key goes behind the others. In falling order each would move all others.

use std::borrow::Borrow;

use serde::{Serialize, Serializer};

use crate::{
    json::{Decode, Problem, Value},
    text,
};

/// A map with unique keys, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SortedMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys with values.
    pub fn iter(&self) -> Pairs<'_, K, V> {
        self.into_iter()
    }

    /// Keys with changeable values.
    pub fn iter_mut(&mut self) -> PairsMut<'_, K, V> {
        self.into_iter()
    }

    /// Keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Values, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Changeable values, by key.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &self.0[at].1)
    }

    /// The changeable value of `key`.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| &mut self.0[at].1)
    }

    /// Whether `key` is there.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Sets the value of `key` and returns the former one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, value)),
            Err(at) => {
                #[cfg(test)]
                tests::moved(self.0.len() - at);
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes `key` out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|at| self.0.remove(at).1)
    }
}

impl<K: Ord, V> Extend<(K, V)> for SortedMap<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, items: I) {
        for (key, value) in items {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Self {
        let mut map = Self::new();
        map.extend(items);
        map
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(items: [(K, V); N]) -> Self {
        items.into_iter().collect()
    }
}

impl<K, V> IntoIterator for SortedMap<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Keys with values, borrowed.
pub type Pairs<'a, K, V> = std::iter::Map<std::slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Pairs<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

/// Keys with changeable values.
pub type PairsMut<'a, K, V> = std::iter::Map<std::slice::IterMut<'a, (K, V)>, fn(&'a mut (K, V)) -> (&'a K, &'a mut V)>;

impl<'a, K, V> IntoIterator for &'a mut SortedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = PairsMut<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }
}

impl<K: Serialize, V: Serialize> Serialize for SortedMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<K: Decode + Ord, V: Decode> Decode for SortedMap<K, V> {
    #[inline(never)]
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        let mut map = Self::new();
        let fields = problem.object(value)?;
        for at in text::rising(fields.len(), &|at| &fields[at].0) {
            let (key, value) = &fields[at];
            let outside = problem.below(key);
            let value = V::read(value, problem)?;
            problem.leave(outside);
            map.insert(K::read(&Value::Text(key.clone()), problem)?, value);
        }
        Some(map)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

/// A set, in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T>(Vec<T>);

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SortedSet<T> {
    /// An empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T: Ord> SortedSet<T> {
    /// Adds an item; whether it is new.
    pub fn insert(&mut self, item: T) -> bool {
        match self.0.binary_search(&item) {
            Ok(_) => false,
            Err(at) => {
                #[cfg(test)]
                tests::moved(self.0.len() - at);
                self.0.insert(at, item);
                true
            }
        }
    }

    /// Whether an item is there.
    pub fn contains(&self, item: &T) -> bool {
        self.0.binary_search(item).is_ok()
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut set = Self::new();
        for item in items {
            set.insert(item);
        }
        set
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for SortedSet<T> {
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T> IntoIterator for SortedSet<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a SortedSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Serialize> Serialize for SortedSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<T: Decode + Ord> Decode for SortedSet<T> {
    #[inline(never)]
    fn read(value: &Value, problem: &mut Problem) -> Option<Self> {
        let mut set = Self::new();
        let items = problem.list(value)?;
        let text = |at: usize| match &items[at] {
            Value::Text(text) => &**text,
            _ => "",
        };
        for at in text::rising(items.len(), &text) {
            set.insert(T::read(&items[at], problem)?);
        }
        Some(set)
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        collections::{BTreeMap, BTreeSet},
    };

    use proptest::prelude::*;

    use super::*;
    use crate::json;

    thread_local! {
        /// Items that made room for others.
        static MOVED: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn moved(items: usize) {
        MOVED.set(MOVED.get() + items);
    }

    #[test]
    fn keys_in_falling_order_move_no_others() {
        const COUNT: u32 = 20_000;
        let keys: Vec<String> = (0..COUNT).rev().map(|number| format!("\"{number:06}\"")).collect();
        let (list, map) = (format!("[{}]", keys.join(",")), format!("{{{}:1}}", keys.join(":1,")));
        MOVED.set(0);
        let set: SortedSet<String> = json::parse(list.as_bytes(), list.len()).unwrap();
        let map: SortedMap<String, u8> = json::parse(map.as_bytes(), map.len()).unwrap();
        assert_eq!(MOVED.get(), 0);
        assert!(set.iter().eq(map.keys()) && set.len() == COUNT as usize);
        assert!(set.iter().is_sorted());
        // One by one each would move all before it: what is counted is what is meant.
        let slowly: SortedSet<u32> = (0..100).rev().collect();
        assert_eq!((MOVED.get(), slowly.len()), (99 * 100 / 2, 100));
    }

    proptest! {
        #[test]
        fn maps_are_as_b_trees(items in proptest::collection::vec((0u8..8, any::<u8>()), 0..24), gone in 0u8..8) {
            let (mut ours, mut theirs) = (SortedMap::new(), BTreeMap::new());
            for (key, value) in items {
                prop_assert_eq!(ours.insert(key, value), theirs.insert(key, value));
            }
            prop_assert_eq!(ours.remove(&gone), theirs.remove(&gone));
            prop_assert!(ours.iter().eq(theirs.iter()));
            for key in 0u8..8 {
                prop_assert_eq!(ours.get(&key), theirs.get(&key));
            }
        }

        #[test]
        fn sets_are_as_b_trees(items in proptest::collection::vec(0u8..8, 0..24)) {
            let ours: SortedSet<u8> = items.iter().copied().collect();
            let theirs: BTreeSet<u8> = items.into_iter().collect();
            prop_assert!(ours.iter().eq(theirs.iter()));
        }
    }
}
