//! What was given to the journal for copies and is not synced yet. Pure.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};

use crate::journal::{Outcome, Refusal};
use crate::replication::acks::JournalSeq;
use crate::types::TopicId;

#[derive(Debug)]
struct Entry {
    topic: TopicId,
    /// The machine's number; `None`: a part of the entry that follows.
    number: Option<JournalSeq>,
}

/// What a group of outcomes means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Synced {
    /// The highest number that is durable.
    pub(super) through: Option<JournalSeq>,
    /// Topics of which the journal did not take something.
    pub(super) refused: Vec<(TopicId, Refusal)>,
    /// The journal has stopped: nothing more will be durable.
    pub(super) stopped: bool,
}

/// Entries in the order in which they were submitted, which is that of their outcomes.
#[derive(Debug, Default)]
pub(super) struct Entries {
    waiting: VecDeque<Entry>,
    by_topic: HashMap<TopicId, u32>,
}

impl Entries {
    /// The next entry is submitted.
    pub(super) fn push(&mut self, topic: TopicId, number: Option<JournalSeq>) {
        self.waiting.push_back(Entry { topic, number });
        *self.by_topic.entry(topic).or_default() += 1;
    }

    /// Whether the journal has something of a topic that is not synced yet.
    pub(super) fn has(&self, topic: TopicId) -> bool {
        self.by_topic.contains_key(&topic)
    }

    /// Outcomes of the oldest entries, in order.
    pub(super) fn take(&mut self, outcomes: impl IntoIterator<Item = Outcome>) -> Synced {
        let mut synced = Synced::default();
        let mut seen = HashSet::new();
        for outcome in outcomes {
            let Some(Entry { topic, number }) = self.waiting.pop_front() else {
                break;
            };
            self.done(topic);
            match outcome {
                Outcome::Stopped => synced.stopped = true,
                Outcome::Refused(refusal) => {
                    if seen.insert(topic) {
                        synced.refused.push((topic, refusal));
                    }
                    synced.through = synced.through.max(number);
                }
                _ => synced.through = synced.through.max(number),
            }
        }
        synced
    }

    fn done(&mut self, topic: TopicId) {
        if let Some(count) = self.by_topic.get_mut(&topic) {
            *count -= 1;
            if *count == 0 {
                self.by_topic.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_tell_what_is_durable_and_whose_entries_were_not_taken() {
        let (a, b) = (TopicId([1; 16]), TopicId([2; 16]));
        let mut entries = Entries::default();
        for (topic, number) in [(a, Some(1)), (b, None), (b, Some(2)), (a, Some(3))] {
            entries.push(topic, number);
        }
        assert_eq!(
            entries.take([Outcome::Done, Outcome::Done]),
            Synced {
                through: Some(1),
                ..Synced::default()
            }
        );
        let refusal = Refusal::StorageFull;
        let synced = entries.take([Outcome::Refused(refusal.clone())]);
        assert_eq!(synced.refused, [(b, refusal)]);
        assert!(entries.has(a) && !entries.has(b));
        assert!(entries.take([Outcome::Stopped]).stopped);
        assert!(!entries.has(a));
    }
}
