//! A hash table of slot numbers, for tables that no cache holds: nearly every lookup reads one line of it.
//!
//! Tags and numbers of a bucket lie side by side in one cache line. (A table that keeps tags apart reads two, the
//! second only when the first has come.) An entry that finds its bucket full goes to the next one with room, and
//! each bucket counts those that passed it, so that a search ends at the first that nobody passed.
//!
//! It is cut into shards, so that growing one moves a few thousand numbers, not a million, while the directory's
//! lock is held.

/// The number of a topic's slot; used again after the topic is gone.
pub(crate) type Slot = u32;

const SHARDS: usize = 256;
/// Entries of a bucket: what a line has room for.
const WAYS: usize = 12;
/// The tag of a place that is free.
const NONE: u8 = 0;
/// A shard grows when more than this part of its room is taken: then one entry in thirty is not in its own bucket
/// (simulated), half as full one in two thousand.
const FULL_QUARTERS: usize = 3;

/// See the module. Hashes are spread evenly over all 64 bits.
#[derive(Debug)]
pub(super) struct SlotTable {
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    /// A power of two, or none.
    buckets: Vec<Bucket>,
    len: usize,
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    slots: [Slot; WAYS],
    tags: [u8; WAYS],
    len: u8,
    /// Entries that found it full, on their way to another. Once at its maximum it stays there.
    passed: u16,
}

const _: () = assert!(size_of::<Bucket>() == 64);

/// Bits that tell the bucket within a shard come lowest, those of shard and tag highest.
fn shard(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(NONE + 1)
}

impl SlotTable {
    pub(super) fn new() -> Self {
        SlotTable {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// Makes room for `more` entries, so that adding them moves hardly any.
    pub(super) fn reserve(&mut self, more: usize, hash_of: impl Fn(Slot) -> u64) {
        let each = more / SHARDS;
        // Shards differ by some square roots of their size.
        let each = each + each / 16;
        for shard in &mut self.shards {
            shard.fit(shard.len + each, &hash_of);
        }
    }

    /// Reads where a search for this hash begins, and answers something of it: a first step for many at once.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        let shard = &self.shards[shard(hash)];
        let home = shard.way(hash).next();
        home.map_or(0, |at| shard.buckets[at].slots[0])
    }

    /// The entry under this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        self.shards[shard(hash)].find(hash, is_it)
    }

    /// Adds an entry that is not there yet. `hash_of` tells the hash of those that are.
    pub(super) fn insert(&mut self, hash: u64, slot: Slot, hash_of: impl Fn(Slot) -> u64) {
        let shard = &mut self.shards[shard(hash)];
        shard.fit(shard.len + 1, &hash_of);
        shard.put(hash, slot);
    }

    /// Removes an entry; nothing happens if it is not there.
    pub(super) fn remove(&mut self, hash: u64, slot: Slot) {
        self.shards[shard(hash)].remove(hash, slot);
    }
}

impl Shard {
    /// Grows until `len` entries have room.
    fn fit(&mut self, len: usize, hash_of: &impl Fn(Slot) -> u64) {
        if len * 4 <= self.buckets.len() * WAYS * FULL_QUARTERS {
            return;
        }
        let least = (len * 4).div_ceil(WAYS * FULL_QUARTERS);
        let mut grown = Shard {
            buckets: vec![Bucket::default(); least.next_power_of_two()],
            len: 0,
        };
        for slot in self.buckets.iter().flat_map(Bucket::entries) {
            grown.put(hash_of(*slot), *slot);
        }
        *self = grown;
    }

    fn find(&self, hash: u64, mut is_it: impl FnMut(Slot) -> bool) -> Option<Slot> {
        for bucket in self.way(hash).map(|at| &self.buckets[at]) {
            let found = bucket.candidates(tag(hash)).find(|&slot| is_it(slot));
            if found.is_some() || bucket.passed == 0 {
                return found;
            }
        }
        None
    }

    fn put(&mut self, hash: u64, slot: Slot) {
        for at in self.way(hash) {
            let bucket = &mut self.buckets[at];
            if bucket.push(tag(hash), slot) {
                self.len += 1;
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
        }
        unreachable!("a shard has room, for it was made to fit");
    }

    fn remove(&mut self, hash: u64, slot: Slot) {
        if self.find(hash, |other| other == slot).is_none() {
            return;
        }
        for at in self.way(hash) {
            let bucket = &mut self.buckets[at];
            if bucket.take(slot) {
                self.len -= 1;
                return;
            }
            if bucket.passed < u16::MAX {
                bucket.passed -= 1;
            }
        }
    }

    /// The buckets that an entry may be in, in the order in which it tries them.
    fn way(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let count = self.buckets.len();
        let home = hash as usize;
        (0..count).map(move |step| home.wrapping_add(step) & (count - 1))
    }
}

impl Bucket {
    fn entries(&self) -> &[Slot] {
        &self.slots[..self.len.into()]
    }

    /// Those with this tag, among which at most a few are wrong.
    fn candidates(&self, tag: u8) -> impl Iterator<Item = Slot> {
        let mut same = self.same(tag);
        std::iter::from_fn(move || {
            let at = same.trailing_zeros() as usize / 8;
            // Where no bit is left, beyond the last.
            let slot = *self.slots.get(at)?;
            same &= same - 1;
            Some(slot)
        })
    }

    /// The highest bit of each byte whose entry has this tag. All are compared at once: bytes that are zero after
    /// the exclusive or are found as in Hacker's Delight, 6-1.
    fn same(&self, tag: u8) -> u128 {
        const LOW: u128 = u128::from_le_bytes([0x7f; 16]);
        let mut tags = [NONE; 16];
        tags[..WAYS].copy_from_slice(&self.tags);
        let other = u128::from_le_bytes(tags) ^ u128::from_le_bytes([tag; 16]);
        !(((other & LOW) + LOW) | other | LOW)
    }

    /// Whether there was room.
    fn push(&mut self, tag: u8, slot: Slot) -> bool {
        let at = usize::from(self.len);
        if at == WAYS {
            return false;
        }
        self.slots[at] = slot;
        self.tags[at] = tag;
        self.len += 1;
        true
    }

    /// Takes an entry out; whether it was here.
    fn take(&mut self, slot: Slot) -> bool {
        let Some(at) = self.entries().iter().position(|&other| other == slot) else {
            return false;
        };
        let last = usize::from(self.len) - 1;
        self.slots[at] = self.slots[last];
        self.tags[at] = self.tags[last];
        self.tags[last] = NONE;
        self.len -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// What a table should hold: hashes by slot.
    #[derive(Default)]
    struct Model {
        hashes: BTreeMap<Slot, u64>,
    }

    impl Model {
        fn add(&mut self, table: &mut SlotTable, slot: Slot, hash: u64) {
            table.insert(hash, slot, |other| self.hashes[&other]);
            self.hashes.insert(slot, hash);
        }

        fn check(&self, table: &SlotTable) {
            for (slot, hash) in &self.hashes {
                assert_eq!(table.find(*hash, |other| other == *slot), Some(*slot));
            }
            let held: usize = table.shards.iter().map(|shard| shard.len).sum();
            assert_eq!(held, self.hashes.len());
        }
    }

    #[test]
    fn entries_are_found_until_they_are_removed() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut table, mut model) = (SlotTable::new(), Model::default());
        for round in 0..20 {
            let first = round * 1_000;
            for slot in first..first + 1_000 {
                // Few shards, few tags and few homes, so that buckets are full and searches are long.
                let hash = random.random::<u64>() & 0x0301_0000_0000_001f;
                model.add(&mut table, slot, hash);
            }
            model.check(&table);
            let gone: Vec<Slot> = model.hashes.keys().copied().collect();
            for slot in gone.into_iter().filter(|_| random.random_bool(0.7)) {
                let hash = model.hashes.remove(&slot).unwrap();
                table.remove(hash, slot);
                assert_eq!(table.find(hash, |other| other == slot), None);
            }
            model.check(&table);
        }
    }

    #[test]
    fn an_empty_table_knows_nothing_and_forgets_nothing() {
        let mut table = SlotTable::new();
        assert_eq!(table.find(7, |_| true), None);
        assert_eq!(table.touch(7), 0);
        table.remove(7, 0);
        assert_eq!(table.find(7, |_| true), None);
    }

    #[test]
    fn where_room_was_made_hardly_any_is_moved() {
        let (more, seed) = (135_000, rand::random());
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut table, mut model) = (SlotTable::new(), Model::default());
        table.reserve(more, |_| unreachable!("nothing is there"));
        let moved = std::cell::Cell::new(0);
        for slot in 0..more as Slot {
            let hash = random.random();
            table.insert(hash, slot, |other| {
                moved.set(moved.get() + 1);
                model.hashes[&other]
            });
            model.hashes.insert(slot, hash);
        }
        // Growing by and by moves each once or twice.
        assert!(moved.get() < more / 10, "{} were moved", moved.get());
    }

    /// As many as one bucket takes, and one more, all of one bucket and tag.
    fn one_passed() -> (SlotTable, Model, Slot) {
        let (mut table, mut model) = (SlotTable::new(), Model::default());
        let last = WAYS as Slot;
        (0..=last).for_each(|slot| model.add(&mut table, slot, 0));
        (table, model, last)
    }

    fn home(table: &mut SlotTable) -> &mut Bucket {
        &mut table.shards[0].buckets[0]
    }

    #[test]
    fn a_search_ends_where_nobody_passed() {
        let (mut table, mut model, last) = one_passed();
        assert_eq!(home(&mut table).passed, 1);
        table.remove(0, last);
        model.hashes.remove(&last);
        assert_eq!(home(&mut table).passed, 0);
        // In the next bucket, its own.
        model.add(&mut table, last + 1, 1);
        let mut asked = 0;
        let found = table.find(0, |_| {
            asked += 1;
            false
        });
        assert_eq!((found, asked), (None, WAYS));
        model.check(&table);
    }

    #[test]
    fn a_bucket_that_cannot_count_further_is_passed_for_ever() {
        let (mut table, mut model, last) = one_passed();
        home(&mut table).passed = u16::MAX;
        model.add(&mut table, last + 1, 0);
        table.remove(0, last);
        model.hashes.remove(&last);
        assert_eq!(home(&mut table).passed, u16::MAX);
        model.check(&table);
    }
}
