//! A small cache by segment number.

use hashbrown::HashMap;

/// Something open, and when it was last used.
#[derive(Debug)]
struct Kept<T> {
    value: T,
    bytes: usize,
    used: u64,
}

/// Things by segment, the least recently used of which go when there are too many.
#[derive(Debug)]
pub(super) struct Recent<T> {
    kept: HashMap<u64, Kept<T>>,
    bytes: usize,
    budget: usize,
    clock: u64,
}

impl<T: Clone> Recent<T> {
    pub(super) fn new(budget: usize) -> Recent<T> {
        Recent {
            kept: HashMap::new(),
            bytes: 0,
            budget,
            clock: 0,
        }
    }

    pub(super) fn get(&mut self, segment: u64) -> Option<T> {
        self.clock += 1;
        let kept = self.kept.get_mut(&segment)?;
        kept.used = self.clock;
        Some(kept.value.clone())
    }

    pub(super) fn put(&mut self, segment: u64, value: T, bytes: usize) {
        self.remove(segment);
        let used = self.clock;
        self.bytes += bytes;
        self.kept.insert(segment, Kept { value, bytes, used });
        while self.bytes > self.budget && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.used);
            let Some(oldest) = oldest.map(|(segment, _)| *segment) else {
                break;
            };
            self.remove(oldest);
        }
    }

    pub(super) fn remove(&mut self, segment: u64) {
        if let Some(kept) = self.kept.remove(&segment) {
            self.bytes -= kept.bytes;
        }
    }
}
