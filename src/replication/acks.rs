//! Acknowledgements that wait for the journal: given once per group sync, each topic once. Pure.

use std::collections::VecDeque;

use super::host::Ack;
use super::rules::{Rule, Rules};

/// The place of an entry in the order in which entries were given to the journal, counted by whoever
/// gives them. The journal syncs in this order, so that one number says what is durable.
pub type JournalSeq = u64;

/// What replicas have written and not yet acknowledged. Every entry was caused by one frame of a host,
/// so that the hosts' windows bound it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AckQueue<K> {
    waiting: VecDeque<(JournalSeq, K, Ack)>,
}

impl<K> Default for AckQueue<K> {
    fn default() -> Self {
        AckQueue {
            waiting: VecDeque::new(),
        }
    }
}

impl<K: Copy + Ord> AckQueue<K> {
    /// An acknowledgement for what was written up to and with `written`. Whatever must be sent at once
    /// is answered: nothing, while rule 1 is kept and that is not durable.
    pub fn push(
        &mut self,
        rules: Rules,
        written: JournalSeq,
        durable: JournalSeq,
        key: K,
        ack: Ack,
    ) -> Option<Ack> {
        if written <= durable || !rules.keeps(Rule::SyncBeforeAck) {
            return Some(ack);
        }
        self.waiting.push_back((written, key, ack));
        None
    }

    /// The journal is synced through `durable`: what may be sent, the last word of each key.
    pub fn synced(&mut self, durable: JournalSeq) -> Vec<(K, Ack)> {
        let due = self.waiting.partition_point(|(seq, ..)| *seq <= durable);
        let mut acks: Vec<(K, Ack)> = self
            .waiting
            .drain(..due)
            .map(|(_, k, ack)| (k, ack))
            .collect();
        // Stable: the last of equal keys was written last.
        acks.sort_by_key(|(key, _)| *key);
        acks.reverse();
        acks.dedup_by_key(|(key, _)| *key);
        acks.reverse();
        acks
    }

    /// Forgets what is not to be sent any more.
    pub fn retain(&mut self, mut keep: impl FnMut(K) -> bool) {
        self.waiting.retain(|(_, key, _)| keep(*key));
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Offset};

    fn ack(end: u64) -> Ack {
        Ack {
            epoch: Epoch::default(),
            end: Offset(end),
            positions: 0,
        }
    }

    #[test]
    fn one_sync_gives_the_last_word_of_each_topic_that_changed() {
        let mut queue = AckQueue::default();
        for (seq, key, end) in [(1, 7, 2), (2, 8, 5), (3, 7, 3), (4, 7, 4)] {
            assert_eq!(queue.push(Rules::ALL, seq, 0, key, ack(end)), None);
        }
        assert_eq!(queue.synced(3), vec![(7, ack(3)), (8, ack(5))]);
        assert_eq!(queue.synced(3), vec![]);
        assert_eq!(queue.synced(4), vec![(7, ack(4))]);
        assert!(queue.is_empty());
        assert_eq!(queue.push(Rules::ALL, 4, 4, 9, ack(1)), Some(ack(1)));
    }
}
