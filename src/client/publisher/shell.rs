//! The task that owns the core, and the account that `flush` waits on.

use tokio::sync::{oneshot, watch};

use super::{PublisherOptions, Receipt, Waiting};
use crate::client::{Client, ClientError, Message};
use crate::types::TopicName;

type Answer = Result<Receipt, ClientError>;

/// What the clones of a publisher share.
pub(super) struct Handle {}

/// Starts the task of a publisher.
pub(super) fn start(_client: Client, _options: PublisherOptions) -> Handle {
    todo!()
}

impl Handle {
    pub(super) async fn send(
        &self,
        _topic: &TopicName,
        _message: Message,
        _bytes: usize,
    ) -> Result<oneshot::Receiver<Answer>, ClientError> {
        todo!()
    }
    pub(super) async fn flush(&self) -> Result<(), ClientError> {
        todo!()
    }
    pub(super) async fn close(&self) {
        todo!()
    }
    pub(super) fn waiting(&self) -> watch::Receiver<Option<Waiting>> {
        todo!()
    }
}
