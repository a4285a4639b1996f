//! What waits to be sent on the stream to one replica. The machines put in, the stream's task takes out.
//!
//! Bounded by what the replica asked for: a slot has at most one watermark and one set of changed
//! positions waiting, and each join at most one answer.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::journal::PositionKey;
use crate::replication::hosting::{Down, SlotNo};
use crate::types::{Offset, TopicId};

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
    /// Another stream of the same replica has taken the place of this one.
    replaced: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct ReplicaStream {
    inner: Mutex<Inner>,
    some: Notify,
}

impl ReplicaStream {
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
                    inner.outbox.frames.push(Down::Ended(slot));
                }
                joined => inner.outbox.frames.push(joined),
            }
        }
        self.some.notify_one();
    }

    /// Batches from `from` on, and all positions, which are revision `revision`.
    pub(super) fn serve(&self, slot: SlotNo, topic: TopicId, from: Offset, revision: u64) {
        {
            let inner = &mut *self.inner.lock();
            inner.served.insert(topic, slot);
            inner.outbox.serve.push(Serve { slot, topic, from });
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

    #[tokio::test]
    async fn what_is_newer_takes_the_place_of_what_was_not_sent() {
        let stream = ReplicaStream::default();
        stream.serve(3, TOPIC, Offset(5), 1);
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
