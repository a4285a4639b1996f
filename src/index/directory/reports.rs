//! What hosts reported of their topics: beside the topics' slots, in chunks made on first use.

use super::slots::Slot;
use crate::types::{MonoNs, UnixMicros};
use crate::wire::index::TopicMetadata;

const CHUNK: usize = 1_024;

/// What is reported of a topic that was never written to.
const EMPTY: TopicMetadata = TopicMetadata {
    start: 1,
    end: 1,
    bytes: 0,
    last_append: UnixMicros(0),
};

/// A report as kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) metadata: TopicMetadata,
    /// When it came; `None`: before this start.
    pub(super) received: Option<MonoNs>,
    dirty: bool,
}

#[derive(Debug, Default)]
pub(super) struct Reports {
    chunks: Vec<Option<Box<[Option<Kept>]>>>,
    /// Slots whose reports are newer than the store's.
    dirty: Vec<Slot>,
    /// A bit for each slot whose topic was never written to, by its host's word: a million new topics
    /// cost nothing more.
    empty: Vec<u64>,
    /// When the last of those words came.
    empty_told: Option<MonoNs>,
}

impl Reports {
    pub(super) fn get(&self, slot: Slot) -> Option<Kept> {
        if self.is_empty(slot) {
            return Some(Kept {
                metadata: EMPTY,
                received: self.empty_told,
                dirty: false,
            });
        }
        self.kept(slot).copied()
    }

    /// A report that takes a place, and may be in the store.
    pub(super) fn kept(&self, slot: Slot) -> Option<&Kept> {
        self.chunks.get(slot as usize / CHUNK)?.as_ref()?[slot as usize % CHUNK].as_ref()
    }

    fn is_empty(&self, slot: Slot) -> bool {
        let bits = self.empty.get(slot as usize / 64);
        bits.is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
    }

    fn set_empty(&mut self, slot: Slot, is_empty: bool) {
        let at = slot as usize / 64;
        if is_empty && self.empty.len() <= at {
            self.empty.resize(at + 1, 0);
        }
        if let Some(bits) = self.empty.get_mut(at) {
            *bits = *bits & !(1 << (slot % 64)) | u64::from(is_empty) << (slot % 64);
        }
    }

    /// Keeps a report; `received: None` is one that comes from the store.
    pub(super) fn put(&mut self, slot: Slot, metadata: TopicMetadata, received: Option<MonoNs>) {
        let is_empty = metadata.end <= 1 && self.kept(slot).is_none();
        self.set_empty(slot, is_empty);
        if is_empty {
            self.empty_told = received.or(self.empty_told);
            return;
        }
        let place = self.place(slot);
        let was_dirty = place.is_some_and(|kept| kept.dirty);
        let changed = place.is_none_or(|kept| kept.metadata != metadata);
        let dirty = received.is_some() && (was_dirty || changed);
        *place = Some(Kept {
            metadata,
            received,
            dirty,
        });
        if dirty && !was_dirty {
            self.dirty.push(slot);
        }
    }

    fn place(&mut self, slot: Slot) -> &mut Option<Kept> {
        let chunk = slot as usize / CHUNK;
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let chunk = self.chunks[chunk].get_or_insert_with(|| vec![None; CHUNK].into_boxed_slice());
        &mut chunk[slot as usize % CHUNK]
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        self.set_empty(slot, false);
        if self.kept(slot).is_some() {
            *self.place(slot) = None;
        }
    }

    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// At most `limit` slots whose reports are to be written; they count as written from now on.
    pub(super) fn take_dirty(&mut self, limit: usize) -> Vec<(Slot, TopicMetadata)> {
        let from = self.dirty.len().saturating_sub(limit);
        let slots: Vec<Slot> = self.dirty.drain(from..).collect();
        let mut taken = Vec::with_capacity(slots.len());
        for slot in slots {
            // A slot that was emptied, or written and listed again, is passed over.
            if let Some(kept) = self.place(slot).as_mut().filter(|kept| kept.dirty) {
                kept.dirty = false;
                taken.push((slot, kept.metadata));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(end: u64) -> TopicMetadata {
        TopicMetadata {
            start: 1,
            end,
            ..TopicMetadata::default()
        }
    }

    #[test]
    fn a_topic_that_was_never_written_to_takes_a_bit_and_one_that_is_empty_again_a_place() {
        let mut reports = Reports::default();
        let now = Some(MonoNs(7));
        assert!(reports.get(5_000).is_none());
        reports.put(5_000, metadata(1), now);
        let told = reports.get(5_000).unwrap();
        assert_eq!((told.metadata, told.received), (metadata(1), now));
        assert!(reports.get(4_999).is_none() && reports.get(5_001).is_none());
        assert!(reports.chunks.is_empty() && !reports.has_dirty());
        reports.put(5_000, metadata(9), now);
        assert_eq!(reports.get(5_000).unwrap().metadata, metadata(9));
        reports.put(5_000, metadata(1), now);
        assert_eq!(reports.kept(5_000).unwrap().metadata, metadata(1));
        assert_eq!(reports.take_dirty(9), [(5_000, metadata(1))]);
        reports.put(63, metadata(1), now);
        reports.remove(63);
        reports.remove(5_000);
        assert!(reports.get(63).is_none() && reports.get(5_000).is_none());
    }
}
