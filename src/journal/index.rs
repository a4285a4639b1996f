//! The index of one segment in memory: for each topic, where its batches lie.

use hashbrown::HashMap;

use crate::types::{Offset, TopicId};

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    /// Position of the entry's header in the file.
    pub(super) position: u64,
    /// Bytes of the entry, header and padding included.
    pub(super) bytes: u64,
}

/// One batch in an index. Positions and sizes are multiples of 8 and kept as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) base: Offset,
    pub(super) position8: u32,
    pub(super) bytes8: u32,
}

impl IndexEntry {
    pub(super) fn new(base: Offset, place: Place) -> IndexEntry {
        IndexEntry {
            base,
            position8: (place.position / 8) as u32,
            bytes8: (place.bytes / 8) as u32,
        }
    }

    pub(super) fn position(&self) -> u64 {
        u64::from(self.position8) * 8
    }

    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.bytes8) * 8
    }
}

/// The batches of one topic in a segment, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicIndex {
    pub(super) entries: Vec<IndexEntry>,
    pub(super) end: Offset,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    pub(super) sequence: u64,
    pub(super) generation: u64,
    /// Position after the last entry.
    pub(super) end: u64,
    /// Last group in the segment; 0 if there is none.
    pub(super) last_group: u64,
    pub(super) topics: HashMap<TopicId, TopicIndex>,
}

impl SegmentIndex {
    pub(super) fn new(sequence: u64, generation: u64) -> SegmentIndex {
        SegmentIndex {
            sequence,
            generation,
            end: super::layout::FIRST_ENTRY,
            ..SegmentIndex::default()
        }
    }

    /// Adds a batch.
    pub(super) fn add(&mut self, topic: TopicId, base: Offset, end: Offset, place: Place) {
        let entry = IndexEntry::new(base, place);
        let index = self.topics.entry(topic).or_insert_with(|| TopicIndex {
            entries: Vec::with_capacity(1),
            end,
        });
        index.entries.push(entry);
        index.end = index.end.max(end);
    }

    /// Drops a topic's batches from `to` on: they were cut off, and others may come in their place.
    pub(super) fn truncate(&mut self, topic: &TopicId, to: Offset) {
        let Some(index) = self.topics.get_mut(topic) else {
            return;
        };
        let kept = index.entries.partition_point(|entry| entry.base < to);
        index.entries.truncate(kept);
        index.end = index.end.min(to);
        if kept == 0 {
            self.topics.remove(topic);
        }
    }

    /// See [`select`].
    pub(super) fn select(
        &self,
        topic: &TopicId,
        from: Offset,
        below: Offset,
        max_bytes: u64,
    ) -> Selected {
        let entries = self.topics.get(topic).map(|index| &*index.entries);
        select(entries.unwrap_or_default(), from, below, max_bytes)
    }
}

/// Entries to read, and the base of the one that follows them in the segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) entries: Vec<IndexEntry>,
    pub(super) then: Option<Offset>,
}

/// The entries from the one that may hold `from` on, as many as fit into `max_bytes`, at least one
/// if there is any; none that begins at `below` or beyond, for those were cut off.
pub(super) fn select(
    entries: &[IndexEntry],
    from: Offset,
    below: Offset,
    max_bytes: u64,
) -> Selected {
    let kept = entries.partition_point(|entry| entry.base < below);
    let entries = &entries[..kept];
    let first = entries
        .partition_point(|entry| entry.base <= from)
        .saturating_sub(1);
    let mut bytes = 0;
    let taken = entries[first..]
        .iter()
        .take_while(|entry| {
            let fits = bytes == 0 || bytes + entry.bytes() <= max_bytes;
            bytes += entry.bytes();
            fits
        })
        .copied();
    let taken: Vec<IndexEntry> = taken.collect();
    let then = entries.get(first + taken.len()).map(|entry| entry.base);
    Selected {
        entries: taken,
        then,
    }
}
