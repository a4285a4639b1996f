//! What the clones of a publisher share: the way to its core and its task.

use std::sync::Arc;

use tokio::sync::{TryAcquireError, oneshot, watch};
use tokio::task::coop;

use super::Waiting;
use super::account::Flushed;
use super::core::Event;
use super::shared::Shared;
use super::shell::Input;
use super::waiters::Waiter;
use crate::client::ClientError;
use crate::types::TopicName;
use crate::wire::batch::Record;

/// What the clones of a publisher share.
pub(super) struct Handle {
    shared: Arc<Shared>,
    buffer_bytes: usize,
    waiting: watch::Receiver<Option<Waiting>>,
}

impl Handle {
    pub(super) fn new(
        shared: &Arc<Shared>,
        buffer_bytes: usize,
        waiting: watch::Receiver<Option<Waiting>>,
    ) -> Self {
        Handle {
            shared: Arc::clone(shared),
            buffer_bytes,
            waiting,
        }
    }

    pub(super) async fn send(
        &self,
        topic: &TopicName,
        record: &Record<'_>,
        bytes: usize,
    ) -> Result<Waiter, ClientError> {
        // `buffer_bytes` is bounded far below u32::MAX.
        let bytes = bytes.min(self.buffer_bytes) as u32;
        // Who sends without end lets others run now and then, for all of them gather into batches.
        coop::consume_budget().await;
        let permit = match self.shared.room.try_acquire_many(bytes) {
            Err(TryAcquireError::NoPermits) => self.shared.room.acquire_many(bytes).await.ok(),
            permit => permit.ok(),
        };
        permit.ok_or(ClientError::Closed)?.forget();
        // No waiting from here on, so that a cancelled call has queued nothing.
        let waiter = self.shared.send(topic, record, bytes);
        waiter.ok_or(ClientError::Closed)
    }

    pub(super) async fn flush(&self) -> Flushed {
        let (flushed, done) = oneshot::channel();
        self.shared.wake(|state| {
            state.account.flush(flushed);
            state.inputs.push(Input::Event(Event::Flush));
        });
        done.await.unwrap_or(Err(ClientError::Closed))
    }

    pub(super) async fn close(&self) {
        self.shared.room.close();
        let (closed, done) = oneshot::channel();
        self.shared.push(Input::Close(Some(closed)));
        // An error means that the task is gone already.
        let _ = done.await;
    }

    pub(super) fn waiting(&self) -> watch::Receiver<Option<Waiting>> {
        self.waiting.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.push(Input::Close(None));
    }
}
