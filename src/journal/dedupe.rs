//! What a topic remembers of its producers, so that a message sent twice is stored once. Pure.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::limits;
use crate::types::{Offset, ProducerId};

/// Sequences that lie at consecutive offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First sequence.
    pub sequence: u64,
    /// Its offset.
    pub offset: Offset,
    /// How many.
    pub count: u64,
}

impl Range {
    fn end(&self) -> u64 {
        self.sequence + self.count
    }

    fn joins(&self, next: &Range) -> bool {
        self.end() == next.sequence && self.offset.plus(self.count) == next.offset
    }
}

/// What a sequence is to a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It continues where the producer stood, or begins it.
    New,
    /// All of it is known; the first message lies at the offset.
    Duplicate(Offset),
    /// The producer should have gone on elsewhere.
    Gap {
        /// The sequence that comes next.
        expected: u64,
    },
    /// The producer is not known, and the sequence is not its first.
    UnknownProducer,
    /// Below, or within a hole of, what is remembered.
    TooOld,
}

/// The producers of one topic. Empty, it holds no memory of its own.
#[derive(Debug, Clone, Default)]
pub struct Dedupe {
    producers: HashMap<ProducerId, VecDeque<Range>>,
}

impl Dedupe {
    /// Judges a batch of `count` messages.
    pub fn judge(&self, producer: &ProducerId, sequence: u64, count: u32) -> Verdict {
        let Some(ranges) = self.producers.get(producer) else {
            return match sequence {
                0 => Verdict::New,
                _ => Verdict::UnknownProducer,
            };
        };
        let expected = ranges.back().map_or(0, Range::end);
        if sequence == expected {
            return Verdict::New;
        }
        let end = sequence.saturating_add(u64::from(count));
        if sequence > expected || end > expected {
            return Verdict::Gap { expected };
        }
        find(ranges, sequence, end).map_or(Verdict::TooOld, Verdict::Duplicate)
    }

    /// Remembers an append. Forgets the oldest range, and the producer whose last append lies
    /// furthest back, where there are too many.
    pub fn note(&mut self, producer: ProducerId, range: Range) {
        if !self.producers.contains_key(&producer)
            && self.producers.len() >= limits::PRODUCERS_PER_TOPIC
        {
            self.forget_oldest();
        }
        let ranges = self
            .producers
            .entry(producer)
            .or_insert_with(|| VecDeque::with_capacity(1));
        match ranges.back_mut() {
            Some(last) if last.joins(&range) => last.count += range.count,
            _ => {
                if ranges.len() >= limits::RANGES_PER_PRODUCER {
                    ranges.pop_front();
                }
                ranges.push_back(range);
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .producers
            .iter()
            .min_by_key(|(_, ranges)| ranges.back().map(|range| range.offset))
            .map(|(producer, _)| *producer);
        if let Some(producer) = oldest {
            self.producers.remove(&producer);
        }
    }

    /// Everything remembered, for a checkpoint.
    pub fn iter(&self) -> impl Iterator<Item = (&ProducerId, &VecDeque<Range>)> {
        self.producers.iter()
    }

    /// Producers remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }
}

/// The offset of `sequence` if all of `sequence..end` is remembered.
fn find(ranges: &VecDeque<Range>, sequence: u64, end: u64) -> Option<Offset> {
    let at = ranges
        .partition_point(|range| range.sequence <= sequence)
        .checked_sub(1)?;
    let first = ranges[at];
    let mut known = first.end();
    if sequence >= known {
        return None;
    }
    for range in ranges.range(at + 1..) {
        if known >= end || range.sequence != known {
            break;
        }
        known = range.end();
    }
    (known >= end).then(|| first.offset.plus(sequence - first.sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(sequence: u64, offset: u64, count: u64) -> Range {
        Range {
            sequence,
            offset: Offset(offset),
            count,
        }
    }

    const P: ProducerId = ProducerId([1; 16]);

    #[test]
    fn the_first_sequence_of_a_producer_is_zero() {
        let dedupe = Dedupe::default();
        assert_eq!(dedupe.judge(&P, 0, 5), Verdict::New);
        assert_eq!(dedupe.judge(&P, 1, 5), Verdict::UnknownProducer);
    }

    #[test]
    fn duplicates_answer_their_offset_across_ranges() {
        let mut dedupe = Dedupe::default();
        dedupe.note(P, range(0, 10, 3));
        dedupe.note(P, range(3, 13, 2));
        dedupe.note(P, range(5, 100, 5));
        assert_eq!(dedupe.producers[&P].len(), 2, "adjacent ranges are one");
        assert_eq!(dedupe.judge(&P, 0, 3), Verdict::Duplicate(Offset(10)));
        assert_eq!(dedupe.judge(&P, 4, 1), Verdict::Duplicate(Offset(14)));
        assert_eq!(dedupe.judge(&P, 4, 6), Verdict::Duplicate(Offset(14)));
        assert_eq!(dedupe.judge(&P, 6, 2), Verdict::Duplicate(Offset(101)));
        assert_eq!(dedupe.judge(&P, 10, 1), Verdict::New);
        assert_eq!(dedupe.judge(&P, 11, 1), Verdict::Gap { expected: 10 });
        assert_eq!(dedupe.judge(&P, 9, 2), Verdict::Gap { expected: 10 });
    }

    #[test]
    fn memory_is_bounded_and_says_too_old() {
        let mut dedupe = Dedupe::default();
        let ranges = limits::RANGES_PER_PRODUCER as u64;
        for i in 0..=ranges {
            dedupe.note(P, range(i, 10 + 2 * i, 1));
        }
        assert_eq!(dedupe.judge(&P, 0, 1), Verdict::TooOld);
        assert_eq!(dedupe.judge(&P, 1, 1), Verdict::Duplicate(Offset(12)));
        for i in 0..limits::PRODUCERS_PER_TOPIC as u64 {
            let producer = ProducerId((u128::from(i) + 1000).to_le_bytes());
            dedupe.note(producer, range(0, 100_000 + i, 1));
        }
        assert_eq!(dedupe.len(), limits::PRODUCERS_PER_TOPIC);
        assert_eq!(dedupe.judge(&P, 1, 1), Verdict::UnknownProducer);
    }
}
