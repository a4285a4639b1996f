//! Topics with too few copies get new ones, after a while and a few at a time. Pure.
//!
//! Costs nothing for topics that have their copies: whoever commits a record says when that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::MonoNs;

pub use crate::limits::{REPAIR_AFTER, REPAIRS_AT_ONCE};

/// The topics that lack copies. `K` names a topic.
#[derive(Debug, Clone)]
pub struct Repairs<K> {
    after: Duration,
    at_once: usize,
    since: BTreeMap<K, MonoNs>,
    waiting: BTreeSet<(MonoNs, K)>,
    running: BTreeSet<K>,
}

impl<K: Copy + Ord> Repairs<K> {
    /// None lacks any yet.
    pub fn new(after: Duration, at_once: usize) -> Self {
        Repairs {
            after,
            at_once,
            since: BTreeMap::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
        }
    }

    /// A topic has too few live replicas, or has enough in sync again, or is gone.
    pub fn note(&mut self, topic: K, lacks: bool, now: MonoNs) {
        if lacks {
            let since = *self.since.entry(topic).or_insert(now);
            if !self.running.contains(&topic) {
                self.waiting.insert((since, topic));
            }
        } else if let Some(since) = self.since.remove(&topic) {
            self.waiting.remove(&(since, topic));
            self.running.remove(&topic);
        }
    }

    /// The topics that are to get other replicas now, see [`super::choose_replicas`]; longest lack first.
    pub fn due(&mut self, now: MonoNs) -> Vec<K> {
        let mut due = Vec::new();
        while self.running.len() < self.at_once {
            let first = self.waiting.first().copied();
            let Some((since, topic)) = first.filter(|(since, _)| now.since(*since) >= self.after)
            else {
                break;
            };
            self.waiting.remove(&(since, topic));
            self.running.insert(topic);
            due.push(topic);
        }
        due
    }

    /// Nobody could be found: it waits its turn again.
    pub fn put_off(&mut self, topic: K, now: MonoNs) {
        if self.running.remove(&topic) {
            self.since.insert(topic, now);
            self.waiting.insert((now, topic));
        }
    }

    /// When [`Repairs::due`] may have something.
    pub fn wake_at(&self) -> Option<MonoNs> {
        let (since, _) = self.waiting.first()?;
        Some(since.plus(self.after))
    }

    /// How many lack copies, and how many of them are being made.
    pub fn counts(&self) -> (usize, usize) {
        (self.since.len(), self.running.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: u64) -> MonoNs {
        MonoNs(s * 1_000_000_000)
    }

    #[test]
    fn repair_waits_is_bounded_and_goes_by_age() {
        let mut repairs = Repairs::new(Duration::from_secs(10), 2);
        for (topic, at) in [(7, 0), (8, 1), (9, 2)] {
            repairs.note(topic, true, s(at));
            repairs.note(topic, true, s(at + 1));
        }
        assert!(repairs.due(s(9)).is_empty());
        assert_eq!(repairs.wake_at(), Some(s(10)));
        assert_eq!(repairs.due(s(20)), [7, 8]);
        assert!(repairs.due(s(20)).is_empty());
        repairs.note(7, false, s(21));
        assert_eq!(repairs.due(s(21)), [9]);
        repairs.put_off(8, s(22));
        assert_eq!(repairs.counts(), (2, 1));
        assert_eq!(repairs.due(s(32)), [8]);
    }
}
