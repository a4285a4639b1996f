//! What waits to be sent on the stream to one replica, and what it has acknowledged. The machines put in,
//! the stream's task takes out.
//!
//! Bounded by what this peer hosts for the replica: a slot has at most one watermark and one set of changed
//! positions waiting. Answers wait up to [`limits::REPLICA_ANSWERS_WAITING`]; then the stream is not
//! read from before they are sent. What is said on a slot that was not joined, or has ended, is not noted.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::PositionKey;
use crate::limits;
use crate::replication::hosting::{Down, SlotNo, Up};
use crate::types::{Epoch, Offset, TopicId};

/// Positions of a topic that a replica has not been sent, and the revision that it has with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsent {
    pub(super) revision: u64,
    /// `None`: all of them.
    pub(super) keys: Option<HashSet<PositionKey>>,
}

/// A slot to be served with batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serve {
    pub(super) slot: SlotNo,
    pub(super) topic: TopicId,
    /// The epoch of the answer to its join.
    pub(super) epoch: Epoch,
    pub(super) from: Offset,
}

/// What is to be sent, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outbox {
    /// Answers to joins, and ends of slots.
    pub(super) frames: Vec<Down>,
    pub(super) serve: Vec<Serve>,
    pub(super) watermarks: HashMap<SlotNo, (Offset, Offset)>,
    pub(super) positions: HashMap<SlotNo, (TopicId, Unsent)>,
}

#[derive(Debug, Default)]
struct Inner {
    outbox: Outbox,
    served: HashMap<TopicId, SlotNo>,
    /// What each slot has acknowledged last: ends and revisions come in frames of their own.
    acked: HashMap<SlotNo, (Option<Offset>, u64)>,
    /// Another stream of the same replica has taken the place of this one.
    replaced: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ReplicaStream {
    inner: Mutex<Inner>,
    some: Notify,
    taken: Notify,
}

impl ReplicaStream {
    /// The slot is about to be joined.
    pub(super) fn joined(&self, slot: SlotNo) {
        self.inner.lock().acked.entry(slot).or_default();
    }

    /// Ends that are durable at the replica, with the revisions that are.
    pub(super) fn ends(&self, ends: Vec<(SlotNo, Offset)>) -> Up {
        let acked = &mut self.inner.lock().acked;
        let with_revision = |(slot, end)| {
            let known = acked.get_mut(&slot)?;
            known.0 = Some(end);
            Some((slot, end, known.1))
        };
        Up::Acks(ends.into_iter().filter_map(with_revision).collect())
    }

    /// A revision before the first end waits for it.
    pub(super) fn revisions(&self, revisions: Vec<(SlotNo, u64)>) -> Up {
        let acked = &mut self.inner.lock().acked;
        let with_end = |(slot, revision)| {
            let known = acked.get_mut(&slot)?;
            known.1 = revision;
            Some((slot, known.0?, revision))
        };
        Up::Acks(revisions.into_iter().filter_map(with_end).collect())
    }

    /// Waits until there is room for more answers. Cancellation safe.
    pub(super) async fn has_room(&self) {
        while self.inner.lock().outbox.frames.len() >= limits::REPLICA_ANSWERS_WAITING {
            self.taken.notified().await;
        }
    }

    pub(super) fn send(&self, frame: Down) {
        {
            let inner = &mut *self.inner.lock();
            match frame {
                Down::Watermarks(moved) => {
                    let moved = moved
                        .into_iter()
                        .map(|(slot, end, start)| (slot, (end, start)));
                    inner.outbox.watermarks.extend(moved);
                }
                Down::Ended(slot) => {
                    inner.outbox.serve.retain(|serve| serve.slot != slot);
                    inner.outbox.watermarks.remove(&slot);
                    inner.outbox.positions.remove(&slot);
                    inner.acked.remove(&slot);
                    inner.outbox.frames.push(Down::Ended(slot));
                }
                joined => inner.outbox.frames.push(joined),
            }
        }
        self.some.notify_one();
    }

    /// Batches from where it stands on, and all positions, which are revision `revision`.
    pub(super) fn serve(&self, serve: Serve, revision: u64) {
        let Serve { slot, topic, .. } = serve;
        {
            let inner = &mut *self.inner.lock();
            inner.served.insert(topic, slot);
            inner.outbox.serve.push(serve);
            let all = Unsent {
                revision,
                keys: None,
            };
            inner.outbox.positions.insert(slot, (topic, all));
        }
        self.some.notify_one();
    }

    /// A position has changed; `revision` includes it.
    pub(super) fn position(&self, topic: TopicId, key: &PositionKey, revision: u64) {
        {
            let inner = &mut *self.inner.lock();
            let Some(&slot) = inner.served.get(&topic) else {
                return;
            };
            let none = || Unsent {
                revision,
                keys: Some(HashSet::new()),
            };
            let (_, unsent) = inner
                .outbox
                .positions
                .entry(slot)
                .or_insert_with(|| (topic, none()));
            unsent.revision = unsent.revision.max(revision);
            if let Some(keys) = &mut unsent.keys {
                keys.insert(key.clone());
            }
        }
        self.some.notify_one();
    }

    /// The topic's slot is over, if it is this one.
    pub(super) fn forget(&self, topic: TopicId, slot: SlotNo) {
        let mut inner = self.inner.lock();
        if inner.served.get(&topic) == Some(&slot) {
            inner.served.remove(&topic);
        }
    }

    pub(super) fn replace(&self) {
        self.inner.lock().replaced = true;
        self.some.notify_one();
    }

    /// Waits until there is something and takes all of it; `None`: this stream is to end. Cancellation
    /// safe.
    pub(super) async fn wait(&self) -> Option<Outbox> {
        loop {
            {
                let mut inner = self.inner.lock();
                if inner.replaced {
                    return None;
                }
                if inner.outbox != Outbox::default() {
                    self.taken.notify_one();
                    return Some(std::mem::take(&mut inner.outbox));
                }
            }
            self.some.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Fingerprint, Group};

    const TOPIC: TopicId = TopicId([1; 16]);

    #[test]
    fn ends_and_revisions_come_together_again_on_slots_that_are_joined() {
        let stream = ReplicaStream::default();
        assert_eq!(stream.revisions(vec![(1, 3)]), Up::Acks(vec![]));
        (1..=2).for_each(|slot| stream.joined(slot));
        assert_eq!(stream.revisions(vec![(1, 4)]), Up::Acks(vec![]));
        let first = stream.ends(vec![(1, Offset(9)), (2, Offset(1)), (7, Offset(1))]);
        let expected = vec![(1, Offset(9), 4), (2, Offset(1), 0)];
        assert_eq!(first, Up::Acks(expected));
        let later = stream.revisions(vec![(2, 1)]);
        assert_eq!(later, Up::Acks(vec![(2, Offset(1), 1)]));
        stream.send(Down::Ended(2));
        assert_eq!(stream.ends(vec![(2, Offset(2))]), Up::Acks(vec![]));
        assert_eq!(stream.inner.lock().acked.len(), 1);
    }

    #[tokio::test]
    async fn a_replica_that_does_not_read_is_not_heard() {
        let stream = ReplicaStream::default();
        stream.has_room().await;
        for slot in 0..limits::REPLICA_ANSWERS_WAITING {
            stream.send(Down::Ended(slot as SlotNo));
        }
        tokio::select! {
            biased;
            () = stream.has_room() => panic!("{} answers wait", limits::REPLICA_ANSWERS_WAITING),
            () = std::future::ready(()) => {}
        }
        let (_, sent) = tokio::join!(stream.has_room(), stream.wait());
        assert_eq!(sent.unwrap().frames.len(), limits::REPLICA_ANSWERS_WAITING);
    }

    #[tokio::test]
    async fn what_is_newer_takes_the_place_of_what_was_not_sent() {
        let stream = ReplicaStream::default();
        let serve = Serve {
            slot: 3,
            topic: TOPIC,
            epoch: Epoch::default(),
            from: Offset(5),
        };
        stream.serve(serve, 1);
        let key = PositionKey {
            subscriber: Fingerprint([1; 32]),
            group: Group::default(),
        };
        stream.position(TOPIC, &key, 2);
        for end in [6, 7] {
            stream.send(Down::Watermarks(vec![(3, Offset(end), Offset(1))]));
        }
        let outbox = stream.wait().await.unwrap();
        assert_eq!(outbox.watermarks[&3], (Offset(7), Offset(1)));
        let all = Unsent {
            revision: 2,
            keys: None,
        };
        assert_eq!(outbox.positions[&3], (TOPIC, all));
        stream.position(TOPIC, &key, 3);
        let outbox = stream.wait().await.unwrap();
        let keys = outbox.positions[&3].1.keys.as_ref().unwrap();
        assert_eq!(keys.len(), 1);
        stream.send(Down::Watermarks(vec![(3, Offset(8), Offset(1))]));
        stream.send(Down::Ended(3));
        let outbox = stream.wait().await.unwrap();
        assert_eq!(outbox.frames, vec![Down::Ended(3)]);
        assert!(outbox.watermarks.is_empty());
        stream.replace();
        assert_eq!(stream.wait().await, None);
    }
}
