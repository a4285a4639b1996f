//! What the index holds for topics without a live host: queues of metadata; the batches lie in the store.

use std::collections::VecDeque;

use super::Directory;
use crate::index::record::HeldRecord;
use crate::limits;
use crate::replication::held::{Held, HeldQueue, Incoming, Quotas, Refusal};
use crate::types::{Epoch, TopicId, UnixMicros};
use crate::wire::index::copies::HeldInfo;

/// What is held of one topic.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldTopic {
    queue: HeldQueue,
    /// When each batch came, and its bytes, in the order of the queue.
    came: VecDeque<(UnixMicros, u64)>,
}

impl Directory {
    pub(super) fn put_held(&mut self, record: &HeldRecord) {
        let topic = self.held.entry(record.topic).or_default();
        topic.queue.restore(record.held, record.batch);
        topic.came.push_back((record.since, record.batch.bytes));
        self.held_bytes += record.batch.bytes;
    }

    pub(super) fn delete_held(&mut self, id: TopicId, held: u64) {
        let Some(topic) = self.held.get_mut(&id) else {
            panic!("batch {held} of topic {id} to delete is not held");
        };
        assert_eq!(
            topic.queue.sequences().next(),
            Some(held),
            "the oldest goes first"
        );
        topic.queue.remove(held);
        let (_, bytes) = topic.came.pop_front().unwrap_or_default();
        self.held_bytes -= bytes;
        if topic.queue.is_empty() {
            self.held.remove(&id);
        }
    }

    /// Judges a batch that comes to be held.
    pub(crate) fn judge_held(&self, topic: TopicId, batch: Incoming) -> Result<Held, Refusal> {
        let quotas = Quotas::default();
        match self.held.get(&topic) {
            Some(held) => held.queue.judge(&quotas, self.held_bytes, batch),
            None => HeldQueue::new().judge(&quotas, self.held_bytes, batch),
        }
    }

    /// What is held of a topic; `None`: nothing.
    pub fn held_info(&self, topic: TopicId) -> Option<HeldInfo> {
        let held = self.held.get(&topic)?;
        let (messages, bytes) = held.queue.size();
        let &(since, _) = held.came.front()?;
        Some(HeldInfo {
            messages,
            bytes,
            since,
        })
    }

    /// Messages held in all.
    pub fn held_count(&self) -> u64 {
        let topics = self.held.values();
        topics.map(|topic| topic.queue.size().0).sum()
    }

    /// Topics of which something is held.
    pub fn held_topics(&self) -> usize {
        self.held.len()
    }

    /// The held sequences of a topic, ascending.
    pub(crate) fn held_sequences(&self, topic: TopicId) -> Vec<u64> {
        let held = self.held.get(&topic);
        held.map_or(vec![], |held| held.queue.sequences().collect())
    }

    /// What the host of this epoch has committed with all up to and with `through`.
    pub(crate) fn settles(&self, topic: TopicId, epoch: Epoch, through: u64) -> Vec<u64> {
        let held = self.held.get(&topic);
        held.map_or(vec![], |held| held.queue.settles(epoch, through))
    }

    /// Hands the host of this epoch a page of what is not settled, by held sequences, from the first.
    /// Volatile: a host asks again after the index's restart.
    pub fn drain_page(&mut self, topic: TopicId, epoch: Epoch) -> Vec<u64> {
        let Some(held) = self.held.get_mut(&topic) else {
            return vec![];
        };
        held.queue.drain(epoch);
        let mut page = Vec::new();
        let mut bytes = 0;
        let mut sizes = held.came.iter().map(|&(_, bytes)| bytes);
        while bytes < limits::DRAIN_PAGE_BYTES && page.len() < limits::DRAIN_PAGE_BATCHES {
            let Some(next) = held.queue.next_for(epoch) else {
                break;
            };
            bytes += sizes.next().unwrap_or(0);
            page.push(next);
        }
        page
    }
}
