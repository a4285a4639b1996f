//! The segments that a journal has, and what of them is still needed. Pure.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

use super::layout::FIRST_ENTRY;
use crate::types::Offset;

/// A topic's batches within one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) segment: u64,
    pub(super) base: Offset,
    pub(super) end: Offset,
    /// Bytes of their entries, those below the topic's start included.
    pub(super) bytes: u64,
}

impl Span {
    /// About how many of its bytes a topic with this start still needs: they are taken as spread
    /// evenly.
    pub(super) fn live_bytes(&self, start: Offset) -> u64 {
        let all = u128::from(self.end.0.saturating_sub(self.base.0).max(1));
        let kept = u128::from(self.end.0.saturating_sub(start.max(self.base).0));
        (u128::from(self.bytes) * kept / all) as u64
    }

    /// What is left of it when everything at `to` and beyond is cut off; its bytes are taken as spread
    /// evenly.
    pub(super) fn below(&self, to: Offset) -> Option<Span> {
        let gone = self.live_bytes(to);
        (self.base < to).then(|| Span {
            end: self.end.min(to),
            bytes: self.bytes - gone,
            ..*self
        })
    }
}

/// A segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    pub(super) generation: u64,
    /// Position after its last entry.
    pub(super) end: u64,
    /// Topics with messages in it that are still kept.
    pub(super) live: u32,
    /// About how many bytes of entries those messages take.
    pub(super) live_bytes: u64,
    /// Holds damage: never reused, never rewritten.
    pub(super) quarantined: bool,
    /// Holds only what was kept when it was written anew, sorted by topic.
    pub(super) rewritten: bool,
}

/// All segments by number.
#[derive(Debug, Default)]
pub(super) struct Segments(BTreeMap<u64, SegmentInfo>);

impl Deref for Segments {
    type Target = BTreeMap<u64, SegmentInfo>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Segments {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Segments {
    /// A segment without entries.
    pub(super) fn add(&mut self, sequence: u64, generation: u64) {
        let info = SegmentInfo {
            generation,
            end: FIRST_ENTRY,
            live: 0,
            live_bytes: 0,
            quarantined: false,
            rewritten: false,
        };
        self.0.insert(sequence, info);
    }

    /// Nothing is needed, as far as is known.
    pub(super) fn need_nothing(&mut self) {
        for info in self.0.values_mut() {
            (info.live, info.live_bytes) = (0, 0);
        }
    }

    /// One more topic, with this start, needs a segment.
    pub(super) fn need(&mut self, span: &Span, start: Offset) {
        if let Some(info) = self.0.get_mut(&span.segment) {
            info.live += 1;
            info.live_bytes += span.live_bytes(start);
        }
    }

    /// A topic, with this start until now, needs a segment no more.
    pub(super) fn release(&mut self, span: &Span, start: Offset) {
        if let Some(info) = self.0.get_mut(&span.segment) {
            info.live = info.live.saturating_sub(1);
        }
        self.shrink(span.segment, span.live_bytes(start));
    }

    /// More of a segment is needed.
    pub(super) fn grow(&mut self, segment: u64, bytes: u64) {
        if let Some(info) = self.0.get_mut(&segment) {
            info.live_bytes += bytes;
        }
    }

    /// Less of a segment is needed.
    pub(super) fn shrink(&mut self, segment: u64, bytes: u64) {
        if let Some(info) = self.0.get_mut(&segment) {
            info.live_bytes = info.live_bytes.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trimmed_span_needs_its_share() {
        let span = Span {
            segment: 1,
            base: Offset(11),
            end: Offset(21),
            bytes: 1_000,
        };
        for (start, bytes) in [(1, 1_000), (11, 1_000), (16, 500), (21, 0), (30, 0)] {
            assert_eq!(span.live_bytes(Offset(start)), bytes, "from {start}");
        }
        let huge = Span {
            base: Offset(0),
            end: Offset(u64::MAX),
            bytes: u64::MAX,
            ..span
        };
        assert_eq!(huge.live_bytes(Offset(0)), u64::MAX);
    }

    #[test]
    fn what_is_needed_is_counted() {
        let mut segments = Segments::default();
        segments.add(1, 7);
        let span = Span {
            segment: 1,
            base: Offset(1),
            end: Offset(11),
            bytes: 1_000,
        };
        segments.need(&span, Offset(1));
        segments.need(&span, Offset(6));
        assert_eq!((segments[&1].live, segments[&1].live_bytes), (2, 1_500));
        segments.shrink(1, 200);
        segments.release(&span, Offset(6));
        assert_eq!((segments[&1].live, segments[&1].live_bytes), (1, 800));
        segments.grow(1, 50);
        assert_eq!(segments[&1].live_bytes, 850);
        segments.need_nothing();
        assert_eq!((segments[&1].live, segments[&1].live_bytes), (0, 0));
    }
}
