//! What a topic remembers of its producers, so that a message sent twice is stored once. Pure.

use std::cmp::Reverse;
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
        self.sequence.saturating_add(self.count)
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

    /// Remembers an append. Where there are too many, forgets the oldest range, and of the key with
    /// the most producers the one whose last append lies furthest back: who makes ever new producers
    /// pushes out its own. What is forgotten follows from what was noted, in its order, alone, so
    /// that a replay and a replica forget the same.
    pub fn note(&mut self, producer: ProducerId, range: Range) {
        if !self.producers.contains_key(&producer)
            && self.producers.len() >= limits::PRODUCERS_PER_TOPIC
        {
            self.forget_one_for(&producer);
        }
        let ranges = self
            .producers
            .entry(producer)
            .or_insert_with(|| VecDeque::with_capacity(1));
        match ranges.back_mut() {
            Some(last) if last.joins(&range) => {
                last.count = last.count.saturating_add(range.count);
            }
            _ => {
                if ranges.len() >= limits::RANGES_PER_PRODUCER {
                    ranges.pop_front();
                }
                ranges.push_back(range);
            }
        }
    }

    fn forget_one_for(&mut self, newcomer: &ProducerId) {
        let mut held: HashMap<[u8; 8], usize> = HashMap::new();
        for producer in self.producers.keys().chain([newcomer]) {
            *held.entry(producer.key_mark()).or_default() += 1;
        }
        // Offsets of last appends differ, so no order of a map decides.
        let last = self.producers.iter().map(|(producer, ranges)| {
            let offset = ranges.back().map(|range| range.offset);
            (Reverse(held[&producer.key_mark()]), offset, *producer)
        });
        if let Some((.., producer)) = last.min() {
            self.producers.remove(&producer);
        }
    }

    /// Forgets what lies at `to` and beyond: it was cut off. What that had pushed out is not brought back.
    pub fn truncate(&mut self, to: Offset) {
        self.producers.retain(|_, ranges| {
            while ranges.back().is_some_and(|range| range.offset >= to) {
                ranges.pop_back();
            }
            if let Some(last) = ranges.back_mut() {
                last.count = last.count.min(to.0 - last.offset.0);
            }
            !ranges.is_empty()
        });
    }

    /// What was appended below `to`, those of one producer in their order, for a copy that begins there.
    pub fn below(&self, to: Offset) -> Vec<(ProducerId, Range)> {
        let all = self.producers.iter();
        let ranges = all.flat_map(|(id, ranges)| ranges.iter().map(|range| (*id, *range)));
        let mut below: Vec<(ProducerId, Range)> = ranges
            .filter(|(_, range)| range.offset < to)
            .map(|(id, mut range)| {
                range.count = range.count.min(to.0 - range.offset.0);
                (id, range)
            })
            .collect();
        // In the order of the appends, so that whoever takes it in forgets what the host would.
        below.sort_unstable_by_key(|(_, range)| range.offset);
        below
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
    fn what_is_cut_off_is_forgotten_and_a_copy_learns_what_lies_below_it() {
        let mut dedupe = Dedupe::default();
        let other = of_key(2, 0);
        dedupe.note(P, range(0, 10, 3));
        dedupe.note(other, range(0, 13, 4));
        dedupe.note(P, range(3, 17, 2));
        let mut copy = Dedupe::default();
        for (producer, known) in dedupe.below(Offset(15)) {
            copy.note(producer, known);
        }
        dedupe.truncate(Offset(15));
        for known in [&dedupe, &copy] {
            assert_eq!(known.judge(&P, 0, 3), Verdict::Duplicate(Offset(10)));
            assert_eq!(known.judge(&P, 3, 1), Verdict::New);
            assert_eq!(known.judge(&other, 0, 2), Verdict::Duplicate(Offset(13)));
            assert_eq!(known.judge(&other, 2, 2), Verdict::New);
        }
        dedupe.truncate(Offset(13));
        assert_eq!(dedupe.judge(&other, 0, 4), Verdict::New);
        assert_eq!(dedupe.len(), 1);
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
            dedupe.note(of_key(1, i), range(0, 100_000 + i, 1));
        }
        assert_eq!(dedupe.len(), limits::PRODUCERS_PER_TOPIC);
        assert_eq!(dedupe.judge(&P, 1, 1), Verdict::UnknownProducer);
    }

    /// Producer `n` of a key.
    fn of_key(key: u8, n: u64) -> ProducerId {
        let mut id = [key; 16];
        id[8..].copy_from_slice(&n.to_le_bytes());
        ProducerId(id)
    }

    #[test]
    fn who_makes_many_producers_pushes_out_its_own() {
        let mut dedupe = Dedupe::default();
        for n in 0..3 {
            dedupe.note(of_key(1, n), range(0, 1 + n, 1));
        }
        let many = 3 * limits::PRODUCERS_PER_TOPIC as u64;
        for n in 0..many {
            dedupe.note(of_key(2, n), range(0, 10 + n, 1));
        }
        assert_eq!(dedupe.len(), limits::PRODUCERS_PER_TOPIC);
        for n in 0..3 {
            let known = Verdict::Duplicate(Offset(1 + n));
            assert_eq!(dedupe.judge(&of_key(1, n), 0, 1), known);
        }
        let newest = Verdict::Duplicate(Offset(10 + many - 1));
        assert_eq!(dedupe.judge(&of_key(2, many - 1), 0, 1), newest);
        let kept = limits::PRODUCERS_PER_TOPIC as u64 - 3;
        let (gone, oldest) = (of_key(2, many - kept - 1), of_key(2, many - kept));
        assert_eq!(dedupe.judge(&gone, 1, 1), Verdict::UnknownProducer);
        assert_eq!(dedupe.judge(&oldest, 1, 1), Verdict::New);
        // A third key finds room at the expense of the one with the most.
        dedupe.note(of_key(3, 0), range(0, 1_000_000, 1));
        assert_eq!(dedupe.judge(&oldest, 1, 1), Verdict::UnknownProducer);
        assert_eq!(dedupe.judge(&of_key(1, 0), 1, 1), Verdict::New);
    }
}
