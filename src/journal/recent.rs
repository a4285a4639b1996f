//! A small cache, by segment number and the like.

use std::hash::Hash;

use hashbrown::HashMap;

/// Something open, and when it was last used.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    bytes: usize,
    used: u64,
}

/// Things by key, the least recently used of which go when there are too many.
#[derive(Debug)]
pub(super) struct Recent<K, T> {
    kept: HashMap<K, Kept<T>>,
    bytes: usize,
    budget: usize,
    clock: u64,
}

impl<K: Copy + Eq + Hash, T: Clone> Recent<K, T> {
    pub(super) fn new(budget: usize) -> Self {
        Recent {
            kept: HashMap::new(),
            bytes: 0,
            budget,
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, key: K) -> Option<T> {
        self.clock += 1;
        let kept = self.kept.get_mut(&key)?;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    pub(super) fn put(&mut self, key: K, value: T, bytes: usize) {
        self.remove(key);
        let used = self.clock;
        self.bytes += bytes;
        self.kept.insert(key, Kept { value, bytes, used });
        while self.bytes > self.budget && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(key, _)| *key) else {
                break;
            };
            self.remove(oldest);
        }
    }

    pub(super) fn remove(&mut self, key: K) {
        if let Some(kept) = self.kept.remove(&key) {
            self.bytes -= kept.bytes;
        }
    }
}
