//! The bounded queue in front of the writer.
//!
//! Waking the writer's thread and being woken by it costs 80 µs on a virtual machine whose cores have gone to
//! sleep, half of what a sync takes. So who submits a command may *defer* it: the writer is not woken, and the
//! submitter commits it on its own thread once it has nothing else to do (`Journal::commit_deferred`). While
//! that goes on the writer *patrols*: it looks now and then for what a busy submitter has left waiting.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::command::{Command, Done, Stopped};
use crate::limits;

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
    /// The writer looks by itself within [`limits::DEFERRED_WAIT`].
    writer_patrols: bool,
    /// Somebody defers commands.
    has_deferred: bool,
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

/// When the writer is to be told of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// At once.
    Now,
    /// By its submitter, who may well commit it itself, unless many wait.
    Later,
}

/// What waits for whoever deferred it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Deferred {
    pub(super) commands: usize,
    /// As [`Command::cost`] has it.
    pub(super) cost: u64,
}

/// What the writer gets.
#[derive(Debug)]
pub(super) enum Taken {
    Items(Vec<Item>),
    /// Nothing is there.
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

    /// Waits for room for all of them, then queues them in their order. More than the whole queue takes pass when
    /// the queue is empty.
    pub(super) async fn push(
        &self,
        commands: impl IntoIterator<Item = (Command, Done)>,
        tell: Tell,
    ) -> Result<(), Stopped> {
        let mut left = self.bytes;
        let item = |(command, done): (Command, Done)| {
            let cost = u32::try_from(command.cost()).unwrap_or(left).min(left);
            left -= cost;
            Item {
                command,
                done,
                cost,
            }
        };
        let items: Vec<Item> = commands.into_iter().map(item).collect();
        let permits = self.room.acquire_many(self.bytes - left).await;
        permits.map_err(|_| Stopped)?.forget();
        self.put(items, tell)
    }

    /// Queues without heeding the bound: for start-up, where each call waits for its answer.
    pub(super) fn push_now(&self, command: Command, done: Done) -> Result<(), Stopped> {
        let item = Item {
            command,
            done,
            cost: 0,
        };
        self.put([item], Tell::Now)
    }

    fn put(&self, items: impl IntoIterator<Item = Item>, tell: Tell) -> Result<(), Stopped> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Stopped);
        }
        let before = state.items.len();
        state.items.extend(items);
        let small = |item: &Item| item.command.cost() <= limits::DEFERRED_BYTES;
        let deferred = tell == Tell::Later && state.items.range(before..).all(small);
        state.has_deferred |= deferred;
        let waits = deferred && state.writer_patrols && state.items.len() <= limits::DEFERRED_ITEMS;
        if !waits {
            self.wake(state);
        }
        Ok(())
    }

    /// What waits for a writer that has not been told of it.
    pub(super) fn deferred(&self) -> Deferred {
        let state = self.state.lock();
        if !state.writer_waits {
            return Deferred::default();
        }
        let costs = state.items.iter().map(|item| item.command.cost() as u64);
        Deferred {
            commands: state.items.len(),
            cost: costs.sum(),
        }
    }

    /// Tells the writer.
    pub(super) fn tell(&self) {
        self.wake(self.state.lock());
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wake = std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// Waits until the writer is told of something, or for this long; where commands are deferred and it
    /// `may_patrol`, for a short time only. Whether there is something.
    pub(super) fn wait(&self, timeout: Duration, may_patrol: bool) -> bool {
        let mut state = self.state.lock();
        if state.items.is_empty() && !state.closed {
            state.writer_patrols = may_patrol && state.has_deferred;
            let timeout = match state.writer_patrols {
                true => limits::DEFERRED_WAIT,
                false => timeout,
            };
            state.writer_waits = true;
            self.filled.wait_for(&mut state, timeout);
            state.writer_waits = false;
        }
        state.closed || !state.items.is_empty()
    }

    /// Takes what is queued, up to about `max_bytes`.
    pub(super) fn take(&self, max_bytes: usize) -> Taken {
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
        state.closed = true;
        self.wake(state);
        self.room.close();
    }
}
