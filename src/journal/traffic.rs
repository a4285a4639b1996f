//! What a topic with messages or positions remembers: its range, its producers, and retention.
//! Pure.
//!
//! Retention works on *marks*: a few places of the log, on batch boundaries, each with the bytes
//! and the latest append time up to the next. So it needs no index of the segments and errs by one
//! part of [`limits::RETENTION_PARTS`] at most, to the side of dropping early by size and late by
//! age. The newest batch is never dropped for size, even where it alone is over the limit.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::dedupe::Dedupe;
use super::epochs::Epochs;
use super::table::{Position, PositionKey};
use crate::limits;
use crate::types::{Offset, TopicSettings, UnixMicros};
use crate::wire::batch::BatchHeader;

/// A stretch of a topic's log, for retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Offset of its first message.
    pub(super) base: Offset,
    /// Bytes of its batches.
    pub(super) bytes: u64,
    /// Append time of its first batch.
    pub(super) first: UnixMicros,
    /// Append time of its last batch.
    pub(super) last: UnixMicros,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    pub(super) start: Offset,
    pub(super) end: Offset,
    pub(super) bytes: u64,
    pub(super) last_append: Option<UnixMicros>,
    pub(super) marks: VecDeque<Mark>,
    pub(super) epochs: Epochs,
    pub(super) dedupe: Dedupe,
    pub(super) positions: HashMap<PositionKey, Position>,
    /// Ranges that cannot be read, ascending.
    pub(super) damaged: Vec<(Offset, Offset)>,
    /// Ranges whose loss was accepted.
    pub(super) lost: Vec<(Offset, Offset)>,
    /// The end cannot be proven.
    pub(super) suspect: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic {
            start: Offset::FIRST,
            end: Offset::FIRST,
            bytes: 0,
            last_append: None,
            marks: VecDeque::new(),
            epochs: Epochs::default(),
            dedupe: Dedupe::default(),
            positions: HashMap::new(),
            damaged: Vec::new(),
            lost: Vec::new(),
            suspect: false,
        }
    }
}

impl Traffic {
    pub(super) fn is_damaged(&self) -> bool {
        self.suspect || !self.damaged.is_empty()
    }

    /// Takes a batch in; whether it begins a new front mark.
    pub(super) fn append(&mut self, header: &BatchHeader, settings: &TopicSettings) -> bool {
        let bytes = u64::from(header.length);
        let first = self.marks.is_empty();
        self.epochs.note(header.epoch, header.base);
        self.end = header.end();
        self.bytes += bytes;
        self.last_append = self.last_append.max(Some(header.appended));
        match self.marks.back_mut() {
            Some(mark) if !is_whole(mark, header, self.bytes, settings) => {
                mark.bytes += bytes;
                mark.last = mark.last.max(header.appended);
            }
            _ => self.marks.push_back(Mark {
                base: header.base,
                bytes,
                first: header.appended,
                last: header.appended,
            }),
        }
        if self.marks.len() > limits::RETENTION_MARKS {
            self.merge_marks();
        }
        first
    }

    /// Every second mark joins the one before it.
    fn merge_marks(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        for (index, mark) in marks.into_iter().enumerate() {
            match self.marks.back_mut() {
                Some(last) if index % 2 == 1 => {
                    last.bytes += mark.bytes;
                    last.last = last.last.max(mark.last);
                }
                _ => self.marks.push_back(mark),
            }
        }
    }

    /// Drops what lies below `start`.
    pub(super) fn trim(&mut self, start: Offset) {
        self.start = self.start.max(start.min(self.end));
        while self.marks.len() > 1 && self.marks[1].base <= self.start {
            self.drop_mark();
        }
        if self.start == self.end {
            self.marks.clear();
            self.bytes = 0;
        } else {
            self.shorten_mark();
        }
        let start = self.start;
        self.epochs.trim(start);
        self.damaged.retain(|(_, to)| *to > start);
        self.lost.retain(|(_, to)| *to > start);
    }

    /// Drops what lies at `to` and beyond; never what lies below the start.
    pub(super) fn truncate(&mut self, to: Offset) {
        let to = to.max(self.start);
        if to >= self.end {
            return;
        }
        self.truncate_marks(to);
        self.end = to;
        self.epochs.truncate(to);
        self.dedupe.truncate(to);
        clip(&mut self.damaged, to);
        clip(&mut self.lost, to);
        self.clamp_positions();
    }

    /// The last mark that stays is cut: its bytes are taken as spread evenly.
    fn truncate_marks(&mut self, to: Offset) {
        let mut end = self.end;
        while let Some(mark) = self.marks.back_mut() {
            if mark.base < to {
                let all = u128::from(end.0.saturating_sub(mark.base.0).max(1));
                let kept = u128::from(to.0 - mark.base.0).min(all);
                let bytes = (u128::from(mark.bytes) * kept / all) as u64;
                self.bytes -= mark.bytes - bytes;
                mark.bytes = bytes;
                return;
            }
            end = mark.base;
            self.bytes -= mark.bytes;
            self.marks.pop_back();
        }
    }

    /// No position lies beyond the end: what comes there later has not been read.
    pub(super) fn clamp_positions(&mut self) {
        let end = self.end;
        for position in self.positions.values_mut() {
            position.next = position.next.min(end);
        }
    }

    /// A log that begins anew at `start`.
    pub(super) fn starting_at(start: Offset) -> Traffic {
        Traffic {
            start,
            end: start,
            ..Traffic::default()
        }
    }

    fn drop_mark(&mut self) {
        if let Some(mark) = self.marks.pop_front() {
            self.bytes -= mark.bytes;
        }
    }

    /// A start inside the front mark: its bytes are taken as spread evenly.
    fn shorten_mark(&mut self) {
        let next = self.marks.get(1).map_or(self.end, |mark| mark.base);
        let start = self.start;
        let Some(mark) = self.marks.front_mut() else {
            return;
        };
        if start <= mark.base {
            return;
        }
        let all = u128::from(next.0 - mark.base.0);
        let gone = u128::from(start.0 - mark.base.0);
        let bytes = (u128::from(mark.bytes) * gone / all) as u64;
        mark.base = start;
        mark.bytes -= bytes;
        self.bytes -= bytes;
    }

    /// Where to trim to for a size of at most `limit`.
    pub(super) fn size_start(&self, limit: u64) -> Option<Offset> {
        let mut bytes = self.bytes;
        let mut gone = 0;
        while bytes > limit && gone + 1 < self.marks.len() {
            bytes -= self.marks[gone].bytes;
            gone += 1;
        }
        (gone > 0).then(|| self.marks[gone].base)
    }

    /// Where to trim to for the topic's age limit.
    pub(super) fn age_start(&self, settings: &TopicSettings, wall: UnixMicros) -> Option<Offset> {
        let age = age_micros(settings)?;
        let gone = self
            .marks
            .iter()
            .take_while(|mark| mark.last.0.saturating_add(age) < wall.0)
            .count();
        (gone > 0).then(|| self.marks.get(gone).map_or(self.end, |mark| mark.base))
    }

    /// The last mark's beginning, or the end, that is neither above `start` nor above `committed`;
    /// `None`: nothing lies below it.
    pub(super) fn trimmable(&self, start: Offset, committed: Offset) -> Option<Offset> {
        if start <= committed {
            return Some(start);
        }
        let marks = self.marks.iter().map(|mark| mark.base);
        let last = marks.take_while(|base| *base <= committed).last();
        last.filter(|last| self.marks.front().is_some_and(|front| front.base < *last))
    }

    /// When the front mark is past its age.
    pub(super) fn expiry(&self, settings: &TopicSettings) -> Option<i64> {
        let age = age_micros(settings)?;
        self.marks
            .front()
            .map(|mark| mark.last.0.saturating_add(age))
    }

    /// What the operator gives up by accepting the loss: the damaged ranges, or, where those are
    /// too many for one small entry, the range around them. Sound messages in it stay readable.
    pub(super) fn given_up(&self) -> Vec<(Offset, Offset)> {
        match (self.damaged.first(), self.damaged.last()) {
            (Some(first), Some(last)) if self.damaged.len() > limits::LOST_RANGES => {
                vec![(first.0, last.1)]
            }
            _ => self.damaged.clone(),
        }
    }

    /// The loss was accepted.
    pub(super) fn accept_loss(&mut self, ranges: &[(Offset, Offset)]) {
        self.suspect = false;
        self.damaged.clear();
        self.lost.extend_from_slice(ranges);
    }

    /// Marks a range as damaged and joins it to a neighbour.
    pub(super) fn damage(&mut self, from: Offset, to: Offset) {
        let (from, to) = (from.max(self.start), to);
        if from >= to {
            return;
        }
        self.end = self.end.max(to);
        if self.lost.iter().any(|(f, t)| *f <= from && to <= *t) {
            return;
        }
        self.damaged.push((from, to));
        self.damaged.sort_unstable();
        self.damaged.dedup_by(|next, kept| {
            let joins = next.0 <= kept.1;
            if joins {
                kept.1 = kept.1.max(next.1);
            }
            joins
        });
    }
}

/// Leaves of ranges what lies below `to`.
pub(super) fn clip(ranges: &mut Vec<(Offset, Offset)>, to: Offset) {
    ranges.retain(|(from, _)| *from < to);
    for (_, end) in ranges {
        *end = (*end).min(to);
    }
}

fn age_micros(settings: &TopicSettings) -> Option<i64> {
    let millis = settings.retain_age_ms?;
    Some(i64::try_from(millis).ok()?.saturating_mul(1_000))
}

/// Whether a mark is large or old enough that the next batch begins another.
fn is_whole(mark: &Mark, next: &BatchHeader, kept: u64, settings: &TopicSettings) -> bool {
    let parts = limits::RETENTION_PARTS;
    let part_bytes = match settings.retain_bytes {
        Some(limit) => limit / parts,
        None => (kept / parts).max(limits::RETENTION_PART_BYTES),
    };
    let part_age = age_micros(settings).map_or(i64::MAX, |age| age / parts as i64);
    mark.bytes >= part_bytes.max(1) || next.appended.0.saturating_sub(mark.first.0) >= part_age
}
