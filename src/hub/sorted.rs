//! A map as a sorted list. For maps that are small or seldom changed it is as fast as a tree, and each kind of tree is some
//! kilobytes of code.

use std::borrow::Borrow;

/// A map by the order of its keys.
#[derive(Debug)]
pub(super) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        SortedMap(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(k, _)| k.borrow().cmp(key))
    }

    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().and_then(|at| self.0.get(at)).map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.place(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Puts `value` in, in the place of what was there.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (key, value)),
        }
    }

    /// What stands by `key`, made now if nothing does.
    pub(super) fn get_or_insert(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let at = match self.place(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, make()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.place(key).ok().map(|at| self.0.remove(at).1)
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All pairs, by key; so are the values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Takes all of it out, by key.
    pub(super) fn take(&mut self) -> Vec<(K, V)> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_does_what_a_tree_does() {
        let (mut list, mut tree) = (SortedMap::default(), BTreeMap::new());
        let mut dice = super::super::tests::simulation::Dice(7);
        for _ in 0..2_000 {
            let (key, value) = (dice.roll(40), dice.roll(1_000));
            match dice.roll(4) {
                0 => assert_eq!(list.remove(&key), tree.remove(&key)),
                1 => {
                    list.retain(|&k, &v| (k + v) % 9 != 0);
                    tree.retain(|&k, &mut v| (k + v) % 9 != 0);
                }
                _ => {
                    list.insert(key, value);
                    tree.insert(key, value);
                }
            }
            assert_eq!((list.get(&key), list.len()), (tree.get(&key), tree.len()));
            assert!(list.iter().eq(tree.iter()) && list.values().eq(tree.values()));
        }
        assert!(list.take().into_iter().eq(tree) && list.len() == 0);
    }
}
