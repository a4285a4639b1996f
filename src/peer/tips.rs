//! Who waits at the tip of which topic.
//!
//! The journal's writer calls [`Tips::moved`] after each group; streams that follow those topics
//! wake once per group, however many of their topics moved. Nothing is queued per message: a
//! watcher remembers only *which* of its slots moved, so a stream that does not read costs a flag.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::TopicId;

/// The slots of one waiting stream that moved since it last looked.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    moved: Mutex<Moved>,
    wake: Notify,
}

/// Slots that moved, in order, each once. Marking costs the same however many there are: a stream
/// of very many slots that does not read must not hold up the journal's writer.
#[derive(Debug, Default)]
struct Moved {
    order: Vec<u32>,
    known: HashSet<u32>,
}

impl Watcher {
    /// Waits until at least one slot moved and takes them all; a slot stands once. Cancellation
    /// safe: what is not taken stays.
    pub(super) async fn wait(&self) -> Vec<u32> {
        loop {
            let moved = std::mem::take(&mut *self.moved.lock());
            if !moved.order.is_empty() {
                return moved.order;
            }
            self.wake.notified().await;
        }
    }

    fn mark(&self, slot: u32) {
        let mut moved = self.moved.lock();
        if moved.known.insert(slot) {
            moved.order.push(slot);
        }
        drop(moved);
        self.wake.notify_one();
    }
}

struct Watch {
    watcher: Arc<Watcher>,
    slot: u32,
}

/// The registry of watchers by topic.
#[derive(Default)]
pub(super) struct Tips {
    topics: Mutex<HashMap<TopicId, Vec<Watch>>>,
}

impl Tips {
    /// Adds a watch; the slot is marked whenever the topic moves.
    pub(super) fn watch(&self, topic: TopicId, watcher: &Arc<Watcher>, slot: u32) {
        self.topics.lock().entry(topic).or_default().push(Watch {
            watcher: Arc::clone(watcher),
            slot,
        });
    }

    /// Takes a watch away again.
    pub(super) fn unwatch(&self, topic: TopicId, watcher: &Arc<Watcher>, slot: u32) {
        let mut topics = self.topics.lock();
        let Some(watches) = topics.get_mut(&topic) else {
            return;
        };
        watches.retain(|watch| !(watch.slot == slot && Arc::ptr_eq(&watch.watcher, watcher)));
        if watches.is_empty() {
            topics.remove(&topic);
        }
    }

    /// These topics have a new end, or are gone. Answers whether anybody watches one of them.
    pub(super) fn moved(&self, topics: &[TopicId]) -> bool {
        let registry = self.topics.lock();
        if registry.is_empty() {
            return false;
        }
        let mut any = false;
        for watches in topics.iter().filter_map(|topic| registry.get(topic)) {
            for watch in watches {
                watch.watcher.mark(watch.slot);
                any = true;
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watcher_sees_each_moved_slot_once() {
        let tips = Tips::default();
        let watcher = Arc::new(Watcher::default());
        let (a, b) = (TopicId([1; 16]), TopicId([2; 16]));
        tips.watch(a, &watcher, 1);
        tips.watch(b, &watcher, 2);
        tips.moved(&[a, b]);
        tips.moved(&[a]);
        assert_eq!(watcher.wait().await, vec![1, 2]);
        tips.moved(&[a]);
        assert_eq!(watcher.wait().await, vec![1], "a taken slot moves again");
        tips.unwatch(a, &watcher, 1);
        tips.moved(&[a, b]);
        assert_eq!(watcher.wait().await, vec![2]);
        tips.unwatch(b, &watcher, 2);
        assert!(tips.topics.lock().is_empty());
    }

    #[tokio::test]
    async fn a_stream_of_very_many_slots_that_does_not_read_costs_the_writer_little() {
        let watcher = Watcher::default();
        // Searched one after the other, this would take minutes.
        for slot in (0..1 << 20).chain(0..1 << 20) {
            watcher.mark(slot);
        }
        assert_eq!(watcher.wait().await.len(), 1 << 20);
    }
}
