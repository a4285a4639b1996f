//! What the clones of a publisher share: the way into its task, and the room in its buffer.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot, watch};

use super::Waiting;
use super::account::Flushed;
use super::mailbox::Mailbox;
use super::shell::{Answer, Input, Waiter};
use crate::client::{ClientError, Message};
use crate::types::TopicName;

/// What the clones of a publisher share.
pub(super) struct Handle {
    inbox: Arc<Mailbox<Input>>,
    room: Arc<Semaphore>,
    buffer_bytes: usize,
    waiting: watch::Receiver<Option<Waiting>>,
}

impl Handle {
    pub(super) fn new(
        inbox: &Arc<Mailbox<Input>>,
        room: &Arc<Semaphore>,
        buffer_bytes: usize,
        waiting: watch::Receiver<Option<Waiting>>,
    ) -> Self {
        Handle {
            inbox: Arc::clone(inbox),
            room: Arc::clone(room),
            buffer_bytes,
            waiting,
        }
    }

    pub(super) async fn send(
        &self,
        topic: &TopicName,
        message: Message,
        bytes: usize,
    ) -> Result<oneshot::Receiver<Answer>, ClientError> {
        // `buffer_bytes` is bounded far below u32::MAX.
        let bytes = bytes.min(self.buffer_bytes) as u32;
        let permit = self.room.acquire_many(bytes).await;
        permit.map_err(|_| ClientError::Closed)?.forget();
        // No waiting from here on, so that a cancelled call has queued nothing.
        let (answer, pending) = oneshot::channel();
        self.inbox.push(Input::Send {
            topic: topic.clone(),
            message,
            waiter: Waiter {
                answer,
                bytes,
                generation: 0,
            },
        });
        Ok(pending)
    }

    pub(super) async fn flush(&self) -> Flushed {
        let (flushed, done) = oneshot::channel();
        self.inbox.push(Input::Flush(flushed));
        done.await.unwrap_or(Err(ClientError::Closed))
    }

    pub(super) async fn close(&self) {
        self.room.close();
        let (closed, done) = oneshot::channel();
        self.inbox.push(Input::Close(Some(closed)));
        // An error means that the task is gone already.
        let _ = done.await;
    }

    pub(super) fn waiting(&self) -> watch::Receiver<Option<Waiting>> {
        self.waiting.clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inbox.push(Input::Close(None));
    }
}
