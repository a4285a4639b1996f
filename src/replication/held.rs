//! Messages that the index keeps for a topic while no host is live. Pure.
//!
//! The batches lie in the index's store under (topic, held sequence); this says which are taken, under
//! which sequence, which are handed out and which may go. They keep their producer's id and sequence,
//! so that the host's dedupe drops what the host had and what a broken drain brings twice; the held
//! sequence keeps the order. While the phase is Held, a host takes drained batches only.
//!
//! Guarantees: a producer's message is held once; drained in the order of holding; it leaves the queue
//! only when the host of the present epoch has committed it (I10: then it is in exactly one of queue
//! and log).

use std::collections::{BTreeMap, VecDeque};

use crate::limits;
use crate::types::{Epoch, ProducerId};

/// Bounds of what is held. Small on purpose: this carries a topic over a failover, it is no broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Bytes of one batch.
    pub batch_bytes: u64,
    /// Messages of one topic.
    pub topic_messages: u64,
    /// Bytes of one topic.
    pub topic_bytes: u64,
    /// Messages of one publisher in one topic, so that one cannot take all.
    pub publisher_messages: u64,
    /// Bytes of all topics.
    pub total_bytes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas {
            batch_bytes: limits::HELD_BATCH_BYTES,
            topic_messages: limits::HELD_MESSAGES_PER_TOPIC,
            topic_bytes: limits::HELD_BYTES_PER_TOPIC,
            publisher_messages: limits::HELD_MESSAGES_PER_PUBLISHER,
            total_bytes: limits::HELD_BYTES,
        }
    }
}

/// Why a batch is not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The batch alone is too large.
    #[error("a batch of at most {max} bytes is held while no host is live")]
    BatchTooLarge {
        /// [`Quotas::batch_bytes`].
        max: u64,
    },
    /// A quota is used up.
    #[error("no more is held for now")]
    Full,
    /// The producer left out sequences.
    #[error("sequence {found} was sent where {expected} comes next")]
    Gap {
        /// What comes next.
        expected: u64,
        /// What was sent.
        found: u64,
    },
}

/// A batch that comes to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incoming {
    /// Who made it.
    pub producer: ProducerId,
    /// Of its first message.
    pub sequence: u64,
    /// Messages.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Store it durably under this sequence, then answer "held".
    Store(u64),
    /// It is held already, under this sequence: answer "held".
    Already(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    held: u64,
    batch: Incoming,
}

/// The queue of one topic.
#[derive(Debug, Clone, Default)]
pub struct HeldQueue {
    next: u64,
    entries: VecDeque<Entry>,
    messages: u64,
    bytes: u64,
    /// Next sequence and messages in the queue, per producer.
    producers: BTreeMap<ProducerId, (u64, u64)>,
    /// The host that drains, and the next sequence that it gets.
    draining: Option<(Epoch, u64)>,
}

impl HeldQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges a batch; `total_bytes` is what all topics hold. Nothing changes when it is refused.
    pub fn hold(
        &mut self,
        quotas: &Quotas,
        total_bytes: u64,
        batch: Incoming,
    ) -> Result<Held, Refusal> {
        let held = self.judge(quotas, total_bytes, batch)?;
        if let Held::Store(_) = held {
            self.push(batch);
        }
        Ok(held)
    }

    /// As [`HeldQueue::hold`], but the queue stays as it is: [`HeldQueue::restore`] follows once the
    /// batch is durable.
    pub fn judge(
        &self,
        quotas: &Quotas,
        total_bytes: u64,
        batch: Incoming,
    ) -> Result<Held, Refusal> {
        let known = self.producers.get(&batch.producer).copied();
        if let Some(at) = self.find(&batch) {
            return Ok(Held::Already(at));
        }
        if let Some((expected, _)) = known.filter(|(next, _)| *next != batch.sequence) {
            return Err(Refusal::Gap {
                expected,
                found: batch.sequence,
            });
        }
        let queued = known.map_or(0, |(_, queued)| queued);
        self.check_quotas(quotas, total_bytes, &batch, queued)?;
        Ok(Held::Store(self.next))
    }

    fn check_quotas(
        &self,
        quotas: &Quotas,
        total_bytes: u64,
        batch: &Incoming,
        queued: u64,
    ) -> Result<(), Refusal> {
        if batch.bytes > quotas.batch_bytes {
            let max = quotas.batch_bytes;
            return Err(Refusal::BatchTooLarge { max });
        }
        let fits = self.messages + batch.count <= quotas.topic_messages
            && self.bytes + batch.bytes <= quotas.topic_bytes
            && queued + batch.count <= quotas.publisher_messages
            && total_bytes + batch.bytes <= quotas.total_bytes;
        if fits { Ok(()) } else { Err(Refusal::Full) }
    }

    fn find(&self, batch: &Incoming) -> Option<u64> {
        let same = |entry: &&Entry| {
            entry.batch.producer == batch.producer && entry.batch.sequence == batch.sequence
        };
        self.entries.iter().find(same).map(|entry| entry.held)
    }

    fn push(&mut self, batch: Incoming) {
        let held = self.next;
        self.next += 1;
        self.entries.push_back(Entry { held, batch });
        self.messages += batch.count;
        self.bytes += batch.bytes;
        let producer = self.producers.entry(batch.producer).or_default();
        *producer = (batch.sequence + batch.count, producer.1 + batch.count);
    }

    /// Puts a batch back that the store has kept over a restart; in the order of held sequences.
    pub fn restore(&mut self, held: u64, batch: Incoming) {
        assert!(held >= self.next, "held sequences rise");
        self.next = held;
        self.push(batch);
    }

    /// The host of this epoch begins to drain, or begins again: from the first that is not settled.
    pub fn drain(&mut self, epoch: Epoch) {
        if self.draining.is_none_or(|(known, _)| known <= epoch) {
            let first = self.entries.front().map_or(self.next, |entry| entry.held);
            self.draining = Some((epoch, first));
        }
    }

    /// The next batch for the host of this epoch, by its held sequence.
    pub fn next_for(&mut self, epoch: Epoch) -> Option<u64> {
        let (_, next) = self
            .draining
            .as_mut()
            .filter(|(known, _)| *known == epoch)?;
        let at = self.entries.partition_point(|entry| entry.held < *next);
        let held = self.entries.get(at)?.held;
        *next = held + 1;
        Some(held)
    }

    /// The host of this epoch has committed everything up to and with `held`: these may go from the
    /// store, and with [`HeldQueue::remove`] from here. A host that is not the present one settles
    /// nothing.
    pub fn settles(&self, epoch: Epoch, held: u64) -> Vec<u64> {
        // Only what was handed out can have been committed.
        let given = |(known, next): &(Epoch, u64)| *known == epoch && *next > 0;
        let Some((_, next)) = self.draining.filter(given) else {
            return vec![];
        };
        let through = held.min(next - 1);
        let entries = self.entries.iter().map(|entry| entry.held);
        entries.take_while(|held| *held <= through).collect()
    }

    /// As [`HeldQueue::settles`], and they go at once.
    pub fn settled(&mut self, epoch: Epoch, held: u64) -> Vec<u64> {
        let gone = self.settles(epoch, held);
        gone.iter().for_each(|&held| self.remove(held));
        gone
    }

    /// What is gone from the store goes from the front of the queue.
    pub fn remove(&mut self, held: u64) {
        if self.entries.front().is_some_and(|entry| entry.held == held)
            && let Some(entry) = self.entries.pop_front()
        {
            self.forget(&entry.batch);
        }
    }

    /// The held sequences in the queue, ascending.
    pub fn sequences(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().map(|entry| entry.held)
    }

    fn forget(&mut self, batch: &Incoming) {
        self.messages -= batch.count;
        self.bytes -= batch.bytes;
        if let Some(producer) = self.producers.get_mut(&batch.producer) {
            producer.1 -= batch.count;
            // The host knows the sequences from here on.
            if producer.1 == 0 {
                self.producers.remove(&batch.producer);
            }
        }
    }

    /// Messages and bytes held.
    pub fn size(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }

    /// Whether the topic may open: everything is settled.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: ProducerId = ProducerId([1; 16]);
    const Q: ProducerId = ProducerId([2; 16]);

    fn batch(producer: ProducerId, sequence: u64) -> Incoming {
        Incoming {
            producer,
            sequence,
            count: 2,
            bytes: 100,
        }
    }

    fn epoch(grant: u32) -> Epoch {
        Epoch {
            grant,
            incarnation: 1,
        }
    }

    fn hold(queue: &mut HeldQueue, batch: Incoming) -> Result<Held, Refusal> {
        queue.hold(&Quotas::default(), 0, batch)
    }

    fn queue() -> HeldQueue {
        let mut queue = HeldQueue::new();
        for (at, batch) in [batch(P, 0), batch(Q, 6), batch(P, 2)]
            .into_iter()
            .enumerate()
        {
            assert_eq!(hold(&mut queue, batch), Ok(Held::Store(at as u64)));
        }
        queue
    }

    #[test]
    fn a_batch_is_held_once_and_in_its_producers_order() {
        let mut queue = queue();
        assert_eq!(hold(&mut queue, batch(P, 2)), Ok(Held::Already(2)));
        let gap = Refusal::Gap {
            expected: 4,
            found: 6,
        };
        assert_eq!(hold(&mut queue, batch(P, 6)), Err(gap));
        assert_eq!(queue.size(), (6, 300));
    }

    #[test]
    fn a_drain_that_breaks_begins_again_and_settles_once() {
        let mut queue = queue();
        assert_eq!(queue.next_for(epoch(2)), None, "nobody drains yet");
        queue.drain(epoch(2));
        assert_eq!(queue.next_for(epoch(2)), Some(0));
        assert_eq!(queue.next_for(epoch(2)), Some(1));
        assert_eq!(queue.settled(epoch(2), 9), [0, 1], "no more than was given");
        queue.drain(epoch(3));
        assert_eq!(queue.next_for(epoch(2)), None);
        assert!(queue.settled(epoch(2), 2).is_empty(), "deposed");
        queue.drain(epoch(2));
        assert_eq!(queue.next_for(epoch(3)), Some(2));
        assert_eq!(
            hold(&mut queue, batch(Q, 8)),
            Ok(Held::Store(3)),
            "Q is settled"
        );
        assert_eq!(queue.next_for(epoch(3)), Some(3));
        assert_eq!(queue.settled(epoch(3), 3), [2, 3]);
        assert!(queue.is_empty());
        assert_eq!(queue.size(), (0, 0));
    }

    #[test]
    fn quotas_bound_each_batch_publisher_topic_and_all() {
        let quotas = Quotas {
            batch_bytes: 100,
            topic_messages: 6,
            topic_bytes: 1_000,
            publisher_messages: 4,
            total_bytes: 1_000,
        };
        let mut queue = HeldQueue::new();
        let large = Incoming {
            bytes: 101,
            ..batch(P, 0)
        };
        let refused = queue.hold(&quotas, 0, large);
        assert_eq!(refused, Err(Refusal::BatchTooLarge { max: 100 }));
        assert_eq!(queue.hold(&quotas, 901, batch(P, 0)), Err(Refusal::Full));
        for sequence in [0, 2] {
            queue.hold(&quotas, 0, batch(P, sequence)).unwrap();
        }
        assert_eq!(queue.hold(&quotas, 0, batch(P, 4)), Err(Refusal::Full));
        queue.hold(&quotas, 0, batch(Q, 0)).unwrap();
        assert_eq!(queue.hold(&quotas, 0, batch(Q, 2)), Err(Refusal::Full));
    }

    #[test]
    fn a_restarted_index_goes_on_where_it_was() {
        let mut queue = HeldQueue::new();
        queue.restore(4, batch(P, 8));
        queue.restore(7, batch(Q, 0));
        queue.drain(epoch(1));
        assert_eq!(queue.next_for(epoch(1)), Some(4));
        assert_eq!(hold(&mut queue, batch(P, 10)), Ok(Held::Store(8)));
        assert_eq!(queue.next_for(epoch(1)), Some(7));
        assert_eq!(queue.next_for(epoch(1)), Some(8));
        assert_eq!(queue.next_for(epoch(1)), None);
    }
}
