//! The bounded queue in front of the writer.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

use super::command::{Command, Done, Stopped};

/// A command on its way.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) command: Command,
    pub(super) done: Done,
    cost: u32,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    closed: bool,
    writer_waits: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    /// One permit a byte.
    room: Semaphore,
    bytes: u32,
}

/// What the writer gets.
#[derive(Debug)]
pub(super) enum Taken {
    Items(Vec<Item>),
    /// Nothing came in time.
    Idle,
    /// Closed, and nothing is left.
    Closed,
}

impl Queue {
    pub(super) fn new(bytes: usize) -> Queue {
        let bytes = bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            room: Semaphore::new(bytes),
            bytes: bytes as u32,
        }
    }

    /// Waits for room, then queues.
    pub(super) async fn push(&self, command: Command, done: Done) -> Result<(), Stopped> {
        let cost = self.cost(&command);
        let permit = self.room.acquire_many(cost).await.map_err(|_| Stopped)?;
        permit.forget();
        self.put(Item {
            command,
            done,
            cost,
        })
    }

    /// Queues without heeding the bound: for start-up, where each call waits for its answer.
    pub(super) fn push_now(&self, command: Command, done: Done) -> Result<(), Stopped> {
        self.put(Item {
            command,
            done,
            cost: 0,
        })
    }

    /// A command larger than the whole queue passes when the queue is empty.
    fn cost(&self, command: &Command) -> u32 {
        u32::try_from(command.cost())
            .unwrap_or(u32::MAX)
            .min(self.bytes)
    }

    fn put(&self, item: Item) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Stopped);
        }
        state.items.push_back(item);
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes what is queued, up to about `max_bytes`, waiting for at most `timeout`.
    pub(super) fn take(&self, max_bytes: usize, timeout: Duration) -> Taken {
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.closed {
            state.writer_waits = true;
            self.filled.wait_for(&mut state, timeout);
            state.writer_waits = false;
        }
        if state.items.is_empty() {
            return match state.closed {
                true => Taken::Closed,
                false => Taken::Idle,
            };
        }
        let (mut bytes, mut cost) = (0, 0);
        let mut count = 0;
        for item in &state.items {
            bytes += item.command.cost();
            if count > 0 && bytes > max_bytes {
                break;
            }
            count += 1;
            cost += item.cost as usize;
        }
        let items: Vec<Item> = state.items.drain(..count).collect();
        drop(state);
        self.room.add_permits(cost);
        Taken::Items(items)
    }

    /// Lets nothing more in; what is queued can still be taken.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.filled.notify_one();
    }
}
