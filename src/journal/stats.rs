//! Counts, for reports.

use std::sync::atomic::{AtomicU64, Ordering};

use super::record::Record;
use super::view::{Effect, View};

/// What a journal has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Groups written, each with one sync.
    pub syncs: u64,
    /// Entries written.
    pub entries: u64,
    /// Batches among them.
    pub batches: u64,
    /// Bytes written, without footers and checkpoints.
    pub written_bytes: u64,
    /// Segments sealed.
    pub segments_sealed: u64,
    /// Segments given back because nothing in them was kept any more.
    pub segments_reclaimed: u64,
    /// Segments rewritten because little in them was kept.
    pub segments_rewritten: u64,
    /// Bytes written by it.
    pub rewritten_bytes: u64,
    /// Bytes given back by it.
    pub given_back_bytes: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Segments held.
    pub segments: u64,
    /// Bytes of entries in them.
    pub bytes: u64,
    /// Topics.
    pub topics: u64,
    /// The last group synced.
    pub group: u64,
    /// Bytes of the tail cache.
    pub cached_bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    syncs: AtomicU64,
    entries: AtomicU64,
    batches: AtomicU64,
    written_bytes: AtomicU64,
    pub(super) segments_sealed: AtomicU64,
    pub(super) segments_reclaimed: AtomicU64,
    segments_rewritten: AtomicU64,
    rewritten_bytes: AtomicU64,
    given_back_bytes: AtomicU64,
    pub(super) checkpoints: AtomicU64,
}

impl Counters {
    pub(super) fn note_group(&self, effects: &[Effect], bytes: usize) {
        let batches = effects
            .iter()
            .filter(|effect| matches!(effect.record, Record::Batch(_)))
            .count();
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.entries
            .fetch_add(effects.len() as u64, Ordering::Relaxed);
        self.batches.fetch_add(batches as u64, Ordering::Relaxed);
        self.written_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn note_rewrite(&self, written: u64, given_back: u64) {
        self.segments_rewritten.fetch_add(1, Ordering::Relaxed);
        self.rewritten_bytes.fetch_add(written, Ordering::Relaxed);
        self.given_back_bytes
            .fetch_add(given_back, Ordering::Relaxed);
    }

    /// Bytes of groups written so far.
    pub(super) fn appended_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self, view: &View) -> JournalStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JournalStats {
            syncs: get(&self.syncs),
            entries: get(&self.entries),
            batches: get(&self.batches),
            written_bytes: get(&self.written_bytes),
            segments_sealed: get(&self.segments_sealed),
            segments_reclaimed: get(&self.segments_reclaimed),
            segments_rewritten: get(&self.segments_rewritten),
            rewritten_bytes: get(&self.rewritten_bytes),
            given_back_bytes: get(&self.given_back_bytes),
            checkpoints: get(&self.checkpoints),
            segments: view.segments.len() as u64,
            bytes: view.segments.values().map(|info| info.end).sum(),
            topics: view.topics.len() as u64,
            group: view.group,
            cached_bytes: view.cached_bytes() as u64,
        }
    }
}
