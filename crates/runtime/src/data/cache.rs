//! A bounded cache: two generations, the older of which is forgotten as a whole.
//!
//! What is asked for moves to the young generation; when that holds half of the limit it becomes
//! the old one. So everything costs O(1) and what is used stays, without a list of uses.

use std::hash::Hash;

use rustc_hash::FxHashMap;

#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: FxHashMap<K, (V, usize)>,
    old: FxHashMap<K, (V, usize)>,
    young_weight: usize,
    weight_max: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    /// A cache of so much weight in all. A single value heavier than half of it is still kept
    /// until the next generation: not to keep it would mean to make it again for each child.
    pub(super) fn new(weight_max: usize) -> Self {
        Cache {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            young_weight: 0,
            weight_max,
        }
    }

    pub(super) fn find<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some((value, _)) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, (value, weight)) = self.old.remove_entry(key)?;
        self.insert(key, value.clone(), weight);
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) {
        if self.young_weight.saturating_add(weight) > self.weight_max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        let before = self.young.insert(key, (value, weight));
        let replaced = before.map_or(0, |(_, weight)| weight);
        self.young_weight = self.young_weight.saturating_add(weight).saturating_sub(replaced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_weight_is_bounded() {
        let mut cache = Cache::new(100);
        for number in 0..1_000u32 {
            cache.insert(number, number, 10);
            assert_eq!(cache.find(&0), Some(0));
            assert!(cache.young.len() + cache.old.len() <= 10);
        }
        assert_eq!(cache.find(&999), Some(999));
        assert_eq!(cache.find(&500), None);
    }

    #[test]
    fn a_heavy_value_is_kept_for_a_while() {
        let mut cache = Cache::new(100);
        cache.insert("heavy", 1, 1_000);
        assert_eq!(cache.find("heavy"), Some(1));
        cache.insert("a", 2, 1);
        assert_eq!(cache.find("heavy"), Some(1));
        cache.insert("heavy", 3, 1_000);
        assert_eq!(cache.find("heavy"), Some(3));
    }
}
