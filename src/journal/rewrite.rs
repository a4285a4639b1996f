//! Which segment to rewrite next, and how fast: a segment of which little is still needed is written
//! anew with that alone; one in which topics lie scattered is written anew sorted by topic. Pure.
//!
//! Rewriting gives back at least as many bytes as it writes while at most half of a segment is
//! needed. So a journal in which every byte appended allows one byte to be rewritten never falls
//! behind what its topics give up, however fast they are written; what is allowed beside it is for
//! quiet times.

use std::time::Duration;

use hashbrown::HashMap;

use super::index::IndexEntry;
use super::layout::FIRST_ENTRY;
use super::options::Options;
use super::segments::SegmentInfo;
use crate::limits;
use crate::types::{MonoNs, TopicId};

/// Why a segment is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Little of it is still needed.
    Reclaim,
    /// Its topics may lie scattered, so that a read of one is a read of the disk for each batch.
    Sort,
}

/// When a segment is worth rewriting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// At most this many per cent of it are still needed; 0: never.
    live_percent: u64,
    /// At least this much comes back.
    gain_bytes: u64,
    /// Whether segments are sorted.
    sorts: bool,
}

impl Policy {
    pub(super) fn new(options: &Options) -> Policy {
        Policy {
            live_percent: u64::from(options.rewrite_live_percent.min(99)),
            gain_bytes: limits::REWRITE_GAIN_BYTES.min(options.segment_bytes / 16),
            sorts: options.sort_bytes_per_s > 0,
        }
    }

    /// Whether a segment of `end` bytes with `live_bytes` needed is worth it.
    pub(super) fn is_worth(&self, end: u64, live_bytes: u64) -> bool {
        let all = end.saturating_sub(FIRST_ENTRY);
        let gain = all.saturating_sub(live_bytes);
        gain >= self.gain_bytes && live_bytes * 100 <= all * self.live_percent
    }

    /// Whether a segment may be rewritten and is worth it. Where nothing is needed it is recycled
    /// whole instead; where there is damage it is left as it is.
    pub(super) fn takes(&self, info: &SegmentInfo) -> bool {
        info.live > 0 && !info.quarantined && self.is_worth(info.end, info.live_bytes)
    }

    /// The segment that gives back most for what it costs, the oldest of several.
    pub(super) fn pick(
        &self,
        segments: impl Iterator<Item = (u64, SegmentInfo)>,
    ) -> Option<(u64, SegmentInfo)> {
        let taken = segments.filter(|(_, info)| self.takes(info));
        taken.min_by_key(|(sequence, info)| {
            let parts = u128::from(info.live_bytes) * 1_000 / u128::from(info.end.max(1));
            (parts, *sequence)
        })
    }

    /// Whether topics may lie scattered in a segment. Once it has been written anew they do not.
    pub(super) fn may_sort(&self, info: &SegmentInfo) -> bool {
        self.sorts
            && !info.rewritten
            && !info.quarantined
            && info.live >= limits::SORT_TOPICS
            && info.live_bytes >= self.gain_bytes
    }

    /// The oldest segment that may want sorting.
    pub(super) fn pick_to_sort(
        &self,
        mut segments: impl Iterator<Item = (u64, SegmentInfo)>,
    ) -> Option<(u64, SegmentInfo)> {
        segments.find(|(_, info)| self.may_sort(info))
    }
}

/// Whether sorting makes a topic's reads so much longer that it is worth writing it all again. Takes the
/// batches in the order of the file.
pub(super) fn is_scattered(batches: impl Iterator<Item = (TopicId, IndexEntry)>) -> bool {
    let mut ends: HashMap<TopicId, u64> = HashMap::new();
    let (mut bytes, mut reads) = (0, 0);
    for (topic, entry) in batches {
        let end = entry.position() + entry.bytes();
        let before = ends.insert(topic, end);
        let goes_on = |before: u64| entry.position() <= before + limits::SORT_GAP_BYTES;
        if !before.is_some_and(goes_on) {
            reads += 1;
        }
        bytes += entry.bytes();
    }
    let windows = bytes.div_ceil(limits::SORT_WINDOW_BYTES);
    let sorted_reads = ends.len() as u64 * windows;
    bytes < reads * limits::SORT_RUN_BYTES && reads >= sorted_reads * limits::SORT_GAIN
}

/// Keeps rewriting from getting into the way of appends: what was written must be paid for, by time
/// and by appends.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// Bytes that may be written at once; negative: what is owed.
    credit: i128,
    at: MonoNs,
    appended: u64,
}

impl Pace {
    pub(super) fn new(per_second: u64, now: MonoNs) -> Pace {
        Pace {
            per_second: per_second.max(1),
            credit: 0,
            at: now,
            appended: 0,
        }
    }

    /// Notes the time and how many bytes have been appended in all.
    pub(super) fn earn(&mut self, now: MonoNs, appended: u64) {
        let passed = now.since(self.at).as_nanos();
        let earned = passed * u128::from(self.per_second) / 1_000_000_000;
        let earned = earned + u128::from(appended.saturating_sub(self.appended));
        let most = i128::from(limits::REWRITE_BURST_BYTES);
        self.credit = (self.credit + earned as i128).min(most);
        (self.at, self.appended) = (now, appended);
    }

    pub(super) fn spend(&mut self, bytes: u64) {
        self.credit -= i128::from(bytes);
    }

    /// How long to wait before the next byte if nothing is appended meanwhile; `None`: go on.
    pub(super) fn wait(&self) -> Option<Duration> {
        let owed = u64::try_from(-self.credit).ok().filter(|owed| *owed > 0)?;
        let seconds = owed as f64 / self.per_second as f64;
        Some(Duration::from_secs_f64(seconds.min(3600.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        live_percent: 50,
        gain_bytes: 100,
        sorts: true,
    };

    fn info(entries: u64, live_bytes: u64) -> SegmentInfo {
        SegmentInfo {
            generation: 1,
            end: FIRST_ENTRY + entries,
            live: 1,
            live_bytes,
            quarantined: false,
            rewritten: false,
        }
    }

    fn pick(segments: &[SegmentInfo]) -> Option<u64> {
        let numbers: Vec<u64> = (1..).take(segments.len()).collect();
        POLICY
            .pick(numbers.into_iter().zip(segments.iter().copied()))
            .map(|(sequence, _)| sequence)
    }

    #[test]
    fn the_emptiest_goes_first_and_the_oldest_of_equals() {
        let segments = [info(1_000, 501), info(1_000, 500), info(1_000, 20)];
        assert_eq!(pick(&segments), Some(3));
        assert_eq!(pick(&segments[..2]), Some(2));
        assert_eq!(pick(&segments[..1]), None, "more than half is needed");
        assert_eq!(pick(&[info(1_000, 7), info(1_000, 7)]), Some(1));
    }

    #[test]
    fn small_gains_dead_segments_and_damage_are_left_alone() {
        assert_eq!(pick(&[info(150, 51)]), None);
        assert_eq!(pick(&[info(150, 50)]), Some(1));
        let dead = SegmentInfo {
            live: 0,
            ..info(1_000, 0)
        };
        let damaged = SegmentInfo {
            quarantined: true,
            ..info(1_000, 10)
        };
        assert_eq!(pick(&[dead, damaged]), None);
        let never = Policy {
            live_percent: 0,
            ..POLICY
        };
        assert!(!never.is_worth(FIRST_ENTRY + 1_000, 1));
    }

    #[test]
    fn the_oldest_with_many_topics_is_sorted_once() {
        let many = SegmentInfo {
            live: limits::SORT_TOPICS,
            ..info(1_000, 900)
        };
        let sorted = SegmentInfo {
            rewritten: true,
            ..many
        };
        let damaged = SegmentInfo {
            quarantined: true,
            ..many
        };
        let few = info(1_000, 1_000);
        let segments = [few, sorted, damaged, many, many];
        let numbers: Vec<u64> = (1..).take(segments.len()).collect();
        let all = || numbers.iter().copied().zip(segments);
        assert_eq!(POLICY.pick_to_sort(all()).map(|(n, _)| n), Some(4));
        let never = Policy {
            sorts: false,
            ..POLICY
        };
        assert_eq!(never.pick_to_sort(all()), None);
    }

    #[test]
    fn scattered_is_what_sorting_would_gather() {
        // So many batches of `bytes` to `topics` in turns, `run` after one another.
        let laid = |topics: u64, run: u64, bytes: u64, count: u64| {
            let topic = move |at: u64| TopicId(u128::from(at / run % topics).to_le_bytes());
            let place = move |at: u64| super::super::index::Place {
                segment: 1,
                position: FIRST_ENTRY + at * bytes,
                bytes,
            };
            let entry = move |at: u64| IndexEntry::new(crate::types::Offset(at), place(at));
            (0..count).map(move |at| (topic(at), entry(at)))
        };
        assert!(is_scattered(laid(1_000, 1, 1_024, 100_000)));
        assert!(is_scattered(laid(20, 1, 4_096, 10_000)));
        assert!(!is_scattered(laid(1, 1, 1_024, 10_000)), "one topic");
        assert!(!is_scattered(laid(20, 1, 64 << 10, 1_000)), "large batches");
        assert!(!is_scattered(laid(20, 100, 1_024, 10_000)), "runs");
        assert!(
            !is_scattered(laid(5_000, 1, 1_024, 10_000)),
            "little to gather"
        );
        assert!(!is_scattered(laid(3, 1, 1_024, 10_000)), "near enough");
        assert!(!is_scattered(laid(3, 1, 1_024, 0)));
    }

    #[test]
    fn time_and_appends_pay() {
        let mut pace = Pace::new(1_000, MonoNs(0));
        assert_eq!(pace.wait(), None);
        pace.spend(3_000);
        assert_eq!(pace.wait(), Some(Duration::from_secs(3)));
        pace.earn(MonoNs(1_000_000_000), 0);
        assert_eq!(pace.wait(), Some(Duration::from_secs(2)));
        pace.earn(MonoNs(1_000_000_000), 1_500);
        assert_eq!(pace.wait(), Some(Duration::from_millis(500)));
        pace.earn(MonoNs(1_000_000_000), 2_000);
        assert_eq!(pace.wait(), None);
        // Quiet times are saved up for a moment only.
        pace.earn(MonoNs(u64::MAX / 2), u64::MAX / 2);
        pace.spend(limits::REWRITE_BURST_BYTES + 1_000);
        assert_eq!(pace.wait(), Some(Duration::from_secs(1)));
    }
}
