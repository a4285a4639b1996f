//! What waits to be sent on the stream to one host. The engine puts in, the link takes out.
//!
//! Bounded by what this peer keeps of that host: of each slot one acknowledgement, one join and one
//! leave.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::replication::hosting::{SlotNo, Up};
use crate::types::Offset;

#[derive(Debug, Default)]
struct Waiting {
    /// Joins and leaves, in order.
    frames: Vec<Up>,
    /// The last word on each slot.
    acks: BTreeMap<SlotNo, (Offset, u64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    some: Notify,
}

impl Outbox {
    pub(super) fn push(&self, frame: Up) {
        {
            let waiting = &mut *self.waiting.lock();
            match frame {
                Up::Acks(acks) => {
                    let acks = acks
                        .into_iter()
                        .map(|(slot, end, positions)| (slot, (end, positions)));
                    waiting.acks.extend(acks);
                }
                Up::Leave(slot, known) => {
                    waiting.acks.remove(&slot);
                    waiting.frames.push(Up::Leave(slot, known));
                }
                join => waiting.frames.push(join),
            }
        }
        self.some.notify_one();
    }

    /// Waits until there is something and takes all of it. Cancellation safe.
    pub(super) async fn wait(&self) -> Vec<Up> {
        loop {
            let taken = std::mem::take(&mut *self.waiting.lock());
            let mut frames = taken.frames;
            if !taken.acks.is_empty() {
                let acks = taken.acks.into_iter();
                let acks = acks.map(|(slot, (end, positions))| (slot, end, positions));
                frames.push(Up::Acks(acks.collect()));
            }
            if !frames.is_empty() {
                return frames;
            }
            self.some.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    #[tokio::test]
    async fn a_slot_has_one_acknowledgement_waiting_and_none_when_it_is_left() {
        let outbox = Outbox::default();
        outbox.push(Up::Acks(vec![(1, Offset(2), 0), (2, Offset(5), 1)]));
        outbox.push(Up::Acks(vec![(1, Offset(3), 0)]));
        outbox.push(Up::Leave(2, Epoch::default()));
        let expected = vec![
            Up::Leave(2, Epoch::default()),
            Up::Acks(vec![(1, Offset(3), 0)]),
        ];
        assert_eq!(outbox.wait().await, expected);
    }
}
