//! The queue into a task: many push, one takes all that is there at once.
//!
//! Pushing never waits, for the publisher's task must not wait for a link. The bound lies with who pushes:
//! batches under way are of messages that hold permits of the buffer.

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A queue with one taker.
pub(super) struct Mailbox<T> {
    /// `None` once closed.
    items: Mutex<Option<Vec<T>>>,
    arrived: Notify,
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        Mailbox {
            items: Mutex::new(Some(Vec::new())),
            arrived: Notify::new(),
        }
    }

    /// Adds an item; drops it if the taker is gone.
    pub(super) fn push(&self, item: T) {
        let first = {
            let mut items = self.items.lock();
            let Some(items) = items.as_mut() else { return };
            items.push(item);
            items.len() == 1
        };
        if first {
            self.arrived.notify_one();
        }
    }

    /// Waits until there is something and moves all of it into `taken`, which must be empty.
    /// Cancellation safe: cancelled, nothing was taken.
    pub(super) async fn take(&self, taken: &mut Vec<T>) {
        loop {
            if let Some(items) = self.items.lock().as_mut()
                && !items.is_empty()
            {
                std::mem::swap(items, taken);
                return;
            }
            self.arrived.notified().await;
        }
    }

    /// Drops what is queued and all that will be pushed.
    pub(super) fn close(&self) {
        let dropped = self.items.lock().take();
        // Outside of the lock: items may push when they are dropped.
        drop(dropped);
    }
}
